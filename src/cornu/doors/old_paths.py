"""Module paths of older Kerases, whose names live elsewhere today."""

import importlib
import pathlib
import sys
import types

MOVED = {
    "": "api engine",
    ".layers": "layers.core layers.convolutional layers.pooling layers.recurrent "
               "layers.normalization layers.embeddings layers.advanced_activations layers.merge "
               "layers.noise layers.wrappers layers.local engine.base_layer engine.topology "
               "engine.input_layer engine.input_spec",
    ".models": "engine.training engine.sequential engine.functional",
    ".utils": "utils.np_utils utils.generic_utils utils.vis_utils utils.data_utils "
              "utils.layer_utils utils.io_utils utils.tf_utils utils.conv_utils",
    ".backend": "backend.tensorflow_backend",
}


class Moved(types.ModuleType):
    """An older module path: its names are those of a module of today."""

    def __init__(self, name, target):
        super().__init__(name)
        self.__path__, self._target = [], target

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return getattr(importlib.import_module(self._target), name)
        except AttributeError:
            where = self._target.replace("cornu", "keras", 1)
            raise AttributeError(
                f"module {self.__name__!r} has no attribute {name!r}: what it had is in {where} "
                "today, which has no such name."
            ) from None


def place() -> None:
    """Put all older paths into `sys.modules`.

    Under cornu too: `from keras.utils import np_utils` looks there. What cornu really has is left
    alone, and all are placed by hand, as an import would set the attribute `core` of cornu.layers
    to something else.
    """
    here = pathlib.Path(__file__).parents[1]
    for target, names in MOVED.items():
        for name in names.split():
            real = here.joinpath(*name.split(".")).with_suffix(".py").exists()
            for top in ("keras", "tensorflow.keras", *(() if real else ("cornu",))):
                path = f"{top}.{name}"
                sys.modules.setdefault(path, Moved(path, f"cornu{target}"))
