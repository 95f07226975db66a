"""From one format to another, by the names' endings."""

import os

import numpy as np

from cornu.saving.hdf5 import Group
from cornu.saving.model_file import load_model, save_model
from cornu.saving.safe import open_weights, read_h5, read_members
from cornu.saving.weight_files import save_weights
from cornu.saving.weights import refuse_overwriting, write_arrays

_MODELS, _WEIGHTS = (".keras", ".h5", ".hdf5"), (".weights.h5",)


def convert(source, target, overwrite: bool = False) -> None:
    """Write the model or the weights in one file into another.

    Args:
        source: a `.keras`, `.h5` or `.weights.h5` file.
        target: the new file: `.keras` for a model, `.weights.h5` for its weights alone.
        overwrite: whether a file that is there is replaced.

    The weights of a `.keras` file are copied without building the model, so that its own classes need not be known.

    Raises ValueError for endings that do not go together, FileError for a damaged or hostile file.
    """
    source, target = os.fspath(source), os.fspath(target)
    whole = not source.endswith(_WEIGHTS) and source.endswith(_MODELS)
    if not whole and not source.endswith(_WEIGHTS):
        raise ValueError(f"convert reads {', '.join((*_MODELS, *_WEIGHTS))} files. Received: {source!r}")
    if not target.endswith((".keras", *_WEIGHTS)):
        raise ValueError(f"convert writes .keras, {', '.join(_WEIGHTS)} files. Received: {target!r}")
    if not whole and target.endswith(".keras"):
        raise ValueError(f"{source!r} holds weights but no model: build the model in code, call load_weights, and save it.")
    refuse_overwriting(target, overwrite)
    if target.endswith(".keras"):
        save_model(load_model(source), target)
    elif source.endswith((".keras", *_WEIGHTS)):
        member = read_members(source)["model.weights.h5"] if source.endswith(".keras") else open_weights(source)
        member.verify()
        root = read_h5(member, source)
        write_arrays(_groups(root), {k: np.asarray(v) for k, v in root.arrays().items()}, target)
    else:
        save_weights(load_model(source), target)


def _groups(group: Group, path: str = "") -> dict:
    """Every group by its path, with its attributes."""
    found = {path: dict(group.attrs.items())}
    for name, item in group.items():
        if isinstance(item, Group):
            found |= _groups(item, f"{path}/{name}" if path else name)
    return found
