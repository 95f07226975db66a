"""Data of every kind, as batches `(x, y, sample_weight)` of nested arrays.

`source_of` picks the adapter. An ArraySource knows all its samples, so a trainer may keep them on the device and gather
batches there; the others give batches one after another.
"""

import collections.abc
import itertools
import math

import numpy as np

from cornu import check, tree


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


def as_array(value, what: str):
    """One part of the data as an array; ValueError for what is none (ragged lists, objects, empty arrays)."""
    if hasattr(value, "to_numpy") and hasattr(value, "columns") or hasattr(value, "to_numpy") and hasattr(value, "name"):
        value = value.to_numpy()  # frames and series of pandas and polars
    elif type(value).__module__.partition(".")[0] == "torch":
        value = value.detach().cpu().numpy()
    elif type(value).__module__.startswith("scipy.sparse"):
        value = value.toarray()
    elif hasattr(value, "numpy") and not hasattr(value, "__jax_array__"):
        value = value.numpy()
    if not hasattr(value, "shape"):
        try:
            value = np.asarray(value)
        except ValueError as error:
            raise ValueError(f"{what} cannot be made into an array: {error}. Give its parts one common shape.") from None
    if getattr(value, "ndim", 0) == 0:
        raise ValueError(f"{what} is a single value ({value!r:.60}), not an array of samples.")
    if len(value) == 0:
        raise ValueError(f"{what} is empty: it has shape {tuple(value.shape)}, so there is nothing to run on.")
    kind = value.dtype.kind if isinstance(value.dtype, np.dtype) else "f"
    if kind == "O":
        value = _from_objects(value, what)
    if kind == "f" and value.dtype == np.float64 and isinstance(value, np.ndarray):
        from cornu import config

        value = value.astype(config.floatx())
    return value


def _from_objects(value, what: str):
    flat = value.reshape(-1)
    if all(isinstance(v, (str, bytes)) for v in flat[:64]):
        return value
    try:
        return np.stack([np.asarray(v) for v in flat]).reshape(*value.shape, *np.shape(flat[0])) \
            if np.ndim(flat[0]) else value.astype("float32")
    except (TypeError, ValueError):
        raise ValueError(f"{what} is an array of Python objects ({type(flat[0]).__name__}, ...), which has no numeric "
                         "dtype. Convert it to numbers (or to strings, for text) first.") from None


def is_text(array) -> bool:
    """Whether an array holds strings, which stay on the host."""
    return isinstance(array.dtype, np.dtype) and array.dtype.kind in "OSUT"


def split(arrays, fraction: float, what: str = "validation_split"):
    """The samples before and after the cut: the last `fraction` of them is the second part."""
    check.between(what, fraction, 0.0, 1.0)
    flat = [a for a in tree.flatten(arrays) if a is not None]
    for a in flat:
        if not hasattr(a, "shape"):
            raise ValueError(f"`{what}` needs arrays; it was given {type(a).__name__}. Pass validation_data instead.")
    samples = len(flat[0])
    cut = int(math.floor(samples * (1.0 - fraction)))
    if not 0 < cut < samples:
        raise ValueError(f"{what}={fraction} of {samples} samples leaves no samples on one side.")
    return (tree.map_structure(lambda a: None if a is None else a[:cut], arrays),
            tree.map_structure(lambda a: None if a is None else a[cut:], arrays))


def class_weights_for(y, class_weight: dict):
    """The weight of every sample, from the weights of the classes (integers or one-hot rows)."""
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


class ArraySource:
    """All samples in memory (or in a memory map): nested arrays of equal length.

    Args:
        data: the triple (x, y, sample_weight); None for missing parts.
        batch_size: samples per batch.
        shuffle: True, False, or "batch" (whole batches change places).
    """

    def __init__(self, data, batch_size: int, shuffle=False, names=("x", "y", "sample_weight")):
        parts = []
        for part, name in zip(data, names):
            found = tree.flatten_with_path(part) if part is not None else []
            parts.append(tree.pack_sequence_as(part, [
                None if v is None else as_array(v, f"`{name}`" + "".join(f"[{k!r}]" for k in path)) for path, v in found])
                if part is not None else None)
        self.data = tuple(parts)
        lengths = {f"{name}" + "".join(f"[{k!r}]" for k in path): len(v) for part, name in zip(self.data, names)
                   if part is not None for path, v in tree.flatten_with_path(part) if v is not None}
        if not lengths:
            raise ValueError("There is no data: x is None.")
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{k} has {v}" for k, v in lengths.items())
            raise ValueError(f"All arrays need the same number of samples, but {told}.")
        self.samples = next(iter(lengths.values()))
        self.batch_size = check.positive("batch_size", batch_size)
        self.shuffle = check.one_of("shuffle", shuffle, (True, False, "batch"))
        self.steps = -(-self.samples // self.batch_size)

    def order(self, seed: int, epoch: int):
        """The order of the samples in an epoch, a function of the seed and the epoch alone; None for as they are."""
        if not self.shuffle:
            return None
        generator = np.random.Generator(np.random.Philox(key=[seed, epoch]))
        if self.shuffle == "batch":
            whole = self.samples // self.batch_size * self.batch_size
            batches = generator.permutation(whole // self.batch_size)[:, None] * self.batch_size
            order = (batches + np.arange(self.batch_size)).reshape(-1)
            return np.concatenate([order, np.arange(whole, self.samples)]).astype("int32")
        return generator.permutation(self.samples).astype("int32")

    def passes(self, epoch: int, limit: int | None = None):
        """The parts of passes over the data that make up an epoch, as (pass, first step, end).

        An epoch is one pass, or `limit` steps; then the next epoch goes on where this one stopped.
        """
        if limit is None or limit == self.steps:
            yield epoch, 0, self.steps
            return
        step, end = epoch * limit, (epoch + 1) * limit
        while step < end:
            turn, start = divmod(step, self.steps)
            stop = min(self.steps, start + end - step)
            yield turn, start, stop
            step += stop - start

    def epoch(self, seed: int = 0, turn: int = 0, start: int = 0, stop: int | None = None):
        """The batches start to stop of a pass, as host arrays."""
        order = self.order(seed, turn)
        for step in range(start, self.steps if stop is None else stop):
            part = slice(step * self.batch_size, (step + 1) * self.batch_size)
            rows = part if order is None else order[part]
            yield tree.map_structure(lambda a: None if a is None else a[rows], self.data)

    def first(self):
        """A first batch, to learn shapes from."""
        return tree.map_structure(lambda a: None if a is None else a[:self.batch_size], self.data)

    @property
    def text(self) -> bool:
        return any(is_text(a) for a in tree.flatten(self.data) if a is not None)


class IterableSource:
    """Batches from an iterable, generator or loader; one pass per epoch, or `steps` batches of an endless one.

    Args:
        iterable: gives batches `x`, `(x, y)` or `(x, y, sample_weight)`.
        steps: the number of batches in an epoch, if it is to be limited.
        class_weight: weights per class, turned into sample weights batch by batch.
    """

    samples = None
    text = False

    def __init__(self, iterable, steps: int | None = None, class_weight: dict | None = None):
        self.iterable, self.class_weight = iterable, class_weight
        self.once = isinstance(iterable, collections.abc.Iterator)
        self.known = len(iterable) if hasattr(iterable, "__len__") else None
        self.limit = steps
        self.steps = steps if steps is not None else self.known
        self.batch_size = None
        self._running, self._peeked = None, []

    def first(self):
        if not self._peeked:
            if self._running is None:
                self._running = iter(self.iterable)
            try:
                self._peeked = [next(self._running)]
            except StopIteration:
                raise ValueError("The data gave no batch at all: it is empty" +
                                 (", or it was used up before." if self.once else ".")) from None
        return self._batch(self._peeked[0])

    def epoch(self, seed: int = 0, epoch: int = 0, limit: int | None = None):
        """The batches of an epoch as host arrays."""
        fresh = self._running is None or not (self.once or self.limit is not None) and not self._peeked
        if fresh:
            self._running = iter(self.iterable)
        ahead, self._peeked = self._peeked, []
        batches = itertools.chain(ahead, self._running)
        for batch in itertools.islice(batches, self.limit if limit is None else limit):
            yield self._batch(batch)
        if not self.once and (self.limit is None or self.limit == self.known):
            self._running = None  # the next epoch starts anew
            if hasattr(self.iterable, "on_epoch_end"):
                self.iterable.on_epoch_end()

    def _batch(self, batch):
        x, y, weight = unpack_x_y_sample_weight(batch)
        if self.class_weight is not None and weight is None:
            weight = class_weights_for(y, self.class_weight)
        return tree.map_structure(lambda a: None if a is None else as_array(a, "a batch"), (x, y, weight))


def is_iterable_source(x) -> bool:
    """Whether data gives batches by itself (a generator, loader or dataset) rather than being arrays."""
    if isinstance(x, (list, tuple, dict, str)) or hasattr(x, "shape") or hasattr(x, "to_numpy"):
        return False
    return hasattr(x, "__iter__") or hasattr(x, "__getitem__")


def source_of(x, y=None, sample_weight=None, batch_size=None, shuffle=False, steps=None, class_weight=None):
    """The source for what a user passes as x, y and sample_weight.

    Raises ValueError where targets or weights are given beside data that brings its own.
    """
    if x is None:
        raise ValueError("There is no data: x is None.")
    if is_iterable_source(x):
        for name, value in (("y", y), ("sample_weight", sample_weight)):
            if value is not None:
                raise ValueError(f"`{name}` cannot be given when x is a {type(x).__name__}: its batches bring their own.")
        return IterableSource(x, steps, class_weight)
    if class_weight is not None:
        if sample_weight is not None:
            raise ValueError("Give either class_weight or sample_weight, not both.")
        sample_weight = class_weights_for(y, class_weight)
    if batch_size is None and steps is not None:  # as Keras: the samples are divided among the steps
        batch_size = -(-len(tree.flatten(x)[0]) // check.positive("steps", steps))
    return ArraySource((x, y, sample_weight), 32 if batch_size is None else batch_size, shuffle)
