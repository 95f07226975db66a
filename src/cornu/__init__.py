"""cornu: the Keras 3 API on one engine, JAX."""

import gc
import importlib

_collects = gc.isenabled()
gc.disable()  # a collection amid the imports takes 30 ms of them and finds nothing
try:
    from cornu import (activations, callbacks, config, constraints, dtype_policies, initializers, layers, losses, metrics,
                       models, ops, optimizers, random, regularizers, tree)
finally:
    if _collects:
        gc.enable()
from cornu.config import device
from cornu.context import name_scope
from cornu.dtypes import DTypePolicy, FloatDTypePolicy
from cornu.initializers import Initializer
from cornu.layers import Input, InputSpec, Layer
from cornu.rematerialization import RematScope, remat
from cornu.losses import Loss
from cornu.lowering.cache import use_disk_cache
from cornu.lowering.memory import execute_on_main_thread
from cornu.metrics import Metric
from cornu.models import Function, Functional, Model, Sequential
from cornu.optimizers import Optimizer
from cornu.regularizers import Regularizer
from cornu.symbolic import KerasTensor, Operation, is_keras_tensor
from cornu.variable import StatelessScope, SymbolicScope, Variable, functional, value_and_grad
from cornu.version import __version__, version

use_disk_cache()
execute_on_main_thread()

# Loaded when they are first asked for, so that `import cornu` stays light.
_LAZY = ("backend", "datasets", "legacy", "mixed_precision", "preprocessing", "saving", "testing",
         "utils")


def __getattr__(name: str):
    if name in _LAZY:
        return importlib.import_module(f"cornu.{name}")
    if name == "install":
        return importlib.import_module("cornu.doors.opening").install
    raise AttributeError(f"module 'cornu' has no attribute {name!r}")


__all__ = [
    "DTypePolicy", "FloatDTypePolicy", "Function", "Functional", "Initializer", "Input", "InputSpec", "KerasTensor",
    "Layer", "Loss", "Metric", "Model", "Operation", "Optimizer", "Regularizer", "RematScope", "Sequential",
    "StatelessScope", "SymbolicScope", "Variable", "__version__", "activations", "callbacks", "config", "constraints",
    "device", "dtype_policies", "functional", "initializers", "install", "is_keras_tensor", "layers", "losses", "metrics",
    "models", "name_scope", "ops", "optimizers", "random", "regularizers", "remat", "tree", "value_and_grad",
    "version", *_LAZY,
]


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
