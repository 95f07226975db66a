"""The base of metrics, and means: state as Variables, updated batch by batch."""

import jax.numpy as jnp
import numpy as np

from cornu import context, dtypes, frames, names, registry, tree
from cornu.losses.base import Loss, align, function_config, lift, mask_of
from cornu.metrics.tally import Tally
from cornu.ops.kit import tensor
from cornu.registry import Configurable
from cornu.symbolic import dry
from cornu.variable import Variable, filled, functional, room_for

PART = 2**20  # so many values of a batch are added one by one: float32 does not count beyond 2^24


class Metric(Configurable):
    """Base of metrics: `update_state` takes in a batch, `result` gives the value, `reset_state` starts anew.

    Args:
        dtype: a dtype or policy in which to compute; floatx by default, whatever the layers' policy.
        name: a name, under which training logs the value; made up if None.

    >>> class Largest(Metric):
    ...     def __init__(self, name="largest", **kwargs):
    ...         super().__init__(name=name, **kwargs)
    ...         self.value = self.add_weight(name="value")
    ...     def update_state(self, y_true, y_pred, sample_weight=None):
    ...         self.value.assign(jnp.maximum(self.value, jnp.max(jnp.asarray(y_pred))))
    ...     def result(self):
    ...         return self.value.value
    >>> print(Largest()([0.0, 0.0], [1.0, 3.0]))
    3.0
    """

    def __init__(self, dtype=None, name: str | None = None):
        self.name = names.auto_name(type(self).__name__) if name is None else name
        self.dtype_policy = dtypes.get(dtypes.config.floatx() if dtype is None else dtype)
        self._dtype = self.dtype_policy.compute_dtype
        self._own: list = []

    @property
    def dtype(self) -> str:
        """The dtype in which the metric is computed."""
        return self._dtype

    _is_metric = True  # by which layers know one among their attributes

    # what subclasses define ------------------------------------------------------------------------------------

    def update_state(self, *args, **kwargs) -> None:
        """Take in a batch, usually `(y_true, y_pred, sample_weight=None)`."""
        raise NotImplementedError(f"Metric {type(self).__name__} must define `update_state`.")

    def result(self):
        """The value so far: an array, or a dict of arrays by name."""
        raise NotImplementedError(f"Metric {type(self).__name__} must define `result`.")

    def reset_state(self) -> None:
        """Set all state to zero."""
        for variable in self._parts(Variable):
            variable.assign(filled(variable.shape, 0, variable.dtype, like=variable._value))
        for metric in self._parts(Metric):
            metric.reset_state()

    def build(self, y_true_shape: tuple, y_pred_shape: tuple) -> None:
        """Make the state that depends on shapes; called before the first batch where they are known."""

    # state -----------------------------------------------------------------------------------------------------

    def add_variable(self, shape, initializer=None, dtype=None, aggregation: str = "sum", name: str | None = None):
        """Add a Variable to the state: zeros, or what the initializer (a function, its name, or an array) gives.

        16-bit metrics keep their state in 32 bits, and sums of floats keep what rounding takes off (see `Tally`).
        """
        if "_own" not in self.__dict__:
            raise RuntimeError(f"{type(self).__name__}.__init__ must call super().__init__() before it adds variables.")
        dtype = self.dtype if dtype is None else dtypes.standardize(dtype)
        room_for(self.name, *((shape,) if isinstance(shape, int) else shape))
        with context.name_scope(self.name, override=(self.name,)):
            kind = Tally if aggregation == "sum" and dtypes.is_float(dtype) else Variable
            variable = kind("zeros" if initializer is None else initializer, shape, _wide(dtype), trainable=False, autocast=False,
                            aggregation=aggregation, name=name or "variable")
        self._own.append(variable)
        return variable

    def add_weight(self, shape=(), initializer=None, dtype=None, name: str | None = None):
        """`add_variable`, a scalar by default."""
        return self.add_variable(shape, initializer, dtype, name=name)

    def _parts(self, kind) -> list:
        """The Variables or Metrics among the attributes, each once; those that were added come first."""
        found = tree.flatten([v for k, v in self.__dict__.items() if k != "_told"])
        return list({id(x): x for x in found if isinstance(x, kind)}.values())

    @property
    def variables(self) -> list:
        """The state, with that of metrics kept as attributes."""
        return self._parts(Variable) + [v for m in self._parts(Metric) for v in m.variables]

    # without side effects --------------------------------------------------------------------------------------

    def stateless_update_state(self, metric_variables, *args, **kwargs) -> list:
        """`update_state` as a pure function: takes the values of `variables`, returns the new ones.

        A metric that takes its shapes from data, and has not seen any, is given no values: it starts at its first ones.
        """
        if not metric_variables and not self.variables:
            dry(lambda given: self.update_state(*given[0], **given[1]), (args, kwargs))
            metric_variables = self.variables
        return functional(self.update_state, self._check(metric_variables))(metric_variables, *args, **kwargs)[1]

    def stateless_result(self, metric_variables):
        """`result` as a pure function of the values of `variables`."""
        return functional(self.result, self._check(metric_variables))(metric_variables)[0]

    def stateless_reset_state(self) -> list:
        """The values of `variables` after `reset_state`."""
        variables = self.variables
        return functional(self.reset_state, variables)([v.raw for v in variables])[1]

    def _check(self, values) -> list:
        variables = self.variables
        if len(values) != len(variables):
            raise ValueError(f"Metric {self.name!r} has {len(variables)} variables, but {len(values)} values were "
                             "given. A metric that takes its shapes from data must see a batch (or `build`) first.")
        return variables

    @frames.filtered
    def __call__(self, *args, **kwargs):
        """Take in a batch and return the value so far."""
        self.update_state(*args, **kwargs)
        return self.result()

    def __repr__(self):
        return f"<{type(self).__name__} name={self.name}>"


# Helpers of the family -------------------------------------------------------------------------------------------


def divide(numerator, denominator):
    """The quotient, and 0 where the denominator is 0."""
    return jnp.where(denominator == 0, 0, numerator / jnp.where(denominator == 0, 1, denominator))


def weigh(shape: tuple, dtype, sample_weight=None, *masks):
    """The product of weights and masks for values of a shape, or None where there are none."""
    weights = None
    if sample_weight is not None:
        weights = tensor(sample_weight, dtype)
        weights = jnp.broadcast_to(align(weights, shape) if shape else jnp.mean(weights), shape)
    for mask in masks:
        if mask is not None:
            mask = tensor(mask, "bool")
            mask = jnp.broadcast_to(align(mask, shape, "mask") if shape else jnp.any(mask), shape)
            weights = jnp.where(mask, 1 if weights is None else weights, 0).astype(dtype)
    return weights


def _from_numbers(value):
    """A list of numbers, of lists of them ... as an array; anything else as it is."""
    if isinstance(value, (list, tuple)) and all(isinstance(v, (int, float)) for v in tree.flatten(value)):
        return tensor(value)
    return value


def _wide(dtype: str) -> str:
    return "float32" if dtype in ("float16", "bfloat16") else dtype


# Means -----------------------------------------------------------------------------------------------------------


class Mean(Metric):
    """The weighted mean of all values: sum(w v) / sum(w); 0 before the first.

    Args:
        name, dtype: as for `Metric`.

    >>> print(Mean()([1.0, 3.0], sample_weight=[1.0, 3.0]))
    2.5
    """

    def __init__(self, name: str | None = "mean", dtype=None):
        super().__init__(dtype, name)
        self.total, self.count = self.add_weight(name="total"), self.add_weight(name="count")

    def update_state(self, values, sample_weight=None) -> None:
        """Take in values; `sample_weight` is a number, or has the shape of `values` or of its leading axes."""
        mask = mask_of(values)
        self._take(tensor(values, _wide(self.dtype)), sample_weight, mask)

    def _take(self, values, sample_weight, *masks, size: int = 1) -> None:
        """Add values; a scalar counts as `size` of them."""
        weights = weigh(values.shape, values.dtype, sample_weight, *masks)
        count = (values.size or 0) * size if weights is None else jnp.sum(weights) * size
        if weights is not None:
            values = jnp.where(weights == 0, 0, values * weights)  # what is masked may even be NaN
        self.total.assign_add(jnp.sum(values) * size)
        self.count.assign_add(count)

    def result(self):
        return divide(self.total.raw, self.count.raw)


class Sum(Metric):
    """The weighted sum of all values: sum(w v).

    Args:
        name, dtype: as for `Metric`.

    >>> print(Sum()([1.0, 3.0], sample_weight=[1.0, 3.0]))
    10.0
    """

    def __init__(self, name: str | None = "sum", dtype=None):
        super().__init__(dtype, name)
        self.total = self.add_weight(name="total")

    def update_state(self, values, sample_weight=None) -> None:
        """Take in values; `sample_weight` is as for `Mean`."""
        mask, values = mask_of(values), tensor(values, _wide(self.dtype))
        weights = weigh(values.shape, values.dtype, sample_weight, mask)
        self.total.assign_add(jnp.sum(values if weights is None else jnp.where(weights == 0, 0, values * weights)))

    def result(self):
        return self.total.raw


class MeanMetricWrapper(Mean):
    """The weighted mean of `fn(y_true, y_pred, **kwargs)`, a function that gives one value per sample.

    Where the function gives one number for the whole batch, that number counts as often as the batch has samples.

    Args:
        fn: the function, or a loss.
        name, dtype: as for `Metric`.
        **kwargs: what else the function is called with.

    >>> metric = MeanMetricWrapper(lambda y_true, y_pred: jnp.abs(y_true - y_pred), name="error")
    >>> print(metric(jnp.array([1.0, 2.0]), jnp.array([1.0, 4.0])))
    1.0
    """

    def __init__(self, fn, name: str | None = None, dtype=None, **kwargs):
        super().__init__(names.auto_name(type(self).__name__) if name is None else name, dtype)
        self._fn, self._fn_kwargs = fn, kwargs
        for key, value in kwargs.items():  # attributes, so that thin classes' configs are read from them
            object.__setattr__(self, key, value)

    @property
    def fn(self):
        """The function that is averaged."""
        return self._fn

    def update_state(self, y_true, y_pred, sample_weight=None) -> None:
        """Take in a batch; what is masked in `y_pred` does not count."""
        mask = mask_of(y_pred)
        y_true, y_pred = map(_from_numbers, (y_true, y_pred))
        if not tree.is_nested(y_true) and not tree.is_nested(y_pred):
            y_true = lift(tensor(y_true), y_pred := self._wide(y_pred), mask, sample_weight)
            if y_pred.ndim == 1 and len(y_pred) > 1 and np.shape(sample_weight) == y_pred.shape:
                y_true, y_pred = y_true[:, None], y_pred[:, None]  # each value is a sample, with a weight of its own
        fn = self._fn.call if isinstance(self._fn, Loss) else self._fn
        values = fn(y_true, y_pred, **self._fn_kwargs)
        if values is None:
            raise ValueError(f"Metric {self.name!r} returned None. It must return one value per sample, or a number.")
        own, values = mask_of(values), tensor(values, _wide(self.dtype))
        size = 1 if values.ndim else len(tree.flatten(y_pred)[0])
        self._take(values, sample_weight, mask, own, size=size)

    def _wide(self, x):
        x = tensor(x)
        return x.astype(_wide(self.dtype)) if jnp.issubdtype(x.dtype, jnp.floating) else x

    def get_config(self) -> dict:  # the function is no argument of the subclasses
        config = super().get_config()
        if type(self) is MeanMetricWrapper:
            config |= {"fn": function_config(self._fn), **registry.serialize(self._fn_kwargs)}
        return config

    @classmethod
    def from_config(cls, config: dict) -> "MeanMetricWrapper":
        if "fn" in config:
            config = config | {"fn": registry.deserialize(config["fn"], area="losses", printable_name="function")}
        return cls(**config)
