"""The simplest layers: inputs, identity, masks, a function, and a layer around a layer."""

import inspect

import jax.numpy as jnp
import numpy as np

from cornu import check, dtypes, errors, frames, ops, registry, tree
from cornu.layers.layer import Layer
from cornu.symbolic import Call, KerasTensor


class InputLayer(Layer):
    """The layer behind `Input`: it has no weights and gives a symbolic tensor, its `output`.

    Args: those of `Input`; `input_tensor` is its `tensor`.

    >>> InputLayer((3,)).output.shape
    (None, 3)
    """

    takes_sparse = True

    def __init__(self, shape=None, batch_size=None, dtype=None, sparse=None, ragged=None, batch_shape=None,
                 input_tensor=None, optional=False, name=None, **kwargs):
        if input_tensor is not None:
            if not isinstance(input_tensor, KerasTensor):
                raise ValueError(f"Input: input_tensor must be a KerasTensor. Received: {input_tensor!r:.80}")
            if batch_size is not None and batch_size != input_tensor.shape[0]:
                raise ValueError(f"Input: batch_size={batch_size}, but input_tensor has shape {input_tensor.shape}.")
            if shape is not None and tuple(shape) != tuple(input_tensor.shape[1:]):
                raise ValueError(f"Input: shape={shape}, but input_tensor has shape {input_tensor.shape}.")
            if sparse is not None and bool(sparse) != input_tensor.sparse:
                raise ValueError(f"Input: sparse={sparse}, but input_tensor has sparse={input_tensor.sparse}.")
            batch_shape, dtype = input_tensor.shape, dtype or input_tensor.dtype
            sparse = input_tensor.sparse
        elif shape is not None and batch_shape is not None:
            raise ValueError("Input: pass either `shape` (without the batch) or `batch_shape`, not both.")
        elif batch_shape is not None and batch_size is not None:
            raise ValueError("Input: pass either `batch_size` or `batch_shape`, not both.")
        elif batch_shape is None:
            if shape is None and kwargs.get("input_shape") is not None:
                frames.warn("Argument `input_shape` is deprecated. Use `shape` instead.")
                shape = kwargs.pop("input_shape")
            if shape is None:
                raise ValueError("Input needs `shape`: the shape of one sample, such as Input(shape=(784,)).")
            shape = (shape,) if isinstance(shape, (int, np.integer)) else shape
            batch_shape = (batch_size, *shape)
        if ragged:
            raise ValueError("Input: there are no ragged tensors under JAX; pad the rows and pass dense arrays.")
        batch_shape = tuple(int(d) if isinstance(d, np.integer) else d for d in batch_shape)
        for size in batch_shape:
            if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 0):
                raise ValueError(f"Input: a shape is made of integers >= 0 and None. Received: {tuple(batch_shape)}")
        super().__init__(name=name, **kwargs)
        self.batch_shape = tuple(batch_shape)
        self.sparse, self.ragged = bool(sparse), False
        self.optional = bool(optional)
        self._input_dtype = dtypes.standardize(dtype)
        self.built = True
        if input_tensor is None:
            output = KerasTensor(self.batch_shape, self._input_dtype, self.sparse, name=self.name)
            Call(self, (), {}, output)
        else:
            Call(self, (), {}, input_tensor)
            output = input_tensor

    dtype = property(lambda self: self._input_dtype)

    def call(self, *inputs):
        return inputs[0] if inputs else None

    def get_config(self) -> dict:  # by hand: its dtype is that of the data, and a shape excludes a batch_shape
        return {"batch_shape": self.batch_shape, "dtype": self._input_dtype, "sparse": self.sparse, "ragged": False,
                "name": self.name, "optional": self.optional}


@errors.filtered
def Input(shape=None, batch_size=None, dtype=None, sparse=None, ragged=None, batch_shape=None, name=None, tensor=None,
          optional=False):
    """A symbolic tensor to build a model from.

    Args:
        shape: the shape of one sample, with None for unknown sizes; () for scalars.
        batch_size: the size of the batch, if it is fixed.
        dtype: its dtype; floatx if None.
        sparse: whether batches are sparse tensors (`jax.experimental.sparse.BCOO`).
        ragged: must be None or False: there are no ragged tensors under JAX.
        batch_shape: the shape with the batch, instead of `shape` and `batch_size`.
        name: the input's name.
        tensor: an existing symbolic tensor to give out.
        optional: whether None may be passed for this input.

    Raises ValueError for a missing shape, or one with other than integers and None.

    >>> Input((28, 28)).shape
    (None, 28, 28)
    """
    layer = InputLayer(shape=shape, batch_size=batch_size, dtype=dtype, sparse=sparse, ragged=ragged,
                       batch_shape=batch_shape, name=name, input_tensor=tensor, optional=optional)
    return layer.output


class Identity(Layer):
    """Gives its inputs back.

    >>> Identity()(jnp.ones(2))
    Array([1., 1.], dtype=float32)
    """

    supports_masking = _weightless = takes_sparse = True

    def call(self, inputs):
        return inputs


class Masking(Layer):
    """Masks the steps at which every feature equals `mask_value`, and sets them to 0.

    Args:
        mask_value: the value that marks a step as absent.

    Input shape: (batch, steps, features). The mask, of shape (batch, steps), is handed to the layers that follow.

    >>> Masking()(jnp.array([[[1.0], [0.0]]]))._keras_mask
    Array([[ True, False]], dtype=bool)
    """

    supports_masking = _weightless = True

    def __init__(self, mask_value=0.0, **kwargs):
        super().__init__(**kwargs)
        self.mask_value = mask_value

    def compute_mask(self, inputs, mask=None):
        return ops.any(ops.not_equal(inputs, self.mask_value), axis=-1)

    def call(self, inputs):
        present = jnp.any(inputs != self.mask_value, axis=-1, keepdims=True)
        return jnp.where(present, inputs, jnp.zeros((), inputs.dtype))


class Wrapper(Layer):
    """The base of layers that hold one layer and change how it is called.

    Args:
        layer: the layer, which is kept as `self.layer`.

    Raises ValueError for anything but a layer.
    """

    def __init__(self, layer, **kwargs):
        if not isinstance(layer, Layer):
            raise ValueError(f"{type(self).__name__}: argument `layer` must be a Layer. Received: {layer!r:.80}")
        super().__init__(**kwargs)
        self.layer = layer

    def build(self, input_shape=None):
        if not self.layer.built:
            self.layer.build(input_shape)

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None):
        """A wrapper whose layer is read from its own config; `custom_objects` names the caller's own classes."""
        with registry.custom_object_scope(custom_objects or {}):
            layer = registry.deserialize(config["layer"], area="layers", printable_name="layer")
            return cls(layer, **{k: v for k, v in config.items() if k != "layer"})


class Lambda(Layer):
    """A function as a layer.

    Args:
        function: takes the inputs, and `mask` and `training` where it has such parameters.
        output_shape: the shape of the output without the batch, or a function from the input's shape (with the batch)
            to it; worked out if None.
        mask: the output's mask, or a function `(inputs, mask) -> mask`.
        arguments: further keyword arguments of the function.

    A lambda expression cannot be saved: files hold no code. Name the function, and register it.

    >>> Lambda(lambda x: 2 * x)(jnp.ones(2))
    Array([2., 2.], dtype=float32)
    """

    takes_sparse = True

    def __init__(self, function, output_shape=None, mask=None, arguments=None, **kwargs):
        super().__init__(**kwargs)
        if not callable(function):
            raise ValueError(f"Lambda: argument `function` must be callable. Received: {function!r}")
        self.function, self.output_shape, self.mask = function, output_shape, mask
        self.arguments = dict(arguments or {})
        self.supports_masking = mask is not None
        self.built = True
        taken = inspect.signature(function).parameters
        self._passed_on = [name for name in ("mask", "training") if name in taken]

    def call(self, inputs, mask=None, training=None):
        told = {"mask": mask, "training": training}
        return self.function(inputs, **{n: told[n] for n in self._passed_on}, **self.arguments)

    def compute_mask(self, inputs, mask=None):
        return self.mask(inputs, mask) if callable(self.mask) else self.mask

    def compute_output_spec(self, inputs, **kwargs):
        if self.output_shape is None:
            return super().compute_output_spec(inputs, **kwargs)
        shape = tree.map_structure(lambda x: x.shape, inputs)
        batch = tree.flatten(inputs)[0].shape[0]
        told = self.output_shape(shape) if callable(self.output_shape) else (batch, *self.output_shape)
        return KerasTensor(told, self.compute_dtype)

    def get_config(self) -> dict:  # functions are written in the form in which Keras writes a Lambda's
        config = super().get_config()
        return config | {k: _write_function(getattr(self, k)) for k in _FUNCTIONS if callable(getattr(self, k))}

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None, safe_mode: bool | None = None):
        """A layer whose functions are read from their names: built-in ones, registered ones, or of `custom_objects`.

        A config that holds the code of a function is refused whatever safe_mode says.
        """
        with registry.custom_object_scope(custom_objects or {}):
            return cls(**{k: _read_function(v) if k in _FUNCTIONS and isinstance(v, (str, dict)) else
                          registry.deserialize(v) if k in (*_FUNCTIONS, "arguments") else v for k, v in config.items()})


_FUNCTIONS = ("function", "mask", "output_shape")


def _write_function(function) -> dict:
    name = getattr(function, "__name__", "")
    for module in ("image", "linalg", "nn", None):
        if getattr(getattr(ops, module) if module else ops, name, None) is function:
            return {"module": "keras.ops" + f".{module}" * bool(module), "class_name": "function", "config": name,
                    "registered_name": "function"}
    written = registry.serialize(function)
    return written if isinstance(written, dict) else {"module": "builtins", "class_name": "function", "config": written,
                                                      "registered_name": "function"}


def _read_function(config):
    """The function that a config names: in `cornu.ops` where it says so, else a registered or any built-in one."""
    name = config if isinstance(config, str) else config.get("config")
    if isinstance(config, str):
        return registry.resolve(config, None, "function")
    module = (config.get("module") or "").split(".")
    if config.get("class_name") == "function" and module[1:2] == ["ops"]:
        return _op(name, module[2] if module[2:] else None)
    try:
        return registry.deserialize(config)
    except ValueError:
        if config.get("class_name") != "function":
            raise
        return _op(name)


def _op(name: str, module: str | None = None):
    """The function of that name in `cornu.ops`, and nothing else that can be reached from there."""
    found = getattr(getattr(ops, module) if module in ("image", "linalg", "nn") else ops, str(name), None)
    if not inspect.isfunction(found) or not found.__module__.startswith("cornu.ops"):
        raise check.unknown("function", name, [n for n in dir(ops) if inspect.isfunction(getattr(ops, n))])
    return found
