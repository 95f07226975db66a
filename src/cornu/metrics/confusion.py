"""Metrics from counts of true and false positives and negatives over thresholds."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from cornu import check
from cornu.config import epsilon
from cornu.losses.base import check_labels, mask_of, same_rank
from cornu.metrics.metric import PART, Metric, divide, weigh
from cornu.ops.kit import tensor
from cornu.variable import room_for

COUNTS = ("true_positives", "false_positives", "true_negatives", "false_negatives")
_FEW = 8  # up to so many thresholds, comparing each is cheaper than a histogram


# Counting --------------------------------------------------------------------------------------------------------


def one_hot_targets(y_true, y_pred):
    """Class numbers (batch, ...) or (batch, ..., 1) as one-hot codes where predictions are over several classes.

    Raises ValueError where the shapes do not fit.
    """
    classes = y_pred.shape[-1] if y_pred.ndim else 1
    labels = y_true[..., 0] if y_true.ndim == y_pred.ndim > 1 and y_true.shape[-1] == 1 else y_true
    if classes > 1 and y_pred.ndim > 1 and labels.shape == y_pred.shape[:-1]:
        if not isinstance(labels, jax.core.Tracer):
            check_labels(np.maximum(labels, 0), classes)  # -1 may stand for what is masked
        return jax.nn.one_hot(labels.astype("int32"), classes, dtype=y_pred.dtype), y_pred
    y_true, y_pred = same_rank(y_true, y_pred)
    if y_true.shape != y_pred.shape:
        raise ValueError(f"Targets of shape {tuple(y_true.shape)} do not fit predictions of shape "
                         f"{tuple(y_pred.shape)}. Pass targets of that shape (0 and 1), or class numbers "
                         "without the last axis.")
    return y_true, y_pred


def prepare(metric, y_true, y_pred, sample_weight, top_k=None, class_id=None) -> tuple:
    """Targets as 0 and 1, predictions as floats of the same shape, and weights (or None), mask included."""
    mask, dtype = mask_of(y_pred), "float64" if metric.dtype == "float64" else "float32"
    y_true, y_pred = one_hot_targets(tensor(y_true), tensor(y_pred, dtype))
    if metric.activation is not None:
        y_pred = metric.activation(y_pred)
    elif metric.needs_probabilities and not isinstance(y_pred, jax.core.Tracer):
        _refuse_logits(metric, y_pred)
    classes = y_pred.shape[-1] if y_pred.ndim else 1
    if class_id is not None and y_pred.ndim < 2:
        raise ValueError(f"{type(metric).__name__} {metric.name!r}: class_id={class_id} needs predictions of shape (samples, "
                         f"classes). Received predictions of shape {tuple(y_pred.shape)}.")
    if (top_k or 0) > classes or class_id is not None and not -classes <= class_id < classes:
        raise ValueError(f"{type(metric).__name__} {metric.name!r}: top_k={top_k} and class_id={class_id} do not fit "
                         f"predictions over {classes} classes, of shape {tuple(y_pred.shape)}.")
    if top_k is not None:
        chosen = jax.nn.one_hot(jax.lax.top_k(y_pred, top_k)[1], classes).sum(-2)  # of equal ones the first
        y_pred = jnp.where(chosen > 0, y_pred, -jnp.inf)
    weights = weigh(y_pred.shape, dtype, sample_weight, mask)
    if class_id is not None:
        y_true, y_pred = y_true[..., class_id], y_pred[..., class_id]
        weights = None if weights is None else weights[..., class_id]
    return (y_true != 0).astype(dtype), y_pred, weights


def _refuse_logits(metric, y_pred) -> None:
    outside = np.asarray((y_pred < -1e-3) | (y_pred > 1 + 1e-3))
    if outside.any():
        raise ValueError(f"{type(metric).__name__} {metric.name!r} takes probabilities from 0 to 1. Received: "
                         f"{np.asarray(y_pred)[outside][0]}. Pass logits through a sigmoid or softmax first"
                         f"{', or set from_logits=True' if hasattr(metric, 'from_logits') else ''}.")


def count(y_true, y_pred, weights, thresholds) -> dict:
    """The four counts over the first axis, of shape (thresholds, ...); a prediction above a threshold means 1.

    Args:
        y_true: 0 and 1, of shape (n, ...).
        y_pred: of the same shape.
        weights: None, or of the same shape.
        thresholds: a NumPy vector.
    """
    right = y_true if weights is None else y_true * weights
    wrong = 1 - y_true if weights is None else (1 - y_true) * weights
    if len(thresholds) <= _FEW:
        above = y_pred[None] > jnp.asarray(thresholds, y_pred.dtype).reshape((-1,) + (1,) * y_pred.ndim)
        hits, false_alarms = (jnp.sum(jnp.where(above, w[None], 0), axis=1) for w in (right, wrong))
    else:
        hits, false_alarms = _histograms(y_pred, right, wrong, thresholds)
    return {"true_positives": hits, "false_positives": false_alarms,
            "false_negatives": jnp.sum(right, axis=0)[None] - hits,
            "true_negatives": jnp.sum(wrong, axis=0)[None] - false_alarms}


def _histograms(y_pred, right, wrong, thresholds):
    """The weight above each threshold: weights are collected by bucket, and summed from the top."""
    order = np.argsort(thresholds, kind="stable")
    columns = [x.reshape(len(x), math.prod(x.shape[1:])) for x in (y_pred, right, wrong)]
    bucket = jnp.searchsorted(jnp.asarray(thresholds[order], y_pred.dtype), columns[0])  # how many thresholds lie below
    which, part = jnp.arange(columns[0].shape[1])[None], jnp.arange(len(y_pred))[:, None] // PART
    both = jnp.zeros((2, -(-len(y_pred) // PART) or 1, len(thresholds) + 1, columns[0].shape[1]), y_pred.dtype)
    both = jnp.sum(both.at[:, part, bucket, which].add(jnp.stack(columns[1:])), axis=1)
    above = jnp.cumsum(both[:, ::-1], axis=1)[:, ::-1][:, 1:][:, np.argsort(order)]
    return above.reshape((2, len(thresholds), *y_pred.shape[1:]))


def check_thresholds(thresholds, default, owner: str) -> np.ndarray:
    """The thresholds as a vector. Raises ValueError outside [0, 1]."""
    values = np.atleast_1d(np.asarray(default if thresholds is None else thresholds, dtype="float64"))
    if thresholds is not None and not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"{owner}: thresholds lie between 0 and 1. Received: {thresholds!r}")
    return values


class _Counting(Metric):
    """Base: keeps some of the four counts."""

    activation = None  # set where predictions are known to be logits
    needs_probabilities = False  # whether values outside [0, 1] make no sense

    def _add_counts(self, names, shape) -> None:
        for name in names:
            setattr(self, name, self.add_variable(shape, name=name))

    def _take(self, counts: dict) -> None:
        for name in COUNTS:
            if name in self.__dict__:
                getattr(self, name).assign_add(counts[name])

    def _count(self, y_true, y_pred, sample_weight, thresholds, top_k=None, class_id=None) -> dict:
        y_true, y_pred, weights = prepare(self, y_true, y_pred, sample_weight, top_k, class_id)
        weights = None if weights is None else weights.reshape(-1)
        return count(y_true.reshape(-1), y_pred.reshape(-1), weights, thresholds)


# One count -------------------------------------------------------------------------------------------------------


class _OneCount(_Counting):
    def __init__(self, thresholds=None, name: str | None = None, dtype=None):
        super().__init__(dtype, name)
        self._thresholds_told = thresholds
        self.thresholds = check_thresholds(thresholds, 0.5, type(self).__name__).tolist()
        self.accumulator = self.add_variable((len(self.thresholds),), name="accumulator")

    def update_state(self, y_true, y_pred, sample_weight=None) -> None:
        """Take in a batch of targets (0 and 1, or class numbers) and probabilities."""
        counts = self._count(y_true, y_pred, sample_weight, np.asarray(self.thresholds))
        self.accumulator.assign_add(counts[self._kind])

    def result(self):
        return self.accumulator.raw[0] if len(self.thresholds) == 1 else self.accumulator.raw

    def _config_value(self, name: str):
        return self._thresholds_told if name == "thresholds" else super()._config_value(name)


class TruePositives(_OneCount):
    """How many are 1 and predicted above the threshold.

    Args:
        thresholds: a number in [0, 1] or a list (then the result is a vector); 0.5 if None.
        name, dtype: as for `Metric`.

    >>> print(TruePositives()([0, 1, 1], [0.9, 0.8, 0.1]))
    1.0
    """

    _kind = "true_positives"


class FalsePositives(_OneCount):
    """How many are 0 and predicted above the threshold; the arguments are those of `TruePositives`.

    >>> print(FalsePositives()([0, 1, 1], [0.9, 0.8, 0.1]))
    1.0
    """

    _kind = "false_positives"


class TrueNegatives(_OneCount):
    """How many are 0 and not predicted above the threshold; the arguments are those of `TruePositives`.

    >>> print(TrueNegatives()([0, 1, 1], [0.9, 0.8, 0.1]))
    0.0
    """

    _kind = "true_negatives"


class FalseNegatives(_OneCount):
    """How many are 1 and not predicted above the threshold; the arguments are those of `TruePositives`.

    >>> print(FalseNegatives()([0, 1, 1], [0.9, 0.8, 0.1]))
    1.0
    """

    _kind = "false_negatives"


# Precision, recall -----------------------------------------------------------------------------------------------


class _Ratio(_Counting):
    """Base of precision and recall: true positives over themselves and one kind of error."""

    def __init__(self, thresholds=None, top_k: int | None = None, class_id: int | None = None, name: str | None = None,
                 dtype=None):
        super().__init__(dtype, name)
        owner = type(self).__name__
        self._thresholds_told, self.top_k, self.class_id = thresholds, top_k, class_id
        if top_k is not None:
            check.positive("top_k", top_k, owner)
        self.thresholds = check_thresholds(thresholds, 0.5 if top_k is None else -1e10, owner).tolist()
        self._add_counts(("true_positives", self._error), (len(self.thresholds),))

    def update_state(self, y_true, y_pred, sample_weight=None) -> None:
        """Take in a batch of targets (0 and 1, or class numbers) and probabilities."""
        self._take(self._count(y_true, y_pred, sample_weight, np.asarray(self.thresholds), self.top_k, self.class_id))

    def result(self):
        hits = self.true_positives.raw
        value = divide(hits, hits + getattr(self, self._error).raw)
        return value[0] if len(self.thresholds) == 1 else value

    def _config_value(self, name: str):
        return self._thresholds_told if name == "thresholds" else super()._config_value(name)


class Precision(_Ratio):
    """TP / (TP + FP): how many of the predicted positives are right; 0 where nothing is predicted.

    Over several classes all entries count alike (the micro average); class numbers as targets are made one-hot.

    Args:
        thresholds: a number in [0, 1] or a list (then the result is a vector); 0.5 if None.
        top_k: None, or how many of a sample's largest predictions are taken; the thresholds then apply only if given.
        class_id: None, or the one class that counts.
        name, dtype: as for `Metric`.

    Raises ValueError for thresholds outside [0, 1].

    >>> print(Precision()([0, 1, 1], [0.9, 0.8, 0.1]))
    0.5
    """

    _error = "false_positives"


class Recall(_Ratio):
    """TP / (TP + FN): how many of the positives are found; 0 where there are none.

    Args:
        thresholds, top_k, class_id, name, dtype: as for `Precision`.

    Raises ValueError for thresholds outside [0, 1].

    >>> print(Recall()([0, 1, 1], [0.9, 0.8, 0.1]))
    0.5
    """

    _error = "false_negatives"


# One at a given other --------------------------------------------------------------------------------------------


def even_thresholds(number: int) -> np.ndarray:
    """So many thresholds from just below 0 to just above 1, evenly spaced."""
    room_for("A metric of many thresholds", 4, number)
    inner = np.arange(1, number - 1) / max(number - 1, 1)
    return np.array([-epsilon(), *inner, 1 + epsilon()])


class _Constrained(_Counting):
    """Base: the largest value of one rate at thresholds where another is at least a given value."""

    needs_probabilities = True

    def __init__(self, value, num_thresholds: int = 200, class_id: int | None = None, name: str | None = None,
                 dtype=None):
        super().__init__(dtype, name)
        check.between(self._given, value, 0, 1, type(self).__name__)
        setattr(self, self._given, value)
        self.num_thresholds = check.positive("num_thresholds", num_thresholds, type(self).__name__)
        self.class_id = class_id
        self._thresholds = np.array([0.5]) if num_thresholds == 1 else even_thresholds(num_thresholds)
        self.thresholds = self._thresholds.tolist()
        self._add_counts(COUNTS, (num_thresholds,))

    def update_state(self, y_true, y_pred, sample_weight=None) -> None:
        """Take in a batch of targets (0 and 1, or class numbers) and probabilities."""
        self._take(self._count(y_true, y_pred, sample_weight, self._thresholds, class_id=self.class_id))

    def _rate(self, name: str):
        hits, false_alarms, rejects, misses = (getattr(self, n).raw for n in COUNTS)
        if name == "specificity":
            return divide(rejects, rejects + false_alarms)
        return divide(hits, hits + (false_alarms if name == "precision" else misses))

    def result(self):
        feasible = self._rate(self._given) >= getattr(self, self._given)
        return jnp.max(jnp.where(feasible, self._rate(self._wanted), 0))


class SensitivityAtSpecificity(_Constrained):
    """The largest sensitivity TP / (TP + FN) at a threshold where the specificity TN / (TN + FP) is high enough.

    Args:
        specificity: in [0, 1], what it must be at least.
        num_thresholds: how many thresholds in [0, 1] are tried.
        class_id: None, or the one class that counts.
        name, dtype: as for `Metric`.

    Raises ValueError for numbers outside their range.

    >>> print(SensitivityAtSpecificity(0.5)([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.8]))
    1.0
    """

    _given, _wanted = "specificity", "sensitivity"

    def __init__(self, specificity: float, num_thresholds: int = 200, class_id: int | None = None,
                 name: str | None = None, dtype=None):
        super().__init__(specificity, num_thresholds, class_id, name, dtype)


class SpecificityAtSensitivity(_Constrained):
    """The largest specificity TN / (TN + FP) at a threshold where the sensitivity TP / (TP + FN) is high enough.

    Args:
        sensitivity: in [0, 1], what it must be at least.
        num_thresholds, class_id, name, dtype: as for `SensitivityAtSpecificity`.

    >>> print(SpecificityAtSensitivity(1.0)([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.8]))
    0.5
    """

    _given, _wanted = "sensitivity", "specificity"

    def __init__(self, sensitivity: float, num_thresholds: int = 200, class_id: int | None = None,
                 name: str | None = None, dtype=None):
        super().__init__(sensitivity, num_thresholds, class_id, name, dtype)


class PrecisionAtRecall(_Constrained):
    """The largest precision TP / (TP + FP) at a threshold where the recall TP / (TP + FN) is high enough.

    Args:
        recall: in [0, 1], what it must be at least.
        num_thresholds, class_id, name, dtype: as for `SensitivityAtSpecificity`.

    >>> print(PrecisionAtRecall(0.5)([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.8]))
    1.0
    """

    _given, _wanted = "recall", "precision"

    def __init__(self, recall: float, num_thresholds: int = 200, class_id: int | None = None, name: str | None = None,
                 dtype=None):
        super().__init__(recall, num_thresholds, class_id, name, dtype)


class RecallAtPrecision(_Constrained):
    """The largest recall TP / (TP + FN) at a threshold where the precision TP / (TP + FP) is high enough.

    Args:
        precision: in [0, 1], what it must be at least.
        num_thresholds, class_id, name, dtype: as for `SensitivityAtSpecificity`.

    >>> print(RecallAtPrecision(1.0)([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.8]))
    0.5
    """

    _given, _wanted = "precision", "recall"

    def __init__(self, precision: float, num_thresholds: int = 200, class_id: int | None = None,
                 name: str | None = None, dtype=None):
        super().__init__(precision, num_thresholds, class_id, name, dtype)
