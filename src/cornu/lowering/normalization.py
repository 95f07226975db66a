"""Layer, RMS and group normalization on the CPU, with their gradients."""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from cornu.lowering.platform import island, materialized, on_cpu
from cornu.lowering.reduction import across, sum_leading, sum_rows


def special(*arrays) -> bool:
    """Whether the texts of this file are for these arrays: of float32, on the CPU, and not empty."""
    return on_cpu() and all(x.dtype == jnp.float32 and x.size for x in arrays)


def _mean(term, *arrays):
    """The mean along each row of `term(*arrays)`, (..., 1)."""
    return sum_rows(term, *arrays, weight=1 / arrays[0].shape[-1])


def _both(term):
    """`term(*arrays, first)` for a first that is True and False, side by side: two sums from one pass over memory."""
    return lambda *arrays: term(*(a[..., None, :] for a in arrays), jnp.arange(2)[:, None] == 0)


def _away(x, start, first):
    """How far x is from a start, and the square of that."""
    return (x - start) * jnp.where(first, 1, x - start)


def _two_means(term, *arrays):
    """The means along each row of `_both` of a term."""
    means = _mean(_both(term), *arrays)
    return means[:, 0], means[:, 1]


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _row_norm(x, gamma, beta, epsilon):
    return _row_forward(x, gamma, beta, epsilon)[0]


def _row_forward(x, gamma, beta, epsilon):
    x = materialized(x)  # else what made it is computed in each loop anew: a GPT's first, middle and last layers need their own
    if beta is not None:  # from where the row starts, which is in it: n numbers cost n units of the variance's last place at worst
        start = x[:, :1]
        away, squares = _two_means(_away, x, start)
        mean, variance = start + away, jnp.maximum(squares - away * away, 0)
    else:
        mean, variance = jnp.zeros_like(x[:, :1]), _mean(lambda x: x * x, x)
    inverse = lax.rsqrt(variance + epsilon)
    y = (x - mean) * inverse * gamma
    return y if beta is None else y + beta, (x, mean, inverse, gamma, beta)


def _row_backward(epsilon, kept, g):
    x, mean, inverse, gamma, beta = kept
    if beta is not None:
        towards, along = _two_means(lambda g, x, mean, gamma, first: g * gamma * jnp.where(first, x - mean, 1),
                                    g, x, mean, gamma[None])
        of_gamma, of_beta = across(_both(lambda g, x, mean, inverse, first: g * jnp.where(first, (x - mean) * inverse, 1)),
                                   0, g, x, mean, inverse)[0]
    else:
        towards, along = _mean(lambda g, x, gamma: g * gamma * x, g, x, gamma[None]), mean
        of_gamma, of_beta = sum_leading(g, x, inverse, term=lambda g, x, inverse: g * x * inverse), None
    slope, rest = island(lambda t, a, i: (t * i ** 3, a * i))(towards, along, inverse)  # else computed for each element
    return g * gamma * inverse - (x - mean) * slope - rest, of_gamma, of_beta


_row_norm.defvjp(_row_forward, _row_backward)
_row_norm = jax.jit(_row_norm, static_argnums=3)  # one trace for all layers of one shape


def row_norm(x, gamma, beta, epsilon: float):
    """`gamma (x - mean) / sqrt(variance + epsilon) + beta` over the last axis; with no beta, of mean 0 (RMS normalization).

    XLA:CPU does not vectorize a sum along a row; parts of it added up, and the last of them as a product with ones, are
    (4096 x 256 with all gradients: 0.63 ms, where jnp's mean and var take 1.9; of mean 0 0.5, not 1.9).
    """
    return _row_norm(x.reshape(-1, x.shape[-1]), gamma, beta, epsilon).reshape(x.shape)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _group_norm(x, gamma, beta, groups, epsilon):
    return _group_forward(x, gamma, beta, groups, epsilon)[0]


def _two_over_places(term, *arrays):
    """The sums over all places (axis 1) of `_both` of a term."""
    sums = across(_both(term), 1, *arrays)
    return sums[:, 0, 0], sums[:, 0, 1]


def _over_groups(sums, groups):
    """Sums of channels, (batch, channels), as their group's sum, in each of its channels."""
    parts = sums.reshape(sums.shape[0], groups, -1)
    return jnp.broadcast_to(jnp.sum(parts, -1, keepdims=True), parts.shape).reshape(sums.shape)


def _group_forward(x, gamma, beta, groups, epsilon):
    count, size = x.shape[1] * x.shape[2] // groups, x.shape[2] // groups
    start = jnp.repeat(x[:, :1, ::size], size, -1)  # one number for a group, (batch, 1, channels)

    @island  # what belongs to a channel: else it is computed anew for every place (group_norm and gradients 0.9 ms, not 0.4)
    def factors(away, squares, start, gamma, beta):
        away = _over_groups(away, groups) / count
        variance = jnp.maximum(_over_groups(squares, groups) / count - away * away, 0)
        mean, inverse = start[:, 0] + away, lax.rsqrt(variance + epsilon)
        return mean, inverse, inverse * gamma, beta - mean * inverse * gamma

    mean, inverse, scale, shift = factors(*_two_over_places(_away, x, start), start, gamma, beta)
    return x * scale[:, None] + shift[:, None], (x, mean, inverse, gamma)


def _group_backward(groups, epsilon, kept, g):
    x, mean, inverse, gamma = kept
    count = x.shape[1] * x.shape[2] // groups

    @island
    def factors(total, along, mean, inverse, gamma):
        along = along * inverse
        towards, mid = (_over_groups(sums * gamma, groups) / count for sums in (along, total))
        slope = inverse * inverse * towards
        return inverse * gamma, slope, mean * slope - inverse * mid, jnp.sum(along, 0), jnp.sum(total, 0)

    total, along = _two_over_places(lambda g, x, mean, first: g * jnp.where(first, 1, x - mean), g, x, mean[:, None])
    of_g, of_x, rest, *others = factors(total, along, mean, inverse, gamma)
    return g * of_g[:, None] - x * of_x[:, None] + rest[:, None], *others


_group_norm.defvjp(_group_forward, _group_backward)
_group_norm = jax.jit(_group_norm, static_argnums=(3, 4))


def group_norm(x, gamma, beta, groups: int, epsilon: float):
    """Groups of channels (the last axis) of each sample brought to mean 0 and variance 1.

    The sums run over the places first, channels side by side, and over a group's channels afterwards.
    """
    return _group_norm(x.reshape(x.shape[0], -1, x.shape[-1]), gamma, beta, groups, epsilon).reshape(x.shape)
