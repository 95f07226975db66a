"""The two functions of Keras's older interface for configs."""

from cornu.utils.legacy import deserialize_keras_object, serialize_keras_object

__all__ = ["deserialize_keras_object", "serialize_keras_object"]
