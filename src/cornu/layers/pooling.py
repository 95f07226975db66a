"""Pooling: the greatest value or the mean of windows, of regions, or of everything."""

import jax.numpy as jnp

from cornu import check
from cornu.layers.spatial import Spatial, check_window
from cornu.lowering.pooling import average_pool, max_pool
from cornu.lowering.reduction import channel_means
from cornu.ops.nn_convolution import adaptive_average_pool, adaptive_max_pool


class _Pooling(Spatial):
    _weightless = True

    def __init__(self, pool_size=2, strides=None, padding="valid", data_format=None, name=None, **kwargs):
        super().__init__(data_format, name=name, **kwargs)
        self._numbers(pool_size=pool_size, strides=pool_size if strides is None else strides)
        self.padding = check.one_of("padding", str(padding).lower(), ("valid", "same"), type(self).__name__)

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


class MaxPooling3D(_MaxPooling):
    """The greatest value of every window over three axes; arguments as in `MaxPooling2D`."""


class AveragePooling1D(_AveragePooling):
    """The mean of every window over one axis; arguments as in `MaxPooling2D`. Padding does not count in the mean."""


class AveragePooling2D(_AveragePooling):
    """The mean of every window over two axes; arguments as in `MaxPooling2D`. Padding does not count in the mean."""


class AveragePooling3D(_AveragePooling):
    """The mean of every window over three axes; arguments as in `MaxPooling2D`. Padding does not count in the mean."""


class _GlobalPooling(Spatial):
    _weightless = True

    def __init__(self, data_format=None, keepdims=False, **kwargs):
        super().__init__(data_format, **kwargs)
        self.keepdims = keepdims

    def call(self, inputs):
        return self._reduce(inputs, axis=self._axes, keepdims=self.keepdims)


class _GlobalMaxPooling(_GlobalPooling):
    _reduce = staticmethod(jnp.max)


class _GlobalAveragePooling(_GlobalPooling):
    _reduce = staticmethod(channel_means)


class GlobalMaxPooling1D(_GlobalMaxPooling):
    """The greatest value of every channel over one axis; arguments as in `GlobalAveragePooling2D`."""


class GlobalMaxPooling2D(_GlobalMaxPooling):
    """The greatest value of every channel over two axes; arguments as in `GlobalAveragePooling2D`."""


class GlobalMaxPooling3D(_GlobalMaxPooling):
    """The greatest value of every channel over three axes; arguments as in `GlobalAveragePooling2D`."""


class GlobalAveragePooling1D(_GlobalAveragePooling):
    """The mean of every channel over one axis; where a mask says False, a step does not count.

    Arguments as in `GlobalAveragePooling2D`. The mean over no step at all is 0.

    >>> GlobalAveragePooling1D()(jnp.array([[[1.], [3.], [8.]]]), mask=jnp.array([[True, True, False]]))
    Array([[2.]], dtype=float32)
    """

    supports_masking = True

    def call(self, inputs, mask=None):
        if mask is None:
            return super().call(inputs)
        axis = self._axes
        weight = jnp.expand_dims(mask.astype(inputs.dtype), 2 if axis == (1,) else 1)
        count = jnp.maximum(jnp.sum(weight, axis=axis, keepdims=self.keepdims), 1)
        return jnp.sum(inputs * weight, axis=axis, keepdims=self.keepdims) / count

    def compute_mask(self, inputs, mask=None):
        return None


class GlobalAveragePooling2D(_GlobalAveragePooling):
    """The mean of every channel over two axes.

    Args:
        data_format: "channels_last", "channels_first", or None for the configured one.
        keepdims: whether the reduced axes stay, with size 1.

    Input shape: (batch, height, width, channels) or, channels_first, (batch, channels, height, width).

    >>> GlobalAveragePooling2D()(jnp.ones((2, 28, 28, 3))).shape
    (2, 3)
    """


class GlobalAveragePooling3D(_GlobalAveragePooling):
    """The mean of every channel over three axes; arguments as in `GlobalAveragePooling2D`."""


class _AdaptivePooling(Spatial):
    def __init__(self, output_size, data_format=None, **kwargs):
        super().__init__(data_format, **kwargs)
        self._numbers(output_size=output_size)

    def call(self, inputs):
        return self._pool(inputs, self.output_size, self.data_format)


class _AdaptiveMaxPooling(_AdaptivePooling):
    _pool = staticmethod(adaptive_max_pool)


class _AdaptiveAveragePooling(_AdaptivePooling):
    _pool = staticmethod(adaptive_average_pool)


class AdaptiveMaxPooling1D(_AdaptiveMaxPooling):
    """The greatest value of regions that cover one axis evenly; arguments as in `AdaptiveAveragePooling2D`."""


class AdaptiveMaxPooling2D(_AdaptiveMaxPooling):
    """The greatest value of regions that cover two axes evenly; arguments as in `AdaptiveAveragePooling2D`."""


class AdaptiveMaxPooling3D(_AdaptiveMaxPooling):
    """The greatest value of regions that cover three axes evenly; arguments as in `AdaptiveAveragePooling2D`."""


class AdaptiveAveragePooling1D(_AdaptiveAveragePooling):
    """The mean of regions that cover one axis evenly; arguments as in `AdaptiveAveragePooling2D`."""


class AdaptiveAveragePooling2D(_AdaptiveAveragePooling):
    """The mean of regions that cover the input evenly, so that the output has a given size.

    Region i of an axis of n cells is [floor(i n / size), ceil((i + 1) n / size)).

    Args:
        output_size: height and width of the output; an integer means both.
        data_format: "channels_last", "channels_first", or None for the configured one.

    >>> AdaptiveAveragePooling2D(3)(jnp.ones((2, 8, 8, 3))).shape
    (2, 3, 3, 3)
    """


class AdaptiveAveragePooling3D(_AdaptiveAveragePooling):
    """The mean of regions that cover three axes evenly; arguments as in `AdaptiveAveragePooling2D`."""


MaxPool1D, MaxPool2D, MaxPool3D = MaxPooling1D, MaxPooling2D, MaxPooling3D
AvgPool1D, AvgPool2D, AvgPool3D = AveragePooling1D, AveragePooling2D, AveragePooling3D
GlobalMaxPool1D, GlobalMaxPool2D, GlobalMaxPool3D = GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalMaxPooling3D
GlobalAvgPool1D, GlobalAvgPool2D = GlobalAveragePooling1D, GlobalAveragePooling2D
GlobalAvgPool3D = GlobalAveragePooling3D
