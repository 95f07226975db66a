"""Constraints, which weights are made to obey after each update."""

from typing import Any

import jax.numpy as jnp

from cornu import check, config, frames, registry
from cornu.ops.kit import inexact, integers, wide
from cornu.registry import Configurable


class Constraint(Configurable):
    """Base: subclasses define `__call__(w)`, which returns the weights that obey; this one changes nothing."""

    def __call__(self, w):
        return w


def _norms(w, axis):
    return jnp.sqrt(jnp.sum(jnp.square(wide(w)), axis=integers(axis), keepdims=True)).astype(w.dtype)


class MaxNorm(Constraint):
    """Scales down what has a norm above max_value: w min(|w|, max_value) / |w|.

    Args:
        max_value: the largest norm.
        axis: the axis or axes over which the norm is taken: 0 for Dense, [0, 1, 2] for Conv2D.

    >>> w = MaxNorm(1.0)(jnp.array([[3.0], [4.0]]))
    >>> bool(jnp.allclose(w, jnp.array([[0.6], [0.8]])))
    True
    """

    def __init__(self, max_value: float = 2, axis=0):
        self.max_value, self.axis = check.positive("max_value", max_value, "MaxNorm", True, float), axis

    def __call__(self, w):
        w = inexact(w)
        norms = _norms(w, self.axis)
        return w * (jnp.clip(norms, 0, self.max_value) / (config.epsilon() + norms))


class MinMaxNorm(Constraint):
    """Moves norms into an interval: w (rate clip(|w|, min, max) + (1 - rate) |w|) / |w|.

    Args:
        min_value, max_value: the smallest and the largest norm.
        rate: 1 to obey at once, less to come nearer by this share at each step.
        axis: the axis or axes over which the norm is taken.
    """

    def __init__(self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis=0):
        self.min_value = check.positive("min_value", min_value, "MinMaxNorm", True, float)
        self.max_value = check.positive("max_value", max_value, "MinMaxNorm", True, float)
        self.rate, self.axis = check.between("rate", rate, 0, 1, "MinMaxNorm"), axis

    def __call__(self, w):
        w = inexact(w)
        norms = _norms(w, self.axis)
        wanted = self.rate * jnp.clip(norms, self.min_value, self.max_value) + (1 - self.rate) * norms
        return w * (wanted / (config.epsilon() + norms))


class NonNeg(Constraint):
    """Sets negative weights to 0."""

    def __call__(self, w):
        return jnp.maximum(inexact(w), 0)


class UnitNorm(Constraint):
    """Scales to norm 1: w / |w|.

    Args:
        axis: the axis or axes over which the norm is taken.
    """

    def __init__(self, axis=0):
        self.axis = axis

    def __call__(self, w):
        w = inexact(w)
        return w / (config.epsilon() + _norms(w, self.axis))


max_norm, min_max_norm, non_neg, unit_norm = MaxNorm, MinMaxNorm, NonNeg, UnitNorm
registry.add_functions("constraints", {"max_norm": MaxNorm, "min_max_norm": MinMaxNorm, "non_neg": NonNeg,
                                       "unit_norm": UnitNorm})


@frames.filtered
def get(identifier: Any) -> Constraint | None:
    """The constraint that a name, a config, a class or a callable means; None for None."""
    return registry.get(identifier, "constraints", "constraint")


@frames.filtered
def serialize(constraint: Constraint) -> dict:
    """The constraint as a config."""
    return registry.serialize(constraint)


@frames.filtered
def deserialize(config: dict, custom_objects: dict | None = None) -> Constraint:
    """The constraint that `serialize` wrote."""
    return registry.deserialize(config, custom_objects, "constraints", "constraint")
