"""Small things that programs import from `keras.src` and that cornu has no use for itself."""

import functools
import sys


def keras_export(path):
    """A decorator that leaves what it is given as it is: public names are those of modules."""
    del path
    return lambda exported: exported


def in_grain_data_pipeline() -> bool:
    """Whether the caller runs inside a pipeline of Grain: one of its callers is Grain's code."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] == "grain":
            return True
        frame = frame.f_back
    return False


def get_keras_mask(x):
    """The mask that layers of this array's way have left on it, or None."""
    return getattr(x, "_keras_mask", None)


def set_keras_mask(x, mask) -> None:
    """Leave a mask on an array, for the layers that it is given to."""
    x._keras_mask = mask


def no_automatic_dependency_tracking(method):
    """A decorator: what a layer's method keeps in attributes is no part of the layer."""

    @functools.wraps(method)
    def apart(self, *args, **kwargs):
        before = dict(self.__dict__)
        try:
            return method(self, *args, **kwargs)
        finally:
            self._set_attributes_apart(
                name for name, value in self.__dict__.items()
                if name not in before or before[name] is not value
            )

    return apart
