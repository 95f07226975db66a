"""CallbackList: the callbacks of a run, with no cost for events that nobody listens to."""

import contextlib

from cornu.callbacks.callback import Callback
from cornu.callbacks.history import History
from cornu.callbacks.progress import ProgbarLogger

_EVENTS = [f"on_{when}_{edge}" for when in ("train", "test", "predict", "epoch", "train_batch", "test_batch", "predict_batch")
           for edge in ("begin", "end")]


class CallbackList(Callback):
    """Callbacks in order; an event reaches only those that listen to it.

    Args:
        callbacks: Callback objects, or one of them, or a CallbackList.
        add_history: whether to add a History where there is none.
        add_progbar: whether to add a progress bar where there is none.
        model: the model that they watch.
        **params: what `Callback.params` shall hold.
    """

    def __init__(self, callbacks=None, add_history=False, add_progbar=False, model=None, **params):
        callbacks = callbacks.callbacks if isinstance(callbacks, CallbackList) else callbacks
        callbacks = [callbacks] if isinstance(callbacks, Callback) else list(callbacks or ())
        for callback in callbacks:
            if isinstance(callback, type):
                raise ValueError(f"A callback must be an instance: write {callback.__name__}(), with parentheses.")
            if not hasattr(callback, "set_model"):
                raise ValueError(f"A callback must be an instance of Callback. Received {type(callback).__name__}: "
                                 f"{callback!r:.80}")
        self.callbacks = callbacks
        self._history = next((c for c in callbacks if isinstance(c, History)), None)
        if add_progbar and not any(isinstance(c, ProgbarLogger) for c in callbacks):
            self.callbacks.append(ProgbarLogger())
        if add_history and self._history is None:
            self._history = History()
            self.callbacks.append(self._history)
        self.callbacks.sort(key=_is_last)
        if model is not None:
            self.set_model(model)
        self.set_params(params)
        self.listeners = {event: [c for c in self.callbacks if _listens(c, event)] for event in _EVENTS}

    def append(self, callback) -> None:
        self.callbacks.append(callback)
        for event, found in self.listeners.items():
            if _listens(callback, event):
                found.append(callback)
                found.sort(key=_is_last)

    def on_epoch_resume(self, epoch, logs=None):
        for callback in self.callbacks:
            getattr(callback, "on_epoch_resume", lambda epoch, logs: None)(epoch, {} if logs is None else logs)

    def on_batch_begin(self, batch, logs=None):
        self.on_train_batch_begin(batch, logs)

    def on_batch_end(self, batch, logs=None):
        self.on_train_batch_end(batch, logs)

    def before_finalize(self) -> None:
        """Training has ended; next, optimizers that keep averages put them in the weights' place."""
        for callback in self.callbacks:
            getattr(callback, "before_finalize", lambda: None)()

    @contextlib.contextmanager
    def ended_by_errors(self):
        """Tell the callbacks of an exception that ends the block; what they raise then becomes a note of it."""
        try:
            yield
        except BaseException as error:
            for callback in self.callbacks:
                try:
                    getattr(callback, "on_abort", lambda error: None)(error)
                except Exception as another:
                    error.add_note(f"{type(callback).__name__}.on_abort failed: {type(another).__name__}: {another}")
            raise

    def set_params(self, params) -> None:
        self.params = params
        for callback in self.callbacks:
            callback.set_params(params)

    def set_model(self, model) -> None:
        self._model = model
        if self._history is not None:
            model.history = self._history
        for callback in self.callbacks:
            callback.set_model(model)


def _is_last(callback) -> bool:
    return getattr(callback, "listens_last", False)


def _listens(callback, event: str) -> bool:
    return callback.listens_to(event) if hasattr(callback, "listens_to") else hasattr(callback, event)


def _tell(callbacks: CallbackList, event: str, logs, *numbers) -> None:
    """Call an event's method of every callback that listens to it; logs are a dict, never None."""
    logs = {} if logs is None else logs
    for callback in callbacks.listeners[event]:
        getattr(callback, event)(*numbers, logs)


def _plain(event: str):
    def method(self, logs=None):
        _tell(self, event, logs)

    return method


def _of_epoch(event: str):
    def method(self, epoch, logs=None):
        _tell(self, event, logs, epoch)

    return method


def _of_batch(event: str):
    def method(self, batch, logs=None):
        _tell(self, event, logs, batch)

    return method


for _event in _EVENTS:
    _method = (_of_epoch if "epoch" in _event else _of_batch if "batch" in _event else _plain)(_event)
    _method.__name__ = _event
    setattr(CallbackList, _event, _method)
