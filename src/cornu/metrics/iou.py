"""Intersection over union, from a confusion matrix."""

import jax
import jax.numpy as jnp
import numpy as np

from cornu import check
from cornu.losses.base import mask_of
from cornu.metrics.metric import PART, Metric, divide, weigh
from cornu.ops.kit import tensor


class _IoUBase(Metric):
    """Keeps the matrix of how often class i was predicted as class j, weighted."""

    _default = "int32"  # what Keras calls the dtype; weights are parts, so the counts are floats all the same

    def __init__(self, num_classes: int, name: str | None = None, dtype=None, ignore_class: int | None = None,
                 sparse_y_true: bool = True, sparse_y_pred: bool = True, axis: int = -1):
        super().__init__(dtype or self._default, name)
        self.num_classes = check.positive("num_classes", num_classes, type(self).__name__)
        self.ignore_class, self.axis = ignore_class, axis
        self.sparse_y_true, self.sparse_y_pred = sparse_y_true, sparse_y_pred
        self.total_cm = self.add_variable(
            (num_classes, num_classes), dtype="float64" if self.dtype == "float64" else "float32",
            name="total_confusion_matrix")

    def update_state(self, y_true, y_pred, sample_weight=None) -> None:
        """Take in a batch of class numbers, or of values over classes.

        Raises ValueError for class numbers out of range; inside a compiled step, which sees no values, they do not count.
        """
        mask = mask_of(y_pred)
        y_true, y_pred = self._classes(tensor(y_true), tensor(y_pred))
        if y_true.ndim == y_pred.ndim + 1 and y_true.shape[-1] == 1:
            y_true = y_true[..., 0]
        if y_pred.ndim == y_true.ndim + 1 and y_pred.shape[-1] == 1:
            y_pred = y_pred[..., 0]
        if y_true.shape != y_pred.shape:
            raise ValueError(f"{type(self).__name__}: class numbers of shape {tuple(y_true.shape)} do not fit "
                             f"predicted ones of shape {tuple(y_pred.shape)}. Set sparse_y_true or sparse_y_pred to "
                             "False for one-hot targets or probabilities.")
        self._refuse_others("y_true", y_true)
        self._refuse_others("y_pred", y_pred)
        weights = weigh(y_true.shape, self.total_cm.dtype, sample_weight, mask)
        weights = jnp.ones(y_true.shape, self.total_cm.dtype) if weights is None else weights
        y_true, y_pred, weights = (x.reshape(-1) for x in (y_true.astype("int32"), y_pred.astype("int32"), weights))
        known = (y_true >= 0) & (y_pred >= 0) & (y_true < self.num_classes) & (y_pred < self.num_classes)
        if self.ignore_class is not None:
            known &= y_true != self.ignore_class
        part = jnp.arange(len(weights)) // PART
        place = part, jnp.where(known, y_true, 0), jnp.where(known, y_pred, 0)
        counts = jnp.zeros((-(-len(weights) // PART) or 1, self.num_classes, self.num_classes), weights.dtype)
        self.total_cm.assign_add(jnp.sum(counts.at[place].add(jnp.where(known, weights, 0)), axis=0))

    def _refuse_others(self, name: str, numbers) -> None:
        """Raise ValueError for class numbers out of range, where there are values to look at."""
        if isinstance(numbers, jax.core.Tracer):
            return
        numbers = np.asarray(numbers).reshape(-1)
        others = (numbers < 0) | (numbers >= self.num_classes)
        if self.ignore_class is not None:
            others &= numbers != self.ignore_class
        if others.any():
            index = int(np.argmax(others))
            raise ValueError(f"{type(self).__name__}: `{name}` has class number {numbers[index]} at index {index}; with "
                             f"num_classes={self.num_classes} they lie between 0 and {self.num_classes - 1}. Set "
                             "ignore_class for samples that do not count.")

    def _classes(self, y_true, y_pred):
        return (y_true if self.sparse_y_true else jnp.argmax(y_true, axis=self.axis),
                y_pred if self.sparse_y_pred else jnp.argmax(y_pred, axis=self.axis))


class IoU(_IoUBase):
    """The mean over some classes of TP / (TP + FP + FN); classes that occur nowhere are left out.

    Args:
        num_classes: how many classes there are.
        target_class_ids: the classes that count.
        name, dtype: as for `Metric`.
        ignore_class: None, or the class number whose samples do not count, such as -1 or 255.
        sparse_y_true: whether targets are class numbers, rather than one-hot over `axis`.
        sparse_y_pred: whether predictions are class numbers, rather than values over `axis`.
        axis: the axis of the classes.

    Raises ValueError for class ids out of range.

    >>> print(IoU(2, [1])([0, 1, 1], [0, 0, 1]))
    0.5
    """

    def __init__(self, num_classes: int, target_class_ids, name: str | None = None, dtype=None,
                 ignore_class: int | None = None, sparse_y_true: bool = True, sparse_y_pred: bool = True,
                 axis: int = -1):
        super().__init__(num_classes, name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis)
        self.target_class_ids = [int(i) for i in target_class_ids]
        if any(not 0 <= i < num_classes for i in self.target_class_ids):
            raise ValueError(f"{type(self).__name__}: target_class_ids lie between 0 and {num_classes - 1}. "
                             f"Received: {self.target_class_ids}")

    def result(self):
        matrix = self.total_cm.raw
        hits = jnp.diag(matrix)
        union = matrix.sum(axis=0) + matrix.sum(axis=1) - hits
        hits, union = (x[jnp.array(self.target_class_ids)] for x in (hits, union))
        return divide(jnp.sum(divide(hits, union)), jnp.sum(union > 0))


class BinaryIoU(IoU):
    """The intersection over union of two classes told apart by a threshold.

    Args:
        target_class_ids: which of 0 and 1 count.
        threshold: None (predictions are 0 and 1), or from which value on a prediction means 1.
        name, dtype: as for `Metric`.

    >>> print(BinaryIoU(target_class_ids=[1])([0, 1, 1], [0.1, 0.2, 0.7]))
    0.5
    """

    def __init__(self, target_class_ids=(0, 1), threshold: float | None = 0.5, name: str | None = None, dtype=None):
        super().__init__(2, target_class_ids, name, dtype)
        self.threshold = threshold

    def _classes(self, y_true, y_pred):
        return y_true, y_pred if self.threshold is None else y_pred >= self.threshold


class MeanIoU(IoU):
    """The mean over all classes of TP / (TP + FP + FN); classes that occur nowhere are left out.

    Args:
        num_classes, name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis: as for `IoU`.

    >>> print(MeanIoU(2)([0, 1, 1, 1], [0, 0, 1, 1]).round(3))
    0.583
    """

    def __init__(self, num_classes: int, name: str | None = None, dtype=None, ignore_class: int | None = None,
                 sparse_y_true: bool = True, sparse_y_pred: bool = True, axis: int = -1):
        super().__init__(num_classes, range(num_classes), name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis)


class OneHotIoU(IoU):
    """`IoU` for one-hot targets.

    Args:
        num_classes, target_class_ids, name, dtype, ignore_class, sparse_y_pred, axis: as for `IoU`.

    >>> print(OneHotIoU(2, [0])([[1, 0], [0, 1]], [[0.9, 0.1], [0.8, 0.2]]))
    0.5
    """

    def __init__(self, num_classes: int, target_class_ids, name: str | None = None, dtype=None,
                 ignore_class: int | None = None, sparse_y_pred: bool = False, axis: int = -1):
        super().__init__(num_classes, target_class_ids, name, dtype, ignore_class, False, sparse_y_pred, axis)


class OneHotMeanIoU(MeanIoU):
    """`MeanIoU` for one-hot targets.

    Args:
        num_classes, name, dtype, ignore_class, sparse_y_pred, axis: as for `IoU`.

    >>> print(OneHotMeanIoU(2)([[1, 0], [0, 1]], [[0.9, 0.1], [0.8, 0.2]]))
    0.25
    """

    def __init__(self, num_classes: int, name: str | None = None, dtype=None, ignore_class: int | None = None,
                 sparse_y_pred: bool = False, axis: int = -1):
        super().__init__(num_classes, name, dtype, ignore_class, False, sparse_y_pred, axis)
