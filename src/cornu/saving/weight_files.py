"""Files of weights alone: which format a name or a content means, and what is handed to it."""

import os

from cornu.saving import legacy_h5
from cornu.saving.hdf5 import Group
from cornu.saving.safe import open_weights, read_h5, read_members
from cornu.saving.weights import LoadReport, fill, refuse_overwriting, write_h5


def save_weights(model, filepath, overwrite: bool = True, max_shard_size=None, **kwargs) -> None:
    """Write a model's weights (and its optimizer's) into a `.weights.h5` file, whole or not at all.

    Raises ValueError for another ending or an unbuilt model, FileExistsError if `overwrite` is False and the file is there.
    """
    path = os.fspath(filepath)
    if kwargs:
        raise ValueError(f"save_weights: unknown argument {', '.join(map(repr, kwargs))}.")
    if max_shard_size is not None:
        raise NotImplementedError("save_weights: max_shard_size is not supported yet. Leave it out to write one file.")
    if not path.endswith(".weights.h5"):
        raise ValueError(f"save_weights: the file's name must end with .weights.h5. Received: {path!r}")
    refuse_overwriting(path, overwrite)
    if not model.built:
        raise ValueError(f"Model {model.name!r} is not built, so it has no weights to save. Call it on data first.")
    write_h5(model, path)


def load_weights(model, filepath, skip_mismatch: bool = False, strict: bool = True, by_name: bool = False,
                 objects_to_skip=None, **kwargs) -> LoadReport:
    """Read weights from a `.weights.h5`, `.keras`, or Keras 2 `.h5` file. Nothing changes when the file does not fit.

    Args:
        model: the model, built.
        filepath: the file.
        skip_mismatch: leave alone what does not fit; the report says what.
        strict: raise ValueError when a path is in the file or the model only; otherwise the report says so.
        by_name: for Keras 2's `.h5`: load the layers whose names are in the file, and leave the others alone.
        objects_to_skip: layers (with all that is in them) and optimizers to leave alone.
    """
    path = os.fspath(filepath)
    if kwargs:
        raise ValueError(f"load_weights: unknown argument {', '.join(map(repr, kwargs))}.")
    strict = strict and not skip_mismatch
    if path.endswith(".keras"):
        source = read_members(path)["model.weights.h5"]
    elif path.endswith((".h5", ".hdf5")):
        source = open_weights(path)
    else:
        raise ValueError(f"load_weights reads .weights.h5, .keras and .h5 files. Received: {path!r}")
    source.start_verifying()
    try:
        file = read_h5(source, path)
        if legacy_h5.is_legacy(file):
            if objects_to_skip:
                raise ValueError("load_weights: objects_to_skip is not for Keras 2's .h5 files. Use by_name=True.")
            return legacy_h5.fill(model, legacy_h5.read(path, file), path, by_name, strict, skip_mismatch, source.verify)[0]
        if by_name:
            raise ValueError(f"load_weights: by_name is for Keras 2's .h5 files; {path} matches weights by path. Use "
                             "strict=False to load what fits.")
        return fill(model, file.arrays(), path, strict, skip_mismatch, source.verify, _names_told(file), objects_to_skip)
    finally:
        source.stop()


def _names_told(group, prefix: str = "") -> dict:
    """Path of a layer -> the name that the file gives it."""
    found = {}
    for key, item in group.items():
        if isinstance(item, Group):
            name = item.attrs.get("name") if key == "vars" else None
            found |= {prefix: name} if isinstance(name, str) else _names_told(item, f"{prefix}{key}/")
    return found
