"""Metrics: what is measured while a model trains or is evaluated. Each has a name for `compile`."""

from cornu.metrics.names import CLASSES as _CLASSES
from cornu.metrics.names import FUNCTIONS as _FUNCTIONS
from cornu.metrics.names import deserialize, get, serialize

globals().update({**_CLASSES, **_FUNCTIONS})
__all__ = ["deserialize", "get", "serialize", *_CLASSES, *_FUNCTIONS]
