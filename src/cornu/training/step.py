"""One compiled step: a method of the model made pure, with its state donated, one executable per batch shape.

The executables are compiled ahead of time, so they can be counted, compiled beside a running epoch, and asked how much
memory they need. The state is written back into the Variables after every step: the model is always true.

A step that fails leaves the state as it was. An executable fails at its first run or hardly ever (out of memory, a
library of the device that does not start), and the state's arrays are lost with it, since they were donated: so a copy
is kept for the span of that run. Where a program calls back into Python, it may fail at any run: nothing is donated.
"""

import contextlib
import contextvars
import gc
import threading

import jax
import jax.numpy as jnp
import numpy as np

from cornu import dtypes, errors
from cornu.data import as_tensors, is_text
from cornu.interrupts import interrupts
from cornu.lowering import calls_back, options_for, steps_at_once
from cornu.random import global_seed_generator
from cornu.training import memory, nonfinite
from cornu.variable import NotLent, functional

compilations = {"count": 0}  # training, evaluation and prediction steps compiled by this process


class Step:
    """A method `run(data)` of a model as compiled executables.

    Args:
        run: takes one batch and gives logs or outputs; it may assign the `changing` variables.
        changing: variables that it may assign; their arrays are donated, the new ones written back.
        fixed: variables that it only reads.
        kind: "train", "test" or "predict".
        jit: whether to compile (False: the same text, eagerly).
        guard: "loss" keeps the state as it was where a batch's loss is not finite; "all", also where a new value is not.
            `good` then says whether the last step was taken, and `batch` is what it was given.
    """

    def __init__(self, run, changing: list, fixed: list, kind: str, jit: bool = True, guard: str | None = None):
        seen = {id(v) for v in changing}
        self.changing = list({id(v): v for v in [*changing, global_seed_generator().state]}.values())
        self.fixed = list({id(v): v for v in fixed if id(v) not in seen}.values())
        self.kind, self.jit, self.guard = kind, jit, guard
        self._run_plainly = lambda data: run(as_tensors(data))
        self._purify()
        self._counts: dict = {}
        self._executables: dict = {}  # those that are compiled
        self._proven: dict = {}  # those that have run once
        self._calling: set = set()  # the keys of those that call back into Python
        self.good = self.batch = None
        self._tracing, self._traced = threading.Lock(), threading.Event()
        self._compiling: dict = {}  # locks

    def _purify(self) -> None:
        self._pure = functional(self._run_plainly, [*self.changing, *self.fixed])
        self._inner = jax.jit(self._plain)  # within loops: traced once, whatever the loop

    def _lending(self, fn):
        """What `fn()` gives; where it draws from a SeedGenerator that is no part of the model, that is lent too."""
        while True:
            try:
                return fn()
            except NotLent as error:
                if not error.variable.of_seed:
                    raise
                self.changing.append(error.variable)
                self._executables.clear(), self._proven.clear()
                self._purify()

    # the pure functions ------------------------------------------------------------------------------------------

    def _plain(self, changing, fixed, data):
        output, values = self._pure([*changing, *fixed], data)
        values = values[:len(changing)]
        return nonfinite.guarded(self.guard, output, values, changing) if self.guard else (output, values)

    def _looped(self, size: int, ordered: bool, count: int | None, most: int):
        """Steps over rows of arrays: `count` batches of `size` rows (None: as many as the caller says) from a cursor on.

        It gives the last step's logs, or `most` places for predictions, of which those of the steps are filled.
        """
        def rows(arrays, order, cursor):
            if not ordered:
                return jax.tree.map(lambda a: jax.lax.dynamic_slice_in_dim(a, cursor, size, 0), arrays)
            index = jax.lax.dynamic_slice_in_dim(order, cursor, size, 0)
            return jax.tree.map(lambda a: a.at[index].get(mode="promise_in_bounds"), arrays)

        def many(changing, cursor, fixed, arrays, order, steps=count):
            def body(step, carried):
                output, changing = self._inner(carried[1], fixed, rows(arrays, order, cursor + step * size))
                if self.kind == "predict":
                    return jax.tree.map(lambda all, one: all.at[step].set(one), carried[0], output), changing
                return jax.tree.map(lambda one: jnp.asarray(one, one.dtype), output), changing  # of no weak type

            output = jax.eval_shape(self._inner, changing, fixed, rows(arrays, order, cursor))[0]
            places = (most,) if self.kind == "predict" else ()
            empty = jax.tree.map(lambda one: jnp.zeros((*places, *one.shape), one.dtype), output)
            output, changing = jax.lax.fori_loop(0, steps, body, (empty, changing))
            return output, changing, cursor + steps * size

        return many

    # calling -----------------------------------------------------------------------------------------------------

    def values(self) -> list:
        return [v._value for v in self.changing]

    def write(self, values) -> None:
        for variable, value in zip(self.changing, values):
            variable._value = value

    def __call__(self, data):
        """Run on one batch that comes from the host."""
        fixed = [v._value for v in self.fixed]
        data = jax.tree.map(_as_device, data)
        if self.jit and not any(is_text(a) for a in jax.tree.leaves(data)):  # no executable takes strings
            output, = self._run(("plain", _key(data)), self._plain, (self.values(), fixed, data), (0,))
        else:
            output, values = self._lending(lambda: self._plain(self.values(), fixed, data))
            with interrupts.waiting():
                self.write(values)
        if self.guard:
            (output, self.good), self.batch = output, data
        return output

    def ready(self, data, rare: bool = False):
        """A function of a batch of these shapes, on the host in JAX's dtypes; what is the same for all is done once.

        Where such a batch is `rare` its executable is compiled fast instead of running fast.
        """
        fixed, key = [v._value for v in self.fixed], ("rare" if rare else "plain", _key(data))
        return lambda data: self._run(key, self._plain, (self.values(), fixed, data), (0,))[0]

    def looped(self, arrays, order, size: int, count: int | None = None, most: int = 0):
        """A function `(cursor, arrays, steps)` that runs batches of `size` rows of arrays, or of others like them, from there on.

        With `count` every call runs so many steps; without, it is told the number. It gives the output (see `_looped`) and
        the advanced cursor. What is the same for every call is done once, here.
        """
        fixed = [v._value for v in self.fixed]
        key = ("rows", size, count, most, _key(arrays), order is None)
        fn = self._looped(size, order is not None, count, most)
        return lambda cursor, arrays=arrays, *steps: self._run(key, fn, (self.values(), cursor, fixed, arrays, order, *steps), (0,))

    def best_count(self, data) -> int:
        """How many steps on batches like this one are best run in one call; see `lowering.steps_at_once`."""
        key = _key(data)
        if key not in self._counts:
            self._counts[key] = self._lending(lambda: self._best_count(data)) if self.jit and not self.guard else 1
        return self._counts[key]

    def _best_count(self, data) -> int:
        args = jax.tree.map(memory.abstract, (self.values(), [v._value for v in self.fixed], data))
        with _collecting_later():
            traced = self._inner.trace(*args)
        before, after = jax.tree.leaves(args[0]), jax.tree.leaves(traced.out_info[1])
        if any((a.shape, a.dtype) != (b.shape, b.dtype) for a, b in zip(before, after)):
            return 1
        return steps_at_once(traced.jaxpr.jaxpr, sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(data)))

    def prepare(self, data, rare: bool = False) -> threading.Thread:
        """Compile for a batch of other shapes beside the running epoch, as `ready` will ask for it."""
        args = (jax.tree.map(memory.abstract, self.values()), jax.tree.map(memory.abstract, [v._value for v in self.fixed]), data)
        return self._prepare(("rare" if rare else "plain", _key(data)), self._plain, args, (0,))

    def prepare_looped(self, arrays, order, size: int, count: int) -> threading.Thread:
        """The same for another number of rows of device arrays."""
        args = jax.tree.map(memory.abstract, (self.values(), np.int32(0), [v._value for v in self.fixed], arrays, order))
        key = ("rows", size, count, 1, _key(arrays), order is None)
        return self._prepare(key, self._looped(size, order is not None, count, 1), args, (0,))

    def _prepare(self, key, fn, args, donate) -> threading.Thread:
        def work():
            try:
                if self._traced.wait(60):  # what is compiled beside comes after what is waited for
                    self._compiled(key, fn, args, donate)
            except Exception:  # the step itself will meet the same error, on the main thread
                pass

        thread = threading.Thread(target=contextvars.copy_context().run, args=(work,), daemon=True, name="cornu-compile")
        thread.start()
        return thread

    def _run(self, key, fn, args, donate):
        """Call the executable and write the state back, as one action that Ctrl-C does not divide."""
        compiled = self._proven.get(key)
        if compiled is None:
            return self._first_run(key, fn, args, donate)
        interrupts.holding = True
        try:
            output, values, *rest = compiled(*args)
            for variable, value in zip(self.changing, values):
                variable._value = value
        except jax.errors.JaxRuntimeError as error:
            raise memory.explained(error, self, compiled, key, args) from error
        finally:
            interrupts.holding = False
            if interrupts.pending:
                interrupts.release()
        return output, *rest

    def _first_run(self, key, fn, args, donate):
        """The same where the executable is new: its outputs are waited for, and where it fails the state is put back."""
        compiled = None
        try:
            compiled = self._lending(lambda: self._compiled(key, fn, (self.values(), *args[1:]), donate))
            args = (self.values(), *args[1:])
            memory.check(compiled, self.kind)
            with interrupts.waiting():
                kept = memory.copies(args[0]) if key not in self._calling else []
                try:
                    output, values, *rest = jax.block_until_ready(compiled(*args))
                except Exception:
                    self._put_back(kept)
                    raise
                self.write(values)
        except (jax.errors.JaxRuntimeError, MemoryError) as error:
            error = errors.shortened(error) if key in self._calling else error
            raise memory.explained(error, self, compiled, key, args) from None
        if key not in self._calling:
            self._proven[key] = compiled
        return output, *rest

    def _put_back(self, kept: list) -> None:
        for variable, value in zip(self.changing, kept):
            if variable._value.is_deleted():
                variable._value = jax.device_put(value, variable._value.sharding)

    def _compiled(self, key, fn, args, donate):
        with self._compiling.setdefault(key, threading.Lock()):
            if key not in self._executables:
                lowered, options = self._lowered(key, fn, args, donate)
                self._executables[key] = lowered.compile(compiler_options=options or None)
                compilations["count"] += 1
            return self._executables[key]

    def _lowered(self, key, fn, args, donate) -> tuple:
        """The program for XLA, and XLA's options for it. Layers are traced by one thread at a time."""
        try:
            with self._tracing, _collecting_later():
                traced = jax.jit(fn, donate_argnums=donate).trace(*args)
                if calls_back(traced.jaxpr.jaxpr):
                    self._calling.add(key)
                    traced = jax.jit(fn).trace(*args)
                return traced.lower(), options_for(traced.jaxpr.jaxpr, self.kind, rare=key[0] == "rare")
        finally:
            self._traced.set()


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


def _as_device(x):
    """64-bit numbers become JAX's; the executable takes all else as it is, faster than a conversion here would be."""
    wide = isinstance(x, (np.ndarray, np.generic)) and x.dtype.itemsize > 4 and x.dtype.kind not in "OSUT"
    return jax.device_put(dtypes.narrow(np.asarray(x), "A batch")) if wide else x


def _key(data):
    leaves, treedef = jax.tree.flatten(data)
    return treedef, tuple([(x.shape, x.dtype) if hasattr(x, "shape") else x for x in leaves])
