"""Sums over all axes but the channels': what a bias's gradient and a normalization's moments are made of."""

import functools

import jax
import jax.numpy as jnp

from cornu.lowering.platform import island, on_cpu

_FEW_ROWS = 512  # of more a single product would round too often: every row is added to the sum of those before it


def partly_summed(term, axis, *arrays, two=jnp.add, least: int = 1):
    """`term(*arrays)` with up to eight parts of an axis, of at least so many numbers, added up (or brought together by `two`).

    XLA:CPU writes what is to be summed to memory first; so it is an eighth of it (batch_norm of 64x32x32x16 with all
    gradients: 0.8 ms, not 1.3; group_norm of 32x16x16x64: 0.39, not 0.45; layer_norm of 4096x256: 0.54, not 0.62).
    """
    size = arrays[0].shape[axis]
    parts = next(n for n in (8, 4, 7, 5, 3, 2, 1) if size % n == 0 and size >= least * n or n == 1)
    split = [jnp.split(a, parts, axis) if a.shape[axis] == size else [a] * parts for a in arrays]
    return functools.reduce(two, (term(*part) for part in zip(*split)))


_LEAST = 32  # numbers of a row: loops over fewer are not vectorized


def sum_rows(term, *arrays, weight: float = 1):
    """The sum of `term(*arrays)` along the last axis, which stays with size 1, times a weight.

    XLA:CPU does not vectorize what runs along a row; parts of it added up are, and a last sum that is a product with ones.
    """
    sums = partly_summed(term, -1, *arrays, least=_LEAST)
    return (sums @ jnp.full(sums.shape[-1], weight, sums.dtype))[..., None]


def max_rows(x):
    """The largest number along the last axis, which stays with size 1, of parts first for the same reason."""
    return jnp.max(partly_summed(lambda x: x, -1, x, two=jnp.maximum, least=_LEAST), -1, keepdims=True)


def sum_leading(x, *others, term=None, stored: bool = False):
    """The sum over all axes but the last, of `term(x, *others)` if there is one.

    XLA:CPU does not vectorize one reduction over several axes: 0.50 ms for 64x32x32x16. In two stages, each along the first
    axis of a matrix, and after adding up parts, it takes 0.06. The first is an island, else XLA makes one reduction of both again.
    A few rows that are `stored` in memory anyway are summed as a product with ones.
    """
    size, last = x.size // max(x.shape[-1], 1), x.shape[-1]
    if not on_cpu() or size * last < 10_000:
        return jnp.sum(term(x, *others) if term else x, tuple(range(x.ndim - 1)))
    if stored and size <= _FEW_ROWS:
        return jnp.ones(size, x.dtype) @ x.reshape(size, last)
    x = partly_summed(term or (lambda x: x), 0, x, *others)
    size = x.size // last
    width = next(n for n in (32, 16, 26, 8, 14, 7, 4, 5, 3, 2, 1) if size % n == 0)  # rows that lie side by side; XLA
    # would sum more of them in two kernels, of which each takes 10 ms to compile
    rows = island(lambda x: jnp.sum(x.reshape(-1, width * last), 0))(x)
    return jnp.sum(rows.reshape(width, last), 0)


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
