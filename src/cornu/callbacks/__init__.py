"""What listens to training."""

from cornu.callbacks.backup import BackupAndRestore, backup_of
from cornu.callbacks.callback import Callback, Logs
from cornu.callbacks.callback_list import CallbackList
from cornu.callbacks.checkpoint import ModelCheckpoint, SavingCallback
from cornu.callbacks.history import History
from cornu.callbacks.monitoring import EarlyStopping, MonitorCallback, ReduceLROnPlateau
from cornu.callbacks.orbax import OrbaxCheckpoint
from cornu.callbacks.progress import Progbar, ProgbarLogger
from cornu.callbacks.simple import (CSVLogger, LambdaCallback, LearningRateScheduler, RemoteMonitor, SwapEMAWeights,
                                    TerminateOnNaN)
from cornu.callbacks.tensorboard import TensorBoard

__all__ = ["BackupAndRestore", "CSVLogger", "Callback", "CallbackList", "EarlyStopping", "History", "LambdaCallback",
           "LearningRateScheduler", "Logs", "ModelCheckpoint", "MonitorCallback", "OrbaxCheckpoint", "Progbar", "ProgbarLogger",
           "ReduceLROnPlateau", "RemoteMonitor", "SavingCallback", "SwapEMAWeights", "TensorBoard", "TerminateOnNaN",
           "backup_of"]
