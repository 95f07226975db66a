"""Optimizers and learning-rate schedules."""

from cornu import frames, registry
from cornu.optimizers import legacy, schedules
from cornu.optimizers.adam import Adam, Adamax, AdamW, Lamb, Nadam, ScheduleFreeAdamW
from cornu.optimizers.adaptive import Adadelta, Adafactor, Adagrad, Ftrl, RMSprop
from cornu.optimizers.from_optax import from_optax
from cornu.optimizers.loss_scale import LossScaleOptimizer
from cornu.optimizers.multi import MultiOptimizer, OptimizerMap
from cornu.optimizers.muon import Muon
from cornu.optimizers.optimizer import Optimizer
from cornu.optimizers.sgd import SGD, Lion
from cornu.optimizers.slices import IndexedSlices


@frames.filtered
def get(identifier):
    """An optimizer from its name in any case (`"adam"`), a config dict, or an instance; None stays None.

    Raises ValueError for anything else.

    >>> get("adam").name.startswith("adam")
    True
    """
    if identifier is None or isinstance(identifier, Optimizer):
        return identifier
    if isinstance(identifier, str):
        return registry.get(_spelled(identifier), "optimizers", "optimizer")
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if callable(getattr(identifier, "init", None)) and callable(getattr(identifier, "update", None)):
        raise ValueError("This is an Optax transformation. Wrap it: cornu.optimizers.from_optax(transformation).")
    raise ValueError(f"Cannot read an optimizer from {identifier!r}. Pass a name such as 'adam', an instance, or a "
                     "config dict.")


@frames.filtered
def serialize(optimizer: Optimizer) -> dict:
    """The optimizer as a dict, in Keras's form."""
    return registry.serialize(optimizer)


@frames.filtered
def deserialize(config: dict, custom_objects: dict | None = None) -> Optimizer:
    """The optimizer from the dict that `serialize` (or Keras's) wrote; class names are read in any case."""
    config = {**config, "class_name": _spelled(config["class_name"])}
    return registry.deserialize(config, custom_objects, "optimizers", "optimizer")


def _spelled(name: str) -> str:
    """A built-in optimizer's name in its own spelling."""
    known = {k.lower(): k for k in registry.names_in("optimizers") if "." not in k}
    return known.get(name.lower(), name)
