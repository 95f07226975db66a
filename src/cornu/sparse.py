"""Sparse tensors: which operations give one for sparse arguments, and how they compute it.

A sparse tensor is a `jax.experimental.sparse.BCOO`. An op that has no rule here is given dense
tensors. JAX's module is imported when the first sparse tensor is made: until then an op asks one
dictionary, and nothing else is slower.

While shapes are inferred, a sparse tensor is a stand-in: a BCOO that also holds a dense tensor of
its shape. The op itself is run on that, and its rule only says whether the result is sparse.

The file is long because all rules stand here, in one table, beside the parts that they share.
"""
# long because: the rules of all operations stand in one table and share their parts

import inspect
import math
import sys
from typing import Any, Callable

import jax
import jax.numpy as jnp
import numpy as np

from cornu.tree import is_sparse


def any_sparse(*values) -> bool:
    """Whether a sparse array stands among the values, at any depth."""
    module = sys.modules.get("jax.experimental.sparse")
    return module is not None and _holds(values, module.JAXSparse)


def _holds(values, kind) -> bool:
    for value in values:
        if isinstance(value, kind):
            return True
        parts = value.values() if isinstance(value, dict) else value
        if isinstance(value, (list, tuple, dict)) and _holds(parts, kind):
            return True
    return False


def _jax():
    from jax.experimental import sparse

    return sparse


def _mapped(fn, value):
    """The value with `fn` of each sparse array in it."""
    if isinstance(value, dict):
        return {k: _mapped(fn, v) for k, v in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_mapped(fn, v) for v in value)
    return fn(value) if is_sparse(value) else value


def to_dense(value: Any):
    """The value with dense arrays in place of the sparse ones in it, at any depth.

    >>> to_dense([jnp.ones(1)])
    [Array([1.], dtype=float32)]
    """
    return _mapped(_dense, value)


def cast_floats(value: Any, dtype: str):
    """The value with floats of another dtype in the sparse tensors in it, at any depth."""
    def cast(x):
        if not jnp.issubdtype(x.dtype, jnp.floating) or x.dtype == dtype:
            return x
        return apply("cast", lambda v, dtype: v.astype(dtype), (x, dtype), {})

    return _mapped(cast, value)


def _dense(x):
    held = getattr(x, "_stands_for", None)
    if held is None and x.dtype == bool:  # JAX adds the values up
        return _cast(x, "int8").todense() != 0
    return x.todense() if held is None else held


def stand_in(tensor):
    """A sparse tensor that only has the shape and dtype of a dense one, for the inference of
    shapes.
    """
    indices = jnp.zeros((1, tensor.ndim), "int32")
    data = jnp.zeros(1, tensor.dtype)
    found = _jax().BCOO((data, indices), shape=tensor.shape, unique_indices=True)
    found._stands_for = tensor
    return found


def apply(name: str, fn: Callable, args: tuple, kwargs: dict):
    """What the op of this name gives where there are sparse arrays among its arguments.

    Args:
        name: the op's name, under which its rule is found.
        fn: the op for dense tensors.
        args, kwargs: its arguments.
    """
    rule = RULES.get(name)
    if rule is None:
        return fn(*to_dense(args), **to_dense(kwargs))
    bound = inspect.signature(fn).bind(*args, **kwargs)
    bound.apply_defaults()
    values = _mapped(_standard, bound.args)
    if bound.kwargs or not any_sparse(*values):
        return fn(*to_dense(args), **to_dense(kwargs))
    gives_sparse, compute = rule
    found = []
    _mapped(found.append, values)
    if any(hasattr(x, "_stands_for") for x in found):
        dense = fn(*to_dense(values))
        return stand_in(dense) if gives_sparse(*values) else dense
    result = compute(fn, *values)
    return fn(*to_dense(values)) if result is None else result


def _standard(x):
    """A BCOO of any sparse array; a dense one where JAX has no way."""
    sparse = _jax()
    if isinstance(x, sparse.BCSR):
        x = x.to_bcoo()
    return spread(x) if isinstance(x, sparse.BCOO) else x.todense()


def spread(x):
    """A BCOO whose tables have a row for each of a batch, where they may have one for all."""
    batch = x.shape[:x.n_batch]
    if x.data.shape[:x.n_batch] == batch == x.indices.shape[:x.n_batch]:
        return x
    data = jnp.broadcast_to(x.data, (*batch, *x.data.shape[x.n_batch:]))
    indices = jnp.broadcast_to(x.indices, (*batch, *x.indices.shape[x.n_batch:]))
    return _jax().BCOO((data, indices), shape=x.shape, indices_sorted=x.indices_sorted,
                       unique_indices=x.unique_indices)


# parts of rules -----------------------------------------------------------------------------------


def _like(x, data, unique=True):
    return _jax().BCOO((data, x.indices), shape=x.shape, indices_sorted=x.indices_sorted,
                       unique_indices=unique and x.unique_indices)


def _flags(x):
    """Which stored elements lie within the shape: those that do not are padding."""
    if not x.n_sparse:
        return jnp.ones(x.data.shape[:x.n_batch + 1], bool)
    sizes = jnp.asarray(x.shape[x.n_batch:x.n_batch + x.n_sparse], x.indices.dtype)
    return jnp.all((x.indices >= 0) & (x.indices < sizes), axis=-1)


def _without_padding(x):
    """The tensor with zeros as its padding."""
    flags = _flags(x)
    flags = flags.reshape(flags.shape + (1,) * x.n_dense)
    return _like(x, jnp.where(flags, x.data, jnp.zeros((), x.dtype)))


def summed(x):
    """A BCOO in which each place is stored once."""
    if x.unique_indices or not x.n_sparse:
        return x
    if x.dtype == bool:
        return _cast(summed(_cast(x, "int8")), bool)
    return x.sum_duplicates(nse=x.nse, remove_zeros=False)


def _cast(x, dtype):
    return _like(x, x.data.astype(dtype))


def _layout(x, n_dense=0):
    """The BCOO without batch axes, with the last `n_dense` axes dense."""
    if (x.n_batch, x.n_dense) == (0, n_dense):
        return x
    return _jax().bcoo_update_layout(x, n_batch=0, n_dense=n_dense, on_inefficient=None)


def _struct(x):
    return jax.ShapeDtypeStruct(x.shape, x.dtype) if hasattr(x, "dtype") else x


def _result(fn, *args):
    """The shape and dtype of what the op gives for dense tensors of these shapes."""
    return jax.eval_shape(fn, *map(_struct, args))


def _broadcast(x, shape):
    shape = tuple(shape)
    if x.shape == shape:
        return x
    lead = len(shape) - x.ndim
    axes = range(lead, len(shape))
    return _jax().bcoo_broadcast_in_dim(_layout(x), shape=shape, broadcast_dimensions=axes)


def _axes(axis, rank: int) -> tuple:
    axes = range(rank) if axis is None else (axis,) if isinstance(axis, (int, np.integer)) else axis
    for a in axes:
        if not -rank <= a < rank:
            raise ValueError(f"axis {a} is out of range: the sparse tensor has {rank} axes.")
    return tuple(sorted({int(a) % rank for a in axes}))


# rules --------------------------------------------------------------------------------------------


def _of_values(fn, x, *rest):
    """Elementwise, and 0 for 0."""
    x = summed(x)
    return _like(x, fn(x.data, *rest))


def _of_parts(fn, x, *rest):
    """Elementwise and linear: values that are stored in parts may stay so."""
    return _like(x, fn(x.data, *rest))


def _digitize(fn, x, bins):
    return _of_values(fn, x, bins) if _first_bin_above(x, bins) else None


def _first_bin_above(x, bins) -> bool:
    return isinstance(bins, jax.core.Tracer) or not np.size(bins) or float(np.ravel(bins)[0]) > 0


def _clip(fn, x, low, high):
    return _of_values(fn, x, low, high) if _holds_zero(x, low, high) else None


def _holds_zero(x, low, high) -> bool:
    return all(isinstance(v, (int, float)) for v in (low, high)) and low <= 0 <= high


def _convert(fn, x, dtype=None, sparse=None, ragged=None):
    return x if dtype is None else _of_cast(fn, x, dtype)


def _of_cast(fn, x, dtype):
    new = np.dtype(dtype)
    linear = jnp.issubdtype(x.dtype, jnp.inexact) and jnp.issubdtype(new, jnp.inexact)
    return _cast(x if linear else summed(x), new)


def _union(fn, x, y):
    """Of two sparse tensors, at the places that either stores."""
    if not (is_sparse(x) and is_sparse(y)):
        return None
    shape = _result(fn, x, y).shape
    x, y = _broadcast(x, shape), _broadcast(y, shape)
    n_dense = min(x.n_dense, y.n_dense)
    x, y = _layout(x, n_dense), _layout(y, n_dense)
    indices = jnp.concatenate([x.indices, y.indices])
    first = _BCOO(jnp.concatenate([x.data, jnp.zeros_like(y.data)]), indices, shape)
    second = _BCOO(jnp.concatenate([jnp.zeros_like(x.data), y.data]), indices, shape)
    first, second = summed(first), summed(second)
    return _like(first, fn(first.data, second.data))


def _BCOO(data, indices, shape):
    return _jax().BCOO((data, indices), shape=tuple(shape))


def _multiply(fn, x, y):
    if is_sparse(x) and is_sparse(y):
        return _union(fn, x, y)
    if is_sparse(y):
        x, y = y, x
    if not jnp.ndim(y):
        return _like(x, fn(x.data, y))
    found = _result(fn, x, y)
    x = _cast(_broadcast(x, found.shape), found.dtype)
    return _like(x, _jax().bcoo_multiply_dense(x, jnp.asarray(y, found.dtype)))


def _divide(fn, x, y):
    """Sparse by dense. Where 0 is divided by 0 or NaN the result is NaN, unless it is being traced.
    """
    if is_sparse(y) or not is_sparse(x):
        return None
    if not jnp.ndim(y):
        if not isinstance(y, jax.core.Tracer) and not y:
            return None
        return _like(x, fn(x.data, y))
    shape = _result(fn, x, y).shape
    x, y = _broadcast(x, shape), jnp.broadcast_to(jnp.asarray(y), shape)
    if not any(isinstance(v, jax.core.Tracer) for v in (x.data, x.indices, y)):
        x = _stored_also(x, (y == 0) | jnp.isnan(y))
    flags = _flags(x)
    flags = flags.reshape(flags.shape + (1,) * x.n_dense)
    quotient = fn(x.data, _jax().bcoo_extract(x, y, assume_unique=True).data)
    return _like(x, jnp.where(flags, quotient, jnp.zeros((), quotient.dtype)))


def _stored_also(x, places):
    """The tensor in which zeros are stored at further places, a dense tensor of booleans."""
    if not bool(places.any()):
        return x
    x = _layout(x, x.n_dense)
    more = _jax().BCOO.fromdense(places, n_dense=x.n_dense, index_dtype=x.indices.dtype)
    data = jnp.concatenate([x.data, jnp.zeros(more.data.shape, x.dtype)])
    return summed(_BCOO(data, jnp.concatenate([x.indices, more.indices]), x.shape))


def _matmul(fn, x, y):
    """Products with a matrix gather its rows; the result is sparse where both are."""
    found = _result(fn, x, y)
    if is_sparse(x) and is_sparse(y):
        if x.ndim == y.ndim == 2:
            return _layout(_cast(x, found.dtype)) @ _layout(_cast(y, found.dtype))
        return _jax().BCOO.fromdense(fn(*to_dense((x, y))), nse=math.prod(found.shape))
    if is_sparse(x) and y.ndim == 2:
        rows = _layout(_cast(x, found.dtype)).reshape(math.prod(x.shape[:-1]), x.shape[-1])
        return (rows @ jnp.asarray(y, found.dtype)).reshape(found.shape)
    if is_sparse(y) and y.ndim == 2:
        rows = jnp.asarray(x, found.dtype).reshape(-1, x.shape[-1])
        return (rows @ _layout(_cast(y, found.dtype))).reshape(found.shape)
    return None


def _reshape(fn, x, newshape):
    sizes = (newshape,) if isinstance(newshape, int) else tuple(newshape)
    return _reshaped(x, _result(lambda v: jnp.reshape(v, sizes), x).shape)


def _reshaped(x, shape):
    return x if x.shape == tuple(shape) else _jax().bcoo_reshape(_layout(x), new_sizes=tuple(shape))


def _of_shape(fn, x, *rest):
    """Axes of size 1 more or less."""
    return _reshaped(x, _result(lambda v: fn(v, *rest), x).shape)


def _transpose(fn, x, axes=None):
    order = tuple(reversed(range(x.ndim))) if axes is None else tuple(a % x.ndim for a in axes)
    _result(lambda v: fn(v, axes), x)  # the dense op says what is wrong with the axes
    return _jax().bcoo_transpose(_layout(x), permutation=order)


def _concatenate(fn, xs, axis=0):
    if not all(map(is_sparse, xs)):
        return None
    found = jax.eval_shape(lambda *v: fn(list(v), axis), *map(_struct, xs))
    parts = [_cast(_layout(x), found.dtype) for x in xs]
    return _jax().bcoo_concatenate(parts, dimension=axis % len(found.shape))


def _sum(fn, x, axis=None, keepdims=False):
    found = _result(lambda v: fn(v, axis, keepdims), x)
    x = _cast(_without_padding(x), found.dtype)
    axes = _axes(axis, x.ndim)
    result = _jax().bcoo_reduce_sum(x, axes=axes) if axes else x
    if not result.n_sparse and not result.n_batch:  # all that is stored has the one place left
        result = _BCOO(result.data.sum(axis=0, keepdims=True), result.indices[:1], result.shape)
    return _reshaped(result, found.shape) if keepdims else result


def _mean(fn, x, axis=None, keepdims=False):
    found = _result(lambda v: fn(v, axis, keepdims), x)
    x = _cast(x, found.dtype)
    total = _sum(lambda v, axes, keep: jnp.sum(v, axis=axes, keepdims=keep), x, axis, keepdims)
    return _like(total, total.data / math.prod(x.shape[a] for a in _axes(axis, x.ndim)))


def _always(*args) -> bool:
    return True


def _stored(fn, x, y):
    """Of two sparse tensors, with every place stored."""
    if not _both(x, y):
        return None
    found = fn(*to_dense((x, y)))
    return _jax().BCOO.fromdense(found, nse=math.prod(found.shape), n_batch=0)


def _first(x, *rest) -> bool:
    return is_sparse(x)


def _both(x, y) -> bool:
    return is_sparse(x) and is_sparse(y)


def _only_first(x, y) -> bool:
    return is_sparse(x) and not is_sparse(y)


def _all(xs, axis=0) -> bool:
    return all(map(is_sparse, xs))


def _unless_refused(x, dtype=None, sparse=None, ragged=None) -> bool:
    return sparse is not False


def _convert_or_dense(fn, x, dtype=None, sparse=None, ragged=None):
    return None if sparse is False else _convert(fn, x, dtype)


def _bincount(fn, x, weights=None, minlength=0, sparse=False):
    """What is stored counts; a zero that is not stored is none."""
    stored = _like(x, jnp.ones_like(x.data, "int32" if weights is None else weights.dtype)).todense()
    weights = stored if weights is None else stored * to_dense(weights)
    return _jax().BCOO.fromdense(fn(x.todense(), weights, minlength))


# An op's name -> (whether the result is sparse for these arguments, how it is computed: None means by the dense op).
RULES: dict[str, tuple[Callable, Callable]] = {
    **dict.fromkeys(
        "abs absolute arcsin arcsinh arctan arctanh ceil expm1 floor isinf isnan log1p round sign signbit sin sinh "
        "sqrt square tan tanh trunc relu relu6 leaky_relu elu selu celu silu swish gelu softsign hard_silu hard_swish "
        "hard_tanh tanh_shrink hard_shrink soft_shrink".split(), (_first, _of_values)),
    **dict.fromkeys("conj conjugate copy imag negative real stop_gradient".split(), (_first, _of_parts)),
    **dict.fromkeys("add subtract maximum minimum".split(), (_both, _union)),
    **dict.fromkeys("divide true_divide".split(), (_only_first, _divide)),
    **dict.fromkeys("expand_dims squeeze".split(), (_always, _of_shape)),
    "bincount": (_first, _bincount),
    "cast": (_always, _of_cast),
    "clip": (_holds_zero, _clip),
    "concatenate": (_all, _concatenate),
    "convert_to_tensor": (_unless_refused, _convert_or_dense),
    "batch_dot": (_both, _stored),
    "digitize": (_first_bin_above, _digitize),
    "matmul": (_both, _matmul),
    "mean": (_always, _mean),
    "multiply": (_always, _multiply),
    "reshape": (_always, _reshape),
    "sum": (_always, _sum),
    "transpose": (_always, _transpose),
}


# from the host ------------------------------------------------------------------------------------


def of_array(array: np.ndarray):
    """A NumPy array as a sparse tensor that stores the same number of values for each row.

    The number is a power of two, so that few shapes occur, and few programs are compiled.
    """
    rows = array.reshape(len(array), -1) if array.ndim > 1 else array.reshape(1, -1)
    which, columns = np.nonzero(rows)
    lengths = np.bincount(which, minlength=len(rows))
    room = power_of_two(lengths.max(initial=0))
    found = _rows(rows[which, columns], columns, lengths, room)
    if array.ndim == 1:
        return _BCOO(jnp.asarray(found[0][0]), jnp.asarray(found[1][0]), array.shape)
    flat = _BCOO(jnp.asarray(found[0]), jnp.asarray(found[1]), rows.shape)
    return flat if array.ndim == 2 else _jax().bcoo_reshape(flat, new_sizes=array.shape)


def power_of_two(least: int) -> int:
    """The least power of two that is not below a number.

    >>> power_of_two(5)
    8
    """
    return 1 << max(0, int(least) - 1).bit_length()


def _rows(values, columns, lengths, room: int):
    """Values and column numbers of rows one after another, as tables with room for so many in each
    row.
    """
    inside = np.arange(room) < lengths[:, None]
    data = np.zeros(inside.shape, values.dtype)
    indices = np.zeros((*inside.shape, 1), "int32")  # a stored 0 may stand anywhere
    data[inside], indices[inside, 0] = values, columns
    return data, indices


# encodings ----------------------------------------------------------------------------------------


def one_hot(ids, depth: int, axis: int = -1, dtype="float32"):
    """Classes as a sparse tensor of ones; numbers outside of 0 to depth - 1 leave no trace."""
    axis = axis % (ids.ndim + 1)
    grid = list(jnp.indices(ids.shape, "int32").reshape(ids.ndim, -1)) if ids.ndim else []
    flat = ids.reshape(-1).astype("int32")
    inside = (flat >= 0) & (flat < depth)
    indices = jnp.stack([*grid[:axis], jnp.clip(flat, 0, depth - 1), *grid[axis:]], axis=-1)
    shape = (*ids.shape[:axis], depth, *ids.shape[axis:])
    return _jax().BCOO((inside.astype(dtype), indices), shape=shape, unique_indices=True)


def counts(ids, depth: int, dtype="float32", weights=None):
    """How often each class stands along the last axis, as a sparse tensor; weights count instead of
    ones.
    """
    ids = ids.reshape(1) if not ids.ndim else ids
    flat = ids.reshape(-1).astype("int32")
    inside = (flat >= 0) & (flat < depth)
    grid = list(jnp.indices(ids.shape, "int32").reshape(ids.ndim, -1)[:-1])
    indices = jnp.stack([*grid, jnp.where(inside, flat, depth)], axis=-1)
    weights = jnp.ones(flat.shape, dtype) if weights is None else jnp.asarray(weights, dtype)
    weights = weights.reshape(-1)
    return summed(_BCOO(jnp.where(inside, weights, 0), indices, (*ids.shape[:-1], depth)))


def multi_hot(ids, depth: int, dtype="float32"):
    """Which classes stand along the last axis, as a sparse tensor of ones."""
    found = counts(ids, depth)
    return _like(found, (found.data > 0).astype(dtype))
