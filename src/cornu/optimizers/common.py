"""What optimizers share: a condition that holds under tracing, norms, and the arguments of older tutorials."""

import warnings
from typing import Callable, Sequence

import jax
import jax.numpy as jnp

from cornu.variable import functional


def when(condition, update: Callable, variables: Sequence) -> None:
    """Run an update of the variables if the condition holds: lax.cond where it is traced, `if` where it is known."""
    if not isinstance(condition, jax.core.Tracer):
        if condition:
            update()
        return
    pure = functional(update, variables)
    new = jax.lax.cond(condition, lambda values: pure(values)[1], lambda values: values, [v.raw for v in variables])
    for variable, value in zip(variables, new):
        variable.assign(value)


@jax.jit
def norm(arrays: list):
    """The norm of several arrays together, summed in float32 at least."""
    return jnp.sqrt(sum(jnp.sum(jnp.square(x.astype(jnp.promote_types(x.dtype, jnp.float32)))) for x in arrays))


@jax.jit
def scaled(x, factor):
    return x * factor.astype(x.dtype)


@jax.jit
def mean(average, value, momentum):
    return (momentum * average + (1 - momentum) * value).astype(value.dtype)


def old_arguments(owner: str, kwargs: dict, learning_rate):
    """Arguments of older tutorials: `lr` is renamed with a warning, `decay` is refused with the way to go."""
    if "decay" in kwargs and kwargs.pop("decay"):
        raise ValueError(f"{owner}: argument `decay` is no more. Pass a schedule instead, as in learning_rate="
                         "keras.optimizers.schedules.InverseTimeDecay(rate, decay_steps=1, decay_rate=decay).")
    if "lr" in kwargs:
        warnings.warn(f"{owner}: argument `lr` is now called `learning_rate`.", FutureWarning, stacklevel=5)
        learning_rate = kwargs.pop("lr")
    if kwargs:
        raise ValueError(f"{owner}: unknown arguments {', '.join(map(repr, kwargs))}.")
    return learning_rate
