"""Penalties on weights or activities, which are added to the loss."""

from typing import Any

import jax.numpy as jnp

from cornu import check, frames, registry
from cornu.ops.kit import inexact
from cornu.registry import Configurable


class Regularizer(Configurable):
    """Base: subclasses define `__call__(x)`, which returns a scalar penalty."""

    def __call__(self, x):
        raise NotImplementedError(f"{type(self).__name__} does not define __call__(self, x).")


def _weight(owner, name, value) -> float:
    return float(check.positive(name, value, owner, zero=True, kind=float))


class L1L2(Regularizer):
    """l1 sum(|x|) + l2 sum(x^2).

    Args:
        l1, l2: the weights of the two parts, >= 0.

    >>> float(L1L2(l1=0.1)(jnp.array([1.0, -2.0])))  # doctest: +ELLIPSIS
    0.300...
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0):
        self.l1 = _weight("L1L2", "l1", 0.0 if l1 is None else l1)
        self.l2 = _weight("L1L2", "l2", 0.0 if l2 is None else l2)

    def __call__(self, x):
        x = inexact(x)
        penalty = jnp.zeros((), x.dtype)
        if self.l1:
            penalty = penalty + self.l1 * jnp.sum(jnp.abs(x))
        if self.l2:
            penalty = penalty + self.l2 * jnp.sum(jnp.square(x))
        return penalty


class L1(Regularizer):
    """l1 sum(|x|).

    Args:
        l1: the weight, >= 0.
    """

    def __init__(self, l1: float = 0.01):
        self.l1 = _weight("L1", "l1", 0.01 if l1 is None else l1)

    def __call__(self, x):
        return self.l1 * jnp.sum(jnp.abs(inexact(x)))


class L2(Regularizer):
    """l2 sum(x^2).

    Args:
        l2: the weight, >= 0.
    """

    def __init__(self, l2: float = 0.01):
        self.l2 = _weight("L2", "l2", 0.01 if l2 is None else l2)

    def __call__(self, x):
        return self.l2 * jnp.sum(jnp.square(inexact(x)))


class OrthogonalRegularizer(Regularizer):
    """Drives the rows (or columns) of a matrix apart: factor mean(|cos|) over the pairs of different rows.

    Args:
        factor: the weight.
        mode: "rows" or "columns".
    """

    def __init__(self, factor: float = 0.01, mode: str = "rows"):
        self.factor = _weight("OrthogonalRegularizer", "factor", factor)
        self.mode = check.one_of("mode", mode, ("rows", "columns"), "OrthogonalRegularizer")

    def __call__(self, x):
        x = inexact(x)
        if x.ndim != 2:
            raise ValueError(f"OrthogonalRegularizer takes matrices. Received a tensor of shape {x.shape}.")
        rows = x if self.mode == "rows" else x.T
        rows = rows / jnp.maximum(jnp.linalg.norm(rows, axis=1, keepdims=True), 1e-7)
        count = rows.shape[0]
        cosines = jnp.abs((rows @ rows.T) * (1 - jnp.eye(count, dtype=x.dtype)))
        return self.factor * 0.5 * jnp.sum(cosines) / max(count * (count - 1) / 2, 1)


l1, l2, l1_l2, orthogonal_regularizer = L1, L2, L1L2, OrthogonalRegularizer
registry.add_functions("regularizers", {"l1": L1, "l2": L2, "l1l2": L1L2, "l1_l2": L1L2,
                                        "orthogonal_regularizer": OrthogonalRegularizer})


@frames.filtered
def get(identifier: Any) -> Regularizer | None:
    """The regularizer that a name, a config, a class or a callable means; None for None."""
    return registry.get(identifier, "regularizers", "regularizer")


@frames.filtered
def serialize(regularizer: Regularizer) -> dict:
    """The regularizer as a config."""
    return registry.serialize(regularizer)


@frames.filtered
def deserialize(config: dict, custom_objects: dict | None = None) -> Regularizer:
    """The regularizer that `serialize` wrote."""
    return registry.deserialize(config, custom_objects, "regularizers", "regularizer")
