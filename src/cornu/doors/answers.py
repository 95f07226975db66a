"""Which module object a name of keras or tensorflow means."""

import importlib
import importlib.machinery
import sys
import types

from cornu.doors import applications, asking, old_paths, private_modules, tensorflow
from cornu.doors.keras_module import KERAS


class Loader:
    """Hands the import system a module that is there already."""

    def __init__(self, module):
        self.module, self.own = module, getattr(module, "__spec__", None)

    def create_module(self, spec):
        """The module object itself, not a copy: `keras.layers is cornu.layers`."""
        return self.module

    def exec_module(self, module):
        """Nothing to run, but the import system wrote its notes on the module: put its own back."""
        if self.own is not None:
            module.__spec__ = self.own


def find_spec(name: str):
    """The spec of a module of keras or tensorflow.

    Raises ModuleNotFoundError for an `import` of what is not here; who only looks gets None.
    """
    top, _, rest = name.partition(".")
    if top == "tensorflow":
        if name != "tensorflow" and rest.partition(".")[0] != "keras":
            return tensorflow.part_spec(rest)
        if name == "tensorflow":
            return tensorflow.spec(KERAS, Loader)
        rest = rest.partition(".")[2]
    module = find(rest)
    if module is None:
        if not asking.imports():
            return None
        raise ModuleNotFoundError(f"No module named {name!r}: cornu has no cornu.{rest}", name=name)
    return importlib.machinery.ModuleSpec(name, Loader(module), origin="cornu", is_package=True)


def find(path: str):
    """The module object of `keras.PATH`, or None."""
    if path in ("", "_tf_keras", "_tf_keras.keras", "api"):
        old_paths.place()
        return KERAS
    for beginning in ("_tf_keras.keras.", "api."):
        if path.startswith(beginning):
            return find(path.removeprefix(beginning))
    if path == "src" or path.startswith("src."):
        below = path[4:]
        return private_modules.PrivateModule(below) if private_modules.is_module(below) else None
    top, _, below = path.partition(".")
    if top == "applications":
        return applications.find(below)
    if path == "distribution":
        return importlib.import_module("cornu.doors.distribution")
    placed = sys.modules.get(f"keras.{path}")
    return placed if isinstance(placed, old_paths.Moved) else _of_cornu(path)


def _of_cornu(path):
    name = f"cornu.{path}"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("cornu"):
            raise
    parent, _, last = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(parent), last)
    except (ImportError, AttributeError):
        return None
    return found if isinstance(found, (types.ModuleType, types.SimpleNamespace)) else None
