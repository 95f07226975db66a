"""Whole models: `.keras`, a zip (or a folder) of metadata.json, config.json and model.weights.h5."""

import datetime
import io
import json
import os
import shutil
import tempfile
import time
import zipfile

from cornu import frames, registry
from cornu.awaiting import awaiting_values, memory
from cornu.files import put_folder, writing
from cornu.saving import legacy_h5, legacy_write, orbax
from cornu.saving.assets import read_assets, write_assets
from cornu.saving.hdf5_write import put_member
from cornu.saving.limits import in_time
from cornu.saving.safe import building, check_config, read_arrays, read_folder, read_json, read_members
from cornu.saving.view import FileError, View
from cornu.saving.weights import fill_fresh, fill_optimizer, layout, refuse_overwriting, refuse_shared, write_h5
from cornu.version import __version__

_KERAS = "3.15.1"  # the format's version, as Keras writes it


@frames.filtered
def save_model(model, filepath, overwrite: bool = True, zipped: bool | None = None, include_optimizer: bool = True,
               save_format: str | None = None, **kwargs) -> None:
    """Write a model's architecture, weights, compile settings and optimizer, whole or not at all.

    Args:
        model: the model.
        filepath: ends with `.keras`; or with `.h5` for the older format, which fewer models fit into. Or a binary file
            that is open for writing, such as an `io.BytesIO`, which gets what a `.keras` file has.
        overwrite: whether a file that is there is replaced.
        zipped: False for a folder, of a name without an ending, instead of one file.
        include_optimizer: whether the optimizer's state is written, and to `.h5` what compile was told.
        save_format: an argument of Keras 2, "keras" or "h5", which must agree with the file's name; it draws a warning.

    Raises ValueError for another ending, FileExistsError if `overwrite` is False and the file is there.
    """
    if kwargs:
        raise ValueError(f"save_model: unknown argument {', '.join(map(repr, kwargs))}.")
    if hasattr(filepath, "write"):
        return _save_to(filepath, model, zipped, include_optimizer, save_format)
    path = os.fspath(filepath)
    old = path.endswith((".h5", ".hdf5")) and not path.endswith(".weights.h5")
    if save_format is not None:
        _check_format(save_format, path, old)
    if zipped is False and (path.endswith(".keras") or old):
        raise ValueError(f"save_model: zipped=False writes a folder; its name must not end like a file's. Received: {path!r}")
    if zipped is not False and not path.endswith(".keras") and not old:
        raise ValueError("save_model: the file's name must end with .keras (or .h5; or pass zipped=False to write a folder). "
                         f"Received: {path!r}")
    refuse_overwriting(path, overwrite)
    refuse_shared(model)
    if old:  # Keras makes missing folders for this format only
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        return legacy_write.save_h5(model, path, _KERAS, include_optimizer)
    texts = _texts(model)
    if zipped is False:
        return _write_folder(model, path, texts, include_optimizer)
    with writing(path) as file:
        _write_archive(file, model, texts, include_optimizer)


def _texts(model) -> dict:
    """The members of a file that are text."""
    told = {"keras_version": _KERAS, "date_saved": datetime.datetime.now().strftime("%Y-%m-%d@%H:%M:%S"),
            "cornu_version": __version__}
    return {"metadata.json": json.dumps(told), "config.json": json.dumps(registry.serialize(model))}


def _write_archive(file, model, texts, include_optimizer) -> None:
    size, content = layout(model, include_optimizer)
    weights = zipfile.ZipInfo("model.weights.h5", time.localtime()[:6])
    weights.external_attr = 0o600 << 16
    with zipfile.ZipFile(file, "w") as archive:
        for name, text in texts.items():
            archive.writestr(name, text)
        put_member(archive, weights, size, content)
        write_assets(model, archive)


def _save_to(file, model, zipped, include_optimizer, save_format) -> None:
    """Write the archive into an open file: only once it is whole, and wherever the file stands."""
    if isinstance(file, io.TextIOBase):
        raise ValueError('save_model: a file to write into must be binary: open it with mode "wb".')
    if zipped is False or save_format not in (None, "keras"):
        raise ValueError("save_model: into an open file goes what a .keras file has, in one piece. Leave zipped and "
                         "save_format out.")
    refuse_shared(model)
    with tempfile.TemporaryFile() as scratch:
        _write_archive(scratch, model, _texts(model), include_optimizer)
        scratch.seek(0)
        shutil.copyfileobj(scratch, file, 1 << 20)


def _check_format(save_format, path: str, old: bool) -> None:
    """ValueError where Keras 2's argument says another format than the name's ending."""
    if save_format not in ("h5", "hdf5") if old else save_format != "keras":
        raise ValueError(f"save_model: save_format={save_format!r} does not agree with the file's name {path!r}. End the name "
                         "with .keras or .h5, and leave save_format out.")
    frames.warn("save_model: save_format is an argument of Keras 2; the file's ending says the format. Leave it out.")


class _Folder:
    """A folder that takes files as an archive does."""

    def __init__(self, path):
        self.path = path

    def write(self, file, name) -> None:
        os.makedirs(os.path.dirname(os.path.join(self.path, name)), exist_ok=True)
        shutil.copyfile(file, os.path.join(self.path, name))


def _write_folder(model, path, texts, include_optimizer) -> None:
    """Write the members as files of a new folder, which then takes the place of the old one."""
    if os.path.exists(path) and not os.path.isfile(os.path.join(path, "config.json")):
        raise FileExistsError(f"{path!r} exists and is no saved model: it is not replaced.")
    parent = os.path.dirname(os.path.abspath(path))
    with tempfile.TemporaryDirectory(dir=parent, prefix=".cornu-") as temporary:
        new = os.path.join(temporary, "new")
        os.mkdir(new)
        for name, text in texts.items():
            with writing(os.path.join(new, name)) as file:
                file.write(text.encode())
        write_h5(model, os.path.join(new, "model.weights.h5"), include_optimizer)
        write_assets(model, _Folder(new))
        put_folder(new, path)


@frames.filtered
def load_model(filepath, custom_objects: dict | None = None, compile: bool = True, safe_mode: bool = True):
    """The model in a file, with its weights and, if `compile`, its optimizer and compile settings.

    Args:
        filepath: a `.keras` file, a folder that `zipped=False` or OrbaxCheckpoint wrote, or an `.h5` file of Keras 2 or 3.
            Or a binary file that is open for reading, such as an `io.BytesIO`, with what a `.keras` file has from where
            it stands on.
        custom_objects: names of classes and functions of one's own that the file may name.
        compile: whether to compile as the file says.
        safe_mode: without effect on what is opened: code in a file is refused in any case.

    Raises FileError for a damaged file or one that carries code, ValueError for classes that are not known.
    """
    if hasattr(filepath, "read"):
        if isinstance(filepath, io.TextIOBase):
            raise ValueError('load_model: a file to read from must be binary: open it with mode "rb".')
        whole = View.of(filepath)
        path, members = whole.shown, read_members(whole)
    else:
        path = os.fspath(filepath)
        if path.endswith((".h5", ".hdf5")):
            return legacy_h5.load_h5(path, custom_objects, compile)
        if orbax.is_checkpoint(path):
            return _from_checkpoint(orbax.Checkpoint(path), custom_objects, compile)
        if os.path.isfile(path) and not path.endswith(".keras"):
            raise ValueError(f"load_model reads .keras and .h5 files, and folders. Received: {path!r}")
        members = read_folder(path) if os.path.isdir(path) else read_members(path)
    config = read_json(path, members["config.json"])
    entries = check_config(path, config)
    weights = members["model.weights.h5"]
    weights.start_verifying()
    try:
        arrays = read_arrays(weights)
        room = 4 * sum(member.size for member in members.values()) + (64 << 20)  # for what the file does not hold: slots, metrics
        with in_time(path, entries), awaiting_values(room, path):
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


def _from_checkpoint(checkpoint: orbax.Checkpoint, custom_objects, compile):
    """The model in a checkpoint, with the state that it had."""
    config, shown = checkpoint.config(), checkpoint.folder
    compile_config = config.pop("compile_config", None)
    with awaiting_values(4 * checkpoint.size + (64 << 20), shown), registry.custom_object_scope(custom_objects or {}):
        model = legacy_h5.build_model(shown, lambda: config)
        checkpoint.fill_assets(model)
        if compile and compile_config and hasattr(model, "compile_from_config"):
            with building(shown):
                model.compile_from_config(compile_config)
        checkpoint.fill(model)
    return model


@frames.filtered
def serialize_keras_object(obj):
    """Any object as JSON can hold it."""
    return registry.serialize(obj)


@frames.filtered
def deserialize_keras_object(config, custom_objects: dict | None = None, safe_mode: bool = True,
                             module_objects: dict | None = None, printable_module_name: str = "object", **kwargs):
    """The object that `serialize_keras_object` (Keras's too) wrote.

    Args:
        config: what was written; with `module_objects` also the name of one of them.
        custom_objects: names of classes and functions of one's own that the config may name.
        safe_mode: without effect: code in a config is refused in any case.
        module_objects: more such names, which are asked after the built-in ones.
        printable_module_name: what error messages call the object.

    Raises FileError (a ValueError; a TypeError too where a part is of the wrong type).
    """
    if kwargs:
        raise ValueError(f"deserialize_keras_object: unknown argument {', '.join(map(repr, kwargs))}.")
    entries = check_config("The config", config)
    with in_time("The config", entries), awaiting_values(memory(), "The config"), building("The config"):
        return registry.deserialize(config, custom_objects, printable_name=printable_module_name,
                                    module_objects=module_objects)
