"""Losses between numbers: squared and absolute errors, their robust and relative kin, cosine similarity."""

import jax
import jax.numpy as jnp

from cornu import check
from cornu.config import epsilon
from cornu.losses.base import LossFunctionWrapper, pair, public
from cornu.ops.kit import unit, wide


@public
def mean_squared_error(y_true, y_pred):
    """mean((y_true - y_pred)^2) over the last axis.

    Args:
        y_true: targets of shape (batch, ..., d).
        y_pred: predictions of the same shape.

    Raises ValueError where the shapes differ.

    >>> print(mean_squared_error([[1.0, 3.0]], [[1.0, 1.0]]))
    [2.]
    """
    y_true, y_pred = pair(y_true, y_pred, "mean_squared_error")
    return jnp.mean(jnp.square(y_true - y_pred), axis=-1)


@public
def mean_absolute_error(y_true, y_pred):
    """mean(|y_true - y_pred|) over the last axis; the arguments are those of `mean_squared_error`.

    >>> print(mean_absolute_error([[1.0, 3.0]], [[1.0, 1.0]]))
    [1.]
    """
    y_true, y_pred = pair(y_true, y_pred, "mean_absolute_error")
    return jnp.mean(jnp.abs(y_true - y_pred), axis=-1)


@public
def mean_absolute_percentage_error(y_true, y_pred):
    """100 mean(|y_true - y_pred| / max(|y_true|, epsilon)) over the last axis; arguments as for `mean_squared_error`.

    >>> print(mean_absolute_percentage_error([[1.0, 4.0]], [[1.0, 2.0]]))
    [25.]
    """
    y_true, y_pred = pair(y_true, y_pred, "mean_absolute_percentage_error")
    return 100 * jnp.mean(jnp.abs((y_true - y_pred) / jnp.maximum(jnp.abs(y_true), epsilon())), axis=-1)


@public
def mean_squared_logarithmic_error(y_true, y_pred):
    """mean((log(1 + y_true) - log(1 + y_pred))^2) over the last axis, values below epsilon taken as epsilon.

    The arguments are those of `mean_squared_error`.

    >>> print(mean_squared_logarithmic_error([[0.0, 1.0]], [[0.0, 1.0]]))
    [0.]
    """
    y_true, y_pred = pair(y_true, y_pred, "mean_squared_logarithmic_error")
    first, second = (jnp.log1p(jnp.maximum(y, epsilon())) for y in (y_true, y_pred))
    return jnp.mean(jnp.square(first - second), axis=-1)


@public
def huber(y_true, y_pred, delta=1.0):
    """mean(e^2 / 2 where |e| <= delta, else delta |e| - delta^2 / 2) over the last axis, with e = y_true - y_pred.

    Args:
        y_true, y_pred: as for `mean_squared_error`.
        delta: where the parabola goes over into a line.

    Source: Huber, Robust Estimation of a Location Parameter, 1964.

    >>> print(huber([[0.0, 0.0]], [[1.0, 3.0]]))
    [1.5]
    """
    y_true, y_pred = pair(y_true, y_pred, "huber")
    error = jnp.abs(y_true - y_pred)
    return jnp.mean(jnp.where(error <= delta, 0.5 * jnp.square(error), delta * error - 0.5 * delta**2), axis=-1)


@public
def log_cosh(y_true, y_pred):
    """mean(log(cosh(y_pred - y_true))) over the last axis; arguments as for `mean_squared_error`.

    >>> print(log_cosh([[0.0, 2.0]], [[0.0, 2.0]]))
    [0.]
    """
    y_true, y_pred = pair(y_true, y_pred, "log_cosh")
    error = y_pred - y_true
    return jnp.mean(error + jax.nn.softplus(-2 * error) - jnp.log(2.0).astype(error.dtype), axis=-1)


def cosine(y_true, y_pred, axis=-1):
    """The cosine of the angle between targets and predictions along an axis."""
    y_true, y_pred = pair(y_true, y_pred, "cosine_similarity")
    product = wide(unit(y_true, axis, epsilon())) * wide(unit(y_pred, axis, epsilon()))
    return jnp.sum(product, axis=axis).astype(y_pred.dtype)


@public
def cosine_similarity(y_true, y_pred, axis=-1):
    """-cos(y_true, y_pred) along an axis: -1 for vectors of one direction, 0 for orthogonal ones (or a zero vector).

    Args:
        y_true, y_pred: as for `mean_squared_error`.
        axis: the axis of the vectors.

    >>> print(cosine_similarity([[2.0, 0.0]], [[1.0, 0.0]]))
    [-1.]
    """
    return -cosine(y_true, y_pred, axis)


class MeanSquaredError(LossFunctionWrapper):
    """mean((y_true - y_pred)^2): see `mean_squared_error`.

    Args:
        reduction, name, dtype: as for `Loss`.

    >>> print(MeanSquaredError()([[1.0], [3.0]], [[1.0], [1.0]]))
    2.0
    """

    def __init__(self, reduction: str | None = "sum_over_batch_size", name="mean_squared_error", dtype=None):
        super().__init__(mean_squared_error, reduction, name, dtype)


class MeanAbsoluteError(LossFunctionWrapper):
    """mean(|y_true - y_pred|): see `mean_absolute_error`.

    Args:
        reduction, name, dtype: as for `Loss`.

    >>> print(MeanAbsoluteError()([[1.0], [3.0]], [[1.0], [1.0]]))
    1.0
    """

    def __init__(self, reduction: str | None = "sum_over_batch_size", name="mean_absolute_error", dtype=None):
        super().__init__(mean_absolute_error, reduction, name, dtype)


class MeanAbsolutePercentageError(LossFunctionWrapper):
    """100 mean(|y_true - y_pred| / |y_true|): see `mean_absolute_percentage_error`.

    Args:
        reduction, name, dtype: as for `Loss`.

    >>> print(MeanAbsolutePercentageError()([[1.0], [4.0]], [[1.0], [2.0]]))
    25.0
    """

    def __init__(self, reduction: str | None = "sum_over_batch_size", name="mean_absolute_percentage_error",
                 dtype=None):
        super().__init__(mean_absolute_percentage_error, reduction, name, dtype)


class MeanSquaredLogarithmicError(LossFunctionWrapper):
    """mean((log(1 + y_true) - log(1 + y_pred))^2): see `mean_squared_logarithmic_error`.

    Args:
        reduction, name, dtype: as for `Loss`.

    >>> print(MeanSquaredLogarithmicError()([[1.0], [4.0]], [[1.0], [4.0]]))
    0.0
    """

    def __init__(self, reduction: str | None = "sum_over_batch_size", name="mean_squared_logarithmic_error",
                 dtype=None):
        super().__init__(mean_squared_logarithmic_error, reduction, name, dtype)


class Huber(LossFunctionWrapper):
    """A parabola within `delta` of the target and lines outside: see `huber`.

    Args:
        delta: where the parabola goes over into a line.
        reduction, name, dtype: as for `Loss`.

    Raises ValueError unless delta > 0.

    >>> print(Huber()([[0.0], [0.0]], [[1.0], [3.0]]))
    1.5
    """

    def __init__(self, delta: float = 1.0, reduction: str | None = "sum_over_batch_size", name="huber_loss",
                 dtype=None):
        check.positive("delta", delta, "Huber", kind=float)
        super().__init__(huber, reduction, name, dtype, delta=delta)


class LogCosh(LossFunctionWrapper):
    """mean(log(cosh(y_pred - y_true))): see `log_cosh`.

    Args:
        reduction, name, dtype: as for `Loss`.

    >>> print(LogCosh()([[0.0], [2.0]], [[0.0], [2.0]]))
    0.0
    """

    def __init__(self, reduction: str | None = "sum_over_batch_size", name="log_cosh", dtype=None):
        super().__init__(log_cosh, reduction, name, dtype)


class CosineSimilarity(LossFunctionWrapper):
    """-cos(y_true, y_pred): see `cosine_similarity`.

    Args:
        axis: the axis of the vectors.
        reduction, name, dtype: as for `Loss`.

    >>> print(CosineSimilarity()([[2.0, 0.0]], [[1.0, 0.0]]))
    -1.0
    """

    def __init__(self, axis: int = -1, reduction: str | None = "sum_over_batch_size", name="cosine_similarity",
                 dtype=None):
        super().__init__(cosine_similarity, reduction, name, dtype, axis=axis)
