"""Whole models: `.keras`, a zip of metadata.json, config.json and model.weights.h5."""

import datetime
import json
import os
import tempfile
import zipfile

from cornu import registry
from cornu.layers.layer import Layer
from cornu.saving.safe import FileError, read_arrays, read_json, read_members, refuse_code, replacing
from cornu.saving.weights import fill, refuse_overwriting, write_h5
from cornu.version import __version__

_KERAS = "3.15.1"  # the format's version, as Keras writes it


def save_model(model, filepath, overwrite: bool = True, zipped: bool | None = None, **kwargs) -> None:
    """Write a model's architecture, weights, compile settings and optimizer into a `.keras` file, whole or not at all."""
    path = os.fspath(filepath)
    if kwargs:
        raise ValueError(f"save_model: unknown argument {', '.join(map(repr, kwargs))}.")
    if zipped is False:
        raise NotImplementedError("save_model: zipped=False is not supported. Leave it out to write one .keras file.")
    if not path.endswith(".keras"):
        raise ValueError(f"save_model: the file's name must end with .keras. Received: {path!r}")
    refuse_overwriting(path, overwrite)
    config = json.dumps(registry.serialize(model))
    told = {"keras_version": _KERAS, "date_saved": datetime.datetime.now().strftime("%Y-%m-%d@%H:%M:%S"),
            "cornu_version": __version__}
    with replacing(path) as temporary, tempfile.NamedTemporaryFile(dir=os.path.dirname(temporary), prefix=".cornu-") as weights:
        write_h5(model, weights.name)
        with zipfile.ZipFile(temporary, "w") as archive:
            archive.writestr("metadata.json", json.dumps(told))
            archive.writestr("config.json", config)
            archive.write(weights.name, "model.weights.h5")


def load_model(filepath, custom_objects: dict | None = None, compile: bool = True, safe_mode: bool = True):
    """The model in a `.keras` file, with its weights and, if `compile`, its optimizer and compile settings.

    Args:
        filepath: the file.
        custom_objects: names of classes and functions of one's own that the file may name.
        compile: whether to compile as the file says.
        safe_mode: without effect on what is opened: code in a file is refused in any case.

    Raises FileError for a damaged file or one that carries code, ValueError for classes that are not known.
    """
    path = os.fspath(filepath)
    if not os.path.exists(path):
        raise FileNotFoundError(f"There is no file {path!r}.")
    if not path.endswith(".keras"):
        raise ValueError(f"load_model reads .keras files; Keras 2's .h5 is not supported yet. Received: {path!r}")
    members = read_members(path)
    config = read_json(path, members["config.json"])
    refuse_code(path, config)
    arrays = read_arrays(members.pop("model.weights.h5"), path)
    if not compile:
        config.pop("compile_config", None)
    try:
        model = registry.deserialize(config, custom_objects, printable_name="model")
    except (KeyError, AttributeError, RecursionError, IndexError) as error:
        raise FileError(f"{path}: its config cannot be read: {error!r}") from error
    if not isinstance(model, Layer):
        raise FileError(f"{path} holds no model but a {type(model).__name__}.")
    if arrays or model.built:
        fill(model, arrays, path)
    return model


def serialize_keras_object(obj):
    """Any object as JSON can hold it."""
    return registry.serialize(obj)


def deserialize_keras_object(config, custom_objects: dict | None = None, safe_mode: bool = True, **kwargs):
    """The object that `serialize_keras_object` (Keras's too) wrote; code in the config is refused in any case."""
    if kwargs:
        raise ValueError(f"deserialize_keras_object: unknown argument {', '.join(map(repr, kwargs))}.")
    refuse_code("The config", config)
    return registry.deserialize(config, custom_objects)
