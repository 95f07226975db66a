"""What optimizers share: a condition that holds under tracing, norms, and the arguments of older tutorials."""

from typing import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from cornu import check, frames
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


# What the arguments of all optimizers may be, by name; those of averages are how much of the average is kept.
_AVERAGES = ("beta_1", "beta_2", "adam_beta_1", "adam_beta_2", "rho")
_ABOVE_ZERO = ("clipnorm", "clipvalue", "global_clipnorm", "loss_scale_factor")  # or None
_NOT_BELOW_ZERO = ("weight_decay", "adam_weight_decay")  # or None
_SMALL = ("epsilon", "epsilon_1", "epsilon_2", "initial_accumulator_value")


def check_numbers(optimizer) -> None:
    """Raise ValueError for an argument of an optimizer outside its range."""
    owner, told = type(optimizer).__name__, vars(optimizer)
    for name in _ABOVE_ZERO + _NOT_BELOW_ZERO:
        if told.get(name) is not None:
            check.positive(name, told[name], owner, zero=name in _NOT_BELOW_ZERO, kind=float)
    for name in _SMALL:
        if name in told:
            check.positive(name, told[name], owner, zero=True, kind=float)
    for name in _AVERAGES:
        if name in told and check.between(name, told[name], 0, 1, owner) == 1 and not optimizer.averages_may_stand:
            raise ValueError(f"{owner}: argument `{name}` must be smaller than 1: an average that keeps all of itself "
                             "never moves.")


def check_rate(owner: str, rate) -> None:
    """Raise ValueError for a learning rate that is no number, or negative, or not finite."""
    number = isinstance(rate, (int, float)) or np.shape(rate) == () and getattr(
        getattr(rate, "dtype", None), "kind", "") in ("i", "u", "f")
    if isinstance(rate, bool) or not number:
        raise ValueError(f"{owner}: learning_rate must be a number, a LearningRateSchedule or a function without "
                         f"arguments. Received: {rate!r}")
    if not isinstance(rate, jax.core.Tracer) and not 0 <= float(rate) < float("inf"):
        raise ValueError(f"{owner}: learning_rate must be finite and not negative. Received: {rate!r}. To climb instead "
                         "of descending, minimize the negative of the loss.")


def old_arguments(owner: str, kwargs: dict, learning_rate):
    """Arguments of older tutorials: `lr` is renamed with a warning, `decay` is refused with the way to go."""
    if "decay" in kwargs and kwargs.pop("decay"):
        raise ValueError(f"{owner}: argument `decay` is no more. Pass a schedule instead, as in learning_rate="
                         "keras.optimizers.schedules.InverseTimeDecay(rate, decay_steps=1, decay_rate=decay).")
    if "lr" in kwargs:
        frames.warn(f"{owner}: argument `lr` is now called `learning_rate`.", FutureWarning)
        learning_rate = kwargs.pop("lr")
    if kwargs:
        raise ValueError(f"{owner}: unknown arguments {', '.join(map(repr, kwargs))}.")
    return learning_rate
