"""Dynamic loss scaling, for training in float16."""

import inspect
from typing import Sequence

import jax
import jax.numpy as jnp

from cornu import check, frames, registry
from cornu.optimizers.common import when
from cornu.optimizers.optimizer import Optimizer
from cornu.optimizers.slices import values_of


class LossScaleOptimizer(Optimizer):
    """Scales the loss up so that float16 gradients do not vanish, and their scale down again before the inner update.

    A step whose gradients are not all finite is skipped and halves the scale; `dynamic_growth_steps` good steps in
    a row double it.

    Args:
        inner_optimizer: the optimizer that gets the gradients in their true scale.
        initial_scale: the factor at the start.
        dynamic_growth_steps: the number of good steps before the factor is doubled.
        name: the optimizer's name.
        **kwargs: none; those of `Optimizer` go to the inner optimizer.

    An inner optimizer's own loss_scale_factor is set to None, with a warning. Raises ValueError for another
    LossScaleOptimizer inside, and for other arguments.

    Source: Micikevicius et al. 2018, https://arxiv.org/abs/1710.03740

    >>> from cornu.optimizers import SGD
    >>> LossScaleOptimizer(SGD(), initial_scale=1024.0).scale_loss(2.0)
    2048.0
    """

    def __init__(self, inner_optimizer: Optimizer, initial_scale: float = 2.0 ** 15, dynamic_growth_steps: int = 2000,
                 name: str | None = None, **kwargs):
        if kwargs.pop("dynamic", True) is not True:
            raise ValueError("LossScaleOptimizer always adapts its scale. For a fixed one set `loss_scale_factor` of an "
                             "optimizer instead.")
        defaults = {p.name: p.default for p in inspect.signature(Optimizer.__init__).parameters.values()}
        kwargs = {k: v for k, v in kwargs.items() if k not in defaults or v != defaults[k]}  # as in files of older versions
        if kwargs:
            raise ValueError(f"LossScaleOptimizer takes no {', '.join(map(repr, kwargs))}. Pass them to the inner "
                             "optimizer.")
        if not isinstance(inner_optimizer, Optimizer):
            raise ValueError(f"LossScaleOptimizer: inner_optimizer must be an Optimizer. Received: {inner_optimizer!r}")
        if isinstance(inner_optimizer, LossScaleOptimizer):
            raise ValueError("LossScaleOptimizer: the inner optimizer scales losses already. Leave out one of the wrappers.")
        if inner_optimizer.loss_scale_factor is not None:
            frames.warn(f"LossScaleOptimizer: the inner optimizer's loss_scale_factor={inner_optimizer.loss_scale_factor} is "
                        "set to None: this wrapper scales the loss.")
            inner_optimizer.loss_scale_factor = None
        self.inner_optimizer = inner_optimizer
        self.initial_scale = check.positive("initial_scale", initial_scale, "LossScaleOptimizer", kind=float)
        self.dynamic_growth_steps = check.positive("dynamic_growth_steps", dynamic_growth_steps, "LossScaleOptimizer")
        super().__init__(0.0, name=name)  # its own rate and step count are there for Keras's files alone

    iterations = property(lambda self: self.inner_optimizer.iterations)
    has_schedule = property(lambda self: self.inner_optimizer.has_schedule)
    variables = property(lambda self: [*self._variables, *self.inner_optimizer.variables])

    @property
    def learning_rate(self):
        """The inner optimizer's learning rate."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        if self._learning_rate is None:
            Optimizer.learning_rate.fset(self, value)
        else:
            self.inner_optimizer.learning_rate = value

    def _make_state(self, variables):
        self.step_counter = self.add_variable((), dtype="int32", name="step_counter")
        self.dynamic_scale = self.add_variable((), lambda *_, **__: jnp.full((), self.initial_scale, "float32"),
                                               "float32", name="dynamic_scale")
        self.inner_optimizer.build(variables)
        self.inner_optimizer.adopt(variables)
        super()._make_state(variables)

    def scale_loss(self, loss):
        """The loss times the present scale."""
        return loss * (self.dynamic_scale.raw if self.built else self.initial_scale)

    def check_finite(self, grads: Sequence) -> jax.Array:
        """Whether all numbers of all gradients are finite, as an array of one bool; None does not count."""
        return jnp.stack([jnp.all(jnp.isfinite(values_of(g))) for g in grads if g is not None] or [True]).all()

    def apply(self, grads: Sequence, trainable_variables: Sequence | None = None) -> None:
        """Let the inner optimizer update, if all gradients are finite; adapt the scale."""
        pairs = self._pairs(list(grads), trainable_variables)
        finite = self.check_finite([g for g, _ in pairs])
        scale, good = self.dynamic_scale.raw, self.step_counter.raw + 1
        # what is overwritten with its gradient is no gradient of the loss: it was never scaled
        unscaled, variables = zip(*((g if v.overwrite_with_gradient else g.astype(jnp.float32) / scale, v) for g, v in pairs))
        inner = self.inner_optimizer
        when(finite, lambda: inner.apply(unscaled, variables), [*self._trainable_variables, *inner.variables])
        grown = good >= self.dynamic_growth_steps
        self.step_counter.assign(jnp.where(finite & ~grown, good, 0))
        self.dynamic_scale.assign(jnp.where(finite, jnp.where(grown, scale * 2, scale), scale / 2))

    def finalize_variable_values(self, var_list: Sequence) -> None:
        self.inner_optimizer.finalize_variable_values(var_list)

    def get_config(self) -> dict:  # the other arguments are the inner optimizer's
        return {"name": self.name, "inner_optimizer": registry.serialize(self.inner_optimizer),
                "initial_scale": self.initial_scale, "dynamic_growth_steps": self.dynamic_growth_steps}

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> "LossScaleOptimizer":
        inner = registry.deserialize(config["inner_optimizer"], custom_objects, "optimizers", "optimizer")
        return cls(**{**config, "inner_optimizer": inner})
