"""The module `keras` itself: cornu's names under the version of the Keras that they come from."""

import importlib
import importlib.machinery
import types

from cornu.doors.finder import KERAS_VERSION

_ONLY_HERE = ("applications", "distribution")  # packages name them; most of it says it is not here


class KerasModule(types.ModuleType):
    """`keras`, whose names are looked up in cornu when they are asked for."""

    is_cornu = True

    def __init__(self):
        super().__init__("keras", "The Keras API, as cornu has it.")
        self.__version__ = KERAS_VERSION
        self.__path__ = []
        self.__package__ = "keras"
        self.__spec__ = importlib.machinery.ModuleSpec(
            "keras", None, origin="cornu", is_package=True
        )

    def version(self):
        """The version of the Keras whose interface cornu has."""
        return KERAS_VERSION

    def __getattr__(self, name):
        if name.startswith("__") and name not in ("__all__", "__file__"):
            raise AttributeError(f"module 'keras' has no attribute {name!r}")
        if name == "__all__":  # `from keras import *` brings the parts that are only of this name too
            return [*importlib.import_module("cornu").__all__, *_ONLY_HERE]
        if name in ("src", "_tf_keras", *_ONLY_HERE):
            return importlib.import_module(f"keras.{name}")
        try:
            return getattr(importlib.import_module("cornu"), name)
        except AttributeError:
            raise AttributeError(f"module 'keras' has no attribute {name!r}", name=name) from None

    def __dir__(self):
        return sorted({*self.__dict__, *importlib.import_module("cornu").__all__, "version"})

    def __reduce__(self):
        return importlib.import_module, ("keras",)


KERAS = KerasModule()
