"""Different optimizers for different variables."""

import re
from collections.abc import MutableMapping
from typing import Callable, Sequence

from cornu import registry
from cornu.optimizers.optimizer import Optimizer
from cornu.registry import Configurable


class OptimizerMap(Configurable, MutableMapping):
    """Optimizers by variable path (regular expressions are allowed), with a default for the rest.

    Args:
        default_optimizer: the optimizer of the paths that no key fits.
        optimizer_map: a dict of paths and optimizers.

    Raises TypeError or ValueError for values that are not optimizers, and ValueError for a path that several keys fit.

    >>> from cornu.optimizers import SGD
    >>> optimizers = OptimizerMap(SGD(0.1), {"encoder/.*": SGD(0.01)})
    >>> round(float(optimizers["encoder/dense/kernel"].learning_rate), 4)
    0.01
    """

    def __init__(self, default_optimizer: Optimizer, optimizer_map: dict | None = None):
        if not isinstance(default_optimizer, Optimizer):
            raise TypeError(f"OptimizerMap: default_optimizer must be an Optimizer. Received: {default_optimizer!r}")
        self._default, self.optimizer_map = default_optimizer, {}
        for key, optimizer in (optimizer_map or {}).items():
            self[key] = optimizer

    @property
    def default_optimizer(self) -> Optimizer:
        """The optimizer of the paths that no key fits."""
        return self._default

    def __getitem__(self, path: str) -> Optimizer:
        if path in self.optimizer_map:
            return self.optimizer_map[path]
        found = [key for key in self.optimizer_map if re.fullmatch(key, path)]
        if len(found) > 1:
            raise ValueError(f"Path {path!r} fits several keys of the OptimizerMap: {', '.join(map(repr, found))}. "
                             "Make the keys distinct.")
        return self.optimizer_map[found[0]] if found else self._default

    def __call__(self, variable) -> Optimizer:
        """The optimizer of a variable, by its path."""
        return self[variable.path]

    def __setitem__(self, key: str, optimizer: Optimizer) -> None:
        if key in self.optimizer_map:
            raise ValueError(f"The OptimizerMap has {key!r} already. Delete it first to replace it.")
        if not isinstance(optimizer, Optimizer):
            raise ValueError(f"An OptimizerMap holds optimizers. Received for {key!r}: {optimizer!r}")
        self.optimizer_map[key] = optimizer

    def __delitem__(self, key: str) -> None:
        del self.optimizer_map[key]

    def __len__(self) -> int:
        return len(self.optimizer_map)

    def __iter__(self):
        return iter(self.optimizer_map)

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> "OptimizerMap":
        """A map like the one whose config this is."""
        def read(x):
            return registry.deserialize(x, custom_objects, "optimizers", "optimizer")

        return cls(read(config["default_optimizer"]), {k: read(x) for k, x in config["optimizer_map"].items()})


class MultiOptimizer(Optimizer):
    """Leaves each variable to an optimizer of its own: learning rates and rules by layer.

    Args:
        optimizer_map: an `OptimizerMap`, or a function that gives the optimizer of a variable.
        loss_scale_factor: None, or the loss scale factor of all of them.
        name: the optimizer's name.

    Raises TypeError for another kind of `optimizer_map`; ValueError when the optimizers differ in loss_scale_factor.

    >>> from cornu import Variable
    >>> from cornu.optimizers import SGD
    >>> a, b = Variable([1.0], name="a"), Variable([1.0], name="b")
    >>> import jax.numpy as jnp
    >>> MultiOptimizer(OptimizerMap(SGD(0.5), {"b": SGD(0.25)})).apply([jnp.ones(1)] * 2, [a, b])
    >>> float(a[0]), float(b[0])
    (0.5, 0.75)
    """

    def __init__(self, optimizer_map: OptimizerMap | Callable, loss_scale_factor: float | None = None,
                 name: str | None = None):
        if not callable(optimizer_map) and not isinstance(optimizer_map, OptimizerMap):
            raise TypeError("MultiOptimizer: optimizer_map must be an OptimizerMap or a function of a variable. "
                            f"Received: {optimizer_map!r}")
        self._optimizers: list = []
        self.optimizer_map, self._chosen = optimizer_map, {}
        if isinstance(optimizer_map, OptimizerMap):
            self._optimizers = _unique([*optimizer_map.values(), optimizer_map.default_optimizer])
        super().__init__(0.0, loss_scale_factor=loss_scale_factor, name=name)

    variables = property(lambda self: [*self._variables, *(v for o in self._optimizers for v in o.variables)])
    has_schedule = property(lambda self: any(o.has_schedule for o in self._optimizers))

    @property
    def optimizers(self) -> list:
        """The optimizers; for a function they are known once this one is built."""
        return list(self._optimizers)

    @property
    def loss_scale_factor(self) -> float | None:
        """The loss scale factor of all the optimizers; setting it sets theirs."""
        return self._loss_scale_factor

    @loss_scale_factor.setter
    def loss_scale_factor(self, value: float | None) -> None:
        constructed = "_loss_scale_factor" in self.__dict__
        self._loss_scale_factor = value
        for optimizer in self._optimizers if constructed or value is not None else ():
            optimizer.loss_scale_factor = value

    @property
    def learning_rate(self):
        """Not one number: raises AttributeError."""
        raise AttributeError("A MultiOptimizer has several learning rates. Read and set them on its `optimizers`.")

    @learning_rate.setter
    def learning_rate(self, value):
        if self._learning_rate is not None:
            raise AttributeError("A MultiOptimizer has several learning rates. Read and set them on its `optimizers`.")
        Optimizer.learning_rate.fset(self, value)

    def _make_state(self, variables):
        chosen = [self.optimizer_map(v) for v in variables]
        for variable, optimizer in zip(variables, chosen):
            if not isinstance(optimizer, Optimizer):
                raise TypeError(f"MultiOptimizer: for variable {variable.path!r} the function gave {optimizer!r}, "
                                "which is not an optimizer.")
        self._chosen = {v: o for v, o in zip(variables, chosen)}
        self._optimizers = _unique([*self._optimizers, *chosen])
        factors = {o.loss_scale_factor for o in self._optimizers}
        if self.loss_scale_factor is None and len(factors) > 1:
            raise ValueError(f"MultiOptimizer: its optimizers differ in loss_scale_factor: {factors}. Set one here.")
        self.loss_scale_factor = factors.pop() if self.loss_scale_factor is None else self.loss_scale_factor
        for optimizer in self._optimizers:
            optimizer.loss_scale_factor = self.loss_scale_factor
            own = [v for v, o in zip(variables, chosen) if o is optimizer]
            optimizer.build(own)
            optimizer.adopt(own)
        super()._make_state(variables)

    def apply(self, grads: Sequence, trainable_variables: Sequence | None = None) -> None:
        """Let each optimizer update its own variables."""
        pairs = self._pairs(list(grads), trainable_variables)
        for optimizer in self._optimizers:
            own = [(g, v) for g, v in pairs if self._chosen[v] is optimizer]
            if own:
                optimizer.apply(*zip(*own))
        self._iterations.assign_add(1)

    def finalize_variable_values(self, var_list: Sequence) -> None:
        for variable in var_list:
            self._chosen[variable].finalize_variable_values([variable])

    def get_config(self) -> dict:  # the other arguments are the inner optimizers'
        return {"optimizer_map": registry.serialize(self.optimizer_map), "loss_scale_factor": self.loss_scale_factor,
                "name": self.name}

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> "MultiOptimizer":
        found = registry.deserialize(config["optimizer_map"], custom_objects)
        return cls(**{**config, "optimizer_map": found})


def _unique(optimizers) -> list:
    return list({id(o): o for o in optimizers}.values())
