"""Model: a layer that can be trained, saved and summed up; built from symbolic tensors, or subclassed."""

import inspect
import json

import jax
import jax.numpy as jnp
import numpy as np

from cornu import check, context, dtypes, errors, frames, registry, tree
from cornu.data import tensorflow_graphs
from cornu.layers.core import InputLayer
from cornu.layers.layer import Layer
from cornu.layers.preprocessing import FeatureSpace
from cornu.models.calling import MISSING, CompiledCalls, from_one_state
from cornu.models.graph import Graph, unpacked
from cornu.models.graph_config import graph_config, read_graph
from cornu.models.summary import print_summary
from cornu.random import SeedGenerator
from cornu.symbolic import KerasTensor, any_symbolic
from cornu.training.front import Front, Fronted, front_of
from cornu.training.trainer import Trainer
from cornu.variable import in_scope


class Model(Trainer, Layer):
    """A model: `Model(inputs, outputs)` for a graph of symbolic tensors, or a subclass with its own `call`.

    Args:
        inputs: symbolic tensors from `Input`, in any nesting.
        outputs: symbolic tensors computed from them.
        name: the model's name.

    >>> from cornu.layers import Dense, Input
    >>> x = Input((3,))
    >>> Model(x, Dense(2)(x)).output_shape
    (None, 2)
    """

    graph = None
    takes_sparse = True
    _settings_count = False
    _public_name = "keras>Model"

    def __new__(cls, *args, **kwargs):
        if cls is Model and _is_functional(args, kwargs):
            return Layer.__new__(Functional, *args, **kwargs)
        return Layer.__new__(cls, *args, **kwargs)

    @errors.filtered
    def __init__(self, *args, **kwargs):
        if _is_functional(args, kwargs):
            inputs, outputs, rest = _split(args, kwargs)
            self._set_graph(inputs, outputs)
            args, kwargs = (), rest
        elif args and _own_init(type(self)) is Model:
            raise ValueError("Model(inputs, outputs) is made from symbolic tensors: inputs from Input(), and outputs computed "
                             f"from them. Received: {', '.join(type(a).__name__ for a in args)}.")
        super().__init__(*args, **kwargs)
        if self.graph is not None:
            self.built = True

    # the graph -------------------------------------------------------------------------------------------------

    def _set_graph(self, inputs, outputs) -> None:
        object.__setattr__(self, "graph", Graph(inputs, outputs))
        operations = self.graph.operations()
        names = [o.name for o in operations]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"The names of a model's layers must be unique, but {', '.join(map(repr, twice))} "
                             "stands for several. Pass other names.")
        object.__setattr__(self, "_operations", operations)
        told = [x for call in self.graph.calls for x in tree.flatten((call.args, call.kwargs))]
        object.__setattr__(self, "_graph_seeds", [x for x in told if isinstance(x, SeedGenerator)])

    @property
    def operations(self) -> list:
        """The layers and the operations between them."""
        return list(self._operations) if self.graph is not None else self.layers

    @property
    def layers(self) -> list:
        """The layers, outermost only; the list may be changed without harm to the model."""
        return [o for o in self._sublayers if not (isinstance(o, InputLayer) and self.graph is None)]

    @property
    def _sublayers(self) -> list:
        if self.graph is None:
            return super()._sublayers
        own = {id(o) for o in self._operations}
        return [o for o in self._operations if isinstance(o, Layer)] + [x for x in super()._sublayers if id(x) not in own]

    inputs = property(lambda self: list(self._graph_or_error("inputs").inputs))
    outputs = property(lambda self: list(self._graph_or_error("outputs").outputs))
    input = property(lambda self: self._graph_or_error("input").input_structure)
    output = property(lambda self: self._graph_or_error("output").output_structure)
    input_shape = property(lambda self: tree.map_structure(lambda x: x.shape, self.input))
    output_shape = property(lambda self: tree.map_structure(lambda x: x.shape, unpacked(self.output)))

    @property
    def input_names(self) -> list:
        """The names of the Inputs."""
        return self._input_names()

    def _input_names(self) -> list:
        return [x.call.operation.name for x in self._graph_or_error("input_names").inputs]

    @property
    def output_names(self) -> list:
        """The names of the layers that give the outputs; numbered where one layer gives several."""
        names = []
        for x in self._graph_or_error("output_names").outputs:
            name = x.call.operation.name
            names.append(name if name not in names else f"{name}_{sum(n.startswith(name) for n in names)}")
        return names

    def _graph_or_error(self, what: str) -> Graph:
        if self.graph is None:
            raise AttributeError(f"Model {self.name!r} has no `{what}`: it is not built from symbolic tensors"
                                 + (" yet. Call it on data, or add an Input." if not self.built else "."))
        return self.graph

    # calling ---------------------------------------------------------------------------------------------------

    autograph_info__ = {}  # TensorFlow reads this name: what has it is called as it is, not rewritten

    @frames.filtered
    def __call__(self, *args, **kwargs):
        if self.graph is not None and tensorflow_graphs.in_graph(args, kwargs):
            return tensorflow_graphs.called(self, args, kwargs)
        outermost = self.graph is not None and context.current() is None
        if outermost and len(args) == 1 and isinstance(front := front_of(self), Front) and not any_symbolic(args) \
                and not isinstance(args[0], Fronted):
            args = (front(self, args[0]),)
        if outermost and not in_scope():
            calls = self.__dict__.get("_compiled_calls")
            if calls is None:
                object.__setattr__(self, "_compiled_calls", calls := CompiledCalls(self))
            outputs = calls(args, kwargs)
            if outputs is not MISSING:
                return outputs
        if self.__dict__.get("_trained_by") is not None and self._trained_elsewhere() and not in_scope() \
                and context.current() is None and self.built and not any_symbolic(args, kwargs):
            return from_one_state(self, super().__call__, args, kwargs)
        return super().__call__(*args, **kwargs)

    def call(self, inputs, training=None, mask=None):
        if self.graph is None:
            raise NotImplementedError(f"Model {type(self).__name__} does not define `call`. Define it, or pass inputs "
                                      "and outputs to the constructor.")
        if isinstance(inputs, Fronted):
            return unpacked(inputs.front.finish(self, inputs.values))
        return unpacked(self.graph.run(self._fit_inputs(inputs, mask)))

    def compute_output_spec(self, *args, **kwargs):
        """As of any layer; but a graph that takes strings, which cannot be traced, has told its outputs already."""
        if self.graph is not None and any(getattr(x, "dtype", "") == "string" for x in tree.flatten(args)):
            return tree.map_structure(lambda x: KerasTensor(x.shape, x.dtype), self.graph.output_structure)
        found = super().compute_output_spec(*args, **kwargs)
        whole = None if self.graph is None else self.graph.output_structure
        return type(whole)([found]) if unpacked(whole) is not whole and not isinstance(found, (list, tuple)) else found

    def compute_mask(self, inputs, previous_mask=None):
        """None: the layers inside have given the outputs their masks already."""
        return None

    def _fit_inputs(self, inputs, mask=None) -> list:
        """The inputs in the graph's order: by name for dicts, in place for lists; ranks adjusted by a size of 1."""
        names, structure = self._input_names(), self.graph.input_structure
        if len(names) == 1 and isinstance(inputs, list) and inputs and isinstance(inputs[0], str):
            inputs = np.asarray(inputs, object)
        if isinstance(structure, dict) != isinstance(inputs, dict) or len(inputs if isinstance(inputs, dict) else ()) > len(names):
            self._note_structure(inputs, structure, names)
        if isinstance(inputs, dict):
            parts = structure if isinstance(structure, dict) else dict(zip(names, self.graph.inputs))
            missing = [k for k, part in parts.items() if k not in inputs
                       and not all(x.call.operation.optional for x in tree.flatten(part))]
            if missing:
                raise ValueError(f"Model {self.name!r} misses the input{'s' * (len(missing) > 1)} "
                                 f"{', '.join(map(repr, missing))}. It was given {', '.join(map(repr, sorted(inputs)))}.")
            order = sorted(parts) if isinstance(structure, dict) else names
            values = tree.flatten([inputs.get(k) for k in order])
            masks = tree.flatten([mask.get(k) for k in order]) if isinstance(mask, dict) else []
        else:
            values, masks = tree.flatten(inputs), tree.flatten(mask)
        if len(values) != len(names):
            raise ValueError(f"Model {self.name!r} has {len(names)} input{'s' * (len(names) > 1)} "
                             f"({', '.join(map(repr, names))}), but was given {len(values)}.")
        fitted = [self._fit(x, v) for x, v in zip(self.graph.inputs, values)]
        call = context.current()
        if call is not None and len(masks) == len(fitted):
            for value, m in zip(fitted, masks):
                if m is not None:
                    call.set_mask(value, m)
        return fitted

    def _note_structure(self, inputs, structure, names) -> None:
        """Warn once of inputs in another structure than the model's; ValueError where their order may mean two things."""
        given = sorted(inputs) if isinstance(inputs, dict) else type(inputs).__name__
        if isinstance(inputs, dict):
            message = None if set(inputs) <= set(names) else f"it was given {', '.join(map(repr, given))}"
        else:
            message = f"it was given a {given}" if isinstance(inputs, (list, tuple)) and len(structure) > 1 else None
            if message and list(structure) != sorted(structure):
                raise ValueError(f"Model {self.name!r} takes a dict of inputs ({', '.join(map(repr, structure))}), but {message}, "
                                 "whose order could mean two things. Pass a dict.")
        if message and "_told_structure" not in self.__dict__:
            object.__setattr__(self, "_told_structure", True)
            frames.warn(f"The structure of `inputs` doesn't match the expected structure: model {self.name!r} has the inputs "
                        f"{', '.join(map(repr, names))}, but {message}.")

    _sizes_were_met = False  # whether the inputs' sizes are those of the first data instead of declared ones

    def _fit(self, x: KerasTensor, value):
        """One input as the graph wants it: an array of the right rank and dtype."""
        if value is None:
            if not x.call.operation.optional:
                raise ValueError(f"Model {self.name!r} was given None for its input {x.call.operation.name!r}. Pass an array, "
                                 "or make it with Input(..., optional=True).")
            return value
        if not hasattr(value, "shape"):
            value = np.asarray(value, object) if x.dtype == "string" else jnp.asarray(value)
        rank, shape = len(x.shape), tuple(value.shape)
        if len(shape) != rank and tree.is_sparse(value):
            value = value.todense()
        if len(shape) == rank + 1 and shape[-1] == 1:
            value = value[..., 0]
        elif len(shape) == rank - 1 and x.shape[-1] == 1:
            value = value[..., None]
        shape = tuple(value.shape)
        # How many samples an `Input(batch_size=...)` names is for those who read the shape: a last batch is smaller.
        if len(shape) != rank or not self._sizes_were_met and any(
                isinstance(s, int) and d is not None and s != d for d, s in zip(x.shape[1:], shape[1:])):
            raise ValueError(f"Input {x.call.operation.name!r} of model {self.name!r} has shape {x.shape}, but was given "
                             f"data of shape {shape}.")
        if not isinstance(value, jax.Array) or value.dtype == x.dtype or x.dtype == "string":
            return value
        if self.autocast and value.dtype == self.compute_dtype and dtypes.is_float(x.dtype) \
                and value.dtype.itemsize <= jnp.dtype(x.dtype).itemsize:
            return value
        if value.dtype.kind == "c" and "complex" not in x.dtype:
            raise ValueError(f"Input {x.call.operation.name!r} of model {self.name!r} takes {x.dtype}, but was given complex "
                             f"numbers ({value.dtype}). Pass their parts, np.stack([x.real, x.imag], axis=-1), or make it "
                             f"Input(..., dtype='complex64').")
        return value.astype(jax.dtypes.canonicalize_dtype(x.dtype))

    # looking at it ---------------------------------------------------------------------------------------------

    @errors.filtered
    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer of a name, or at an index. Raises ValueError where there is none."""
        layers = [o for o in self._sublayers]
        if (name is None) == (index is None):
            raise ValueError("get_layer takes either a name or an index.")
        if index is not None:
            if not -len(layers) <= index < len(layers):
                raise ValueError(f"Model {self.name!r} has {len(layers)} layers; there is no layer at index {index}.")
            return self.layers[index]
        found = next((o for o in layers if o.name == name), None)
        if found is None:
            close = check.nearest(name, [o.name for o in layers])
            raise ValueError(f"Model {self.name!r} has no layer {name!r}."
                             + (f" Nearest: {', '.join(close)}." if close else ""))
        return found

    def summary(self, line_length=None, positions=None, print_fn=None, expand_nested=False, show_trainable=False,
                layer_range=None) -> None:
        """Print the model's layers, shapes and numbers of parameters as a table."""
        print_summary(self, line_length, positions, print_fn, expand_nested, show_trainable, layer_range)

    @frames.filtered
    def save(self, filepath, overwrite=True, zipped=None, **kwargs) -> None:
        """Write architecture, weights and optimizer into one `.keras` file (see `saving.save_model`)."""
        _saving().save_model(self, filepath, overwrite=overwrite, zipped=zipped, **kwargs)

    @frames.filtered
    def save_weights(self, filepath, overwrite=True, max_shard_size=None, **kwargs) -> None:
        """Write the weights into a `.weights.h5` or `.safetensors` file, or several (see `saving.save_weights`)."""
        _saving().save_weights(self, filepath, overwrite=overwrite, max_shard_size=max_shard_size, **kwargs)

    @frames.filtered
    def load_weights(self, filepath, skip_mismatch=False, **kwargs):
        """Read the weights from a file that `save_weights` or Keras wrote (see `saving.load_weights`)."""
        return _saving().load_weights(self, filepath, skip_mismatch=skip_mismatch, **kwargs)

    def _checkpoint_items(self, weights_only: bool) -> dict:
        """What OrbaxCheckpoint writes."""
        return _saving().orbax.items_of(self, weights_only)

    def get_state_tree(self, value_format: str = "backend_tensor") -> dict:
        """All state as nested dicts by the variables' paths, as JAX ("backend_tensor") or NumPy ("numpy_array") arrays."""
        return _saving().tensors.get_state_tree(self, value_format)

    @frames.filtered
    def set_state_tree(self, state_tree: dict) -> None:
        """Set the state from nested dicts; what they leave out stays. Raises ValueError for unknown paths and shapes."""
        _saving().tensors.set_state_tree(self, state_tree)

    def to_json(self, **kwargs) -> str:
        """The architecture as JSON, which `model_from_json` (Keras's too) reads."""
        return json.dumps(registry.serialize(self), **kwargs)

    def __reduce__(self):
        """Pickles and deep copies hold the config, the values, and what compile was told; not the graph's objects."""
        own = {type(layer).__name__: type(layer) for layer in self._flatten_layers() if not registry.is_builtin(type(layer))}
        optimizer = self.optimizer if self.compiled and self.optimizer is not None and self.optimizer.built else None
        learnt = [getattr(layer, "_beside_weights", lambda: None)() for layer in self._flatten_layers()]
        return _restore, (type(self), own, self.get_config(), self.get_build_config() if self.built else None,
                          [np.asarray(v.raw) for v in self._kept_state()], self.get_compile_config(),
                          [np.asarray(v.raw) for v in optimizer.variables] if optimizer is not None else None, learnt)

    def _kept_state(self) -> list:
        """The weights and the states of seeds."""
        return [*self.weights, *(v for layer in self._flatten_layers() for v in layer._other_state())]

    def get_config(self) -> dict:  # a graph is no constructor's argument
        if self.graph is not None and _takes_graph(type(self)):
            return graph_config(self)
        if type(self).__init__ is Model.__init__:
            return {"name": self.name, "trainable": self.trainable, "dtype": dtypes.serialize(self.dtype_policy)}
        return super().get_config()

    @classmethod
    @errors.filtered
    def from_config(cls, config, custom_objects=None):
        if {"layers", "input_layers", "output_layers"} <= set(config):
            with registry.custom_object_scope(custom_objects or {}):
                return graph_model_from_config(cls, config)
        with registry.custom_object_scope(custom_objects or {}):
            return super().from_config(config)


FeatureSpace.save = Model.save  # a layer that has files of its own


class Functional(Model):
    """A model made from symbolic inputs and outputs: what `Model(inputs, outputs)` returns."""

    _public_name = "keras.src.models.functional>Functional"

    @errors.filtered
    def __init__(self, inputs, outputs, name=None, **kwargs):
        super().__init__(inputs, outputs, name=name, **kwargs)


def _own_init(cls):
    """The class whose constructor runs."""
    return next(c for c in cls.__mro__ if "__init__" in c.__dict__)


def _takes_graph(cls) -> bool:
    """Whether the constructor takes inputs and outputs, so that the graph is all there is to write into a config."""
    return cls.__init__ is Model.__init__ or {"inputs", "outputs"} <= set(inspect.signature(cls.__init__).parameters)


def _restore(cls, own: dict, config: dict, build: dict | None, values: list, compiled: dict | None, state: list | None,
             learnt: list):
    """The model that `__reduce__` took apart."""
    with registry.custom_object_scope(own):
        model = cls.from_config(config)
        if build and (not model.built or "sizes_were_met" in build):
            model.build_from_config(build)
        if compiled:
            model.compile_from_config(compiled)
    for layer, kept in zip(model._flatten_layers(), learnt, strict=True):
        if kept is not None:
            layer._take_beside_weights(kept)
    for variable, value in zip(model._kept_state(), values, strict=True):
        variable.assign(value)
    if state is not None:
        model.optimizer.build(model.trainable_variables)
        for variable, value in zip(model.optimizer.variables, state, strict=True):
            variable.assign(value)
    return model


def graph_model_from_config(cls, config: dict):
    """A model of the class from the config of a graph."""
    inputs, outputs = read_graph(config)
    base = Functional if cls is Model else cls
    model = base(inputs=inputs, outputs=outputs, name=config.get("name"))
    if config.get("trainable") is False:
        model._freeze_around()
    return model


def _saving():
    try:
        from cornu import saving
    except ImportError as error:
        raise NotImplementedError(f"Saving is not available: {error}") from error
    return saving


def _is_functional(args, kwargs) -> bool:
    return (len(args) in (2, 3) and any_symbolic(args[:1]) and any_symbolic(args[1:2])) or (
        len(args) == 1 and "outputs" in kwargs and any_symbolic(args)) or ("inputs" in kwargs and "outputs" in kwargs)


def _split(args, kwargs):
    names = dict(zip(("inputs", "outputs", "name"), args))
    rest = {**kwargs, **names}
    return rest.pop("inputs"), rest.pop("outputs"), rest
