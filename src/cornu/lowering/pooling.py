"""Pooling over one to three axes: the portable text (reduce_window), and what is faster on the CPU."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cornu.lowering.convolution import Geometry, _tuple, pad_pairs
from cornu.lowering.platform import materialized, on_cpu
from cornu.variable import room_for


def max_pool(x, window, strides=None, padding="valid", data_format="channels_last"):
    """The largest value in each window; of several that are largest the first one has the gradient.

    Args:
        x: (batch, *space, channels), or (batch, channels, *space) for channels_first; one to three axes of space.
        window, strides: an integer, or one for each axis; strides=None is the window's size.
        padding: "valid", "same", or pairs (before, after) for each axis.
    """
    low = -math.inf if jnp.issubdtype(x.dtype, jnp.floating) else jnp.iinfo(x.dtype).min
    low = np.array(low, x.dtype)[()]
    return _pool(_max, lambda x, *where: lax.reduce_window(x, low, lax.max, *where), x, window, strides, padding,
                 data_format)


def average_pool(x, window, strides=None, padding="valid", data_format="channels_last"):
    """The mean over each window; padding does not count. Arguments as in `max_pool`."""
    zero = np.zeros((), x.dtype)[()]
    return _pool(_average, lambda x, *where: _divided(lax.reduce_window(x, zero, lax.add, *where), where), x, window,
                 strides, padding, data_format)


def _pool(fast, plain, x, window, strides, padding, data_format):
    rank, first = x.ndim - 2, 2 if data_format == "channels_first" else 1
    window = _tuple(window, rank)
    strides = window if strides is None else _tuple(strides, rank)
    sizes = x.shape[first:first + rank]
    geo = Geometry(tuple(sizes), window, strides, pad_pairs(padding, sizes, window, strides, (1,) * rank), (1,) * rank)
    around = ((0,) * first, (0,) * (rank + 2 - first - rank))
    if not (on_cpu() and jnp.issubdtype(x.dtype, jnp.floating)) or 0 in (*x.shape, *geo.out) or max(window) > 32:
        pads = [[(0, 0)] * len(side) for side in around]
        return plain(x, (*(1 for _ in around[0]), *window, *(1 for _ in around[1])),
                     (*(1 for _ in around[0]), *strides, *(1 for _ in around[1])), (*pads[0], *geo.pads, *pads[1]))
    for part in [geo] if geo.strides == geo.window and math.prod(window) <= 16 else _axis_by_axis(geo):
        x = fast(x, part, first)
    return x


def _axis_by_axis(geo):
    """A box is a row of lines: k + k steps, not k * k. The last axis first, so that the first of equals stays so."""
    space = list(geo.space)
    for n in reversed(range(len(space))):
        only = lambda values, other: tuple(v if i == n else other for i, v in enumerate(values))
        if geo.window[n] > 1 or geo.strides[n] > 1:
            yield Geometry(tuple(space), only(geo.window, 1), only(geo.strides, 1), only(geo.pads, (0, 0)),
                           geo.dilation)
        space[n] = geo.out[n]


def _widened(x, geo, first, value):
    """`x` with its padding, cut to what the windows touch."""
    need = [(n - 1) * s + k for n, s, k in zip(geo.out, geo.strides, geo.window)]
    ends = [(a, n - size - a, 0) for (a, _), n, size in zip(geo.pads, need, geo.space)]
    return _pad(x, value, ends, first)


def _unwidened(x, geo, first):
    """The transpose of `_widened`: padding cut off, zeros where no window came."""
    ends = [(-a, size + a - n, 0) for (a, _), n, size in zip(geo.pads, x.shape[first:], geo.space)]
    return _pad(x, 0, ends, first)


def _pad(x, value, ends, first):
    ends = [(0, 0, 0)] * first + ends + [(0, 0, 0)] * (x.ndim - first - len(ends))
    return lax.pad(x, jnp.asarray(value, x.dtype), ends)


def _cells(x, geo, first):
    """The windows' cells, each an array of the output's shape."""
    rank = len(geo.window)
    if geo.strides == geo.window:  # reshaped rather than sliced with strides: 0.24 ms against 0.31
        x = x.reshape(_split_shape(x, geo, first))
        for cell in np.ndindex(*geo.window):
            yield x[(slice(None),) * first + tuple(i for c in cell for i in (slice(None), c))]
    else:
        for cell in np.ndindex(*geo.window):
            where = tuple(slice(c, c + (n - 1) * s + 1, s) for c, n, s in zip(cell, geo.out, geo.strides))
            yield x[(slice(None),) * first + where]


def _split_shape(x, geo, first):
    pairs = [n for pair in zip(geo.out, geo.window) for n in pair]
    return (*x.shape[:first], *pairs, *x.shape[first + len(geo.out):])


def _winner(x, geo, first):
    """The largest value of each window and the number of its cell, found as in a knock-out cup.

    Rounds of pairs leave XLA short, even chains of selects: 0.7 ms where one long chain takes 1.4.
    """
    number = np.int8 if math.prod(geo.window) < 128 else np.int32
    cells = [(cell, number(n)) for n, cell in enumerate(_cells(_widened(x, geo, first, -math.inf), geo, first))]
    while len(cells) > 1:
        pairs = [_better(*pair) for pair in zip(cells[::2], cells[1::2])]
        cells = pairs + cells[len(pairs) * 2:]
    return cells[0][0], jnp.broadcast_to(cells[0][1], cells[0][0].shape)


def _better(left, right):
    return jnp.maximum(left[0], right[0]), jnp.where(left[0] >= right[0], left[1], right[1])


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _max(x, geo, first):
    """The gradient of reduce_window (select-and-scatter) takes 20 ms where this takes 2.3 (128x26x26x32)."""
    return _winner(x, geo, first)[0]


def _max_forward(x, geo, first):
    value, number = _winner(x, geo, first)
    # Both are written out: XLA would find the winner anew for every element of the gradient (4.1 ms against 1.6).
    return materialized(value), materialized(number)


def _spread(g, geo, first):
    """The array (of the output's shape) at every cell of its window: a broadcast that XLA need not store."""
    for axis, k in enumerate(geo.window):
        g = jnp.broadcast_to(jnp.expand_dims(g, first + 2 * axis + 1), (*g.shape[:first + 2 * axis + 1], k,
                                                                        *g.shape[first + 2 * axis + 1:]))
    return g


def _max_backward(geo, first, number, g):
    if geo.strides == geo.window:
        room_for("Pooling", *geo.window)
        own = np.arange(math.prod(geo.window)).reshape([n for k in geo.window for n in (1, k)]).astype(number.dtype)
        own = own.reshape((1,) * first + own.shape + (1,) * (g.ndim - first - len(geo.window)))
        x = jnp.where(_spread(number, geo, first) == own, _spread(g, geo, first), 0)
        return _unwidened(x.reshape(_joined_shape(g, geo, first)), geo, first),
    number, g = _stretched(number, geo, first, -1), _stretched(g, geo, first, 0)
    cells = list(np.ndindex(*geo.window))
    parts = (jnp.where(_seen_from(number, cell, geo, first) == n, _seen_from(g, cell, geo, first), 0)
             for n, cell in enumerate(cells))
    return _unwidened(functools.reduce(jnp.add, parts), geo, first),


def _joined_shape(g, geo, first):
    return (*g.shape[:first], *(n * k for n, k in zip(geo.out, geo.window)), *g.shape[first + len(geo.out):])


def _stretched(g, geo, first, value):
    """The output's gradient at the windows' first cells, with room on both sides for the rest of the window."""
    ends = [(k - 1, k - 1, s - 1) for k, s in zip(geo.window, geo.strides)]
    return _pad(g, value, ends, first)


def _seen_from(g, cell, geo, first):
    """What each input finds when it looks from its place in the window back to the window's first cell."""
    where = tuple(slice(k - 1 - c, k - 1 - c + (n - 1) * s + k)
                  for c, k, n, s in zip(cell, geo.window, geo.out, geo.strides))
    return g[(slice(None),) * first + where]


_max.defvjp(_max_forward, _max_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _average(x, geo, first):
    cells = _cells(_widened(x, geo, first, 0), geo, first)
    return functools.reduce(jnp.add, cells) * _share(geo, x, first)


def _average_backward(geo, first, _, g):
    g = g * _share(geo, g, first)
    if geo.strides == geo.window:
        return _unwidened(_spread(g, geo, first).reshape(_joined_shape(g, geo, first)), geo, first),
    g = _stretched(g, geo, first, 0)
    parts = (_seen_from(g, cell, geo, first) for cell in np.ndindex(*geo.window))
    return _unwidened(functools.reduce(jnp.add, parts), geo, first),


_average.defvjp(lambda x, geo, first: (_average(x, geo, first), None), _average_backward)


def _counts(size, window, stride, pads):
    """How many of a window's cells lie on the input, for each window along one axis."""
    out = (size + sum(pads) - window) // stride + 1
    starts = np.arange(out) * stride - pads[0]
    return np.minimum(starts + window, size) - np.maximum(starts, 0)


def _share(geo, x, first):
    """One over the number of cells that are not padding: an outer product (XLA folds a reduce_window slowly)."""
    room_for("Average pooling", *((n + sum(pads) - k) // s + 1 for n, k, s, pads in zip(
        geo.space, geo.window, geo.strides, geo.pads)))
    share = np.ones((1,) * x.ndim, x.dtype)
    for axis, (size, k, s, pads) in enumerate(zip(geo.space, geo.window, geo.strides, geo.pads), first):
        line = 1 / _counts(size, k, s, pads).astype(np.float64)
        share = share * line.reshape([-1 if n == axis else 1 for n in range(x.ndim)])
    share = share.reshape(-1)[0] if share.size and share.min() == share.max() else share
    return jnp.asarray(share, x.dtype)


def _divided(total, where):
    window, strides, pads = where
    sizes = [(n - 1) * s + k - a - b for n, s, k, (a, b) in zip(total.shape, strides, window, pads)]
    return total * _share(Geometry(tuple(sizes), window, strides, pads, ()), total, 0)
