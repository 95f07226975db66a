"""Muon: orthogonalized momentum for matrices, AdamW for all else."""

import re

import jax.numpy as jnp

from cornu import check
from cornu.optimizers.optimizer import Optimizer, with_options


class Muon(Optimizer):
    """Momentum made orthogonal: w' = w - rate * scale * U V^T, for the momentum's singular form U S V^T.

    U V^T is found by `ns_steps` of X' = a X + (b A + c A^2) X, A = X X^T (Newton and Schulz), from the momentum over
    its norm. scale = rms_rate * sqrt(max(rows, columns)), or sqrt(max(1, rows / columns)) for rms_rate None. Variables
    that are not matrices, embeddings and excluded ones are trained by AdamW.

    Args:
        learning_rate: a number, a LearningRateSchedule, or a function without arguments.
        adam_beta_1, adam_beta_2, adam_weight_decay, epsilon: AdamW's, for the other variables.
        weight_decay: that of the matrices.
        exclude_layers: regular expressions; variables whose paths they are found in go to AdamW.
        exclude_embeddings: whether variables with "embedding" in their paths go to AdamW.
        muon_a, muon_b, muon_c: the coefficients a, b, c.
        adam_lr_ratio: AdamW's learning rate over Muon's.
        momentum: decay of the momentum.
        ns_steps: how often the orthogonalizing step is done.
        nesterov: whether the momentum looks ahead.
        rms_rate: the root mean square of a step over the learning rate, or None.
        The others are those of `Optimizer`.

    Source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon; Liu et al. 2025 for rms_rate,
    https://arxiv.org/abs/2502.16982

    >>> Muon().momentum
    0.95
    """

    slots = ("momentum", "velocity")

    @with_options
    def __init__(self, learning_rate=0.001, adam_beta_1: float = 0.9, adam_beta_2: float = 0.999,
                 adam_weight_decay: float | None = 0.004, epsilon: float = 1e-7, weight_decay: float | None = 0.004,
                 exclude_layers: list | None = None, exclude_embeddings: bool = True, muon_a: float = 3.4445,
                 muon_b: float = -4.775, muon_c: float = 2.0315, adam_lr_ratio: float = 1, momentum: float = 0.95,
                 ns_steps: int = 5, nesterov: bool = True, rms_rate: float | None = 0.2, **options):
        self.adam_beta_1, self.adam_beta_2 = adam_beta_1, adam_beta_2
        self.adam_weight_decay, self.epsilon, self.adam_lr_ratio = adam_weight_decay, epsilon, adam_lr_ratio
        self.exclude_layers, self.exclude_embeddings = list(exclude_layers or ()), exclude_embeddings
        self.muon_a, self.muon_b, self.muon_c = muon_a, muon_b, muon_c
        self.momentum, self.nesterov, self.rms_rate = momentum, nesterov, rms_rate
        self.ns_steps = check.positive("ns_steps", ns_steps, "Muon")
        super().__init__(learning_rate, weight_decay=weight_decay, **options)

    def has_slot(self, name, variable):
        return name == "momentum" or self._by_adam(variable)

    def _by_adam(self, variable) -> bool:
        return (len(variable.shape) != 2 or self.exclude_embeddings and "embedding" in variable.path.lower()
                or any(re.search(pattern, variable.path) for pattern in self.exclude_layers))

    def _decay_of(self, variable):
        decay = super()._decay_of(variable)
        return self.adam_weight_decay if decay is not None and self._by_adam(variable) else decay

    def prepare(self, learning_rate, step):
        corrected = jnp.sqrt(1 - self.adam_beta_2 ** step) / (1 - self.adam_beta_1 ** step)
        return learning_rate, learning_rate * self.adam_lr_ratio * corrected

    def update(self, gradient, slots, learning_rate, step):
        m = slots["momentum"]
        if "velocity" in slots:
            m = m + (gradient - m) * (1 - self.adam_beta_1)
            v = slots["velocity"] + (jnp.square(gradient) - slots["velocity"]) * (1 - self.adam_beta_2)
            return step * m / (jnp.sqrt(v) + self.epsilon), {"momentum": m, "velocity": v}
        m = self.momentum * m + gradient
        descent = gradient + self.momentum * m if self.nesterov else m
        descent = self.lr_adjust(self.zeropower_via_newtonschulz5(descent, self.ns_steps))
        return learning_rate * descent, {"momentum": m}

    def lr_adjust(self, x):
        """A matrix (or several) times the scale of its shape."""
        rows, columns = x.shape[-2:]
        scale = max(1, rows / columns) ** 0.5 if self.rms_rate is None else self.rms_rate * max(rows, columns) ** 0.5
        return x * scale

    def transpose_last_axis(self, X):
        """A matrix (or several) turned over."""
        return jnp.asarray(X).mT

    def zeropower_via_newtonschulz5(self, x, steps: int):
        """The nearest orthogonal matrix, roughly; it is turned so that the products are of the smaller side."""
        turned = x.shape[-2] > x.shape[-1]
        x = x.mT if turned else x
        x = x / (jnp.linalg.norm(x, axis=(-2, -1), keepdims=True) + 1e-7)
        for _ in range(steps):
            a = x @ x.mT
            x = self.muon_a * x + (self.muon_b * a + self.muon_c * (a @ a)) @ x
        return x.mT if turned else x
