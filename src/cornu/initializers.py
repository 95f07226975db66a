"""Initial values of weights. An initializer is called as `initializer(shape, dtype=None)`."""

import functools
import math
from typing import Any, Callable

import jax
import jax.numpy as jnp
import numpy as np

from cornu import check, dtypes, frames, random, registry
from cornu.registry import Configurable
from cornu.variable import Variable, filled


class Initializer(Configurable):
    """Base: subclasses define `__call__(shape, dtype=None)`, which returns an array."""

    def __call__(self, shape, dtype=None):
        raise NotImplementedError(f"{type(self).__name__} does not define __call__(self, shape, dtype=None).")

    def clone(self) -> "Initializer":
        """A new initializer of the same config; without a seed it draws another one."""
        return self.from_config(self.get_config())


class _Random(Initializer):
    """Base of what draws: without a seed, one is drawn when it is made, so that every call gives the same numbers."""

    def __init__(self, seed=None):
        if isinstance(seed, dict):
            seed = registry.deserialize(seed)
        if seed is not None and not hasattr(seed, "next") and (not isinstance(seed, (int, np.integer))
                                                                or isinstance(seed, bool)):
            raise ValueError(f"{type(self).__name__}: argument `seed` must be an integer, a SeedGenerator or None. "
                             f"Received: {seed!r}")
        self.seed = seed
        self._seed = random.make_default_seed() if seed is None else seed


# Constants ---------------------------------------------------------------------------------------------------------


class Zeros(Initializer):
    """Zeros."""

    def __call__(self, shape, dtype=None):
        return filled(shape, 0, dtypes.standardize(dtype))


class Ones(Initializer):
    """Ones."""

    def __call__(self, shape, dtype=None):
        return filled(shape, 1, dtypes.standardize(dtype))


class Constant(Initializer):
    """One value everywhere.

    Args:
        value: a number, or values that broadcast to the shape.
    """

    def __init__(self, value=0.0):
        self.value = value

    def __call__(self, shape, dtype=None):
        return jnp.broadcast_to(jnp.asarray(self.value, dtypes.standardize(dtype)), shape)


class Identity(Initializer):
    """A matrix with `gain` on its diagonal and zeros elsewhere.

    Args:
        gain: the value on the diagonal.
    """

    def __init__(self, gain: float = 1.0):
        self.gain = gain

    def __call__(self, shape, dtype=None):
        if len(shape) != 2:
            raise ValueError(f"Identity makes matrices. Received: shape={tuple(shape)}")
        return self.gain * jnp.eye(*shape, dtype=dtypes.standardize(dtype))


class STFT(Initializer):
    """The cosines or sines of a short-time Fourier transform, of shape (frame length, 1, fft length // 2 + 1).

    Args:
        side: "real" for window(t) cos(2 pi f t / n), "imag" for -window(t) sin(2 pi f t / n).
        window: a window's name, as in scipy.signal.get_window, an array of its values, or None for none.
        scaling: "density" (the window's squares sum to 1), "spectrum" (the window sums to 1), or None.
        periodic: whether the window is periodic rather than symmetric.
    """

    def __init__(self, side: str = "real", window="hann", scaling: str | None = "density", periodic: bool = False):
        self.side = check.one_of("side", side, ("real", "imag"), "STFT")
        self.scaling = check.one_of("scaling", scaling, (None, "density", "spectrum"), "STFT")
        self.window, self.periodic = window, periodic
        if isinstance(window, str):
            _named_window(window, 4, periodic)

    def __call__(self, shape, dtype=None):
        if len(shape) != 3 or shape[1] != 1:
            raise ValueError(f"STFT makes tensors of shape (frame length, 1, frequencies). Received: {tuple(shape)}")
        length, _, frequencies = shape
        dtype = dtypes.standardize(dtype)
        angles = 2 * np.pi * np.arange(length)[:, None, None] * np.arange(frequencies) / ((frequencies - 1) * 2)
        waves = np.cos(angles) if self.side == "real" else -np.sin(angles)
        if self.window is not None:
            window = self.window
            window = _named_window(window, length, self.periodic) if isinstance(window, str) else np.asarray(window)
            scale = {"density": np.sqrt(np.sum(window**2)), "spectrum": np.sum(window), None: 1.0}[self.scaling]
            waves = waves * (window / scale)[:, None, None]
        return jnp.asarray(waves, dtype)


def _named_window(name, length, periodic):
    import scipy.signal

    try:
        return scipy.signal.get_window(name, length, periodic)
    except ValueError as error:
        raise ValueError(f"STFT: argument `window`: {error}") from None


# Random ------------------------------------------------------------------------------------------------------------


class RandomNormal(_Random):
    """Normally distributed numbers.

    Args:
        mean, stddev: of the distribution.
        seed: an integer, a SeedGenerator, or None.
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed=None):
        self.mean, self.stddev = mean, stddev
        super().__init__(seed)

    def __call__(self, shape, dtype=None):
        return random.normal(shape, self.mean, self.stddev, dtype, self._seed)


class TruncatedNormal(_Random):
    """Normally distributed numbers; those beyond two standard deviations are drawn again.

    Args:
        mean, stddev: of the distribution before it is truncated.
        seed: an integer, a SeedGenerator, or None.
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed=None):
        self.mean, self.stddev = mean, stddev
        super().__init__(seed)

    def __call__(self, shape, dtype=None):
        return random.truncated_normal(shape, self.mean, self.stddev, dtype, self._seed)


class RandomUniform(_Random):
    """Evenly distributed numbers.

    Args:
        minval, maxval: the ends of the interval.
        seed: an integer, a SeedGenerator, or None.
    """

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed=None):
        self.minval, self.maxval = minval, maxval
        super().__init__(seed)

    def __call__(self, shape, dtype=None):
        return random.uniform(shape, self.minval, self.maxval, dtype, self._seed)


class VarianceScaling(_Random):
    """Numbers of mean 0 and variance scale / n, where n is the number of a unit's inputs, outputs, or their mean.

    Args:
        scale: a number > 0.
        mode: what n counts: "fan_in", "fan_out" or "fan_avg".
        distribution: "truncated_normal", "untruncated_normal" or "uniform".
        seed: an integer, a SeedGenerator, or None.
        input_axes, output_axes: the axes of the weight that inputs and outputs are counted along; by default the last
            but one and the last, times the sizes of all others.
    """

    def __init__(self, scale: float = 1.0, mode: str = "fan_in", distribution: str = "truncated_normal", seed=None,
                 input_axes=None, output_axes=None):
        owner = type(self).__name__
        self.scale = check.positive("scale", scale, owner, kind=float)
        self.mode = check.one_of("mode", mode, ("fan_in", "fan_out", "fan_avg"), owner)
        distribution = "truncated_normal" if distribution == "normal" else distribution
        self.distribution = check.one_of("distribution", distribution,
                                         ("truncated_normal", "untruncated_normal", "uniform"), owner)
        if (input_axes is None) != (output_axes is None):
            raise ValueError(f"{owner}: pass both `input_axes` and `output_axes`, or neither.")
        self.input_axes, self.output_axes = input_axes, output_axes
        super().__init__(seed)

    def __call__(self, shape, dtype=None):
        fan_in, fan_out = compute_fans(shape, self.input_axes, self.output_axes)
        count = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, count)
        if self.distribution == "uniform":
            limit = math.sqrt(3.0 * variance)
            return random.uniform(shape, -limit, limit, dtype, self._seed)
        if self.distribution == "untruncated_normal":
            return random.normal(shape, 0.0, math.sqrt(variance), dtype, self._seed)
        # Cut at two standard deviations, a normal distribution keeps this share of its own.
        return random.truncated_normal(shape, 0.0, math.sqrt(variance) / 0.87962566103423978, dtype, self._seed)


def compute_fans(shape, input_axes=None, output_axes=None) -> tuple:
    """How many inputs and outputs a unit has whose weight is of the given shape."""
    if input_axes is None:
        if len(shape) < 2:
            return (shape[0],) * 2 if shape else (1, 1)
        field = math.prod(shape[:-2])
        return shape[-2] * field, shape[-1] * field
    groups = ((axes,) if isinstance(axes, int) else axes for axes in (input_axes, output_axes))
    return tuple(math.prod(shape[a] for a in group) for group in groups)


def _scaling(name, scale, mode, distribution, doc):
    """A subclass of VarianceScaling whose scale, mode and distribution are given."""

    def __init__(self, seed=None, input_axes=None, output_axes=None):
        VarianceScaling.__init__(self, scale, mode, distribution, seed, input_axes, output_axes)

    doc += ("\n\nArgs:\n    seed: an integer, a SeedGenerator, or None.\n    input_axes, output_axes: as in "
            "VarianceScaling.")
    return type(name, (VarianceScaling,), {"__init__": __init__, "__doc__": doc, "__module__": __name__})


GlorotUniform = _scaling("GlorotUniform", 1.0, "fan_avg", "uniform",
                         "Even in +-sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010).")
GlorotNormal = _scaling("GlorotNormal", 1.0, "fan_avg", "truncated_normal",
                        "Truncated normal of variance 2 / (fan_in + fan_out) (Glorot and Bengio 2010).")
LecunUniform = _scaling("LecunUniform", 1.0, "fan_in", "uniform", "Even in +-sqrt(3 / fan_in) (LeCun et al. 1998).")
LecunNormal = _scaling("LecunNormal", 1.0, "fan_in", "truncated_normal",
                       "Truncated normal of variance 1 / fan_in (LeCun et al. 1998).")
HeUniform = _scaling("HeUniform", 2.0, "fan_in", "uniform", "Even in +-sqrt(6 / fan_in) (He et al. 2015).")
HeNormal = _scaling("HeNormal", 2.0, "fan_in", "truncated_normal",
                    "Truncated normal of variance 2 / fan_in (He et al. 2015).")


class Orthogonal(_Random):
    """A random orthogonal matrix times `gain`; axes before the last are taken as one (Saxe et al. 2013).

    Args:
        gain: a factor.
        seed: an integer, a SeedGenerator, or None.
    """

    def __init__(self, gain: float = 1.0, seed=None):
        self.gain = gain
        super().__init__(seed)

    def __call__(self, shape, dtype=None):
        if len(shape) < 2:
            raise ValueError(f"Orthogonal makes tensors of two axes or more. Received: shape={tuple(shape)}")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        drawn = random.normal((max(rows, columns), min(rows, columns)), seed=self._seed, dtype=dtype)
        dtype = drawn.dtype
        library = jnp if isinstance(drawn, jax.core.Tracer) else np  # which compiles nothing: 30 programs for one LSTM otherwise
        drawn = library.asarray(drawn)
        q, r = library.linalg.qr(drawn.astype("float32") if dtype.itemsize < 4 else drawn)
        q = q * library.sign(library.diagonal(r))  # so that every orthogonal matrix is as likely
        return jnp.asarray(self.gain * (q.T if rows < columns else q).reshape(shape), dtype)


IdentityInitializer, OrthogonalInitializer, STFTInitializer = Identity, Orthogonal, STFT
zeros, ones, constant, identity, stft, orthogonal = Zeros, Ones, Constant, Identity, STFT, Orthogonal
random_normal, random_uniform, truncated_normal = RandomNormal, RandomUniform, TruncatedNormal
variance_scaling, glorot_uniform, glorot_normal = VarianceScaling, GlorotUniform, GlorotNormal
he_uniform, he_normal, lecun_uniform, lecun_normal = HeUniform, HeNormal, LecunUniform, LecunNormal

registry.add_functions("initializers", {
    "zeros": Zeros, "zero": Zeros, "ones": Ones, "one": Ones, "constant": Constant, "identity": Identity,
    "stft": STFT, "orthogonal": Orthogonal, "random_normal": RandomNormal, "normal": RandomNormal,
    "random_uniform": RandomUniform, "uniform": RandomUniform, "truncated_normal": TruncatedNormal,
    "variance_scaling": VarianceScaling, "glorot_uniform": GlorotUniform, "glorot_normal": GlorotNormal,
    "he_uniform": HeUniform, "he_normal": HeNormal, "lecun_uniform": LecunUniform, "lecun_normal": LecunNormal,
    "IdentityInitializer": Identity, "OrthogonalInitializer": Orthogonal, "STFTInitializer": STFT})


@frames.filtered
def get(identifier: Any) -> Callable | None:
    """The initializer that a name, a config, a class, a callable or an array means; None for None.

    Raises ValueError for an unknown name, with the nearest known ones.

    >>> type(get("he_normal")).__name__
    'HeNormal'
    """
    if isinstance(identifier, (np.ndarray, jax.Array, Variable)):
        return _from_array(identifier)
    return registry.get(identifier, "initializers", "initializer")


def _from_array(values):
    @functools.wraps(Constant.__call__, assigned=("__doc__",), updated=())
    def initialize(shape, dtype=None):
        if tuple(shape) != tuple(values.shape):
            raise ValueError(f"An array of shape {tuple(values.shape)} cannot initialize a weight of shape "
                             f"{tuple(shape)}.")
        return jnp.asarray(getattr(values, "raw", values), dtypes.standardize(dtype))

    return initialize


def serialize(initializer: Initializer) -> dict:
    """The initializer as a config."""
    return registry.serialize(initializer)


@frames.filtered
def deserialize(config: dict, custom_objects: dict | None = None) -> Initializer:
    """The initializer that `serialize` wrote."""
    return registry.deserialize(config, custom_objects, "initializers", "initializer")


Variable.resolve_initializer = staticmethod(get)
