"""The layers that everything else is made with: Input, Dense and their nearest kin."""

import jax.numpy as jnp

from cornu import activations, check, constraints, dtypes, initializers, regularizers
from cornu.layers.layer import Layer
from cornu.layers.spec import InputSpec
from cornu.symbolic import Call, KerasTensor


class InputLayer(Layer):
    """The layer behind `Input`: it has no weights and gives a symbolic tensor.

    Args:
        shape: the shape without the batch, with None for unknown sizes.
        batch_size: the size of the batch, if it is fixed.
        dtype: the dtype of the input; floatx if None.
        sparse, ragged: must be None or False: cornu's tensors are dense.
        batch_shape: the shape with the batch, instead of `shape` and `batch_size`.
        input_tensor: an existing symbolic tensor to give out.
        optional: whether None may be passed for this input.
        name: the input's name.

    >>> InputLayer((3,)).output.shape
    (None, 3)
    """

    def __init__(self, shape=None, batch_size=None, dtype=None, sparse=None, ragged=None, batch_shape=None,
                 input_tensor=None, optional=False, name=None, **kwargs):
        if input_tensor is not None:
            if not isinstance(input_tensor, KerasTensor):
                raise ValueError(f"Input: input_tensor must be a KerasTensor. Received: {input_tensor!r:.80}")
            if batch_size is not None and batch_size != input_tensor.shape[0]:
                raise ValueError(f"Input: batch_size={batch_size}, but input_tensor has shape {input_tensor.shape}.")
            if shape is not None and tuple(shape) != tuple(input_tensor.shape[1:]):
                raise ValueError(f"Input: shape={shape}, but input_tensor has shape {input_tensor.shape}.")
            batch_shape, dtype = input_tensor.shape, dtype or input_tensor.dtype
        elif shape is not None and batch_shape is not None:
            raise ValueError("Input: pass either `shape` (without the batch) or `batch_shape`, not both.")
        elif batch_shape is not None and batch_size is not None:
            raise ValueError("Input: pass either `batch_size` or `batch_shape`, not both.")
        elif batch_shape is None:
            if shape is None:
                raise ValueError("Input needs `shape`: the shape of one sample, such as Input(shape=(784,)).")
            shape = (shape,) if isinstance(shape, int) else shape
            batch_shape = (batch_size, *shape)
        if sparse or ragged:
            raise ValueError("Input: sparse and ragged tensors are not part of cornu; pass dense arrays.")
        for size in batch_shape:
            if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 0):
                raise ValueError(f"Input: a shape is made of integers >= 0 and None. Received: {tuple(batch_shape)}")
        super().__init__(name=name, **kwargs)
        self.batch_shape = tuple(batch_shape)
        self.sparse = self.ragged = False
        self.optional = bool(optional)
        self._input_dtype = dtypes.standardize(dtype)
        self.built = True
        if input_tensor is None:
            output = KerasTensor(self.batch_shape, self._input_dtype, name=self.name)
            Call(self, (), {}, output)
        else:
            Call(self, (), {}, input_tensor)
            output = input_tensor

    dtype = property(lambda self: self._input_dtype)

    def call(self, *inputs):
        return inputs[0] if inputs else None

    def get_config(self) -> dict:  # by hand: its dtype is that of the data, and a shape excludes a batch_shape
        return {"batch_shape": list(self.batch_shape), "dtype": self._input_dtype, "sparse": False, "ragged": False,
                "name": self.name, "optional": self.optional}


def Input(shape=None, batch_size=None, dtype=None, sparse=None, ragged=None, batch_shape=None, name=None, tensor=None,
          optional=False):
    """A symbolic tensor to build a model from.

    Args:
        shape: the shape of one sample, with None for unknown sizes; () for scalars.
        batch_size: the size of the batch, if it is fixed.
        dtype: its dtype; floatx if None.
        sparse, ragged: must be None or False: cornu's tensors are dense.
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


class Dense(Layer):
    """A densely connected layer: `activation(inputs @ kernel + bias)`.

    Args:
        units: the number of outputs.
        activation: a name or function; none if None.
        use_bias: whether a bias is added.
        kernel_initializer, bias_initializer: where the weights start.
        kernel_regularizer, bias_regularizer, activity_regularizer: penalties added to the loss.
        kernel_constraint, bias_constraint: applied to the weights after every update.

    Input shape: (batch, ..., dim). Output shape: (batch, ..., units). Raises ValueError unless units is a positive
    integer, and for inputs without a known last size.

    >>> Dense(3)(jnp.ones((2, 4))).shape
    (2, 3)
    """

    def __init__(self, units, activation=None, use_bias=True, kernel_initializer="glorot_uniform",
                 bias_initializer="zeros", kernel_regularizer=None, bias_regularizer=None, activity_regularizer=None,
                 kernel_constraint=None, bias_constraint=None, **kwargs):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.units = check.positive("units", units, type(self).__name__)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.input_spec = InputSpec(min_ndim=2)
        self.supports_masking = True

    def build(self, input_shape):
        dim = input_shape[-1]
        if dim is None:
            raise ValueError(f"Dense layer {self.name!r} needs a known last size of its input. Received shape: {input_shape}")
        self.kernel = self.add_weight((dim, self.units), self.kernel_initializer, name="kernel",
                                      regularizer=self.kernel_regularizer, constraint=self.kernel_constraint)
        self.bias = self.add_weight((self.units,), self.bias_initializer, name="bias", regularizer=self.bias_regularizer,
                                    constraint=self.bias_constraint) if self.use_bias else None
        self.input_spec = InputSpec(min_ndim=2, axes={-1: dim})

    def call(self, inputs, training=None):
        x = jnp.matmul(inputs, self.kernel.value)
        if self.bias is not None:
            x = x + self.bias.value
        return self.activation(x)


class Identity(Layer):
    """Gives its inputs back.

    >>> Identity()(jnp.ones(2))
    Array([1., 1.], dtype=float32)
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.built = True

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

    def __init__(self, mask_value=0.0, **kwargs):
        super().__init__(**kwargs)
        self.mask_value = mask_value
        self.supports_masking = True
        self.built = True

    def compute_mask(self, inputs, mask=None):
        return jnp.any(inputs != self.mask_value, axis=-1)

    def call(self, inputs):
        present = jnp.any(inputs != self.mask_value, axis=-1, keepdims=True)
        return jnp.where(present, inputs, jnp.zeros((), inputs.dtype))
