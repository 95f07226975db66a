"""What listens to training."""

from cornu.callbacks.callback import Callback, Logs
from cornu.callbacks.callback_list import CallbackList
from cornu.callbacks.history import History
from cornu.callbacks.progress import Progbar, ProgbarLogger

__all__ = ["Callback", "CallbackList", "History", "Logs", "Progbar", "ProgbarLogger"]
