"""Losses over more than single values: overlaps of regions, embeddings, sequences without alignment."""

import jax
import jax.numpy as jnp

from cornu import context, ops
from cornu.config import epsilon
from cornu.losses.base import LossFunctionWrapper, pair, public
from cornu.ops.kit import inexact, tensor


def _axes(axis):
    return tuple(axis) if isinstance(axis, list) else axis


@public
def dice(y_true, y_pred, axis=None):
    """1 - (2 sum(y_true y_pred) + epsilon) / (sum(y_true) + sum(y_pred) + epsilon).

    Args:
        y_true: membership, 0 or 1, of shape (batch, ...).
        y_pred: probabilities of the same shape.
        axis: the axes to sum over; None: all, so that the whole batch is one region.

    Raises ValueError where the shapes differ. Source: Milletari et al., V-Net, 2016.

    >>> print(dice([[1.0, 0.0]], [[1.0, 0.0]]))
    0.0
    """
    y_true, y_pred = pair(y_true, y_pred, "dice")
    common, size = jnp.sum(y_true * y_pred, axis=_axes(axis)), jnp.sum(y_true + y_pred, axis=_axes(axis))
    return 1 - (2 * common + epsilon()) / (size + epsilon())


@public
def tversky(y_true, y_pred, alpha=0.5, beta=0.5, axis=None):
    """1 - (TP + epsilon) / (TP + alpha FP + beta FN + epsilon), with soft counts such as TP = sum(y_true y_pred).

    Args:
        y_true, y_pred, axis: as for `dice`.
        alpha: the weight of false positives.
        beta: the weight of false negatives.

    Raises ValueError where the shapes differ. Source: Salehi et al., Tversky loss for image segmentation, 2017.

    >>> print(tversky([[1.0, 0.0]], [[1.0, 0.0]]))
    0.0
    """
    y_true, y_pred = pair(y_true, y_pred, "tversky")
    hits, false_positives, false_negatives = (
        jnp.sum(x, axis=_axes(axis)) for x in (y_true * y_pred, (1 - y_true) * y_pred, y_true * (1 - y_pred)))
    return 1 - (hits + epsilon()) / (hits + alpha * false_positives + beta * false_negatives + epsilon())


@public
def circle(y_true, y_pred, ref_labels=None, ref_embeddings=None, remove_diagonal=True, gamma=80, margin=0.4):
    """log(1 + sum_j exp(gamma a_j (s_j - m)) sum_i exp(-gamma a_i (s_i - 1 + m))) over negatives j and positives i.

    s are the cosine similarities of a sample with the others, a_i = max(1 + m - s_i, 0), a_j = max(s_j + m, 0). A
    sample without positives does not count (it is masked).

    Args:
        y_true: class numbers, of shape (batch,) or (batch, 1).
        y_pred: embeddings of length 1, of shape (batch, d).
        ref_labels: None (those of the batch), or class numbers of shape (references,).
        ref_embeddings: None, or the embeddings to compare with, of shape (references, d).
        remove_diagonal: whether sample n is not compared with reference n.
        gamma: the scale.
        margin: m.

    Raises ValueError when one of `ref_labels` and `ref_embeddings` is missing.
    Source: Sun et al., Circle Loss: A Unified Perspective of Pair Similarity Optimization, 2020.

    >>> print(circle([0, 0], [[1.0, 0.0], [1.0, 0.0]], gamma=1.0))
    [0. 0.]
    """
    labels, embeddings = tensor(y_true).reshape(-1), inexact(y_pred)
    if (ref_labels is None) != (ref_embeddings is None):
        raise ValueError("circle: pass both `ref_labels` and `ref_embeddings`, or neither.")
    references = embeddings if ref_embeddings is None else tensor(ref_embeddings, embeddings.dtype)
    ref_labels = labels if ref_labels is None else tensor(ref_labels).reshape(-1)
    similarity = jnp.minimum(embeddings @ references.T, 1)
    same = labels[:, None] == ref_labels[None, :]
    positive, negative = same & ~jnp.eye(*same.shape, dtype=bool) if remove_diagonal else same, ~same
    attract = jnp.maximum(1 + margin - similarity, 0) * (similarity - (1 - margin))
    repel = jnp.maximum(similarity + margin, 0) * (similarity - margin)
    pull, push = (jax.nn.logsumexp(jnp.where(which, gamma * x, -jnp.inf), axis=1)
                  for which, x in ((positive, -attract), (negative, repel)))
    losses = jax.nn.softplus(pull + push)
    context.put_mask(losses, jnp.any(positive, axis=1))
    return losses


@public
def ctc(y_true, y_pred):
    """-log p(y_true | y_pred), summed over all alignments of a shorter sequence of labels with the frames.

    Args:
        y_true: label numbers from 1, of shape (batch, max_labels), filled up with 0, which is also the blank.
        y_pred: logits of shape (batch, frames, classes); class 0 is the blank.

    Raises ValueError for other ranks. Source: Graves et al., Connectionist Temporal Classification, 2006.

    >>> print(ctc([[1]], [[[0.0, 0.0]]]))
    [0.6931472]
    """
    y_true, y_pred = tensor(y_true), inexact(y_pred)
    if y_true.ndim != 2 or y_pred.ndim != 3 or y_true.shape[0] != y_pred.shape[0]:
        raise ValueError("ctc: `y_true` is of shape (batch, max_labels) and `y_pred` of shape (batch, frames, "
                         f"classes). Received: {tuple(y_true.shape)} and {tuple(y_pred.shape)}.")
    batch, frames, _ = y_pred.shape
    return ops.ctc_loss(y_true.astype("int32"), y_pred, jnp.sum(y_true != 0, axis=-1),
                        jnp.full((batch,), frames, "int32"), mask_index=0)


ctc.integer_targets = circle.integer_targets = True


class Dice(LossFunctionWrapper):
    """1 minus the overlap of regions, 2 |A and B| / (|A| + |B|): see `dice`.

    Args:
        reduction, name, dtype: as for `Loss`.
        axis: the axes to sum over; None: all.

    >>> print(Dice()([[1.0, 0.0]], [[1.0, 0.0]]))
    0.0
    """

    def __init__(self, reduction: str | None = "sum_over_batch_size", name="dice", axis=None, dtype=None):
        super().__init__(dice, reduction, name, dtype, axis=axis)


class Tversky(LossFunctionWrapper):
    """An overlap that weighs false positives and false negatives apart: see `tversky`.

    Args:
        alpha, beta: the weights of false positives and of false negatives.
        reduction, name, dtype: as for `Loss`.
        axis: the axes to sum over; None: all.

    >>> print(Tversky(alpha=0.7, beta=0.3)([[1.0, 0.0]], [[1.0, 0.0]]))
    0.0
    """

    def __init__(self, alpha: float = 0.5, beta: float = 0.5, reduction: str | None = "sum_over_batch_size",
                 name="tversky", axis=None, dtype=None):
        super().__init__(tversky, reduction, name, dtype, alpha=alpha, beta=beta, axis=axis)


class Circle(LossFunctionWrapper):
    """Pulls embeddings of a class together and pushes classes apart: see `circle`.

    Args:
        gamma, margin, remove_diagonal: as for `circle`.
        reduction, name, dtype: as for `Loss`.

    >>> print(Circle(gamma=1.0)([0, 0], [[1.0, 0.0], [1.0, 0.0]]))
    0.0
    """

    def __init__(self, gamma: float = 80.0, margin: float = 0.4, remove_diagonal: bool = True,
                 reduction: str | None = "sum_over_batch_size", name="circle", dtype=None):
        super().__init__(circle, reduction, name, dtype, gamma=gamma, margin=margin, remove_diagonal=remove_diagonal)


class CTC(LossFunctionWrapper):
    """-log of the probability of a label sequence, whatever its alignment: see `ctc`.

    Args:
        reduction, name, dtype: as for `Loss`.

    >>> print(CTC()([[1]], [[[0.0, 0.0]]]))
    0.6931472
    """

    def __init__(self, reduction: str | None = "sum_over_batch_size", name="ctc", dtype=None):
        super().__init__(ctc, reduction, name, dtype)
