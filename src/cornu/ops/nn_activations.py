"""Activation functions."""

import jax
import jax.numpy as jnp
import numpy as np

from cornu import lowering
from cornu.ops.kit import inexact, integers, public, unary
from cornu.symbolic import op

hard_sigmoid = unary("hard_sigmoid", "relu6(x + 3) / 6.", jax.nn.hard_sigmoid, inexact)
hard_silu = unary("hard_silu", "x hard_sigmoid(x).", jax.nn.hard_silu, inexact)
hard_swish = hard_silu
hard_tanh = unary("hard_tanh", "x, limited to [-1, 1].", jax.nn.hard_tanh)
log_sigmoid = unary("log_sigmoid", "log(1 / (1 + e^-x)).", jax.nn.log_sigmoid, inexact)
relu = unary("relu", "max(x, 0).", jax.jit(jax.nn.relu))  # compiled: a custom_jvp costs 0.1 ms a call outside jit
relu6 = unary("relu6", "x, limited to [0, 6].", jax.nn.relu6)
selu = unary("selu", "1.0507 elu(x, alpha=1.6733): keeps mean 0 and variance 1 (Klambauer et al. 2017).",
             jax.nn.selu, inexact)
sigmoid = unary("sigmoid", "1 / (1 + e^-x).", jax.nn.sigmoid, inexact)
silu = unary("silu", "x sigmoid(x), also known as swish.", jax.nn.silu, inexact)
swish = silu
softplus = unary("softplus", "log(1 + e^x).", jax.nn.softplus, inexact)
softsign = unary("softsign", "x / (1 + |x|).", jax.nn.soft_sign, inexact)
sparse_plus = unary("sparse_plus", "0 for x <= -1, x for x >= 1, (x + 1)^2 / 4 between.", jax.nn.sparse_plus, inexact)
sparse_sigmoid = unary("sparse_sigmoid", "(x + 1) / 2, limited to [0, 1].", jax.nn.sparse_sigmoid, inexact)
tanh_shrink = unary("tanh_shrink", "x - tanh(x).", lambda x: x - jnp.tanh(x))


_gelu_by_tanh = lowering.recomputed(jax.nn.gelu)


@lowering.recomputed
def _gelu_by_erf(x):  # XLA:CPU computes both branches of the erfc in jax.nn.gelu (2048 x 512 and the gradient: 1.4 ms, not 1.0)
    return 0.5 * x * (1 + jax.lax.erf(x * np.asarray(0.5**0.5, x.dtype)))


@op
def celu(x, alpha=1.0):
    """x where x > 0, else alpha (e^(x / alpha) - 1)."""
    return jax.nn.celu(inexact(x), alpha)


@op
def elu(x, alpha=1.0):
    """x where x > 0, else alpha (e^x - 1)."""
    return jax.nn.elu(inexact(x), alpha)


@op
def gelu(x, approximate=True):
    """x P(X <= x) for a standard normal X, or its approximation by tanh (Hendrycks and Gimpel 2016)."""
    return (_gelu_by_tanh if approximate else _gelu_by_erf)(inexact(x))


@op
def glu(x, axis=-1):
    """a sigmoid(b), where a and b are the halves of x along an axis of even size (Dauphin et al. 2016)."""
    return jax.nn.glu(inexact(x), axis)


@op
def leaky_relu(x, negative_slope=0.2):
    """x where x > 0, else negative_slope x."""
    return jax.nn.leaky_relu(inexact(x), negative_slope)


@op
def hard_shrink(x, threshold=0.5):
    """x where |x| > threshold, else 0."""
    x = inexact(x)
    return jnp.where(jnp.abs(x) > threshold, x, jnp.zeros((), x.dtype))


@op
def soft_shrink(x, threshold=0.5):
    """x drawn towards 0 by the threshold, and 0 where |x| <= threshold."""
    x = inexact(x)
    return jnp.where(x > threshold, x - threshold, jnp.where(x < -threshold, x + threshold, jnp.zeros((), x.dtype)))


@op
def squareplus(x, b=4):
    """(x + sqrt(x^2 + b)) / 2 (Barron 2021)."""
    x = inexact(x)
    return jax.nn.squareplus(x, jnp.asarray(b, x.dtype))


@op
def threshold(x, threshold, default_value):
    """x where x > threshold, else the default value."""
    x = inexact(x)
    return jnp.where(x > threshold, x, jnp.asarray(default_value, x.dtype))


@op
def sparsemax(x, axis=-1):
    """The nearest point of the probability simplex, with exact zeros (Martins and Astudillo 2016)."""
    x = jnp.moveaxis(inexact(x), axis, -1)
    x = x - jax.lax.stop_gradient(jnp.max(x, -1, keepdims=True))  # the result is the same, and no sum is too large
    falling = jnp.flip(jnp.sort(x, axis=-1), -1)
    sums = jnp.cumsum(falling, axis=-1)
    rank = jnp.arange(1, x.shape[-1] + 1, dtype=x.dtype)
    support = jnp.sum(1 + rank * falling > sums, axis=-1, keepdims=True)
    tau = (jnp.take_along_axis(sums, support - 1, axis=-1) - 1) / support.astype(x.dtype)
    return jnp.moveaxis(jnp.maximum(x - tau, 0), -1, axis)


def _over_axes(fn, x, axis):
    """Apply along one axis, several (as if they were one), or all of them for None."""
    x, axis = inexact(x), integers(axis)
    return fn(x, axis=tuple(range(x.ndim)) if axis is None else axis)


@op
def softmax(x, axis=-1):
    """e^x / sum(e^x) over an axis, several axes, or all for None.

    >>> softmax([0.0, 0.0])
    Array([0.5, 0.5], dtype=float32)
    """
    return _over_axes(lowering.softmax, x, axis)


@op
def log_softmax(x, axis=-1):
    """x - log(sum(e^x)) over an axis, several axes, or all for None."""
    return _over_axes(jax.nn.log_softmax, x, axis)


__all__ = public(globals())
