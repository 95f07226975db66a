"""Callback: what listens to training; Logs: values that are read from the device when they are looked at."""

import numpy as np

from cornu import check, errors


class Callback:
    """Base of callbacks: override the events to listen to.

    `set_params` and `set_model` are called first; then `self.params` (verbose, epochs, steps) and `self.model` are
    there. `logs` maps names to values; they are read from the device when they are looked at.

    >>> class Cheer(Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         print(epoch, sorted(logs))
    """

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        errors.filter_constructor(cls)

    def __init__(self):
        self.params, self._model = None, None

    params = None
    _model = None
    every_batch = True  # whether batch events have to come for each batch; False lets several steps run between them

    @property
    def model(self):
        return self._model

    def set_params(self, params: dict) -> None:
        self.params = params

    def set_model(self, model) -> None:
        self._model = model

    def on_train_begin(self, logs=None): ...
    def on_train_end(self, logs=None): ...
    def on_test_begin(self, logs=None): ...
    def on_test_end(self, logs=None): ...
    def on_predict_begin(self, logs=None): ...
    def on_predict_end(self, logs=None): ...
    def on_epoch_begin(self, epoch, logs=None): ...
    def on_epoch_end(self, epoch, logs=None): ...

    def on_epoch_resume(self, epoch, logs=None):
        """Called in the place of `on_epoch_begin` when a resumed run goes on in the middle of an epoch."""

    def on_abort(self, error: BaseException):
        """Called when an exception (or Ctrl-C) ends fit, evaluate or predict, in the place of their last events."""

    def on_batch_begin(self, batch, logs=None):
        """The old name of `on_train_batch_begin`."""

    def on_batch_end(self, batch, logs=None):
        """The old name of `on_train_batch_end`."""

    def on_train_batch_begin(self, batch, logs=None):
        self.on_batch_begin(batch, logs=logs)

    def on_train_batch_end(self, batch, logs=None):
        self.on_batch_end(batch, logs=logs)

    def on_test_batch_begin(self, batch, logs=None): ...
    def on_test_batch_end(self, batch, logs=None): ...
    def on_predict_batch_begin(self, batch, logs=None): ...
    def on_predict_batch_end(self, batch, logs=None): ...

    def get_state(self) -> dict:
        """What the callback has learned, for a run that is resumed: numbers, text, arrays, lists and dicts of them."""
        return {}

    def set_state(self, state: dict) -> None:
        """Go on from what `get_state` returned; called after `on_train_begin`."""
        self.__dict__.update(state)

    def listens_to(self, event: str) -> bool:
        """Whether the class overrides an event (or its old name)."""
        return self._overrides(Callback, event)

    def _overrides(self, base: type, event: str) -> bool:
        """Whether an event (or its old name) has another method here than in a base class."""
        names = {event, event.replace("on_train_batch", "on_batch")}
        return any(getattr(type(self), e) is not getattr(base, e) or e in self.__dict__ for e in names)


def rated_optimizers(model) -> list:
    """The optimizers of a model that have a learning rate each: those inside a MultiOptimizer, else the one there is."""
    return list(getattr(model.optimizer, "optimizers", ()) or [model.optimizer])


def rate_of(optimizer) -> float:
    """The present learning rate."""
    return float(np.asarray(optimizer.learning_rate))


class Logs(dict):
    """Values by name that are turned from device arrays into Python numbers when they are read."""

    def __getitem__(self, key):
        if not dict.__contains__(self, key):
            close = check.nearest(key, self.keys())
            raise KeyError(f"{key!r} is not among the logs: {', '.join(self)}." + (f" Nearest: {close[0]}" if close else ""))
        return _number(dict.__getitem__(self, key))

    def get(self, key, default=None):
        return self[key] if key in self else default

    def items(self):
        return [(k, self[k]) for k in self]

    def values(self):
        return [self[k] for k in self]

    def copy(self):
        return dict(self.items())

    def ready(self) -> bool:
        """Whether reading would wait for the device."""
        return all(getattr(v, "is_ready", lambda: True)() for v in dict.values(self))

    def __repr__(self):
        return repr(self.copy())


def _number(value):
    if getattr(value, "ndim", None) == 0:
        return float(value)
    return value
