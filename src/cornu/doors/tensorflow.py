"""`tensorflow`: the real one with our keras in it where it is installed, else a stand-in."""

import importlib.machinery
import importlib.util
import sys
import types

from cornu.doors import asking

STAND_IN_VERSION = "2.21.0"  # of the TensorFlow that programs are told that they have

# What TensorFlow takes from Keras under names of its own.
_TAKEN = ("initializers", "losses", "metrics", "optimizers")

_LESS = (
    "TensorFlow is not installed, and cornu stands in for tensorflow.keras only; this script asks "
    "for tensorflow.{}. Replace that part (keras.ops and NumPy have most of it), or install "
    "TensorFlow: its other parts are used then, with keras still being cornu."
)


def _real_spec(name="tensorflow"):
    """The spec of the installed TensorFlow, or None."""
    for finder in sys.meta_path:
        if not getattr(finder, "stands_for_keras", False) and hasattr(finder, "find_spec"):
            if (spec := finder.find_spec(name, None, None)) is not None:
                return spec
    return None


class _RealLoader:
    """Loads the real TensorFlow, then puts our keras into the place of its own."""

    def __init__(self, loader, keras):
        self._loader, self._keras = loader, keras

    def __getattr__(self, name):
        return getattr(self._loader, name)

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        self._loader.exec_module(module)
        _put(module, self._keras)


class StandIn(types.ModuleType):
    """`tensorflow` where it is not installed: `keras` and `__version__`, and nothing else."""

    def __init__(self, keras):
        super().__init__("tensorflow", "Stands in for TensorFlow, which is not installed.")
        self.keras, self.__version__, self.__path__ = keras, STAND_IN_VERSION, []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(f"module 'tensorflow' has no attribute {name!r}")
        raise AttributeError(_LESS.format(name), name=name, obj=self)


def adopt(keras) -> None:
    """Put our keras into a TensorFlow that was imported before the doors were opened."""
    module = sys.modules.get("tensorflow")
    if module is not None and not isinstance(module, StandIn):
        _put(module, keras)


def _put(module, keras):
    module.keras = sys.modules["tensorflow.keras"] = keras
    for name in _TAKEN:
        setattr(module, name, getattr(keras, name))


def spec(keras, loader):
    """The spec of `tensorflow`; None where there is none and an installed package only asks."""
    if (real := _real_spec()) is not None:
        real.loader = _RealLoader(real.loader, keras)
        return real
    if not asking.imports() or not asking.wants("tensorflow", "keras"):
        return None
    found = importlib.machinery.ModuleSpec(
        "tensorflow", loader(StandIn(keras)), origin="cornu", is_package=True
    )
    found.loader.own = None
    return found


def part_spec(part: str):
    """None for a part of the real TensorFlow, which is found as ever.

    Raises ModuleNotFoundError for an import of a part of the stand-in.
    """
    if isinstance(sys.modules.get("tensorflow"), StandIn) and asking.imports():
        raise ModuleNotFoundError(_LESS.format(part), name="tensorflow")
    return None
