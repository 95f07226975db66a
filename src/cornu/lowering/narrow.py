"""Convolutions of few channels on the CPU, with both gradients: products of matrices whose rows hold a place's neighbours.

`_beside` lays the inputs of a window's row side by side, `_above` the gradients of its column. The same two serve all three:

    forward           what goes to `_above`, from `_beside` times the weights
    input_gradient    what goes to `_beside`, from `_above` times the weights
    kernel_gradient   `_beside` times `_above`

so that neither is larger than the image times the window's side, where the usual rearrangement takes its area. XLA's own
convolution of few filters leaves the vector units idle, and one of a dilated window takes places apart one by one.
"""

import itertools

import jax
import jax.numpy as jnp
from jax import lax

from cornu.lowering.platform import at_least, island

_NARROW, _DENSE, _DILATED = 16, 1 << 21, 1 << 23  # channels; numbers of the two copies, for windows without gaps and with them


def is_for(images, channels, filters, geo) -> bool:
    """Whether to compute a convolution and its gradients like this.

    XLA's own are faster where the copies of a dense window are large, and as fast, in half of the memory, where a dilated one's
    are. (3x3 with gradients: 16x32x32x16 1.9 ms, not 2.4, every fourth 2.0, not 3.4; 64x32x32x16 10.7, not 7.7, every second 8.9,
    not 10.9; 16x128x128x16 every second in 420 MiB, not 780.)
    """
    if len(geo.window) != 2 or not geo.steady or max(channels, filters) > _NARROW:
        return False
    copies = images * geo.space[0] * geo.out[1] * (geo.window[1] * channels + geo.window[0] * filters)
    return not at_least(copies, _DENSE if set(geo.dilation) == {1} else _DILATED)


def _side_by_side(x, axis, moves, size):
    """Copies of x, moved along an axis by so many places each, side by side as channels."""
    channels = x.shape[-1]

    def copy(i, move):
        edges = [(0, 0, 0)] * x.ndim
        edges[axis], edges[-1] = (move, size - x.shape[axis] - move, 0), (i * channels, (len(moves) - 1 - i) * channels, 0)
        return lax.pad(x, jnp.zeros((), x.dtype), edges)
    return sum(itertools.starmap(copy, enumerate(moves)))  # XLA:CPU does not vectorize a concatenation: 0.5 ms, not 1.2


def _beside(x, geo):
    (low, _), dilation = geo.pads[1], geo.dilation[1]
    return _side_by_side(x, 2, [low - i * dilation for i in range(geo.window[1])], geo.out[1])


def _above(g, geo):
    (low, _), dilation = geo.pads[0], geo.dilation[0]
    return _side_by_side(g, 1, [i * dilation - low for i in range(geo.window[0])], geo.space[0])


def _gathered(spread, copies, shape):
    """The copies that `spread` makes of an array, each moved back to where it came from, and added up."""
    return island(lambda y: jax.linear_transpose(spread, jax.ShapeDtypeStruct(shape, y.dtype))(y)[0])(copies)


def _as_matrix(w):
    """The weights as (columns of the window * channels, rows of the window * filters)."""
    return w.transpose(1, 2, 0, 3).reshape(w.shape[1] * w.shape[2], -1)


def forward(x, w, geo):
    made = island(lambda x: _beside(x, geo))(x) @ _as_matrix(w)
    return _gathered(lambda y: _above(y, geo), made, (len(x), *geo.out, w.shape[-1]))


def input_gradient(g, w, geo):
    made = island(lambda g: _above(g, geo))(g) @ _as_matrix(w).T
    return _gathered(lambda x: _beside(x, geo), made, (len(g), *geo.space, w.shape[-2]))


def kernel_gradient(x, g, geo):
    rows, columns = geo.window
    beside = island(lambda x: _beside(x, geo).reshape(-1, columns * x.shape[-1]))(x)
    above = island(lambda g: _above(g, geo).reshape(-1, rows * g.shape[-1]))(g)
    return (beside.T @ above).reshape(columns, x.shape[-1], rows, -1).transpose(2, 0, 1, 3)
