"""Losses: what training makes small. Each is a class and a function, and has a name for `compile`."""

from cornu import check, frames, registry
from cornu.losses.base import FUNCTIONS, Loss, LossFunctionWrapper, check_bits, check_labels
from cornu.losses.probabilistic import (
    BinaryCrossentropy, BinaryFocalCrossentropy, CategoricalCrossentropy, CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy, CategoricalHinge, Hinge, KLDivergence, Poisson, SparseCategoricalCrossentropy,
    SquaredHinge, binary_crossentropy, binary_focal_crossentropy, categorical_crossentropy,
    categorical_focal_crossentropy, categorical_generalized_cross_entropy, categorical_hinge, hinge, kl_divergence,
    poisson, sparse_categorical_crossentropy, squared_hinge)
from cornu.losses.regression import (
    CosineSimilarity, Huber, LogCosh, MeanAbsoluteError, MeanAbsolutePercentageError, MeanSquaredError,
    MeanSquaredLogarithmicError, cosine_similarity, huber, log_cosh, mean_absolute_error,
    mean_absolute_percentage_error, mean_squared_error, mean_squared_logarithmic_error)
from cornu.losses.structured import CTC, Circle, Dice, Tversky, circle, ctc, dice, tversky

ALIASES = {"mse": mean_squared_error, "mae": mean_absolute_error, "mape": mean_absolute_percentage_error,
           "msle": mean_squared_logarithmic_error, "bce": binary_crossentropy, "kld": kl_divergence}
registry.add_functions("losses", {**FUNCTIONS, **ALIASES, **{k.upper(): v for k, v in ALIASES.items()}})

# The names that older programs use.
mse = MSE = mean_squared_error
mae = MAE = mean_absolute_error
mape = MAPE = mean_absolute_percentage_error
msle = MSLE = mean_squared_logarithmic_error
kld = KLD = kullback_leibler_divergence = kl_divergence
logcosh = log_cosh


class Reduction:
    """Keras 2's names for how a loss's values become one number."""

    AUTO = "auto"
    NONE = "none"
    SUM = "sum"
    SUM_OVER_BATCH_SIZE = "sum_over_batch_size"

    @classmethod
    def all(cls) -> tuple:
        """All of them."""
        return cls.AUTO, cls.NONE, cls.SUM, cls.SUM_OVER_BATCH_SIZE

    @classmethod
    def validate(cls, key) -> None:
        """Raises ValueError for what is none of them."""
        check.one_of("reduction", key, cls.all())


@frames.filtered
def get(identifier):
    """A loss from None, a name ("mse", "MeanSquaredError"), a config, a class, a function or a loss.

    Raises ValueError for an unknown name, with the nearest known ones.

    >>> get("MSE") is mean_squared_error
    True
    """
    return registry.get(identifier, "losses", "loss")


@frames.filtered
def serialize(loss):
    """A loss as JSON can hold it; `deserialize` reads it back."""
    return registry.serialize(loss)


@frames.filtered
def deserialize(name, custom_objects: dict | None = None):
    """The loss that a name or a config means; `custom_objects` names the caller's own functions and classes."""
    found = registry.deserialize(name, custom_objects, "losses", "loss")
    return found() if isinstance(found, type) else found


__all__ = ["KLD", "MAE", "MAPE", "MSE", "MSLE", "Reduction", "kld", "kullback_leibler_divergence", "logcosh",
           "mae", "mape", "mse", "msle", "Loss", "LossFunctionWrapper", "check_bits", "check_labels", "get", "serialize", "deserialize", *FUNCTIONS,
           "BinaryCrossentropy", "BinaryFocalCrossentropy", "CTC", "CategoricalCrossentropy",
           "CategoricalFocalCrossentropy", "CategoricalGeneralizedCrossEntropy", "CategoricalHinge", "Circle",
           "CosineSimilarity", "Dice", "Hinge", "Huber", "KLDivergence", "LogCosh", "MeanAbsoluteError",
           "MeanAbsolutePercentageError", "MeanSquaredError", "MeanSquaredLogarithmicError", "Poisson",
           "SparseCategoricalCrossentropy", "SquaredHinge", "Tversky", "circle", "cosine_similarity"]
