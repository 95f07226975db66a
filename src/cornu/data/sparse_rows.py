"""Sparse samples: what SciPy's matrices and JAX's sparse arrays are made into, so that batches of
rows can be taken.
"""

import jax
import numpy as np

from cornu import tree
from cornu.sparse import spread

_ROOM = 16  # a matrix stays sparse where its fullest row holds no more than one value in so many


class SparseRows:
    """Samples that store the same number of values each, in tables whose rows are gathered as those
    of any array.

    Args:
        values: a table (samples, stored).
        places: where the values stand, (samples, stored, axes of a sample). A stored 0 may stand
            anywhere.
        sample_shape: the shape of one sample.

    A batch of them is the BCOO of `tensor`, with the samples as its batch axis.
    """

    def __init__(self, values, places, sample_shape):
        self.values, self.places, self.sample_shape = values, places, tuple(sample_shape)

    shape = property(lambda self: (self.values.shape[0], *self.sample_shape))
    ndim = property(lambda self: len(self.shape))
    dtype = property(lambda self: self.values.dtype)
    nbytes = property(lambda self: self.values.nbytes + self.places.nbytes)

    def __len__(self):
        return self.values.shape[0]

    def __getitem__(self, rows):
        return SparseRows(self.values[rows], self.places[rows], self.sample_shape)

    def astype(self, dtype, copy=True):
        return SparseRows(self.values.astype(dtype), self.places, self.sample_shape)

    def todense(self) -> np.ndarray:
        """All samples as one array."""
        dense = np.zeros(self.shape, self.dtype)
        rows = np.broadcast_to(np.arange(len(self))[:, None], self.values.shape)
        np.add.at(dense, (rows, *np.moveaxis(np.asarray(self.places), -1, 0)), np.asarray(self.values))
        return dense

    def tensor(self):
        """The samples as a BCOO."""
        from jax.experimental import sparse

        return sparse.BCOO((self.values, self.places), shape=self.shape)


jax.tree_util.register_pytree_node(SparseRows, lambda s: ((s.values, s.places), s.sample_shape),
                                   lambda shape, tables: SparseRows(*tables, shape))
tree.register_leaf(SparseRows)


def as_tensors(batch):
    """The batch with sparse tensors in place of sparse samples."""
    return jax.tree.map(lambda a: a.tensor() if isinstance(a, SparseRows) else a, batch,
                        is_leaf=lambda a: isinstance(a, SparseRows))


def from_jax(array, room: int | None = None) -> SparseRows:
    """One of JAX's sparse arrays as sparse samples; see `from_places`."""
    array = array if hasattr(array, "n_batch") and hasattr(array, "update_layout") else array.to_bcoo()
    array = spread(array).update_layout(n_batch=0, n_dense=0, on_inefficient=None)
    values, places = np.asarray(array.data), np.asarray(array.indices)
    inside = ((places >= 0) & (places < array.shape)).all(axis=-1)  # what is not is padding
    return from_places(values[inside], places[inside], array.shape, room)


def from_scipy(matrix, room: int | None = None) -> SparseRows | None:
    """A SciPy matrix as sparse samples; None where that does not pay: its rows are too full, or too
    different.
    """
    matrix = matrix.tocsr()
    fullest = int(np.diff(matrix.indptr).max(initial=0))
    if fullest * _ROOM > matrix.shape[-1] or matrix.ndim != 2:
        return None
    matrix = matrix.tocoo()
    return from_places(matrix.data, np.stack([matrix.row, matrix.col], axis=-1), matrix.shape, room)


def from_places(values, places, shape, room: int | None = None) -> SparseRows:
    """Sparse samples of values and their places in an array of the given shape.

    `room` is how many values each sample stores, if more than the fullest one needs.
    """
    order = np.argsort(places[:, 0], kind="stable")
    values, places = values[order], places[order].astype("int32")
    lengths = np.bincount(places[:, 0], minlength=shape[0])
    room = max(room or 1, int(lengths.max(initial=1)))
    inside = np.arange(room) < lengths[:, None]
    table = np.zeros(inside.shape, values.dtype)
    where = np.zeros((*inside.shape, len(shape) - 1), "int32")
    table[inside], where[inside] = values, places[:, 1:]
    return SparseRows(table, where, shape[1:])


def joined(parts) -> SparseRows:
    """The samples of several parts, one after another."""
    room = max(part.values.shape[1] for part in parts)
    parts = [_with_room(part, room) for part in parts]
    return SparseRows(np.concatenate([p.values for p in parts]), np.concatenate([p.places for p in parts]),
                      parts[0].sample_shape)


def rounded(rows: SparseRows) -> SparseRows:
    """The samples with room for a power of two of values each, so that batches have few shapes."""
    return _with_room(rows, 1 << max(0, rows.values.shape[1] - 1).bit_length())


def _with_room(rows: SparseRows, room: int) -> SparseRows:
    more = room - rows.values.shape[1]
    return SparseRows(np.pad(rows.values, ((0, 0), (0, more))), np.pad(rows.places, ((0, 0), (0, more), (0, 0))),
                      rows.sample_shape)
