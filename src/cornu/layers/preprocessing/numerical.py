"""Numbers to numbers: another scale, and bins."""


import contextlib

import jax
import jax.numpy as jnp
import numpy as np

from cornu import check, config, frames, registry
from cornu.layers.preprocessing.data_layer import DataLayer
from cornu.layers.parts import called
from cornu.layers.preprocessing.categorical import encode_traced
from cornu.layers.preprocessing.host import Adaptable, check_mode, check_sparse, host_array, is_text, numbers_of


class Rescaling(DataLayer):
    """`inputs * scale + offset`, in the compute dtype whatever the inputs' own.

    Args:
        scale, offset: numbers, or one for each channel (the last axis, or the second where the image data format is
            "channels_first").

    Raises ValueError for what is neither a number nor a list of them.

    >>> Rescaling(1 / 128, offset=-1)(np.array([[0, 64, 192]], "uint8"))
    Array([[-1. , -0.5,  0.5]], dtype=float32)
    """

    goes_before = True  # may be computed in front of a compiled step, for layers on the host

    def __init__(self, scale, offset=0.0, **kwargs):
        super().__init__(**kwargs)
        self.scale, self.offset = (_factors(n, v) for n, v in (("scale", scale), ("offset", offset)))
        self.supports_masking = True
        self.built = True

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None):
        """A layer like the one whose config this is; `custom_objects` are classes and functions by name."""
        with registry.custom_object_scope(custom_objects or {}):
            return super().from_config(config)

    def call(self, inputs):
        inputs = numbers_of(inputs, self).astype(self.compute_dtype)
        return inputs * self._along(self.scale, inputs) + self._along(self.offset, inputs)

    def _along(self, values, inputs):
        values = jnp.asarray(values, inputs.dtype)
        if values.ndim == 1 and inputs.ndim > 1 and config.image_data_format() == "channels_first":
            values = values.reshape(-1, *[1] * (inputs.ndim - 2))
        return values


def _factors(name: str, value):
    """A number or a list of them, also from a config."""
    value = registry.deserialize(value)
    try:
        np.asarray(value, "float32")
    except (TypeError, ValueError):
        raise ValueError(f"Rescaling: argument `{name}` must be a number or a list of them. "
                         f"Received: {value!r}") from None
    return value


class Normalization(Adaptable, DataLayer):
    """`(inputs - mean) / sqrt(variance)`, with the mean and variance of each feature.

    Args:
        axis: the axes that keep a mean and variance for each of their places; None for one of all values.
        mean, variance: both, where they are known; else `adapt` learns them from data.
        invert: compute `inputs * sqrt(variance) + mean` instead.

    Not adapted, it changes nothing: called so, it warns; `fit` refuses it. Raises ValueError where only one of mean and
    variance is given, or where they or the axes do not fit the input.

    >>> layer = Normalization(axis=None)
    >>> layer.adapt(np.array([1.0, 2.0, 3.0]))
    >>> layer(np.array([2.0]))
    Array([0.], dtype=float32)
    """

    goes_before = _reads_wide = True

    def __init__(self, axis=-1, mean=None, variance=None, invert=False, **kwargs):
        super().__init__(**kwargs)
        self.axis = () if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
        if not all(isinstance(a, int) for a in self.axis):
            raise ValueError(f"Normalization: argument `axis` must be an integer, several, or None. Received: {axis!r}")
        self.invert, self.supports_masking = invert, True
        self.input_mean, self.input_variance = registry.deserialize(mean), registry.deserialize(variance)
        if (mean is None) != (variance is None):
            raise ValueError("Normalization: `mean` and `variance` must both be given, or neither. "
                             f"Received: mean={mean!r:.60}, variance={variance!r:.60}")
        if mean is not None:
            if np.shape(self.input_mean) != np.shape(self.input_variance):
                raise ValueError("Normalization: `mean` and `variance` must have the same shape. They have "
                                 f"{np.shape(self.input_mean)} and {np.shape(self.input_variance)}.")
            if np.any(np.asarray(self.input_variance) < 0):
                raise ValueError(f"Normalization: `variance` is never negative. Received: {variance!r:.60}")
        self._adapted = mean is not None

    def _config_value(self, name):
        value = getattr(self, f"input_{name}" if name in ("mean", "variance") else name)
        return np.asarray(value, "float64").tolist() if name in ("mean", "variance") and value is not None else value

    def _cast(self, value):
        plain = isinstance(value, (list, tuple, dict, str, int, float)) and not isinstance(value, bool)
        return super()._cast(numbers_of(value, self) if plain else value)

    def build(self, input_shape):
        rank = len(input_shape)
        if any(not -rank <= a < rank for a in self.axis):
            raise ValueError(f"{called(self)}: axis={self.axis} is out of range for inputs of shape "
                             f"{tuple(input_shape)}.")
        self._kept = tuple(sorted(a % rank for a in self.axis))
        if any(input_shape[a] is None for a in self._kept):
            raise ValueError(f"{called(self)}: the sizes along axis={self.axis} must be known; the input has shape "
                             f"{tuple(input_shape)}.")
        self._reduced = tuple(a for a in range(rank) if a not in self._kept)
        self._broadcast = tuple(input_shape[a] if a in self._kept else 1 for a in range(rank))
        shape = tuple(input_shape[a] for a in self._kept)
        if self.input_mean is None:
            self.adapt_mean = self.add_weight(shape, "zeros", trainable=False, name="mean")
            self.adapt_variance = self.add_weight(shape, "ones", trainable=False, name="variance")
            self.count = self.add_weight((), "zeros", dtype="int32", trainable=False,
                                         name="count")  # Keras's files have it
        else:
            try:
                self._given = [np.broadcast_to(np.asarray(v, "float32"), shape)
                               for v in (self.input_mean, self.input_variance)]
            except ValueError:
                raise ValueError(f"{called(self)}: `mean` has shape {np.shape(self.input_mean)}; for inputs of shape "
                                 f"{tuple(input_shape)} and axis={self.axis} it must fit {shape}.") from None

    mean = property(lambda self: self._moment(0))
    variance = property(lambda self: self._moment(1))

    def _moment(self, which: int):
        """The mean or the variance, in a shape that fits the inputs; None before the layer is built."""
        if not self.built:
            return None
        value = (self.adapt_mean, self.adapt_variance)[which].raw if self.input_mean is None else self._given[which]
        return jnp.reshape(value, self._broadcast)

    def call(self, inputs):
        if not isinstance(inputs, jax.core.Tracer):
            self._warn_unless_adapted()
        dtype = jnp.promote_types(self.compute_dtype, "float32")  # large numbers are no infinities on the way
        inputs = numbers_of(inputs, self).astype(dtype)
        self._check_sizes(inputs.shape)
        mean, scale = (jnp.asarray(v, dtype) for v in (self.mean, jnp.sqrt(self.variance)))
        scale = jnp.maximum(scale, config.epsilon())
        result = inputs * scale + mean if self.invert else (inputs - mean) / scale
        return result.astype(self.compute_dtype)

    def _check_sizes(self, shape) -> None:
        """Raise ValueError where features have no mean of their own; axes in front may be missing or too many."""
        kept = self._broadcast[::-1]
        given = (*shape[::-1], *[1] * len(kept))
        if any(k != 1 and isinstance(d, int) and d != k for d, k in zip(given, kept)):
            raise ValueError(f"{called(self)} has means of shape {self._broadcast}; its input has shape "
                             f"{tuple(shape)}. Their sizes must be equal along axis={self.axis}.")

    # adapt -----------------------------------------------------------------------------------------------------------

    def _check_adaptable(self):
        if self.input_mean is not None:
            raise ValueError(f"{called(self)} was given its mean and variance, so there is nothing to adapt.")

    def reset_state(self) -> None:
        """Forget what was learnt."""
        self._samples, self._adapted = 0, False
        if self.built and self.input_mean is None:
            self.adapt_mean.assign(np.zeros(self.adapt_mean.shape))
            self.adapt_variance.assign(np.ones(self.adapt_variance.shape))

    def update_state(self, data) -> None:
        """Take a batch into the mean and variance, in float64 (Chan, Golub and LeVeque, 1979)."""
        data = _numbers(data, self)
        if not self.built:
            self.build(data.shape)
            if data.ndim == 1 and self._kept:
                frames.warn(f"{called(self)}: the data has shape {data.shape}, so with axis={self.axis} each value "
                            "is a feature of its own, with variance 0. Pass axis=None, or data of shape (samples, "
                            "1).")
        if data.ndim != len(self._broadcast) or any(
                data.shape[a] != self._broadcast[a] for a in self._kept):
            raise ValueError(f"{called(self)}: data of shape {data.shape} does not fit the shape {self._broadcast} "
                             "that it was built for.")
        samples = int(np.prod([data.shape[a] for a in self._reduced]))
        if not samples:
            return
        mean, variance = data.mean(self._reduced, dtype="float64"), data.var(self._reduced, dtype="float64")
        if getattr(self, "_samples", 0):
            share = samples / (samples + self._samples)
            old_mean, old_variance = self._running
            difference, merged = mean - old_mean, old_mean + (mean - old_mean) * share
            mean, variance = merged, old_variance * (1 - share) + variance * share + difference**2 * share * (1 - share)
        self._samples, self._running = getattr(self, "_samples", 0) + samples, (mean, variance)

    def finalize_state(self) -> None:
        """Make what `update_state` took in the layer's mean and variance."""
        if getattr(self, "_samples", 0):
            self.adapt_mean.assign(self._running[0])
            self.adapt_variance.assign(self._running[1])
            self._adapted = True

    def load_own_variables(self, store):
        super().load_own_variables(store)
        self._adapted = True

    def _learnt(self) -> bool:
        self._adapted = self._adapted or bool(np.any(np.asarray(self.adapt_mean.raw)) or
                                              np.any(np.asarray(self.adapt_variance.raw) != 1))
        return self._adapted

    def _warn_unless_adapted(self) -> None:
        if not self._adapted and not self._learnt():
            frames.warn(f"{called(self)} is not adapted yet, so it changes nothing. Call adapt(data) first.")

    def check_ready(self) -> None:
        """Raise ValueError before training where nothing was learnt yet."""
        if not self._adapted and not self._learnt():
            raise ValueError(f"{called(self)} is not adapted yet, so it would change nothing. Call adapt(data) on it "
                             "before fit, or pass mean and variance.")


class Discretization(Adaptable, DataLayer):
    """Numbers as the indices of the bins they fall into, or as encodings of these indices.

    Args:
        bin_boundaries: where a bin ends and the next one begins: `[0., 1.]` gives the bins below 0, [0, 1), and from 1
            on.
        num_bins: how many bins `adapt` makes, of about as many values each; instead of `bin_boundaries`.
        epsilon: the share of the values by which a boundary may be off; smaller is slower and more exact.
        output_mode: "int", "one_hot", or "multi_hot" or "count" over the last axis.
        sparse: whether encodings are sparse tensors (`jax.experimental.sparse.BCOO`); not with "int".

    NaN falls into the last bin. Raises ValueError for boundaries that do not rise, and when called before `adapt`.

    >>> Discretization([0.0, 1.0])(np.array([-1.0, 0.5, 2.0]))
    Array([0, 1, 2], dtype=int32)
    """

    goes_before = True
    _not_in_config = frozenset(("trainable",))  # Keras's constructor does not take it

    def __init__(self, bin_boundaries=None, num_bins=None, epsilon=0.01, output_mode="int", sparse=False, dtype=None,
                 name=None):
        super().__init__(dtype=dtype, name=name)
        if (bin_boundaries is None) == (num_bins is None):
            raise ValueError("Discretization: pass either `bin_boundaries` or `num_bins`. Received: "
                             f"bin_boundaries={bin_boundaries!r:.60}, num_bins={num_bins!r}")
        self.num_bins = None if num_bins is None else check.positive("num_bins", num_bins, "Discretization")
        self.epsilon = check.between("epsilon", epsilon, 1e-9, 1.0, "Discretization")
        self.output_mode = check_mode(output_mode, ("int", "one_hot", "multi_hot", "count"), "Discretization")
        self.sparse = check_sparse(sparse, output_mode, "Discretization")
        self.bin_boundaries = None if bin_boundaries is None else self._rising(bin_boundaries)
        self.summary = np.zeros((2, 0), "float32")
        self._held = _Held()

    def _rising(self, boundaries) -> list:
        try:
            values = np.asarray(boundaries, "float64").reshape(-1)
        except (TypeError, ValueError):
            values = np.array([np.nan])
        if np.isnan(values).any() or (np.diff(values) < 0).any():
            raise ValueError(f"Discretization: argument `bin_boundaries` must be numbers that rise. Received: "
                             f"{boundaries!r:.80}")
        return [b.item() if hasattr(b, "item") else b for b in boundaries]

    @property
    def output_dtype(self) -> str:
        """The dtype of what it gives."""
        return "int32" if self.output_mode == "int" else self.compute_dtype

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None):
        """A layer like the one whose config this is, with the bins that it had learnt."""
        learnt = config.get("bin_boundaries") if config.get("num_bins") is not None else None
        with registry.custom_object_scope(custom_objects or {}):
            layer = super().from_config(config if learnt is None else {**config, "bin_boundaries": None})
        layer.bin_boundaries = layer.bin_boundaries if learnt is None else layer._rising(learnt)
        return layer

    def call(self, inputs):
        if self.bin_boundaries is None:
            raise ValueError(f"{called(self)} has no bins yet. Call adapt(data) first, or pass bin_boundaries.")
        values = numbers_of(inputs, self).astype("float32")
        bins = jnp.searchsorted(jnp.asarray(self.bin_boundaries, "float32"), values, side="right")
        return bins.astype("int32") if self.output_mode == "int" else encode_traced(
            bins, self.output_mode, len(self.bin_boundaries) + 1, self.compute_dtype, sparse=self.sparse)

    def compute_output_spec(self, inputs, **kwargs):
        """As inferred; with as many bins as were asked for, as long as `adapt` has not made them."""
        with self._supposed_bins():
            return super().compute_output_spec(inputs, **kwargs)

    def _traced(self, *args, **kwargs):
        with self._supposed_bins():
            return super()._traced(*args, **kwargs)

    @contextlib.contextmanager
    def _supposed_bins(self):
        """Within, there are `num_bins` bins where `adapt` has made none yet."""
        missing = self.bin_boundaries is None
        if missing:
            self.bin_boundaries = list(range(self.num_bins - 1))
        try:
            yield
        finally:
            if missing:
                self.bin_boundaries = None

    # adapt -----------------------------------------------------------------------------------------------------------

    def _check_adaptable(self):
        if self.num_bins is None:
            raise ValueError(f"{called(self)} was given its bin_boundaries. Pass num_bins instead to adapt it.")

    def reset_state(self) -> None:
        """Forget what was learnt."""
        if self.num_bins is not None:
            self.bin_boundaries, self.summary = None, np.zeros((2, 0), "float32")
            self._held = _Held()

    def update_state(self, data) -> None:
        """Take in a batch."""
        self._check_adaptable()
        self._held.take(_numbers(data, self).astype("float32").reshape(-1))

    def finalize_state(self) -> None:
        """Make the bins from what `update_state` took in."""
        if self.num_bins is not None and len(self._held):
            self.summary = self._held.summary(self.epsilon)
            self.bin_boundaries = [float(v) for v in _thinned(self.summary, 1.0 / self.num_bins)[0, :-1]]

    def check_ready(self) -> None:
        """Raise ValueError before training where there are no bins yet."""
        if self.bin_boundaries is None:
            raise ValueError(f"{called(self)} has no bins yet. Call adapt(data) on it before fit, or pass "
                             "bin_boundaries.")


class _Held:
    """The values that `adapt` was given: all of them as long as they are few, else one for some of their neighbours."""

    _MOST = 1 << 20  # so many are kept; then half of them stand for two each, off by a millionth of the ranks

    def __init__(self):
        self._parts: list = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def take(self, values: np.ndarray) -> None:
        """Keep values, each standing for one."""
        self._parts.append(np.stack([values, np.ones(values.shape, "float32")]).astype("float64"))
        self._count += values.size
        if self._count > self._MOST:
            held = self._joined()
            marks = (np.arange(self._MOST // 2) + 0.5) * held[1].sum() / (self._MOST // 2)
            place = np.searchsorted(held[1].cumsum(), marks)
            weight = held[1].sum() / (self._MOST // 2)
            self._parts = [np.stack([held[0, place], np.full(place.shape, weight)])]
            self._count = place.size

    def _joined(self) -> np.ndarray:
        held = np.concatenate(self._parts, axis=1)
        self._parts = [held[:, np.argsort(held[0], kind="stable")]]
        return self._parts[0]

    def summary(self, share: float) -> np.ndarray:
        """Values in order, one for every share of all, and for how many each of them stands."""
        held = self._joined()
        stride = max(held.shape[1] * share, 1.0)
        kept = held[:, int(stride) - 1::int(stride)]
        weights = np.full(kept.shape[1], stride * held[1, 0])
        return _thinned(np.stack([kept[0], weights]).astype("float32"), share)


def _thinned(summary: np.ndarray, share: float) -> np.ndarray:
    """A summary with one value for every share of the weight, by interpolation; a short one stays as it is."""
    values, weights = summary
    if len(values) * share < 1:
        return summary
    heaped = weights.cumsum()
    marks = share + np.arange(0.0, 1.0, share)
    at = np.interp(marks, heaped / heaped[-1], heaped)
    return np.stack([np.interp(marks, heaped / heaped[-1], values), np.diff(at, prepend=0)]).astype("float32")


def _numbers(data, layer) -> np.ndarray:
    array = host_array(data, layer)
    if is_text(array) or array.dtype.kind not in "biuf" and array.dtype.name not in ("bfloat16", "float16"):
        raise ValueError(f"{called(layer)} takes numbers; the data has dtype {array.dtype}. For strings there are "
                         "StringLookup, Hashing and TextVectorization.")
    return array
