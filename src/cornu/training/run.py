"""A step that is run: over data, or on one batch; what is donated to it, what it writes, and what happens where it fails."""

import contextlib

import jax
import numpy as np

from cornu import dtypes, errors, ownership
from cornu.data import is_text
from cornu.training import memory
from cornu.training.step import Step, key_of
from cornu.variable import assigned


def once(step: Step, data, start: dict | None = None, quiet=None):
    """Run a step on one batch; the arguments are those of `Run`."""
    with contextlib.closing(Run(step, start, quiet)) as run:
        return run(data)


class Run:
    """A step that is run over data, or on one batch.

    Steps that test and predict take the values as they are when the run begins, and carry what they write from call to
    call; so other threads may train meanwhile.

    Args:
        step: the Step.
        start: values to begin with, by variable, in the place of the present ones.
        quiet: says whether what a step that tests or predicts writes stays out of the variables for now.
    """

    def __init__(self, step: Step, start: dict | None = None, quiet=None):
        self.step, self.kind, self.jit, self.guard, self._quiet = step, step.kind, step.jit, step.guard, quiet
        self.best_count, self.prepare, self.prepare_looped = step.best_count, step.prepare, step.prepare_looped
        written = () if self.kind == "train" else step.written
        values = ownership.read([*written, *step.fixed])
        self._values, self._fixed = values[:len(written)], values[len(written):]
        self._counted, self._committed, self._at_once = None, (), memory.shows_at_once()
        if start:
            self._values = [start.get(v, value) for v, value in zip(written, self._values)]

    def close(self) -> None:
        """Let go of the values, for what nobody else holds is donated without a copy, and write back what was trained."""
        if self.kind == "train":
            self.step.state.come_back()
        self._values = self._fixed = None

    def __call__(self, data):
        """Run on one batch that comes from the host."""
        data = jax.tree.map(_as_device, data)
        if self.jit and not any(is_text(a) for a in jax.tree.leaves(data)):  # no executable takes strings
            output, = self._run(("plain", key_of(data)), self.step.single(), (), (data,))
        else:
            output = self.step.eagerly(data)
        if self.guard:
            (output, self.step.good), self.step.batch = output, data
        return output

    def ready(self, data, rare: bool = False):
        """A function of a batch of these shapes, on the host in JAX's dtypes; what is the same for all is done once.

        Where such a batch is `rare` its executable is compiled fast instead of running fast.
        """
        key, program, known = ("rare" if rare else "plain", key_of(data)), self.step.single(), []
        return lambda data: self._run(key, program, (), (data,), 1, known)[0]

    def looped(self, arrays, order, size: int, count: int | None = None, most: int = 0):
        """A function `(cursor, arrays, steps)` that runs batches of `size` rows of arrays, or of others like them, from there on.

        With `count` every call runs so many steps; without, it is told the number. It gives the output (see `Step._looped`)
        and the advanced cursor. What is the same for every call is done once, here.
        """
        key = ("rows", size, count, most, key_of(arrays), order is None)
        program, known = self.step.loop(size, order is not None, count, most), []
        return lambda cursor, arrays=arrays, *steps: self._run(
            key, program, (cursor,), (arrays, order, *steps), int(steps[0]) if steps else count, known)

    def _run(self, key, program, before, after, turns: int = 1, known: list | None = None) -> list:
        """Call the executable with the state, the seeds, and `before` and `after` the variables that are only read.

        `known` keeps from call to call what is the same for all of them: the proven executable, and what was assigned when it
        was last called with arguments of this kind.
        """
        rest = (*before, self._fixed, *after)
        proven = known[0] if known else self.step.proven.get(key)
        if proven is None:
            return self._prove(key, program, rest, turns)
        if not known:
            self.step.used.now(key)
        call, counts, need, compiled, seen = proven
        try:
            if self.kind != "train":
                return self._look(call, counts, rest, turns)
            room = memory.has_room(need)
            if known and known[1] == assigned[0] and room:
                return self._train(call, counts, rest, turns)
            kinds = self._kinds(rest)
            found = self._train(call, counts, rest, turns, kinds not in seen, not room)
            seen.add(kinds)
            if known is not None:
                known[:] = proven, self._counted
            return found
        except Exception as error:
            if (explained := memory.explained(error, self.step, compiled, key, rest)) is error:
                raise
            raise explained from None

    def _prove(self, key, program, rest, turns) -> list:
        """The same where the executable is new."""
        step, compiled = self.step, None

        def compiled_for_this():
            values = ownership.read(step.written) if self.kind == "train" else self._values
            return step.compiled(key, program, (values, np.zeros((len(step.draws.seeds), 2), "uint32"), *rest))

        try:
            compiled, counts = step.lending(compiled_for_this)
            memory.check(compiled, self.kind)
            if self.kind != "train":
                found = jax.block_until_ready(self._look(compiled, counts, rest, turns))
            elif key in step.calling:
                found = self._train_in_copies(compiled, counts, rest, turns)
            else:
                found = self._train(compiled, counts, rest, turns, first=True)
        except Exception as error:
            error = errors.shortened(error) if key in step.calling and isinstance(error, jax.errors.JaxRuntimeError) else error
            if (explained := memory.explained(error, step, compiled, key, rest)) is error and not key in step.calling:
                raise
            raise explained from None
        if key not in step.calling:
            call = getattr(compiled, "_call", None) or compiled
            step.proven[key] = call, counts, memory.needed_of_host(compiled), compiled, {self._kinds(rest)}
        return found

    def _kinds(self, rest):
        """What JAX asks of arguments before it calls an executable without Python: another kind goes through Python once."""
        if self._counted != assigned[0]:
            self._counted = assigned[0]
            self._committed = tuple([v.committed for v in ownership.read(self.step.written)])
        return self._committed, *map(type, jax.tree.leaves(rest))

    def _train(self, call, counts, rest, turns, first: bool = False, short: bool = False) -> list:
        """A training step, whose state leaves the variables meanwhile.

        Args:
            first: whether the executable has not run with such arguments yet: a copy of the state is kept if that takes
                little of the memory.
            short: whether memory is short: a copy has to be kept.
        """
        step, flight, taken = self.step, None, []
        try:
            seeds = step.draws.take(counts, turns, taken)
            while flight is None or not flight.run(call):  # else somebody took the values back before it began
                flight = step.state.depart((seeds, *rest))
                if first or short:
                    self._keep(flight, short)
            output, values, *more = flight.landed[0]
            if self._at_once and values:  # where one of a call's results is an error all are
                values[0].block_until_ready()
            if first:
                jax.block_until_ready((output, values))
        except BaseException as error:
            if flight is not None and flight.landed and isinstance(error, Exception) and _failed(flight.landed[0]):
                flight.landed.clear()
            if flight is None or not flight.landed:
                step.draws.give_back(taken)
            if flight is not None:
                step.state.settle(flight)
            if "donate the same buffer twice" in str(error):  # one buffer in several arrays
                return self._train_in_copies(call, counts, rest, turns)
            raise
        return step.draws.put(counts, [output, *more]) if counts is None else [output, *more]

    def _keep(self, flight, short: bool) -> None:
        flight.kept = memory.copies(flight.given)
        if flight.kept is None and short:
            raise MemoryError

    def _train_in_copies(self, call, counts, rest, turns) -> list:
        """A training step that leaves the variables' own arrays as they are."""
        step, taken = self.step, []
        try:
            seeds = step.draws.take(counts, turns, taken)
            output, values, *more = jax.block_until_ready(
                call(list(map(ownership.copied, ownership.read(step.written))), seeds, *rest))
        except BaseException:
            step.draws.give_back(taken)
            raise
        ownership.write(step.written, values)
        return step.draws.put(counts, [output, *more])

    def _look(self, call, counts, rest, turns) -> list:
        """A step that tests or predicts."""
        step, taken = self.step, []
        try:
            seeds = step.draws.take(counts, turns, taken)
            output, written, *more = call(self._values, seeds, *rest)
        except BaseException:
            step.draws.give_back(taken)
            raise
        if written:
            for i, value in written.items():
                self._values[i] = value
            if self._quiet is None or not self._quiet():
                ownership.write([step.written[i] for i in written], list(written.values()))
        return step.draws.put(counts, [output, *more])


def _failed(landed) -> bool:
    """Whether the results of a call are an error, rather than that a signal's handler raised one."""
    try:
        jax.block_until_ready(landed)
    except (jax.errors.JaxRuntimeError, ValueError):
        return True
    return False


def _as_device(x):
    """64-bit numbers become JAX's; the executable takes all else as it is, faster than a conversion here would be."""
    wide = isinstance(x, (np.ndarray, np.generic)) and x.dtype.itemsize > 4 and x.dtype.kind not in "OSUT"
    return jax.device_put(dtypes.narrow(np.asarray(x), "A batch")) if wide else x
