"""Files: `.keras`, `.weights.h5` and `.h5`, which Keras reads and writes too, and `.safetensors`."""

from cornu.registry import (
    CustomObjectScope, custom_object_scope, get_custom_objects, get_registered_name, get_registered_object,
    register_keras_serializable
)
from cornu.saving.editor import KerasFileEditor
from cornu.saving.model_file import deserialize_keras_object, load_model, save_model, serialize_keras_object
from cornu.saving.safe import read_config
from cornu.saving.tensors import weights_by_path
from cornu.saving.view import FileError
from cornu.saving.weight_files import load_weights, save_weights
from cornu.saving.weights import LoadReport

__all__ = [
    "CustomObjectScope", "FileError", "KerasFileEditor", "LoadReport", "custom_object_scope", "deserialize_keras_object",
    "get_custom_objects", "get_registered_name", "get_registered_object", "load_model", "load_weights", "read_config",
    "register_keras_serializable", "save_model", "save_weights", "serialize_keras_object",
    "weights_by_path",
]
