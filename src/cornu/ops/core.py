"""Conversion, slices and scatters."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from cornu import check, dtypes
from cornu.ops.kit import integers, public, tensor
from cornu.sparse import is_sparse, to_dense
from cornu.symbolic import KerasTensor, NoValues, op
from cornu.variable import Variable


@op
def convert_to_tensor(x, dtype=None, sparse=None, ragged=None):
    """Any array, list or number as a JAX array.

    Args:
        x: an array, list, number, Variable or symbolic tensor.
        dtype: of the result; by default its own, where 64 bits become 32.
        sparse: False makes a sparse array (`jax.experimental.sparse.BCOO`) dense; otherwise it stays one.
        ragged: must not be True: there are no ragged tensors under JAX.

    >>> convert_to_tensor([1, 2], "float32")
    Array([1., 2.], dtype=float32)
    """
    if ragged:
        raise ValueError("convert_to_tensor: JAX has no ragged tensors; pad the rows, as with `pad_sequences`.")
    return tensor(x, dtype)


def convert_to_numpy(x) -> np.ndarray:
    """The values as a NumPy array. Raises an error that is a TypeError and a ValueError for a symbolic tensor."""
    if isinstance(x, (KerasTensor, jax.core.Tracer)):
        raise NoValues(f"convert_to_numpy needs values, and there are none in {x!r}: it is symbolic, or being traced.")
    if isinstance(x, Variable):
        x = x.value
    elif is_sparse(x):
        x = to_dense(x)
    elif hasattr(x, "todense"):
        x = x.todense()
    writable = isinstance(x, np.ndarray) and x.flags.writeable
    return x if writable else np.array(x)  # memory of the caller's own, which may be written to


def is_tensor(x) -> bool:
    """Whether the value is a JAX array, traced ones included; NumPy arrays, Variables and symbolic tensors are not."""
    return isinstance(x, jax.Array) or is_sparse(x)


def dtype(x) -> str:
    """The name of the dtype of a tensor, array or number."""
    return dtypes.standardize(x.dtype if hasattr(x, "dtype") else tensor(x).dtype)


def shape(x) -> tuple:
    """The sizes of the axes; None, or a symbol while shapes are inferred, where one is not known."""
    return tuple(x.shape) if hasattr(x, "shape") else tensor(x).shape


@op
def cast(x, dtype):
    """The tensor in another dtype.

    >>> cast([1.5, 2.0], "int32")
    Array([1, 2], dtype=int32)
    """
    dtype = dtypes.standardize(dtype)
    if isinstance(x, (int, list, tuple, np.ndarray)):
        found = np.asarray(x) if not isinstance(x, (list, tuple)) or _integers_alone(x) else None
        if found is not None and found.dtype.kind in "iu":  # directly: not by way of 32 bits, which wrap
            return tensor(found if dtype in dtypes.FLOATS else found.astype(dtype), dtype)
    return tensor(x).astype(dtype)


def _integers_alone(x) -> bool:
    return all(_integers_alone(i) if isinstance(i, (list, tuple)) else type(i) is int for i in x)


@op
def saturate_cast(x, dtype):
    """The tensor in another dtype, with values that it cannot hold set to the nearest one that it can."""
    x, dtype = tensor(x), dtypes.standardize(dtype)
    if dtype == "bool" or x.dtype == bool or "complex" in dtype:
        return x.astype(dtype)
    limits = jnp.iinfo(dtype) if "int" in dtype else jnp.finfo(dtype)
    if jnp.issubdtype(x.dtype, jnp.integer):
        own = jnp.iinfo(x.dtype)
        if "int" not in dtype:
            return jnp.clip(x.astype("float32"), float(limits.min), float(limits.max)).astype(dtype)
        return jnp.clip(x, max(limits.min, own.min), min(limits.max, own.max)).astype(dtype)
    result = jnp.clip(x, float(limits.min), float(limits.max)).astype(dtype)
    if "int" in dtype:  # the float nearest to the largest integer may be larger than it
        result = jnp.where(x >= float(limits.max), jnp.asarray(limits.max, dtype), result)
    return result


@op
def stop_gradient(variable):
    """The value, taken as a constant by differentiation."""
    return jax.lax.stop_gradient(variable.value if isinstance(variable, Variable) else tensor(variable))


def custom_gradient(f):
    """Decorator: the function states its own gradient.

    Args:
        f: a function that returns its value and a function from the gradient of the value to those of its arguments.

    >>> @custom_gradient
    ... def clipped(x):
    ...     return x, lambda upstream: jnp.clip(upstream, -1, 1)
    >>> jax.grad(lambda x: 5 * clipped(x))(1.0)
    Array(1., dtype=float32, weak_type=True)
    """
    return op(functools.wraps(f)(jax.custom_gradient(f)))


@op
def slice(inputs, start_indices, shape):
    """A block of the tensor; one that would stick out is moved inwards.

    Args:
        inputs: a tensor.
        start_indices: where the block starts, an integer for each axis.
        shape: its size along each axis; -1 for all that follows a start that is a number.
    """
    inputs = tensor(inputs)
    sizes = [d - s if n == -1 else n for n, d, s in zip(integers(shape), inputs.shape, start_indices)] \
        if -1 in tuple(shape) else integers(shape)
    return jax.lax.dynamic_slice(inputs, _starts(start_indices), sizes)


@op
def slice_update(inputs, start_indices, updates):
    """The tensor with a block replaced, from the start indices on.

    Args:
        inputs: a tensor.
        start_indices: where the block starts, an integer for each axis.
        updates: the new values, with as many axes.
    """
    inputs = tensor(inputs)
    return jax.lax.dynamic_update_slice(inputs, tensor(updates).astype(inputs.dtype), _starts(start_indices))


def _starts(indices):
    return tuple(indices) if isinstance(indices, (list, tuple)) else tuple(tensor(indices))


def _places(indices):
    return tuple(jnp.moveaxis(tensor(indices), -1, 0))


@op
def scatter(indices, values, shape):
    """Zeros with values added at the given places.

    Args:
        indices: of shape (..., n), each row a place along the first n axes.
        values: of shape (...) and the sizes of the other axes.
        shape: of the result.
    """
    values = tensor(values)
    return jnp.zeros(integers(shape), values.dtype).at[_places(indices)].add(values)


_REDUCTIONS = {None: "set", "add": "add", "max": "max", "min": "min", "mul": "multiply"}


@op
def scatter_update(inputs, indices, updates, reduction=None):
    """The tensor with values replaced at the given places, or joined with those that stand there.

    Args:
        inputs: a tensor.
        indices: of shape (..., n), each row a place along the first n axes.
        updates: of shape (...) and the sizes of the other axes.
        reduction: None to replace, or "add", "max", "min", "mul".
    """
    check.one_of("reduction", reduction, _REDUCTIONS)
    inputs = tensor(inputs)
    return getattr(inputs.at[_places(indices)], _REDUCTIONS[reduction])(tensor(updates).astype(inputs.dtype))


@op
def unstack(x, num=None, axis=0):
    """The slices along an axis, as a list.

    Args:
        x: a tensor.
        num: how many there are, needed where the size is unknown.
        axis: along which.
    """
    x = tensor(x)
    size = x.shape[axis]
    if not isinstance(size, int):
        if num is None:
            raise ValueError(f"unstack: the size of axis {axis} is not known; pass `num`. Received shape: {x.shape}")
        size = num
    if num is not None and num != size:
        raise ValueError(f"unstack: `num` is {num}, but axis {axis} of a tensor of shape {x.shape} has size {size}.")
    return [jax.lax.index_in_dim(x, i, axis, keepdims=False) for i in range(size)]


__all__ = public(globals())
