"""Adam and its kin: moving averages of the gradient and of its square."""

import jax.numpy as jnp

from cornu import check
from cornu.optimizers.optimizer import Optimizer, with_options


class Adam(Optimizer):
    """w' = w - a * m / (sqrt(v) + epsilon), with moving averages m of g and v of g^2.

    m' = beta_1 * m + (1 - beta_1) * g; v' = beta_2 * v + (1 - beta_2) * g^2; at step t the rate is corrected for the
    start from zero, a = rate * sqrt(1 - beta_2^t) / (1 - beta_1^t).

    Args:
        learning_rate: a number, a LearningRateSchedule, or a function without arguments.
        beta_1: decay of the average of gradients.
        beta_2: decay of the average of squares.
        epsilon: keeps the quotient finite ("epsilon hat" of the paper).
        amsgrad: whether to divide by the largest v so far.
        The others are those of `Optimizer`.

    Source: Kingma and Ba 2015, https://arxiv.org/abs/1412.6980; Reddi et al. 2018 for amsgrad,
    https://openreview.net/forum?id=ryQu7f-RZ

    >>> from cornu import Variable
    >>> w = Variable([1.0])
    >>> Adam(learning_rate=0.5).apply([jnp.array([1.0])], [w])
    >>> round(float(w.numpy()[0]), 3)
    0.5
    """

    @with_options
    def __init__(self, learning_rate=0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7,
                 amsgrad: bool = False, **options):
        self.beta_1, self.beta_2, self.epsilon, self.amsgrad = beta_1, beta_2, epsilon, amsgrad
        super().__init__(learning_rate, **options)

    @property
    def slots(self):
        return (("momentum", "velocity"), ("velocity_hat",)) if self.amsgrad else ("momentum", "velocity")

    def prepare(self, learning_rate, step):
        return learning_rate * jnp.sqrt(1 - self.beta_2 ** step) / (1 - self.beta_1 ** step), step

    def update(self, gradient, slots, learning_rate, step):
        m = slots["momentum"] + (gradient - slots["momentum"]) * (1 - self.beta_1)
        v = slots["velocity"] + (jnp.square(gradient) - slots["velocity"]) * (1 - self.beta_2)
        new, root = {"momentum": m, "velocity": v}, v
        if self.amsgrad:
            root = new["velocity_hat"] = jnp.maximum(slots["velocity_hat"], v)
        return learning_rate * m / (jnp.sqrt(root) + self.epsilon), new


class AdamW(Adam):
    """Adam with weight decay apart from the gradient: w is first multiplied by 1 - rate * weight_decay.

    Args:
        learning_rate: a number, a LearningRateSchedule, or a function without arguments.
        weight_decay: the part of a weight that is taken off at every step, times the learning rate.
        beta_1, beta_2, epsilon, amsgrad: as in `Adam`.
        The others are those of `Optimizer`.

    Raises ValueError when weight_decay is None.

    Source: Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101

    >>> AdamW().weight_decay
    0.004
    """

    @with_options
    def __init__(self, learning_rate=0.001, weight_decay: float = 0.004, beta_1: float = 0.9, beta_2: float = 0.999,
                 epsilon: float = 1e-7, amsgrad: bool = False, **options):
        if weight_decay is None:
            raise ValueError("AdamW: weight_decay must be a number. Use Adam for training without weight decay.")
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay=weight_decay, **options)


class Adamax(Optimizer):
    """Adam with the largest gradient in place of the squares: w' = w - rate / (1 - beta_1^t) * m / (u + epsilon).

    m' = beta_1 * m + (1 - beta_1) * g; u' = max(beta_2 * u, |g|).

    Args:
        learning_rate: a number, a LearningRateSchedule, or a function without arguments.
        beta_1: decay of the average of gradients.
        beta_2: decay of the largest gradient.
        epsilon: keeps the quotient finite.
        The others are those of `Optimizer`.

    Source: Kingma and Ba 2015, section 7, https://arxiv.org/abs/1412.6980

    >>> Adamax().beta_2
    0.999
    """

    slots = ("momentum", "norm")

    @with_options
    def __init__(self, learning_rate=0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7,
                 **options):
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon
        super().__init__(learning_rate, **options)

    def prepare(self, learning_rate, step):
        return learning_rate / (1 - self.beta_1 ** step), step

    def update(self, gradient, slots, learning_rate, step):
        m = slots["momentum"] + (gradient - slots["momentum"]) * (1 - self.beta_1)
        u = jnp.maximum(self.beta_2 * slots["norm"], jnp.abs(gradient))
        return learning_rate * m / (u + self.epsilon), {"momentum": m, "norm": u}


class Nadam(Optimizer):
    """Adam with Nesterov's look ahead.

    With b_t = beta_1 * (1 - 0.96^t / 2) and the product p_t of all b up to t, the step is rate * n / (sqrt(v_hat) +
    epsilon), n = b_{t+1} * m / (1 - p_{t+1}) + (1 - b_t) * g / (1 - p_t), v_hat = v / (1 - beta_2^t); m and v as in
    Adam.

    Args:
        learning_rate: a number, a LearningRateSchedule, or a function without arguments.
        beta_1: decay of the average of gradients.
        beta_2: decay of the average of squares.
        epsilon: keeps the quotient finite.
        The others are those of `Optimizer`.

    Source: Dozat 2016, https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ

    >>> Nadam().beta_1
    0.9
    """

    slots = ("momentum", "velocity")

    @with_options
    def __init__(self, learning_rate=0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7,
                 **options):
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon
        super().__init__(learning_rate, **options)

    def _make_state(self, variables):
        super()._make_state(variables)
        self._product = self.add_variable((), jnp.ones, "float32", name="product")

    def prepare(self, learning_rate, step):
        now, ahead = (self.beta_1 * (1 - 0.5 * 0.96 ** t) for t in (step, step + 1))
        product = self._product.raw * now
        self._product.assign(product)
        factors = ahead / (1 - product * ahead), (1 - now) / (1 - product), 1 - self.beta_2 ** step
        return learning_rate, factors

    def update(self, gradient, slots, learning_rate, step):
        of_momentum, of_gradient, of_velocity = step
        beta_1, beta_2 = (gradient.dtype.type(b) for b in (self.beta_1, self.beta_2))  # rounded, as Keras has them
        m = beta_1 * slots["momentum"] + (1 - beta_1) * gradient
        v = beta_2 * slots["velocity"] + (1 - beta_2) * jnp.square(gradient)
        descent = of_momentum * m + of_gradient * gradient
        return learning_rate * descent / (jnp.sqrt(v / of_velocity) + self.epsilon), {"momentum": m, "velocity": v}


class Lamb(Optimizer):
    """Adam's step, in each variable scaled to the norm of the weights: w' = w - rate * |w| / |s| * s.

    s = m_hat / (sqrt(v_hat) + epsilon), with m_hat = m / (1 - beta_1^t) and v_hat = v / (1 - beta_2^t); the quotient of
    norms is 1 where one of them is 0.

    Args:
        learning_rate: a number, a LearningRateSchedule, or a function without arguments.
        beta_1: decay of the average of gradients.
        beta_2: decay of the average of squares.
        epsilon: keeps the quotient finite.
        The others are those of `Optimizer`.

    Source: You et al. 2020, https://arxiv.org/abs/1904.00962

    >>> Lamb().slots
    ('momentum', 'velocity')
    """

    slots = ("momentum", "velocity")

    @with_options
    def __init__(self, learning_rate=0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7,
                 **options):
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon
        super().__init__(learning_rate, **options)

    def prepare(self, learning_rate, step):
        return learning_rate, (1 - self.beta_1 ** step, 1 - self.beta_2 ** step)

    def update(self, gradient, slots, learning_rate, step):
        m = slots["momentum"] + (gradient - slots["momentum"]) * (1 - self.beta_1)
        v = slots["velocity"] + (jnp.square(gradient) - slots["velocity"]) * (1 - self.beta_2)
        descent = m / step[0] / (jnp.sqrt(v / step[1]) + self.epsilon)
        weight_norm, norm = (jnp.sqrt(jnp.sum(jnp.square(x))) for x in (slots["value"], descent))
        trust = jnp.where((weight_norm > 0) & (norm > 0), weight_norm / jnp.where(norm > 0, norm, 1), 1.0)
        return learning_rate * trust * descent, {"momentum": m, "velocity": v}


class ScheduleFreeAdamW(Optimizer):
    """AdamW that needs no schedule: gradients are taken between the fast weights z and their running mean x.

    z' = z - rate * g / (sqrt(v_hat) + epsilon); x' = x + (z' - x) / t; the model holds (1 - beta_1) * z' + beta_1 * x'.

    Args:
        learning_rate: a number, a LearningRateSchedule, or a function without arguments.
        beta_1: how near to the mean gradients are taken.
        beta_2: decay of the average of squares.
        epsilon: keeps the quotient finite.
        warmup_steps: the number of steps in which the rate rises from 0.
        The others are those of `Optimizer`.

    Source: Defazio et al. 2024, https://arxiv.org/abs/2405.15682

    >>> ScheduleFreeAdamW().warmup_steps
    0
    """

    slots = ("momentum", "velocity")  # z is kept under Keras's name for it

    @with_options
    def __init__(self, learning_rate=0.0025, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8,
                 warmup_steps: int = 0, **options):
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon
        self.warmup_steps = check.positive("warmup_steps", warmup_steps, "ScheduleFreeAdamW", zero=True)
        super().__init__(learning_rate, **options)

    def slot_value(self, name, value):
        return jnp.array(value, copy=True) if name == "momentum" else jnp.zeros_like(value)

    def prepare(self, learning_rate, step):
        warm = jnp.minimum(step / self.warmup_steps, 1.0) if self.warmup_steps else 1.0
        return learning_rate * warm, (1 / step, 1 - self.beta_2 ** step)

    def update(self, gradient, slots, learning_rate, step):
        (part, correction), z = step, slots["momentum"]
        b, beta_2 = (gradient.dtype.type(b) for b in (self.beta_1, self.beta_2))  # rounded, as Keras has them
        v = beta_2 * slots["velocity"] + (1 - beta_2) * jnp.square(gradient)
        new_z = z - learning_rate * gradient / (jnp.sqrt(v / correction) + self.epsilon)
        mean = slots["value"] - (1 - b) * z  # beta_1 * x, since only w and z are kept
        value = (1 - b) * new_z + (1 - part) * mean + part * b * new_z
        return None, {"value": value, "momentum": new_z, "velocity": v}
