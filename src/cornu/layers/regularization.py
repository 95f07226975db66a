"""Layers that act in training alone: dropout, noise, and penalties on activations."""

import math

import jax.numpy as jnp

from cornu import check, config, random, regularizers
from cornu.input_spec import InputSpec
from cornu.layers.layer import Layer
from cornu.layers.spatial import Ranked


class _Noise(Layer):
    """A random change of the inputs in training; nothing else outside it. `_strength` 0 means never any."""

    _strength = "rate"
    supports_masking = _weightless = True

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed

    def _set_strength(self, value, high=1.0):
        name = self._strength
        setattr(self, name, check.between(name, value, 0, high, type(self).__name__))
        if value > 0:
            self.seed_generator = random.SeedGenerator(self.seed)

    def call(self, inputs, training=False):
        return self._noisy(inputs) if training and getattr(self, self._strength) > 0 else inputs


class Dropout(_Noise):
    """In training, sets a random share of the inputs to 0 and divides the others by `1 - rate`.

    The others are made larger so that sums keep their mean (Srivastava et al. 2014).

    Args:
        rate: the share, between 0 and 1.
        noise_shape: the shape of the random mask; where it is 1 the whole axis shares one draw, None takes the
            input's size.
        seed: an integer, for the same numbers each time.

    Raises ValueError for a rate outside [0, 1].

    >>> Dropout(0.5)(jnp.ones(3))
    Array([1., 1., 1.], dtype=float32)
    """

    def __init__(self, rate, noise_shape=None, seed=None, **kwargs):
        super().__init__(seed, **kwargs)
        self._set_strength(rate)
        self.noise_shape = None if noise_shape is None else self._check_shape(noise_shape)

    def _check_shape(self, shape):
        if not isinstance(shape, (list, tuple)) or not all(n is None or isinstance(n, int) and n > 0 for n in shape):
            raise ValueError(f"{type(self).__name__}: argument `noise_shape` must be a tuple of integers > 0 and None. "
                             f"Received: {shape!r}")
        return tuple(shape)

    def _get_noise_shape(self, inputs):
        return self.noise_shape

    def _noisy(self, inputs):
        if self.rate == 1:  # nothing is left, and there is nothing to divide by
            return jnp.zeros_like(inputs)
        return random.dropout(inputs, self.rate, self._get_noise_shape(inputs), self.seed_generator)


class _SpatialDropout(Ranked, Dropout):
    """Dropout of whole feature maps (Tompson et al. 2014)."""

    _not_in_config = frozenset(("trainable",))  # Keras's own constructor does not take it

    def __init__(self, rate, data_format, seed, name, dtype, trainable=True):
        super().__init__(rate, seed=seed, name=name, dtype=dtype, trainable=trainable)
        self.data_format = config.standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def _get_noise_shape(self, inputs):
        first, ones = self.data_format == "channels_first", (1,) * self.rank
        return (inputs.shape[0], inputs.shape[1], *ones) if first else (inputs.shape[0], *ones, inputs.shape[-1])


class SpatialDropout1D(_SpatialDropout):
    """In training, sets a random share of the channels of a sequence to 0, each over all steps.

    Args:
        rate: the share, between 0 and 1.
        seed: an integer, for the same numbers each time.
        name, dtype: as for every layer.

    Input shape: (batch, steps, channels).

    >>> SpatialDropout1D(0.5)(jnp.ones((1, 2, 3))).shape
    (1, 2, 3)
    """

    def __init__(self, rate, seed=None, name=None, dtype=None):
        super().__init__(rate, "channels_last", seed, name, dtype)


class SpatialDropout2D(_SpatialDropout):
    """In training, sets a random share of the channels of images to 0, each over the whole image.

    Args:
        rate: the share, between 0 and 1.
        data_format: "channels_last", "channels_first", or None for the configured one.
        seed: an integer, for the same numbers each time.
        name, dtype: as for every layer.

    Input shape: (batch, height, width, channels) or, channels_first, (batch, channels, height, width).

    >>> SpatialDropout2D(0.5)(jnp.ones((1, 2, 2, 3))).shape
    (1, 2, 2, 3)
    """

    def __init__(self, rate, data_format=None, seed=None, name=None, dtype=None):
        super().__init__(rate, data_format, seed, name, dtype)


class SpatialDropout3D(_SpatialDropout):
    """In training, sets a random share of the channels of volumes to 0; arguments as in `SpatialDropout2D`.

    >>> SpatialDropout3D(0.5)(jnp.ones((1, 2, 2, 2, 3))).shape
    (1, 2, 2, 2, 3)
    """

    def __init__(self, rate, data_format=None, seed=None, name=None, dtype=None):
        super().__init__(rate, data_format, seed, name, dtype)


class GaussianNoise(_Noise):
    """In training, adds numbers from a normal distribution of mean 0.

    Args:
        stddev: the standard deviation, 0 or more.
        seed: an integer, for the same numbers each time.

    >>> GaussianNoise(0.1)(jnp.ones(2))
    Array([1., 1.], dtype=float32)
    """

    _strength = "stddev"

    def __init__(self, stddev, seed=None, **kwargs):
        super().__init__(seed, **kwargs)
        self._set_strength(stddev, math.inf)

    def _noisy(self, inputs):
        return inputs + random.normal(inputs.shape, 0.0, self.stddev, inputs.dtype, self.seed_generator)


class GaussianDropout(_Noise):
    """In training, multiplies with numbers of mean 1 and variance `rate / (1 - rate)` (Srivastava et al. 2014).

    Args:
        rate: of the Dropout with the same variance, at least 0 and below 1.
        seed: an integer, for the same numbers each time.

    >>> GaussianDropout(0.1)(jnp.ones(2))
    Array([1., 1.], dtype=float32)
    """

    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(seed, **kwargs)
        self._set_strength(rate)
        _below_one(self)

    def _noisy(self, inputs):
        stddev = math.sqrt(self.rate / (1 - self.rate))
        return inputs * random.normal(inputs.shape, 1.0, stddev, inputs.dtype, self.seed_generator)


class AlphaDropout(Dropout):
    """Dropout for SELU networks: mean and variance stay what they are (Klambauer et al. 2017).

    In training a random share of the inputs is set to SELU's least value, and all are scaled and shifted back.

    Args:
        rate: the share, at least 0 and below 1.
        noise_shape: the shape of the random mask; where it is 1 the whole axis shares one draw.
        seed: an integer, for the same numbers each time.

    >>> AlphaDropout(0.1)(jnp.ones(2))
    Array([1., 1.], dtype=float32)
    """

    def __init__(self, rate, noise_shape=None, seed=None, **kwargs):
        super().__init__(rate, noise_shape, seed, **kwargs)
        _below_one(self)

    def _noisy(self, inputs):
        least = -1.6732632423543772 * 1.0507009873554805  # SELU's limit: -alpha * scale
        shape = [n if m is None else m for n, m in zip(inputs.shape, self.noise_shape or inputs.shape)]
        keep = random.uniform(shape, seed=self.seed_generator) >= self.rate
        a = ((1 - self.rate) * (1 + self.rate * least**2)) ** -0.5
        return a * jnp.where(keep, inputs, jnp.asarray(least, inputs.dtype)) - a * least * self.rate


def _below_one(layer):
    if layer.rate == 1:
        raise ValueError(f"{type(layer).__name__}: argument `rate` must be below 1: at 1 the noise is infinite.")


class ActivityRegularization(Layer):
    """Gives its inputs back, and adds `l1 * sum(|x|) + l2 * sum(x²)`, over the batch size, to the loss.

    Args:
        l1, l2: the factors, 0 or more.

    >>> layer = ActivityRegularization(l1=0.5)
    >>> layer(jnp.ones((2, 3))).shape, float(layer.losses[0])
    ((2, 3), 1.5)
    """

    _not_in_config = frozenset(("activity_regularizer",))  # it says l1 and l2 again
    supports_masking = _weightless = True

    def __init__(self, l1=0.0, l2=0.0, **kwargs):
        super().__init__(activity_regularizer=regularizers.L1L2(l1=l1, l2=l2), **kwargs)
        self.l1, self.l2 = l1, l2

    def call(self, inputs):
        return inputs
