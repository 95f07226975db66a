"""Adam and its kin: moving averages of the gradient and of its square."""

import jax.numpy as jnp

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
