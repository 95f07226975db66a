"""Rules of first order: gradient descent with momentum, and its sign."""

import jax.numpy as jnp

from cornu import check
from cornu.optimizers.optimizer import Optimizer, with_options


class SGD(Optimizer):
    """Gradient descent, with momentum m: m' = momentum * m - rate * g, and w' = w + m'.

    Nesterov's form moves to w' = w + momentum * m' - rate * g; without momentum, w' = w - rate * g.

    Args:
        learning_rate: a number, a LearningRateSchedule, or a function without arguments.
        momentum: between 0 and 1.
        nesterov: whether to use Nesterov's form.
        The others are those of `Optimizer`.

    Source: Sutskever et al. 2013, http://proceedings.mlr.press/v28/sutskever13.html

    >>> from cornu import Variable
    >>> w = Variable([1.0])
    >>> SGD(learning_rate=0.5).apply([jnp.array([1.0])], [w])
    >>> w.numpy()
    array([0.5], dtype=float32)
    """

    @with_options
    def __init__(self, learning_rate=0.01, momentum: float = 0.0, nesterov: bool = False, **options):
        self.momentum = check.between("momentum", momentum, 0, 1, "SGD")
        self.nesterov = nesterov
        super().__init__(learning_rate, **options)

    @property
    def slots(self):
        return ("momentum",) if self.momentum else ()

    @property
    def leaves_rows_alone(self):
        return not self.momentum

    def update(self, gradient, slots, learning_rate, step):
        descent = learning_rate * gradient
        if not self.momentum:
            return descent, {}
        momentum = self.momentum * slots["momentum"] - descent
        delta = descent - self.momentum * momentum if self.nesterov else -momentum
        return delta, {"momentum": momentum}


class Lion(Optimizer):
    """The sign of an average: w' = w - rate * sign(beta_1 * m + (1 - beta_1) * g).

    Then the average moves: m' = beta_2 * m + (1 - beta_2) * g.

    Args:
        learning_rate: a number, a LearningRateSchedule, or a function without arguments; 3 to 10 times smaller than
            for AdamW, since every step is as long as the rate.
        beta_1: weight of the average in the step.
        beta_2: decay of the average.
        The others are those of `Optimizer`.

    Raises ValueError for a beta_1 outside (0, 1].

    Source: Chen et al. 2023, https://arxiv.org/abs/2302.06675

    >>> from cornu import Variable
    >>> w = Variable([1.0])
    >>> Lion(learning_rate=0.25).apply([jnp.array([0.01])], [w])
    >>> w.numpy()
    array([0.75], dtype=float32)
    """

    slots = ("momentum",)
    averages_may_stand = True  # with beta_1 = 1 the step is the average's sign alone

    @with_options
    def __init__(self, learning_rate=0.001, beta_1: float = 0.9, beta_2: float = 0.99, **options):
        check.positive("beta_1", check.between("beta_1", beta_1, 0, 1, "Lion"), "Lion", kind=float)
        self.beta_1, self.beta_2 = beta_1, beta_2
        super().__init__(learning_rate, **options)

    def update(self, gradient, slots, learning_rate, step):
        m = slots["momentum"]
        delta = learning_rate * jnp.sign(m * self.beta_1 + gradient * (1 - self.beta_1))
        return delta, {"momentum": m * self.beta_2 + gradient * (1 - self.beta_2)}
