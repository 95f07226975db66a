"""How often predictions are right: exact, thresholded, by the largest value, among the k largest."""

import jax.numpy as jnp

from cornu import check
from cornu.losses.base import pair
from cornu.lowering import is_largest
from cornu.metrics.metric import MeanMetricWrapper
from cornu.ops.kit import inexact, tensor
from cornu.symbolic import op


def accuracy(y_true, y_pred):
    """1 where y_true = y_pred, else 0, value by value."""
    y_true, y_pred = pair(y_true, y_pred, "accuracy")
    return (y_true == y_pred).astype(y_pred.dtype)


@op
def binary_accuracy(y_true, y_pred, threshold=0.5):
    """1 where (y_pred > threshold) = y_true, else 0, value by value.

    Args:
        y_true: 0 or 1, of shape (batch, ..., d).
        y_pred: probabilities of the same shape.
        threshold: above it a prediction means 1. For logits: 0.

    Raises ValueError where the shapes differ.

    >>> print(binary_accuracy([[1.0, 0.0]], [[0.7, 0.6]]))
    [[1. 0.]]
    """
    y_true, y_pred = pair(y_true, y_pred, "binary_accuracy")
    return ((y_pred > threshold) == y_true).astype(y_pred.dtype)


@op
def categorical_accuracy(y_true, y_pred):
    """1 where argmax(y_true) = argmax(y_pred) over the last axis, else 0.

    Args:
        y_true: one-hot targets of shape (batch, ..., classes).
        y_pred: probabilities or logits of the same shape.

    Raises ValueError where the shapes differ.

    >>> print(categorical_accuracy([[0.0, 1.0]], [[0.4, 0.6]]))
    [1.]
    """
    y_true, y_pred = pair(y_true, y_pred, "categorical_accuracy")
    return is_largest(y_pred, jnp.argmax(y_true, axis=-1)).astype(y_pred.dtype)


def _labels(y_true, y_pred, name: str):
    """Class numbers of the shape of `y_pred` without its last axis."""
    labels = y_true[..., 0] if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1 else y_true
    if labels.shape != y_pred.shape[:-1]:
        hint = " For one class a sample, put a Flatten or a pooling layer in front of the last Dense."
        raise ValueError(f"{name}: class numbers of shape {tuple(y_true.shape)} do not fit y_pred of shape "
                         f"{tuple(y_pred.shape)}. Pass y_true of shape {tuple(y_pred.shape[:-1])}."
                         + hint * (y_true.ndim == 1 and y_pred.ndim > 2))
    return labels


@op
def sparse_categorical_accuracy(y_true, y_pred):
    """1 where argmax(y_pred) over the last axis is y_true, else 0.

    Args:
        y_true: class numbers of shape (batch, ...) or (batch, ..., 1).
        y_pred: probabilities or logits of shape (batch, ..., classes).

    Raises ValueError where the shapes do not fit.

    >>> print(sparse_categorical_accuracy([1, 0], [[0.4, 0.6], [0.3, 0.7]]))
    [1. 0.]
    """
    y_true, y_pred = tensor(y_true), inexact(y_pred)
    labels = _labels(y_true, y_pred, "sparse_categorical_accuracy")
    return is_largest(y_pred, labels).astype(y_pred.dtype)


@op
def top_k_categorical_accuracy(y_true, y_pred, k=5):
    """1 where the class of y_true is among the k largest of y_pred over the last axis, else 0.

    Args:
        y_true: one-hot targets of shape (batch, ..., classes).
        y_pred: probabilities or logits of the same shape.
        k: how many of the largest count. Ties at the edge count as among them.

    Raises ValueError where the shapes differ.

    >>> print(top_k_categorical_accuracy([[0.0, 1.0, 0.0]], [[0.5, 0.3, 0.2]], k=2))
    [1.]
    """
    y_true, y_pred = pair(y_true, y_pred, "top_k_categorical_accuracy")
    return sparse_top_k_categorical_accuracy(jnp.argmax(y_true, axis=-1), y_pred, k=k)


@op
def sparse_top_k_categorical_accuracy(y_true, y_pred, k=5, from_sorted_ids=False):
    """1 where the class y_true is among the k largest of y_pred over the last axis, else 0.

    Args:
        y_true: class numbers of shape (batch, ...) or (batch, ..., 1).
        y_pred: probabilities or logits of shape (batch, ..., classes); or class numbers, best first.
        k: how many of the largest count. Ties at the edge count as among them.
        from_sorted_ids: whether `y_pred` holds class numbers.

    Raises ValueError where the shapes do not fit.

    >>> print(sparse_top_k_categorical_accuracy([1, 2], [[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]], k=2))
    [1. 0.]
    """
    y_true, y_pred = tensor(y_true), tensor(y_pred)
    labels = _labels(y_true, y_pred, "sparse_top_k_categorical_accuracy").astype("int32")[..., None]
    if from_sorted_ids:
        return jnp.any(y_pred[..., :k] == labels, axis=-1).astype(inexact(y_pred).dtype)
    y_pred = inexact(y_pred)
    known = (labels >= 0) & (labels < y_pred.shape[-1])
    own = jnp.take_along_axis(y_pred, jnp.where(known, labels, 0), axis=-1)
    found = known[..., 0] & (jnp.sum(y_pred > own, axis=-1) < k) & ~jnp.isnan(own[..., 0])
    return found.astype(y_pred.dtype)


class Accuracy(MeanMetricWrapper):
    """How often y_pred equals y_true exactly (for class numbers; probabilities need one of the others).

    Args:
        name, dtype: as for `Metric`.

    >>> print(Accuracy()([1, 2], [1, 3]))
    0.5
    """

    def __init__(self, name: str | None = "accuracy", dtype=None):
        super().__init__(accuracy, name, dtype)


class BinaryAccuracy(MeanMetricWrapper):
    """How often y_pred lies on the right side of a threshold: see `binary_accuracy`.

    Args:
        name, dtype: as for `Metric`.
        threshold: above it a prediction means 1. For logits: 0.

    Raises ValueError for a threshold of None.

    >>> print(BinaryAccuracy()([[1.0], [0.0]], [[0.7], [0.6]]))
    0.5
    """

    def __init__(self, name: str | None = "binary_accuracy", dtype=None, threshold: float = 0.5):
        if threshold is None:
            raise ValueError("BinaryAccuracy: argument `threshold` must be a number. Received: None")
        super().__init__(binary_accuracy, name, dtype, threshold=threshold)


class CategoricalAccuracy(MeanMetricWrapper):
    """How often the largest prediction is the right one, for one-hot targets: see `categorical_accuracy`.

    Args:
        name, dtype: as for `Metric`.

    >>> print(CategoricalAccuracy()([[0.0, 1.0]], [[0.4, 0.6]]))
    1.0
    """

    def __init__(self, name: str | None = "categorical_accuracy", dtype=None):
        super().__init__(categorical_accuracy, name, dtype)


class SparseCategoricalAccuracy(MeanMetricWrapper):
    """How often the largest prediction is the right one, for class numbers: see `sparse_categorical_accuracy`.

    Args:
        name, dtype: as for `Metric`.

    >>> print(SparseCategoricalAccuracy()([1, 0], [[0.4, 0.6], [0.3, 0.7]]))
    0.5
    """

    def __init__(self, name: str | None = "sparse_categorical_accuracy", dtype=None):
        super().__init__(sparse_categorical_accuracy, name, dtype)


class TopKCategoricalAccuracy(MeanMetricWrapper):
    """How often the class is among the k largest predictions, for one-hot targets: see `top_k_categorical_accuracy`.

    Args:
        k: how many of the largest count.
        name, dtype: as for `Metric`.

    >>> print(TopKCategoricalAccuracy(k=2)([[0.0, 1.0, 0.0]], [[0.5, 0.3, 0.2]]))
    1.0
    """

    def __init__(self, k: int = 5, name: str | None = "top_k_categorical_accuracy", dtype=None):
        check.positive("k", k, "TopKCategoricalAccuracy")
        super().__init__(top_k_categorical_accuracy, name, dtype, k=k)


class SparseTopKCategoricalAccuracy(MeanMetricWrapper):
    """How often the class is among the k largest predictions: see `sparse_top_k_categorical_accuracy`.

    Args:
        k: how many of the largest count.
        name, dtype: as for `Metric`.
        from_sorted_ids: whether predictions are class numbers, best first.

    >>> print(SparseTopKCategoricalAccuracy(k=2)([1, 2], [[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]]))
    0.5
    """

    def __init__(self, k: int = 5, name: str | None = "sparse_top_k_categorical_accuracy", dtype=None,
                 from_sorted_ids: bool = False):
        check.positive("k", k, "SparseTopKCategoricalAccuracy")
        super().__init__(sparse_top_k_categorical_accuracy, name, dtype, k=k, from_sorted_ids=from_sorted_ids)
