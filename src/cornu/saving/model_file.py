"""Whole models: `.keras`, a zip of metadata.json, config.json and model.weights.h5."""

import datetime
import json
import os
import time
import zipfile

from cornu import registry
from cornu.awaiting import awaiting_values, memory
from cornu.files import writing
from cornu.saving import legacy_h5
from cornu.saving.assets import read_assets, write_assets
from cornu.saving.hdf5_write import as_bytes
from cornu.saving.safe import building, check_config, read_arrays, read_json, read_members
from cornu.saving.view import FileError
from cornu.saving.weights import fill_fresh, fill_optimizer, layout, refuse_overwriting
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
    size, content = layout(model)
    weights = zipfile.ZipInfo("model.weights.h5", time.localtime()[:6])
    weights.file_size, weights.external_attr = size, 0o600 << 16
    with writing(path) as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr("metadata.json", json.dumps(told))
        archive.writestr("config.json", config)
        with archive.open(weights, "w") as member:
            for piece in content:
                member.write(as_bytes(piece))
        write_assets(model, archive)


def load_model(filepath, custom_objects: dict | None = None, compile: bool = True, safe_mode: bool = True):
    """The model in a `.keras` or (Keras 2's) `.h5` file, with its weights and, if `compile`, its optimizer and compile settings.

    Args:
        filepath: the file.
        custom_objects: names of classes and functions of one's own that the file may name.
        compile: whether to compile as the file says.
        safe_mode: without effect on what is opened: code in a file is refused in any case.

    Raises FileError for a damaged file or one that carries code, ValueError for classes that are not known.
    """
    path = os.fspath(filepath)
    if path.endswith((".h5", ".hdf5")):
        return legacy_h5.load_h5(path, custom_objects, compile)
    if os.path.exists(path) and not path.endswith(".keras"):
        raise ValueError(f"load_model reads .keras and .h5 files. Received: {path!r}")
    members = read_members(path)
    config = read_json(path, members["config.json"])
    check_config(path, config)
    weights = members["model.weights.h5"]
    weights.start_verifying()
    try:
        arrays = read_arrays(weights)
        with awaiting_values(4 * os.path.getsize(path) + (64 << 20), path):  # what the file does not hold: slots, metrics
            return _build(config, arrays, members, custom_objects, compile, path)
    finally:
        weights.stop()


def _build(config, arrays, members, custom_objects, compile, path):
    """The model of a config, with the arrays and assets in their places."""
    compile_config = config.pop("compile_config", None)
    with registry.custom_object_scope(custom_objects or {}):
        model = legacy_h5.build_model(path, lambda: config)
    members["model.weights.h5"].verify()
    read_assets(model, members, path)
    if arrays or model.built:
        fill_fresh(model, arrays, path)
    if compile and compile_config and hasattr(model, "compile_from_config"):
        with registry.custom_object_scope(custom_objects or {}), building(path):
            model.compile_from_config(compile_config)
        fill_optimizer(model, arrays, path)
    return model


def serialize_keras_object(obj):
    """Any object as JSON can hold it."""
    return registry.serialize(obj)


def deserialize_keras_object(config, custom_objects: dict | None = None, safe_mode: bool = True, **kwargs):
    """The object that `serialize_keras_object` (Keras's too) wrote; code in the config is refused in any case."""
    if kwargs:
        raise ValueError(f"deserialize_keras_object: unknown argument {', '.join(map(repr, kwargs))}.")
    check_config("The config", config)
    with awaiting_values(memory(), "The config"), building("The config"):
        return registry.deserialize(config, custom_objects)
