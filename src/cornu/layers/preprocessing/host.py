"""What the layers for categories and texts share: they compute with NumPy on the host, before the compiled step."""

import contextlib
import itertools

import jax
import jax.numpy as jnp
import numpy as np

from cornu import check, dtypes, frames, sparse, tree
from cornu.data import SparseRows, aligned, closing, from_numbers, is_iterable_source, source_of
from cornu.layers.preprocessing.data_layer import DataLayer
from cornu.layers.parts import called
from cornu.symbolic import KerasTensor, Words

MODES = ("int", "one_hot", "multi_hot", "count", "tf_idf")
_GATHERED = 4096  # single values that a generator gives are taken in batches of so many


class HostLayer(DataLayer):
    """Base of layers that are computed with NumPy: strings, and integers of 64 bits, have no place in a compiled step.

    A subclass defines `compute(*arrays)`, from NumPy arrays to one NumPy array, and `output_of(*inputs)`, the shape and
    dtype of what it gives. These cannot be inferred: a tensor of strings cannot be traced, and a vocabulary may come
    later. A model computes such layers before its step; where one is called inside a compiled function, it is computed
    by a callback.
    """

    sparse = False  # whether it gives sparse tensors
    on_host = True  # what a model may compute before its compiled step
    takes_text = True

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.built = True

    def _cast(self, value):
        return value

    def call(self, inputs):
        arrays = self._arrays(inputs)
        if any(isinstance(a, jax.core.Tracer) for a in arrays):
            return self._called_back(arrays)
        if any(isinstance(a, Words) for a in arrays):
            return self._supposed(arrays)
        result = self.compute(*(host_array(a, self) for a in arrays))
        if self.sparse:
            return sparse.of_array(result)
        return result if result.dtype.kind == "O" else jax.device_put(result)  # nobody else has it: no copy is needed

    def _arrays(self, inputs) -> list:
        """The inputs one by one."""
        return [inputs]

    def _supposed(self, arrays):
        """Zeros of the output's shape, for its inference: an unknown size depends on the batch, as it may."""
        shape, dtype = self.output_of(*arrays)
        shape = tuple(1 + arrays[0].shape[0] if d is None else d for d in shape)
        if dtype == "string":
            return np.full(shape, "", object).view(Words)
        zeros = jax.device_put(np.zeros(shape, jax.dtypes.canonicalize_dtype(dtype)))
        return sparse.stand_in(zeros) if self.sparse else zeros

    def _called_back(self, arrays):
        shape, dtype = self.output_of(*arrays)
        if dtype == "string":
            raise ValueError(f"{called(self)} gives strings, which a compiled function cannot hold. Call it on the "
                             "results.")
        if None in shape:
            raise ValueError(f"{called(self)}: the size of its output is not known beforehand, so it cannot be "
                             "computed inside a compiled function. Give it fixed sizes (output_sequence_length, a "
                             "vocabulary).")
        struct = jax.ShapeDtypeStruct(tuple(shape), jax.dtypes.canonicalize_dtype(dtype))
        return jax.pure_callback(lambda *a: self.compute(*map(np.asarray, a)).astype(struct.dtype), struct, *arrays)

    def compute_output_spec(self, inputs, **kwargs):
        shape, dtype = self.output_of(*self._arrays(inputs))
        return KerasTensor(shape, dtype if dtype == "string" else jax.dtypes.canonicalize_dtype(dtype), self.sparse)


def host_array(value, owner) -> np.ndarray:
    """Numbers or strings of any kind as a NumPy array; strings as one of objects. ValueError for what is neither."""
    value = value.to_numpy() if hasattr(value, "to_numpy") else value
    value = value.numpy() if type(value).__module__.partition(".")[0] in ("tensorflow", "torch") else value
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{called(owner)}: the input cannot be made into an array: {error}. Give its parts one "
                         "length.") from None
    if array.dtype.kind in "USTO":
        return array.astype(object)
    return array.astype("float32") if array.dtype.name == "bfloat16" else array


def numbers_of(value, owner):
    """Numbers of any kind (an array, lists, or one) as an array of JAX, or a sparse tensor as it is.

    ValueError for strings, complex numbers and what is no array at all.
    """
    if not isinstance(value, jax.Array) and not tree.is_sparse(value):
        value = host_array(value, owner)
        if is_text(value) and value.size:
            first = value.ravel().tolist()[0]
            hint = " For strings there are StringLookup, Hashing and TextVectorization."
            raise ValueError(f"{called(owner)} takes numbers; its input is {_sketch(first)}."
                             + hint * isinstance(first, (str, bytes)))
        value = dtypes.to_jax(value.astype("float32") if is_text(value) else value)
    if jnp.issubdtype(value.dtype, jnp.complexfloating):
        raise ValueError(f"{called(owner)} takes real numbers; its input has dtype {value.dtype}. Pass x.real, or both "
                         "parts: np.stack([x.real, x.imag], axis=-1).")
    return value


def _sketch(value) -> str:
    """A value in a few words: whole only where it is short."""
    return repr(value) if value is None or isinstance(value, (str, bytes)) and len(value) < 60 \
        else f"a {type(value).__name__}"


def is_text(array) -> bool:
    return isinstance(array, np.ndarray) and array.dtype.kind in "USTO"


def strings_of(array: np.ndarray, owner, encoding: str = "utf-8") -> list:
    """The elements of an array of objects as a flat list of `str`. ValueError naming the first that is no string."""
    items = array.ravel().tolist()
    kinds = set(map(type, items))
    if kinds <= {str}:
        return items
    if kinds <= {str, bytes, np.str_, np.bytes_}:
        try:
            return [str(s, encoding) if isinstance(s, bytes) else str(s) for s in items]
        except UnicodeDecodeError as error:
            raise ValueError(f"{called(owner)}: a string is not encoded as {encoding!r}: {error}. Pass the right "
                             "`encoding`.") from None
    index, bad = next((i, s) for i, s in enumerate(items) if not isinstance(s, (str, bytes)))
    place = tuple(int(i) for i in np.unravel_index(index, array.shape)) if array.ndim else ()
    hint = "Missing values need a string of their own, such as ''." if bad is None or bad != bad else ""
    raise ValueError(f"{called(owner)} takes strings, but was given {bad!r} ({type(bad).__name__}) at index {place}. "
                     f"{hint}")


def check_mode(mode, modes, owner: str):
    return check.one_of("output_mode", mode, modes, owner)


def check_sparse(sparse, mode: str, owner: str) -> bool:
    """Whether encodings shall be sparse. ValueError where they are whole numbers, which are no encoding."""
    if sparse and mode == "int":
        raise ValueError(f"{owner}: sparse=True needs an encoding of zeros and other values. Received: "
                         "output_mode='int'. Choose another output_mode, such as 'multi_hot', or leave sparse out.")
    return bool(sparse)


# encodings of indices ----------------------------------------------------------------------------------------------


def encoded_shape(shape, mode: str, depth) -> tuple:
    """The shape of an encoding of indices of the given shape."""
    shape = tuple(shape)
    if mode == "int":
        return shape
    shape = shape or (1,)
    if mode == "one_hot":
        return (*(shape[:-1] if len(shape) > 1 and shape[-1] == 1 else shape), depth)
    return (*shape[:-1], depth)


def encode(ids: np.ndarray, mode: str, depth: int, dtype: str, weights=None) -> np.ndarray:
    """Indices as one-hot rows, or as one row per sample that says which of them are there, or how often.

    Indices below 0 leave no trace. `weights` are the counts' weights, or with "tf_idf" those of the tokens.
    """
    shape = encoded_shape(ids.shape, mode, depth)
    if mode == "one_hot":
        result = aligned((ids.size, depth), dtype, np.zeros)
        flat, rows = ids.reshape(-1), np.arange(ids.size)
    else:
        last = ids.shape[-1] if ids.ndim else 1
        result = aligned((ids.size // last if last else int(np.prod(shape[:-1])), depth), dtype, np.zeros)
        flat, rows = ids.reshape(-1), np.repeat(np.arange(len(result)), last)
    return fill_rows(result, rows, flat, mode, weights).reshape(shape)


def fill_rows(result: np.ndarray, rows, ids, mode: str, weights=None) -> np.ndarray:
    """Put indices into the rows of a table of zeros."""
    inside = ids >= 0
    rows, ids = (rows, ids) if inside.all() else (rows[inside], ids[inside])
    if mode in ("one_hot", "multi_hot"):
        result[rows, ids] = 1
    else:
        np.add.at(result.reshape(-1), rows * result.shape[1] + ids, 1)
    if mode == "tf_idf":
        result *= weights
    return result


# adapt -------------------------------------------------------------------------------------------------------------


class Adaptable:
    """`adapt` for layers that learn their state from data, batch by batch."""

    @frames.filtered
    def adapt(self, data, steps: int | None = None) -> None:
        """Learn the state from data; what was learnt before is forgotten.

        Args:
            data: arrays, lists, frames, a PyDataset, or anything else that gives batches (of `x`, or of `(x, y)`).
            steps: how many batches are taken; all if None.
        """
        self._adapt(data, steps)

    def _adapt(self, data, steps, batch_size=None) -> None:
        self._check_adaptable()
        found = (batch for batch in batches(data, self, steps, batch_size) if 0 not in np.shape(batch))
        first = next(found, None)
        if first is None:
            raise ValueError(f"{called(self)}: adapt was given empty data: an array or list without values, or an "
                             "iterator that is used up. Pass at least one batch.")
        self.reset_state()
        for batch in itertools.chain([first], found):
            self.update_state(batch)
        self.finalize_state()

    def _check_adaptable(self) -> None: ...


def batches(data, owner, steps: int | None = None, batch_size: int | None = None):
    """The data in batches of arrays, without targets."""
    if steps is not None:
        check.positive("steps", steps, type(owner).__name__)
    if isinstance(data, str):
        raise ValueError(f"{called(owner)}: adapt was given one string. Pass a list or array of them.")
    if isinstance(data, list) and data and all(map(_is_batch, data)):
        data = (batch for batch in data)
    if is_iterable_source(data) and not hasattr(data, "max_queue_size"):
        data = _gathered(iter(data))
    whole = not is_iterable_source(data)
    source = source_of(data, batch_size=(2**31 - 1 if batch_size is None else batch_size) if whole else None,
                       steps=None if whole else steps)
    with closing(source), contextlib.closing(source.epoch()) as found:
        for x, _, _ in itertools.islice(found, steps):
            leaves = tree.flatten(x)
            if len(leaves) != 1:
                raise ValueError(f"{called(owner)}: adapt takes one array at a time; the data gives {len(leaves)} "
                                 "together.")
            yield leaves[0].todense() if isinstance(leaves[0], SparseRows) else leaves[0]


def _is_batch(item) -> bool:
    """Whether an item of a list is a batch of its own: an array with axes, or such with its targets."""
    item = item[0] if isinstance(item, tuple) and item else item
    return getattr(item, "ndim", 0) >= 1


def _gathered(items):
    """Batches as they are, lists as arrays; single strings and numbers, many at a time."""
    for item in items:
        item = from_numbers(item)
        if isinstance(item, (str, bytes, int, float, np.generic)):
            rest = itertools.islice(items, _GATHERED - 1)
            item = np.asarray([item, *rest], object if isinstance(item, (str, bytes)) else None)
        yield item
