"""Sequential: layers one after another."""

from cornu import dtypes, errors, registry, tree
from cornu.layers.core import InputLayer
from cornu.layers.layer import Layer
from cornu.models.graph import Graph
from cornu.models.model import Model
from cornu.symbolic import KerasTensor
from cornu.training.front import Fronted


class Sequential(Model):
    """A plain stack of layers, each with one input and one output.

    Args:
        layers: the layers, in order; an `Input` first lets the model be built at once.
        trainable: whether the weights are trained.
        name: the model's name.

    >>> from cornu.layers import Dense, Input
    >>> Sequential([Input((4,)), Dense(3)]).output_shape
    (None, 3)
    """

    _public_name = "keras>Sequential"

    @errors.filtered
    def __init__(self, layers=None, trainable=True, name=None):
        super().__init__(trainable=trainable, name=name)
        self._stack = []
        taken: set = set()
        for layer in layers or ():
            self._append(layer, taken)
        self._maybe_rebuild()

    @errors.filtered
    def add(self, layer, rebuild: bool = True) -> None:
        """Append a layer (or an `Input`). Raises ValueError for anything else, or for a name that is taken."""
        self._append(layer, {other.name for other in self._stack})
        if rebuild:
            self._maybe_rebuild()

    def _append(self, layer, taken: set) -> None:
        """`add` without a rebuild; `taken` are the names of the layers that are there, of which it becomes one."""
        if isinstance(layer, KerasTensor) and layer.call is not None and isinstance(layer.call.operation, InputLayer):
            layer = layer.call.operation
        if not isinstance(layer, Layer):
            if not callable(layer) or isinstance(layer, type):
                hint = " (it is a class: add an instance, with parentheses)" if isinstance(layer, type) else ""
                raise ValueError(f"Sequential is made of layers. Received {layer!r:.80}{hint}.")
            from cornu.layers import Lambda

            layer = Lambda(layer)
        if layer.name in taken:
            raise ValueError(f"Sequential {self.name!r} has a layer named {layer.name!r} already. Give the layer another name.")
        shape = getattr(layer, "_input_shape_arg", None)
        if isinstance(layer, InputLayer) and self._stack:
            raise ValueError(f"Sequential {self.name!r}: an Input can only come first.")
        if not self._stack and shape is not None:
            self._stack.append(InputLayer(batch_shape=shape))
        self._stack.append(layer)
        taken.update(layer.name for layer in self._stack[-2:])

    @errors.filtered
    def pop(self, rebuild: bool = True) -> Layer:
        """Remove the last layer and return it."""
        if not self.layers:
            raise ValueError(f"Sequential {self.name!r} has no layers to remove.")
        layer = self._stack.pop()
        if rebuild:
            self._maybe_rebuild()
        return layer

    def _maybe_rebuild(self) -> None:
        self.built = False
        object.__setattr__(self, "graph", None)
        if len(self._stack) > 1 and isinstance(self._stack[0], InputLayer):
            self.build(self._stack[0].batch_shape)

    def build(self, input_shape=None):
        if input_shape is None or self.built:
            return
        if not tree.is_shape(input_shape):  # a list or dict of tensors: the model runs layer by layer
            return
        if not self.layers:
            raise ValueError(f"Sequential {self.name!r} has no layers; add some before it is built.")
        if isinstance(self._stack[0], InputLayer):
            if len(input_shape) != len(self._stack[0].batch_shape):
                raise ValueError(f"Sequential {self.name!r} was declared with inputs of shape "
                                 f"{self._stack[0].batch_shape}, but is built for {tuple(input_shape)}.")
        else:
            batch, *rest = input_shape
            self._stack.insert(0, InputLayer(batch_shape=(None, *rest), dtype=self._data_dtype))
            self._sizes_were_met = True
        x = inputs = self._stack[0].output
        for layer in self._stack[1:]:
            try:
                x = layer(x)
            except NotImplementedError:  # its call has no symbolic form: the model then runs layer by layer
                return
        object.__setattr__(self, "graph", Graph(inputs, x))

    _data_dtype = None

    def _maybe_build(self, args, kwargs) -> None:
        if args and hasattr(args[0], "dtype"):
            dtype = dtypes.standardize(args[0].dtype)
            self._data_dtype = dtype if dtypes.is_int(dtype) or dtype in ("string", "bool") else None
        super()._maybe_build(args, kwargs)

    @property
    def layers(self) -> list:
        """The layers without the Input; the list may be changed without harm to the model."""
        return [layer for layer in self._stack if not isinstance(layer, InputLayer)]

    @property
    def _sublayers(self) -> list:
        return list(self._stack)

    @property
    def operations(self) -> list:
        return list(self._stack)

    def call(self, inputs, training=None, mask=None):
        if isinstance(inputs, Fronted):
            return inputs.front.finish(self, inputs.values)
        if self.graph is not None:
            [inputs] = self._fit_inputs(inputs)
        for layer in self.layers:
            inputs = layer(inputs)
        return inputs

    def get_build_config(self) -> dict | None:
        """The shape of the Input, its batch included, and whether other sizes are the layers' concern."""
        if self.graph is None:
            return None
        met = {"sizes_were_met": True} if self._sizes_were_met else {}
        return {"input_shape": self.graph.inputs[0].shape, **met}

    def build_from_config(self, config: dict) -> None:
        """Build with the shape that a file holds."""
        self._sizes_were_met = self._sizes_were_met or bool(config.get("sizes_were_met"))
        super().build_from_config({k: v for k, v in config.items() if k != "sizes_were_met"})

    def get_config(self) -> dict:  # by hand: layers are written one by one, as Keras does
        return {"name": self.name, "trainable": self.trainable, "dtype": dtypes.serialize(self.dtype_policy),
                "layers": [registry.serialize_object(layer) for layer in self._stack],
                **({} if self.graph is None else {"build_input_shape": list(self.graph.inputs[0].shape)})}

    def predict_classes(self, x, batch_size: int | None = None, verbose="auto"):
        """The class numbers that `predict` gives the highest score, as a method of Keras 2.

        Args:
            x, batch_size, verbose: as in `predict`.

        Returns: `argmax` over the last axis, int64; with one output, 1 where it is above 0.5.
        """
        scores = self.predict(x, batch_size=batch_size, verbose=verbose)
        return scores.argmax(-1) if scores.shape[-1] > 1 else (scores > 0.5).astype("int32")

    def predict_proba(self, x, batch_size: int | None = None, verbose="auto"):
        """What `predict` gives, under its second name in Keras 2."""
        return self.predict(x, batch_size=batch_size, verbose=verbose)

    @classmethod
    def from_config(cls, config, custom_objects=None):
        model = cls(name=config.get("name"))
        if config.get("dtype") is not None:  # by which compile scales the loss
            model.dtype_policy = config["dtype"]
        for layer in config["layers"]:
            model.add(registry.deserialize(layer, custom_objects, area="layers", printable_name="layer"), rebuild=False)
        model._maybe_rebuild()
        if not model.built and config.get("build_input_shape"):
            model.build(tuple(config["build_input_shape"]))
        if "trainable" in config and not config["trainable"]:
            model._freeze_around()
        return model
