"""Learning rates that follow the step: pure functions of the number of updates done so far."""

import math

import jax.numpy as jnp

from cornu import check, frames, registry
from cornu.registry import Configurable


class LearningRateSchedule(Configurable):
    """Base of schedules; a subclass defines `__call__(step)`, in jnp, and is passed as `learning_rate`.

    >>> class Linear(LearningRateSchedule):
    ...     def __init__(self, start):
    ...         self.start = start
    ...     def __call__(self, step):
    ...         return self.start / (step + 1)
    >>> Linear(0.5)(4)
    0.1
    """

    def __call__(self, step):
        raise NotImplementedError(f"Learning rate schedule {type(self).__name__} must define `__call__(self, step)`.")


class _Schedule(LearningRateSchedule):
    """What the built-in schedules share: a float32 step goes into `rate`, a float32 learning rate comes out.

    Whole numbers of periods are counted with `//`, which is exact: compiled, floor(step / n) may round a multiple of n
    down to the period before.
    """

    def __call__(self, step):
        return jnp.asarray(self.rate(jnp.asarray(getattr(step, "raw", step), jnp.float32)), jnp.float32)


def _rates(owner: str, **values) -> list:
    """Numbers that must not be negative; a Variable or array of one number is read."""
    values = {name: float(value) if getattr(value, "shape", None) == () else value for name, value in values.items()}
    return [check.positive(name, value, owner, zero=True, kind=float) for name, value in values.items()]


class ExponentialDecay(_Schedule):
    """Falls by a fixed factor: rate = initial * decay_rate ^ (step / decay_steps).

    Args:
        initial_learning_rate: the rate at step 0.
        decay_steps: the number of steps, > 0, in which the rate falls by the factor once.
        decay_rate: the factor.
        staircase: whether the exponent is rounded down, so that the rate falls in stairs.
        name: a name.

    >>> round(float(ExponentialDecay(0.1, decay_steps=10, decay_rate=0.5)(20)), 6)
    0.025
    """

    def __init__(self, initial_learning_rate: float, decay_steps: int, decay_rate: float, staircase: bool = False,
                 name: str = "ExponentialDecay"):
        self.initial_learning_rate, self.decay_rate = _rates(
            "ExponentialDecay", initial_learning_rate=initial_learning_rate, decay_rate=decay_rate)
        self.decay_steps = check.positive("decay_steps", decay_steps, "ExponentialDecay", kind=float)
        self.staircase, self.name = staircase, name

    def rate(self, step):
        power = step // self.decay_steps if self.staircase else step / self.decay_steps
        return self.initial_learning_rate * self.decay_rate ** power


class InverseTimeDecay(_Schedule):
    """Falls as one over time: rate = initial / (1 + decay_rate * step / decay_steps).

    Args:
        initial_learning_rate: the rate at step 0.
        decay_steps: the number of steps, > 0, that count as one unit of time.
        decay_rate: how fast the rate falls.
        staircase: whether time is rounded down, so that the rate falls in stairs.
        name: a name.

    >>> round(float(InverseTimeDecay(0.1, decay_steps=10, decay_rate=1.0)(10)), 6)
    0.05
    """

    def __init__(self, initial_learning_rate: float, decay_steps: int, decay_rate: float, staircase: bool = False,
                 name: str = "InverseTimeDecay"):
        self.initial_learning_rate, self.decay_rate = _rates(
            "InverseTimeDecay", initial_learning_rate=initial_learning_rate, decay_rate=decay_rate)
        self.decay_steps = check.positive("decay_steps", decay_steps, "InverseTimeDecay", kind=float)
        self.staircase, self.name = staircase, name

    def rate(self, step):
        time = step // self.decay_steps if self.staircase else step / self.decay_steps
        return self.initial_learning_rate / (1 + self.decay_rate * time)


class PiecewiseConstantDecay(_Schedule):
    """Steps down (or up) at given boundaries: values[0] up to and with step boundaries[0], then values[1] ...

    Args:
        boundaries: increasing step numbers.
        values: one rate more than there are boundaries.
        name: a name.

    Raises ValueError when the numbers of boundaries and values do not fit, or the boundaries do not increase.

    >>> float(PiecewiseConstantDecay([100, 200], [1.0, 0.5, 0.25])(150))
    0.5
    """

    def __init__(self, boundaries: list, values: list, name: str = "PiecewiseConstant"):
        if len(boundaries) != len(values) - 1:
            raise ValueError("PiecewiseConstantDecay: there must be one value more than boundaries. Received: "
                             f"{len(boundaries)} boundaries and {len(values)} values.")
        if list(boundaries) != sorted(boundaries):
            raise ValueError(f"PiecewiseConstantDecay: the boundaries must increase. Received: {boundaries}")
        self.boundaries, self.values, self.name = boundaries, values, name

    def rate(self, step):
        passed = jnp.sum(step > jnp.asarray(self.boundaries, jnp.float32)).astype(jnp.int32)
        return jnp.asarray(self.values, jnp.float32)[passed]


class PolynomialDecay(_Schedule):
    """Falls to an end rate along a power of time: rate = (initial - end) * (1 - step / decay_steps) ^ power + end.

    Args:
        initial_learning_rate: the rate at step 0.
        decay_steps: the number of steps, > 0, after which the end is reached.
        end_learning_rate: the rate from then on.
        power: 1 for a straight line.
        cycle: whether to start anew from a higher rate, with the next multiple of `decay_steps` as the end.
        name: a name.

    >>> round(float(PolynomialDecay(0.1, decay_steps=10, end_learning_rate=0.0)(5)), 6)
    0.05
    """

    def __init__(self, initial_learning_rate: float, decay_steps: int, end_learning_rate: float = 0.0001,
                 power: float = 1.0, cycle: bool = False, name: str = "PolynomialDecay"):
        self.initial_learning_rate, self.end_learning_rate = _rates(
            "PolynomialDecay", initial_learning_rate=initial_learning_rate, end_learning_rate=end_learning_rate)
        self.decay_steps = check.positive("decay_steps", decay_steps, "PolynomialDecay", kind=float)
        self.power, self.cycle, self.name = power, cycle, name

    def rate(self, step):
        if self.cycle:
            end = self.decay_steps * jnp.maximum(-(-step // self.decay_steps), 1)
        else:
            end, step = self.decay_steps, jnp.minimum(step, self.decay_steps)
        fall = self.initial_learning_rate - self.end_learning_rate
        return fall * (1 - step / end) ** self.power + self.end_learning_rate


class CosineDecay(_Schedule):
    """Falls along half a cosine, after an optional linear warm-up.

    rate = top * ((1 - alpha) * (1 + cos(pi * step / decay_steps)) / 2 + alpha), with steps counted from the end of
    the warm-up; top is `warmup_target`, or the initial rate without one.

    Args:
        initial_learning_rate: the rate at step 0.
        decay_steps: the number of steps, > 0, of the fall.
        alpha: the last rate as a part of the top rate.
        name: a name.
        warmup_target: the rate at the end of the warm-up; None for no warm-up.
        warmup_steps: the number of steps of the warm-up.

    Source: Loshchilov and Hutter 2017, https://arxiv.org/abs/1608.03983

    >>> round(float(CosineDecay(0.1, decay_steps=10)(5)), 6)
    0.05
    """

    def __init__(self, initial_learning_rate: float, decay_steps: int, alpha: float = 0.0, name: str = "CosineDecay",
                 warmup_target: float | None = None, warmup_steps: int = 0):
        self.initial_learning_rate, self.alpha = _rates(
            "CosineDecay", initial_learning_rate=initial_learning_rate, alpha=alpha)
        self.decay_steps = check.positive("decay_steps", decay_steps, "CosineDecay", kind=float)
        self.warmup_target, self.warmup_steps, self.name = warmup_target, warmup_steps, name

    def rate(self, step):
        if self.warmup_target is None:
            return self._fall(self.initial_learning_rate, step)
        rise = (self.warmup_target - self.initial_learning_rate) * step / max(self.warmup_steps, 1)
        return jnp.where(step < self.warmup_steps, self.initial_learning_rate + rise,
                         self._fall(self.warmup_target, step - self.warmup_steps))

    def _fall(self, top, step):
        part = jnp.minimum(step, self.decay_steps) / self.decay_steps
        return top * ((1 - self.alpha) * 0.5 * (1 + jnp.cos(math.pi * part)) + self.alpha)


class CosineDecayRestarts(_Schedule):
    """Falls along half a cosine again and again, each period `t_mul` times as long and `m_mul` times as high.

    Args:
        initial_learning_rate: the rate at step 0.
        first_decay_steps: the number of steps, > 0, of the first period.
        t_mul: each period's length over that of the one before.
        m_mul: each period's top rate over that of the one before.
        alpha: the last rate of a period as a part of the initial rate.
        name: a name.

    Source: Loshchilov and Hutter 2017, https://arxiv.org/abs/1608.03983

    >>> round(float(CosineDecayRestarts(0.1, first_decay_steps=10)(10)), 6)
    0.1
    """

    def __init__(self, initial_learning_rate: float, first_decay_steps: int, t_mul: float = 2.0, m_mul: float = 1.0,
                 alpha: float = 0.0, name: str = "SGDRDecay"):
        self.initial_learning_rate, self.alpha = _rates(
            "CosineDecayRestarts", initial_learning_rate=initial_learning_rate, alpha=alpha)
        self.first_decay_steps = check.positive("first_decay_steps", first_decay_steps, "CosineDecayRestarts",
                                                kind=float)
        self.t_mul, self.m_mul, self.name = t_mul, m_mul, name

    def rate(self, step):
        done, q = step / self.first_decay_steps, self.t_mul
        if q == 1:
            period = step // self.first_decay_steps
            part = done - period
        else:  # the lengths are a geometric series: 1 + q + ... + q^(n-1) = (1 - q^n) / (1 - q)
            period = jnp.floor(jnp.log(1 - done * (1 - q)) / math.log(q) + 1e-5)  # a restart must not be rounded away
            part = jnp.maximum((done - (1 - q ** period) / (1 - q)) / q ** period, 0)
        fall = 0.5 * self.m_mul ** period * (1 + jnp.cos(math.pi * part))
        return self.initial_learning_rate * ((1 - self.alpha) * fall + self.alpha)


@frames.filtered
def serialize(learning_rate_schedule: LearningRateSchedule) -> dict:
    """The schedule as a dict, in Keras's form."""
    return registry.serialize(learning_rate_schedule)


@frames.filtered
def deserialize(config: dict, custom_objects: dict | None = None) -> LearningRateSchedule:
    """The schedule from the dict that `serialize` (or Keras's) wrote."""
    return registry.deserialize(config, custom_objects, "optimizers.schedules", "learning rate schedule")
