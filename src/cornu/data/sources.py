"""Sources: adapters from what users pass as data to batches `(x, y, sample_weight)` of nested arrays.

`source_of` picks one. An ArraySource knows all its samples, so a trainer may keep them on the device and gather batches
there; an IndexedSource (PyDataset) knows its batches by number; an IterableSource only takes one after another.
"""

import collections.abc
import contextlib
import itertools
import sys

import numpy as np

from cornu import check, frames, tree
from cornu.data.arrays import as_array, class_weights_for, from_numbers, is_text, unpack_x_y_sample_weight
from cornu.data.generators import fingerprint, note, own_states, recall, set_own_states
from cornu.data.py_dataset import PyDataset
from cornu.data.workers import Pool, noted


def passes(steps: int, epoch: int, limit: int | None, skip: int):
    """The parts of passes over data of so many steps that make up an epoch, as (pass, first step, end).

    An epoch is one pass, or `limit` steps; then the next epoch goes on where this one stopped.
    """
    length = steps if limit is None else limit
    step, end = epoch * length + skip, (epoch + 1) * length
    while step < end:
        turn, start = divmod(step, steps)
        stop = min(steps, start + end - step)
        yield turn, start, stop
        step += stop - start


class Source:
    """Base of sources: what the training loop asks of each."""

    text = False  # whether there are strings in the data
    is_ahead = False  # whether batches are prepared before they are asked for
    marks = False  # whether a mark is wanted with every batch
    mark = None  # that of the batch that is being trained on
    recorded = False  # whether the run is saved, so that what it would take to repeat the data is noted

    def used_up(self) -> bool:
        return False

    def get_state(self):
        """Where the data stands, for exact resume; None where there is nothing to know."""
        return None

    def close(self) -> None: ...


class ArraySource(Source):
    """All samples in memory (or in a memory map): nested arrays of equal length.

    Args:
        data: the triple (x, y, sample_weight); None for missing parts.
        batch_size: samples per batch.
        shuffle: True, False, or "batch" (whole batches change places).
    """

    def __init__(self, data, batch_size: int, shuffle=False, names=("x", "y", "sample_weight")):
        parts = []
        for part, name in zip(map(from_numbers, data), names):
            found = tree.flatten_with_path(part) if part is not None else []
            parts.append(tree.pack_sequence_as(part, [
                None if v is None else as_array(v, f"`{name}`" + "".join(f"[{k!r}]" for k in path), sparse=name == "x") for path, v in found])
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

    def sample(self, seed: int, epoch: int, limit: int | None, step: int, row: int) -> int:
        """The number of the sample that is a row of a step's batch."""
        turn, start, _ = next(self.passes(epoch, limit, step))
        place, order = start * self.batch_size + row, self.order(seed, turn)
        return place if order is None else int(order[place])

    def passes(self, epoch: int, limit: int | None = None, skip: int = 0):
        """The parts of passes over the data that make up an epoch without its first `skip` steps."""
        return passes(self.steps, epoch, limit, skip)

    def epoch(self, seed: int = 0, turn: int = 0, start: int = 0, stop: int | None = None):
        """The batches start to stop of a pass, as host arrays."""
        order = self.order(seed, turn)
        for step in range(start, self.steps if stop is None else stop):
            part = slice(step * self.batch_size, (step + 1) * self.batch_size)
            rows = part if order is None else order[part]
            yield tree.map_structure(lambda a, rows=rows: None if a is None else a[rows], self.data)

    def first(self):
        """A first batch, to learn shapes from."""
        return tree.map_structure(lambda a: None if a is None else a[:self.batch_size], self.data)

    @property
    def text(self) -> bool:
        return any(is_text(a) for a in tree.flatten(self.data) if a is not None)


class BatchSource(Source):
    """Base of sources whose data comes in batches."""

    samples = batch_size = None

    def __init__(self, data, steps: int | None = None, class_weight: dict | None = None):
        self.data, self.limit, self.class_weight = data, steps, class_weight
        self.known = length_of(data)
        self.steps = steps if steps is not None else self.known

    def _batch(self, batch):
        x, y, weight = unpack_x_y_sample_weight(batch)
        if self.class_weight is not None and weight is None:
            weight = class_weights_for(y, self.class_weight)
        x = tree.map_structure(lambda a: None if a is None else as_array(a, "a batch", sparse=True, batch=True), x)
        return x, *tree.map_structure(lambda a: None if a is None else as_array(a, "a batch"), (y, weight))

    def _tell(self, event: str) -> None:
        getattr(self.data, event, lambda: None)()

    def get_state(self):
        """Where the data stands, for exact resume; see `set_state`."""
        for name in ("get_state", "state_dict"):
            if hasattr(self.data, name):
                return {"own": getattr(self.data, name)()}
        return None

    def _set_own(self, state) -> bool:
        """Give the data the state that it told of itself."""
        if not state or "own" not in state:
            return False
        getattr(self.data, "set_state" if hasattr(self.data, "set_state") else "load_state_dict")(state["own"])
        return True


class IndexedSource(BatchSource):
    """Batches by number, from a PyDataset, prepared ahead by its workers.

    Args:
        data: has `__getitem__`, and its length or `num_batches`.
        shuffle: whether the batches' order changes every epoch.
        steps, class_weight: as for an IterableSource.
    """

    def __init__(self, data, steps=None, class_weight=None, shuffle=False):
        super().__init__(data, steps, class_weight)
        self.known = data.num_batches if hasattr(data, "num_batches") else self.known
        self.steps = steps if steps is not None else self.known
        if self.steps is None:
            raise ValueError(f"The {type(data).__name__} has no end (num_batches is None): pass steps_per_epoch, or "
                             "`steps` or `validation_steps`.")
        self.shuffle, self._pool, self._first, self._epochs = shuffle, None, None, 0
        self._events: list = []  # the random states before each event that the data was told of

    def first(self):
        if self._first is None:
            if self.known == 0:
                raise ValueError(f"The {type(self.data).__name__} has no batch: its length is 0.")
            own = not getattr(self.data, "use_multiprocessing", False)  # what may kill a worker shall not kill the training
            self._first = self._batch(next(self._own_results([0]) if own else self._results([0])))
        return self._first

    def _indices(self, seed, epoch, limit, skip):
        if self.known is None:
            start = (limit or 0) * epoch + skip
            return itertools.count(start) if limit is None else range(start, (epoch + 1) * limit)
        return itertools.chain.from_iterable(
            np.random.Generator(np.random.Philox(key=[seed, turn])).permutation(self.known)[start:stop].tolist()
            if self.shuffle else range(start, stop) for turn, start, stop in passes(self.known, epoch, limit, skip))

    def epoch(self, seed: int = 0, epoch: int = 0, limit: int | None = None, skip: int = 0):
        """The batches of an epoch as host arrays, without the first `skip`."""
        if not skip:
            self._tell("on_epoch_begin")
        for batch in self._results(self._indices(seed, epoch, self.limit if limit is None else limit, skip)):
            yield self._batch(batch)
        self._epochs += 1
        self._tell("on_epoch_end")

    def _results(self, indices):
        data = self.data
        if not self.is_ahead:
            return self._own_results(indices)
        if self._pool is None:
            workers = max(getattr(data, "workers", 1), 1)
            ahead = getattr(data, "max_queue_size", 10) or workers
            self._pool = Pool(data, workers, ahead, getattr(data, "use_multiprocessing", False))
        elif _overrides(data, "on_epoch_begin") or _overrides(data, "on_epoch_end"):
            self._pool.renew(data)
        return self._pool.results(indices)

    def _own_results(self, indices):
        for index in indices:
            try:
                batch = self.data[index]
            except Exception as error:
                raise noted(error, index)
            yield batch

    def _tell(self, event: str) -> None:
        if self.recorded and _overrides(self.data, event):
            note(self._events, self.data)
        super()._tell(event)

    def get_state(self):
        return super().get_state() or {"epochs": self._epochs, "events": list(self._events), "now": own_states(self.data)}

    def set_state(self, state, step: int = 0) -> None:
        """Put the dataset where it stood, by its own `set_state`, or by repeating its calls round the epochs.

        They draw what they drew then, whatever was drawn between them.
        """
        if self._set_own(state):
            return
        events = [*["on_epoch_begin", "on_epoch_end"] * state["epochs"], *["on_epoch_begin"] * bool(step)]
        for index, event in enumerate(e for e in events if _overrides(self.data, e)):
            recall(state["events"], index, self.data)
            getattr(self.data, event)()
        self._epochs, self._events = state["epochs"], list(state["events"])
        set_own_states(self.data, state["now"])

    @property
    def is_ahead(self) -> bool:
        return getattr(self.data, "workers", 1) > 1 or getattr(self.data, "use_multiprocessing", False)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.close()
            self._pool = None


def _overrides(data, event: str) -> bool:
    return getattr(type(data), event, None) not in (None, getattr(PyDataset, event))


class IterableSource(BatchSource):
    """Batches from an iterable, generator or loader; one pass per epoch, or `steps` batches of an endless one.

    Args:
        data: gives batches `x`, `(x, y)` or `(x, y, sample_weight)`.
        steps: the number of batches in an epoch, if it is to be limited.
        class_weight: weights per class, turned into sample weights batch by batch.
    """

    def __init__(self, data, steps: int | None = None, class_weight: dict | None = None):
        super().__init__(data, steps, class_weight)
        self.once = isinstance(data, collections.abc.Iterator)
        self._running, self._peeked, self._first, self._passes, self._taken = None, [], None, 0, 0
        self._noted: list = []  # the random states before each pass but the first (`first` begins it), and before each end
        self._again = None  # those of a run that is being repeated
        self._print = 0  # the fingerprint of all batches so far

    def first(self):
        if self._first is None:
            self._running = iter(self.data)
            try:
                self._peeked = [next(self._running)]
            except StopIteration:
                raise ValueError("The data gave no batch at all: it is empty" +
                                 (", or it was used up before." if self.once else ".")) from None
            self._first = self._batch(self._peeked[0])
        return self._first

    def epoch(self, seed: int = 0, epoch: int = 0, limit: int | None = None, skip: int = 0):
        """The batches of an epoch as host arrays; after `set_state`, those that are left of it."""
        if self._running is None or not (self.once or self.limit is not None or self._peeked or skip):
            self._begin_pass()
        limit = self.limit if limit is None else limit
        wanted, given = None if limit is None else limit - skip, 0
        for given, batch in enumerate(self._next(wanted), 1):
            yield self._batch(batch)
        if wanted is not None and given < wanted:
            frames.warn(f"The data ended after {skip + given} of the epoch's {limit} batches. Give steps_per_epoch (or `steps`, "
                        "or validation_steps) as many as it has, or leave it out.")
        if not self.once and (self.limit is None or self.limit == self.known):
            self._running = None  # the next epoch starts anew
            self._end_pass()

    def _note(self) -> None:
        """Note what the data may draw from, or put back what was noted."""
        if self._again is not None:
            recall(self._again, len(self._noted), self.data)
        if self.recorded:
            note(self._noted, self.data)

    def _begin_pass(self) -> None:
        self._note()
        self._running, self._taken = iter(self.data), 0

    def _end_pass(self) -> None:
        self._passes, self._taken = self._passes + 1, 0
        if hasattr(self.data, "on_epoch_end"):
            self._note()
            self.data.on_epoch_end()

    def _next(self, count: int | None):
        """The next `count` batches, or all that are left."""
        for _ in itertools.count() if count is None else range(count):
            batch = self._peeked.pop() if self._peeked else next(self._running, self)
            if batch is self and count is not None and not self.once and self._taken:  # as arrays: on with another pass
                self._end_pass()
                self._begin_pass()
                batch = next(self._running, self)
            if batch is self:
                return
            self._taken += 1
            if self.recorded:
                self._print = fingerprint(batch, self._print)
            yield batch

    def used_up(self) -> bool:
        """Whether an iterator, which cannot begin anew, has no batch left."""
        if self.once and self._first is not None and not self._peeked:
            self._peeked = list(itertools.islice(self._running, 1))
            return not self._peeked
        return False

    def get_state(self):
        if hasattr(self._running, "get_state"):  # Grain's iterators
            return {"iterator": self._running.get_state(), "passes": self._passes}
        return super().get_state() or {"passes": self._passes, "taken": self._taken, "noted": list(self._noted),
                                       "print": self._print, "now": own_states(self.data)}

    def set_state(self, state, step: int = 0) -> None:
        """Go where the data stood: by its own state where it has one, else by taking the same batches again.

        The pass that `first` began is the first one; the others begin with the random states that they began with.

        Raises ValueError when the data ends before, or gives other batches.
        """
        self._passes = state.get("passes", 0)
        if "iterator" in state:
            self._running, self._peeked = iter(self.data), []
            return self._running.set_state(state["iterator"])
        if self._set_own(state):
            self._running, self._peeked = iter(self.data) if step else None, []
            return None
        self._again, self._passes = state["noted"], 0
        try:
            self._repeat(state["passes"], state["taken"])
        finally:
            self._again = None
        if self._print != state["print"]:
            raise ValueError(f"The {type(self.data).__name__} gave other batches than in the run that is resumed, so it cannot be put "
                             "where it stood. Seed what it draws from (in the program, before fit), or give it get_state() and "
                             "set_state(state); or delete the saved state to start anew.")
        set_own_states(self.data, state["now"])
        return None

    def _repeat(self, passes: int, taken: int) -> None:
        """Take again what was taken: so many passes, and so many batches of the next one."""
        whole = self.known if self.limit is not None and self.limit == self.known else None
        for turn in range(passes):
            if turn or self._running is None:
                self._begin_pass()
            collections.deque(itertools.islice(self._next(None), whole), maxlen=0)
            self._end_pass()
        if passes and not self.once:
            self._running = None
        if taken:
            if self._running is None:
                self._begin_pass()
            collections.deque(itertools.islice(self._next(None), taken), maxlen=0)
            if self._taken < taken:
                raise ValueError(f"To resume, the data must repeat the {taken} batches that were taken from it, but "
                                 f"it ended after {self._taken}. Pass a fresh {type(self.data).__name__}.")


@contextlib.contextmanager
def closing(*parts):
    """End what works for these sources (or is None) when the block ends, however it ends."""
    try:
        yield
    finally:
        for part in parts:
            if part is not None:
                part.close()


def length_of(data) -> int | None:
    """The number of batches, where the data knows it."""
    try:
        return len(data)
    except TypeError:  # none, endless, or unknown to a tf.data.Dataset or DataLoader
        return None


def _refuse_what_has_no_batches(x) -> None:
    """Raise ValueError for objects of other packages that are one call away from data."""
    package, names = type(x).__module__.partition(".")[0], {c.__name__ for c in type(x).__mro__}
    if package == "polars" and "LazyFrame" in names:
        raise ValueError("A polars LazyFrame has no values yet: pass frame.collect().")
    if names & {"DatasetDict", "IterableDatasetDict"}:
        raise ValueError(f"A {type(x).__name__} holds several data sets: pass one of them, such as {next(iter(x), 'train')!r}.")
    if "torch" in sys.modules and "Dataset" in names and isinstance(x, sys.modules["torch"].utils.data.Dataset):
        raise ValueError(f"A {type(x).__name__} gives samples, not batches: pass torch.utils.data.DataLoader(data, batch_size=...).")


def is_iterable_source(x) -> bool:
    """Whether data gives batches by itself (a generator, loader or dataset) rather than being arrays."""
    if isinstance(x, (list, tuple, dict, str)) or hasattr(x, "shape") or hasattr(x, "to_numpy") \
            or type(x).__module__.partition(".")[0] in ("pyarrow", "datasets") and hasattr(x, "__len__"):
        return False
    return hasattr(x, "__iter__") or hasattr(x, "__getitem__")


def source_of(x, y=None, sample_weight=None, batch_size=None, shuffle=False, steps=None, class_weight=None):
    """The source for what a user passes as x, y and sample_weight.

    Raises ValueError where targets or weights are given beside data that brings its own.
    """
    if x is None:
        raise ValueError("There is no data: x is None.")
    _refuse_what_has_no_batches(x)
    if is_iterable_source(x):
        for name, value in (("y", y), ("sample_weight", sample_weight)):
            if value is not None:
                raise ValueError(f"`{name}` cannot be given when x is a {type(x).__name__}: its batches bring their own.")
        if batch_size is not None:
            frames.warn(f"batch_size={batch_size} has no effect: a {type(x).__name__} decides how large its batches are.")
        if hasattr(x, "__getitem__") and hasattr(x, "max_queue_size"):
            return IndexedSource(x, steps, class_weight, bool(shuffle))
        return IterableSource(x, steps, class_weight)
    if class_weight is not None:
        if sample_weight is not None:
            raise ValueError("Give either class_weight or sample_weight, not both.")
        sample_weight = class_weights_for(y, class_weight)
    if batch_size is None and steps is not None:  # as Keras: the samples are divided among the steps
        batch_size = -(-len(tree.flatten(x)[0]) // check.positive("steps", steps))
    return ArraySource((x, y, sample_weight), 32 if batch_size is None else batch_size, shuffle)
