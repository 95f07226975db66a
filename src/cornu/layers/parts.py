"""Arguments that come in families: of every weight where it starts, its penalty and its constraint."""

from cornu import constraints, initializers, regularizers
from cornu.layers.layer import Layer

_KINDS = {"initializer": initializers.get, "regularizer": regularizers.get, "constraint": constraints.get}


def told(scope: dict, *but: str) -> dict:
    """The arguments of the constructor whose `locals()` these are, but for some, to hand them on to the next one."""
    return {k: v for k, v in {**scope, **scope["kwargs"]}.items() if k not in ("self", "kwargs", "__class__", *but)}


def called(layer) -> str:
    """A layer as error messages name it."""
    return f"{type(layer).__name__} layer {layer.name!r}"


class Parted(Layer):
    """A layer that is told, for every part of its weights, `<part>_initializer`, `_regularizer` and `_constraint`."""

    def _keep(self, arguments: dict, *parts: str) -> dict:
        """Keep what is told of the parts; returns the other arguments."""
        for name in [f"{part}_{kind}" for part in parts for kind in _KINDS]:
            object.__setattr__(self, name, _KINDS[name.rpartition("_")[2]](arguments.pop(name)))
        return arguments

    def _weight(self, shape, name: str, part: str | None = None, initializer=None, autocast: bool = True):
        part = part or name
        return self.add_weight(shape, initializer or getattr(self, part + "_initializer"), name=name, autocast=autocast,
                               regularizer=getattr(self, part + "_regularizer"),
                               constraint=getattr(self, part + "_constraint"))
