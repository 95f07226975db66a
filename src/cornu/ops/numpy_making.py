"""Operations that make tensors: of one value, of ranges, of diagonals, of windows."""

import jax.numpy as jnp

from cornu import check, dtypes
from cornu.ops.kit import as_shape, diagonal_of, operand, public, tensor
from cornu.symbolic import op


def _floatx(dtype):
    return dtypes.standardize(dtype)


def _dtype(dtype):
    return None if dtype is None else dtypes.standardize(dtype)


@op
def zeros(shape, dtype=None):
    """A tensor of zeros, of floatx unless a dtype is given."""
    return jnp.zeros(as_shape(shape), _floatx(dtype))


@op
def ones(shape, dtype=None):
    """A tensor of ones, of floatx unless a dtype is given."""
    return jnp.ones(as_shape(shape), _floatx(dtype))


@op
def empty(shape, dtype=None):
    """A tensor of no particular values (zeros), of floatx unless a dtype is given."""
    return jnp.empty(as_shape(shape), _floatx(dtype))


@op
def full(shape, fill_value, dtype=None):
    """A tensor of one value, which is broadcast to the shape; of floatx unless a dtype is given."""
    return jnp.full(as_shape(shape), operand(fill_value), _floatx(dtype))


@op
def zeros_like(x, dtype=None):
    """Zeros of x's shape, and its dtype unless another is given."""
    return jnp.zeros_like(tensor(x), dtype=_dtype(dtype))


@op
def ones_like(x, dtype=None):
    """Ones of x's shape, and its dtype unless another is given."""
    return jnp.ones_like(tensor(x), dtype=_dtype(dtype))


@op
def empty_like(x, dtype=None):
    """A tensor of no particular values, of x's shape, and its dtype unless another is given."""
    return jnp.empty_like(tensor(x), dtype=_dtype(dtype))


@op
def full_like(x, fill_value, dtype=None):
    """One value in x's shape, and x's dtype unless another is given."""
    return jnp.full_like(tensor(x), operand(fill_value), dtype=_dtype(dtype))


@op
def eye(N, M=None, k=0, dtype=None):
    """An N x M matrix (M = N by default) with ones on its kth diagonal."""
    return jnp.eye(N, M=M, k=k, dtype=_floatx(dtype))


@op
def identity(n, dtype=None):
    """The n x n identity matrix."""
    return jnp.identity(n, dtype=_floatx(dtype))


@op
def tri(N, M=None, k=0, dtype=None):
    """An N x M matrix with ones on and below its kth diagonal."""
    return jnp.tri(N, M=M, k=k, dtype=_floatx(dtype))


@op
def arange(start, stop=None, step=None, dtype=None):
    """start, start + step ... up to but without stop; `arange(n)` is 0 ... n - 1.

    Args:
        start, stop, step: numbers; stop None takes start for stop and 0 for start, step None is 1.
        dtype: int32 for integers and floatx otherwise, unless given.
    """
    if dtype is None:
        kinds = [getattr(v, "dtype", type(v)) for v in (start, stop, step) if v is not None]
        dtype = dtypes.result_type(*kinds)
    return jnp.arange(start, stop, step, dtype=dtypes.standardize(dtype))


@op
def linspace(start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0):
    """`num` evenly spaced numbers from start to stop.

    Args:
        start, stop: numbers or tensors.
        num: how many.
        endpoint: whether stop is the last of them.
        retstep: whether to give the spacing too.
        dtype: of the result; a float one by default.
        axis: the new axis, where start and stop are tensors.
    """
    return jnp.linspace(operand(start), operand(stop), num, endpoint, retstep, _dtype(dtype), axis)


@op
def logspace(start, stop, num=50, endpoint=True, base=10, dtype=None, axis=0):
    """base^start ... base^stop with evenly spaced exponents; the other arguments are those of `linspace`."""
    return jnp.logspace(operand(start), operand(stop), num, endpoint, base, _dtype(dtype), axis)


@op
def geomspace(start, stop, num=50, endpoint=True, dtype=None, axis=0):
    """`num` numbers from start to stop with one ratio between neighbours; arguments as in `linspace`."""
    return jnp.geomspace(operand(start), operand(stop), num, endpoint, _dtype(dtype), axis)


@op
def array(x, dtype=None):
    return tensor(x, dtype)


@op
def copy(x):
    """A tensor of the same values."""
    return jnp.copy(tensor(x))


@op
def meshgrid(*x, indexing="xy"):
    """Coordinate grids from one-dimensional coordinates.

    Args:
        *x: one-dimensional tensors.
        indexing: "xy" swaps the first two axes (columns first), "ij" does not.
    """
    check.one_of("indexing", indexing, ("xy", "ij"))
    return jnp.meshgrid(*(tensor(i) for i in x), indexing=indexing)


@op
def diag(x, k=0):
    """A matrix with x on its kth diagonal; for a matrix x, that diagonal."""
    x = tensor(x)
    return diagonal_of(x, k, 0, 1) if x.ndim == 2 else jnp.diag(x, k=k)


@op
def diagflat(x, k=0):
    """A matrix with the flattened x on its kth diagonal."""
    return jnp.diagflat(tensor(x), k=k)


@op
def vander(x, N=None, increasing=False):
    """The Vandermonde matrix: powers of x in N columns (as many as x by default), the highest first."""
    return jnp.vander(tensor(x), N=N, increasing=increasing)


def _window(name, doc):
    make = getattr(jnp, name)

    def function(x):
        length = int(tensor(x)) if not isinstance(x, int) else x
        return make(length).astype(dtypes.config.floatx())

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{doc}\n\nArgs:\n    x: the number of points, an integer."
    return op(function)


bartlett = _window("bartlett", "Bartlett's window, a triangle.")
blackman = _window("blackman", "Blackman's window: 0.42 - 0.5 cos(2 pi n / (x - 1)) + 0.08 cos(4 pi n / (x - 1)).")
hamming = _window("hamming", "Hamming's window: 0.54 - 0.46 cos(2 pi n / (x - 1)).")
hanning = _window("hanning", "Hann's window: 0.5 - 0.5 cos(2 pi n / (x - 1)).")


@op
def kaiser(x, beta):
    """Kaiser's window of x points: I0(beta sqrt(1 - (2 n / (x - 1) - 1)^2)) / I0(beta)."""
    length = x if isinstance(x, int) else int(tensor(x))
    return jnp.kaiser(length, operand(beta)).astype(dtypes.config.floatx())


__all__ = public(globals())
