"""The base of losses: from one value per sample to one number, with weights and masks."""

import jax
import jax.numpy as jnp
import numpy as np

from cornu import check, context, dtypes, frames, names, registry, tree
from cornu.ops.kit import inexact, tensor
from cornu.registry import Configurable
from cornu.symbolic import op

REDUCTIONS = (None, "none", "sum", "sum_over_batch_size", "mean", "mean_with_sample_weight")
FUNCTIONS: dict = {}  # the loss functions, by name


def public(fn):
    """Decorator: a loss function that also takes symbolic tensors, and is found by its name."""
    FUNCTIONS[fn.__name__] = op(fn)
    return FUNCTIONS[fn.__name__]


# Arguments -------------------------------------------------------------------------------------------------------


def mask_of(x):
    """The mask that a layer, or the user, gave to an array; None for none."""
    call = context.current()
    return context.mask_of(x) if call is None else call.mask_of(x)


def arrays(structure, cast):
    """A structure's leaves as arrays; lists of plain numbers are one array."""
    if isinstance(structure, (list, tuple)) and all(isinstance(x, (bool, int, float)) for x in tree.flatten(structure)):
        return cast(structure)
    return tree.map_structure(cast, structure)


def same_rank(y_true, y_pred):
    """Where the ranks differ by one, a last axis of size 1 is dropped from the larger (or added to a vector)."""
    if y_true.ndim == y_pred.ndim + 1 and y_true.shape[-1] == 1:
        return (y_true, y_pred[..., None]) if y_pred.ndim == 1 else (y_true[..., 0], y_pred)
    if y_pred.ndim == y_true.ndim + 1 and y_pred.shape[-1] == 1:
        return (y_true[..., None], y_pred) if y_true.ndim == 1 else (y_true, y_pred[..., 0])
    return y_true, y_pred


def lift(y_true, y_pred, *companions):
    """Targets (batch, time) as (batch, time, 1) where predictions are so, and a mask or weights tell steps apart."""
    steps = any(c is not None and jnp.ndim(c) == y_true.ndim for c in companions)
    if steps and 1 < y_true.ndim == y_pred.ndim - 1 and y_pred.shape[-1] == 1:
        return y_true[..., None]
    return y_true


def pair(y_true, y_pred, name: str) -> tuple:
    """Targets and predictions as floats of one shape. Raises ValueError rather than broadcast targets against predictions.

    One prediction may stand against several targets, as programs rely on it; that draws a warning.
    """
    if y_true is None or y_pred is None:
        raise ValueError(f"{name} compares `y_pred` with `y_true`, but one of them is None. Pass both.")
    y_pred = inexact(y_pred)
    dtypes.refuse_complex(y_pred, dtypes.config.floatx())
    given = tensor(y_true, y_pred.dtype)
    y_true, y_pred = same_rank(given, y_pred)
    if 1 < y_true.ndim == y_pred.ndim and y_pred.shape[-1] == 1 and y_true.shape[:-1] == y_pred.shape[:-1]:
        if y_true.shape[-1] != 1:
            frames.warn(f"{name}: the one value of `y_pred`, of shape {tuple(y_pred.shape)}, is compared with each of the "
                        f"{y_true.shape[-1]} of `y_true`, of shape {tuple(given.shape)}. Should the model's last layer have "
                        f"{y_true.shape[-1]} units?")
            y_pred = jnp.broadcast_to(y_pred, y_true.shape)
    elif y_true.shape != y_pred.shape:
        raise ValueError(
            f"{name}: `y_true` of shape {tuple(given.shape)} does not fit `y_pred` of shape {tuple(y_pred.shape)}. "
            "They must have one shape (a last axis of size 1 may be missing): cornu does not broadcast targets.\n"
            "Check the units of the model's last layer, and the shape of y." + _integer_hint(given, y_pred))
    return y_true, y_pred


def _integer_hint(y_true, y_pred) -> str:
    if y_pred.ndim in (y_true.ndim, y_true.ndim + 1) and y_true.size * y_pred.shape[-1] == y_pred.size:
        return " For integer class labels there is sparse_categorical_crossentropy."
    return ""


def align(weights, shape: tuple, what: str = "sample_weight"):
    """Weights or a mask, of shape (batch, ...), with axes of size 1 added or dropped at the end to fit `shape`."""
    given = weights.shape
    while weights.ndim > len(shape) and weights.shape[-1] == 1:
        weights = weights[..., 0]
    if weights.ndim < len(shape):
        weights = weights.reshape(weights.shape + (1,) * (len(shape) - weights.ndim))
    if weights.ndim > len(shape) or any(w not in (1, d) for w, d in zip(weights.shape, shape)):
        raise ValueError(f"`{what}` of shape {tuple(given)} does not fit values of shape {tuple(shape)}: pass one for "
                         "each sample, of shape (batch,), or one for each value.")
    return weights


# Reduction -------------------------------------------------------------------------------------------------------


def reduce_values(values, sample_weight=None, mask=None, reduction="sum_over_batch_size", dtype=None):
    """Weighted and masked values as `reduction` says; where nothing counts the result is 0.

    Args:
        values: one loss per sample, of shape (batch, ...), or a scalar.
        sample_weight: None, a number, or weights of shape (batch,) or of the leading axes of `values`.
        mask: None, or booleans of such a shape; what is False does not count, in the sum or in the number.
        reduction: "sum_over_batch_size" or "mean" (sum / number), "mean_with_sample_weight" (sum / sum of weights),
            "sum", or "none" or None (no reduction).
        dtype: of the result.
    """
    values = tensor(values, dtype)
    weights, counted = None, values.size
    if sample_weight is not None:
        weights = tensor(sample_weight, values.dtype)
        weights = align(weights, values.shape) if values.ndim else weights
        values, weights = values * weights, jnp.broadcast_to(weights, jnp.broadcast_shapes(values.shape, weights.shape))
        counted = values.size
    if mask is not None:
        mask = tensor(mask, "bool")
        mask = align(mask, values.shape, "mask") if values.ndim else mask
        mask = jnp.broadcast_to(mask, jnp.broadcast_shapes(values.shape, mask.shape))
        values = jnp.where(mask, values, 0)  # not a product: 0 * inf would be NaN
        weights = None if weights is None else jnp.where(mask, weights, 0)
        counted = jnp.sum(mask)
    if reduction in (None, "none"):
        return values
    total = jnp.sum(values)
    if reduction == "sum":
        return total
    if reduction == "mean_with_sample_weight" and weights is not None:
        counted = jnp.sum(weights)
        return jnp.where(counted == 0, 0, total / jnp.where(counted == 0, 1, counted)).astype(values.dtype)
    return total / jnp.maximum(counted, 1).astype(values.dtype)


class Loss(Configurable):
    """Base of losses: a subclass defines `call(y_true, y_pred)`, which gives one value per sample.

    Args:
        name: a name; made up if None.
        reduction: how the values become one number: "sum_over_batch_size" or "mean" (their sum, weighted, over their
            number), "mean_with_sample_weight" (over the sum of the weights), "sum", or "none" or None (they stay).
        dtype: a dtype or policy in which to compute; floatx by default, whatever the layers' policy.

    Masked values count neither in the sum nor in the number; where all is masked the loss is 0.
    Raises ValueError for an unknown reduction.

    >>> class Quartic(Loss):
    ...     def call(self, y_true, y_pred):
    ...         return jnp.mean((y_true - y_pred) ** 4, axis=-1)
    >>> print(Quartic()([[1.0], [2.0]], [[1.0], [4.0]], sample_weight=[1.0, 0.5]))
    4.0
    """

    def __init__(self, name: str | None = None, reduction: str | None = "sum_over_batch_size", dtype=None):
        self.name = names.auto_name(type(self).__name__) if name is None else name
        if reduction == "auto":  # Keras 2's word, still found in files
            reduction = "sum_over_batch_size"
        self.reduction = check.one_of("reduction", reduction, REDUCTIONS, type(self).__name__)
        self.dtype_policy = dtypes.get(dtypes.config.floatx() if dtype is None else dtype)
        self._dtype_told = dtype

    @property
    def dtype(self) -> str:
        """The dtype in which the loss is computed."""
        return self.dtype_policy.compute_dtype

    def call(self, y_true, y_pred):
        """One value per sample, of shape (batch, ...)."""
        raise NotImplementedError(f"Loss {type(self).__name__} must define `call(self, y_true, y_pred)`.")

    @frames.filtered
    def __call__(self, y_true, y_pred, sample_weight=None):
        """The loss of a batch; `sample_weight` is None or has the shape (batch,) or that of what `call` returns."""
        with jax.named_scope(self.name):
            mask = mask_of(y_pred)
            y_true, y_pred = arrays(y_true, self._cast_target), arrays(y_pred, self._cast)
            if hasattr(y_true, "ndim") and hasattr(y_pred, "ndim"):
                y_true = lift(y_true, y_pred, mask, sample_weight)
            values = self.call(y_true, y_pred)
            if values is None:
                raise ValueError(f"Loss {self.name!r} returned None. It must return one value per sample, or a number.")
            if (own := mask_of(values)) is not None:  # such as that of `ignore_class`
                mask = own if mask is None else jnp.logical_and(align(tensor(mask, "bool"), own.shape, "mask"), own)
            return reduce_values(values, sample_weight, mask, self.reduction, self.dtype)

    def _cast(self, x):
        return x if x is None else tensor(x, self.dtype)

    _cast_target = _cast

    def _config_value(self, name: str):
        return self._dtype_told if name == "dtype" else super()._config_value(name)

    def get_config(self) -> dict:  # Keras leaves a dtype of None out
        config = super().get_config()
        if config.get("dtype", 0) is None:
            del config["dtype"]  # as in Keras's files
        return config

    def __repr__(self):
        return f"<{type(self).__name__} name={self.name}>"


class LossFunctionWrapper(Loss):
    """A loss from a function `fn(y_true, y_pred, **kwargs)` that gives one value per sample.

    Args:
        fn: the function.
        reduction, name, dtype: as for `Loss`.
        **kwargs: what else the function is called with.

    >>> double = LossFunctionWrapper(lambda y_true, y_pred, factor: factor * jnp.abs(y_true - y_pred), factor=2.0)
    >>> print(double([1.0, 2.0], [1.0, 4.0]))
    2.0
    """

    def __init__(self, fn, reduction: str | None = "sum_over_batch_size", name: str | None = None, dtype=None,
                 **kwargs):
        super().__init__(name or getattr(fn, "__name__", None), reduction, dtype)
        self.fn, self._fn_kwargs = fn, kwargs
        for key, value in kwargs.items():  # attributes, so that thin classes' configs are read from them
            object.__setattr__(self, key, value)

    def call(self, y_true, y_pred):
        if hasattr(y_true, "ndim") and hasattr(y_pred, "ndim"):
            y_true, y_pred = same_rank(y_true, y_pred)
        return self.fn(y_true, y_pred, **self._fn_kwargs)

    def _cast_target(self, x):
        if getattr(self.fn, "integer_targets", False):  # 16 bits would round class numbers
            return tensor(x)
        return self._cast(x)

    def get_config(self) -> dict:  # the function is no argument of the subclasses
        config = super().get_config()
        if type(self) is LossFunctionWrapper:
            config |= {"fn": function_config(self.fn), **registry.serialize(self._fn_kwargs)}
        return config

    @classmethod
    def from_config(cls, config: dict) -> "LossFunctionWrapper":
        if "fn" in config:
            config = config | {"fn": registry.deserialize(config["fn"], area="losses", printable_name="loss")}
        return cls(**config)


def function_config(fn) -> dict:
    """A function by its name, in the form that Keras reads."""
    config = registry.serialize(fn)
    return {"module": "builtins", "class_name": "function", "config": config, "registered_name": "function"} \
        if isinstance(config, str) else config


# Labels ----------------------------------------------------------------------------------------------------------


@frames.filtered
def check_labels(y, num_classes: int, ignore_class: int | None = None) -> None:
    """Raise ValueError for a class number of `y` (a NumPy array) outside 0 ... num_classes - 1, naming the first.

    Args:
        y: labels, of any shape: whole numbers.
        num_classes: how many classes the model knows.
        ignore_class: None, or the one label that may lie outside.

    >>> check_labels(np.array([0, 2, -1]), 3, ignore_class=-1)
    """
    y = np.asarray(y)
    if not y.size or y.dtype.kind not in "iufb":
        return
    if y.dtype.kind == "f" and (place := _first(y != np.floor(y))) is not None:
        raise ValueError(f"Label {y[place]} at index {_shown(place)} of y is no whole number: class numbers are 0 to "
                         f"{num_classes - 1}. For targets that are real numbers use a loss such as 'mse'.")
    outside = (y < 0) | (y >= num_classes) if y.min() < 0 or y.max() >= num_classes else np.zeros((), bool)
    if ignore_class is not None:
        outside = outside & (y != ignore_class)
    if (place := _first(outside)) is not None:
        from_one = " Labels that start at 1 need `y - 1`." if y[place] == num_classes and y.min() == 1 else ""
        raise ValueError(f"Label {y[place]} at index {_shown(place)} of y is out of range: over {num_classes} classes "
                         f"labels are 0 to {num_classes - 1}.{from_one} Check the labels and the units of the last "
                         "layer; a sparse categorical cross-entropy leaves out the label given as ignore_class.")


@frames.filtered
def check_bits(y) -> None:
    """Raise ValueError for an integer of `y` (a NumPy array) other than 0 and 1, naming the first.

    >>> check_bits(np.array([0, 1, 1]))
    """
    y = np.asarray(y)
    if y.size and y.dtype.kind in "iu" and (place := _first((y < 0) | (y > 1))) is not None:
        what = "Labels -1 and 1 need `(y + 1) // 2`, or the loss 'hinge'" if y.min() == -1 and y.max() == 1 else \
            "For class numbers use sparse_categorical_crossentropy, with a unit and softmax for each class"
        raise ValueError(f"Label {y[place]} at index {_shown(place)} of y is out of range: binary cross-entropy takes "
                         f"targets from 0 to 1. {what}.")


def _first(where) -> tuple | None:
    return tuple(int(i) for i in np.argwhere(where)[0]) if where.any() else None


def _shown(place: tuple):
    return place[0] if len(place) == 1 else place
