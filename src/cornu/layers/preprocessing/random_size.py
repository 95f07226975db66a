"""Layers of Keras 2 that give images another size at each call, for data outside compiled steps."""

import jax
import jax.numpy as jnp
import numpy as np

from cornu import check, random
from cornu.layers.preprocessing.data_layer import DataLayer
from cornu.layers.preprocessing.image import interval
from cornu.ops import image as ops

_INTERPOLATIONS = ("bilinear", "nearest", "bicubic", "lanczos3", "lanczos5")


class _RandomSize(DataLayer):
    """Images (batch, height, width, channels), or one, of which one axis gets a random size."""

    axis: int

    def __init__(self, factor, interpolation="bilinear", seed=None, **kwargs):
        super().__init__(**kwargs)
        name = type(self).__name__
        self.factor, self.seed = factor, seed
        self._range = interval(name, "factor", factor, -1, float("inf"))
        self.interpolation = check.one_of("interpolation", interpolation, _INTERPOLATIONS, name)
        self.generator = random.SeedGenerator(seed)

    def call(self, inputs, training=True):
        images = jnp.asarray(inputs)
        if not training:
            return images
        if isinstance(images, jax.core.Tracer):
            raise ValueError(
                f"{type(self).__name__} gives images of another size at each call, and a compiled "
                "step has one. Call it on the data before `fit`, or use RandomZoom in the model."
            )
        low, high = self._range
        drawn = np.asarray(random.uniform((), 1 + low, 1 + high, seed=self.generator)).item()
        size = list(images.shape[-3:-1])
        size[self.axis] = max(1, int(size[self.axis] * drawn))
        return ops.resize(images, tuple(size), self.interpolation, data_format="channels_last")

    def compute_output_shape(self, input_shape):  # the size is drawn at each call
        sizes = list(input_shape)
        sizes[self.axis - 3] = None
        return tuple(sizes)


class RandomHeight(_RandomSize):
    """In training gives images a random height.

    Args:
        factor: the range of the change, in shares of the height, from -1: two numbers, or one for
            both directions.
        interpolation: "bilinear", "nearest", "bicubic", "lanczos3" or "lanczos5".
        seed: an integer, for the same numbers each time.

    Input shape: (batch, height, width, channels), or without the batch. Raises ValueError in a
    compiled step, where sizes are fixed.

    >>> RandomHeight((0.5, 0.5))(np.ones((2, 4, 4, 3))).shape
    (2, 6, 4, 3)
    """

    axis = 0


class RandomWidth(_RandomSize):
    """In training gives images a random width; the arguments are those of `RandomHeight`.

    >>> RandomWidth((0.5, 0.5))(np.ones((2, 4, 4, 3))).shape
    (2, 4, 6, 3)
    """

    axis = 1
