"""The names under which Keras 3 keeps the two functions of its older interface."""

from cornu.registry import deserialize as deserialize_keras_object
from cornu.registry import serialize as serialize_keras_object

__all__ = ["deserialize_keras_object", "serialize_keras_object"]
