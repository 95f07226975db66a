"""Layers that act in training alone: dropout, noise, and penalties on activations."""

import math

import jax.numpy as jnp

from cornu import check, config, random, regularizers
from cornu.layers.layer import Layer
from cornu.layers.spec import InputSpec


class _Noise(Layer):
    """A random change of the inputs in training; nothing else outside it. `_strength` 0 means never any."""

    _strength = "rate"

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.supports_masking = True
        self.built = True

    def _set_strength(self, value, high=1.0):
        name = self._strength
        setattr(self, name, check.between(name, value, 0, high, type(self).__name__))
        if value > 0:
            self.seed_generator = random.SeedGenerator(self.seed)

    def call(self, inputs, training=False):
        return self._noisy(inputs) if training and getattr(self, self._strength) > 0 else inputs


class Dropout(_Noise):
    """In training, sets a random share of the inputs to 0 and divides the others by `1 - rate` (Srivastava et al. 2014).

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
        if not isinstance(shape, (list, tuple)) or any(n is not None and (not isinstance(n, int) or n < 1) for n in shape):
            raise ValueError(f"{type(self).__name__}: argument `noise_shape` must be a tuple of integers > 0 and None. "
                             f"Received: {shape!r}")
        return tuple(shape)

    def _shape_of_noise(self, inputs):
        return self.noise_shape

    def _noisy(self, inputs):
        if self.rate == 1:  # nothing is left, and there is nothing to divide by
            return jnp.zeros_like(inputs)
        return random.dropout(inputs, self.rate, self._shape_of_noise(inputs), self.seed_generator)
