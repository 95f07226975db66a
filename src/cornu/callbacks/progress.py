"""The progress bar: drawn at most ten times a second, from values that the device has ready, so it never waits for it."""

import math
import sys
import time

import numpy as np

from cornu import config
from cornu.callbacks.callback import Callback

_WIDTH = 20
_INTERVAL = 0.1


class Progbar:
    """A progress bar on the screen.

    Args:
        target: the number of steps, or None when it is not known.
        width: the bar's width in characters.
        verbose: 1 for a bar, 2 for a line at the end, 0 for nothing.
        interval: seconds between two drawings, at the least.
        stateful_metrics: names whose values are shown as they are; others are averaged over the steps.
        stateless_metrics: the other way round: names whose values are averaged; others are shown as they are.
        unit_name: the unit that is counted.

    What comes with the last step is shown as it is. Raises ValueError when both lists of names are given.
    """

    def __init__(self, target, width=_WIDTH, verbose=1, interval=_INTERVAL, stateful_metrics=None, stateless_metrics=None,
                 unit_name="step"):
        if stateful_metrics is not None and stateless_metrics is not None:
            raise ValueError("Progbar: give stateful_metrics (all others are averaged) or stateless_metrics (only they are "
                             "averaged), not both.")
        self.target, self.width, self.verbose, self.interval = target, width, verbose, interval
        self.stateful_metrics, self.stateless_metrics, self.unit_name = stateful_metrics, stateless_metrics, unit_name
        self._sums, self._seen, self._start, self._drawn, self._length = {}, 0, time.time(), 0.0, 0
        self._first = None
        self._dynamic = sys.stdout.isatty() or "ipykernel" in sys.modules or "PYCHARM_HOSTED" in __import__("os").environ

    def update(self, current, values=None, finalize=None):
        """Show that `current` steps are done, with (name, value) pairs."""
        finalize = (self.target is not None and current >= self.target) if finalize is None else finalize
        for name, value in values or ():
            value = np.asarray(value) if isinstance(value, (list, tuple)) else value
            total, count = self._sums.get(name, (0.0, 0))
            steps = max(current - self._seen, 1)
            averaged = not finalize and (name not in (self.stateful_metrics or ()) if self.stateless_metrics is None
                                         else name in self.stateless_metrics)
            self._sums[name] = (total + value * steps, count + steps) if averaged else (value, 1)
        self._seen = current
        now = time.time()
        if self._first is None:
            self._first = (current, now)
        if not self.verbose or (now - self._drawn < self.interval and not finalize) or (
                self.verbose == 2 and not finalize):
            return
        self._drawn = now
        line = self._line(current, now, finalize)
        if self.verbose == 1 and self._dynamic:
            sys.stdout.write("\r" + line + " " * max(0, self._length - len(line)) + ("\n" if finalize else ""))
        else:
            sys.stdout.write(line + "\n")
        self._length = len(line)
        sys.stdout.flush()

    def add(self, n, values=None):
        """Show that n more steps are done."""
        self.update(self._seen + n, values)

    def _line(self, current, now, finalize):
        target = self.target or (current if finalize else None)
        parts = [f"{current}/{target if target else 'Unknown'}"]
        if self.verbose == 1 and target:
            full = min(self.width, int(self.width * current / target))
            parts.append("━" * full + "╺" * (full < self.width) + "─" * (self.width - full - 1))
        elapsed = now - self._start
        per_step = elapsed / max(current, 1) if finalize or self._first[0] >= current else (
            (now - self._first[1]) / (current - self._first[0]))
        parts.append(_clock(elapsed if finalize or not target else per_step * (target - current))
                     + f" {_per_step(per_step)}/{self.unit_name}")
        text = " ".join(parts)
        for name, (total, count) in self._sums.items():
            value = total / max(count, 1) if not isinstance(total, np.ndarray) or total.ndim == 0 else total
            shown = value if isinstance(value, np.ndarray) and value.ndim else (
                f"{value:.4f}" if value == 0 or not math.isfinite(value) or abs(value) > 1e-3 else f"{value:.4e}")
            text += f" - {name}: {shown}"
        return text


def _clock(seconds: float) -> str:
    seconds = int(seconds)
    if seconds >= 3600:
        return f"{seconds // 3600}:{seconds % 3600 // 60:02d}:{seconds % 60:02d}"
    return f"{seconds // 60}:{seconds % 60:02d}" if seconds >= 60 else f"{seconds}s"


def _per_step(seconds: float) -> str:
    return (f"{seconds:.0f}s" if seconds >= 10 else f"{seconds:.2f}s" if seconds >= 1 else
            f"{seconds * 1e3:.0f}ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f}us")


class ProgbarLogger(Callback):
    """Shows the progress of fit, evaluate and predict: a bar (verbose=1) or a line per epoch (verbose=2)."""

    every_batch = False

    def __init__(self):
        super().__init__()
        self.bar, self._nested = None, False
        self.verbose = 1

    def set_params(self, params):
        self.params = params
        self.verbose, self.epochs, self.target = params.get("verbose", 1), params.get("epochs"), params.get("steps")

    def listens_to(self, event):
        return event not in ("on_train_batch_begin", "on_test_batch_begin", "on_predict_batch_begin") \
            and super().listens_to(event)

    def on_train_begin(self, logs=None):
        self._nested = True

    def on_epoch_begin(self, epoch, logs=None):
        if self.verbose and self.epochs and self.epochs > 1:
            _say(f"Epoch {epoch + 1}/{self.epochs}")
        self.target = self.params.get("steps")
        self._open()

    def on_epoch_resume(self, epoch, logs=None):
        self.on_epoch_begin(epoch)

    def on_test_begin(self, logs=None):
        if not self._nested:
            self._open()

    def on_predict_begin(self, logs=None):
        self._open()

    def on_train_batch_end(self, batch, logs=None):
        self._show(batch + 1, logs)

    def on_test_batch_end(self, batch, logs=None):
        if not self._nested:
            self._show(batch + 1, logs)

    def on_predict_batch_end(self, batch, logs=None):
        self._show(batch + 1, None)

    def on_epoch_end(self, epoch, logs=None):
        self._close(logs)

    def on_test_end(self, logs=None):
        if not self._nested:
            self._close(logs)

    def on_predict_end(self, logs=None):
        self._close(None)

    def on_train_end(self, logs=None):
        self._nested = False

    def _open(self):
        self.bar = Progbar(self.target, verbose=self.verbose, stateless_metrics=())
        self._steps, self._next, self._pending = 0, 0.0, None
        self._shows = self.verbose == 1 and config.is_interactive_logging_enabled() and self.bar._dynamic

    def _show(self, step, logs):
        self._steps = step
        if not self._shows:
            return
        now = time.monotonic()
        if now < self._next:
            return
        if self._pending is None:
            self._pending = (step, logs)
        done, shown = self._pending
        if shown is None or not hasattr(shown, "ready") or shown.ready():
            self._pending, self._next = None, now + _INTERVAL
            self.bar.update(done, list((shown or {}).items()), finalize=False)

    def _close(self, logs):
        if self.bar is None:
            return
        logs = {k: v for k, v in (logs or {}).items()}
        if self.verbose:
            self.bar.target = self._steps or self.bar.target
            self.bar.update(self._steps, list(logs.items()), finalize=True)
        if self.params is not None and self.params.get("steps") is None:  # the next epoch is as long
            self.params["steps"] = self._steps or None
        self.bar = None


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
