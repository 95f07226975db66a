"""The area under the curves of rates over thresholds."""

import jax
import jax.numpy as jnp
import numpy as np

from cornu import check
from cornu.config import epsilon
from cornu.metrics.confusion import COUNTS, _Counting, count, even_thresholds, prepare
from cornu.metrics.metric import divide

CURVES = ("ROC", "PR", "PRGAIN")
SUMMATIONS = ("interpolation", "minoring", "majoring")


class AUC(_Counting):
    """The area under a curve that a threshold draws: recall over fall-out (ROC) or precision over recall (PR).

    The curve has as many points as there are thresholds, and what lies between them is interpolated.

    Args:
        num_thresholds: how many thresholds in [0, 1], at least 2.
        curve: "ROC", "PR", or "PRGAIN" (precision and recall gain).
        summation_method: "interpolation" (trapezoids; for PR the interpolation of Davis and Goadrich), or "minoring" or
            "majoring" (the lower or the higher end of each piece: a bound from below or above).
        name, dtype: as for `Metric`.
        thresholds: None, or thresholds in [0, 1] in the place of evenly spaced ones.
        multi_label: whether the areas of the labels (the last axis) are computed apart and averaged.
        num_labels: with `multi_label`, how many labels; taken from the first batch if None.
        label_weights: None, or a weight for each label.
        from_logits: whether predictions are logits.

    Raises ValueError for arguments outside their range.
    Source: Davis and Goadrich, The relationship between precision-recall and ROC curves, 2006; Flach and Kull,
    Precision-Recall-Gain curves, 2015.

    >>> print(AUC()([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.8]).round(2))
    0.75
    """

    needs_probabilities = True

    def __init__(self, num_thresholds: int = 200, curve: str = "ROC", summation_method: str = "interpolation",
                 name: str | None = None, dtype=None, thresholds=None, multi_label: bool = False,
                 num_labels: int | None = None, label_weights=None, from_logits: bool = False):
        super().__init__(dtype, name)
        self.curve = check.one_of("curve", str(curve).upper(), CURVES, "AUC")
        self.summation_method = check.one_of("summation_method", str(summation_method).lower(), SUMMATIONS, "AUC")
        if thresholds is not None and any(not 0 <= t <= 1 for t in thresholds):
            raise ValueError(f"AUC: thresholds lie between 0 and 1. Received: {list(thresholds)!r}")
        if thresholds is None and check.positive("num_thresholds", num_thresholds, "AUC") < 2:
            raise ValueError("AUC: argument `num_thresholds` must be at least 2. Received: 1")
        if num_labels is not None and not multi_label:
            raise ValueError("AUC: argument `num_labels` needs multi_label=True.")
        self._thresholds = even_thresholds(num_thresholds) if thresholds is None else np.array(
            [-epsilon(), *sorted(float(t) for t in thresholds), 1 + epsilon()])
        self._init_thresholds = None if thresholds is None else [float(t) for t in sorted(thresholds)]
        self.num_thresholds = len(self._thresholds)
        self.multi_label, self.num_labels, self.from_logits = multi_label, num_labels, from_logits
        self.label_weights = None if label_weights is None else [float(w) for w in label_weights]
        if from_logits:
            self.activation = jax.nn.sigmoid
        self._built = False
        if not multi_label or num_labels:
            self._make((self.num_thresholds, num_labels) if multi_label else (self.num_thresholds,))

    @property
    def thresholds(self) -> list:
        """The thresholds, the first below 0 and the last above 1."""
        return self._thresholds.tolist()

    def _make(self, shape) -> None:
        self._add_counts(COUNTS, shape)
        self._built = True

    def build(self, y_true_shape: tuple, y_pred_shape: tuple) -> None:
        if not self._built:
            self._make((self.num_thresholds, y_pred_shape[-1]))

    def update_state(self, y_true, y_pred, sample_weight=None) -> None:
        """Take in a batch of targets (0 and 1, or class numbers) and probabilities (or logits)."""
        y_true, y_pred, weights = prepare(self, y_true, y_pred, sample_weight)
        self.build(y_true.shape, y_pred.shape)
        labels = y_pred.shape[-1]
        expected = self.true_positives.shape[-1] if self.multi_label else labels
        if labels != expected or self.label_weights and len(self.label_weights) != labels:
            raise ValueError(f"AUC {self.name!r}: predictions of shape {tuple(y_pred.shape)} do not fit num_labels="
                             f"{expected}, label_weights={self.label_weights}.")
        if self.label_weights and not self.multi_label:
            weights = jnp.broadcast_to(jnp.asarray(self.label_weights, y_pred.dtype), y_pred.shape) * (
                1 if weights is None else weights)
        shape = (-1, labels) if self.multi_label else (-1,)
        y_true, y_pred, weights = (None if x is None else x.reshape(shape) for x in (y_true, y_pred, weights))
        self._take(count(y_true, y_pred, weights, self._thresholds))

    def result(self):
        if not self._built:
            return jnp.zeros((), self.dtype)
        return self._mean_of_labels(self._areas(*(getattr(self, n).raw for n in COUNTS)))

    def _mean_of_labels(self, areas):
        if not self.multi_label:
            return areas
        weights = jnp.ones_like(areas) if self.label_weights is None else jnp.asarray(self.label_weights, areas.dtype)
        return divide(jnp.sum(areas * weights), jnp.sum(weights))

    def _areas(self, hits, false_alarms, rejects, misses):
        """The area, or one for each label; the thresholds rise, so that both rates fall."""
        if self.curve == "PR" and self.summation_method == "interpolation":
            return _interpolated(hits, false_alarms, misses)
        recall = divide(hits, hits + misses)
        if self.curve == "ROC":
            x, y = divide(false_alarms, false_alarms + rejects), recall
        elif self.curve == "PR":
            x, y = recall, divide(hits, hits + false_alarms)
        else:
            x, y = _gain(hits, false_alarms, rejects, misses)
        ends = {"interpolation": lambda a, b: (a + b) / 2, "minoring": jnp.minimum, "majoring": jnp.maximum}
        return jnp.sum((x[:-1] - x[1:]) * ends[self.summation_method](y[:-1], y[1:]), axis=0)

    def interpolate_pr_auc(self):
        """The area under precision over recall as Davis and Goadrich interpolate it, whatever `curve` says.

        One number, or with `multi_label` the mean of the labels; 0 before the first batch.
        """
        return self._mean_of_labels(_interpolated(*(getattr(self, n).raw for n in COUNTS if n != "true_negatives"))) \
            if self._built else jnp.zeros((), self.dtype)

    def _config_value(self, name: str):
        return self._init_thresholds if name == "thresholds" else super()._config_value(name)

    def get_config(self) -> dict:  # Keras leaves thresholds of None out
        config = super().get_config()
        if config["thresholds"] is None:
            del config["thresholds"]  # as in Keras's files
        return config


def _interpolated(hits, false_alarms, misses):
    """The area under precision over recall, where between two points both counts of positives grow linearly."""
    positives = hits + false_alarms
    gained = hits[:-1] - hits[1:]
    slope = divide(gained, jnp.maximum(positives[:-1] - positives[1:], 0))
    offset = hits[1:] - slope * positives[1:]
    ratio = jnp.where((positives[:-1] > 0) & (positives[1:] > 0), divide(positives[:-1], positives[1:]), 1)
    return jnp.sum(divide(slope * (gained + offset * jnp.log(ratio)), hits[1:] + misses[1:]), axis=0)


def _gain(hits, false_alarms, rejects, misses):
    """Recall gain (from 0 on: what lies left of it does not count) and precision gain; 1 is perfect."""
    odds = divide(hits + misses, rejects + false_alarms)
    recall_gain = jnp.where(hits == 0, 0, 1 - odds * divide(misses, hits))
    precision_gain = 1 - odds * divide(false_alarms, hits)  # 1 where nothing is found, as the precision there
    return jnp.maximum(recall_gain, 0), precision_gain
