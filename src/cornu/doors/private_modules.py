"""Module objects for `keras.src` and what is below it, which look names up by `private_names`."""

import functools
import importlib
import types

from cornu.doors.private_names import ENGINE, MODULES, NAMES, PLACES, PUBLIC


@functools.cache
def _known() -> frozenset:
    known = {""}
    for package, names in MODULES.items():
        known |= {f"{package}.{name}".lstrip(".") for name in names.split()}
    return frozenset(known | {f"backend.{name}" for name in ENGINE})


def is_module(path: str) -> bool:
    """Whether `keras.src.PATH` is a module of Keras."""
    return path in _known()


def resolve(dotted: str):
    """The object at a path such as "cornu.names.auto_name"."""
    if dotted == "cornu":
        return importlib.import_module("cornu")
    module, _, name = dotted.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        return importlib.import_module(dotted)


def _places(path):
    if path.startswith("backend.") and path.split(".")[1] in ENGINE:
        path = path.replace("backend.", "backend.jax.", 1)
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        if (places := PLACES.get(".".join(parts[:length]))) is not None:
            yield from places
            break
    yield f"cornu.{parts[0]}".rstrip(".")
    for area in PUBLIC:
        yield f"cornu.{area}".rstrip(".")


def find(path: str, name: str):
    """What NAME of the module `keras.src.PATH` is here; AttributeError where there is none."""
    for module in (path, "*"):
        if (dotted := NAMES.get(module, {}).get(name)) is not None:
            return resolve(dotted)
    for place in _places(path):
        try:
            found = getattr(importlib.import_module(place), name)
        except (ImportError, AttributeError):
            continue
        if not isinstance(found, types.ModuleType):
            return found
    full = f"keras.src.{path}".rstrip(".")
    raise AttributeError(
        f"module {full!r} has no attribute {name!r}: it is private to Keras, and cornu has no "
        "public thing of that name."
    )


def _public_names(path) -> list:
    """The names of the public module that stands for one of `keras.src`, without modules in it."""
    for place in _places(path):
        try:
            public = importlib.import_module(place)
        except ModuleNotFoundError:
            continue
        names = getattr(public, "__all__", None) or [n for n in vars(public) if n[0] != "_"]
        return [n for n in names if not isinstance(getattr(public, n), types.ModuleType)]
    return []


class PrivateModule(types.ModuleType):
    """A module of `keras.src`: its names are looked up when they are asked for."""

    def __init__(self, path):
        super().__init__(f"keras.src.{path}".rstrip("."))
        self._below, self.__path__ = path, []

    def __getattr__(self, name):
        if name == "__all__":  # `from keras.src.ops import *` brings what the public module has
            return _public_names(self._below)
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        below = f"{self._below}.{name}".lstrip(".")
        if is_module(below):
            return importlib.import_module(f"keras.src.{below}")
        try:
            return find(self._below, name)
        except AttributeError:
            if is_module(name):  # an area that Keras's module imports: `layer.backend`
                return importlib.import_module(f"keras.src.{name}")
            raise
