"""One compiled step: a method of the model made pure, one executable per batch shape.

The executables are compiled ahead of time, so they can be counted, compiled beside a running epoch, and asked how much
memory they need. A training step's state is donated to it, and written back into the Variables after every call: the model
is always true (see ownership.py). Steps that test and predict donate nothing: what they assign comes out beside the result.

A step that fails leaves the state as it was. On the CPU a call that has no memory loses what was donated to it: so where the
allocator has no room for what it needs, and at the first run of every executable, a copy is kept for the span of the call.
(A copy at every call would cost as much as a small step, and twice the memory. On GPU and TPU memory is taken before
anything is donated.) Where a program calls back into Python, it may fail at any run: nothing is donated. See run.py.
"""

import contextlib
import contextvars
import functools
import gc
import threading

import jax
import jax.numpy as jnp
import numpy as np

from cornu import ownership
from cornu.data import as_tensors
from cornu.lowering import calls_back, options_for, steps_at_once
from cornu.random import SeedState, global_seed_generator
from cornu.training import kept, memory, nonfinite
from cornu.training.draws import Draws, counts_of, rows_of
from cornu.variable import NotLent, functional

compilations = {"count": 0}  # training, evaluation and prediction steps compiled by this process


class Step:
    """A method `run(data)` of a model as compiled executables.

    Args:
        run: takes one batch and gives logs or outputs; it may assign the `changing` variables.
        changing: variables that it may assign.
        fixed: variables that it only reads.
        kind: "train", "test" or "predict".
        jit: whether to compile (False: the same text, eagerly).
        guard: "loss" keeps the state as it was where a batch's loss is not finite; "all", also where a new value is not.
            `good` then says whether the last step was taken, and `batch` is what it was given.
    """

    def __init__(self, run, changing: list, fixed: list, kind: str, jit: bool = True, guard: str | None = None):
        seen = {id(v) for v in changing}
        self.changing = list({id(v): v for v in [*changing, global_seed_generator().state]}.values())
        self.fixed = [v for v in {id(v): v for v in fixed}.values() if id(v) not in seen]
        self.written = [v for v in self.changing if not isinstance(v, SeedState)]
        self.draws = Draws([v for v in self.changing if isinstance(v, SeedState)])
        self.state = ownership.State(self.written)
        self.kind, self.jit, self.guard = kind, jit, guard
        self._run_plainly = lambda data: run(as_tensors(data))
        self._purify()
        self._best: dict = {}  # how many steps are best run in a call
        self._counts: dict = {}  # of draws
        self._executables: dict = {}  # those that are compiled
        self.proven: dict = {}  # those that have run once: what is called, how many draws, the memory that it needs
        self.used = kept.Used()
        self.calling: set = set()  # the keys of those that call back into Python
        self.good = self.batch = None
        self._tracing, self._traced = threading.RLock(), threading.Event()
        self._compiling: dict = {}  # locks

    def _purify(self) -> None:
        self.pure = functional(self._run_plainly, [*self.written, *self.draws.seeds, *self.fixed])
        self._inner = jax.jit(self.plain)  # traced once, whatever is around it

    def lending(self, fn):
        """What `fn()` gives; where it draws from a SeedGenerator that is no part of the model, that is lent too."""
        while True:
            try:
                return fn()
            except NotLent as error:
                if not error.variable.of_seed:
                    raise
                self.changing.append(error.variable)
                self.draws = Draws([*self.draws.seeds, error.variable])
                self._executables.clear(), self.proven.clear(), self.used.clear(), self._counts.clear()
                self._purify()

    # the pure functions ------------------------------------------------------------------------------------------

    def plain(self, values, seeds, fixed, data):
        """One step: its output, what it wrote (all of the state in training, else by number), and the seeds' new states."""
        before = [*values, *seeds]
        output, after = self.pure([*before, *fixed], data)
        written = {i: new for i, (new, old) in enumerate(zip(after, before)) if new is not old}
        if self.guard:
            output, kept = nonfinite.guarded(self.guard, output, list(written.values()), [before[i] for i in written])
            written = dict(zip(written, kept))
        after = [written.get(i, old) for i, old in enumerate(before)]
        count = len(values)
        return output, after[:count] if self.kind == "train" else {i: v for i, v in written.items() if i < count}, after[count:]

    def _single(self, counts):
        """One step as a program."""
        def single(values, seeds, fixed, data):
            output, written, drawn = self._inner(values, rows_of(seeds), fixed, data)
            return (output, written) if counts is not None else (output, written, jnp.stack(drawn))

        return single

    def _looped(self, size: int, ordered: bool, count: int | None, most: int, counts):
        """Steps over rows of arrays: `count` batches of `size` rows (None: as many as the caller says) from a cursor on.

        It gives the last step's logs, or `most` places for predictions, of which those of the steps are filled.
        """
        def rows(arrays, order, cursor):
            if not ordered:
                return jax.tree.map(lambda a: jax.lax.dynamic_slice_in_dim(a, cursor, size, 0), arrays)
            index = jax.lax.dynamic_slice_in_dim(order, cursor, size, 0)
            return jax.tree.map(lambda a: a.at[index].get(mode="promise_in_bounds"), arrays)

        def many(values, seeds, cursor, fixed, arrays, order, steps=count):
            seeds, training = rows_of(seeds), self.kind == "train"

            def step(number, written, drawn):
                if counts is not None:
                    drawn = [_later(seed, number, count) for seed, count in zip(seeds, counts)]
                state = written if training else [written.get(i, v) for i, v in enumerate(values)]
                return self._inner(state, drawn, fixed, rows(arrays, order, cursor + number * size))

            def body(number, carried):
                output, written, drawn = step(number, *carried[1:])
                drawn = () if counts is not None else drawn
                if self.kind == "predict":
                    return jax.tree.map(lambda all, one: all.at[number].set(one), carried[0], output), written, drawn
                return jax.tree.map(lambda one: jnp.asarray(one, one.dtype), output), written, drawn  # of no weak type

            first = values if training else {}
            output, found, _ = jax.eval_shape(lambda: step(0, first, seeds))
            places = (most,) if self.kind == "predict" else ()
            empty = jax.tree.map(lambda one: jnp.zeros((*places, *one.shape), one.dtype), output)
            first = values if training else {i: values[i] for i in found}
            output, written, drawn = jax.lax.fori_loop(0, steps, body, (empty, first, () if counts is not None else seeds))
            more = () if counts is not None else (jnp.stack(drawn),)
            return output, written, cursor + steps * size, *more

        return many

    # calling -----------------------------------------------------------------------------------------------------

    def eagerly(self, data):
        """Run without compiling."""
        output, new = self.lending(lambda: self.pure([*self.changing_values(), *ownership.read(self.fixed)], data))
        variables = [*self.written, *self.draws.seeds]
        before = self.changing_values()
        new = new[:len(variables)]
        if self.guard:
            output, new = nonfinite.guarded(self.guard, output, new, before)
        changed = [(v, a) for v, a, b in zip(variables, new, before) if a is not b]
        ownership.write([v for v, _ in changed], [a for _, a in changed])
        return output

    def changing_values(self) -> list:
        """The stored values of what the step may assign, the seeds last."""
        return [*ownership.read(self.written), *(v._value for v in self.draws.seeds)]

    def best_count(self, data) -> int:
        """How many steps on batches like this one are best run in one call; see `lowering.steps_at_once`."""
        key = key_of(data)
        if key not in self._best:
            self._best[key] = self.lending(lambda: self._best_count(data)) if self.jit and not self.guard else 1
        return self._best[key]

    def _best_count(self, data) -> int:
        args = self.abstract(data)
        with _collecting_later():
            traced = self._inner.trace(*args)
        output, written, _ = traced.out_info
        before = args[0] if self.kind == "train" else {i: args[0][i] for i in written}
        if any((a.shape, a.dtype) != (b.shape, b.dtype) for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(written))):
            return 1
        return steps_at_once(traced.jaxpr.jaxpr, sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(data)))

    def abstract(self, data) -> tuple:
        """The shapes of a step's arguments."""
        seeds = [jax.ShapeDtypeStruct((2,), "uint32")] * len(self.draws.seeds)
        values, fixed, data = jax.tree.map(memory.abstract, (ownership.read(self.written), ownership.read(self.fixed), data))
        return values, seeds, fixed, data

    # compiling ---------------------------------------------------------------------------------------------------

    def single(self):
        """How the program of one step is made, and the batch that it is given, from its arguments."""
        return self._single, lambda args: args[3]

    def loop(self, size: int, ordered: bool, count: int | None, most: int):
        """The same for a program of several."""
        def batch(args):
            return jax.tree.map(lambda a: jax.ShapeDtypeStruct((size, *a.shape[1:]), a.dtype), args[4])

        return functools.partial(self._looped, size, ordered, count, most), batch

    def prepare(self, data, rare: bool = False) -> threading.Thread:
        """Compile for a batch of other shapes beside the running epoch, as `Run.ready` will ask for it."""
        return self._prepare(("rare" if rare else "plain", key_of(data)), self.single(), (), (data,))

    def prepare_looped(self, arrays, order, size: int, count: int) -> threading.Thread:
        """The same for another number of rows of device arrays."""
        key = ("rows", size, count, 1, key_of(arrays), order is None)
        return self._prepare(key, self.loop(size, order is not None, count, 1), (np.int32(0),), (arrays, order))

    def _prepare(self, key, program, before, after) -> threading.Thread:
        values, _, fixed, (before, after) = self.abstract((before, after))
        args = values, jax.ShapeDtypeStruct((len(self.draws.seeds), 2), "uint32"), *before, fixed, *after

        def work():
            try:
                if self._traced.wait(60):  # what is compiled beside comes after what is waited for
                    self.compiled(key, program, args)
            except Exception:  # the step itself will meet the same error, on the main thread
                pass

        thread = threading.Thread(target=contextvars.copy_context().run, args=(work,), daemon=True, name="cornu-compile")
        thread.start()
        return thread

    def compiled(self, key, program, args) -> tuple:
        """The executable for arguments, and how many draws each of its steps makes."""
        with self._compiling.setdefault(key, threading.Lock()):
            if key not in self._executables:
                lowered, options, counts = self._lowered(key, program, args)
                self._executables[key] = lowered.compile(compiler_options=options or None), counts
                compilations["count"] += 1
                found = self._executables[key]
                kept.keep(self, key)
                return found
            return self._executables[key]

    def forget(self, key) -> None:
        """Let an executable go, and with it what JAX keeps of the traces of all."""
        for known in (self._executables, self.proven, self.used):
            known.pop(key, None)
        self._inner.clear_cache()

    def _lowered(self, key, program, args) -> tuple:
        """The program for XLA, XLA's options for it, and its draws. Layers are traced by one thread at a time."""
        make, batch_of = program
        try:
            with self._tracing, _collecting_later():
                counts = self._draws_of(batch_of(args))
                traced = jax.jit(make(counts), donate_argnums=self._donated()).trace(*args)
                if calls_back(traced.jaxpr.jaxpr):
                    self.calling.add(key)
                    traced = jax.jit(make(counts)).trace(*args)
                return traced.lower(), options_for(traced.jaxpr.jaxpr, self.kind, rare=key[0] == "rare"), counts
        finally:
            self._traced.set()

    def _donated(self) -> tuple:
        return (0,) if self.kind == "train" else ()

    def _draws_of(self, data):
        """How many draws a step on such a batch makes of each seed; None where that is not known beforehand."""
        key = key_of(data)
        if key not in self._counts:
            args = self.abstract(data)
            traced = self._inner.trace(*args)
            first, count, last = len(args[0]), len(args[1]), len(traced.jaxpr.jaxpr.outvars)
            self._counts[key] = counts_of(traced.jaxpr.jaxpr, list(range(first, first + count)), list(range(last - count, last)))
        return self._counts[key]


def _later(seed, number, count: int):
    """A seed's state after so many steps that each draw `count` times."""
    return seed if count == 0 else seed + jax.lax.iota("uint32", 2) * (jnp.uint32(count) * jnp.asarray(number, "uint32"))


@contextlib.contextmanager
def _collecting_later():
    """No garbage collection: tracing makes many objects that all stay, and a search through them takes 0.1 s (LSTM: of 1.5)."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def key_of(data):
    """What tells executables apart: the structure, shapes and dtypes of data."""
    leaves, treedef = jax.tree.flatten(data)
    return treedef, tuple([(x.shape, x.dtype) if hasattr(x, "shape") else x for x in leaves])
