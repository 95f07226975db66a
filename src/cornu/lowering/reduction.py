"""Sums over other axes than the last, and along it: what biases' gradients, normalizations, pools and a softmax need."""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from cornu.lowering.platform import at_least, island, on_cpu, whole

_FEW_ROWS = 512  # of more a single product would round too often: every row is added to the sum of those before it
_FEW, _STAGE = 8, 10_000  # numbers that one loop brings together; numbers from which a kernel for a part of them pays
_WHOLE = {jnp.add: jnp.sum, jnp.maximum: jnp.max}


def _divisor(size: int, most: int) -> int:
    return next(n for n in range(most, 0, -1) if size % n == 0)


def at_once(size: int) -> int:
    """How many numbers along an axis of a size `folded` adds up in a loop that is written out."""
    return _divisor(size, _FEW)


def folded(term, axis, *arrays, two=jnp.add):
    """`term(*arrays)` with up to 32 parts of an axis added up (or brought together by `two`), in one kernel.

    Args:
        axis: one that is not the last.
        arrays: of one rank; along the axis of one size, or of size 1.

    Neighbours along the last axis are computed side by side where the loop over the parts is written out: by XLA, and, of up to
    8, by LLVM. Parts that XLA writes out are loads of their own, so they are fewer for several arrays.
    """
    size = max(a.shape[axis] for a in arrays)
    few = at_once(size)
    parts = _divisor(size // few, max(4 // len(arrays), 1))

    def cut(a):
        many = (few, parts, size // few // parts) if a.shape[axis] > 1 else (1, 1, 1)
        a = a.reshape(*a.shape[:axis], *many, *a.shape[axis + 1:])
        return [lax.index_in_dim(a, i % many[1], axis + 1, keepdims=False) for i in range(parts)]
    return _WHOLE[two](functools.reduce(two, (term(*part) for part in zip(*map(cut, arrays)))), axis)


def across(term, axis, *arrays, two=jnp.add):
    """`term(*arrays)` summed over an axis other than the last, which stays with size 1 (or brought together by `two`).

    Arguments as in `folded`. XLA:CPU sums over 32 at a time, in a kernel each time; what is summed is written to memory first. In
    stages of `folded` that is a 32nd of it (batch_norm of 64x32x32x16 with all gradients: 1.9 ms, not 2.4).
    """
    while any(at_least(a.size, _STAGE) for a in arrays):
        before = max(a.shape[axis] for a in arrays)
        if before <= _FEW or at_once(before) == 1:
            break
        stage = functools.partial(folded, term, axis, two=two)
        arrays = [island(whole(stage))(*arrays)]  # else XLA makes one sum of all again
        term = lambda x: x
    return _WHOLE[two](term(*arrays), axis, keepdims=True)


_LEAST = 32  # numbers of a row: loops over fewer are not vectorized


def sum_rows(term, *arrays, weight: float = 1):
    """The sum of `term(*arrays)` along the last axis, which stays with size 1, times a weight.

    XLA:CPU does not vectorize what runs along a row; parts of it added up are, and a last sum that is a product with ones.
    """
    sums = _in_parts(jnp.add, term, *arrays)
    return (sums @ jnp.full(sums.shape[-1], weight, sums.dtype))[..., None]


def max_rows(x):
    """The largest number along the last axis, which stays with size 1, of parts first for the same reason."""
    return jnp.max(_in_parts(jnp.maximum, lambda x: x, x), -1, keepdims=True)


def _in_parts(two, term, *arrays):
    """`term(*arrays)` with up to eight parts of each row brought together (layer_norm of 4096x256: 0.54 ms, not 0.62)."""
    size = arrays[0].shape[-1]
    parts = next(n for n in (8, 4, 7, 5, 3, 2, 1) if size % n == 0 and size >= _LEAST * n or n == 1)
    split = [jnp.split(a, parts, -1) if a.shape[-1] == size else [a] * parts for a in arrays]
    return functools.reduce(two, (term(*part) for part in zip(*split)))


def sum_leading(x, *others, term=None, stored: bool = False):
    """The sum over all axes but the last, of `term(x, *others)` if there is one.

    XLA:CPU does not vectorize one reduction over several axes: 0.50 ms for 64x32x32x16, as rows of a matrix 0.06.
    A few rows that are `stored` in memory anyway are summed as a product with ones.
    """
    size, last = x.size // max(x.shape[-1], 1), x.shape[-1]
    if not on_cpu() or size * last < _STAGE:
        return jnp.sum(term(x, *others) if term else x, tuple(range(x.ndim - 1)))
    if stored and size <= _FEW_ROWS:
        return jnp.ones(size, x.dtype) @ x.reshape(size, last)
    return across(term or (lambda x: x), 0, *(a.reshape(-1, a.shape[-1]) for a in (x, *others)))[0]


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _channel_means(x, shape):
    return across(lambda x: x, 1, x)[:, 0] / x.shape[1]


_channel_means.defvjp(lambda x, shape: (_channel_means(x, shape), None),
                      lambda shape, _, g: (jnp.broadcast_to(g[:, None] / shape[1], shape),))


def channel_means(x, axis, keepdims=False):
    """The mean over a sample's places: 32x14x14x256 in 0.2 ms where jnp.mean takes 0.8."""
    if not on_cpu() or x.dtype != jnp.float32 or axis != tuple(range(1, x.ndim - 1)) or not at_least(x.size, _STAGE):
        return jnp.mean(x, axis, keepdims=keepdims)
    rows = x.reshape(x.shape[0], -1, x.shape[-1])
    return _channel_means(rows, rows.shape).reshape(x.shape[0], *(1,) * (len(axis) * keepdims), x.shape[-1])


@jax.custom_vjp
def _add(x, bias):
    return x + bias


_add.defvjp(lambda x, bias: (x + bias, None), lambda _, g: (g, sum_leading(g, stored=True)))


def bias_add(x, bias, data_format="channels_last"):
    """`x` plus one number per channel, or per place in its last axes; its gradient on the CPU is a `sum_leading`."""
    if data_format == "channels_first":
        return x + bias.reshape(-1, *(1,) * (x.ndim - 2))
    if not on_cpu() or x.dtype != bias.dtype or x.size == 0 or x.shape[x.ndim - bias.ndim:] != bias.shape:
        return x + bias
    if bias.ndim == 1:
        return _add(x, bias)
    return _add(x.reshape(*x.shape[:-bias.ndim], -1), bias.reshape(-1)).reshape(x.shape)


@jax.custom_vjp
def _moments(x):
    size = x.size // x.shape[-1]
    mean = sum_leading(x) / size
    return mean, sum_leading(x, term=lambda x: (x - mean) ** 2) / size


def _moments_backward(saved, gradients):
    x, mean = saved
    size = x.size // x.shape[-1]
    return (gradients[0] + 2 * (x - mean) * gradients[1]) / size,


def _moments_forward(x):
    mean, variance = _moments(x)
    return (mean, variance), (x, mean)


_moments.defvjp(_moments_forward, _moments_backward)


def moments(x):
    """The mean and the variance of every channel (the last axis)."""
    if x.ndim < 2 or not on_cpu() or x.size == 0:
        axes = tuple(range(x.ndim - 1))
        return jnp.mean(x, axes), jnp.var(x, axes)
    return _moments(x)


@jax.custom_vjp
def _affine(x, mean, scale, shift):
    return (x - mean) * scale + shift


def _affine_backward(saved, g):
    x, mean, scale = saved
    total = sum_leading(g)
    return g * scale, -total * scale, sum_leading(g, x, term=lambda g, x: g * (x - mean)), total


_affine.defvjp(lambda x, mean, scale, shift: (_affine(x, mean, scale, shift), (x, mean, scale)), _affine_backward)

_add, _moments, _affine = jax.jit(_add), jax.jit(_moments), jax.jit(_affine)  # one trace for all layers of one shape


def affine(x, mean, scale, shift):
    """`(x - mean) * scale + shift` with one number of each for every channel (the last axis).

    With `moments`, batch normalization and its gradients in 6.6 ms where jnp's mean and var take 18 (64x32x32x16).
    """
    if x.ndim < 2 or not on_cpu() or x.size == 0 or not x.dtype == mean.dtype == scale.dtype == shift.dtype:
        return (x - mean) * scale + shift
    return _affine(x, mean, scale, shift)
