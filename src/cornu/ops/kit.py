"""What the files of `ops` share: arguments as arrays, and makers for families of ops that JAX has under one signature.

JAX's promotion rules are Keras's, Python numbers being weak; so an op that jnp has is one line in a table.
"""

import sys
from typing import Any, Callable

import jax
import jax.numpy as jnp
import numpy as np

from cornu import dtypes
from cornu.symbolic import op
from cornu.variable import Variable

_NUMBERS = (int, float, bool, complex)


def tensor(x: Any, dtype=None):
    """Any argument as a JAX array: numbers, lists, NumPy arrays, Variables, sparse arrays."""
    if dtype is not None:
        dtype = dtypes.standardize(dtype)
    if isinstance(x, jax.Array):
        if dtype is None or x.dtype == dtype:
            return x
        dtypes.refuse_complex(x, dtype)
    if isinstance(x, Variable):
        x = x.value
    elif hasattr(x, "todense"):
        x = x.todense()
    elif isinstance(x, (list, tuple)):
        x = _plain(x)
    try:
        return dtypes.to_jax(x, dtype)
    except (TypeError, ValueError):
        _refuse_text(x)
        raise


def _refuse_text(x) -> None:
    """Raise ValueError where the reason why there is no array is that the values are text."""
    if isinstance(x, np.ndarray) and x.dtype.kind not in "OSUT":
        return
    found = np.asarray(x, "O").reshape(-1)
    if any(isinstance(value, (str, bytes)) for value in found[:1]):
        raise ValueError(f"Text such as {found[0]!r} was given where numbers are needed.\nClasses by name become numbers "
                         "with np.unique(names, return_inverse=True)[1], or in the model with a StringLookup layer.") from None


def _plain(x):
    if isinstance(x, (list, tuple)):
        return [_plain(i) for i in x]
    return x.value if isinstance(x, Variable) else x


def operand(x: Any):
    """Like `array`, but a Python number stays one, so that it is weak in promotion."""
    return x if type(x) in _NUMBERS else tensor(x)


def inexact(x: Any):
    """The argument as an array of floats (or complex numbers): integers become floatx."""
    whole = isinstance(x, np.ndarray) and x.dtype.kind in "iu"  # directly: not by way of 32 bits
    x = tensor(x, dtypes.config.floatx() if whole else None)
    return x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(dtypes.config.floatx())


def wide(x: Any):
    """The argument as floats of at least 32 bits: sums of squares, and 1 - epsilon, are not for 16."""
    x = inexact(x)
    return x.astype("float32") if x.dtype.itemsize < 4 else x


def unit(x, axis, epsilon, order=2):
    """x / max(|x|, epsilon) in x's dtype; a zero vector stays one and has a gradient of 0, not of 1 / epsilon."""
    large = wide(x)
    if order == 2:
        square = jnp.sum(jnp.square(large), axis, keepdims=True)
        inverse = jnp.where(square == 0, 0, jax.lax.rsqrt(jnp.maximum(square, epsilon**2)))
        return (large * inverse).astype(x.dtype)
    powers = jnp.where(large == 0, 0, jnp.where(large == 0, 1, jnp.abs(large)) ** order)
    powers = jnp.sum(powers, axis, keepdims=True)
    norm = jnp.where(powers == 0, 1, powers) ** (1.0 / order)
    return jnp.where(powers == 0, 0, large / jnp.maximum(norm, epsilon)).astype(x.dtype)


def known(name: str, x: Any, instead: str):
    """The argument as an array with values; ValueError where it has none: symbolic, or traced by jit."""
    x = tensor(x)
    if isinstance(x, jax.core.Tracer):
        raise ValueError(f"{name}: the shape of the result depends on values, which symbolic tensors do not have, nor "
                         f"tensors under jit.\n{instead}")
    return x


def integers(value) -> Any:
    """Sizes or axes given as an int, a list or an array, as an int or a tuple; symbolic sizes pass."""
    if value is None or isinstance(value, int) or not hasattr(value, "__iter__"):
        return value
    return tuple(int(v) if hasattr(v, "dtype") else v for v in value)


def as_shape(shape):
    """A shape given as an int, a list or an array, as a tuple; symbolic sizes pass."""
    return integers((shape,) if isinstance(shape, int) else shape)


def diagonal_of(x, offset, axis1, axis2):
    """`jnp.diagonal`; where a size is a symbol, the diagonal's is unknown: the smaller one of two sizes."""
    rows, columns = x.shape[axis1], x.shape[axis2]
    if isinstance(rows, int) and isinstance(columns, int):
        return jnp.diagonal(x, offset, axis1, axis2)
    down, right = max(-offset, 0), max(offset, 0)
    count = jax.core.max_dim(jax.core.min_dim(rows - down, columns - right), 0)
    places = jnp.arange(count)
    return jnp.moveaxis(x, (axis1, axis2), (-2, -1))[..., places + down, places + right]


def _finish(function, name, doc, args):
    function.__name__ = function.__qualname__ = name
    function.__module__ = sys._getframe(2).f_globals["__name__"]
    function.__doc__ = f"{doc}\n\nArgs:\n{args}"
    return op(function)


_X = "    x: a tensor of any shape."
_PAIR = "    {}, {}: tensors whose shapes broadcast; Python numbers take the other's dtype."
_AXIS = "\n    axis: the axis or axes to reduce; None reduces all.\n    keepdims: keep the reduced axes with size 1."


def unary(name: str, doc: str, fn: Callable | None = None, prepare: Callable = tensor) -> Callable:
    """An elementwise op of one tensor, jnp's of the same name unless given."""
    fn = fn or getattr(jnp, name)

    def function(x):
        return fn(prepare(x))

    return _finish(function, name, doc, _X)


def binary(name: str, doc: str, fn: Callable | None = None) -> Callable:
    """An elementwise op of two tensors `x1` and `x2`."""
    fn = fn or getattr(jnp, name)

    def function(x1, x2):
        return fn(operand(x1), operand(x2))

    return _finish(function, name, doc, _PAIR.format("x1", "x2"))


def bitwise(name: str, doc: str, fn: Callable) -> Callable:
    """An elementwise op of two integer tensors `x` and `y`."""

    def function(x, y):
        return fn(operand(x), operand(y))

    return _finish(function, name, doc, _PAIR.format("x", "y"))


def reduction(name: str, doc: str, fn: Callable | None = None) -> Callable:
    """An op that reduces axes: `(x, axis=None, keepdims=False)`."""
    fn = fn or getattr(jnp, name)

    def function(x, axis=None, keepdims=False):
        return fn(tensor(x), axis=integers(axis), keepdims=keepdims)

    return _finish(function, name, doc, _X + _AXIS)


def quantiles(name: str, doc: str, fn: Callable | None = None) -> Callable:
    """An op that interpolates between sorted values: `(x, q, axis=None, method="linear", keepdims=False)`."""
    fn = fn or getattr(jnp, name)

    def function(x, q, axis=None, method="linear", keepdims=False):
        return fn(inexact(x), tensor(q), axis=integers(axis), method=method, keepdims=keepdims)

    return _finish(function, name, doc, _X + "\n    q: the share or shares wanted." + _AXIS
                   + '\n    method: "linear", "lower", "higher", "midpoint" or "nearest".')


def cumulative(name: str, doc: str) -> Callable:
    """An op that accumulates along an axis: `(x, axis=None, dtype=None)`."""
    fn = getattr(jnp, name)

    def function(x, axis=None, dtype=None):
        axis = axis[0] if isinstance(axis, (list, tuple)) and len(axis) == 1 else axis
        return fn(tensor(x), axis=axis, dtype=None if dtype is None else dtypes.standardize(dtype))

    return _finish(function, name, doc, _X + "\n    axis: along which; None flattens first."
                   "\n    dtype: of the result; that of x by default.")


def to_sparse(x):
    """The tensor as a `jax.experimental.sparse.BCOO` array."""
    from jax.experimental import sparse

    return sparse.BCOO.fromdense(x)


def public(names: dict) -> list[str]:
    """What a file of ops makes known to others: the functions defined there, but for names with an underscore."""
    own = names["__name__"]
    return [n for n, v in names.items() if not n.startswith("_") and getattr(v, "__module__", None) == own]
