"""The functions of Keras's older backend that compute values: elementwise, reductions, products."""

import math

from cornu import activations, config, dtypes, ops
from cornu.backend.arrays import _sizes as sizes_of
from cornu.symbolic import op

abs = ops.abs
cos = ops.cos
dot = ops.dot
equal = ops.equal
exp = ops.exp
greater = ops.greater
greater_equal = ops.greater_equal
less = ops.less
less_equal = ops.less_equal
log = ops.log
logsumexp = ops.logsumexp
maximum = ops.maximum
minimum = ops.minimum
not_equal = ops.not_equal
round = ops.round
sigmoid = ops.sigmoid
sign = ops.sign
sin = ops.sin
softplus = ops.softplus
softsign = ops.softsign
square = ops.square
tanh = ops.tanh


def argmax(x, axis=-1):
    """The index of the largest value along an axis."""
    return ops.argmax(x, axis)


def argmin(x, axis=-1):
    """The index of the smallest value along an axis."""
    return ops.argmin(x, axis)


def cumsum(x, axis=0):
    """Sums from the beginning of an axis."""
    return ops.cumsum(x, axis)


def cumprod(x, axis=0):
    """Products from the beginning of an axis."""
    return ops.cumprod(x, axis)


def _numbers(x):
    """Truth values as numbers, so that they can be averaged."""
    return ops.cast(x, config.floatx()) if ops.dtype(x) == "bool" else x


def all(x, axis=None, keepdims=False):
    """Whether all values are true; numbers other than 0 are."""
    return ops.all(ops.cast(x, "bool"), axis, keepdims)


def any(x, axis=None, keepdims=False):
    """Whether any value is true; numbers other than 0 are."""
    return ops.any(ops.cast(x, "bool"), axis, keepdims)


def max(x, axis=None, keepdims=False):
    """The largest value along an axis, or of all."""
    return ops.max(x, axis, keepdims)


def min(x, axis=None, keepdims=False):
    """The smallest value along an axis, or of all."""
    return ops.min(x, axis, keepdims)


def sum(x, axis=None, keepdims=False):
    """The sum along an axis, or of all values."""
    return ops.sum(x, axis, keepdims)


def prod(x, axis=None, keepdims=False):
    """The product along an axis, or of all values."""
    return ops.prod(x, axis, keepdims)


def mean(x, axis=None, keepdims=False):
    """The mean along an axis, or of all values."""
    return ops.mean(_numbers(x), axis, keepdims)


def var(x, axis=None, keepdims=False):
    """The variance along an axis, or of all values."""
    return ops.var(_numbers(x), axis, keepdims)


def std(x, axis=None, keepdims=False):
    """The standard deviation along an axis, or of all values."""
    return ops.std(_numbers(x), axis, keepdims)


def pow(x, a):
    """x to the power of a."""
    return ops.power(x, a)


def sqrt(x):
    """The square root; 0 for what is below 0."""
    return ops.sqrt(ops.maximum(x, 0))


def clip(x, min_value, max_value):
    """The values cut to a range; None for no bound, and an upper bound below the lower one is it.

    >>> clip(3.0, 0, None)
    Array(3., dtype=float32, weak_type=True)
    """
    low = -math.inf if min_value is None else min_value
    high = math.inf if max_value is None else max_value
    if isinstance(low, (int, float)) and isinstance(high, (int, float)) and high < low:
        high = low
    if dtypes.is_int(ops.dtype(x)):  # which have no infinities
        x = x if low == -math.inf else ops.maximum(x, low)
        return x if high == math.inf else ops.minimum(x, high)
    return ops.clip(x, low, high)


def l2_normalize(x, axis=None):
    """x over its norm along an axis, or of all values; norms below 1e-6 count as 1e-6."""
    squares = ops.sum(ops.square(x), axis=axis, keepdims=True)
    return x * ops.rsqrt(ops.maximum(squares, 1e-12))


def elu(x, alpha=1.0):
    """x where it is positive, alpha (exp(x) - 1) elsewhere."""
    return ops.elu(x, alpha)


def hard_sigmoid(x):
    """0.2 x + 0.5, cut to [0, 1]: the slope that it had before Keras 3."""
    return ops.clip(ops.add(ops.multiply(x, 0.2), 0.5), 0.0, 1.0)


@op
def relu(x, alpha=0.0, max_value=None, threshold=0.0):
    """x above the threshold, alpha (x - threshold) below it; at most max_value."""
    return activations.relu(x, alpha, max_value, threshold)


def softmax(x, axis=-1):
    """exp(x) over its sum along an axis."""
    return ops.softmax(x, axis)


def in_top_k(predictions, targets, k):
    """Whether each target is among the k largest predictions of its row."""
    return ops.in_top_k(targets, predictions, k)


def bias_add(x, bias, data_format=None):
    """x plus a bias: of shape (channels,), or one for every place, (places..., channels).

    Raises ValueError for a bias of another rank.
    """
    rank, of_bias = len(sizes_of(x)), sizes_of(bias)
    if len(of_bias) not in (1, rank - 1):
        raise ValueError(
            f"bias_add: a bias has 1 dimension, or {rank - 1} for inputs of {rank}. "
            f"Received a bias of shape {of_bias}."
        )
    if config.standardize_data_format(data_format) == "channels_last" or rank < 3:
        return ops.add(x, bias)
    if len(of_bias) == 1:
        return ops.add(x, ops.reshape(bias, (-1, *(1,) * (rank - 2))))
    return ops.add(x, ops.moveaxis(bias, -1, 0))


def batch_dot(x, y, axes=None):
    """Products of the samples of two batches: sums over one axis of each.

    Args:
        x, y: (batch, ...), of two dimensions or more.
        axes: the axis of each that is summed over, a pair or one number; by default the last of x
            and the one before the last of y (the last where y has two dimensions).

    Returns: (batch, the other axes of x, the other axes of y), at least (batch, 1).

    Raises ValueError for tensors without an axis beside the batch, and for axes of other sizes.

    >>> import numpy as np
    >>> batch_dot(np.ones((2, 3, 4)), np.ones((2, 4, 5))).shape
    (2, 3, 5)
    """
    a, b = len(sizes_of(x)), len(sizes_of(y))
    if a < 2 or b < 2:
        raise ValueError(f"batch_dot takes tensors of 2 dimensions or more. Received {a} and {b}.")
    axes = (a - 1, b - 1 if b == 2 else b - 2) if axes is None else axes
    one, other = (axes, axes) if isinstance(axes, int) else axes
    one, other = one % a, other % b
    if one == 0 or other == 0:
        raise ValueError(f"batch_dot: axis 0 is the batch, never summed over. Received: {axes=}")
    letters = "abcdefghijklmnopqrstuvw"
    first = ["z", *letters[: a - 1]]
    second = ["z", *letters[a - 1 : a + b - 2]]
    first[one] = second[other] = "y"
    rest = [c for c in first + second if c not in "yz"]
    product = ops.einsum(f"{''.join(first)},{''.join(second)}->z{''.join(rest)}", x, y)
    return product if rest else ops.expand_dims(product, 1)


__all__ = [
    "abs", "all", "any", "argmax", "argmin", "batch_dot", "bias_add", "clip", "cos", "cumprod",
    "cumsum", "dot", "elu", "equal", "exp", "greater", "greater_equal", "hard_sigmoid",
    "in_top_k", "l2_normalize", "less", "less_equal", "log", "logsumexp", "max", "maximum",
    "mean", "min", "minimum", "not_equal", "pow", "prod", "relu", "round", "sigmoid", "sign",
    "sin", "softmax", "softplus", "softsign", "sqrt", "square", "std", "sum", "tanh", "var",
]
