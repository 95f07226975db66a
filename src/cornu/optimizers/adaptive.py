"""Rules with a rate for each weight, from the squares of past gradients: Adagrad and what grew from it."""

import jax.numpy as jnp

from cornu import check
from cornu.optimizers.optimizer import Optimizer, with_options


class Adagrad(Optimizer):
    """w' = w - rate * g / sqrt(a + epsilon), with the sum of squares a' = a + g^2.

    Args:
        learning_rate: a number, a LearningRateSchedule, or a function without arguments.
        initial_accumulator_value: the sum at the start, >= 0.
        epsilon: keeps the quotient finite.
        The others are those of `Optimizer`.

    Source: Duchi et al. 2011, https://jmlr.org/papers/v12/duchi11a.html

    >>> Adagrad().initial_accumulator_value
    0.1
    """

    slots = ("accumulator",)
    leaves_rows_alone = True

    @with_options
    def __init__(self, learning_rate=0.001, initial_accumulator_value: float = 0.1, epsilon: float = 1e-7, **options):
        self.initial_accumulator_value, self.epsilon = initial_accumulator_value, epsilon
        super().__init__(learning_rate, **options)

    def slot_value(self, name, value):
        return jnp.full_like(value, self.initial_accumulator_value)

    def update(self, gradient, slots, learning_rate, step):
        total = slots["accumulator"] + jnp.square(gradient)
        return learning_rate * gradient / jnp.sqrt(total + self.epsilon), {"accumulator": total}


class Adadelta(Optimizer):
    """w' = w - rate * g * sqrt(d + epsilon) / sqrt(a + epsilon), with averages a of g^2 and d of squared steps.

    a' = rho * a + (1 - rho) * g^2, and d' = rho * d + (1 - rho) * s^2, where s is the step before the rate.

    Args:
        learning_rate: a number, a LearningRateSchedule, or a function without arguments; 1.0 is the paper's.
        rho: decay of both averages.
        epsilon: keeps the quotient finite.
        The others are those of `Optimizer`.

    Source: Zeiler 2012, https://arxiv.org/abs/1212.5701

    >>> Adadelta(learning_rate=1.0).rho
    0.95
    """

    slots = ("accumulated_grad", "accumulated_delta_var")

    @with_options
    def __init__(self, learning_rate=0.001, rho: float = 0.95, epsilon: float = 1e-7, **options):
        self.rho, self.epsilon = rho, epsilon
        super().__init__(learning_rate, **options)

    def update(self, gradient, slots, learning_rate, step):
        rho, deltas = self.rho, slots["accumulated_delta_var"]
        squares = rho * slots["accumulated_grad"] + (1 - rho) * jnp.square(gradient)
        delta = jnp.sqrt(deltas + self.epsilon) / jnp.sqrt(squares + self.epsilon) * gradient
        deltas = rho * deltas + (1 - rho) * jnp.square(delta)
        return learning_rate * delta, {"accumulated_grad": squares, "accumulated_delta_var": deltas}

    def update_step(self, grad, variable, learning_rate):
        """Update one variable and its slots: that of `Optimizer`, with Keras's name for the gradient."""
        super().update_step(grad, variable, learning_rate)

    update_step.by_rule = True


class RMSprop(Optimizer):
    """w' = w - rate * g / sqrt(v + epsilon), with the moving average v' = rho * v + (1 - rho) * g^2.

    Centered, the square of the gradient's own moving average is taken off v. With momentum, steps are added up:
    m' = momentum * m + step.

    Args:
        learning_rate: a number, a LearningRateSchedule, or a function without arguments.
        rho: decay of the averages.
        momentum: how much of the last step is kept.
        epsilon: keeps the quotient finite.
        centered: whether to divide by the spread of the gradients rather than by their size.
        The others are those of `Optimizer`.

    Source: Hinton 2012, http://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf

    >>> RMSprop(momentum=0.9).slots
    (('velocity',), ('momentum',))
    """

    @with_options
    def __init__(self, learning_rate=0.001, rho: float = 0.9, momentum: float = 0.0, epsilon: float = 1e-7,
                 centered: bool = False, **options):
        self.rho, self.momentum, self.epsilon, self.centered = rho, momentum, epsilon, centered
        super().__init__(learning_rate, **options)

    @property
    def slots(self):
        wanted = (("velocity", True), ("momentum", self.momentum > 0), ("average_gradient", self.centered))
        return tuple((name,) for name, want in wanted if want)

    def update(self, gradient, slots, learning_rate, step):
        rho, new = self.rho, {}
        v = new["velocity"] = rho * slots["velocity"] + (1 - rho) * jnp.square(gradient)
        if self.centered:
            new["average_gradient"] = rho * slots["average_gradient"] + (1 - rho) * gradient
            v = v - jnp.square(new["average_gradient"])
        delta = learning_rate * gradient / jnp.sqrt(v + self.epsilon)
        if self.momentum > 0:
            delta = new["momentum"] = self.momentum * slots["momentum"] + delta
        return delta, new


class Ftrl(Optimizer):
    """Follow the regularized leader: the weights that are best for all past gradients under L1 and L2 penalties.

    With p = -learning_rate_power and the sum of squares n' = n + g^2:
    z' = z + g - (n'^p - n^p) / rate * w; w' = 0 where |z'| <= l1, else
    w' = (sign(z') * l1 - z') / ((beta + n'^p) / rate + 2 * l2).
    Shrinkage adds 2 * l2_shrinkage * w to the gradient in z alone.

    Args:
        learning_rate: a number, a LearningRateSchedule, or a function without arguments.
        learning_rate_power: <= 0; 0 for a fixed rate.
        initial_accumulator_value: the sum n at the start, >= 0.
        l1_regularization_strength: l1, >= 0.
        l2_regularization_strength: l2, >= 0.
        l2_shrinkage_regularization_strength: l2_shrinkage, >= 0; only active weights are shrunk.
        beta: of the paper; 0 otherwise.
        The others are those of `Optimizer`.

    Raises ValueError for a strength, accumulator value or power of the wrong sign.

    Source: McMahan et al. 2013, https://research.google/pubs/pub41159

    >>> Ftrl().learning_rate_power
    -0.5
    """

    slots = ("accumulator", "linear")

    @with_options
    def __init__(self, learning_rate=0.001, learning_rate_power: float = -0.5, initial_accumulator_value: float = 0.1,
                 l1_regularization_strength: float = 0.0, l2_regularization_strength: float = 0.0,
                 l2_shrinkage_regularization_strength: float = 0.0, beta: float = 0.0, **options):
        if learning_rate_power > 0:
            raise ValueError(f"Ftrl: learning_rate_power must be <= 0. Received: {learning_rate_power}")
        self.learning_rate_power, self.beta = learning_rate_power, beta
        for name, value in (("initial_accumulator_value", initial_accumulator_value),
                            ("l1_regularization_strength", l1_regularization_strength),
                            ("l2_regularization_strength", l2_regularization_strength),
                            ("l2_shrinkage_regularization_strength", l2_shrinkage_regularization_strength)):
            setattr(self, name, check.positive(name, value, "Ftrl", zero=True, kind=float))
        super().__init__(learning_rate, **options)

    def slot_value(self, name, value):
        return jnp.full_like(value, self.initial_accumulator_value if name == "accumulator" else 0)

    def update(self, gradient, slots, learning_rate, step):
        value, total, power = slots["value"], slots["accumulator"], -self.learning_rate_power
        l1, l2 = self.l1_regularization_strength, self.l2_regularization_strength + self.beta / (2 * learning_rate)
        new_total = total + jnp.square(gradient)
        shrunk = gradient + 2 * self.l2_shrinkage_regularization_strength * value
        linear = slots["linear"] + shrunk - (new_total ** power - total ** power) / learning_rate * value
        new = (jnp.clip(linear, -l1, l1) - linear) / (new_total ** power / learning_rate + 2 * l2)
        return None, {"value": new, "accumulator": new_total, "linear": linear}


class Adafactor(Optimizer):
    """Adam without averages of the gradient, and with the squares of a matrix kept as sums over rows and columns.

    rate_t = min(rate, 1 / sqrt(t)) if relative_step, times max(epsilon_2, RMS(w)); the step g / sqrt(v) is divided by
    max(1, RMS(step) / clip_threshold); v decays by 1 - t^beta_2_decay, and for a matrix is the outer product of its
    row means and column means over its mean.

    Args:
        learning_rate: a number, a LearningRateSchedule, or a function without arguments.
        beta_2_decay: exponent of the decay, < 0.
        epsilon_1: is added to squares.
        epsilon_2: the least scale of a weight.
        clip_threshold: the largest RMS of a step before the rate.
        relative_step: whether the rate also falls as 1 / sqrt(t).
        The others are those of `Optimizer`.

    Source: Shazeer and Stern 2018, https://arxiv.org/abs/1804.04235

    >>> Adafactor().beta_2_decay
    -0.8
    """

    # Keras keeps the full velocity of matrices too, although nothing reads it; its files hold it, so this does too.
    slots = ("row", "column", "velocity")

    @with_options
    def __init__(self, learning_rate=0.001, beta_2_decay: float = -0.8, epsilon_1: float = 1e-30,
                 epsilon_2: float = 0.001, clip_threshold: float = 1.0, relative_step: bool = True, **options):
        self.beta_2_decay, self.epsilon_1, self.epsilon_2 = beta_2_decay, epsilon_1, epsilon_2
        self.clip_threshold, self.relative_step = clip_threshold, relative_step
        super().__init__(learning_rate, **options)

    def slot_value(self, name, value):
        if name == "velocity":
            return super().slot_value(name, value)
        if value.ndim < 2:
            return jnp.zeros((), "int32")  # Keras's placeholder
        # Sums lie on the devices where the weight does; of a weight of no numbers there may be no first row to take.
        return jnp.zeros_like(value[..., :1].sum(-1) if name == "row" else value[..., :1, :].sum(-2))

    def prepare(self, learning_rate, step):
        rate = jnp.minimum(learning_rate, 1 / jnp.sqrt(step)) if self.relative_step else learning_rate
        return rate, 1 - step ** self.beta_2_decay

    def update(self, gradient, slots, learning_rate, step):
        value, keep = slots["value"], step
        squares = jnp.square(gradient) + self.epsilon_1
        if gradient.ndim >= 2:
            row = keep * slots["row"] + (1 - keep) * squares.mean(-1)
            column = keep * slots["column"] + (1 - keep) * squares.mean(-2)
            v = (row / row.mean(-1, keepdims=True))[..., None] * column[..., None, :]
        else:
            row, column = slots["row"], slots["column"]
            v = keep * slots["velocity"] + (1 - keep) * squares
        new = {"row": row, "column": column, "velocity": v}
        delta = gradient / jnp.sqrt(v)
        delta = delta / jnp.maximum(1.0, _rms(delta) / self.clip_threshold)
        return learning_rate * jnp.maximum(self.epsilon_2, _rms(value)) * delta, new


def _rms(x):
    return jnp.sqrt(jnp.mean(jnp.square(x)))
