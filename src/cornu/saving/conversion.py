"""From one format to another, by the names' endings."""

import os

import numpy as np

from cornu.saving import sharded, tensors
from cornu.saving.hdf5 import Group
from cornu.saving.model_file import load_model, save_model
from cornu.saving.safe import open_weights, read_h5, read_members
from cornu.saving.weight_files import save_weights
from cornu.saving.weights import refuse_overwriting, write_arrays

_MODELS, _WEIGHTS = (".keras", ".h5", ".hdf5"), (".weights.h5", ".safetensors")


def convert(source, target, overwrite: bool = False) -> None:
    """Write the model or the weights in one file into another.

    Args:
        source: a `.keras`, `.h5`, `.weights.h5`, `.weights.json` or `.safetensors` file.
        target: the new file: `.keras` or `.h5` for a model, `.weights.h5` or `.safetensors` for its weights alone.
        overwrite: whether a file that is there is replaced.

    The weights of a `.keras` file are copied without building the model, so that its own classes need not be known.

    Raises ValueError for endings that do not go together, FileError for a damaged or hostile file.
    """
    source, target = os.fspath(source), os.fspath(target)
    kinds = [next((e for e in (*_WEIGHTS, ".weights.json", *_MODELS) if name.endswith(e)), None) for name in (source, target)]
    if kinds[0] is None or kinds[1] in (None, ".weights.json"):
        at, wanted = ("reads", (*_MODELS, *_WEIGHTS, ".weights.json")) if kinds[0] is None else ("writes", (*_MODELS, *_WEIGHTS))
        raise ValueError(f"convert {at} {', '.join(wanted)} files. Received: {source if at == 'reads' else target!r}")
    if kinds[0] not in _MODELS and kinds[1] in _MODELS:
        raise ValueError(f"{source!r} holds weights but no model: build the model in code, call load_weights, and save it.")
    refuse_overwriting(target, overwrite)
    if kinds[1] in _MODELS:
        save_model(load_model(source), target)
    elif kinds[0] in (".h5", ".hdf5"):
        save_weights(load_model(source), target)
    else:
        _copy(source, kinds[0], target)


def _copy(source, kind, target) -> None:
    """Copy arrays by path, with the names of the layers, from one file of weights into another."""
    groups: dict = {}
    if kind == ".safetensors":
        arrays, names = tensors.read_safetensors(source)
        groups = {f"{path}vars": {"name": name} for path, name in names.items() if isinstance(name, str)}
    else:
        files, verify = ([file := read_members(source)["model.weights.h5"] if kind == ".keras" else open_weights(source)],
                         lambda: file.verify()) if kind != ".weights.json" else sharded.read(source)
        verify()
        arrays = {}
        for root in [f if isinstance(f, Group) else read_h5(f, source) for f in files]:
            arrays |= root.arrays()
            groups |= _groups(root)
    if target.endswith(".safetensors"):
        names = {k.removesuffix("vars"): v["name"] for k, v in groups.items() if k.endswith("vars") and "name" in v}
        tensors.write_safetensors(arrays, names, target)
    else:
        write_arrays(groups, {k: np.asarray(v) for k, v in arrays.items()}, target)


def _groups(group: Group, path: str = "") -> dict:
    """Every group by its path, with its attributes."""
    found = {path: dict(group.attrs.items())}
    for name, item in group.items():
        if isinstance(item, Group):
            found |= _groups(item, f"{path}/{name}" if path else name)
    return found
