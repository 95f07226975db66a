"""Callbacks that watch one logged value: stop early, lower the learning rate, keep the best weights."""


import numpy as np

from cornu import check, frames
from cornu.callbacks.callback import Callback, rate_of, rated_optimizers
from cornu.ops import greater, less

_GROWS = ("acc", "auc", "precision", "recall", "f1", "fbeta", "iou", "r2", "specificity", "sensitivity", "similarity",
          "correlation", "true_", "top_k")


class MonitorCallback(Callback):
    """Base of callbacks that compare a logged value with the best one so far.

    Args:
        monitor: the value's name in the logs, such as "val_loss".
        mode: "min", "max", or "auto" (by the metric, else by its name).
        baseline: the value to beat at first.
        min_delta: changes smaller than this are none.

    Raises ValueError before the first step when training will not log the value.
    """

    def __init__(self, monitor="val_loss", mode="auto", baseline=None, min_delta=0):
        super().__init__()
        self.monitor, self.mode = monitor, check.one_of("mode", mode, ("auto", "min", "max"), type(self).__name__)
        self.baseline, self.best, self.min_delta = baseline, baseline, abs(min_delta)
        self.monitor_op = None

    def on_train_begin(self, logs=None):
        known = (self.params or {}).get("log_names")
        if known is not None and self.monitor not in known and self.monitor != "learning_rate":
            self._not_logged(known)
        self._set_direction()

    def _not_logged(self, known) -> None:
        """Refuse a misspelt monitor; warn where only the validation data is missing, as training can go on without."""
        said = f"{type(self).__name__}: `{self.monitor}` will not be logged. Training logs: {', '.join(known)}."
        validated = any(k.startswith("val_") for k in known)
        if self.monitor.startswith("val_") and not validated and self.monitor.removeprefix("val_") in known:
            frames.warn(f"{said} There is no validation data: pass validation_data or validation_split to fit. The "
                        "callback does nothing.")
            return
        close = check.nearest(self.monitor, known)
        hint = "" if not self.monitor.startswith("val_") or validated else (
            " There is no validation data: pass validation_data or validation_split to fit.")
        raise ValueError(said + (f" Did you mean {close[0]!r}?" if close and not hint else hint))

    def _set_direction(self):
        mode = self.mode
        if mode == "auto":
            name = self.monitor.removeprefix("val_")
            found = next((m for m in getattr(self.model, "metrics", ()) if m.name == name), None)
            mode = getattr(found, "_direction", None) or ("max" if any(g in name for g in _GROWS) else "min")
            mode = {"up": "max", "down": "min"}.get(mode, mode)
        self.monitor_op = greater if mode == "max" else less

    def _value(self, logs, where: str):
        logs = logs or {}
        if self.monitor not in logs:
            raise ValueError(f"{type(self).__name__}: `{self.monitor}` is not in the logs at {where}: {', '.join(logs)}.")
        return float(np.asarray(logs[self.monitor]).reshape(()))

    def _is_improvement(self, value, reference) -> bool:
        if np.isnan(value):
            return False
        if reference is None:
            return True
        delta = self.min_delta if self.monitor_op is greater else -self.min_delta
        return bool(self.monitor_op(value - delta, reference))

    def _has_value(self, logs) -> bool:
        """A value that is validated only now and then is absent from some epochs' logs."""
        return self.monitor in (logs or {}) or not self.monitor.startswith("val_")


class EarlyStopping(MonitorCallback):
    """Stop when the monitored value has not improved for a while.

    Args:
        monitor, mode, min_delta, baseline: what counts as an improvement.
        patience: epochs without one before training stops.
        verbose: 1 says when and why.
        restore_best_weights: put the best epoch's weights back at the end, also when Ctrl-C stops training.
        start_from_epoch: epochs before watching begins.

    >>> EarlyStopping(monitor="val_accuracy", patience=3, restore_best_weights=True).patience
    3
    """

    def __init__(self, monitor="val_loss", min_delta=0, patience=0, verbose=0, mode="auto", baseline=None,
                 restore_best_weights=False, start_from_epoch=0):
        super().__init__(monitor, mode, baseline, min_delta)
        self.patience = check.positive("patience", patience, "EarlyStopping", zero=True)
        self.verbose, self.restore_best_weights, self.start_from_epoch = verbose, restore_best_weights, start_from_epoch
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best_weights = None

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best = self.best_weights = None

    def on_epoch_end(self, epoch, logs=None):
        if epoch < self.start_from_epoch or not self._has_value(logs):
            return
        value = self._value(logs, f"the end of epoch {epoch + 1}")
        if self.restore_best_weights and self.best_weights is None:
            self.best_weights, self.best_epoch = self.model.get_weights(), epoch
        self.wait += 1
        if self._is_improvement(value, self.best):
            self.best, self.best_epoch = value, epoch
            if self.baseline is None or self._is_improvement(value, self.baseline):
                self.wait = 0
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch, self.model.stop_training = epoch, True

    def get_monitor_value(self, logs: dict | None):
        """The monitored value among the logs; None where it is not there."""
        return (logs or {}).get(self.monitor)

    def on_train_end(self, logs=None):
        if self.stopped_epoch > 0 and self.verbose:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.restore_best_weights and self.best_weights is not None:
            if self.verbose:
                print(f"Restoring model weights from the end of the best epoch: {self.best_epoch + 1}.")
            self.model.set_weights(self.best_weights)

    def on_abort(self, error):
        if isinstance(error, KeyboardInterrupt):
            self.on_train_end()

    def get_state(self) -> dict:
        return {"wait": self.wait, "best": self.best, "best_epoch": self.best_epoch, "best_weights": self.best_weights,
                "stopped_epoch": self.stopped_epoch}


class ReduceLROnPlateau(MonitorCallback):
    """Lower the learning rate when the monitored value has stopped improving.

    Args:
        monitor, mode, min_delta: what counts as an improvement.
        factor: what the rate is multiplied with.
        patience: epochs without improvement before that.
        verbose: 1 says so.
        cooldown: epochs to wait after it before counting again.
        min_lr: the lowest rate.

    Raises ValueError for a factor of 1 or more, and before the first step for an optimizer whose rate is a schedule.
    """

    def __init__(self, monitor="val_loss", factor=0.1, patience=10, verbose=0, mode="auto", min_delta=1e-4, cooldown=0,
                 min_lr=0.0, **kwargs):
        if "epsilon" in kwargs:
            min_delta = kwargs.pop("epsilon")
        if kwargs:
            raise ValueError(f"ReduceLROnPlateau: unknown arguments {sorted(kwargs)}.")
        if factor >= 1.0:
            raise ValueError(f"ReduceLROnPlateau: factor must be below 1. Received: {factor}")
        super().__init__(monitor, mode, None, min_delta)
        self.factor, self.patience, self.verbose = factor, patience, verbose
        self.cooldown, self.min_lr = cooldown, min_lr
        self.wait = self.cooldown_counter = 0

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        if getattr(self.model.optimizer, "has_schedule", False):
            raise ValueError("ReduceLROnPlateau cannot set a learning rate that follows a schedule: the next step would "
                             "set it anew. Give the optimizer a number as learning_rate, or leave the callback out.")
        self.wait = self.cooldown_counter = 0
        self.best = None

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs["learning_rate"] = rate_of(rated_optimizers(self.model)[0])
        if not self._has_value(logs):
            return
        value = self._value(logs, f"the end of epoch {epoch + 1}")
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.wait = 0
        if self._is_improvement(value, self.best):
            self.best, self.wait = value, 0
        elif self.cooldown_counter <= 0:
            self.wait += 1
            if self.wait >= self.patience:
                self._lower(epoch)

    def in_cooldown(self) -> bool:
        """Whether epochs are waited for after the rate was lowered."""
        return self.cooldown_counter > 0

    def _lower(self, epoch):
        for optimizer in rated_optimizers(self.model):
            old = rate_of(optimizer)
            if old <= np.float32(self.min_lr):
                continue
            new = max(old * self.factor, self.min_lr)
            optimizer.learning_rate = new
            if self.verbose:
                print(f"\nEpoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {new}.")
            self.cooldown_counter, self.wait = self.cooldown, 0

    def get_state(self) -> dict:
        return {"wait": self.wait, "best": self.best, "cooldown_counter": self.cooldown_counter}
