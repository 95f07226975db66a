"""F scores, and R2."""

import jax
import jax.numpy as jnp

from cornu import check
from cornu.losses.base import mask_of, pair
from cornu.metrics.confusion import _Counting, prepare
from cornu.metrics.metric import Metric, divide, weigh
from cornu.ops.kit import tensor

AVERAGES = (None, "micro", "macro", "weighted")


class FBetaScore(_Counting):
    """(1 + beta^2) precision recall / (beta^2 precision + recall), for each class or averaged; 0 where undefined.

    Args:
        average: None (a vector of one value for each class), "micro" (over all counts), "macro" (the mean of the
            classes), "weighted" (their mean weighted by how often each occurs).
        beta: how many times as much recall counts as precision.
        threshold: None (the class of the largest prediction; 0.5 for a single class), or above which value a prediction
            means 1, for several labels at once.
        name, dtype: as for `Metric`.

    Targets are one-hot or 0 and 1 for each class, or class numbers.
    Raises ValueError for arguments outside their range.

    >>> print(FBetaScore(average="macro", beta=2.0)([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]]))
    1.0
    """

    def __init__(self, average: str | None = None, beta: float = 1.0, threshold: float | None = None,
                 name: str | None = "fbeta_score", dtype=None):
        super().__init__(dtype, name)
        owner = type(self).__name__
        self.average = check.one_of("average", average, AVERAGES, owner)
        self.beta = check.positive("beta", beta, owner, kind=float)
        if threshold is not None and not (isinstance(threshold, (int, float)) and 0 < threshold <= 1):
            raise ValueError(f"{owner}: argument `threshold` must lie in (0, 1], or be None. Received: {threshold!r}")
        self.threshold = threshold
        self._built = False

    def build(self, y_true_shape: tuple, y_pred_shape: tuple) -> None:
        if not self._built:
            classes = y_pred_shape[-1] if len(y_pred_shape) > 1 else 1
            self._add_counts(("true_positives", "false_positives", "false_negatives"), (classes,))
            self._built = True

    def update_state(self, y_true, y_pred, sample_weight=None) -> None:
        """Take in a batch of targets and probabilities, over classes in the last axis."""
        y_true, y_pred, weights = prepare(self, y_true, y_pred, sample_weight)
        self.build(y_true.shape, y_pred.shape)
        classes = self.true_positives.shape[0]
        if y_pred.ndim > 1 and y_pred.shape[-1] != classes:
            raise ValueError(f"{type(self).__name__} {self.name!r} saw {classes} classes before, and is given "
                             f"predictions of shape {tuple(y_pred.shape)}.")
        y_true, y_pred = y_true.reshape(-1, classes), y_pred.reshape(-1, classes)
        if self.threshold is None and classes > 1:
            chosen = jax.nn.one_hot(jnp.argmax(y_pred, axis=-1), classes, dtype=y_true.dtype)
        else:
            chosen = (y_pred > (0.5 if self.threshold is None else self.threshold)).astype(y_true.dtype)
        weights = 1 if weights is None else weights.reshape(-1, classes)
        self._take({"true_positives": jnp.sum(y_true * chosen * weights, axis=0),
                    "false_positives": jnp.sum((1 - y_true) * chosen * weights, axis=0),
                    "false_negatives": jnp.sum(y_true * (1 - chosen) * weights, axis=0)})

    def result(self):
        if not self._built:
            return jnp.zeros(() if self.average else (0,), self.dtype)
        hits, false_alarms, misses = (getattr(self, n).raw for n in
                                      ("true_positives", "false_positives", "false_negatives"))
        if self.average == "micro":
            hits, false_alarms, misses = jnp.sum(hits), jnp.sum(false_alarms), jnp.sum(misses)
        scores = divide((1 + self.beta**2) * hits, (1 + self.beta**2) * hits + self.beta**2 * misses + false_alarms)
        if self.average == "macro":
            return jnp.mean(scores)
        if self.average == "weighted":
            return divide(jnp.sum(scores * (hits + misses)), jnp.sum(hits + misses))
        return scores


class F1Score(FBetaScore):
    """2 precision recall / (precision + recall), for each class or averaged: `FBetaScore` with beta = 1.

    Args:
        average, threshold, name, dtype: as for `FBetaScore`.

    >>> print(F1Score()([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]]))
    [1. 1.]
    """

    def __init__(self, average: str | None = None, threshold: float | None = None, name: str | None = "f1_score",
                 dtype=None):
        super().__init__(average, 1.0, threshold, name, dtype)


class R2Score(Metric):
    """1 - sum((y_true - y_pred)^2) / sum((y_true - mean(y_true))^2), the share of the variance that is explained.

    Where the targets are constant it is 1 if the predictions are exact, else 0.

    Args:
        class_aggregation: "uniform_average" or "variance_weighted_average" over the last axis, or None (a vector).
        num_regressors: p > 0 gives the adjusted score 1 - (1 - R2) (n - 1) / (n - p - 1), where n > p + 1.
        name, dtype: as for `Metric`.

    Raises ValueError for arguments outside their range.

    >>> print(R2Score()([[1.0], [2.0], [3.0]], [[1.0], [2.0], [4.0]]))
    0.5
    """

    def __init__(self, class_aggregation: str | None = "uniform_average", num_regressors: int = 0,
                 name: str | None = "r2_score", dtype=None):
        super().__init__(dtype, name)
        self.class_aggregation = check.one_of(
            "class_aggregation", class_aggregation, (None, "uniform_average", "variance_weighted_average"), "R2Score")
        self.num_regressors = check.positive("num_regressors", num_regressors, "R2Score", zero=True)
        self.num_samples = self.add_weight(name="num_samples")
        self._built = False

    def build(self, y_true_shape: tuple, y_pred_shape: tuple) -> None:
        if not self._built:
            shape = (y_pred_shape[-1] if len(y_pred_shape) > 1 else 1,)
            for name in ("weight", "mean", "spread", "residual"):
                setattr(self, f"_{name}", self.add_variable(shape, name=name))
            self._built = True

    def update_state(self, y_true, y_pred, sample_weight=None) -> None:
        """Take in a batch of shape (batch, ..., d), or (batch,)."""
        mask = mask_of(y_pred)
        y_true, y_pred = pair(y_true, tensor(y_pred, self.num_samples.dtype), type(self).__name__)
        self.build(y_true.shape, y_pred.shape)
        classes = self._mean.shape[0]
        counted, weights = (weigh(y_true.shape, y_true.dtype, w, mask) for w in (None, sample_weight))
        weights = jnp.ones_like(y_true) if weights is None else weights
        y_true, y_pred, weights = (x.reshape(-1, classes) for x in (y_true, y_pred, weights))
        self.num_samples.assign_add(len(y_true) if counted is None else jnp.sum(counted) / classes)
        # The sums of squares of two sets are joined by their means: E[y^2] - E[y]^2 would lose all digits of large y.
        weight, old = jnp.sum(weights, axis=0), self._weight.raw
        mean = divide(jnp.sum(weights * y_true, axis=0), weight)
        gap, total = mean - self._mean.raw, weight + old
        spread = jnp.sum(weights * jnp.square(y_true - mean), axis=0)
        self._spread.assign_add(spread + divide(gap**2 * weight * old, total))
        self._mean.assign_add(divide(gap * weight, total))
        self._weight.assign_add(weight)
        self._residual.assign_add(jnp.sum(weights * jnp.square(y_true - y_pred), axis=0))

    def result(self):
        if not self._built:
            return jnp.zeros(() if self.class_aggregation else (1,), self.dtype)
        spread, residual = self._spread.raw, self._residual.raw
        score = jnp.where(spread == 0, jnp.where(residual == 0, 1.0, 0.0), 1 - divide(residual, spread))
        if self.class_aggregation == "uniform_average":
            score = jnp.mean(score)
        elif self.class_aggregation == "variance_weighted_average":
            score = jnp.where(jnp.sum(spread) == 0, jnp.mean(score), divide(jnp.sum(score * spread), jnp.sum(spread)))
        if not self.num_regressors:
            return score
        samples, rest = self.num_samples.raw, self.num_samples.raw - self.num_regressors - 1
        return jnp.where(rest > 0, 1 - (1 - score) * divide(samples - 1, rest), score)
