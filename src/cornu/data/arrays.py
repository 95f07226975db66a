"""Parts of the data as arrays: what each kind of input is made into, and what is split off, weighted or refused."""

import math

import jax
import numpy as np

from cornu import check, config, dtypes, tree
from cornu.data.sparse_rows import SparseRows, from_jax, from_scipy, rounded


def unpack_x_y_sample_weight(data) -> tuple:
    """`x`, `(x,)`, `(x, y)` or `(x, y, sample_weight)` as a triple with None for what is missing."""
    if isinstance(data, list):
        data = tuple(data)
    if not isinstance(data, tuple):
        return data, None, None
    if 1 <= len(data) <= 3:
        return (*data, None, None)[:3]
    raise ValueError("A batch is x, (x,), (x, y) or (x, y, sample_weight). "
                     f"Received a {type(data).__name__} of {len(data)} parts.")


def pack_x_y_sample_weight(x, y=None, sample_weight=None):
    """The inverse of `unpack_x_y_sample_weight`.

    >>> pack_x_y_sample_weight(1)
    1
    """
    if y is None:
        return (x,) if isinstance(x, (list, tuple)) else x
    return (x, y) if sample_weight is None else (x, y, sample_weight)


# Arrays ------------------------------------------------------------------------------------------------------------


_DENSE = 2**28  # bytes: a sparse matrix that is larger when dense is made dense batch by batch


class Rows:
    """An array that stays where it is (a file, a sparse matrix); batches of its rows are read when they are needed."""

    def __init__(self, source, dtype):
        self.source, self.shape, self.dtype = source, tuple(source.shape), np.dtype(dtype)

    ndim = property(lambda self: len(self.shape))
    nbytes = property(lambda self: math.prod(self.shape) * self.dtype.itemsize)

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        if isinstance(rows, slice) or isinstance(self.source, np.ndarray):
            return self._dense(self.source[rows])
        ordered, back = np.unique(rows, return_inverse=True)  # files are read in order, each row once
        return self._dense(self.source[ordered])[back]

    def _dense(self, part):
        part = part.toarray() if hasattr(part, "toarray") else np.asarray(part)
        return part.astype(self.dtype, copy=False)

    def __array__(self, dtype=None, copy=None):
        return self[:].astype(dtype or self.dtype, copy=False)


def as_array(value, what: str, sparse: bool = False, batch: bool = False):
    """One part of the data as an array; ValueError for what is none (ragged lists, objects, empty arrays).

    Args:
        value: the array, list, frame, matrix ...
        what: its name, for messages.
        sparse: whether sparse arrays, and sparse matrices where it pays, stay sparse.
        batch: whether it is one batch of many.
    """
    found = _as_sparse(value) if sparse else None
    if found is not None:
        if len(found) == 0:
            raise ValueError(f"{what} is empty: it has shape {found.shape}, so there is nothing to run on.")
        found = found.astype(config.floatx()) if found.dtype == np.float64 else found
        return rounded(found) if batch else found
    value = _foreign(value)
    if not hasattr(value, "shape"):
        try:
            value = np.asarray(value)
        except ValueError as error:
            raise ValueError(f"{what} cannot be made into an array: {error}. Give its parts one common shape.") from None
    if not hasattr(value, "ndim"):
        value = np.asarray(value) if not hasattr(value, "dtype") else Rows(value, value.dtype)
    if value.ndim == 0:
        raise ValueError(f"{what} is a single value ({value!r:.60}), not an array of samples.")
    if len(value) == 0:
        raise ValueError(f"{what} is empty: it has shape {tuple(value.shape)}, so there is nothing to run on.")
    kind = value.dtype.kind if isinstance(value.dtype, np.dtype) else "f"
    if kind == "O":
        value = _from_objects(value, what)
    elif isinstance(value, np.ndarray) and not (isinstance(value, np.memmap) and kind in "iufc"):
        value = dtypes.native(value, what)
    if isinstance(value, np.memmap) or not (isinstance(value, (np.ndarray, Rows)) or hasattr(value, "__jax_array__")
                                            or hasattr(value, "addressable_shards")):
        value = Rows(value, value.dtype)
    if value.dtype == np.float64:
        if isinstance(value, Rows):
            value.dtype = np.dtype(config.floatx())
        elif isinstance(value, np.ndarray):
            value = value.astype(config.floatx())
    return value


def _as_sparse(value):
    """The value as sparse samples; None where it is dense, or better made so."""
    if isinstance(value, SparseRows):
        return value
    if tree.is_sparse(value):
        return from_jax(value) if value.ndim > 1 else None
    if type(value).__module__.partition(".")[0] == "scipy" and hasattr(value, "tocsr") and len(value.shape) == 2:
        return from_scipy(value)
    return None


def _foreign(value):
    """Frames, series, tables, tensors and sparse matrices of other packages, none of which is imported here."""
    package = type(value).__module__.partition(".")[0]
    if package == "torch":
        return value.detach().cpu().numpy()
    if tree.is_sparse(value) or isinstance(value, SparseRows):
        return np.asarray(value.todense())
    if package == "scipy" and hasattr(value, "toarray"):
        size = math.prod(value.shape) * value.dtype.itemsize
        return value.toarray() if size <= _DENSE else Rows(value.tocsr(), value.dtype)
    if package == "pyarrow":
        if hasattr(value, "column_names"):  # a table: its columns side by side, as in a frame
            return np.column_stack([column.to_numpy() for column in value.columns])
        return np.asarray(value)
    if hasattr(value, "to_numpy"):  # frames and series of pandas and polars
        return value.to_numpy()
    if package == "datasets" and not hasattr(value, "shape"):  # a column
        return np.asarray(value)
    if hasattr(value, "numpy") and not hasattr(value, "__jax_array__"):
        return value.numpy()
    return value


def _from_objects(value, what: str):
    flat = value.reshape(-1)
    if any(isinstance(v, (str, bytes)) for v in flat[:64]):  # the layer that reads them says which one is none
        return value
    try:
        return np.stack([np.asarray(v) for v in flat]).reshape(*value.shape, *np.shape(flat[0])) \
            if np.ndim(flat[0]) else value.astype("float32")
    except (TypeError, ValueError):
        raise ValueError(f"{what} is an array of Python objects ({type(flat[0]).__name__}, ...), which has no numeric "
                         "dtype. Convert it to numbers (or to strings, for text) first.") from None


def is_empty(x) -> bool:
    """Whether the data is arrays (or lists) without a single sample."""
    leaves = [a for a in tree.flatten(x) if a is not None]
    if isinstance(x, (list, tuple, dict)) and not leaves:
        return True
    return bool(leaves) and all(getattr(a, "shape", (1,))[:1] == (0,) for a in leaves)


def columns_of(frame, names):
    """A frame's columns of these names as a dict; what is no frame, or lacks one of them, is returned as it is.

    A column of (samples,) becomes (samples, 1), as a table of one column.
    """
    columns = getattr(frame, "columns", None)
    if columns is None or not hasattr(frame, "to_numpy") or not set(names) <= set(columns):
        return frame
    return {name: np.asarray(frame[name].to_numpy()).reshape(-1, 1) for name in names}


def take(array: np.ndarray, rows, room: int = 0):
    """The rows of an array, in memory that the CPU device uses without a copy, with room for at least `room` rows."""
    if isinstance(rows, slice):
        if rows.stop - rows.start >= room:
            return array[rows]
        memory = aligned((room, *array.shape[1:]), array.dtype)
        memory[:rows.stop - rows.start] = array[rows]
        return memory
    memory = aligned((max(len(rows), room), *array.shape[1:]), array.dtype)
    np.take(array, rows, axis=0, out=memory[:len(rows)], mode="clip")
    return memory


def join(batches: list, room: int):
    """Batches of one shape side by side, in memory with room for `room` of them, in dtypes that JAX has."""
    def side_by_side(*parts):
        size = len(parts[0])
        memory = aligned((room * size, *parts[0].shape[1:]), jax.dtypes.canonicalize_dtype(parts[0].dtype))
        for place, part in enumerate(parts):
            memory[place * size:(place + 1) * size] = dtypes.narrow(part, "A batch") if isinstance(part, np.ndarray) else part
        return memory

    return jax.tree.map(side_by_side, *batches)


def aligned(shape, dtype, make=np.empty) -> np.ndarray:
    """Fresh memory (`np.empty` or `np.zeros`) at an address divisible by 64: XLA:CPU copies what lies elsewhere."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = make(size + 64, "uint8")
    start = -memory.__array_interface__["data"][0] % 64
    return memory[start:start + size].view(dtype).reshape(shape)


def is_text(array) -> bool:
    """Whether an array holds strings, which stay on the host."""
    return isinstance(array.dtype, np.dtype) and array.dtype.kind in "OSUT"


class _Column:
    """A column of a Hugging Face Dataset, which is read from its file as it is needed."""

    def __init__(self, data, name):
        self.data, self.name = data.with_format("numpy"), name
        first = np.asarray(self[:1])
        self.shape, self.dtype = (len(data), *first.shape[1:]), first.dtype

    def __getitem__(self, rows):
        return self.data[rows][self.name]


def _columns(data):
    """A Hugging Face Dataset as a dict of its columns, or as its one column."""
    names = data.column_names
    found = {n: _Column(data, n) for n in names}
    if (data.data.nbytes or 0) <= _DENSE:
        found = {n: np.asarray(column[:]) for n, column in found.items()}
    return found if len(names) > 1 else found[names[0]]


def from_numbers(part):
    """Nested lists of plain numbers or strings as one array, also in a dict; everything else as it is."""
    if type(part).__module__.partition(".")[0] == "datasets" and hasattr(part, "column_names"):
        return _columns(part)
    if isinstance(part, dict) and tree.is_nested(part):
        return {k: from_numbers(v) for k, v in part.items()}
    inner = part
    while isinstance(inner, (list, tuple)) and inner:
        inner = inner[0]
    if inner is not part and isinstance(inner, (bool, int, float, str, bytes)):
        try:
            return np.asarray(part, object if isinstance(inner, (str, bytes)) else None)
        except ValueError:
            pass  # lists of several lengths: as_array will say so
    return part


def sliceable(value):
    """The value, or an array in its place where its rows cannot be sliced (tables, some sparse matrices)."""
    package = type(value).__module__.partition(".")[0]
    if package == "scipy" and hasattr(value, "tocsr"):
        return value.tocsr()
    if tree.is_sparse(value) and value.ndim > 1:
        return from_jax(value)
    return _foreign(value) if package in ("pyarrow", "pandas", "polars") else value


def split(arrays, fraction: float, what: str = "validation_split"):
    """The samples before and after the cut: the last `fraction` of them is the second part."""
    check.between(what, fraction, 0.0, 1.0)
    arrays = tree.map_structure(lambda a: None if a is None else sliceable(a), tuple(map(from_numbers, arrays)))
    flat = [a for a in tree.flatten(arrays) if a is not None]
    for a in flat:
        if not hasattr(a, "shape"):
            raise ValueError(f"`{what}` needs arrays; it was given {type(a).__name__}. Pass validation_data instead.")
    samples = flat[0].shape[0]
    cut = int(math.floor(samples * (1.0 - fraction)))
    if not 0 < cut < samples:
        raise ValueError(f"{what}={fraction} of {samples} samples leaves no samples on one side.")
    return (tree.map_structure(lambda a: None if a is None else a[:cut], arrays),
            tree.map_structure(lambda a: None if a is None else a[cut:], arrays))


def class_weights_for(y, class_weight: dict):
    """The weight of every sample, from the weights of the classes (integers or one-hot rows)."""
    if not hasattr(class_weight, "items"):
        raise ValueError("`class_weight` is a dict of class number -> weight, such as {0: 1.0, 1: 3.0}. "
                         f"Received: class_weight={class_weight!r:.60}")
    leaves = tree.flatten(y)
    if y is None or len(leaves) != 1:
        raise ValueError("`class_weight` needs a single array of targets. Use sample_weight for several outputs.")
    y = np.asarray(leaves[0])
    classes = y.argmax(-1) if y.ndim > 1 and y.shape[-1] > 1 else np.round(y.reshape(-1)).astype("int64")
    if classes.ndim > 1:
        raise ValueError(f"`class_weight` needs targets of shape (samples,), (samples, 1) or (samples, classes); "
                         f"received {y.shape}. Use sample_weight instead.")
    weights = np.ones(len(classes), "float32")
    for number, weight in class_weight.items():
        weights[classes == int(number)] = weight
    return weights
