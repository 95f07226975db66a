"""Operations that change the shape or order of tensors, or take parts of them."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from cornu.ops.kit import as_shape, diagonal_of, integers, known, operand, public, tensor, unary
from cornu.symbolic import Call, KerasTensor, OpCall, op

# Shape and order -------------------------------------------------------------------------------------------------

fliplr = unary("fliplr", "The values along axis 1 in reverse order.")
flipud = unary("flipud", "The values along axis 0 in reverse order.")
ravel = unary("ravel", "All values in one axis, in order.")


@op
def reshape(x, newshape):
    """The same values in another shape; one size may be -1, which is then found.

    A size that is None, as `shape` gives it for a symbolic tensor, is found likewise; beside a -1 it is x's own.

    >>> reshape([1, 2, 3, 4], (2, -1)).shape
    (2, 2)
    """
    x, newshape = tensor(x), as_shape(newshape)
    if isinstance(newshape, tuple) and None in newshape:
        others = -1 in newshape or newshape.count(None) > 1
        newshape = [(x.shape[i] if others else -1) if n is None else n for i, n in enumerate(newshape)]
    sizes = newshape if isinstance(newshape, (tuple, list)) else (newshape,)
    if any(isinstance(n, int) and n < -1 for n in sizes) or list(sizes).count(-1) > 1:
        raise ValueError(f"reshape: sizes are >= 0, and one of them may be -1. Received: newshape={newshape}")
    return jnp.reshape(x, newshape)


@op
def transpose(x, axes=None):
    """The axes in another order, reversed by default."""
    return jnp.transpose(tensor(x), integers(axes))


@op
def expand_dims(x, axis):
    """The tensor with new axes of size 1 at the given places of the result."""
    return jnp.expand_dims(tensor(x), integers(axis))


@op
def squeeze(x, axis=None):
    """The tensor without axes of size 1: those given, or all."""
    return jnp.squeeze(tensor(x), integers(axis))


@op
def moveaxis(x, source, destination):
    """The axes `source` moved to the places `destination`; the others keep their order."""
    return jnp.moveaxis(tensor(x), integers(source), integers(destination))


@op
def swapaxes(x, axis1, axis2):
    """Two axes exchanged."""
    return jnp.swapaxes(tensor(x), axis1, axis2)


@op
def broadcast_to(x, shape):
    """The values repeated to the given shape."""
    return jnp.broadcast_to(tensor(x), as_shape(shape))


@op
def flip(x, axis=None):
    """The values in reverse order along the axis or axes, or along all for None."""
    return jnp.flip(tensor(x), integers(axis))


@op
def rot90(array, k=1, axes=(0, 1)):
    """The tensor turned k times by 90 degrees in the plane of two axes, from the first to the second."""
    if len(axes) != 2 or axes[0] == axes[1]:
        raise ValueError(f"rot90: `axes` must be two different axes. Received: {axes!r}")
    return jnp.rot90(tensor(array), k, tuple(axes))


@op
def roll(x, shift, axis=None):
    """The values shifted along the axis or axes, the last ones coming in first; None flattens in between."""
    moved = shift if isinstance(shift, jax.core.Tracer) else tuple(shift) if isinstance(shift, (list, tuple)) else integers(shift)
    return jnp.roll(tensor(x), moved, integers(axis))


@op
def tile(x, repeats):
    """The whole tensor repeated so many times along each axis."""
    return jnp.tile(tensor(x), integers(repeats))


@op
def repeat(x, repeats, axis=None):
    """Each value repeated so many times along an axis; None flattens first.

    Args:
        x: a tensor.
        repeats: an integer, or one for each position of the axis.
        axis: along which.
    """
    if isinstance(repeats, (list, tuple, np.ndarray)) and not any(isinstance(r, jax.Array) for r in repeats):
        repeats = np.asarray(repeats)  # numbers, also while a model is built or compiled
        repeats = int(repeats.reshape(())) if repeats.size == 1 else repeats
        return jnp.repeat(tensor(x), repeats, axis=axis, total_repeat_length=None if isinstance(repeats, int) else int(repeats.sum()))
    if not isinstance(repeats, int):
        repeats = tensor(repeats)
        repeats = int(repeats.reshape(())) if repeats.size == 1 else repeats
    return jnp.repeat(tensor(x), repeats, axis=axis)


@op
def pad(x, pad_width, mode="constant", constant_values=None):
    """The tensor with values added at the borders.

    Args:
        x: a tensor.
        pad_width: an integer, a pair (before, after) for all axes, or a pair for each axis.
        mode: "constant", "edge", "reflect", "symmetric", "wrap", "linear_ramp", "maximum", "mean", "median",
            "minimum", "empty".
        constant_values: the value that "constant" adds, 0 by default.
    """
    if constant_values is not None and mode != "constant":
        raise ValueError(f"pad: `constant_values` has a meaning for mode 'constant' only. Received: mode={mode!r}")
    kwargs = {} if constant_values is None else {"constant_values": operand(constant_values)}
    widths = jax.tree.map(lambda w: int(w), tuple(map(tuple, pad_width))
                          if hasattr(pad_width, "__iter__") and hasattr(next(iter(pad_width)), "__iter__")
                          else pad_width)
    return jnp.pad(tensor(x), widths, mode=mode, **kwargs)


@op
def tril(x, k=0):
    """The lower triangle, with zeros above the kth diagonal."""
    return jnp.tril(tensor(x), k=k)


@op
def triu(x, k=0):
    """The upper triangle, with zeros below the kth diagonal."""
    return jnp.triu(tensor(x), k=k)


def _two_axes(name, x, axis1, axis2) -> None:
    if axis1 == axis2 or axis1 % ndim(x) == axis2 % ndim(x):
        raise ValueError(f"{name}: axis1 and axis2 must be two axes. Received: axis1={axis1}, axis2={axis2} of a tensor "
                         f"of {ndim(x)} axes")


@op
def diagonal(x, offset=0, axis1=0, axis2=1):
    """The diagonal of the matrices that two axes make, as the last axis of the result."""
    _two_axes("diagonal", x, axis1, axis2)
    return diagonal_of(tensor(x), offset, axis1, axis2)


@op
def trace(x, offset=0, axis1=0, axis2=1):
    """The sum of the diagonal of the matrices that two axes make."""
    _two_axes("trace", x, axis1, axis2)
    return jnp.trace(tensor(x), offset, axis1, axis2)


# Joining and splitting ---------------------------------------------------------------------------------------------


def _arrays(xs):
    return [tensor(x) for x in xs]


@op
def concatenate(xs, axis=0):
    """Tensors joined along an axis; None flattens them first."""
    return jnp.concatenate(_arrays(xs), axis=axis)


@op
def stack(x, axis=0):
    """Tensors of one shape joined along a new axis."""
    return jnp.stack(_arrays(x), axis=axis)


@op
def append(x1, x2, axis=None):
    """x2 joined to x1 along an axis; None flattens both."""
    return jnp.append(tensor(x1), tensor(x2), axis=axis)


@op
def hstack(xs):
    """Tensors joined along axis 1 (axis 0 for one-dimensional ones)."""
    return jnp.hstack(_arrays(xs))


@op
def vstack(xs):
    """Tensors joined along axis 0, one-dimensional ones as rows."""
    return jnp.vstack(_arrays(xs))


@op
def dstack(xs):
    """Tensors joined along axis 2, which is added where it is missing."""
    return jnp.dstack(_arrays(xs))


@op
def split(x, indices_or_sections, axis=0):
    """The tensor cut along an axis: into so many equal parts, or before the given indices."""
    return jnp.split(tensor(x), integers(indices_or_sections), axis=axis)


@op
def array_split(x, indices_or_sections, axis=0):
    """Like `split`, where the parts need not be equal: the first ones are longer by one."""
    return jnp.array_split(tensor(x), integers(indices_or_sections), axis=axis)


@op
def hsplit(x, indices_or_sections):
    """The tensor cut along axis 1 (axis 0 for a one-dimensional one); see `split`."""
    return jnp.hsplit(tensor(x), integers(indices_or_sections))


@op
def vsplit(x, indices_or_sections):
    """The tensor cut along axis 0; see `split`."""
    return jnp.vsplit(tensor(x), integers(indices_or_sections))


@op
def dsplit(x, indices_or_sections):
    """The tensor cut along axis 2; see `split`."""
    return jnp.dsplit(tensor(x), integers(indices_or_sections))


# Taking parts ------------------------------------------------------------------------------------------------------


@op
def get_item(x, key):
    """`x[key]`, for integers, slices, None, Ellipsis, and arrays of integers or truth values."""
    def plain(k):
        return tensor(k) if not isinstance(k, (int, slice, type(None), type(Ellipsis))) else k

    x = tensor(x)
    keys = tuple(plain(k) for k in key) if isinstance(key, tuple) else (plain(key),)
    _refuse_beyond(x, keys)
    return x[keys if isinstance(key, tuple) else keys[0]]


def _refuse_beyond(x, keys) -> None:
    """IndexError for an integer beyond its axis, which JAX would take for the last place."""
    axes = [k for k in keys if k is not None]
    whole = [i for i, k in enumerate(axes) if k is Ellipsis]
    if len(whole) > 1:
        raise IndexError("get_item: a key has at most one Ellipsis (`...`).")
    for i, k in enumerate(axes):
        axis = i - len(axes) if whole and i > whole[0] else i
        plain = isinstance(k, int) and not isinstance(k, bool) and -x.ndim <= axis < x.ndim
        if plain and all(isinstance(other, (int, slice, type(Ellipsis))) for other in axes) and isinstance(x.shape[axis], int) \
                and not -x.shape[axis] <= k < x.shape[axis]:
            raise IndexError(f"get_item: index {k} is beyond axis {axis} of size {x.shape[axis]}, of a tensor of shape "
                             f"{tuple(x.shape)}.")


@op
def take(x, indices, axis=None):
    """The slices of x at the given indices of an axis (of the flattened tensor for None); -1 is the last one.

    Indices beyond the ends give NaN, or the largest integer, as in jnp.
    """
    return jnp.take(tensor(x), tensor(indices), axis=axis)


@op
def take_along_axis(x, indices, axis=None):
    """For each position, the value of x at the index that stands there, along an axis; None flattens first."""
    return jnp.take_along_axis(tensor(x), tensor(indices), axis=axis)


@op
def nonzero(x):
    """The indices of the values that are not 0, as a tuple with a tensor for each axis."""
    return jnp.nonzero(known("nonzero", x, "Use `where(x != 0, a, b)` to choose values."))


@op
def unravel_index(indices, shape):
    """Indices into the flattened tensor as a tuple of indices into a tensor of the given shape."""
    return jnp.unravel_index(tensor(indices), as_shape(shape))


def ndim(x) -> int:
    """The number of axes."""
    return x.ndim if hasattr(x, "ndim") else jnp.ndim(tensor(x))


def size(x):
    """The number of values: an integer, or a symbolic tensor where a symbolic tensor's size is not known yet."""
    if not isinstance(x, KerasTensor) or None not in x.shape:
        return math.prod(x.shape if hasattr(x, "shape") else tensor(x).shape)
    found = _spec_of_size(x)
    Call(OpCall(size), (x,), {}, found)
    return found


def _spec_of_size(x):
    return KerasTensor((), "int32")


size.spec = _spec_of_size


__all__ = public(globals())
