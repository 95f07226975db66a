"""BackupAndRestore: a run that was killed goes on as if nothing had happened, exact to the bit."""

import os
import pathlib
import random
import threading

import jax.numpy as jnp
import numpy as np

from cornu import check
from cornu.callbacks.callback import Callback
from cornu.callbacks.state_file import read_state, write_state
from cornu.data import random_states
from cornu.interrupts import interrupts
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

    Raises ValueError for a state of another model, or of data of another length, when `fit` begins.

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

    def listens_to(self, event):
        return super().listens_to(event) and (self.save_freq != "epoch" or "batch" not in event)

    # resuming --------------------------------------------------------------------------------------------------------

    def resume(self, callbacks, sources, seed: int, epoch: int) -> tuple:
        """Put a saved state back, where there is one; the trainer calls it when training has begun.

        Args:
            callbacks: the run's CallbackList.
            sources: the data of training and of validation (or None).
            seed: the shuffling's seed, for a new run.
            epoch: the first epoch, for a new run.

        Returns the seed, the epoch, the number of steps that are done in it, and the last logs.
        """
        self.close()
        self.stopped = False
        self._callbacks = [c for c in callbacks.callbacks if c is not self and hasattr(c, "get_state")]
        self._sources, self._seed, self._epoch, self._batches, self._done = sources, seed, epoch, 0, 0
        self._began, sources[0].marks = random_states(), self.save_freq != "epoch"
        state = read_state(self._path)
        if state is None:
            return seed, epoch, 0, {}
        self._check(state)
        with interrupts.waiting():
            for variable, value in zip(self._variables(), state["values"]):
                variable._write(own_array(value, variable._value.dtype))  # as it was stored: a Tally has a hidden rest
        for callback, saved in self._paired(state["callbacks"]):
            callback.set_state(saved)
        self._began = state["began"]
        _set_random_states(self._began)
        for source, saved in zip(sources, state["sources"]):
            if source is not None and saved is not None:
                source.set_state(saved, state["step"] if source is sources[0] else 0)
        _set_random_states(state["random"])
        self._seed, self._epoch, self._done = state["seed"], state["epoch"], state["step"]
        self._batches = state["batches"]
        self.model.stop_training = self.stopped = state["stop_training"]
        return self._seed, self._epoch, self._done, state["logs"]

    def _variables(self) -> list:
        return self.model._step("train").changing

    def _check(self, state) -> None:
        wrong, own = "", [(v.path, list(v.shape), v._value.dtype.name) for v in self._variables()]
        if len(own) != len(state["values"]):
            wrong = f"it has {len(state['values'])} variables, the model has {len(own)}"
        for (path, shape, dtype), there, value in zip(own, state["paths"], state["values"]):
            if not wrong and (shape, dtype) != (list(value.shape), value.dtype.name):
                wrong = f"it has {there!r} of {value.dtype.name}{list(value.shape)}, the model {path!r} of {dtype}{shape}"
        data = [_data_of(s) for s in self._sources]
        if not wrong and state["step"] and data != state["data"]:
            wrong = f"an epoch was begun with {state['data']} as (samples, batch size, steps) of the data, now {data}"
        if wrong:
            raise ValueError(f"The saved state in {self.backup_dir!r} is of another run: {wrong}.\n"
                             "Resume with the same model and data, or delete the folder to start anew.")

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
        if self._batches >= self.save_freq:
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
            "batches": self._batches, "began": self._began, "random": random_now,
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
        """Let the state that is being written get to the disk."""
        if self._writing is not None:
            self._writing.join()
            self._writing = None


class NoBackup:
    """Nothing is saved, and every run is a new one."""

    stopped = False

    def resume(self, callbacks, sources, seed: int, epoch: int) -> tuple:
        return seed, epoch, 0, {}

    def close(self) -> None: ...


def backup_of(callbacks, path=None):
    """The BackupAndRestore among the callbacks, the one that `fit(resume=path)` stands for, or a NoBackup."""
    found = [c for c in callbacks.callbacks if isinstance(c, BackupAndRestore)]
    if len(found) + (path is not None) > 1:
        raise ValueError("A run has one state: give either `resume` or a single BackupAndRestore.")
    if path is not None:
        found = [BackupAndRestore(path, double_checkpoint=True, delete_checkpoint=False)]
        found[0].set_model(callbacks.model)
        found[0].set_params(callbacks.params)
        callbacks.append(found[0])
    return found[0] if found else NoBackup()


def _copy(state):
    """Containers anew, since training changes them while they are written; what is in them is not changed in place."""
    if isinstance(state, dict):
        return {k: _copy(v) for k, v in state.items()}
    return type(state)(map(_copy, state)) if type(state) in (list, tuple) else state


def _data_of(source):
    return None if source is None else [source.samples, source.batch_size, source.steps]


def _set_random_states(states: dict) -> None:
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
