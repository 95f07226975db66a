"""Gradients that are rows of a table: what a look-up of a few rows gives, without the zeros of all
others.
"""

import jax
import jax.numpy as jnp

from cornu import tree


class IndexedSlices:
    """Values at some rows of an otherwise empty array: the gradient of a table of which few rows
    were read.

    Optimizers take it in the place of an array. Rules for which a row without gradient stays as it
    is (SGD without momentum, Adagrad, each without weight decay) read and write only these rows;
    all others get the dense gradient, so that the result is the same. A
    `jax.experimental.sparse.BCOO` whose one sparse axis is the first is taken likewise.

    Args:
        rows: integers (rows,), each from 0 to shape[0] - 1; a row may stand there several times,
            its values then add up.
        values: an array (rows, *shape[1:]).
        shape: the shape of the whole array.

    Raises ValueError where the shapes do not fit, and for rows out of range where their values are
    known.

    >>> IndexedSlices([2, 0], [[1.0], [2.0]], (3, 1)).todense()
    Array([[2.],
           [0.],
           [1.]], dtype=float32)
    """

    def __init__(self, rows, values, shape):
        self.rows, self.values, self.shape = jnp.asarray(rows), jnp.asarray(values), tuple(map(int, shape))
        told = f"rows of shape {self.rows.shape}, values of shape {self.values.shape}, shape {self.shape}"
        if self.rows.ndim != 1 or not jnp.issubdtype(self.rows.dtype, jnp.integer) and self.rows.size:
            raise ValueError(f"IndexedSlices: `rows` must be a vector of integers. Received: {told}.")
        if not self.shape or self.values.shape != (*self.rows.shape, *self.shape[1:]):
            raise ValueError(f"IndexedSlices: `values` must have the shape (rows, *shape[1:]). Received: {told}.")
        if not isinstance(self.rows, jax.core.Tracer) and self.rows.size:
            low, high = int(self.rows.min()), int(self.rows.max())
            if low < 0 or high >= self.shape[0]:
                raise ValueError(f"IndexedSlices: the rows are 0 to {self.shape[0] - 1}. Received rows from {low} to "
                                 f"{high}.")

    @classmethod
    def _of(cls, rows, values, shape) -> "IndexedSlices":
        self = object.__new__(cls)
        self.rows, self.values, self.shape = rows, values, shape
        return self

    ndim = property(lambda self: len(self.shape))
    dtype = property(lambda self: self.values.dtype)

    def __repr__(self):
        return f"<IndexedSlices of {self.rows.shape[0]} rows, shape={self.shape}, dtype={self.dtype}>"

    def with_values(self, values) -> "IndexedSlices":
        """Other values at the same rows."""
        return self._of(self.rows, values, self.shape)

    def summed(self) -> "IndexedSlices":
        """The same with each row once. Where rows stood several times, rows past the end fill the
        room that is left.
        """
        count = self.rows.shape[0]
        if not count:
            return self
        rows, places = jnp.unique(self.rows, return_inverse=True, size=count, fill_value=self.shape[0])
        return self._of(rows, jax.ops.segment_sum(self.values, places.reshape(-1), count), self.shape)

    def todense(self):
        """The whole array."""
        return jnp.zeros(self.shape, self.dtype).at[self.rows].add(self.values, mode="drop")

    def bcoo(self):
        """The same as a `jax.experimental.sparse.BCOO`."""
        from jax.experimental import sparse

        return sparse.BCOO((self.values, self.rows[:, None]), shape=self.shape)

    def take(self, array):
        """These rows of an array of the whole shape."""
        return array.at[self.rows].get(mode="fill", fill_value=0)

    def put(self, array, values):
        """An array of the whole shape with other values at these rows, each of which must stand
        here once.
        """
        return array.at[self.rows].set(values.astype(array.dtype), mode="drop")

    def astype(self, dtype) -> "IndexedSlices":
        return self.with_values(self.values.astype(dtype))

    def __mul__(self, factor):
        return self.with_values(self.values * factor)

    def __truediv__(self, factor):
        return self.with_values(self.values / factor)

    def __neg__(self):
        return self.with_values(-self.values)

    def __radd__(self, array):
        return array.at[self.rows].add(self.values.astype(array.dtype), mode="drop")

    __add__ = __radd__  # of an array; the sum with one is an array

    def __rsub__(self, array):
        return (-self).__radd__(array)


jax.tree_util.register_pytree_node(IndexedSlices, lambda s: ((s.rows, s.values), s.shape),
                                   lambda shape, parts: IndexedSlices._of(*parts, shape))
tree.register_leaf(IndexedSlices)


def as_gradient(gradient):
    """A gradient as an array, or as IndexedSlices where it is rows."""
    if isinstance(gradient, IndexedSlices):
        return gradient
    if not tree.is_sparse(gradient):
        return jnp.asarray(gradient)
    if getattr(gradient, "n_batch", 1) == 0 and gradient.n_sparse == 1:
        return IndexedSlices._of(gradient.indices[:, 0], gradient.data, gradient.shape)
    return gradient.todense()


def is_sparse(value) -> bool:
    """Whether the value is IndexedSlices or one of JAX's sparse arrays."""
    return isinstance(value, IndexedSlices) or tree.is_sparse(value)


def dense(gradient):
    """A gradient as an array."""
    gradient = as_gradient(gradient)
    return gradient.todense() if isinstance(gradient, IndexedSlices) else gradient


def values_of(gradient):
    """The stored values of a gradient: all of an array."""
    return gradient.values if isinstance(gradient, IndexedSlices) else gradient


def with_values(gradient, values):
    """The gradient with other stored values."""
    return gradient.with_values(values) if isinstance(gradient, IndexedSlices) else values
