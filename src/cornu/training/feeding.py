"""How batches reach a step: gathered on the device, gathered by NumPy, or streamed from a thread that prepares them.

Steps that are small are run several to a call, in a loop on the device (see `lowering.steps_at_once`). On the CPU one
executable runs any number of them, so how many there happen to be in a call changes no bit of the result. On GPU and TPU
the number of a loop's turns is fixed, so that its condition need not be fetched; what is left over is run one by one.
"""

import contextlib
import functools
import time

import jax
import numpy as np

from cornu.callbacks import Logs
from cornu.data import ArraySource, ahead, is_text, join, random_states, take
from cornu.lowering import current_platform

_SLOW = 1e-3  # seconds: where data lets us wait so long for a batch, every batch is run at once
_ANY = 2**31
_LARGE = 1 << 18  # bytes: so much is gathered by a thread, while the device works on what came before
_MANY = 128  # batches: a smaller one after so many others may take three times as long as it could


class Feed:
    """The batches of one source, for one step.

    Args:
        step: the Step.
        source: gives the batches.
        adapt: what is done to a batch from the host before it goes to the step.
        arrays: the source's data in arrays to gather from, or None to stream it.
        group: the number of steps per event; None for an event per call of as many steps as are best.
        began: is called with the number of an event's first batch; None when nobody listens.
    """

    def __init__(self, step, source, adapt, arrays, group, began):
        self.step, self.source, self.adapt, self.arrays, self.group, self.began = step, source, adapt, arrays, group, began
        self._left = _ANY  # the number of steps that the next call may run
        self._seen = 0  # the number of the next batch that comes by itself

    def outputs(self, seed, epoch, limit, skip):
        """Pairs of the last batch's number and the step's output, one for each event."""
        index, waits = skip, False
        self._left, self._seen = self.group or _ANY, skip
        with contextlib.closing(self._calls(seed, epoch, limit, skip)) as calls:
            for count, run in calls:
                if not waits and self.began is not None:
                    self.began(index, Logs())
                try:
                    output, waits = run(), True
                except Exception as error:
                    if self.arrays is None:
                        error.add_note(f"This happened in batch {index} of the data.")
                    raise
                index, self._left = index + count, self._left - count
                if self.group is None or self._left == 0 or self.step.kind == "predict":
                    self._left, waits = self.group or _ANY, False
                    yield index - 1, output
        if waits:
            yield index - 1, output

    def _calls(self, seed, epoch, limit, skip):
        """Pairs of a number of steps and what runs them."""
        source = self.source
        if not isinstance(source, ArraySource):
            yield from self._streamed(source.epoch(seed, epoch, limit, skip))
            return
        for turn, start, stop in source.passes(epoch, limit, skip):
            if self.arrays is None:
                yield from self._streamed(source.epoch(seed, turn, start, stop))
            else:
                run = self._from_host if current_platform() == "cpu" else self._from_device
                yield from run(source.order(seed, turn), start, stop)

    def _capacity(self, batch) -> int:
        """The number of batches like this one that lie ready for one call: whole groups."""
        best, group = self.step.best_count(batch), self.group or 1
        return best if best == 1 else group * max(1, best // group)

    # data in arrays --------------------------------------------------------------------------------------------------

    def _from_host(self, order, start, stop):
        """Steps start to stop of a pass over arrays, for the CPU: the data is never copied whole."""
        size, samples = self.source.batch_size, self.source.samples
        leaves, treedef = jax.tree.flatten(self.arrays)

        def rows(start, stop, room=0):
            part = slice(start * size, min(stop * size, samples))
            return treedef.unflatten([take(a, part if order is None else order[part], room * size) for a in leaves])

        whole, rare = min(samples // size, stop), samples // size >= _MANY
        capacity = min(self._capacity(self._like(size)), samples // size) if whole > start else 1
        if start < whole < stop:  # the last batch is smaller: its executable is made while the first one is, or runs
            self.step.prepare(self._like(samples - whole * size), rare)
        parts = ((rows(n, min(n + capacity, whole), capacity), min(capacity, whole - n)) for n in range(start, whole, capacity))
        if sum(a.nbytes for a in leaves) / samples * size * capacity > _LARGE:
            parts = ahead(parts, 1)
        with contextlib.closing(parts):
            for data, held in parts:
                yield from self._held(data, held, capacity, size)
        if stop > whole:
            data = rows(whole, stop)
            yield 1, functools.partial(self.step.ready(data, rare), data)

    def _held(self, data, held: int, capacity: int, size: int):
        """Calls for `held` batches of `size` rows, one after another in arrays with room for `capacity`."""
        if capacity == 1:
            yield 1, functools.partial(self.step.ready(data), data)
            return
        run, place = self.step.looped(data, None, size, None, capacity), 0

        def call(place, count):
            return self._output(run(np.int32(place * size), data, np.int32(count))[0], count)

        while place < held:
            count = min(self._left, held - place)
            yield count, functools.partial(call, place, count)
            place += count

    def _from_device(self, order, start, stop):
        """Steps start to stop of a pass over arrays that lie on the device."""
        size, samples, arrays = self.source.batch_size, self.source.samples, self.arrays
        order = None if order is None else jax.device_put(order)
        cursor, first = jax.device_put(np.int32(start * size)), start
        whole = min(samples // size, stop)
        rest = samples - whole * size if stop > whole else 0
        best = min(self._capacity(self._like(size)), self.group or _ANY, samples // size) if whole > start else 1

        def call(size, count):
            nonlocal cursor
            output, cursor = self.step.looped(arrays, order, size, count, count)(cursor)
            return self._output(output, count)

        while start < whole:
            count = best if start + best <= whole and best <= self._left else 1
            yield count, functools.partial(call, size, count)
            if rest and start == first:
                self.step.prepare_looped(arrays, order, rest, 1)
            start += count
        if rest:
            yield 1, functools.partial(call, rest, 1)

    def _like(self, size: int):
        return jax.tree.map(lambda a: jax.ShapeDtypeStruct((size, *a.shape[1:]), a.dtype), self.arrays)

    def _output(self, found, count: int):
        """What `Step.looped` gives, in the form of a single step's output."""
        if self.step.kind != "predict":
            return found
        return jax.tree.map(lambda a: a[:count].reshape(-1, *a.shape[2:]), found)

    # data in batches -------------------------------------------------------------------------------------------------

    def _streamed(self, batches):
        """Calls for batches that come one after another, prepared by a thread while the steps run."""
        first, capacity, put = self.adapt(self.source.first()), 1, None
        if self.step.jit and not any(map(is_text, jax.tree.leaves(first))):
            if current_platform() != "cpu":
                put = functools.partial(_put, jax.config.jax_default_device)
            elif _rows_of(first) is not None:
                capacity = self._capacity(jax.tree.map(_as_read, first))
        items = self._prepared(batches, capacity, put)
        with contextlib.closing(items if self.source.is_ahead else ahead(items)) as items:
            for data, held, room, self.source.mark in items:
                if room == 1:
                    yield 1, functools.partial(self.step, data)
                else:
                    yield from self._held(data, held, room, jax.tree.leaves(data)[0].shape[0] // room)
        self.source.mark = None

    def _adapted(self, batch):
        try:
            return self.adapt(batch)
        except Exception as error:
            error.add_note(f"This happened in batch {self._seen} of the data.")
            raise
        finally:
            self._seen += 1

    def _prepared(self, batches, capacity: int, put):
        """Batches as the device takes them: (arrays, number of batches, room for so many, mark).

        Where several are best run in a call, batches of one shape stand side by side, as far as they come without a wait.
        The mark, for exact resume, is where the source then stands, and the random numbers that its user may draw.
        """
        waiting, kind, mark = [], None, None
        with contextlib.closing(batches):
            while True:
                asked = time.monotonic()
                try:
                    batch = next(batches, None)
                    batch = batch if batch is None else self._adapted(batch)
                    new = None if batch is None or capacity == 1 else _kind(batch)
                except BaseException:
                    if waiting:  # what came before is trained on
                        yield join(waiting, capacity), len(waiting), capacity, mark
                    raise
                if waiting and new != kind:
                    yield join(waiting, capacity), len(waiting), capacity, mark
                    waiting = []
                if batch is None:
                    return
                mark = (self.source.get_state(), random_states()) if self.source.marks else None
                kind = new
                if new is None:
                    yield put(batch) if put else batch, 1, 1, mark
                    continue
                waiting.append(batch)
                if len(waiting) == capacity or mark is not None or time.monotonic() - asked > _SLOW:
                    yield join(waiting, capacity), len(waiting), capacity, mark
                    waiting = []


def _put(device, batch):
    """A batch on the device that is the default one where the training runs, from another thread."""
    with jax.default_device(device):
        return jax.device_put(batch)


def _rows_of(batch) -> int | None:
    """The number of rows that all arrays of a batch have, or None."""
    sizes = {a.shape[0] if a.ndim else None for a in jax.tree.leaves(batch)}
    return sizes.pop() if len(sizes) == 1 else None


def _kind(batch):
    """What batches that may stand side by side have in common, or None where rows cannot be told."""
    leaves, treedef = jax.tree.flatten(batch)
    return None if _rows_of(batch) is None else (treedef, tuple([(a.shape, str(a.dtype)) for a in leaves]))


def _as_read(array):
    return jax.ShapeDtypeStruct(array.shape, jax.dtypes.canonicalize_dtype(array.dtype))
