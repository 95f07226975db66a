"""History: the logs of every epoch."""

from cornu.callbacks.callback import Callback


class History(Callback):
    """Keeps the logs of all epochs: `history[name]` is a list, `epoch` the epochs' numbers. `fit` returns one.

    >>> History().history
    {}
    """

    def __init__(self):
        super().__init__()
        self.history, self.epoch = {}, []

    def on_train_begin(self, logs=None):
        self.epoch = []

    def get_state(self):
        return {"history": self.history, "epoch": self.epoch}

    def on_epoch_end(self, epoch, logs=None):
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)
