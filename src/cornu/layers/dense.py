"""Layers around one large weight: Dense, EinsumDense, Embedding and ReversibleEmbedding."""

import copy

import jax
import jax.numpy as jnp
import numpy as np

from cornu import activations, check, dtypes, sparse
from cornu.initializers import VarianceScaling
from cornu.input_spec import InputSpec
from cornu.layers.parts import Parted, called, told
from cornu.lowering import bias_add, einsum_product, product
from cornu.ops.equations import einsum_shapes


class Dense(Parted):
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

    supports_masking = takes_sparse = True

    def __init__(self, units, activation=None, use_bias=True, kernel_initializer="glorot_uniform",
                 bias_initializer="zeros", kernel_regularizer=None, bias_regularizer=None, activity_regularizer=None,
                 kernel_constraint=None, bias_constraint=None, **kwargs):
        super().__init__(**self._keep(told(locals(), "units", "activation", "use_bias"), "kernel", "bias"))
        self.units = check.positive("units", units, type(self).__name__)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.input_spec = InputSpec(min_ndim=2)

    def build(self, input_shape):
        dim = input_shape[-1]
        if dim is None:
            raise ValueError(f"{called(self)} needs a known last size of its input. Received shape: {input_shape}")
        self.kernel = self._weight((dim, self.units), "kernel")
        self.bias = self._weight((self.units,), "bias") if self.use_bias else None
        self.input_spec = InputSpec(min_ndim=2, axes={-1: dim})

    def call(self, inputs, training=None):
        if sparse.is_sparse(inputs):
            x = sparse.apply("matmul", product, (inputs, self.kernel.value), {})
        else:
            x = product(inputs, self.kernel.value)
        if self.bias is not None:
            x = bias_add(x, self.bias.value)
        return x if self.activation is None else self.activation(x)


def _by_equation(initializer, equation: str):
    """The initializer with a unit's inputs counted along the kernel's axes that are summed, its outputs along the others."""
    if not isinstance(initializer, VarianceScaling) or initializer.input_axes is not None:
        return initializer
    operands, _, result = equation.replace(" ", "").partition("->")
    kernel = operands.partition(",")[2].replace("...", "")
    made = copy.copy(initializer)
    made.input_axes = [axis for axis, letter in enumerate(kernel) if letter not in result]
    made.output_axes = [axis for axis, letter in enumerate(kernel) if letter in result]
    return made


class EinsumDense(Parted):
    """`activation(einsum(equation, inputs, kernel) + bias)`: a dense layer over any axes.

    Args:
        equation: an equation of two inputs, such as "abc,cd->abd"; "..." stands for any axes.
        output_shape: the shape of the output without the batch (an integer for one axis), None for sizes that are
            the input's own.
        activation: a name or function; none if None.
        bias_axes: the letters of the output's axes that the bias has, such as "d"; no bias if None.
        kernel_initializer, bias_initializer: where the weights start.
        kernel_regularizer, bias_regularizer, kernel_constraint, bias_constraint: of the weights.

    Raises ValueError for an equation that fits neither its output shape nor the input.

    >>> EinsumDense("abc,cd->abd", output_shape=(None, 5), bias_axes="d")(jnp.ones((2, 3, 4))).shape
    (2, 3, 5)
    """

    def __init__(self, equation, output_shape, activation=None, bias_axes=None, kernel_initializer="glorot_uniform",
                 bias_initializer="zeros", kernel_regularizer=None, bias_regularizer=None, kernel_constraint=None,
                 bias_constraint=None, **kwargs):
        super().__init__(**self._keep(told(locals(), "equation", "output_shape", "activation", "bias_axes"),
                                      "kernel", "bias"))
        self.equation = equation
        self.output_shape = (output_shape,) if isinstance(output_shape, int) else tuple(output_shape)
        self.bias_axes = bias_axes
        self.activation = activations.get(activation)

    def build(self, input_shape):
        kernel_shape, bias_shape = einsum_shapes(called(self), self.equation, input_shape, self.output_shape, self.bias_axes)
        self.kernel = self._weight(kernel_shape, "kernel", initializer=_by_equation(self.kernel_initializer, self.equation))
        self.bias = self._weight(bias_shape, "bias") if self.bias_axes is not None else None

    def call(self, inputs, training=None):
        x = einsum_product(self.equation, inputs, self.kernel.value)
        if self.bias is not None:
            x = bias_add(x, self.bias.value)
        return self.activation(x)


class Embedding(Parted):
    """A vector for each token: rows of a table.

    Args:
        input_dim: the number of tokens; they are 0 to input_dim - 1.
        output_dim: the length of the vectors.
        embeddings_initializer, embeddings_regularizer, embeddings_constraint: of the table.
        mask_zero: whether token 0 is padding, so that the output has a mask.
        weights: the table to start with, an array or a list of one.

    Input shape: any, of integers. Output shape: the input's, then output_dim. Raises ValueError for tokens that the
    table does not have, where the values are known; in a compiled step their vectors are NaN.

    >>> Embedding(10, 3)(np.array([[1, 2, 9]])).shape
    (1, 3, 3)
    """

    _not_in_config = frozenset(("weights",))

    def __init__(self, input_dim, output_dim, embeddings_initializer="uniform", embeddings_regularizer=None,
                 embeddings_constraint=None, mask_zero=False, weights=None, **kwargs):
        kwargs.pop("input_length", None)  # of old models: sequences may have any length
        super().__init__(**self._keep(told(locals(), "input_dim", "output_dim", "mask_zero", "weights"), "embeddings"))
        self.input_dim = check.positive("input_dim", input_dim, "Embedding")
        self.output_dim = check.positive("output_dim", output_dim, "Embedding")
        self.mask_zero = self.supports_masking = bool(mask_zero)
        if weights is not None:
            self.build()
            self.set_weights(weights if isinstance(weights, list) and len(weights) == 1 else [weights])

    def build(self, input_shape=None):
        self.embeddings = self._weight((self.input_dim, self.output_dim), "embeddings")

    def _cast(self, value):  # tokens must not be rounded to 16 bits; `call` makes them integers
        return value if value is None or isinstance(value, (bool, str)) else dtypes.to_jax(value)

    def compute_mask(self, inputs, mask=None):
        return inputs != 0 if self.mask_zero else None

    def call(self, inputs):
        if inputs.dtype.kind not in "iub":
            inputs = inputs.astype("int32")
        if not isinstance(inputs, jax.core.Tracer):
            self.check_tokens(inputs)
        elif jnp.issubdtype(inputs.dtype, jnp.signedinteger):  # NaN too, and not the table's last rows
            inputs = jnp.where(inputs < 0, self.input_dim, inputs)
        return jnp.take(self.embeddings.value, inputs, axis=0, mode="fill")

    def check_tokens(self, tokens) -> None:
        """Raise ValueError for tokens that the table does not have."""
        tokens = np.asarray(tokens)
        low, high = (int(tokens.min()), int(tokens.max())) if tokens.size else (0, 0)
        if low < 0 or high >= self.input_dim:
            raise ValueError(f"{called(self)}: the table has the tokens 0 to {self.input_dim - 1}; the input "
                             f"has tokens from {low} to {high}.\nMake input_dim larger, or map unknown words to "
                             "one token.")


class ReversibleEmbedding(Embedding):
    """An `Embedding` that also goes back: with `reverse=True` vectors times the table give logits.

    Args:
        input_dim: the number of tokens.
        output_dim: the length of the vectors.
        tie_weights: whether the way back uses the same table, else one of its own.
        embeddings_initializer, embeddings_regularizer, embeddings_constraint: of the table.
        mask_zero: whether token 0 is padding.
        reverse_dtype: the dtype of the product; that of vectors and table if None.
        logit_soft_cap: logits x become `cap * tanh(x / cap)`; as they are if None.

    Input shape: (batch, ...) of integers, or (batch, ..., output_dim) with `reverse=True`; output shape: the other.

    >>> layer = ReversibleEmbedding(10, 3)
    >>> layer(layer(np.array([[1, 2]])), reverse=True).shape
    (1, 2, 10)
    """

    def __init__(self, input_dim, output_dim, tie_weights=True, embeddings_initializer="uniform",
                 embeddings_regularizer=None, embeddings_constraint=None, mask_zero=False, reverse_dtype=None,
                 logit_soft_cap=None, **kwargs):
        super().__init__(**told(locals(), "tie_weights", "reverse_dtype", "logit_soft_cap"))
        self.tie_weights, self.reverse_dtype = bool(tie_weights), reverse_dtype and dtypes.standardize(reverse_dtype)
        self.logit_soft_cap = logit_soft_cap and check.positive(
            "logit_soft_cap", logit_soft_cap, "ReversibleEmbedding", kind=float)

    def build(self, input_shape=None):
        super().build(input_shape)
        self.reverse_embeddings = None if self.tie_weights else self.add_weight(
            (self.output_dim, self.input_dim), self.embeddings_initializer, name="reverse_embeddings")

    def compute_mask(self, inputs, mask=None):
        return None if jnp.issubdtype(inputs.dtype, jnp.floating) else super().compute_mask(inputs, mask)

    def call(self, inputs, reverse=False):
        if not reverse:
            return super().call(inputs)
        table = self.embeddings.value.T if self.tie_weights else self.reverse_embeddings.value
        if inputs.shape[-1] != self.output_dim:
            raise ValueError(f"{called(self)}: reverse=True takes vectors of {self.output_dim} values. Received an "
                             f"input of shape {tuple(inputs.shape)}.")
        if self.reverse_dtype is not None:
            inputs, table = inputs.astype(self.reverse_dtype), table.astype(self.reverse_dtype)
        logits = inputs @ table
        cap = self.logit_soft_cap
        return jnp.tanh(logits / cap) * cap if cap else logits
