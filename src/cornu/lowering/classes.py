"""What is computed over many classes, the last axis, on the CPU: sums and maxima of parts first (see `sum_rows`)."""

import functools

import jax
import jax.numpy as jnp

from cornu.lowering.platform import at_least, on_cpu
from cornu.lowering.reduction import max_rows, sum_rows

_MANY_CLASSES, _MANY_NUMBERS = 64, 1 << 15  # below, XLA's own way takes as long


def _many_classes(x, axis=-1) -> bool:
    """Whether the functions of this file are for an array and the axis of its classes."""
    return on_cpu() and x.ndim > 0 and axis in (-1, x.ndim - 1) and x.dtype == jnp.float32 \
        and at_least(x.size, _MANY_NUMBERS) and x.shape[-1] >= _MANY_CLASSES


def softmax(x, axis=-1):
    """e^x / sum(e^x) over an axis: of 2048 x 256 with its gradient in 1.7 ms where jax.nn.softmax takes 3.6."""
    return _softmax(x) if _many_classes(x, axis) else jax.nn.softmax(x, axis)


@jax.custom_vjp
def _softmax(x):
    powers = jnp.exp(x - max_rows(x))
    return powers / sum_rows(lambda x: x, powers)


def _forward(x):
    y = _softmax(x)
    return y, y


_softmax.defvjp(_forward, lambda y, g: (y * (g - sum_rows(lambda g, y: g * y, g, y)),))


def sum_classes(x, axis=-1):
    """The sum over the classes."""
    return _sum_classes(x, x.shape[-1]) if _many_classes(x, axis) else jnp.sum(x, axis)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _sum_classes(x, classes):
    return sum_rows(lambda x: x, x)[..., 0]


_sum_classes.defvjp(lambda x, classes: (_sum_classes(x, classes), None),
                    lambda classes, _, g: (jnp.broadcast_to(g[..., None], (*g.shape, classes)),))


def max_classes(x, axis=-1):
    """The largest of the classes' values, the axis kept with size 1; a constant to gradients."""
    x = jax.lax.stop_gradient(x)
    return max_rows(x) if _many_classes(x, axis) else jnp.max(x, axis, keepdims=True)


def is_largest(x, place):
    """Whether the first largest value along x's last axis is at a place, (...): 0.4 ms where argmax takes 1.6."""
    if not _many_classes(x):
        return place == jnp.argmax(x, axis=-1)
    at = place[..., None].astype("int32")
    value = jnp.take_along_axis(x, at, -1)
    # said so that a NaN, which is also the value at a place that is out of range, outdoes and is outdone
    outdoes = lambda x, i: (~jnp.where(i < at, x < value, x <= value)).astype(x.dtype)
    outdone = sum_rows(outdoes, x, jnp.arange(x.shape[-1]))
    return (outdone[..., 0] == 0) & (at[..., 0] == place) & (place >= 0)  # at -1 the last value was taken
