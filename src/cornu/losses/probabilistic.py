"""Losses between probabilities: cross-entropies, their focal and generalized kin, divergences, hinges."""


import jax
import jax.numpy as jnp

from cornu import check, context, frames
from cornu.config import epsilon
from cornu.losses.base import LossFunctionWrapper, pair, public
from cornu.ops import nn
from cornu.ops.kit import inexact, tensor


def _smooth(y_true, label_smoothing, classes: int):
    return y_true if isinstance(label_smoothing, (int, float)) and not label_smoothing else \
        y_true * (1 - label_smoothing) + label_smoothing / classes


def _check(owner: str, label_smoothing) -> None:
    check.between("label_smoothing", label_smoothing, 0, 1, owner)


@public
def binary_crossentropy(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    """mean(-t log(p) - (1 - t) log(1 - p)) over an axis.

    Args:
        y_true: targets t in {0, 1} (or between), of shape (batch, ..., d).
        y_pred: probabilities p of the same shape, or logits.
        from_logits: whether `y_pred` holds logits log(p / (1 - p)).
        label_smoothing: s in [0, 1]: t becomes t (1 - s) + s / 2.
        axis: the axis over which the mean is taken.

    Raises ValueError where the shapes differ.

    >>> print(binary_crossentropy([[1.0, 0.0]], [[0.5, 0.5]]))
    [0.6931472]
    """
    y_true, y_pred = pair(y_true, y_pred, "binary_crossentropy")
    losses = nn.binary_crossentropy(_smooth(y_true, label_smoothing, 2), y_pred, from_logits=from_logits)
    return jnp.mean(losses, axis=axis)


@public
def binary_focal_crossentropy(y_true, y_pred, apply_class_balancing=False, alpha=0.25, gamma=2.0, from_logits=False,
                              label_smoothing=0.0, axis=-1):
    """mean((1 - p_t)^gamma crossentropy(t, p)) over an axis, with p_t = t p + (1 - t) (1 - p).

    Args:
        y_true, y_pred, from_logits, label_smoothing, axis: as for `binary_crossentropy`.
        apply_class_balancing: whether to weigh class 1 by alpha and class 0 by 1 - alpha.
        alpha: that weight.
        gamma: how strongly easy samples are played down; 0 gives the plain cross-entropy.

    Source: Lin et al., Focal Loss for Dense Object Detection, 2017.

    >>> print(binary_focal_crossentropy([[1.0, 0.0]], [[0.5, 0.5]]))
    [0.1732868]
    """
    y_true, y_pred = pair(y_true, y_pred, "binary_focal_crossentropy")
    y_true = _smooth(y_true, label_smoothing, 2)
    p = jax.nn.sigmoid(y_pred) if from_logits else y_pred
    p_t = y_true * p + (1 - y_true) * (1 - p)
    losses = (1 - p_t) ** gamma * nn.binary_crossentropy(y_true, p)
    if apply_class_balancing:
        losses = losses * (y_true * alpha + (1 - y_true) * (1 - alpha))
    return jnp.mean(losses, axis=axis)


def _classes(y_true, y_pred, axis, label_smoothing, name: str) -> tuple:
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise ValueError(f"{name}: argument `axis` must be an integer. Received: {axis!r}")
    y_true, y_pred = pair(y_true, y_pred, name)
    if y_pred.shape[axis] == 1:
        frames.warn(f"{name} was given {tuple(y_pred.shape)}: over one class it is always 0. For one unit that says "
                    "yes or no use binary_crossentropy.", SyntaxWarning)
    return _smooth(y_true, label_smoothing, y_pred.shape[axis]), y_pred


@public
def categorical_crossentropy(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    """-sum(t log(p)) over the classes.

    Args:
        y_true: targets t, one-hot or any distribution, of shape (batch, ..., classes).
        y_pred: probabilities p (made to sum to 1) of the same shape, or logits.
        from_logits: whether `y_pred` goes through softmax first.
        label_smoothing: s in [0, 1]: t becomes t (1 - s) + s / classes.
        axis: the axis of the classes.

    Raises ValueError where the shapes differ.

    >>> print(categorical_crossentropy([[0.0, 1.0]], [[0.5, 0.5]]))
    [0.6931472]
    """
    y_true, y_pred = _classes(y_true, y_pred, axis, label_smoothing, "categorical_crossentropy")
    return nn.categorical_crossentropy(y_true, y_pred, from_logits=from_logits, axis=axis)


@public
def categorical_focal_crossentropy(y_true, y_pred, alpha=0.25, gamma=2.0, from_logits=False, label_smoothing=0.0,
                                   axis=-1):
    """sum(-alpha (1 - p)^gamma t log(p)) over the classes.

    Args:
        y_true, y_pred, from_logits, label_smoothing, axis: as for `categorical_crossentropy`.
        alpha: a weight, or a list of one for each class.
        gamma: how strongly easy samples are played down; 0 gives alpha times the plain cross-entropy.

    Source: Lin et al., Focal Loss for Dense Object Detection, 2017.

    >>> print(categorical_focal_crossentropy([[0.0, 1.0]], [[0.5, 0.5]]))
    [0.0433217]
    """
    y_true, y_pred = _classes(y_true, y_pred, axis, label_smoothing, "categorical_focal_crossentropy")
    p = jax.nn.softmax(y_pred, axis=axis) if from_logits else y_pred
    p = jnp.clip(p / jnp.sum(p, axis=axis, keepdims=True), epsilon(), 1 - epsilon())
    return jnp.sum(tensor(alpha, p.dtype) * (1 - p) ** gamma * -y_true * jnp.log(p), axis=axis)


def _class_numbers(y_true, y_pred, axis: int, name: str) -> tuple:
    """Targets of the shape of the predictions without the axis of the classes. Raises ValueError for others."""
    y_true, y_pred = tensor(y_true), inexact(y_pred)
    given = y_true.shape
    if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1:
        y_true = y_true[..., 0]
    expected = y_pred.shape[:axis % y_pred.ndim] + y_pred.shape[axis % y_pred.ndim + 1:]
    if y_true.shape != expected:
        hint = " For one-hot targets use categorical_crossentropy." if given == y_pred.shape else ""
        if len(given) == 1 and y_pred.ndim > 2:
            hint = " For one class a sample, put a Flatten or a pooling layer in front of the last Dense."
        raise ValueError(f"{name}: class numbers of shape {tuple(given)} do not fit `y_pred` of shape "
                         f"{tuple(y_pred.shape)}. Pass y_true of shape {tuple(expected)}.{hint}")
    return y_true, y_pred


@public
def sparse_categorical_crossentropy(y_true, y_pred, from_logits=False, ignore_class=None, axis=-1):
    """-log(p[t]): the cross-entropy for class numbers.

    Args:
        y_true: class numbers t, of shape (batch, ...) or (batch, ..., 1).
        y_pred: probabilities (made to sum to 1) of shape (batch, ..., classes), or logits.
        from_logits: whether `y_pred` goes through softmax first.
        ignore_class: None, or a class number whose samples do not count (loss 0, masked), such as -1 or 255.
        axis: the axis of the classes.

    Raises ValueError where the shapes do not fit.

    >>> print(sparse_categorical_crossentropy([1], [[0.5, 0.5]]))
    [0.6931472]
    """
    y_true, y_pred = _class_numbers(y_true, y_pred, axis, "sparse_categorical_crossentropy")
    counts = None if ignore_class is None else y_true != ignore_class
    labels = y_true if counts is None else jnp.where(counts, y_true, 0)
    losses = nn.sparse_categorical_crossentropy(labels, y_pred, from_logits=from_logits, axis=axis)
    if counts is not None:
        losses = jnp.where(counts, losses, 0)
        context.put_mask(losses, counts)
    return losses


@public
def categorical_generalized_cross_entropy(y_true, y_pred, q):
    """(1 - p[t]^q) / q, which lies between cross-entropy (q -> 0) and absolute error (q = 1): robust to wrong labels.

    Args:
        y_true: class numbers t, of shape (batch, ...) or (batch, ..., 1).
        y_pred: probabilities p of shape (batch, ..., classes).
        q: between 0 and 1.

    Source: Zhang and Sabuncu, Generalized Cross Entropy Loss for Training with Noisy Labels, 2018.

    >>> print(categorical_generalized_cross_entropy([1], [[0.75, 0.25]], q=0.5))
    [1.]
    """
    y_true, y_pred = _class_numbers(y_true, y_pred, -1, "categorical_generalized_cross_entropy")
    p = jnp.sum(jax.nn.one_hot(y_true.astype("int32"), y_pred.shape[-1], dtype=y_pred.dtype) * y_pred, axis=-1)
    return (1 - p**q) / q


sparse_categorical_crossentropy.integer_targets = categorical_generalized_cross_entropy.integer_targets = True


@public
def kl_divergence(y_true, y_pred):
    """sum(y_true log(y_true / y_pred)) over the last axis, both kept between epsilon and 1.

    Args:
        y_true: probabilities of shape (batch, ..., classes).
        y_pred: probabilities of the same shape.

    Raises ValueError where the shapes differ.

    >>> print(kl_divergence([[0.5, 0.5]], [[0.5, 0.5]]))
    [0.]
    """
    y_true, y_pred = (jnp.clip(y, epsilon(), 1) for y in pair(y_true, y_pred, "kl_divergence"))
    return jnp.sum(y_true * jnp.log(y_true / y_pred), axis=-1)


@public
def poisson(y_true, y_pred):
    """mean(y_pred - y_true log(y_pred + epsilon)) over the last axis, the likelihood of counts.

    Args:
        y_true: counts of shape (batch, ..., d).
        y_pred: expected counts >= 0 of the same shape.

    Raises ValueError where the shapes differ.

    >>> print(poisson([[1.0, 1.0]], [[1.0, 1.0]]))
    [0.9999999]
    """
    y_true, y_pred = pair(y_true, y_pred, "poisson")
    return jnp.mean(y_pred - y_true * jnp.log(y_pred + epsilon()), axis=-1)


# Hinges ----------------------------------------------------------------------------------------------------------


def _signs(y_true):
    """Labels as -1 and 1: a batch of zeros and ones alone is taken as such labels."""
    return jnp.where(jnp.all((y_true == 0) | (y_true == 1)), 2 * y_true - 1, y_true)


@public
def hinge(y_true, y_pred):
    """mean(max(1 - y_true y_pred, 0)) over the last axis.

    Args:
        y_true: -1 or 1 (0 and 1 are converted), of shape (batch, ..., d).
        y_pred: scores of the same shape.

    Raises ValueError where the shapes differ.

    >>> print(hinge([[-1.0, 1.0]], [[0.5, 0.5]]))
    [1.]
    """
    y_true, y_pred = pair(y_true, y_pred, "hinge")
    return jnp.mean(jnp.maximum(1 - _signs(y_true) * y_pred, 0), axis=-1)


@public
def squared_hinge(y_true, y_pred):
    """mean(max(1 - y_true y_pred, 0)^2) over the last axis; the arguments are those of `hinge`.

    >>> print(squared_hinge([[-1.0, 1.0]], [[0.5, 0.5]]))
    [1.25]
    """
    y_true, y_pred = pair(y_true, y_pred, "squared_hinge")
    return jnp.mean(jnp.square(jnp.maximum(1 - _signs(y_true) * y_pred, 0)), axis=-1)


@public
def categorical_hinge(y_true, y_pred):
    """max(0, 1 + max((1 - y_true) y_pred) - sum(y_true y_pred)) over the last axis.

    Args:
        y_true: 0 or 1, of shape (batch, ..., classes).
        y_pred: scores of the same shape.

    Raises ValueError where the shapes differ.

    >>> print(categorical_hinge([[0.0, 1.0]], [[0.5, 1.0]]))
    [0.5]
    """
    y_true, y_pred = pair(y_true, y_pred, "categorical_hinge")
    right, wrong = jnp.sum(y_true * y_pred, axis=-1), jnp.max((1 - y_true) * y_pred, axis=-1)
    return jnp.maximum(wrong - right + 1, 0)


# Classes ---------------------------------------------------------------------------------------------------------


class BinaryCrossentropy(LossFunctionWrapper):
    """-t log(p) - (1 - t) log(1 - p): see `binary_crossentropy`.

    Args:
        from_logits, label_smoothing, axis: as for `binary_crossentropy`.
        reduction, name, dtype: as for `Loss`.

    >>> print(BinaryCrossentropy(from_logits=True)([[1.0], [0.0]], [[0.0], [0.0]]))
    0.6931472
    """

    def __init__(self, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1,
                 reduction: str | None = "sum_over_batch_size", name="binary_crossentropy", dtype=None):
        _check("BinaryCrossentropy", label_smoothing)
        super().__init__(binary_crossentropy, reduction, name, dtype, from_logits=from_logits,
                         label_smoothing=label_smoothing, axis=axis)


class BinaryFocalCrossentropy(LossFunctionWrapper):
    """A cross-entropy that plays down easy samples: see `binary_focal_crossentropy`.

    Args:
        apply_class_balancing, alpha, gamma: as for `binary_focal_crossentropy`.
        from_logits, label_smoothing, axis: as for `binary_crossentropy`.
        reduction, name, dtype: as for `Loss`.

    >>> print(BinaryFocalCrossentropy()([[1.0], [0.0]], [[0.5], [0.5]]))
    0.1732868
    """

    def __init__(self, apply_class_balancing: bool = False, alpha: float = 0.25, gamma: float = 2.0,
                 from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1,
                 reduction: str | None = "sum_over_batch_size", name="binary_focal_crossentropy", dtype=None):
        _check("BinaryFocalCrossentropy", label_smoothing)
        super().__init__(binary_focal_crossentropy, reduction, name, dtype, apply_class_balancing=apply_class_balancing,
                         alpha=alpha, gamma=gamma, from_logits=from_logits, label_smoothing=label_smoothing, axis=axis)


class CategoricalCrossentropy(LossFunctionWrapper):
    """-sum(t log(p)) for one-hot targets: see `categorical_crossentropy`.

    Args:
        from_logits, label_smoothing, axis: as for `categorical_crossentropy`.
        reduction, name, dtype: as for `Loss`.

    >>> print(CategoricalCrossentropy()([[0.0, 1.0]], [[0.5, 0.5]]))
    0.6931472
    """

    def __init__(self, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1,
                 reduction: str | None = "sum_over_batch_size", name="categorical_crossentropy", dtype=None):
        _check("CategoricalCrossentropy", label_smoothing)
        super().__init__(categorical_crossentropy, reduction, name, dtype, from_logits=from_logits,
                         label_smoothing=label_smoothing, axis=axis)


class CategoricalFocalCrossentropy(LossFunctionWrapper):
    """A cross-entropy that plays down easy samples: see `categorical_focal_crossentropy`.

    Args:
        alpha, gamma: as for `categorical_focal_crossentropy`.
        from_logits, label_smoothing, axis: as for `categorical_crossentropy`.
        reduction, name, dtype: as for `Loss`.

    >>> print(CategoricalFocalCrossentropy()([[0.0, 1.0]], [[0.5, 0.5]]))
    0.0433217
    """

    def __init__(self, alpha=0.25, gamma: float = 2.0, from_logits: bool = False, label_smoothing: float = 0.0,
                 axis: int = -1, reduction: str | None = "sum_over_batch_size", name="categorical_focal_crossentropy",
                 dtype=None):
        _check("CategoricalFocalCrossentropy", label_smoothing)
        super().__init__(categorical_focal_crossentropy, reduction, name, dtype, alpha=alpha, gamma=gamma,
                         from_logits=from_logits, label_smoothing=label_smoothing, axis=axis)


class SparseCategoricalCrossentropy(LossFunctionWrapper):
    """-log(p[t]) for class numbers t: see `sparse_categorical_crossentropy`.

    Args:
        from_logits, ignore_class, axis: as for `sparse_categorical_crossentropy`.
        reduction, name, dtype: as for `Loss`.

    >>> print(SparseCategoricalCrossentropy(ignore_class=-1)([1, -1], [[0.5, 0.5], [0.1, 0.9]]))
    0.6931472
    """

    def __init__(self, from_logits: bool = False, ignore_class: int | None = None,
                 reduction: str | None = "sum_over_batch_size", axis: int = -1, name="sparse_categorical_crossentropy",
                 dtype=None):
        super().__init__(sparse_categorical_crossentropy, reduction, name, dtype, from_logits=from_logits,
                         ignore_class=ignore_class, axis=axis)


class CategoricalGeneralizedCrossEntropy(LossFunctionWrapper):
    """(1 - p[t]^q) / q for class numbers t: see `categorical_generalized_cross_entropy`.

    Args:
        q: between 0 and 1, both excluded.
        reduction, name, dtype: as for `Loss`.

    Raises ValueError for other q.

    >>> print(CategoricalGeneralizedCrossEntropy()([1], [[0.75, 0.25]]))
    1.0
    """

    def __init__(self, q: float = 0.5, reduction: str | None = "sum_over_batch_size",
                 name="categorical_generalized_cross_entropy", dtype=None):
        if not 0 < q < 1:
            raise ValueError(f"CategoricalGeneralizedCrossEntropy: argument `q` must lie in (0, 1). Received: {q!r}")
        super().__init__(categorical_generalized_cross_entropy, reduction, name, dtype, q=q)


class KLDivergence(LossFunctionWrapper):
    """sum(y_true log(y_true / y_pred)): see `kl_divergence`.

    Args:
        reduction, name, dtype: as for `Loss`.

    >>> print(KLDivergence()([[0.5, 0.5]], [[0.5, 0.5]]))
    0.0
    """

    def __init__(self, reduction: str | None = "sum_over_batch_size", name="kl_divergence", dtype=None):
        super().__init__(kl_divergence, reduction, name, dtype)


class Poisson(LossFunctionWrapper):
    """mean(y_pred - y_true log(y_pred)): see `poisson`.

    Args:
        reduction, name, dtype: as for `Loss`.

    >>> print(Poisson()([[0.0]], [[2.0]]))
    2.0
    """

    def __init__(self, reduction: str | None = "sum_over_batch_size", name="poisson", dtype=None):
        super().__init__(poisson, reduction, name, dtype)


class Hinge(LossFunctionWrapper):
    """mean(max(1 - y_true y_pred, 0)): see `hinge`.

    Args:
        reduction, name, dtype: as for `Loss`.

    >>> print(Hinge()([[-1.0], [1.0]], [[0.5], [0.5]]))
    1.0
    """

    def __init__(self, reduction: str | None = "sum_over_batch_size", name="hinge", dtype=None):
        super().__init__(hinge, reduction, name, dtype)


class SquaredHinge(LossFunctionWrapper):
    """mean(max(1 - y_true y_pred, 0)^2): see `squared_hinge`.

    Args:
        reduction, name, dtype: as for `Loss`.

    >>> print(SquaredHinge()([[-1.0], [1.0]], [[0.5], [0.5]]))
    1.25
    """

    def __init__(self, reduction: str | None = "sum_over_batch_size", name="squared_hinge", dtype=None):
        super().__init__(squared_hinge, reduction, name, dtype)


class CategoricalHinge(LossFunctionWrapper):
    """max(0, 1 + max((1 - y_true) y_pred) - sum(y_true y_pred)): see `categorical_hinge`.

    Args:
        reduction, name, dtype: as for `Loss`.

    >>> print(CategoricalHinge()([[0.0, 1.0]], [[0.5, 1.0]]))
    0.5
    """

    def __init__(self, reduction: str | None = "sum_over_batch_size", name="categorical_hinge", dtype=None):
        super().__init__(categorical_hinge, reduction, name, dtype)
