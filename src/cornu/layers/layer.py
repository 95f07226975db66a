"""Layer: weights, `build`, `call`; its parts are found by a walk over its attributes when they are asked for.

Longer than 500 lines would be a sign to divide it; the public surface of Keras's Layer is what fills it.
"""

import functools
import inspect
import warnings

import jax
import jax.numpy as jnp
import numpy as np

from cornu import check, context, dtypes, errors, initializers, names, registry, tree
from cornu import constraints as constraints_module
from cornu import regularizers as regularizers_module
from cornu.context import CallContext
from cornu.interrupts import interrupts
from cornu.layers.remat import current as current_remat
from cornu.layers.remat import remat
from cornu.layers.spec import InputSpec, assert_input_compatibility
from cornu.random import SeedGenerator
from cornu.symbolic import Call, KerasTensor, Operation, any_symbolic, infer, shape_of
from cornu.variable import Scope, Variable, functional, in_scope, scope_losses, structure

_OWN = frozenset(("_inbound_nodes", "_told", "_losses", "_build_shapes", "_loss_tracker", "_compile_told", "_steps",
                  "_kept_parts"))


@functools.lru_cache(maxsize=None)
def _signature(call):
    """Of a `call` function: parameter names, training's default, and which of them are masks."""
    params = list(inspect.signature(call).parameters.values())[1:]
    named = tuple(p.name for p in params if p.kind in (p.POSITIONAL_OR_KEYWORD, p.POSITIONAL_ONLY, p.KEYWORD_ONLY))
    training = next((p.default for p in params if p.name == "training"), inspect.Parameter.empty)
    masks = tuple(n for n in named if n == "mask" or n.endswith("_mask") and n[:-5] in named)
    return named, training is not inspect.Parameter.empty, None if training is inspect.Parameter.empty else training, masks


def _wrap_build(build):
    """Around a class's own `build`: the variables' paths, the shapes for the config, and the flag `built`."""

    @functools.wraps(build)
    def wrapper(self, *args, **kwargs):
        if self._building:  # super().build(...)
            return build(self, *args, **kwargs)
        names_of = list(inspect.signature(build).parameters)[1:]
        shapes = {**dict(zip(names_of, args)), **kwargs}
        shapes = {k: _as_shape(v) for k, v in shapes.items()}
        self._building = True
        try:
            with context.name_scope(self.name):
                build(self, **shapes) if len(args) <= len(names_of) else build(self, *args, **kwargs)
        finally:
            self._building = False
        self._build_shapes = shapes
        self.built = True

    wrapper._wrapped = True
    return wrapper


def _as_shape(value):
    """Shapes as tuples, at any depth (configs bring lists)."""
    if isinstance(value, dict):
        return {k: _as_shape(v) for k, v in value.items()}
    if tree.is_shape(value):
        return tuple(value)
    return [_as_shape(v) for v in value] if isinstance(value, (list, tuple)) else value


class Layer(Operation):
    """A layer has weights, made in `build`, and a computation, `call`.

    Args:
        activity_regularizer: regularizer of the output: its value is added to the losses.
        trainable: whether its weights are trained.
        dtype: a dtype or DTypePolicy; the global policy if None.
        autocast: whether float inputs and weights are cast to the compute dtype.
        name: its name; made up from the class's name if None.

    A subclass defines `call(self, inputs)`, which may also take `training` and `mask`, and may define `__init__`,
    `build(self, input_shape)` (where `add_weight` belongs), `compute_mask` and `get_config`. Weights and layers that
    are kept in attributes, lists or dicts are found without further ado.

    >>> class Scale(Layer):
    ...     def build(self, input_shape):
    ...         self.scale = self.add_weight(shape=(input_shape[-1],), initializer="ones")
    ...     def call(self, inputs):
    ...         return inputs * self.scale
    >>> Scale()(np.ones((2, 3), "float32")).shape
    (2, 3)
    """

    _building = False
    _initialized = False
    _remat = None  # the RematScope in which the layer was made
    _settings_count = True  # whether setting an attribute may change what a call computes

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "build" in cls.__dict__ and not getattr(cls.build, "_wrapped", False):
            cls.build = _wrap_build(cls.build)

    def __init__(self, *, activity_regularizer=None, trainable=True, dtype=None, autocast=True, name=None, **kwargs):
        shape = _legacy_input_shape(kwargs)
        if kwargs.pop("quantization_config", None) is not None:  # Keras writes this key, as None, into every config
            raise ValueError(f"{type(self).__name__}: quantized layers are not part of cornu yet.")
        if kwargs:
            raise ValueError(f"{type(self).__name__}: unknown argument{'s' * (len(kwargs) > 1)} "
                             f"{', '.join(map(repr, kwargs))}.{self._nearest_argument(kwargs)}")
        object.__setattr__(self, "_initialized", True)
        Operation.__init__(self, name)
        self.activity_regularizer = regularizers_module.get(activity_regularizer)
        self.dtype_policy = dtypes.get(dtype)
        self.autocast = autocast
        self.supports_masking = False
        self.input_spec = None
        self.built = False
        self._trainable = bool(trainable)
        self._losses = []
        self._build_shapes = None
        if (scope := current_remat()) is not None:
            self._remat = scope
        if shape is not None:
            self._input_shape_arg = shape

    @classmethod
    def _nearest_argument(cls, unknown) -> str:
        known = [p for c in cls.__mro__ if "__init__" in c.__dict__ for p in inspect.signature(c.__init__).parameters]
        close = check.nearest(next(iter(unknown)), [k for k in known if k not in ("self", "args", "kwargs")], 1)
        return f" Did you mean {close[0]!r}?" if close else ""

    def __setattr__(self, name, value):
        if isinstance(value, (Variable, Layer)):
            if not self._initialized:
                raise RuntimeError(f"{type(self).__name__}.__init__ sets self.{name} before it called "
                                   "super().__init__(). Call super().__init__() first.")
            self._refuse_in_call(f"self.{name} was given a new {type(value).__name__}", value)
        if isinstance(value, (Variable, registry.Configurable, list, dict, tuple)) or isinstance(
                self.__dict__.get(name), (Variable, registry.Configurable)):
            structure["version"] += 1
        elif self._settings_count and self.__dict__.get("built"):
            structure["settings"] += 1
        object.__setattr__(self, name, value)

    def _refuse_in_call(self, what: str, value=None):
        call = context.current()
        if call is not None and call.path and call.path[-1] is self and not self._building \
                and (value is None or not any(value is v for v in self.__dict__.values())):
            raise RuntimeError(f"Layer {self.name!r} ({type(self).__name__}): {what} inside `call`, which runs at every "
                               "step. Make weights and sublayers in __init__ or build; use `assign` in call.")

    # what it is made of ----------------------------------------------------------------------------------------

    def _parts(self):
        """Variables, layers, seed generators and metrics in the attributes, in the order they were set.

        What was found is kept while no attribute changes; not where there are containers, which change unseen.
        """
        kept, state = self.__dict__.get("_kept_parts"), (structure["version"], len(self.__dict__))
        if kept is not None and kept[0] == state:
            return kept[1]
        seen, found, open_ended = set(), [], False
        for name, value in self.__dict__.items():
            if name not in _OWN:
                found += _walk(value, seen)
                open_ended |= isinstance(value, (list, set, dict, tuple)) and not tree.is_shape(value)
        if not open_ended:
            self.__dict__["_kept_parts"] = (structure["version"], len(self.__dict__) + (kept is None)), found
        return found

    @property
    def _layers(self) -> list:
        return [p for p in self._parts() if isinstance(p, Layer)]

    def _flatten_layers(self, include_self: bool = True, recursive: bool = True) -> list:
        found, seen = ([self] if include_self else []), {id(self)}
        queue = list(self._layers)
        while queue:
            layer = queue.pop(0)
            if id(layer) not in seen:
                seen.add(id(layer))
                found.append(layer)
                if recursive:
                    queue = layer._layers + queue
        return found

    def _own_variables(self) -> list:
        own = [p for p in self._parts() if isinstance(p, Variable)]  # by what they were made as: freezing moves nothing
        return [v for v in own if v.made_trainable] + [v for v in own if not v.made_trainable]

    @property
    def weights(self) -> list:
        """Every weight, this layer's own first: the trainable ones, then the others; without seeds and metrics."""
        return _unique([v for layer in self._flatten_layers() for v in layer._own_variables()])

    @property
    def variables(self) -> list:
        """All state: weights, the states of seed generators, and the variables of metrics."""
        others = [v for layer in self._flatten_layers() for v in layer._other_state()]
        metrics = [m for layer in self._flatten_layers() for m in layer._parts() if _is_metric(m)]
        return _unique([*self.weights, *others, *(v for m in metrics for v in m.variables)])

    def _other_state(self) -> list:
        """This layer's own variables that are no weights: they change in training, and files do not have them."""
        return [p.state for p in self._parts() if isinstance(p, SeedGenerator)]

    @property
    def trainable_variables(self) -> list:
        """The weights that training changes."""
        if not self.trainable:
            return []
        own = [v for v in self._own_variables() if v.trainable]
        return _unique(own + [v for layer in self._layers for v in layer.trainable_variables])

    @property
    def non_trainable_variables(self) -> list:
        """All state that training by gradients does not change, without the metrics' variables."""
        others = {id(v) for v in [*self.trainable_variables, *self.metrics_variables]}
        return [v for v in self.variables if id(v) not in others]

    trainable_weights = property(lambda self: self.trainable_variables)

    @property
    def non_trainable_weights(self) -> list:
        trainable = {id(v) for v in self.trainable_variables}
        return [v for v in self.weights if id(v) not in trainable]

    @property
    def metrics(self) -> list:
        """The metrics in this layer's and its sublayers' attributes."""
        return _unique([p for layer in self._flatten_layers() for p in layer._parts() if _is_metric(p)])

    @property
    def metrics_variables(self) -> list:
        return [v for m in self.metrics for v in m.variables]

    @property
    def trainable(self) -> bool:
        """Whether the weights are trained; setting it also sets it in every sublayer."""
        return self._trainable

    @trainable.setter
    def trainable(self, value) -> None:
        self._trainable = bool(value)
        structure["version"] += 1
        for layer in self._layers:
            layer.trainable = value

    def count_params(self) -> int:
        """The number of values in the weights. Raises ValueError before the layer is built."""
        if not self.built:
            raise ValueError(f"Layer {self.name!r} is not built yet, so it has no weights to count. Call it on data, "
                             "or call build(input_shape).")
        return sum(int(np.prod(v.shape)) for v in self.weights)

    # dtypes ----------------------------------------------------------------------------------------------------

    @property
    def dtype_policy(self):
        return self._dtype_policy

    @dtype_policy.setter
    def dtype_policy(self, policy) -> None:
        policy = dtypes.get(policy)
        policy = policy[self.path or self.name] if isinstance(policy, dtypes.DTypePolicyMap) else policy
        object.__setattr__(self, "_dtype_policy", policy)
        object.__setattr__(self, "_compute_dtype", policy.compute_dtype)

    compute_dtype = property(lambda self: self._compute_dtype)
    variable_dtype = property(lambda self: self._dtype_policy.variable_dtype)
    dtype = property(lambda self: self._dtype_policy.variable_dtype)
    input_dtype = property(lambda self: self._compute_dtype)
    quantization_mode = None

    @property
    def path(self) -> str | None:
        """Where the layer stands in its model, known once it has weights."""
        own = [v for v in self.__dict__.values() if isinstance(v, Variable)]
        return own[0].path.rpartition("/")[0] if own else getattr(self, "name", None)

    # building --------------------------------------------------------------------------------------------------

    def build(self, input_shape):
        """Make the weights. The default makes those of the sublayers, by tracing `call` on the given shapes."""
        if self.built:
            return
        if type(self).call is not Layer.call and self._layers:
            inputs = tree.map_shape_structure(lambda s: KerasTensor(s, self.compute_dtype), input_shape)
            self.built = True  # the sublayers build themselves in the traced call
            try:
                with context.name_scope("", override=context.name_path()[:-1]):  # the call adds the name again
                    infer(self._traced, (inputs,), {}, self.name)
            except Exception:
                self.built = False
                raise

    build = _wrap_build(build)
    build._is_default = True

    def _maybe_build(self, args, kwargs) -> None:
        shapes = {name: _shapes(value) for name, value in self._arguments(args, kwargs).items() if _has_tensor(value)}
        if getattr(type(self).build, "_is_default", False):  # sublayers build themselves when they are called
            self._build_shapes = {"input_shape": next(iter(shapes.values()), None)}
            self.built = True
            return
        wanted = list(inspect.signature(type(self).build).parameters)[1:]
        if len(wanted) == 1 and wanted[0].removesuffix("_shape") not in shapes or len(shapes) == 1 and len(wanted) == 1:
            self.build(next(iter(shapes.values()), None))
        else:
            self.build(**{n: shapes.get(n.removesuffix("_shape").removesuffix("_shapes")) for n in wanted
                          if n.removesuffix("_shape") in shapes})
        if not self.built:
            raise RuntimeError(f"Layer {self.name!r}: build() ran but left `built` False.")

    def _arguments(self, args, kwargs) -> dict:
        named = _signature(type(self).call)[0]
        if len(args) > len(named):
            return {**{f"args_{i}": a for i, a in enumerate(args)}, **kwargs}
        return {**dict(zip(named, args)), **kwargs}

    def add_weight(self, shape=None, initializer=None, dtype=None, trainable: bool = True, autocast: bool = True,
                   regularizer=None, constraint=None, aggregation: str = "none", overwrite_with_gradient: bool = False,
                   name: str | None = None, layout=None) -> Variable:
        """Make a weight of this layer.

        Args:
            shape: its shape; () if None.
            initializer: a name, config, initializer or function; glorot_uniform for floats, else zeros, if None.
            dtype: the variable dtype of the policy if None.
            trainable: whether optimizers change it.
            autocast: whether it is read in the compute dtype.
            regularizer: its value is added to the losses.
            constraint: applied after every update.
            aggregation: how replicas' values are joined.
            overwrite_with_gradient: whether the optimizer puts the gradient in its place.
            name: its name.
            layout: its layout over devices.
        """
        if not self._initialized:
            raise RuntimeError(f"{type(self).__name__}.__init__ did not call super().__init__(). Call it first.")
        self._refuse_in_call("add_weight was called")
        dtype = dtypes.standardize(dtype or self.variable_dtype)
        initializer = initializer or ("glorot_uniform" if dtypes.is_float(dtype) else "zeros")
        scope = () if self._building or not self.name else (self.name,)
        with context.name_scope("", override=(*context.name_path(), *scope)):
            variable = Variable(initializers.get(initializer), shape=() if shape is None else shape, dtype=dtype,
                                trainable=trainable, autocast=autocast, aggregation=aggregation, layout=layout, name=name)
        variable.regularizer = regularizers_module.get(regularizer)
        variable.constraint = constraints_module.get(constraint)
        variable.overwrite_with_gradient = overwrite_with_gradient
        return variable

    def get_build_config(self) -> dict | None:
        """The shapes that `build` was given, for the file."""
        shapes = self._build_shapes
        if not shapes:
            return None
        return {"input_shape": next(iter(shapes.values()))} if len(shapes) == 1 else {"shapes_dict": shapes}

    def build_from_config(self, config: dict) -> None:
        """Build with the shapes that a file holds."""
        if not self.built and config:
            shapes = config.get("shapes_dict") or ({} if "input_shape" in config else config)
            with jax.ensure_compile_time_eval():
                if shapes:
                    self.build(**shapes)
                elif config.get("input_shape") is not None:
                    self.build(config["input_shape"])

    # calling ---------------------------------------------------------------------------------------------------

    def __call__(self, *args, **kwargs):
        if not self._initialized:
            raise RuntimeError(f"{type(self).__name__}.__init__ did not call super().__init__(). Add it as its first line.")
        outer = context.current()
        try:
            if any_symbolic(args, kwargs):
                return self._symbolic(args, kwargs)
            return self._concrete(outer, args, kwargs)
        except Exception as error:
            raise errors.in_layer(error, self, args) if outer is None or not outer.path else _noted(error, self, args)

    def _symbolic(self, args, kwargs):
        if not self.built:
            self._check(args, kwargs)
            self._maybe_build(args, kwargs)
        self._check(args, kwargs)
        outputs = self.compute_output_spec(*args, **kwargs)
        Call(self, args, kwargs, outputs)
        return outputs

    def _check(self, args, kwargs):
        if self.input_spec is not None:
            assert_input_compatibility(self.input_spec, args[0] if args else next(iter(kwargs.values()), None), self.name)

    def _concrete(self, outer, args, kwargs):
        """Cast, fill in `training` and masks, build, run `call` in its context, and hand masks and losses on."""
        if args:
            args = tuple(self._cast(a) for a in args)
        for key in kwargs:
            kwargs[key] = self._cast(kwargs[key])
        named, takes_training, default, mask_names = _signature(type(self).call)
        training = kwargs.get("training")
        if training is None:
            if takes_training and "training" in named[:len(args)]:
                training = args[named.index("training")]
            if training is None:
                training = outer.training if outer is not None and outer.training is not None else default
            if takes_training and "training" not in named[:len(args)]:
                kwargs["training"] = training
        elif not takes_training and "training" in kwargs and "kwargs" not in type(self).call.__code__.co_varnames:
            kwargs.pop("training")
        own = CallContext(training, self._compute_dtype if self.autocast else None,
                          outer.masks if outer is not None else None,
                          (*outer.path, self) if outer is not None else (self,))
        inputs = args[0] if args else next((v for k, v in kwargs.items() if k != "training"), None)
        masks = self._input_masks(own, inputs, args, kwargs, named, mask_names)
        if self.input_spec is not None or not self.built:
            self._check(args, kwargs)
        if not self.built:
            self._maybe_build(args, kwargs)
        if outer is None or not outer.path:
            self._losses.clear()
        token, name_token = context.enter(own), context._name_path.set((*context._name_path.get(), self.name))
        try:
            outputs = self.call(*args, **kwargs) if self._remat is None else self._remat.call(self, args, kwargs)
            if self.activity_regularizer is not None:
                for output in tree.flatten(outputs):
                    self.add_loss(self.activity_regularizer(output) / output.shape[0])
        finally:
            context._name_path.reset(name_token)
            context.leave(token)
        if outputs is None:
            raise ValueError(f"Layer {self.name!r}: `call` returned None. It must return the outputs (is `return` missing?).")
        if masks is not None or type(self).compute_mask is not Layer.compute_mask:
            self._output_masks(own, inputs, masks, outputs, outer)
        return outputs

    def _traced(self, *args, **kwargs):
        return self._concrete(context.current(), args, dict(kwargs))

    def _cast(self, value):
        """NumPy arrays become JAX's, and floats get the compute dtype; strings and all else stay what they are."""
        if isinstance(value, (list, tuple, dict)):
            return _map(self._cast, value)
        if isinstance(value, np.ndarray):
            if value.dtype.kind in "OSUT":
                return value
            value = jnp.asarray(value)
        elif isinstance(value, Variable):
            value = value.value
        if self.autocast and isinstance(value, jax.Array) and value.dtype != self._compute_dtype \
                and jnp.issubdtype(value.dtype, jnp.floating):
            mask = context.mask_of(value)
            value = value.astype(self._compute_dtype)
            if mask is not None:
                context.put_mask(value, mask)
        return value

    def _input_masks(self, own, inputs, args, kwargs, named, mask_names):
        """The masks of the inputs (None where there is none), put into the arguments that take masks."""
        found = None
        if mask_names:
            given = dict(zip(named, args))
            for mask_name in mask_names:
                if kwargs.get(mask_name) is None and given.get(mask_name) is None:
                    source = inputs if mask_name == "mask" else given.get(mask_name[:-5], kwargs.get(mask_name[:-5]))
                    mask = _masks(own, source)
                    if mask is not None and mask_name not in given:
                        kwargs[mask_name] = mask
        found = kwargs.get("mask")
        return _masks(own, inputs) if found is None else found

    def _output_masks(self, own, inputs, masks, outputs, outer):
        if masks is not None and not self.supports_masking and type(self).compute_mask is Layer.compute_mask:
            warnings.warn(f"Layer {self.name!r} does not support masks: the mask of its input ends here.", stacklevel=5)
            return
        token = context.enter(own)
        try:
            new = self.compute_mask(inputs, masks)
        finally:
            context.leave(token)
        if new is None:
            return
        for output, mask in zip(tree.flatten(outputs), tree.flatten(new)):
            if mask is not None:
                own.set_mask(output, mask)

    def call(self, *args, **kwargs):
        raise NotImplementedError(f"{type(self).__name__} does not define `call`.")

    def compute_mask(self, inputs, previous_mask):
        """The mask of the output: by default the input's own."""
        return previous_mask

    def compute_output_spec(self, *args, **kwargs):
        """The symbolic outputs for symbolic inputs, inferred from `call` unless `compute_output_shape` is defined."""
        if type(self).compute_output_shape is not Layer.compute_output_shape:
            shapes = {n: _shapes(v) for n, v in self._arguments(args, kwargs).items() if _has_tensor(v)}
            wanted = list(inspect.signature(type(self).compute_output_shape).parameters)[1:]
            shape = (self.compute_output_shape(next(iter(shapes.values()))) if len(wanted) == 1 else
                     self.compute_output_shape(**{n: shapes.get(n.removesuffix("_shape")) for n in wanted}))
            return tree.map_shape_structure(lambda s: KerasTensor(s, self.compute_dtype), _as_shape(shape))
        training = {"training": kwargs["training"]} if isinstance(kwargs.get("training"), bool) else {}
        rest = {k: v for k, v in kwargs.items() if k != "training"}
        masks = [getattr(x, "_keras_mask", None) for x in tree.flatten((args, rest))]

        def run(args, kwargs, masks):
            call = CallContext()
            for x, mask in zip(tree.flatten((args, kwargs)), masks):
                if mask is not None:
                    call.set_mask(x, mask)
            outputs = self._concrete(call, args, {**kwargs, **training})
            return outputs, [call.mask_of(x) for x in tree.flatten(outputs)]

        outputs, masks = infer(run, (args, rest, masks), {}, self.name)
        for x, mask in zip(tree.flatten(outputs), masks):
            if mask is not None:
                x._keras_mask = mask
        return outputs

    def compute_output_shape(self, *args, **kwargs):
        """The output's shape for an input's, found by tracing `call`."""
        def as_tensors(shape):
            return tree.map_shape_structure(lambda s: KerasTensor(s, self.compute_dtype), _as_shape(shape))

        if not self.built:
            self.build(*args, **kwargs)
        kwargs = {k.removesuffix("_shape"): as_tensors(v) for k, v in kwargs.items()}
        if "input" in kwargs:  # the usual name of the one shape; the argument of `call` may be called otherwise
            args, kwargs = (*args, ), {**kwargs}
            first = kwargs.pop("input")
            outputs = infer(self._traced, (first,), kwargs, self.name)
        else:
            outputs = infer(self._traced, tuple(as_tensors(a) for a in args), kwargs, self.name)
        return tree.map_structure(lambda o: o.shape, outputs)

    def stateless_call(self, trainable_variables, non_trainable_variables, *args, return_losses=False, **kwargs):
        """Call as a pure function: `(outputs, new_non_trainable_values[, losses])` for the given values."""
        trainable, others = self.trainable_variables, self.non_trainable_variables
        for what, given, own in (("trainable", trainable_variables, trainable), ("non_trainable", non_trainable_variables, others)):
            if len(given) != len(own):
                raise ValueError(f"Layer {self.name!r}: stateless_call was given {len(given)} {what}_variables; "
                                 f"it has {len(own)}.")

        def run(*args, **kwargs):
            return self(*args, **kwargs), (self.losses if return_losses else [])

        values = [getattr(v, "raw", v) for v in (*trainable_variables, *non_trainable_variables)]
        (outputs, losses), new = functional(run, [*trainable, *others])(values, *args, **kwargs)
        new = new[len(trainable):]
        return (outputs, new, losses) if return_losses else (outputs, new)

    # losses ----------------------------------------------------------------------------------------------------

    def add_loss(self, loss) -> None:
        """Add a scalar (or a list of them) to what training minimizes; from within `call`, or before it."""
        for value in tree.flatten(loss):
            collected = scope_losses()
            call = context.current()
            owner = call.path[0] if call is not None and call.path else self
            (owner._losses if collected is None else collected).append((self, value))

    @property
    def losses(self) -> list:
        """The losses that the last call added, then those of the weights' regularizers."""
        layers = self._flatten_layers()
        mine = {id(layer) for layer in layers}
        added = scope_losses() if in_scope() else [pair for layer in layers for pair in layer._losses]
        penalties = [v.regularizer(v) for v in self.trainable_variables if v.regularizer is not None]
        return [value for layer, value in added if id(layer) in mine] + penalties

    # weights and configs -----------------------------------------------------------------------------------------

    def get_weights(self) -> list:
        """The weights as NumPy arrays, in the order of `weights`."""
        return [np.asarray(v.raw) for v in self.weights]

    def set_weights(self, weights) -> None:
        """Set all weights from arrays in the order of `weights`; nothing changes when one of them does not fit."""
        own = self.weights
        if len(own) != len(weights):
            raise ValueError(f"Layer {self.name!r} has {len(own)} weights; {len(weights)} arrays were given.")
        arrays = [np.asarray(getattr(w, "raw", w)) for w in weights]
        for variable, array in zip(own, arrays):
            if variable.shape != array.shape:
                raise ValueError(f"Weight {variable.path!r} has shape {variable.shape}; the array given for it has "
                                 f"shape {array.shape}. No weight was changed.")
        with interrupts.waiting():
            for variable, array in zip(own, arrays):
                variable.assign(array)

    def save_own_variables(self, store: dict) -> None:
        """Put this layer's own weights into `store`, under "0", "1" ..."""
        for index, variable in enumerate(self._own_variables()):
            store[str(index)] = variable

    def load_own_variables(self, store: dict) -> None:
        """Take this layer's own weights from `store`."""
        own = self._own_variables()
        if len(store) != len(own):
            raise ValueError(f"Layer {self.name!r} has {len(own)} weights of its own, the file has {len(store)} for it."
                             + ("" if self.built else " The layer is not built: call it on data first."))
        for index, variable in enumerate(own):
            variable.assign(store[str(index)])

    def get_config(self) -> dict:
        """The constructor's arguments, read from its signature."""
        config = registry.config_of(self)
        base = {"name": self.name, "trainable": self.trainable, "dtype": dtypes.serialize(self.dtype_policy)}
        skip = {*base, "autocast", "activity_regularizer"}
        config = {**base, **{k: v for k, v in config.items() if k not in skip}}
        if not self.autocast:
            config["autocast"] = False
        if self.activity_regularizer is not None:
            config["activity_regularizer"] = regularizers_module.serialize(self.activity_regularizer)
        return {k: v for k, v in config.items() if k not in self._not_in_config}

    @classmethod
    @errors.filtered
    def from_config(cls, config: dict):
        """A layer like the one whose config this is.

        Where the constructor does not take `name`, `trainable` or `dtype`, they are set afterwards. Raises ValueError
        when the config lacks an argument of the constructor, or has one too many.
        """
        params = inspect.signature(cls.__init__).parameters
        takes_all = any(p.kind is p.VAR_KEYWORD for p in params.values())
        later = {k: v for k, v in config.items() if k in ("name", "trainable", "dtype") and not takes_all and k not in params}
        told = {k: v for k, v in config.items() if k not in later}
        missing = [p.name for p in list(params.values())[1:] if p.default is p.empty and p.name not in told
                   and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        unknown = [] if takes_all else [k for k in told if k not in params]
        if missing or unknown:
            wrong = f"lacks {', '.join(map(repr, missing))}" if missing else f"has {', '.join(map(repr, unknown))} too many"
            raise ValueError(f"The config of {cls.__name__} {wrong}: {sorted(config)}.\nLet {cls.__name__}.get_config return "
                             "{**super().get_config(), ...} with every argument of __init__, and let __init__ take **kwargs.")
        layer = cls(**told)
        layer.name = later.get("name", layer.name)
        if "dtype" in later:
            layer.dtype_policy = later["dtype"]
        if later.get("trainable") is False:
            layer.trainable = False
        return layer

    def rematerialized_call(self, layer_call, *args, **kwargs):
        """Run a call so that its inner values are computed again in the backward pass instead of being kept."""
        return remat(layer_call)(*args, **kwargs)

    def __repr__(self):
        return f"<{type(self).__name__} name={getattr(self, 'name', None)}, built={getattr(self, 'built', False)}>"


def _walk(value, seen):
    if isinstance(value, (Variable, Layer, SeedGenerator)) or _is_metric(value):
        if id(value) not in seen:
            seen.add(id(value))
            yield value
    elif isinstance(value, (list, tuple, set, dict)):
        if id(value) not in seen:
            seen.add(id(value))
            for item in value.values() if isinstance(value, dict) else value:
                yield from _walk(item, seen)


def _is_metric(value) -> bool:
    return getattr(type(value), "_is_metric", False)


def _unique(items) -> list:
    return list({id(x): x for x in items}.values())


def _map(fn, value):
    if isinstance(value, dict):
        return type(value)((k, fn(v)) for k, v in value.items()) if type(value) is not dict else {k: fn(v) for k, v in value.items()}
    return type(value)(*map(fn, value)) if hasattr(value, "_fields") else type(value)(map(fn, value))


def _has_tensor(value) -> bool:
    if isinstance(value, (list, tuple, dict)):
        return any(map(_has_tensor, value.values() if isinstance(value, dict) else value))
    return isinstance(value, (jax.Array, np.ndarray, KerasTensor, Variable))


def _shapes(value):
    if isinstance(value, dict):
        return {k: _shapes(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_shapes(v) for v in value]
    return shape_of(value) if hasattr(value, "shape") else None


def _masks(call: CallContext, inputs):
    """The inputs' masks in the inputs' structure, or None where none of them has one."""
    if isinstance(inputs, (list, tuple, dict)):
        masks = _map(lambda x: _masks(call, x), inputs)
        return None if all(m is None for m in tree.flatten(masks)) else masks
    return call.mask_of(inputs) if inputs is not None else None


def _legacy_input_shape(kwargs):
    """The shape that old code gives a first layer: input_shape, batch_input_shape, batch_shape or input_dim."""
    batch = kwargs.pop("batch_size", None)
    shape = kwargs.pop("input_shape", None)
    dim = kwargs.pop("input_dim", None)
    whole = kwargs.pop("batch_input_shape", None)
    if dim is not None and shape is None:
        shape = (dim,)
    if whole is None and shape is not None:
        whole = (batch, *(shape if isinstance(shape, (list, tuple)) else (shape,)))
    return None if whole is None else tuple(whole)


def _noted(error, layer, args):
    return errors.note_layer(error, layer, args)


__all__ = ["InputSpec", "Layer", "names", "remat"]
