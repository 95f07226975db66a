"""Files of weights alone: which format a name or a content means, and what is handed to it."""

import dataclasses
import os
from typing import Callable

import numpy as np

from cornu import frames
from cornu.saving import legacy_h5, orbax, sharded, tensors
from cornu.saving.hdf5 import Group
from cornu.saving.safe import open_weights, read_h5, read_members
from cornu.saving.view import FileError
from cornu.saving.weights import LoadReport, fill, refuse_overwriting, write_h5


@frames.filtered
def save_weights(model, filepath, overwrite: bool = True, max_shard_size=None, objects_to_skip=None, **kwargs) -> None:
    """Write a model's weights (and its optimizer's) into a file, whole or not at all.

    Args:
        model: the model, built.
        filepath: ends with `.weights.h5`, or with `.safetensors`.
        overwrite: whether a file that is there is replaced.
        max_shard_size: None, or how many GB a file may have: then there are several, and `filepath` is their index, which
            ends with `.weights.json`.
        objects_to_skip: layers (with all that is in them) and optimizers whose weights are left out; not for `.safetensors`.

    Raises ValueError for another ending or an unbuilt model, FileExistsError if `overwrite` is False and the file is there.
    """
    path = os.fspath(filepath)
    if kwargs:
        raise ValueError(f"save_weights: unknown argument {', '.join(map(repr, kwargs))}.")
    wanted = (".weights.h5", ".safetensors") if max_shard_size is None else (".weights.json", ".weights.h5")
    if not path.endswith(wanted):
        hint = " Give max_shard_size to write several files." if path.endswith(".weights.json") else ""
        raise ValueError(f"save_weights: the file's name must end with {' or '.join(wanted)}. Received: {path!r}.{hint}")
    if max_shard_size is not None and path.endswith(".h5"):
        path = path.removesuffix(".h5") + ".json"
        frames.warn(f"save_weights: with max_shard_size the index is written to {path!r}.")
    refuse_overwriting(path, overwrite)
    if not model.built:
        raise ValueError(f"Model {model.name!r} is not built, so it has no weights to save. Call it on data first.")
    if objects_to_skip and path.endswith(".safetensors"):
        raise ValueError("save_weights: objects_to_skip is for .weights.h5 and .weights.json files. "
                         f"Received: {path!r}.")
    if max_shard_size is not None:
        sharded.save(model, path, max_shard_size, objects_to_skip)
    elif path.endswith(".safetensors"):
        tensors.save_safetensors(model, path)
    else:
        write_h5(model, path, skipped=objects_to_skip)


@frames.filtered
def load_weights(model, filepath, skip_mismatch: bool = False, strict: bool = True, by_name: bool = False,
                 objects_to_skip=None, **kwargs) -> LoadReport:
    """Read weights from a file of any kind that `save_weights` or Keras wrote. Nothing changes when it does not fit.

    Args:
        model: the model, built.
        filepath: a `.weights.h5`, `.keras`, `.weights.json` (of several files), `.safetensors` or Keras 2 `.h5` file;
            a folder of OrbaxCheckpoint's, or that of one of its steps; or a dict of arrays by path, as `saving.weights_by_path` gives it.
        skip_mismatch: leave alone what does not fit; the report says what.
        strict: raise ValueError when a path is in the file or the model only, or weights would land in a layer of another
            name; otherwise the report says so.
        by_name: for Keras 2's `.h5`: load the layers whose names are in the file, and leave the others alone.
        objects_to_skip: layers (with all that is in them) and optimizers to leave alone.

    Returns a report of what was unused and unfilled.
    """
    if kwargs:
        raise ValueError(f"load_weights: unknown argument {', '.join(map(repr, kwargs))}.")
    strict = strict and not skip_mismatch
    if isinstance(filepath, dict):
        path, found = "The dict", _Found({k: np.asarray(getattr(v, "raw", v)) for k, v in filepath.items()}, {})
    else:
        path = os.fspath(filepath)
        if orbax.is_checkpoint(path):
            if by_name:
                raise ValueError("load_weights: by_name is for Keras 2's .h5 files; in checkpoints weights go by path.")
            return orbax.Checkpoint(path).fill(model, strict, skip_mismatch, objects_to_skip)
        found = _open(path)
    try:
        if found.old is not None:
            if objects_to_skip:
                raise ValueError("load_weights: objects_to_skip is not for Keras 2's .h5 files. Use by_name=True.")
            return legacy_h5.fill(model, found.old, path, by_name, strict, skip_mismatch, found.verify)[0]
        if by_name:
            raise ValueError(f"load_weights: by_name is for Keras 2's .h5 files; in {path} weights go by path. Use "
                             "strict=False to load what fits.")
        return fill(model, found.arrays, path, strict, skip_mismatch, found.verify, found.names, objects_to_skip)
    finally:
        found.stop()


@dataclasses.dataclass
class _Found:
    """What a file holds: arrays by path and layers' names by path, or a whole file of Keras 2's kind."""

    arrays: dict
    names: dict
    old: legacy_h5.H5 | None = None
    verify: Callable | None = None
    stop: Callable = lambda: None


def _open(path: str) -> _Found:
    if path.endswith(".weights.json"):
        files, verify = sharded.read(path)
        arrays = [pair for file in files for pair in file.arrays().items()]
        if len(dict(arrays)) < len(arrays):
            raise FileError(f"{path}: two of its files hold the same weight.")
        return _Found(dict(arrays), {k: v for file in reversed(files) for k, v in _names_told(file).items()}, verify=verify)
    if path.endswith(".safetensors"):
        return _Found(*tensors.read_safetensors(path))
    if not path.endswith((".keras", ".h5", ".hdf5")):
        raise ValueError(f"load_weights reads .weights.h5, .keras, .weights.json, .safetensors and .h5 files, and folders of OrbaxCheckpoint's. Received: {path!r}")
    source = read_members(path)["model.weights.h5"] if path.endswith(".keras") else open_weights(path)
    source.start_verifying()
    file = read_h5(source, path)
    old = legacy_h5.read(path, file) if legacy_h5.is_legacy(file) else None
    return _Found({} if old else file.arrays(), _names_told(file), old, source.verify, source.stop)


def _names_told(group, prefix: str = "") -> dict:
    """Path of a layer -> the name that the file gives it."""
    found = {}
    for key, item in group.items():
        if isinstance(item, Group):
            name = item.attrs.get("name") if key == "vars" else None
            found |= {prefix: name} if isinstance(name, str) else _names_told(item, f"{prefix}{key}/")
    return found
