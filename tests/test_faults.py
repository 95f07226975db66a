"""Whatever goes wrong in fit, evaluate or predict, the model is that of the last good step, byte by byte, and goes on.

The state after each step of an undisturbed run is known. A fault at step 3 must leave the state after the good steps
before it; then the rest of the data is trained on, which must end in the undisturbed run's last state.
"""

import contextlib
import ctypes
import functools
import itertools
import resource
import signal
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cornu
from cornu import layers, ownership
from cornu.training import memory
from cornu.training.step import Step

C = cornu.callbacks
SIZE, STEPS, AT = 8, 6, 3
AHEAD = None  # good steps, where what the data does while it is read ahead may come at any of them
rng = np.random.default_rng(0)
X, Y = rng.normal(size=(SIZE * STEPS, 4)).astype("float32"), rng.integers(0, 3, SIZE * STEPS)
BATCHES = [(X[i:i + SIZE], Y[i:i + SIZE]) for i in range(0, len(X), SIZE)]


class Trap:
    """Does something bad when it is armed and passed the given number of times."""

    def __init__(self):
        self.act = None

    def arm(self, act, after=0):
        self.act, self.left = act, after

    def __call__(self, place):
        if self.act is not None and self.act[0] == place:
            self.left -= 1
            if self.left < 0:
                act, self.act = self.act[1], None
                act()


trap = Trap()


def fail():
    raise RuntimeError("mine")


def interrupt():
    signal.raise_signal(signal.SIGINT)


class Trapped(layers.Layer):
    def call(self, x):
        trap("layer")
        return x


class CallsBack(layers.Layer):
    """Passes a trap of Python's when the compiled step runs."""

    def call(self, x):
        def passed(x):
            trap("callback in layer")
            return x

        return jax.lax.stop_gradient(jax.pure_callback(passed, jax.ShapeDtypeStruct(x.shape, x.dtype), jax.lax.stop_gradient(x))) \
            + 0.0 * x


def loss(y, y_pred):
    trap("loss")
    return cornu.losses.sparse_categorical_crossentropy(y, y_pred)


def metric(y, y_pred):
    trap("metric")
    return cornu.ops.mean(y_pred, -1)


def build(extra=Trapped, **told):
    cornu.utils.set_random_seed(1)
    model = cornu.Sequential([cornu.Input((4,)), extra(), layers.Dense(5, activation="relu"), layers.BatchNormalization(),
                              layers.Dropout(0.2), layers.Dense(3, activation="softmax")])
    model.compile(cornu.optimizers.Adam(0.01), loss, metrics=["accuracy", metric], **told)
    return model


def state(model):
    variables = [*model.trainable_variables, *model.non_trainable_variables, *model.optimizer.variables]
    return [np.array(v.raw).tobytes() for v in variables]


class Undisturbed:
    """A model, its state after each step, and the way back to the first one."""

    def __init__(self, callbacks=(), **told):
        self.model, self.states, self.callbacks = build(**told), [], callbacks
        self.model.fit(stream(0), verbose=0)  # everything is made
        self.model.optimizer.iterations.assign(0)
        variables = [*self.model.trainable_variables, *self.model.non_trainable_variables, *self.model.optimizer.variables]
        self._begin = [(v, np.array(v.raw)) for v in variables]
        self.states.append(state(self.model))
        self.model.fit(stream(0), verbose=0, callbacks=[*callbacks, C.LambdaCallback(
            on_train_batch_end=lambda *_: self.states.append(state(self.model)))])
        self.model.evaluate(stream(0), verbose=0), self.model.predict(stream(0, labels=False), verbose=0)

    def reset(self):
        trap.act = None
        for variable, value in self._begin:
            variable.assign(value)
        return self.model


def stream(first, bad=None, labels=True):
    """The batches from a number on; batch AT is what `bad` makes of it."""
    for number, (x, y) in enumerate(BATCHES[first:], first):
        trap("generator")
        x, y = bad(x, y) if bad is not None and number == AT else (x, y)
        yield (x, y) if labels else x


@pytest.fixture(scope="module")
def kept():
    return {}


def whole(kept, kind="plain"):
    told = {"plain": {}, "eager": {"run_eagerly": True}, "calling": {"extra": CallsBack}, "debugging": {"debug_nans": True},
            "watched": {"callbacks": [C.TerminateOnNaN()]}}[kind]
    kept[kind] = kept.get(kind) or Undisturbed(**told)
    return kept[kind]


USES = {"fit": lambda m, data, **told: m.fit(data, verbose=0, **told),
        "evaluate": lambda m, data, **told: m.evaluate(data, verbose=0, **told),
        "predict": lambda m, data, **told: m.predict(data, verbose=0, **told)}


def check(run, error, good, reference, message=None):
    """The fault is an error; the state is that after `good` steps, and the rest of the data leads to the last state."""
    with pytest.raises(error, match=message) as caught:
        run()
    trap.act = None
    text = "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])
    assert text.count("\n") < 12 and len(text) < 3000, text
    good = reference.states.index(state(reference.model)) if good is AHEAD else good
    assert state(reference.model) == reference.states[good]
    if good < STEPS:
        reference.model.fit(stream(good), verbose=0, callbacks=reference.callbacks)
    assert state(reference.model) == reference.states[-1]


# What the data does ------------------------------------------------------------------------------------------------------

DATA = {  # batch AT, and what is said
    "features": (lambda x, y: (x[:, :3], y), ValueError, r"shape"),
    "rank": (lambda x, y: (x[:, None], y), ValueError, r"shape|ndim|rank"),
    "text": (lambda x, y: (x.astype("str"), y), (ValueError, TypeError), r"text"),
    "objects": (lambda x, y: (np.array([object()] * SIZE), y), ValueError, r"objects"),
    "ragged": (lambda x, y: ([[1.0, 2.0], [3.0]], y), ValueError, r"array|shape"),
    "empty": (lambda x, y: (x[:0], y[:0]), ValueError, r"empty"),
    "none": (lambda x, y: (None, y), ValueError, r"None|shape"),
    "exception": (lambda x, y: fail(), RuntimeError, r"mine"),
    "ctrl-c": (lambda x, y: interrupt(), KeyboardInterrupt, None),
    "memory": (lambda x, y: bytearray(2**60), MemoryError, None),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("name", DATA)
def test_batches(kept, name, use):
    bad, error, message = DATA[name]
    reference = whole(kept)
    model = reference.reset()
    good = 0 if use != "fit" else AHEAD if name == "ctrl-c" else AT
    check(lambda: USES[use](model, stream(0, bad, use != "predict")), error, good, reference, message)


@pytest.mark.parametrize("use", ["fit", "evaluate"])
@pytest.mark.parametrize("name", ["labels' length", "labels' rank"])
def test_labels(kept, name, use):
    def bad(x, y):
        return (x, y[:3]) if "length" in name else (x, np.zeros((SIZE, 2, 2)))

    reference = whole(kept)
    model = reference.reset()
    check(lambda: USES[use](model, stream(0, bad)), ValueError, AT if use == "fit" else 0, reference, "shape|samples")


class Dataset(cornu.utils.PyDataset):
    def __init__(self, labels, **told):
        super().__init__(**told)
        self.labels = labels

    def __len__(self):
        return STEPS

    def __getitem__(self, index):
        if index == AT:
            raise KeyError("no such file")
        return BATCHES[index] if self.labels else BATCHES[index][0]


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("workers", [1, 3, pytest.param("processes", marks=pytest.mark.long)])
def test_datasets(kept, workers, use):
    told = {"workers": 2, "use_multiprocessing": True} if workers == "processes" else {"workers": workers}
    reference = whole(kept)
    model = reference.reset()
    shuffle = {"shuffle": False} if use == "fit" else {}
    check(lambda: USES[use](model, Dataset(use != "predict", **told), **shuffle), KeyError, AT if use == "fit" else 0, reference,
          "no such file")


# What callbacks do -------------------------------------------------------------------------------------------------------

EVENTS = {"fit": {"on_train_begin": 0, "on_epoch_begin": 0, "on_train_batch_begin": AT, "on_train_batch_end": AT + 1,
                  "on_test_begin": STEPS, "on_test_batch_begin": STEPS, "on_test_batch_end": STEPS, "on_test_end": STEPS,
                  "on_epoch_end": STEPS, "on_train_end": STEPS},
          "evaluate": dict.fromkeys(["on_test_begin", "on_test_batch_begin", "on_test_batch_end", "on_test_end"], 0),
          "predict": dict.fromkeys(["on_predict_begin", "on_predict_batch_begin", "on_predict_batch_end", "on_predict_end"], 0)}


@pytest.mark.parametrize(("act", "error"), [(fail, RuntimeError), (interrupt, KeyboardInterrupt)], ids=["error", "ctrl-c"])
@pytest.mark.parametrize(("use", "event"), [(use, event) for use in EVENTS for event in EVENTS[use]])
def test_callbacks(kept, use, event, act, error):
    reference = whole(kept)
    model = reference.reset()
    trap.arm((event, act), AT if "batch" in event else 0)
    told = {"validation_data": (X, Y), "validation_batch_size": SIZE} if use == "fit" else {}
    callback = C.LambdaCallback(**{event: lambda *args: trap(event)})
    check(lambda: USES[use](model, stream(0, labels=use != "predict"), callbacks=[callback], **told), error, EVENTS[use][event],
          reference)


# What the model does -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("place", "use"), [(p, u) for p in ("layer", "loss", "metric") for u in USES if u != "predict" or p == "layer"])
@pytest.mark.parametrize("act", [fail, interrupt], ids=["error", "ctrl-c"])
@pytest.mark.parametrize("when", ["traced", "eager"])
def test_models(kept, place, use, act, when):
    """An error when a batch of another size is traced, or in the middle of an eager run."""
    def smaller(x, y):
        trap.arm((place, act))
        return (x[:-1], y[:-1])

    reference = whole(kept, "eager" if when == "eager" else "plain")
    model = reference.reset()
    if when == "traced":
        for step in model._steps.values():
            for found in [step, *(step if isinstance(step, tuple) else ())]:
                if isinstance(found, Step):  # what an earlier test has compiled for that size
                    drop = [k for k in found._executables if str(SIZE - 1) in str(k)]
                    [d.pop(k, None) for d in (found._executables, found.proven) for k in drop]
    check(lambda: USES[use](model, stream(0, smaller, use != "predict")), RuntimeError if act is fail else KeyboardInterrupt,
          AHEAD if use == "fit" else 0, reference)


@pytest.mark.parametrize("use", USES)
def test_functions_that_run_in_the_compiled_step(kept, use):
    reference = whole(kept, "calling")
    model = reference.reset()
    trap.arm(("callback in layer", fail), AT)
    check(lambda: USES[use](model, stream(0, labels=use != "predict")), jax.errors.JaxRuntimeError, AT if use == "fit" else 0, reference,
          "mine")


# Memory, values that are not finite, disks -----------------------------------------------------------------------------------


class Failing:
    """An executable that fails: before it takes its arguments, or when they are lost already."""

    def __init__(self, real, taken):
        self.real, self.taken = real, taken

    def memory_analysis(self):
        return self.real.memory_analysis()

    def __call__(self, *args):
        if self.taken:
            jax.block_until_ready(self.real(*args))
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 byte.")


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("when", ["first run", "first run, after donation", "later run", "compiling"])
def test_out_of_memory(kept, when, use, monkeypatch):
    reference = whole(kept)
    model = reference.reset()
    step, real = model._step({"fit": "train", "evaluate": "test"}.get(use, use)), Step.compiled

    def failing(self, *args):
        if when == "compiling":
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while autotuning.")
        executable, counts = real(self, *args)
        return Failing(executable, "after" in when), counts

    def bad(x, y):
        if when == "later run":
            patched = {k: (Failing(call, False), *rest) for k, (call, *rest) in step.proven.items()}
            monkeypatch.setattr(step, "proven", patched)
        else:
            monkeypatch.setattr(step, "proven", {})
            monkeypatch.setattr(Step, "compiled", failing)
        return x, y

    with monkeypatch.context() as monkeypatch:
        with pytest.raises(MemoryError, match=f"(?s)batch of {SIZE} does not fit.*as it was"):
            USES[use](model, stream(0, bad, use != "predict"))
    check(fail, RuntimeError, AHEAD if use == "fit" else 0, reference)


def test_memory_that_is_not_there_is_found_before_the_step(kept, monkeypatch):
    reference = whole(kept)
    model = reference.reset()

    def bad(x, y):
        monkeypatch.setattr(memory, "needed", lambda compiled: 2**50)
        return x[:5], y[:5]

    with monkeypatch.context() as monkeypatch:
        with pytest.raises(MemoryError, match=r"(?s)batch of 5 does not fit.*needs 1048576.0 GiB.*Not even a batch of 1"):
            model.fit(stream(0, bad), verbose=0)
    check(fail, RuntimeError, AHEAD, reference)


@pytest.mark.parametrize("use", ["fit", "evaluate"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite(kept, use, value):
    reference = whole(kept, "debugging")
    model = reference.reset()
    check(lambda: USES[use](model, stream(0, lambda x, y: (np.where(np.arange(SIZE)[:, None] == 5, value, x).astype("float32"), y))),
          FloatingPointError, AT if use == "fit" else 0, reference, f"step {AT + 1} of epoch 1: the data is not finite, in row 5")


@pytest.mark.parametrize("raises", [True, False])
def test_terminate_on_nan_takes_the_step_back(kept, raises):
    reference = whole(kept, "watched")
    model = reference.reset()

    def run():
        model.fit(stream(0, lambda x, y: (x * np.float32(np.inf), y)), verbose=0, callbacks=[C.TerminateOnNaN(raise_error=raises)])
        fail()

    check(run, RuntimeError, AT, reference, "is not finite" if raises else "mine")


@contextlib.contextmanager
def full_disk():
    """Files cannot grow over 100 bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


SAVERS = {"model": lambda p: C.ModelCheckpoint(p / "m.keras", save_freq=2),
          "weights": lambda p: C.ModelCheckpoint(p / "m.weights.h5", save_weights_only=True, save_freq=2),
          "backup": lambda p: C.BackupAndRestore(p, save_freq=2)}


@pytest.mark.parametrize("kind", SAVERS)
def test_a_full_disk(kept, kind, tmp_path):
    """The file of the second step stays as it is when that of the fourth cannot be written."""
    reference, files = whole(kept), {}
    model = reference.reset()

    def fill(batch, logs):
        if batch == AT:
            if callback.__class__ is C.BackupAndRestore:
                callback.wait_until_written()
            files.update({p.name: p.read_bytes() for p in tmp_path.iterdir()})
            context.enter_context(full_disk())

    callback = SAVERS[kind](tmp_path)
    with contextlib.ExitStack() as context, pytest.raises(OSError):
        model.fit(stream(0), verbose=0, callbacks=[C.LambdaCallback(on_train_batch_begin=fill), callback])
    assert len(files) == 1 and files == {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    good = AT + 1 if kind != "backup" else next(i for i, s in enumerate(reference.states) if s == state(model))
    check(fail, RuntimeError, good, reference)


# Ctrl-C in places of its own -------------------------------------------------------------------------------------------------


def pressed_while_it_runs(patch, step):
    """Let Ctrl-C be pressed during every further call of a step: Python hears of it when the results have landed."""
    press = functools.partial(getattr(ctypes.CDLL(None), "raise"), signal.SIGINT)  # in C, like the call itself

    def run(self, function):
        with self._over:
            self.landed.extend(itertools.chain(itertools.starmap(function, iter(self._waiting.pop, ownership._END)), iter(press, 0)))

    def interrupted(function):
        def call(*args):
            found = function(*args)
            interrupt()
            return found

        return call

    patch.setattr(ownership.Flight, "run", run)
    if step.kind != "train":
        patch.setattr(step, "proven", {k: (interrupted(call), *rest) for k, (call, *rest) in step.proven.items()})


@pytest.mark.parametrize("use", USES)
def test_ctrl_c_while_a_step_runs(kept, use, monkeypatch):
    reference = whole(kept)
    model = reference.reset()
    step = model._step({"fit": "train", "evaluate": "test"}.get(use, use))

    def bad(x, y):
        pressed_while_it_runs(monkeypatch, step)
        return x, y

    with monkeypatch.context() as monkeypatch, pytest.raises(KeyboardInterrupt):
        USES[use](model, stream(0, bad, use != "predict"))
    check(fail, RuntimeError, AHEAD if use == "fit" else 0, reference)


@pytest.mark.parametrize("single", ["train_on_batch", "test_on_batch", "predict_on_batch"])
def test_ctrl_c_while_a_single_step_runs(kept, single, monkeypatch):
    reference = whole(kept)
    model = reference.reset()
    getattr(model, single)(*BATCHES[0][:1 + (single != "predict_on_batch")])
    model = reference.reset()
    step = model._step(single.partition("_")[0])
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        pressed_while_it_runs(patch, step)
        getattr(model, single)(*BATCHES[0][:1 + (single != "predict_on_batch")])
    check(fail, RuntimeError, int(single == "train_on_batch"), reference)


def test_ctrl_c_at_any_moment(kept):
    """Pressed 12 times at random; the state is always one of those after whole steps."""
    reference, dice, known = whole(kept), np.random.default_rng(3), []
    model = reference.reset()
    model.fit(itertools.cycle(BATCHES), steps_per_epoch=101, verbose=0,
              callbacks=[C.LambdaCallback(on_train_batch_begin=lambda *_: known.append(state(model)))])
    for _ in range(12):
        reference.reset()
        timer = threading.Timer(dice.uniform(0.001, 0.03), signal.raise_signal, [signal.SIGINT])
        with pytest.raises(KeyboardInterrupt):
            timer.start()
            model.fit(itertools.cycle(BATCHES), steps_per_epoch=100, verbose=0)
            time.sleep(1)
        timer.join()
        assert state(model) in known


def test_early_stopping_restores_the_best_weights_after_ctrl_c(kept):
    reference = whole(kept)
    model = reference.reset()
    stop = C.EarlyStopping("loss", patience=9, restore_best_weights=True)
    best = {}

    def watch(epoch, logs):
        if epoch == 1:
            logs["loss"] = -1.0
            best["weights"] = model.get_weights()
        if epoch == 3:
            interrupt()

    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, epochs=9, verbose=0, callbacks=[C.LambdaCallback(on_epoch_end=watch), stop])
    for a, b in zip(model.get_weights(), best["weights"]):
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("event", ["on_test_begin", "on_test_batch_end"])
def test_moving_averages_are_swapped_back(event):
    model = cornu.Sequential([cornu.Input((4,)), layers.Dense(3, activation="softmax")])
    model.compile(cornu.optimizers.SGD(0.5, use_ema=True), "sparse_categorical_crossentropy")
    seen = {}
    note = C.LambdaCallback(on_train_batch_end=lambda *_: seen.update(weights=model.get_weights()))
    with pytest.raises(RuntimeError, match="mine"):
        model.fit(X, Y, validation_data=(X, Y), verbose=0,
                  callbacks=[note, C.SwapEMAWeights(), C.LambdaCallback(**{event: lambda *_: fail()})])
    for a, b in zip(model.get_weights(), seen["weights"]):
        assert a.tobytes() == b.tobytes()


def test_ctrl_c_inside_a_finalizer_is_not_lost(kept):
    """Python drops exceptions there; training stops all the same, after the step."""
    class Dies:
        def __del__(self):
            interrupt()

    reference = whole(kept)
    model = reference.reset()
    with pytest.raises(KeyboardInterrupt):
        model.fit(stream(0), verbose=0, callbacks=[C.LambdaCallback(on_train_batch_begin=lambda batch, logs: batch == AT and Dies())])
    check(fail, RuntimeError, AT + 1, reference)
