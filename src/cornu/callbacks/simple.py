"""Small callbacks: functions as callbacks, a learning rate by epoch, logs to a file or a server, a stop at NaN."""

import csv
import json
import os

import numpy as np

from cornu import check, frames, ownership
from cornu.callbacks.callback import Callback, rate_of, rated_optimizers


class LambdaCallback(Callback):
    """Functions as a callback.

    Args:
        on_epoch_begin, on_epoch_end: take (epoch, logs).
        on_train_begin, on_train_end: take (logs).
        on_train_batch_begin, on_train_batch_end: take (batch, logs).
        **kwargs: the other events, by name.

    >>> LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch)).listens_to("on_epoch_end")
    True
    """

    def __init__(self, on_epoch_begin=None, on_epoch_end=None, on_train_begin=None, on_train_end=None,
                 on_train_batch_begin=None, on_train_batch_end=None, **kwargs):
        super().__init__()
        told = dict(on_epoch_begin=on_epoch_begin, on_epoch_end=on_epoch_end, on_train_begin=on_train_begin,
                    on_train_end=on_train_end, on_train_batch_begin=on_train_batch_begin,
                    on_train_batch_end=on_train_batch_end, **kwargs)
        for event, function in told.items():
            if not hasattr(Callback, event):
                raise ValueError(f"LambdaCallback: there is no event {event!r}. Nearest: "
                                 f"{', '.join(check.nearest(event, [e for e in dir(Callback) if e.startswith('on_')]))}")
            if function is not None:
                setattr(self, event, function)


class LearningRateScheduler(Callback):
    """Set the learning rate at the begin of every epoch.

    Args:
        schedule: takes (epoch, learning_rate), or (epoch); returns the new rate as a float.
        verbose: 1 says so.
    """

    def __init__(self, schedule, verbose=0):
        super().__init__()
        self.schedule, self.verbose = schedule, verbose

    def on_epoch_begin(self, epoch, logs=None):
        if getattr(self.model.optimizer, "has_schedule", False):
            raise ValueError("LearningRateScheduler cannot set a learning rate that follows a schedule. Give the optimizer "
                             "a number as learning_rate, or leave the callback out.")
        for optimizer in rated_optimizers(self.model):
            rate = self._rate(epoch, rate_of(optimizer))
            optimizer.learning_rate = rate
            if self.verbose:
                print(f"\nEpoch {epoch + 1}: LearningRateScheduler setting learning rate to {rate}.")

    def _rate(self, epoch: int, present: float) -> float:
        try:
            rate = self.schedule(epoch, present)
        except TypeError:  # the old form, of the epoch alone
            rate = self.schedule(epoch)
        if not isinstance(rate, (float, np.floating)) and getattr(rate, "ndim", None) != 0:
            raise ValueError(f"LearningRateScheduler: the schedule must return a float. Received: {rate!r}")
        return float(rate)

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs["learning_rate"] = rate_of(rated_optimizers(self.model)[0])


class TerminateOnNaN(Callback):
    """Stop training when the loss is NaN or infinite, and say in which layer, step and sample that began.

    The model keeps the weights, and the optimizer the state, that they had before that step.

    Args:
        raise_error: raise RuntimeError instead of stopping.
    """

    guards_loss = True  # steps whose loss is not finite are not taken

    def __init__(self, raise_error: bool = False):
        super().__init__()
        self.raise_error = raise_error

    def on_batch_end(self, batch, logs=None):
        loss = (logs or {}).get("loss")
        if loss is not None and not np.isfinite(loss):
            explain = getattr(self.model, "_not_finite", lambda: "")
            message = f"Batch {batch}: the loss is {loss}, so training stops. {explain()}"
            if self.raise_error:
                raise RuntimeError(message)
            print(message)
            self.model.stop_training = True


class CSVLogger(Callback):
    """Write the logs of every epoch as a line of a CSV file.

    Args:
        filename: the file.
        separator: between the columns.
        append: continue an existing file instead of replacing it.
    """

    def __init__(self, filename, separator=",", append=False):
        super().__init__()
        self.filename, self.separator, self.append = str(filename), separator, append
        self.writer = self.file = self.keys = None

    def on_train_begin(self, logs=None):
        self.writer = self.file = None
        exists = self.append and os.path.exists(self.filename)
        self._length = os.path.getsize(self.filename) if exists else None

    def on_epoch_end(self, epoch, logs=None):
        logs = dict((logs or {}).items())
        if self.file is None:
            self._open()
        if self.writer is None:
            names = [m for m in (self.params or {}).get("log_names") or () if m not in logs]
            self.keys = sorted([*logs, *names]) if self.keys is None else self.keys
            self.writer = csv.DictWriter(self.file, ["epoch", *self.keys], delimiter=self.separator)
            if self._header:
                self.writer.writeheader()
        self.writer.writerow({"epoch": epoch, **{k: self._cell(logs.get(k, "NA")) for k in self.keys}})
        self.file.flush()

    def _open(self):
        """Open the file when there is a first line to write; a resumed run cuts off what came after its state."""
        if self._length is not None:
            self.file = open(self.filename, "r+", newline="")
            self.file.seek(self._length)
            self.file.truncate()
        else:
            self.file = open(self.filename, "w", newline="")
        self._header = os.path.getsize(self.filename) == 0
        self.append = True  # a second fit continues the file

    def get_state(self):
        return {"_length": self.file.tell() if self.file else self._length, "keys": self.keys}

    @staticmethod
    def _cell(value):
        array = np.asarray(value)
        return value if isinstance(value, str) or array.ndim == 0 else f'"[{", ".join(map(str, array.tolist()))}]"'

    def on_train_end(self, logs=None):
        if self.file is not None:
            self.file.close()
        self.writer = self.keys = None

    def on_abort(self, error):
        self.on_train_end()


class RemoteMonitor(Callback):
    """Send the logs of every epoch to a server, as a POST request; a server that does not answer is a warning.

    Args:
        root, path: the address.
        field: the form field that holds the JSON, when it is not sent as JSON.
        headers: HTTP headers.
        send_as_json: send the JSON as the body.
    """

    def __init__(self, root="http://localhost:9000", path="/publish/epoch/end/", field="data", headers=None, send_as_json=False):
        super().__init__()
        self.root, self.path, self.field = root, path, field
        self.headers, self.send_as_json = headers, send_as_json

    def on_epoch_end(self, epoch, logs=None):
        import urllib.error
        import urllib.parse
        import urllib.request

        record = {"epoch": epoch, **{k: np.asarray(v).tolist() for k, v in (logs or {}).items()}}
        body = json.dumps(record)
        headers = dict(self.headers or {})
        if self.send_as_json:
            headers.setdefault("Content-Type", "application/json")
        else:
            body = urllib.parse.urlencode({self.field: body})
        request = urllib.request.Request(self.root + self.path, body.encode(), headers, method="POST")
        try:
            urllib.request.urlopen(request, timeout=10).close()
        except (urllib.error.URLError, OSError) as error:
            frames.warn(f"RemoteMonitor: {self.root} does not answer: {error}")


class SwapEMAWeights(Callback):
    """Put the optimizer's moving averages in the weights' place for evaluation and prediction.

    Args:
        swap_on_epoch: swap at the end of every epoch too, so that what is saved then are the averages.

    Raises ValueError when the optimizer keeps no averages (use_ema=False).
    """

    def __init__(self, swap_on_epoch=False):
        super().__init__()
        self.swap_on_epoch, self._swapped = swap_on_epoch, False

    def _swap(self):
        optimizer = self.model.optimizer
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        if not getattr(optimizer, "use_ema", False):
            raise ValueError("SwapEMAWeights needs an optimizer with use_ema=True.")
        pairs = [(v, a) for v, a in zip(optimizer._trainable_variables, optimizer._averages) if a is not None]
        weights, averages = map(list, zip(*pairs)) if pairs else ([], [])
        turned = ownership.read([*averages, *weights])
        self._swapped = not self._swapped
        ownership.write([*weights, *averages], turned)

    def get_state(self):
        return {"_swapped": self._swapped}

    def on_epoch_begin(self, epoch, logs=None):
        if self._swapped:
            self._swap()

    def on_test_begin(self, logs=None):
        self._swap()

    def on_test_end(self, logs=None):
        self._swap()

    def on_predict_begin(self, logs=None):
        self._swap()

    def on_predict_end(self, logs=None):
        self._swap()

    def on_epoch_end(self, epoch, logs=None):
        if self.swap_on_epoch:
            self._swap()

    def before_finalize(self):
        if self._swapped:
            self._swap()

    def on_abort(self, error):
        self.before_finalize()
