"""The names of metrics: `get`, `serialize`, `deserialize`."""

from cornu import frames, losses, registry
from cornu.metrics import accuracy, auc, averages, confusion, iou, scores
from cornu.metrics.metric import Mean, MeanMetricWrapper, Metric, Sum
from cornu.names import to_snake_case

CLASSES = {c.__name__: c for c in (Metric, Mean, Sum, MeanMetricWrapper)} | {
    name: found for module in (accuracy, averages, confusion, auc, iou, scores) for name, found in vars(module).items()
    if isinstance(found, type) and found.__module__ == module.__name__ and not name.startswith("_")}
FUNCTIONS = {f.__name__: f for f in (
    accuracy.binary_accuracy, accuracy.categorical_accuracy, accuracy.sparse_categorical_accuracy,
    accuracy.top_k_categorical_accuracy, accuracy.sparse_top_k_categorical_accuracy, averages.pearson_correlation,
    averages.concordance_correlation, losses.binary_crossentropy, losses.binary_focal_crossentropy,
    losses.categorical_crossentropy, losses.categorical_focal_crossentropy, losses.categorical_hinge, losses.hinge,
    losses.huber, losses.kl_divergence, losses.log_cosh, losses.mean_absolute_error,
    losses.mean_absolute_percentage_error, losses.mean_squared_error, losses.mean_squared_logarithmic_error,
    losses.poisson, losses.sparse_categorical_crossentropy, losses.squared_hinge)}
_ALIASES = {"mse": averages.MeanSquaredError, "mae": averages.MeanAbsoluteError, "bce": averages.BinaryCrossentropy,
            "mape": averages.MeanAbsolutePercentageError, "msle": averages.MeanSquaredLogarithmicError,
            "kld": averages.KLDivergence}

# A name means the class where there is one: it has a state and a name of its own.
registry.add_functions("metrics", {
    **FUNCTIONS, **{to_snake_case(name): found for name, found in CLASSES.items()}, **_ALIASES,
    **{name.upper(): found for name, found in _ALIASES.items()}, "fbeta_score": scores.FBetaScore,
    "rmse": averages.RootMeanSquaredError, "logcosh": averages.LogCoshError, "acc": accuracy.Accuracy})


@frames.filtered
def get(identifier):
    """A metric from None, a name ("mse", "AUC", "recall"), a config, a class, a function or a metric.

    Raises ValueError for an unknown name, with the nearest known ones.

    >>> get("mse")
    <MeanSquaredError name=mean_squared_error>
    """
    if isinstance(identifier, dict):
        return deserialize(identifier)
    return registry.get(identifier, "metrics", "metric")


@frames.filtered
def serialize(metric):
    """A metric as JSON can hold it; `deserialize` reads it back."""
    return registry.serialize(metric)


@frames.filtered
def deserialize(config, custom_objects: dict | None = None):
    """The metric that a name or a config means; `custom_objects` names the caller's own functions and classes."""
    if isinstance(config, dict) and config.get("class_name") == "function" and config.get("config") in FUNCTIONS:
        return FUNCTIONS[config["config"]]
    found = registry.deserialize(config, custom_objects, "metrics", "metric")
    return found() if isinstance(found, type) else found
