"""Pooling: the greatest value or the mean of windows, of regions, or of everything."""

import jax.numpy as jnp
from jax import lax

from cornu import check, config
from cornu.layers.convolution import check_window
from cornu.layers.layer import Layer
from cornu.layers.spec import InputSpec


class _Pooling(Layer):
    rank: int

    def __init__(self, pool_size=2, strides=None, padding="valid", data_format=None, name=None, **kwargs):
        super().__init__(name=name, **kwargs)
        owner = type(self).__name__
        self.pool_size = check.int_tuple("pool_size", pool_size, self.rank, owner)
        self.strides = self.pool_size if strides is None else check.int_tuple("strides", strides, self.rank, owner)
        self.padding = check.one_of("padding", str(padding).lower(), ("valid", "same"), owner)
        self.data_format = config.standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def call(self, inputs):
        if self.padding == "valid":
            check_window(self, inputs, self.pool_size)
        return self._pool(inputs, self.pool_size, self.strides, self.padding, self.data_format)


def max_pool(x, pool_size, strides, padding, data_format):
    low = -jnp.inf if jnp.issubdtype(x.dtype, jnp.floating) else jnp.iinfo(x.dtype).min
    window, steps = ((1, *v, 1) if data_format == "channels_last" else (1, 1, *v) for v in (pool_size, strides))
    return lax.reduce_window(x, jnp.asarray(low, x.dtype), lax.max, window, steps, padding.upper())


class _MaxPooling(_Pooling):
    _pool = staticmethod(max_pool)


class MaxPooling2D(_MaxPooling):
    """The greatest value of every window over two axes.

    Args:
        pool_size: height and width of the window; an integer means both.
        strides: the window's steps; None for the window's size.
        padding: "valid" (none) or "same" (so that the output's size is the input's over the stride).
        data_format: "channels_last", "channels_first", or None for the configured one.

    Input shape: (batch, height, width, channels) or, channels_first, (batch, channels, height, width). Raises
    ValueError for a window larger than an unpadded input.

    >>> MaxPooling2D(2)(jnp.ones((2, 28, 28, 3))).shape
    (2, 14, 14, 3)
    """

    rank = 2


MaxPool2D = MaxPooling2D
