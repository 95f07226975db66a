"""What `compile(metrics=...)` may hold, as metrics: names that depend on targets and predictions among them."""

import functools

import jax

from cornu import losses, names
from cornu.losses.base import Loss
from cornu.metrics import averages
from cornu.metrics.accuracy import BinaryAccuracy, CategoricalAccuracy, SparseCategoricalAccuracy
from cornu.metrics.metric import MeanMetricWrapper, Metric
from cornu.metrics.names import get

_ACCURACY, _CROSSENTROPY = ("accuracy", "acc"), ("crossentropy", "ce")


def target_kind(y_true_shape, y_pred_shape) -> str:
    """"binary" (one prediction for each sample), "sparse" (class numbers) or "categorical" (one-hot or many labels)."""
    if y_pred_shape is None or len(y_pred_shape) < 2 or y_pred_shape[-1] == 1:
        return "binary"
    if y_true_shape is not None and (len(y_true_shape) < len(y_pred_shape) or y_true_shape[-1] == 1):
        return "sparse"
    return "categorical"


def resolve_metric(identifier, y_true_shape=None, y_pred_shape=None, loss=None) -> Metric:
    """A metric from what `compile` was told, for targets and predictions of given shapes.

    "accuracy" and "acc", "crossentropy" and "ce" become the binary, categorical or sparse one. "f1_score" is the mean
    over classes. Where the loss says `from_logits`, named metrics know predictions for logits; where it is a binary
    cross-entropy over several outputs, these are labels that hold or not, each by itself.

    Args:
        identifier: a name, a function, a class, a config or a metric.
        y_true_shape, y_pred_shape: shapes, the batch size being None or a number; None where not known.
        loss: the output's loss, or None.

    Returns:
        A metric of the name that the user wrote, with its state made where the shapes are known.

    Raises ValueError for an unknown name.

    >>> resolve_metric("acc", (None,), (None, 10))
    <SparseCategoricalAccuracy name=acc>
    """
    kind, logits = target_kind(y_true_shape, y_pred_shape), bool(getattr(loss, "from_logits", False))
    if kind == "categorical" and loss is not None and _function_name(losses.get(loss)).startswith("binary_"):
        kind = "labels"
    metric = _named(identifier, kind, logits) if isinstance(identifier, str) else _wrapped(get(identifier))
    if y_pred_shape is not None and y_true_shape is not None:
        metric.build(tuple(y_true_shape), tuple(y_pred_shape))
    return metric


def _named(name: str, kind: str, logits: bool) -> Metric:
    if name in _ACCURACY:
        if kind == "binary":
            return BinaryAccuracy(name=name, threshold=0.0 if logits else 0.5)
        return (SparseCategoricalAccuracy if kind == "sparse" else CategoricalAccuracy)(name=name)
    if name in _CROSSENTROPY:
        return {"binary": averages.BinaryCrossentropy, "sparse": averages.SparseCategoricalCrossentropy,
                "categorical": averages.CategoricalCrossentropy, "labels": averages.BinaryCrossentropy}[kind](name=name, from_logits=logits)
    metric = get(name)
    if not isinstance(metric, Metric):
        metric = _wrapped(metric)
    elif logits:
        _expect_logits(metric, kind)
    if type(metric).__name__ in ("F1Score", "FBetaScore"):
        metric.average, metric.threshold = "macro", 0.5 if kind == "labels" else metric.threshold
    metric.name = name
    return metric


def _expect_logits(metric: Metric, kind: str) -> None:
    """Let a metric of probabilities, made from a name alone, read logits."""
    if hasattr(metric, "activation"):
        metric.activation = jax.nn.sigmoid if kind in ("binary", "labels") else functools.partial(jax.nn.softmax, axis=-1)
    elif isinstance(metric, BinaryAccuracy):
        metric.threshold = metric._fn_kwargs["threshold"] = 0.0
    elif hasattr(metric, "from_logits"):
        metric.from_logits = metric._fn_kwargs["from_logits"] = True


def _function_name(loss) -> str:
    return getattr(getattr(loss, "fn", loss), "__name__", "")


def _wrapped(found) -> Metric:
    if isinstance(found, Metric):
        return found
    name = found.name if isinstance(found, Loss) else getattr(found, "__name__", None) or type(found).__name__
    return MeanMetricWrapper(found, name=names.to_snake_case(name))
