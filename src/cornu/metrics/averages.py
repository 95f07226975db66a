"""Losses, and correlations within samples, as metrics: their mean over all samples."""

import jax.numpy as jnp

from cornu import losses
from cornu.config import epsilon
from cornu.losses.base import pair
from cornu.losses.regression import cosine
from cornu.metrics.metric import MeanMetricWrapper, divide
from cornu.symbolic import op


def _moments(y_true, y_pred, axis, name: str) -> tuple:
    """The means, the variances and the covariance along an axis."""
    y_true, y_pred = pair(y_true, y_pred, name)
    mean_true, mean_pred = (jnp.mean(y, axis=axis, keepdims=True) for y in (y_true, y_pred))
    a, b = y_true - mean_true, y_pred - mean_pred
    gap = jnp.squeeze(mean_true - mean_pred, axis)
    return gap, jnp.mean(a * a, axis=axis), jnp.mean(b * b, axis=axis), jnp.mean(a * b, axis=axis)


@op
def pearson_correlation(y_true, y_pred, axis=-1):
    """cov(y_true, y_pred) / (std(y_true) std(y_pred)) along an axis; 0 where one of them is constant.

    Args:
        y_true: targets of shape (batch, ..., d).
        y_pred: predictions of the same shape.
        axis: the axis of the values that are correlated.

    Raises ValueError where the shapes differ.

    >>> print(pearson_correlation([[1.0, 2.0]], [[1.0, 3.0]]))
    [1.]
    """
    _, var_true, var_pred, covariance = _moments(y_true, y_pred, axis, "pearson_correlation")
    return divide(covariance, jnp.sqrt(var_true) * jnp.sqrt(var_pred))


@op
def concordance_correlation(y_true, y_pred, axis=-1):
    """2 cov / (var(y_true) + var(y_pred) + (mean(y_true) - mean(y_pred))^2 + epsilon) along an axis.

    Args:
        y_true, y_pred, axis: as for `pearson_correlation`.

    Raises ValueError where the shapes differ. Source: Lin, A concordance correlation coefficient, 1989.

    >>> print(concordance_correlation([[-1.0, 1.0]], [[1.0, -1.0]]).round(3))
    [-1.]
    """
    gap, var_true, var_pred, covariance = _moments(y_true, y_pred, axis, "concordance_correlation")
    return 2 * covariance / (var_true + var_pred + gap**2 + epsilon())


class MeanSquaredError(MeanMetricWrapper):
    """The mean of (y_true - y_pred)^2.

    Args:
        name, dtype: as for `Metric`.

    >>> print(MeanSquaredError()([[1.0], [3.0]], [[1.0], [1.0]]))
    2.0
    """

    def __init__(self, name: str | None = "mean_squared_error", dtype=None):
        super().__init__(losses.mean_squared_error, name, dtype)


class RootMeanSquaredError(MeanMetricWrapper):
    """The square root of the mean of (y_true - y_pred)^2.

    Args:
        name, dtype: as for `Metric`.

    >>> print(RootMeanSquaredError()([[1.0], [3.0]], [[1.0], [3.0]]))
    0.0
    """

    def __init__(self, name: str | None = "root_mean_squared_error", dtype=None):
        super().__init__(_squared_error, name, dtype)

    def result(self):
        return jnp.sqrt(super().result())


def _squared_error(y_true, y_pred):
    """Of every value, so that each may have a weight of its own."""
    y_true, y_pred = pair(y_true, y_pred, "root_mean_squared_error")
    return jnp.square(y_true - y_pred)


class MeanAbsoluteError(MeanMetricWrapper):
    """The mean of |y_true - y_pred|.

    Args:
        name, dtype: as for `Metric`.

    >>> print(MeanAbsoluteError()([[1.0], [3.0]], [[1.0], [1.0]]))
    1.0
    """

    def __init__(self, name: str | None = "mean_absolute_error", dtype=None):
        super().__init__(losses.mean_absolute_error, name, dtype)


class MeanAbsolutePercentageError(MeanMetricWrapper):
    """The mean of 100 |y_true - y_pred| / |y_true|.

    Args:
        name, dtype: as for `Metric`.

    >>> print(MeanAbsolutePercentageError()([[1.0], [4.0]], [[1.0], [2.0]]))
    25.0
    """

    def __init__(self, name: str | None = "mean_absolute_percentage_error", dtype=None):
        super().__init__(losses.mean_absolute_percentage_error, name, dtype)


class MeanSquaredLogarithmicError(MeanMetricWrapper):
    """The mean of (log(1 + y_true) - log(1 + y_pred))^2.

    Args:
        name, dtype: as for `Metric`.

    >>> print(MeanSquaredLogarithmicError()([[1.0]], [[1.0]]))
    0.0
    """

    def __init__(self, name: str | None = "mean_squared_logarithmic_error", dtype=None):
        super().__init__(losses.mean_squared_logarithmic_error, name, dtype)


class LogCoshError(MeanMetricWrapper):
    """The mean of log(cosh(y_pred - y_true)).

    Args:
        name, dtype: as for `Metric`.

    >>> print(LogCoshError()([[1.0]], [[1.0]]))
    0.0
    """

    def __init__(self, name: str | None = "logcosh", dtype=None):
        super().__init__(losses.log_cosh, name, dtype)


class CosineSimilarity(MeanMetricWrapper):
    """The mean cosine of the angle between targets and predictions: 1 for one direction (the loss has the other sign).

    Args:
        name, dtype: as for `Metric`.
        axis: the axis of the vectors.

    >>> print(CosineSimilarity()([[2.0, 0.0]], [[1.0, 0.0]]))
    1.0
    """

    def __init__(self, name: str | None = "cosine_similarity", dtype=None, axis: int = -1):
        super().__init__(cosine, name, dtype, axis=axis)


class PearsonCorrelation(MeanMetricWrapper):
    """The mean over samples of the correlation of targets and predictions: see `pearson_correlation`.

    Args:
        name, dtype: as for `Metric`.
        axis: the axis of the values that are correlated.

    >>> print(PearsonCorrelation()([[1.0, 2.0]], [[1.0, 3.0]]))
    1.0
    """

    def __init__(self, name: str | None = "pearson_correlation", dtype=None, axis: int = -1):
        super().__init__(pearson_correlation, name, dtype, axis=axis)


class ConcordanceCorrelation(MeanMetricWrapper):
    """The mean over samples of the agreement of targets and predictions: see `concordance_correlation`.

    Args:
        name, dtype: as for `Metric`.
        axis: the axis of the values that are compared.

    >>> print(ConcordanceCorrelation()([[-1.0, 1.0]], [[1.0, -1.0]]).round(3))
    -1.0
    """

    def __init__(self, name: str | None = "concordance_correlation", dtype=None, axis: int = -1):
        super().__init__(concordance_correlation, name, dtype, axis=axis)


class BinaryCrossentropy(MeanMetricWrapper):
    """The mean of -t log(p) - (1 - t) log(1 - p).

    Args:
        name, dtype: as for `Metric`.
        from_logits, label_smoothing: as for `losses.binary_crossentropy`.

    >>> print(BinaryCrossentropy()([[1.0], [0.0]], [[0.5], [0.5]]))
    0.6931472
    """

    def __init__(self, name: str | None = "binary_crossentropy", dtype=None, from_logits: bool = False,
                 label_smoothing: float = 0):
        super().__init__(losses.binary_crossentropy, name, dtype, from_logits=from_logits,
                         label_smoothing=label_smoothing)


class CategoricalCrossentropy(MeanMetricWrapper):
    """The mean of -sum(t log(p)) for one-hot targets.

    Args:
        name, dtype: as for `Metric`.
        from_logits, label_smoothing, axis: as for `losses.categorical_crossentropy`.

    >>> print(CategoricalCrossentropy()([[0.0, 1.0]], [[0.5, 0.5]]))
    0.6931472
    """

    def __init__(self, name: str | None = "categorical_crossentropy", dtype=None, from_logits: bool = False,
                 label_smoothing: float = 0, axis: int = -1):
        super().__init__(losses.categorical_crossentropy, name, dtype, from_logits=from_logits,
                         label_smoothing=label_smoothing, axis=axis)


class SparseCategoricalCrossentropy(MeanMetricWrapper):
    """The mean of -log(p[t]) for class numbers t.

    Args:
        name, dtype: as for `Metric`.
        from_logits, ignore_class, axis: as for `losses.sparse_categorical_crossentropy`.

    >>> print(SparseCategoricalCrossentropy()([1], [[0.5, 0.5]]))
    0.6931472
    """

    def __init__(self, name: str | None = "sparse_categorical_crossentropy", dtype=None, from_logits: bool = False,
                 ignore_class: int | None = None, axis: int = -1):
        super().__init__(losses.sparse_categorical_crossentropy, name, dtype, from_logits=from_logits,
                         ignore_class=ignore_class, axis=axis)


class KLDivergence(MeanMetricWrapper):
    """The mean of sum(y_true log(y_true / y_pred)).

    Args:
        name, dtype: as for `Metric`.

    >>> print(KLDivergence()([[0.5, 0.5]], [[0.5, 0.5]]))
    0.0
    """

    def __init__(self, name: str | None = "kl_divergence", dtype=None):
        super().__init__(losses.kl_divergence, name, dtype)


class Poisson(MeanMetricWrapper):
    """The mean of y_pred - y_true log(y_pred).

    Args:
        name, dtype: as for `Metric`.

    >>> print(Poisson()([[0.0]], [[2.0]]))
    2.0
    """

    def __init__(self, name: str | None = "poisson", dtype=None):
        super().__init__(losses.poisson, name, dtype)


class Hinge(MeanMetricWrapper):
    """The mean of max(1 - y_true y_pred, 0).

    Args:
        name, dtype: as for `Metric`.

    >>> print(Hinge()([[-1.0], [1.0]], [[0.5], [0.5]]))
    1.0
    """

    def __init__(self, name: str | None = "hinge", dtype=None):
        super().__init__(losses.hinge, name, dtype)


class SquaredHinge(MeanMetricWrapper):
    """The mean of max(1 - y_true y_pred, 0)^2.

    Args:
        name, dtype: as for `Metric`.

    >>> print(SquaredHinge()([[-1.0], [1.0]], [[0.5], [0.5]]))
    1.25
    """

    def __init__(self, name: str | None = "squared_hinge", dtype=None):
        super().__init__(losses.squared_hinge, name, dtype)


class CategoricalHinge(MeanMetricWrapper):
    """The mean of max(0, 1 + max((1 - y_true) y_pred) - sum(y_true y_pred)).

    Args:
        name, dtype: as for `Metric`.

    >>> print(CategoricalHinge()([[0.0, 1.0]], [[0.5, 1.0]]))
    0.5
    """

    def __init__(self, name: str | None = "categorical_hinge", dtype=None):
        super().__init__(losses.categorical_hinge, name, dtype)
