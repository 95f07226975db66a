"""What listens to training."""

from cornu.callbacks.callback import Callback, Logs
from cornu.callbacks.callback_list import CallbackList
from cornu.callbacks.history import History
from cornu.callbacks.monitoring import EarlyStopping, MonitorCallback, ReduceLROnPlateau
from cornu.callbacks.progress import Progbar, ProgbarLogger
from cornu.callbacks.simple import (CSVLogger, LambdaCallback, LearningRateScheduler, RemoteMonitor, SwapEMAWeights,
                                    TerminateOnNaN)

__all__ = ["CSVLogger", "Callback", "CallbackList", "EarlyStopping", "History", "LambdaCallback", "LearningRateScheduler",
           "Logs", "MonitorCallback", "Progbar", "ProgbarLogger", "ReduceLROnPlateau", "RemoteMonitor", "SwapEMAWeights",
           "TerminateOnNaN"]
