"""Checkpoints of Orbax, as OrbaxCheckpoint (Keras's too) writes them: a folder of steps, each with items.

`pytree` holds arrays by the paths of their variables, in groups; `model_config` the model as text; `assets` the layers' own
files, as arrays of bytes.
"""

import json
import os
import pathlib
import re

import numpy as np

from cornu import check, registry, tree
from cornu.saving import tensors, weights
from cornu.saving.assets import read_assets, write_assets
from cornu.saving.safe import check_config, read_json
from cornu.saving.view import FileError

_DONE = "_CHECKPOINT_METADATA"
_WEIGHTS = ("trainable_variables", "non_trainable_variables")


# what is written ---------------------------------------------------------------------------------------------------------


def items_of(model, weights_only: bool = False) -> dict:
    """What a checkpoint of a model holds, by item; arrays are the variables' own."""
    state = tensors.get_state_tree(model)
    if weights_only:
        return {"pytree": {group: state[group] for group in _WEIGHTS}}
    files = _Files()
    write_assets(model, files)
    items = {"pytree": state, "model_config": {"config": json.dumps(registry.serialize_object(model))}}
    return items | ({"assets": files.tree} if files.tree else {})


class _Files:
    """Takes files as an archive does, and keeps them as nested dicts of bytes."""

    def __init__(self):
        self.tree: dict = {}

    def write(self, file, name) -> None:
        *folders, last = name.split("/")[1:]
        part = self.tree
        for folder in folders:
            part = part.setdefault(folder, {})
        part[last] = np.frombuffer(pathlib.Path(file).read_bytes(), "uint8")


# what is read ------------------------------------------------------------------------------------------------------------


def is_checkpoint(path: str) -> bool:
    """Whether a folder holds checkpoints, or is one."""
    return os.path.isdir(path) and _step_folder(path) is not None


def _step_folder(path: str) -> str | None:
    """The folder of the last step, or the folder itself if it is that of a step."""
    if os.path.exists(os.path.join(path, _DONE)):
        return path
    steps = [name for name in os.listdir(path) if name.isdigit() and os.path.exists(os.path.join(path, name, _DONE))]
    return os.path.join(path, max(steps, key=int)) if steps else None


class Checkpoint:
    """The last checkpoint in a folder, or the checkpoint that a folder is.

    Args:
        path: the folder.

    Raises ImportError where Orbax is not installed, FileError where the folder is none of Keras's or cornu's.
    """

    def __init__(self, path: str):
        try:
            import orbax.checkpoint
        except ImportError:
            raise check.missing_package("orbax-checkpoint", "orbax", f"Reading {path!r}") from None
        self.folder, self._orbax = _step_folder(path), orbax.checkpoint
        if not os.path.isdir(os.path.join(self.folder, "pytree")):
            raise FileError(f"{self.folder!r} has no item 'pytree': it is a checkpoint of Orbax's, but not of a model.")
        state = self._item("pytree")
        self.groups = {group: _flat(state.get(group) or {}) for group in (*_WEIGHTS, "optimizer_variables")}

    def _item(self, name: str):
        """An item's leaves as NumPy arrays and texts."""
        folder, handler = pathlib.Path(os.path.abspath(self.folder), name), self._orbax.PyTreeCheckpointHandler()
        try:
            told = handler.metadata(folder)
            kinds = tree.map_structure(lambda leaf: self._orbax.RestoreArgs(
                restore_type=np.ndarray if hasattr(leaf, "shape") else None), getattr(told, "tree", told))
            return handler.restore(folder, args=self._orbax.args.PyTreeRestore(restore_args=kinds))
        except Exception as error:
            raise FileError(f"{str(folder)!r} could not be read: {error!s:.500}") from error

    def has(self, name: str) -> bool:
        return os.path.isdir(os.path.join(self.folder, name))

    @property
    def size(self) -> int:
        """How many bytes its arrays have."""
        return sum(value.nbytes for group in self.groups.values() for value in group.values())

    def config(self) -> dict:
        """The model's config, found harmless. Raises FileError where only weights were saved."""
        if not self.has("model_config"):
            raise FileError(f"{self.folder!r} holds weights only (save_weights_only=True). Build the model and call its "
                            "load_weights on this folder.")
        text = self._item("model_config").get("config")
        if not isinstance(text, str):
            raise FileError(f"{self.folder!r}: its model_config is no text but {type(text).__name__}.")
        config = read_json(self.folder, text)
        check_config(self.folder, config)
        return config

    def fill(self, model, strict: bool = True, skip_mismatch: bool = False, skipped=()) -> weights.LoadReport:
        """Put the weights, and an optimizer's state, into a model. On any error the model is as it was."""
        if not model.built:
            raise ValueError(f"Model {model.name!r} is not built, so its weights do not exist yet. Call it on data first.")
        known = tensors.variables_by_path(model)
        asked = {path: v for group in _WEIGHTS for path, v in known[group].items()}
        held = {path: value for group in _WEIGHTS for path, value in self.groups[group].items()}
        places = matched(asked, held)
        pairs, report = self._pairs(model, asked, held, places, skip_mismatch, skipped)
        if strict and not report.complete:
            raise ValueError(f"{self.folder!r} does not fit model {model.name!r}; no weight was changed. Pass strict=False "
                             f"to load what fits.\n{report.table()}")
        weights.assign_all(pairs + self._optimizer_pairs(model, places, skipped), self.folder)
        return report

    def _pairs(self, model, asked, held, places, skip_mismatch, skipped) -> tuple:
        """Variables and their arrays; and what is on one side only. Seeds are taken where they are."""
        needed = {id(v) for v in model.weights}
        left_alone = {id(v) for layer in skipped or () if layer is not model.optimizer for v in layer.variables}
        pairs, unfilled = [], []
        for path, variable in asked.items():
            value = held[places[path]] if path in places else None
            if id(variable) in left_alone:
                continue
            if value is not None and value.shape == variable.shape:
                pairs.append((variable, value))
            elif value is not None and id(variable) in needed and not skip_mismatch:
                raise ValueError(f"{self.folder}: {places[path]} has shape {value.shape}, but {variable.shape} in model "
                                 f"{model.name!r}. No weight was changed.")
            elif id(variable) in needed:
                unfilled.append(path)
        unused = [path for path in set(held) - set(places.values()) if not path.endswith("seed_generator_state")]
        return pairs, weights.LoadReport(sorted(unused), sorted(unfilled))

    def _optimizer_pairs(self, model, places, skipped) -> list:
        """The optimizer's variables and their arrays; slots are called after the weights, as the checkpoint has them."""
        held = {_slot(path): value for path, value in self.groups["optimizer_variables"].items()}
        optimizer = getattr(model, "optimizer", None)
        if not held or optimizer is None or any(optimizer is layer for layer in skipped or ()):
            return []
        if not optimizer.built:
            optimizer.build(model.trainable_variables)
        pairs = []
        for path, variable in tensors.variables_by_path(model)["optimizer_variables"].items():
            value = held.get(_slot(path))
            for own, place in places.items() if value is None else ():
                if _slot(path).startswith(flat := own.replace("/", "_") + "_"):
                    value = held.get(place.replace("/", "_") + "_" + _slot(path).removeprefix(flat))
            if value is None or value.shape != variable.shape:
                raise ValueError(f"{self.folder}: its optimizer's state has no {path} of shape {variable.shape}, as "
                                 f"{type(optimizer).__name__} has for model {model.name!r}. No weight was changed. Pass "
                                 "objects_to_skip=[model.optimizer] to load the weights alone.")
            pairs.append((variable, value))
        return pairs

    def fill_assets(self, model) -> None:
        """Let the layers read their own files."""
        files = _flat(self._item("assets")) if self.has("assets") else {}
        members = {f"assets/{name}": _Member(value) for name, value in files.items()}
        read_assets(model, members, self.folder)


def matched(asked, held) -> dict:
    """Where the values of variables are: path of a variable -> path of its value.

    Layers that are built before their model has them lack its name in their paths, as all have that come from a config: so
    a path also fits one that ends with it, where no other one does. And names that were made up differ in their numbers
    where a program makes the model a second time: such paths fit in order, where there are as many on both sides.

    >>> matched(["a/kernel", "dense_3/bias"], ["net/a/kernel", "net/dense/bias"])
    {'a/kernel': 'net/a/kernel', 'dense_3/bias': 'net/dense/bias'}
    """
    found = _by_ends(asked, held)
    groups = [_by_base(path for path in paths if path not in taken)
              for paths, taken in ((asked, found), (held, set(found.values())))]
    for base, place in _by_ends(*groups).items():
        paths, places = groups[0][base], groups[1][place]
        found |= dict(zip(paths, places)) if len(paths) == len(places) else {}
    return found


def _by_ends(asked, held) -> dict:
    """For each path that is asked for the same one, or else the only one that ends with it, or that it ends with."""
    found = {path: path for path in asked if path in held}
    while True:
        free = set(held) - set(found.values())
        fits = {path: [h for h in free if f"/{h}".endswith(f"/{path}") or f"/{path}".endswith(f"/{h}")]
                for path in asked if path not in found}
        sure = {path: places[0] for path, places in fits.items() if len(places) == 1}
        sure = {path: place for path, place in sure.items() if list(sure.values()).count(place) == 1}
        if not sure:
            return found
        found |= sure


def _by_base(paths) -> dict:
    """Paths by what they are without the numbers at the ends of names, in the order of these."""
    found: dict = {}
    for path in sorted(paths, key=_numbers):
        found.setdefault("/".join(map(weights.base_name, path.split("/"))), []).append(path)
    return found


def _numbers(path: str) -> list:
    ends = [re.search(r"_(\d+)$", name) for name in path.split("/")]
    return [int(end[1]) if end else 0 for end in ends]


def _slot(path: str) -> str:
    """The path of an optimizer's variable without the optimizer's name."""
    return path.partition("/")[2]


class _Member:
    """A file's bytes, with the size and the reading of a View."""

    def __init__(self, value):
        self._bytes = np.asarray(value, "uint8").tobytes()
        self.size = len(self._bytes)

    def read(self) -> bytes:
        return self._bytes


def _flat(nest) -> dict:
    return {"/".join(map(str, path)): value for path, value in tree.flatten_with_path(nest)}
