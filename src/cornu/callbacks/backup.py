"""BackupAndRestore: a run that was killed goes on as if nothing had happened, exact to the bit."""

import os
import pathlib
import threading

import jax.numpy as jnp

from cornu import check, frames, ownership
from cornu.callbacks.callback import Callback
from cornu.callbacks.run_settings import decisive_difference, other_differences, settings_of, without_numbers
from cornu.callbacks.state_file import read_state, write_state
from cornu.data import random_states, set_random_states
from cornu.variable import own_array

_FILE = "training_state.cornu"


class BackupAndRestore(Callback):
    """Save the whole state of training, and go on from it when `fit` is called again after the process ended.

    The state is everything that the rest of the run depends on: weights, optimizers, metrics of the unfinished epoch,
    seeds, the shuffling's seed, the position in the data, callbacks' states (`get_state` and `set_state`), the history,
    and the states of Python's and NumPy's global random generators. It is copied at the step and written beside the
    running training, to a file that is whole or absent. On the same machine, with data that can be repositioned or
    that repeats itself, a resumed run's weights, history and callbacks' decisions equal an uninterrupted run's bit by bit.

    Args:
        backup_dir: the folder for the state; one for each run.
        save_freq: "epoch", or after how many batches it is saved.
        double_checkpoint: keep the state before the last one too, for the case that the last one's file is damaged.
        delete_checkpoint: delete the state when training has ended; otherwise `fit` with more epochs goes on from it.

    Data that can be repeated is an iterator, iterable, loader or PyDataset that gives the same batches when the program runs
    anew: its random generators are seeded (global ones, and those that it holds). It is repeated up to where the run stood,
    unless it has `get_state()` and `set_state(state)`, or `state_dict()` and `load_state_dict(state)`.

    Where a state is damaged the one before it is used, with a warning, if there is one. Other settings than the saved ones, a
    learning rate for example, are warned of.

    Raises ValueError, when `fit` begins, for a state of another model, optimizer or loss, of data of another length, for data
    that gives other batches than it did, and for a damaged state that none came before. The model is then as it was.

    >>> BackupAndRestore("run1", save_freq=100).save_freq
    100
    """

    listens_last = True  # after the callbacks whose states it saves

    def __init__(self, backup_dir, save_freq="epoch", double_checkpoint=False, delete_checkpoint=True):
        super().__init__()
        if not backup_dir:
            raise ValueError(f"BackupAndRestore: backup_dir must be a folder. Received: {backup_dir!r}")
        if save_freq != "epoch":
            check.positive("save_freq", save_freq, "BackupAndRestore")
        self.backup_dir, self.save_freq = os.fspath(backup_dir), save_freq
        self.double_checkpoint, self.delete_checkpoint = double_checkpoint, delete_checkpoint
        self._path = pathlib.Path(self.backup_dir, _FILE)
        self._writing, self._failed, self._batches, self.stopped = None, None, 0, False
        self._state, self._before = None, None  # between `begin` and `resume`: what was read, and random states to put back

    def listens_to(self, event):
        needed = self.save_freq != "epoch" or "batch" not in event
        return super().listens_to(event) and (needed or self._overrides(BackupAndRestore, event))

    # resuming --------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Read the state, and let the program draw from here on what it drew in the run that is resumed.

        The trainer calls it before it looks at the data.
        """
        self.close()
        self._state = read_state(self._path)
        self._before = now = random_states()
        self._start = now if self._state is None else _part(self._state, "start")
        set_random_states(self._start)

    def resume(self, callbacks, sources, seed: int, epoch: int) -> tuple:
        """Put the saved state back, where there is one; the trainer calls it when training has begun.

        Args:
            callbacks: the run's CallbackList.
            sources: the data of training and of validation (or None).
            seed: the shuffling's seed, for a new run.
            epoch: the first epoch, for a new run.

        Returns the seed, the epoch, the number of steps that are done in it, and the last logs.
        """
        self.stopped = False
        self._callbacks = [c for c in callbacks.callbacks if c is not self and hasattr(c, "get_state")]
        self._sources, self._seed, self._epoch, self._batches, self._done = sources, seed, epoch, 0, 0
        sources[0].marks = self.save_freq != "epoch"
        for source in sources:
            if source is not None:
                source.recorded = True
        self._settings = settings_of(self.model, self.model._optimizers())
        self._began, state, self._state = random_states(), self._state, None
        if state is None:
            self._before = None
            return seed, epoch, 0, {}
        self._check(state)
        set_random_states(state["began"])
        for source, saved in zip(sources, state["sources"]):
            if source is not None and saved is not None:
                source.set_state(saved, state["step"] if source is sources[0] else 0)
        set_random_states(state["random"])
        self._before = None
        variables = self._variables()  # their values as they were stored: a Tally has a hidden rest
        ownership.write(variables, [own_array(a, v._value.dtype) for v, a in zip(variables, state["values"])])
        for callback, saved in self._paired(state["callbacks"]):
            callback.set_state(saved)
        self._began, self._settings = state["began"], state["settings"]
        self._seed, self._epoch, self._done = state["seed"], state["epoch"], state["step"]
        self._batches = state["batches"]
        self.model.stop_training = self.stopped = state["stop_training"]
        self._say()
        return self._seed, self._epoch, self._done, state["logs"]

    def _say(self) -> None:
        """Where training goes on."""
        if self.params.get("verbose"):
            epochs = self.params.get("epochs")
            place = f"after step {self._done} of epoch {self._epoch + 1}" if self._done else f"after epoch {self._epoch}"
            ended = self.stopped or epochs is not None and self._epoch >= epochs
            print(f"Resuming from {self.backup_dir!r}: " + (f"training had ended {place}." if ended else
                                                           f"training goes on {place} of {epochs}."))

    def _variables(self) -> list:
        return self.model._step("train").changing

    def _check(self, state) -> None:
        """Compare the state's run with this one. Raises ValueError where it is another, and warns of settings that differ."""
        paths, values, settings = (_part(state, name) for name in ("paths", "values", "settings"))
        wrong, own = decisive_difference(settings, self._settings), [
            (v.path, list(v.shape), v._value.dtype.name) for v in self._variables()]
        if not wrong and len(own) != len(values):
            wrong = f"it has {len(values)} variables, the model has {len(own)}"
        for (path, shape, dtype), there, value in zip(own, paths, values):
            if not wrong and (shape, dtype, without_numbers(path)) != (
                    list(value.shape), value.dtype.name, without_numbers(there)):
                wrong = f"it has {there!r} of {value.dtype.name}{list(value.shape)}, the model {path!r} of {dtype}{shape}"
        data = [_data_of(s) for s in self._sources]
        if not wrong and state["step"] and data != state["data"]:
            wrong = f"an epoch was begun with {state['data']} as (samples, batch size, steps) of the data, now {data}"
        if wrong:
            raise ValueError(f"The saved state in {self.backup_dir!r} is of another run: {wrong}.\n"
                             "Resume with the same model and data, or delete the folder to start anew.")
        first = [float(c["learning_rate"]) for _, c in settings["optimizers"] if isinstance(c.get("learning_rate"), float)]
        told = [f"the learning rate stays {value:.6g}, as it was saved, and {float(v.numpy()):.6g} is not taken"
                for v, value in zip(self._variables(), values) if v.path.endswith("/learning_rate")
                and float(v.numpy()) not in (float(value), *first)]
        told += other_differences(settings, self._settings)
        if told:
            frames.warn(f"The run in {self.backup_dir!r} is resumed with other settings than it was begun with: {'; '.join(told)}.")

    def _paired(self, states) -> list:
        """Callbacks with their saved states: the n-th of a class gets the state of the n-th of that class."""
        waiting = list(states)
        pairs = []
        for callback in self._callbacks:
            found = next((s for s in waiting if s[0] == type(callback).__name__), None)
            if found is not None:
                waiting.remove(found)
                pairs.append((callback, found[1]))
        return pairs

    # saving ----------------------------------------------------------------------------------------------------------

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch, self._done = epoch, 0

    def on_train_batch_end(self, batch, logs=None):
        self._batches += batch + 1 - self._done  # several when one dispatch runs several steps
        self._done = batch + 1
        if self.save_freq != "epoch" and self._batches >= self.save_freq:
            self._batches = 0
            self._save(self._epoch, batch + 1, logs)

    def on_epoch_end(self, epoch, logs=None):
        if self.save_freq == "epoch" or self.model.stop_training or epoch + 1 == self.params.get("epochs"):
            self._save(epoch + 1, 0, logs)

    def on_train_end(self, logs=None):
        self.wait_until_written()
        if self.delete_checkpoint:
            for path in (self._path, self._path.with_name(_FILE + ".previous")):
                path.unlink(missing_ok=True)

    def _save(self, epoch, step, logs) -> None:
        """Copy the state now; write it beside the training."""
        self.wait_until_written()
        variables, states = self._variables(), [None if s is None else s.get_state() for s in self._sources]
        random_now = random_states()
        if self._sources[0].mark is not None:  # its next batches are prepared already
            states[0], random_now = self._sources[0].mark
        state = {
            "values": [jnp.array(v._value, copy=True) for v in variables], "paths": [v.path for v in variables],
            "callbacks": [[type(c).__name__, _copy(c.get_state())] for c in self._callbacks],
            "sources": states,
            "data": [_data_of(s) for s in self._sources], "seed": self._seed, "epoch": epoch, "step": step,
            "batches": self._batches, "start": self._start, "began": self._began, "random": random_now,
            "settings": self._settings,
            "stop_training": bool(self.model.stop_training), "logs": dict((logs or {}).items())}
        self._writing = threading.Thread(target=self._write, args=(state,), name="cornu-backup")
        self._writing.start()

    def _write(self, state) -> None:
        try:
            write_state(self._path, state, self.double_checkpoint)
        except Exception as error:
            self._failed = error

    def wait_until_written(self) -> None:
        """Wait for the state that is being written; raises the error that writing it met."""
        self.close()
        error, self._failed = self._failed, None
        if error is not None:
            raise error


    def close(self) -> None:
        """Let the state that is being written get to the disk, and undo a `begin` that no `resume` followed."""
        if self._writing is not None:
            self._writing.join()
            self._writing = None
        if self._before is not None:
            set_random_states(self._before)
            self._before = self._state = None


class NoBackup:
    """Nothing is saved, and every run is a new one."""

    stopped = False

    def begin(self) -> None: ...

    def resume(self, callbacks, sources, seed: int, epoch: int) -> tuple:
        return seed, epoch, 0, {}

    def close(self) -> None: ...


def backup_of(callbacks, path=None):
    """The BackupAndRestore among the callbacks, the one that `fit(resume=path)` stands for, or a NoBackup.

    Returns it and the callbacks with it.
    """
    listed = getattr(callbacks, "callbacks", callbacks)
    listed = [listed] if isinstance(listed, Callback) else list(listed or ())
    found = [c for c in listed if isinstance(c, BackupAndRestore)]
    if len(found) + (path is not None) > 1:
        raise ValueError("A run has one state: give either `resume` or a single BackupAndRestore.")
    if path is not None:
        found = [BackupAndRestore(path, double_checkpoint=True, delete_checkpoint=False)]
        callbacks = [*listed, found[0]]
    return found[0] if found else NoBackup(), callbacks


def _part(state, name: str):
    """A part of a saved state. Raises ValueError where it is missing."""
    if not isinstance(state, dict) or name not in state:
        raise ValueError(f"The saved state has no {name!r}: it is of another version of cornu. Delete it to start anew.")
    return state[name]


def _copy(state):
    """Containers anew, since training changes them while they are written; what is in them is not changed in place."""
    if isinstance(state, dict):
        return {k: _copy(v) for k, v in state.items()}
    return type(state)(map(_copy, state)) if type(state) in (list, tuple) else state


def _data_of(source):
    return None if source is None else [source.samples, source.batch_size, source.steps]
