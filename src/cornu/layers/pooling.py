"""Pooling: the greatest value or the mean of windows, of regions, or of everything."""

import jax.numpy as jnp
import numpy as np

from cornu import check, config
from cornu.layers.convolution import check_window
from cornu.layers.layer import Layer
from cornu.layers.spec import InputSpec
from cornu.lowering.pooling import average_pool, max_pool


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


class _MaxPooling(_Pooling):
    """The greatest value of every window."""

    _pool = staticmethod(max_pool)


class _AveragePooling(_Pooling):
    """The mean of every window; padding does not count."""

    def __init__(self, pool_size, strides=None, padding="valid", data_format=None, name=None, **kwargs):
        super().__init__(pool_size, strides, padding, data_format, name=name, **kwargs)

    def _pool(self, x, *window):
        return average_pool(x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(self.compute_dtype), *window)


class MaxPooling1D(_MaxPooling):
    """The greatest value of every window over one axis; arguments as in `MaxPooling2D`."""

    rank = 1


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


class MaxPooling3D(_MaxPooling):
    """The greatest value of every window over three axes; arguments as in `MaxPooling2D`."""

    rank = 3


class AveragePooling1D(_AveragePooling):
    """The mean of every window over one axis; arguments as in `MaxPooling2D`. Padding does not count in the mean."""

    rank = 1


class AveragePooling2D(_AveragePooling):
    """The mean of every window over two axes; arguments as in `MaxPooling2D`. Padding does not count in the mean."""

    rank = 2


class AveragePooling3D(_AveragePooling):
    """The mean of every window over three axes; arguments as in `MaxPooling2D`. Padding does not count in the mean."""

    rank = 3


class _GlobalPooling(Layer):
    rank: int

    def __init__(self, data_format=None, keepdims=False, **kwargs):
        super().__init__(**kwargs)
        self.data_format = config.standardize_data_format(data_format)
        self.keepdims = keepdims
        self.input_spec = InputSpec(ndim=self.rank + 2)

    @property
    def _axes(self):
        first = 1 if self.data_format == "channels_last" else 2
        return tuple(range(first, first + self.rank))

    def call(self, inputs):
        return self._reduce(inputs, axis=self._axes, keepdims=self.keepdims)


class GlobalMaxPooling1D(_GlobalPooling):
    """The greatest value of every channel over one axis; arguments as in `GlobalAveragePooling2D`."""

    rank, _reduce = 1, staticmethod(jnp.max)


class GlobalMaxPooling2D(_GlobalPooling):
    """The greatest value of every channel over two axes; arguments as in `GlobalAveragePooling2D`."""

    rank, _reduce = 2, staticmethod(jnp.max)


class GlobalMaxPooling3D(_GlobalPooling):
    """The greatest value of every channel over three axes; arguments as in `GlobalAveragePooling2D`."""

    rank, _reduce = 3, staticmethod(jnp.max)


class GlobalAveragePooling1D(_GlobalPooling):
    """The mean of every channel over one axis; where a mask says False, a step does not count.

    Arguments as in `GlobalAveragePooling2D`. The mean over no step at all is 0.

    >>> GlobalAveragePooling1D()(jnp.array([[[1.], [3.], [8.]]]), mask=jnp.array([[True, True, False]]))
    Array([[2.]], dtype=float32)
    """

    rank = 1

    def __init__(self, data_format=None, keepdims=False, **kwargs):
        super().__init__(data_format, keepdims, **kwargs)
        self.supports_masking = True

    def call(self, inputs, mask=None):
        axis = self._axes
        if mask is None:
            return jnp.mean(inputs, axis=axis, keepdims=self.keepdims)
        weight = jnp.expand_dims(mask.astype(inputs.dtype), 2 if axis == (1,) else 1)
        count = jnp.maximum(jnp.sum(weight, axis=axis, keepdims=self.keepdims), 1)
        return jnp.sum(inputs * weight, axis=axis, keepdims=self.keepdims) / count

    def compute_mask(self, inputs, previous_mask):
        return None


class GlobalAveragePooling2D(_GlobalPooling):
    """The mean of every channel over two axes.

    Args:
        data_format: "channels_last", "channels_first", or None for the configured one.
        keepdims: whether the reduced axes stay, with size 1.

    Input shape: (batch, height, width, channels) or, channels_first, (batch, channels, height, width).

    >>> GlobalAveragePooling2D()(jnp.ones((2, 28, 28, 3))).shape
    (2, 3)
    """

    rank, _reduce = 2, staticmethod(jnp.mean)


class GlobalAveragePooling3D(_GlobalPooling):
    """The mean of every channel over three axes; arguments as in `GlobalAveragePooling2D`."""

    rank, _reduce = 3, staticmethod(jnp.mean)


class _AdaptivePooling(Layer):
    rank: int

    def __init__(self, output_size, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.output_size = check.int_tuple("output_size", output_size, self.rank, type(self).__name__)
        self.data_format = config.standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def call(self, inputs):
        first = 1 if self.data_format == "channels_last" else 2
        for axis, size in enumerate(self.output_size, first):  # means and maxima over boxes go axis by axis
            inputs = self._along(inputs, axis, size)
        return inputs


def _regions(n, size):
    """The regions [floor(i n / size), ceil((i + 1) n / size)) as indices (size, widest), and which of them count."""
    i = np.arange(size)
    start, stop = i * n // size, -(-(i + 1) * n // size)
    index = start[:, None] + np.arange((stop - start).max())
    return np.minimum(index, n - 1), index < stop[:, None]


class _AdaptiveMaxPooling(_AdaptivePooling):
    @staticmethod
    def _along(x, axis, size):
        index, counts = _regions(x.shape[axis], size)
        return jnp.max(jnp.take(x, np.where(counts, index, index[:, :1]), axis=axis), axis=axis + 1)


class _AdaptiveAveragePooling(_AdaptivePooling):
    @staticmethod
    def _along(x, axis, size):
        index, counts = _regions(x.shape[axis], size)
        weight = (counts / counts.sum(1, keepdims=True)).reshape((*counts.shape, *(1,) * (x.ndim - axis - 1)))
        return jnp.sum(jnp.take(x, index, axis=axis) * jnp.asarray(weight, x.dtype), axis=axis + 1)


class AdaptiveMaxPooling1D(_AdaptiveMaxPooling):
    """The greatest value of regions that cover one axis evenly; arguments as in `AdaptiveAveragePooling2D`."""

    rank = 1


class AdaptiveMaxPooling2D(_AdaptiveMaxPooling):
    """The greatest value of regions that cover two axes evenly; arguments as in `AdaptiveAveragePooling2D`."""

    rank = 2


class AdaptiveMaxPooling3D(_AdaptiveMaxPooling):
    """The greatest value of regions that cover three axes evenly; arguments as in `AdaptiveAveragePooling2D`."""

    rank = 3


class AdaptiveAveragePooling1D(_AdaptiveAveragePooling):
    """The mean of regions that cover one axis evenly; arguments as in `AdaptiveAveragePooling2D`."""

    rank = 1


class AdaptiveAveragePooling2D(_AdaptiveAveragePooling):
    """The mean of regions that cover the input evenly, so that the output has a given size.

    Region i of an axis of n cells is [floor(i n / size), ceil((i + 1) n / size)).

    Args:
        output_size: height and width of the output; an integer means both.
        data_format: "channels_last", "channels_first", or None for the configured one.

    >>> AdaptiveAveragePooling2D(3)(jnp.ones((2, 8, 8, 3))).shape
    (2, 3, 3, 3)
    """

    rank = 2


class AdaptiveAveragePooling3D(_AdaptiveAveragePooling):
    """The mean of regions that cover three axes evenly; arguments as in `AdaptiveAveragePooling2D`."""

    rank = 3


MaxPool1D, MaxPool2D, MaxPool3D = MaxPooling1D, MaxPooling2D, MaxPooling3D
AvgPool1D, AvgPool2D, AvgPool3D = AveragePooling1D, AveragePooling2D, AveragePooling3D
GlobalMaxPool1D, GlobalMaxPool2D, GlobalMaxPool3D = GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalMaxPooling3D
GlobalAvgPool1D, GlobalAvgPool2D = GlobalAveragePooling1D, GlobalAveragePooling2D
GlobalAvgPool3D = GlobalAveragePooling3D
