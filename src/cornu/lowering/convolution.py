"""Convolutions over one to three axes: the portable text (one XLA convolution), and what is faster on the CPU.

A convolution is bilinear, and so are its two gradients; the three are each other's gradients:

    forward(x, w)            d/dx -> input_gradient     d/dw -> kernel_gradient
    input_gradient(g, w)     d/dg -> forward            d/dw -> kernel_gradient
    kernel_gradient(x, g)    d/dx -> input_gradient     d/dg -> forward

So on the CPU each is written in the way that is fastest there, and all the derivatives (in reverse mode, of any order)
and the transposed convolution, which is `input_gradient` called by itself, follow. XLA's own choice for the gradient of
a transposed convolution is a naive loop, 15 times slower (28x28x32 from 14x14x32: 226 ms against 12 for the kernel).
Under forward-mode differentiation the portable text is used (see `in_forward_mode`).
"""

import functools
import itertools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from cornu.lowering import narrow
from cornu.lowering.platform import island, on_cpu, whole
from cornu.lowering.reduction import at_once, folded, sum_leading


def _tuple(value, rank: int) -> tuple:
    return (value,) * rank if isinstance(value, int) else tuple(value)


def _same(size: int, span: int, stride: int) -> tuple:
    total = max((-(-size // stride) - 1) * stride + span - size, 0)
    return total // 2, total - total // 2


def pad_pairs(padding, sizes, window, strides, dilation) -> tuple:
    """Padding as (before, after) of every axis: from "valid", "same" (TensorFlow's and Keras's rule) or such pairs."""
    if not isinstance(padding, str):
        return tuple((int(a), int(b)) for a, b in padding)
    if padding.lower() == "valid":
        return ((0, 0),) * len(window)
    return tuple(_same(n, (k - 1) * d + 1, s) for n, k, s, d in zip(sizes, window, strides, dilation))


def _numbers(rank, data_format):
    axes = "DHW"[3 - rank:]
    spec = "NC" + axes if data_format == "channels_first" else "N" + axes + "C"
    return spec, axes + "IO", spec


def plain_conv(x, kernel, strides, pads, dilation, groups=1, data_format="channels_last", lhs_dilation=None):
    """One XLA convolution with explicit padding."""
    return lax.conv_general_dilated(
        x, kernel, strides, pads, lhs_dilation, dilation, _numbers(x.ndim - 2, data_format), groups)


class Geometry(NamedTuple):
    """Where the windows of a convolution lie: everything about it but the numbers."""

    space: tuple  # of the input
    window: tuple
    strides: tuple
    pads: tuple
    dilation: tuple

    @property
    def out(self) -> tuple:
        spans = [(k - 1) * d + 1 for k, d in zip(self.window, self.dilation)]
        return tuple(max((n + a + b - k) // s + 1, 0)
                     for n, (a, b), k, s in zip(self.space, self.pads, spans, self.strides))

    @property
    def steady(self) -> bool:
        """Whether the window moves by one place: then either gradient is such a convolution too."""
        return set(self.strides) == {1}

    @property
    def turned(self) -> "Geometry":
        """Of the convolution whose input gradient a steady one is, and that is its own: over the output, turned round."""
        spans = [(k - 1) * d for k, d in zip(self.window, self.dilation)]
        return self._replace(space=self.out, pads=tuple((n - a, n - b) for n, (a, b) in zip(spans, self.pads)))

    @property
    def disjoint(self) -> bool:
        """Whether the windows tile the input."""
        return self.strides == self.window and not any(map(any, self.pads)) and set(self.dilation) == {1}


_FEW_FILTERS = 16


def _neighbours(filters, geo) -> int:
    """How many places side by side a convolution of few filters computes as filters of one, for a wider window.

    16 filters leave the vector units idle: 2.3 ms, not 2.8, for 3x3 over 64x32x32x16, though a quarter of the weights is zeros.
    """
    able = geo.window[-1] > 1 and geo.strides[-1] == geo.dilation[-1] == 1
    return next(n for n in (4, 2, 1) if n == 1 or able and geo.out[-1] % n == 0 and n * filters <= 2 * _FEW_FILTERS)


def _widened(w, n):
    """The weights of that window: those of every place, with zeros around them."""
    if n == 1:
        return w
    return jnp.concatenate([jnp.pad(w, [(0, 0)] * (w.ndim - 3) + [(i, n - 1 - i), (0, 0), (0, 0)]) for i in range(n)], -1)


def _xla(x, w, geo):
    filters = w.shape[-1]
    n = _neighbours(filters, geo)
    y = plain_conv(x, _widened(w, n), (*geo.strides[:-1], n * geo.strides[-1]), geo.pads, geo.dilation)
    return y.reshape(*y.shape[:-2], -1, filters)


def _turned(w, groups=1):
    """The window turned round, each group's channels and filters exchanged."""
    w = w.reshape(*w.shape[:-1], groups, -1).swapaxes(-1, -3)
    return jnp.flip(w, range(w.ndim - 3)).reshape(*w.shape[:-2], -1)


def _xla_input_gradient(g, w, geo):
    if geo.steady:
        return _xla(g, _turned(w), geo.turned)
    if set(geo.dilation) == {1} and all(k >= s for k, s in zip(geo.window, geo.strides)):
        return _phases(g, w, geo)
    x = jax.ShapeDtypeStruct((g.shape[0], *geo.space, w.shape[-2]), g.dtype)
    return jax.linear_transpose(lambda x: plain_conv(x, w, geo.strides, geo.pads, geo.dilation), x)(g)[0]


def _phases(g, w, geo):
    """The places between two steps of the stride as filters of one convolution, then interleaved.

    XLA moves the window over `g` with zeros in between: 9.3 ms for 3x3 over 128x14x14x32, this 4.7.
    """
    rank, strides, channels = len(geo.window), geo.strides, w.shape[-2]
    window = tuple(-(-k // s) for k, s in zip(geo.window, strides))
    w = jnp.pad(w, [*((0, m * s - k) for m, s, k in zip(window, strides, geo.window)), (0, 0), (0, 0)])
    w = jnp.flip(w.reshape(*itertools.chain(*zip(window, strides)), *w.shape[-2:]), range(0, 2 * rank, 2))
    w = w.transpose(*range(0, 2 * rank, 2), 2 * rank + 1, *range(1, 2 * rank, 2), 2 * rank)
    first = [a // s for (a, _), s in zip(geo.pads, strides)]  # steps that lie in the padding
    steps = [-(-(n + a) // s) - f for n, (a, _), s, f in zip(geo.space, geo.pads, strides, first)]
    pads = tuple((m - 1 - f, f + n - o) for m, f, n, o in zip(window, first, steps, geo.out))
    made = _xla(g, w.reshape(*window, g.shape[-1], -1), Geometry(geo.out, window, (1,) * rank, pads, (1,) * rank))

    @island
    def interleaved(x):
        x = x.reshape(-1, *steps, *strides, channels)
        x = x.transpose(0, *itertools.chain(*zip(range(1, rank + 1), range(rank + 1, 2 * rank + 1))), 2 * rank + 1)
        x = x.reshape(len(g), *(n * s for n, s in zip(steps, strides)), channels)
        return x[(slice(None), *(slice(a % s, a % s + n) for (a, _), s, n in zip(geo.pads, strides, geo.space)))]
    return interleaved(made)


def _xla_kernel_gradient(x, g, geo):
    """A convolution whose batch are the input's channels, whose channels are the batch, and whose window is `g`.

    The two are turned over in islands, from memory: XLA would do it too, but compute all that made `x` anew in the
    turned order (batch normalization and relu before a 64x32x32x16: 5.9 ms instead of 0.5).
    """
    if any(o > n for o, n in zip(geo.out, geo.space)):
        x, geo = _padded(x, geo)  # XLA has a naive loop for a window that is larger than the input (615 ms against 14)
    rank, (batch, *space, channels), filters = len(geo.window), x.shape, g.shape[-1]
    n = _neighbours(filters, geo)
    # Transposed as three axes: 0.18 ms, as four 0.53.
    x = island(lambda x: x.reshape(batch, -1, channels).transpose(2, 1, 0).reshape(channels, *space, batch))(x)
    places = *geo.out[:-1], geo.out[-1] // n
    g = island(lambda g: g.reshape(batch, -1, n * filters).transpose(1, 0, 2).reshape(*places, batch, n * filters))(g)
    ends = [(k - 1) * d + (o - 1) * s + 1 - n - low for k, d, o, s, n, (low, _) in
            zip(geo.window, geo.dilation, geo.out, geo.strides, geo.space, geo.pads)]
    pads = [(low, end) for (low, _), end in zip(geo.pads, ends)]
    steps = *geo.strides[:-1], n * geo.strides[-1]
    w = lax.conv_general_dilated(x, g, geo.dilation, pads, None, steps, _numbers(rank, "channels_last"))
    narrow = jax.ShapeDtypeStruct((*geo.window, channels, filters), w.dtype)
    return jax.linear_transpose(lambda w: _widened(w, n), narrow)(jnp.moveaxis(w, 0, -2))[0]


def _padded(x, geo):
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *((a, b, 0) for a, b in geo.pads), (0, 0, 0)])
    return x, geo._replace(space=x.shape[1:-1], pads=((0, 0),) * len(geo.window))


def _tiles(x, geo):
    """The windows that tile the input, (batch, *out, cells of a window * channels)."""
    rank, out = len(geo.window), geo.out
    x = x[(slice(None), *(slice(n * k) for n, k in zip(out, geo.window)))]
    x = x.reshape(x.shape[0], *itertools.chain(*zip(out, geo.window)), x.shape[-1])
    order = (0, *range(1, 2 * rank, 2), *range(2, 2 * rank + 1, 2), 2 * rank + 1)
    return x.transpose(order).reshape(x.shape[0], *out, -1)


def shifted(x, geo) -> list:
    """For each cell of the window the inputs that it meets: strided slices of the input, (batch, *out, channels)."""
    x, geo = _padded(x, geo)
    cells = itertools.product(*map(range, geo.window))
    return [lax.slice(x, (0, *starts, 0), (x.shape[0], *ends, x.shape[-1]), (1, *geo.strides, 1))
            for starts, ends in _corners(cells, geo)]


def _corners(cells, geo):
    for cell in cells:
        starts = [i * d for i, d in zip(cell, geo.dilation)]
        yield starts, [a + (n - 1) * s + 1 for a, n, s in zip(starts, geo.out, geo.strides)]


def _depth_in_channels(x, geo):
    """The windows' first axis moved into the channels, and output depth into the batch: 3D becomes 2D."""
    line = Geometry(geo.space[:1], geo.window[:1], geo.strides[:1], geo.pads[:1], geo.dilation[:1])
    rest = x.shape[2:-1]
    parts = shifted(x.reshape(x.shape[0], x.shape[1], -1), line)
    parts = [p.reshape(-1, *rest, x.shape[-1]) for p in parts]
    return jnp.concatenate(parts, -1)


def _without_depth(geo):
    return Geometry(*(part[1:] for part in geo))


def _kernel_without_depth(w):
    return jnp.moveaxis(w, 0, -3).reshape(*w.shape[1:-2], -1, w.shape[-1])


def _few(channels, geo) -> bool:
    """Whether so few products make an output that a loop over the outputs beats a matrix product's rearrangement."""
    return channels <= 4 and channels * math.prod(geo.window) <= 48


def _few_made(filters, geo) -> bool:
    """Whether the same holds for the input's gradient: as the last layer of an autoencoder or a U-Net.

    It is computed as what it is the gradient of: 3x3 over 128x28x28x32 to 1 with gradients 2 ms, not 14.
    """
    return geo.steady and _few(filters, geo)


def _few_forward(x, w, geo, groups=1):
    """The sum of the window's cells times their weights, one fused loop: 0.4 ms for MNIST's first layer, XLA's 2.6.

    In sums of up to 18, since in one each addition waits for the one before: of 72 products 1.0 ms instead of 1.9.
    """
    x, geo = _padded(x, geo)
    channels = x.shape[-1] // groups

    def total(x, w):
        w = w.reshape(-1, channels, groups, w.shape[-1] // groups)
        cells = [cell.reshape(*cell.shape[:-1], groups, channels) for cell in shifted(x, geo)]
        terms = [cell[..., c:c + 1] * w[n, c] for n, cell in enumerate(cells) for c in range(channels)]
        y = sum(sum(terms[i:i + 18]) for i in range(0, len(terms), 18))
        return y.reshape(*y.shape[:-2], -1)
    return island(total)(x, w)


def _rows(x, geo):
    """The inputs that each weight meets: (cells of the window, channels, batch, *out), long axes last."""
    return jnp.stack([jnp.moveaxis(cell, -1, 0) for cell in shifted(x, geo)])


def _few_input_gradient(g, w, geo):
    rows = jnp.einsum("kf,nf->kn", w.reshape(-1, w.shape[-1]), g.reshape(-1, g.shape[-1]))
    return _transposed(_rows, rows.reshape(-1, w.shape[-2], *g.shape[:-1]), g, w, geo)


def _few_kernel_gradient(x, g, geo):
    """One product of long rows: 1.1 ms for MNIST's first layer, XLA's 1.6."""
    def product(x, g):
        rows = _rows(x, geo)
        return rows.reshape(-1, math.prod(rows.shape[2:])) @ g.reshape(-1, g.shape[-1])
    return island(product)(x, g).reshape(*geo.window, x.shape[-1], -1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def forward(x, w, geo):
    if len(geo.window) == 3:
        y = forward(_depth_in_channels(x, geo), _kernel_without_depth(w), _without_depth(geo))
        return y.reshape(x.shape[0], *geo.out, -1)
    if geo.disjoint:
        return _tiles(x, geo) @ w.reshape(-1, w.shape[-1])
    if _few(w.shape[-2], geo):
        return _few_forward(x, w, geo)
    if _few_made(w.shape[-1], geo):
        return _few_input_gradient(x, _turned(w), geo.turned)
    if narrow.is_for(len(x), *w.shape[-2:], geo):
        return narrow.forward(x, w, geo)
    return _xla(x, w, geo)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def input_gradient(g, w, geo):
    if len(geo.window) == 3:
        flat = g.reshape(-1, *g.shape[2:])
        pull = input_gradient(flat, _kernel_without_depth(w), _without_depth(geo))
        return _transposed(_depth_in_channels, pull, g, w, geo)
    if geo.disjoint:
        return _transposed(_tiles, g @ w.reshape(-1, w.shape[-1]).T, g, w, geo)
    if _few(w.shape[-2], geo):
        return _few_input_gradient(g, w, geo)
    if _few_made(w.shape[-1], geo):
        return _few_forward(g, _turned(w), geo.turned)
    if narrow.is_for(len(g), *w.shape[-2:], geo):
        return narrow.input_gradient(g, w, geo)
    return _xla_input_gradient(g, w, geo)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def kernel_gradient(x, g, geo):
    if len(geo.window) == 3:
        flat = g.reshape(-1, *g.shape[2:])
        w = kernel_gradient(_depth_in_channels(x, geo), flat, _without_depth(geo))
        return jnp.moveaxis(w.reshape(*w.shape[:2], geo.window[0], x.shape[-1], -1), 2, 0)
    if geo.disjoint:
        rows = _tiles(x, geo)
        w = rows.reshape(-1, rows.shape[-1]).T @ g.reshape(-1, g.shape[-1])
        return w.reshape(*geo.window, x.shape[-1], -1)
    if _few(x.shape[-1], geo):
        return _few_kernel_gradient(x, g, geo)
    if _few_made(g.shape[-1], geo):
        return _turned(_few_kernel_gradient(g, x, geo.turned))
    if narrow.is_for(len(x), x.shape[-1], g.shape[-1], geo):
        return narrow.kernel_gradient(x, g, geo)
    return _xla_kernel_gradient(x, g, geo)


def _transposed(arrange, pulled, g, w, geo):
    x = jax.ShapeDtypeStruct((g.shape[0], *geo.space, w.shape[-2]), g.dtype)
    return jax.linear_transpose(lambda x: arrange(x, geo), x)(pulled)[0]


forward.defvjp(lambda x, w, geo: (forward(x, w, geo), (x, w)),
               lambda geo, xw, g: (input_gradient(g, xw[1], geo), kernel_gradient(xw[0], g, geo)))
input_gradient.defvjp(lambda g, w, geo: (input_gradient(g, w, geo), (g, w)),
                      lambda geo, gw, x: (forward(x, gw[1], geo), kernel_gradient(x, gw[0], geo)))
kernel_gradient.defvjp(lambda x, g, geo: (kernel_gradient(x, g, geo), (x, g)),
                       lambda geo, xg, w: (input_gradient(xg[1], w, geo), forward(xg[0], w, geo)))

# One trace serves all layers of one shape: tracing a residual network takes two thirds of the time.
forward, input_gradient, kernel_gradient = (jax.jit(f, static_argnums=2) for f in (forward, input_gradient, kernel_gradient))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def depthwise(x, w, geo):
    """A convolution of every channel by itself; w: (*window, channels). XLA:CPU's loop is 15 to 60 times slower."""
    x, geo = _padded(x, geo)
    cells = w.reshape(-1, w.shape[-1])
    return island(lambda x, cells: sum(a * b for a, b in zip(shifted(x, geo), cells)))(x, cells)


def _depthwise_input_gradient(g, w, geo):
    """The same over the stretched gradient, the window turned round."""
    spans = [(k - 1) * d for k, d in zip(geo.window, geo.dilation)]
    ends = [(span - low, n + low - (o - 1) * s - 1, s - 1) for span, (low, _), n, o, s in
            zip(spans, geo.pads, geo.space, geo.out, geo.strides)]
    g = lax.pad(g, jnp.zeros((), g.dtype), [(0, 0, 0), *ends, (0, 0, 0)])
    plain = geo._replace(space=g.shape[1:-1], strides=(1,) * len(spans), pads=((0, 0),) * len(spans))
    return depthwise(g, jnp.flip(w, range(len(spans))), plain)


def _depthwise_kernel_gradient(x, g, geo):
    """For each cell a product summed over the batch first, an island each: 3.7 ms at 32x32x32x32, one sum 44."""
    x, geo = _padded(x, geo)
    first = lambda n: island(lambda x, g: folded(jnp.multiply, 0, shifted(x, geo)[n], g))(x, g)
    sums = [jnp.sum(first(n), range(g.ndim - 1)) for n in range(math.prod(geo.window))]
    return jnp.stack(sums).reshape(*geo.window, -1)


depthwise.defvjp(lambda x, w, geo: (depthwise(x, w, geo), (x, w)),
                 lambda geo, xw, g: (_depthwise_input_gradient(g, xw[1], geo),
                                     _depthwise_kernel_gradient(xw[0], g, geo)))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _small_groups(x, w, geo, groups):
    """All groups in one loop, which need not be taken apart: 3x3 over 32x16x16x64, 8 groups, 1.0 ms, as dense ones 2.3."""
    return _few_forward(x, w, geo, groups)


def _small_groups_backward(geo, groups, xw, g):
    x, w = xw
    return _small_groups(g, _turned(w, groups), geo.turned, groups), _small_groups_kernel_gradient(x, g, geo, groups)


def _small_groups_kernel_gradient(x, g, geo, groups):
    """For each cell the products of all groups, summed along one axis first, an island each: with all gradients 3.8 ms, not 5.4."""
    few = [at_once(size) for size in g.shape[:-1]]
    axis = few.index(max(few))
    if few[axis] < 4:  # there would be nearly as many sums as products
        parts = zip(jnp.split(x, groups, -1), jnp.split(g, groups, -1))
        return jnp.concatenate([kernel_gradient(*part, geo) for part in parts], -1)
    channels = x.shape[-1] // groups
    x, geo = _padded(x, geo)

    def product(n, x, g):
        cell = shifted(x, geo)[n]
        cell, g = cell.reshape(*cell.shape[:-1], groups, channels, 1), g.reshape(*g.shape[:-1], groups, 1, -1)
        return folded(jnp.multiply, axis, cell, g)

    sums = [island(whole(functools.partial(product, n)))(x, g) for n in range(math.prod(geo.window))]
    w = jnp.stack([sum_leading(s.reshape(-1, channels * g.shape[-1])) for s in sums])
    w = w.reshape(*geo.window, groups, channels, -1)
    return jnp.moveaxis(w, -3, -2).reshape(*geo.window, channels, -1)


_small_groups.defvjp(lambda x, w, geo, groups: (_small_groups(x, w, geo, groups), (x, w)), _small_groups_backward)


def _grouped(x, w, geo, groups):
    """Convolutions of up to four channels as so many `depthwise` ones; of some more in a loop of their own; else dense ones.

    XLA:CPU has a naive loop for groups, 14 to 400 times slower than PyTorch. Fewer than 16 channels in a dense convolution leave
    the vector units idle, so it takes several groups: what zeros for the weights between them cost is less. (32 groups of 4
    channels, 16x14x14x128, with gradients: depthwise 2.6 ms, dense ones of 16 channels 3.8.)
    """
    channels, filters = w.shape[-2], w.shape[-1] // groups
    if channels <= 4:
        return sum(depthwise(jnp.repeat(x[..., c::channels], filters, -1), w[..., c, :], geo) for c in range(channels))
    if geo.steady and filters > 4 and max(channels, filters) * math.prod(geo.window) <= 72:
        return _small_groups(x, w, geo, groups)
    together = next(m for m in range(1, groups + 1) if groups % m == 0 and (m * channels >= 16 or m == groups))
    step, parts = together * channels, groups // together
    w = w.reshape(*geo.window, channels, parts, together, -1)
    w = jnp.einsum("...cpmf,mn->p...ncmf", w, jnp.eye(together, dtype=w.dtype))
    w = w.reshape(parts, *geo.window, step, -1)
    made = [forward(*part, geo) for part in zip(jnp.split(x, parts, -1), w)]
    return island(lambda made: jnp.concatenate(made, -1))(made)


def conv(x, kernel, strides=1, padding="valid", dilation=1, groups=1, data_format="channels_last"):
    """The convolution (cross-correlation) of `x` with `kernel`.

    Args:
        x: (batch, *space, channels), or (batch, channels, *space) for channels_first; one to three axes of space.
        kernel: (*window, channels / groups, filters).
        strides, dilation: an integer, or one for each axis.
        padding: "valid", "same", or pairs (before, after) for each axis.
        groups: the number of groups of channels that do not see each other.
    """
    rank = x.ndim - 2
    strides, dilation = _tuple(strides, rank), _tuple(dilation, rank)
    sizes = x.shape[2:] if data_format == "channels_first" else x.shape[1:-1]
    pads = pad_pairs(padding, sizes, kernel.shape[:rank], strides, dilation)
    geo = Geometry(tuple(sizes), kernel.shape[:rank], strides, pads, dilation)
    if not _special(x) or 0 in geo.out:
        return plain_conv(x, kernel, strides, pads, dilation, groups, data_format)
    fn = functools.partial(_grouped, groups=groups) if groups > 1 else forward
    return _channels_last(lambda x: fn(x, kernel, geo), x, data_format)


def _special(x) -> bool:
    return on_cpu() and x.dtype in (jnp.float32, jnp.float64) and 0 not in x.shape


def _channels_last(fn, x, data_format):
    return fn(x) if data_format != "channels_first" else jnp.moveaxis(fn(jnp.moveaxis(x, 1, -1)), -1, 1)


def depthwise_conv(x, kernel, strides=1, padding="valid", dilation=1, data_format="channels_last"):
    """A convolution of every channel by itself; kernel: (*window, channels, multiplier)."""
    rank = x.ndim - 2
    channels, multiplier = kernel.shape[-2:]
    return conv(x, kernel.reshape(*kernel.shape[:rank], 1, channels * multiplier), strides, padding, dilation, channels,
                data_format)


def separable_conv(x, depthwise_kernel, pointwise_kernel, strides=1, padding="valid", dilation=1,
                   data_format="channels_last"):
    """A depthwise convolution, then one with a window of one cell; pointwise_kernel: (1, ..., channels, filters)."""
    x = depthwise_conv(x, depthwise_kernel, strides, padding, dilation, data_format)
    return conv(x, pointwise_kernel, data_format=data_format)


def transposed_sizes(size, span, stride, padding, output_padding) -> tuple:
    """What a transposed convolution drops before its output, its output's size, and the size of all that it touches."""
    full = (size - 1) * stride + span
    if padding == "valid":
        return 0, full + (max(stride - span, 0) if output_padding is None else output_padding), full
    out = size * stride if output_padding is None else full - 2 * (span // 2) + output_padding
    return max(full - out, 0) // 2, out, full


def conv_transpose(x, kernel, strides=1, padding="valid", output_padding=None, dilation=1, data_format="channels_last"):
    """The gradient of a convolution with respect to its input, as an operation.

    Args as in `conv`, but kernel: (*window, filters, channels), and output_padding: None (the smallest input size of a
    convolution with these arguments whose output has the size of `x`), or what is added to the output at its end.
    """
    rank = x.ndim - 2
    strides, dilation = _tuple(strides, rank), _tuple(dilation, rank)
    extra = (None,) * rank if output_padding is None else _tuple(output_padding, rank)
    sizes = x.shape[2:] if data_format == "channels_first" else x.shape[1:-1]
    spans = [(k - 1) * d + 1 for k, d in zip(kernel.shape, dilation)]
    cuts = [transposed_sizes(n, k, s, padding.lower(), e) for n, k, s, e in zip(sizes, spans, strides, extra)]
    if _special(x) and all(0 <= full - low - out for low, out, full in cuts):
        geo = Geometry(tuple(out for _, out, _ in cuts), kernel.shape[:rank], strides,
                       tuple((low, full - low - out) for low, out, full in cuts), dilation)
        return _channels_last(lambda x: input_gradient(x, kernel, geo), x, data_format)
    pads = [(k - 1 - low, out - full + low + k - 1) for k, (low, out, full) in zip(spans, cuts)]
    return plain_conv(x, _turned(kernel), (1,) * rank, pads, dilation, 1, data_format, strides)
