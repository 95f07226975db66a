"""Callbacks that save the model while it is trained."""

import os
import pathlib

import numpy as np

from cornu import check, errors
from cornu.callbacks.monitoring import MonitorCallback
from cornu.files import replacing
from cornu.ops import greater


class SavingCallback(MonitorCallback):
    """Base of callbacks that save at the end of epochs or every so many batches, always or when a value is the best.

    Args:
        monitor, mode, initial_value_threshold: what counts as better, and what has to be beaten at first.
        verbose: 1 says what is saved.
        save_best_only: save only what is better than everything before.
        save_freq: "epoch", or a number of batches.

    Raises ValueError before the first step when the monitored value will not be logged.
    """

    def __init__(self, monitor, mode, verbose, save_best_only, save_freq, initial_value_threshold):
        super().__init__(monitor, mode, initial_value_threshold)
        if save_freq != "epoch":
            check.positive("save_freq", save_freq, type(self).__name__)
        self.verbose, self.save_best_only, self.save_freq = verbose, save_best_only, save_freq
        self._batches, self._last_batch, self._epoch = 0, -1, 0

    _needs_monitor = property(lambda self: self.save_best_only)

    def on_train_begin(self, logs=None):
        if self._needs_monitor:
            super().on_train_begin(logs)
            if self.save_freq != "epoch" and self.monitor.startswith("val_"):
                raise ValueError(f"{type(self).__name__}: {self.monitor!r} is known only after an epoch, but "
                                 f"save_freq={self.save_freq} saves after batches. Use save_freq=\"epoch\", or monitor "
                                 "a value of training.")

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch, self._last_batch = epoch, -1

    def on_train_batch_end(self, batch, logs=None):
        if self._should_save_on_batch(batch):
            self._save_model(self._epoch, batch, logs)

    def on_epoch_end(self, epoch, logs=None):
        if self.save_freq == "epoch":
            self._save_model(epoch, None, logs)

    def listens_to(self, event):
        needed = "batch" not in event or self.save_freq != "epoch"
        return super().listens_to(event) and (needed or self._overrides(SavingCallback, event))

    # Subclasses written for Keras's ModelCheckpoint override and call these: the names are Keras's.

    _current_epoch = property(lambda self: self._epoch)

    def _should_save_on_batch(self, batch) -> bool:
        """Whether to save after this batch; it is asked once for every batch that has ended."""
        if self.save_freq == "epoch":
            return False
        self._batches += batch - self._last_batch  # several when one dispatch runs several steps
        self._last_batch = batch
        if self._batches < self.save_freq:
            return False
        self._batches = 0
        return True

    def _save_model(self, epoch, batch, logs):
        """Save after a batch, or after an epoch where it is None, if what is monitored is good enough."""
        where = f"the end of epoch {epoch + 1}" if batch is None else f"batch {batch + 1} of epoch {epoch + 1}"
        if not self._needs_monitor:
            return self._save(epoch, batch, logs or {}, None)
        if not self._has_value(logs):
            return None
        value = self._value(logs, where)
        if self.save_best_only and not self._is_improvement(value, self.best):
            if self.verbose:
                print(f"\nEpoch {epoch + 1}: {self.monitor} did not improve from {self.best:.5f}")
            return None
        if self.save_best_only:
            if self.verbose and self.best is not None:
                print(f"\nEpoch {epoch + 1}: {self.monitor} improved from {self.best:.5f} to {value:.5f}")
            self.best = value
        return self._save(epoch, batch, logs, value)

    def _save(self, epoch, batch, logs, value):
        raise NotImplementedError

    def get_state(self) -> dict:
        return {"best": self.best, "_batches": self._batches, "_last_batch": self._last_batch, "_epoch": self._epoch}


class ModelCheckpoint(SavingCallback):
    """Save the model, or its weights, after epochs or batches; a file is written whole or not at all.

    Args:
        filepath: the file, ending in `.keras` or `.h5` (with save_weights_only: `.weights.h5`). It may have fields as in
            `"{epoch:02d}-{val_loss:.2f}.keras"`: epoch and batch (from 1) and what training logs.
        monitor, mode, initial_value_threshold: what counts as better, and what has to be beaten at first.
        verbose: 1 says what is saved.
        save_best_only: save only what is better than everything before.
        save_weights_only: save the weights, not the model.
        save_freq: "epoch", or a number of batches.
        keep: None, or how many of the saved files are kept: those with the best monitored values.

    Raises ValueError for another ending, an unknown field, or (before the first step) a value that is not logged.

    >>> ModelCheckpoint("best.keras", monitor="val_accuracy", save_best_only=True).mode
    'auto'
    """

    @errors.filtered
    def __init__(self, filepath, monitor="val_loss", verbose=0, save_best_only=False, save_weights_only=False, mode="auto",
                 save_freq="epoch", initial_value_threshold=None, keep: int | None = None):
        super().__init__(monitor, mode, verbose, save_best_only, save_freq, initial_value_threshold)
        self.filepath, self.save_weights_only = os.fspath(filepath), save_weights_only
        endings = (".weights.h5",) if save_weights_only else (".keras", ".h5")
        if not self.filepath.endswith(endings):
            raise ValueError(f"ModelCheckpoint: filepath must end with {' or '.join(endings)} when save_weights_only="
                             f"{save_weights_only}. Received: {self.filepath!r}")
        if keep is not None:
            check.positive("keep", keep, "ModelCheckpoint")
            if "{" not in self.filepath:
                raise ValueError(f"ModelCheckpoint: keep={keep} needs a filepath with a field, such as '{{epoch}}', that "
                                 f"tells the files apart. Received: {self.filepath!r}")
        self.keep, self.kept = keep, []  # pairs of value and path, the best first

    _needs_monitor = property(lambda self: self.save_best_only or self.keep is not None)

    def _save(self, epoch, batch, logs, value):
        path = self._get_file_path(epoch, batch, logs)
        dropped = []
        if self.keep is not None:
            kept, dropped = self._best_of(value, path)
            if path in dropped:
                return
        if self.verbose:
            print(f"\nEpoch {epoch + 1}: saving model to {path}")
        with replacing(path) as temporary:
            if self.save_weights_only:
                self.model.save_weights(str(temporary), overwrite=True)
            else:
                self.model.save(str(temporary), overwrite=True)
        if self.keep is not None:
            self.kept = kept
            for old in dropped:
                pathlib.Path(old).unlink(missing_ok=True)

    def _get_file_path(self, epoch, batch, logs) -> str:
        """The file for what is saved after a batch, or after an epoch where it is None."""
        known = {k: float(v) if np.ndim(v) == 0 else v for k, v in (logs or {}).items()}
        known["epoch"] = epoch + 1
        try:
            return self.filepath.format(**known, **({} if batch is None else {"batch": batch + 1}))
        except KeyError as error:
            raise ValueError(f"ModelCheckpoint: filepath {self.filepath!r} has the field {error}, which is not known here. "
                             f"Known: {', '.join(known)}{'' if batch is None else ', batch'}.") from None

    def _best_of(self, value, path) -> tuple:
        """The files to keep as pairs of value and path, the best first, and the paths of those to remove."""
        sign = -1 if self.monitor_op is greater else 1
        files = sorted([*(k for k in self.kept if k[1] != path), [value, path]], key=lambda k: sign * k[0])
        return files[:self.keep], [p for _, p in files[self.keep:]]

    def get_state(self) -> dict:
        return {**super().get_state(), "kept": self.kept}
