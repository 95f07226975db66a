"""Layers that move, repeat, cut off and add values without changing them."""

import math

import jax.numpy as jnp

from cornu import check, config
from cornu.layers.layer import Layer
from cornu.layers.spec import InputSpec


class Flatten(Layer):
    """One axis for all axes but the batch.

    Args:
        data_format: with "channels_first" the channels are moved last before; "channels_last" by default.

    Input shape: (batch, ...). Output shape: (batch, product of the others); (batch, 1) for inputs of rank 1.

    >>> Flatten()(jnp.ones((2, 3, 4))).shape
    (2, 12)
    """

    def __init__(self, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.data_format = config.standardize_data_format(data_format)
        self.input_spec = InputSpec(min_ndim=1)
        self._channels_first = self.data_format == "channels_first"
        self.built = True

    def call(self, inputs):
        if self._channels_first and inputs.ndim > 1:
            inputs = jnp.moveaxis(inputs, 1, -1)
        return inputs.reshape(inputs.shape[0], math.prod(inputs.shape[1:]))


class Reshape(Layer):
    """Another shape for each sample.

    Args:
        target_shape: the new shape without the batch; one size may be -1, which is then worked out.

    Raises ValueError where the sizes do not fit.

    >>> Reshape((2, -1))(jnp.ones((5, 6))).shape
    (5, 2, 3)
    """

    def __init__(self, target_shape, **kwargs):
        super().__init__(**kwargs)
        shape = (target_shape,) if isinstance(target_shape, int) else tuple(target_shape)
        if any(not isinstance(n, int) or n < -1 for n in shape) or shape.count(-1) > 1:
            raise ValueError(f"Reshape: argument `target_shape` must be made of integers >= 0 and at most one -1. "
                             f"Received: {target_shape!r}")
        self.target_shape = shape
        self.built = True

    def call(self, inputs):
        sizes = inputs.shape[1:]
        known = math.prod(n for n in self.target_shape if n != -1)
        if all(isinstance(n, int) for n in sizes):
            have, open_size = math.prod(sizes), -1 in self.target_shape
            if (have % known if known else have) if open_size else have != known:
                raise ValueError(f"Reshape layer {self.name!r}: samples of shape {tuple(sizes)} ({have} values) do not "
                                 f"fit target_shape={self.target_shape}.")
        rest = math.prod(sizes) // known if -1 in self.target_shape and known else 0
        return inputs.reshape(inputs.shape[0], *(rest if n == -1 else n for n in self.target_shape))
