"""Convolutions over one, two and three axes: plain, transposed, depthwise and separable."""

import jax.numpy as jnp
from jax import lax

from cornu import activations, check, config, constraints, initializers, regularizers
from cornu.layers.layer import Layer
from cornu.layers.spec import InputSpec


def check_window(layer, x, window, dilation=1) -> None:
    """Raise ValueError where a window does not fit into the input without padding."""
    first = 1 if layer.data_format == "channels_last" else 2
    dilation = (dilation,) * len(window) if isinstance(dilation, int) else dilation
    for axis, (size, step) in enumerate(zip(window, dilation), first):
        span = (size - 1) * step + 1
        if isinstance(x.shape[axis], int) and x.shape[axis] < span:
            raise ValueError(
                f"{type(layer).__name__} layer {layer.name!r}: a window of {span} does not fit into axis {axis} of an "
                f"input of shape {tuple(x.shape)} with padding='valid'.\nUse padding='same', a smaller window or a "
                "larger input.")


class _BaseConv(Layer):
    """What the convolutions share: the window's arguments, the bias and the activation."""

    rank: int
    paddings = ("valid", "same")

    def __init__(self, kernel_size, strides=1, padding="valid", data_format=None, dilation_rate=1, activation=None,
                 use_bias=True, bias_initializer="zeros", bias_regularizer=None, activity_regularizer=None,
                 bias_constraint=None, **kwargs):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        owner = type(self).__name__
        self.kernel_size = check.int_tuple("kernel_size", kernel_size, self.rank, owner)
        self.strides = check.int_tuple("strides", strides, self.rank, owner)
        self.dilation_rate = check.int_tuple("dilation_rate", dilation_rate, self.rank, owner)
        self.padding = check.one_of("padding", str(padding).lower(), self.paddings, owner)
        self.data_format = config.standardize_data_format(data_format)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.bias_initializer = initializers.get(bias_initializer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.bias_constraint = constraints.get(bias_constraint)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    @property
    def _channel_axis(self):
        return -1 if self.data_format == "channels_last" else 1

    def _channels(self, input_shape):
        """The number of input channels, which must be known; from now on the input must have as many."""
        channels = input_shape[self._channel_axis]
        if channels is None:
            raise ValueError(f"{type(self).__name__} layer {self.name!r} needs a known number of channels. Received an "
                             f"input of shape {tuple(input_shape)}.")
        self.input_spec = InputSpec(ndim=self.rank + 2, axes={self._channel_axis: channels})
        return channels

    def _weight(self, shape, name, kind=None):
        kind = kind or name
        return self.add_weight(shape, getattr(self, kind + "_initializer"), name=name,
                               regularizer=getattr(self, kind + "_regularizer"),
                               constraint=getattr(self, kind + "_constraint"))

    def _add_bias(self, filters):
        self.bias = self._weight((filters,), "bias") if self.use_bias else None

    def call(self, inputs):
        if self.padding == "valid":
            check_window(self, inputs, self.kernel_size, self.dilation_rate)
        x = self._convolve(inputs)
        if self.bias is not None:
            shape = (-1,) + (1,) * (0 if self.data_format == "channels_last" else self.rank)
            x = x + self.bias.value.reshape(shape)
        return self.activation(x)


class _Conv(_BaseConv):
    def __init__(self, filters, kernel_size, strides=1, padding="valid", data_format=None, dilation_rate=1, groups=1,
                 activation=None, use_bias=True, kernel_initializer="glorot_uniform", bias_initializer="zeros",
                 kernel_regularizer=None, bias_regularizer=None, activity_regularizer=None, kernel_constraint=None,
                 bias_constraint=None, **kwargs):
        super().__init__(kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias,
                         bias_initializer, bias_regularizer, activity_regularizer, bias_constraint, **kwargs)
        owner = type(self).__name__
        self.filters = check.positive("filters", filters, owner)
        self.groups = check.positive("groups", groups, owner)
        if filters % groups:
            raise ValueError(f"{owner}: filters must be divisible by groups. Received: filters={filters}, groups={groups}")
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)

    def build(self, input_shape):
        channels = self._channels(input_shape)
        if channels % self.groups:
            raise ValueError(f"{type(self).__name__} layer {self.name!r}: the input's {channels} channels are not "
                             f"divisible by groups={self.groups}. Received an input of shape {tuple(input_shape)}.")
        self.kernel = self._weight((*self.kernel_size, channels // self.groups, self.filters), "kernel")
        self._add_bias(self.filters)

    def _convolve(self, x):
        return _conv(x, self.kernel.value, self.strides, self.padding, self.dilation_rate, self.groups, self.data_format)


def _conv(x, kernel, strides, padding, dilation, groups, data_format):
    rank = x.ndim - 2
    axes = "DHW"[-rank:]
    spec = ("N" + axes + "C" if data_format == "channels_last" else "NC" + axes)
    if padding == "causal":
        padding = [((kernel.shape[0] - 1) * dilation[0], 0)]
    return lax.conv_general_dilated(x, kernel, strides, padding if isinstance(padding, list) else padding.upper(),
                                    rhs_dilation=dilation, dimension_numbers=(spec, axes + "IO", spec),
                                    feature_group_count=groups)


class Conv1D(_Conv):
    """A convolution over one axis, time.

    Arguments as in `Conv2D`, with one number where it has two. padding="causal" pads on the left alone, so that an
    output sees no later inputs.

    Input shape: (batch, steps, channels) or, channels_first, (batch, channels, steps).

    >>> Conv1D(4, 3, padding="causal")(jnp.ones((2, 10, 8))).shape
    (2, 10, 4)
    """

    rank = 1
    paddings = ("valid", "same", "causal")


class Conv2D(_Conv):
    """A convolution over two axes: `out[i, j] = activation(sum_{m, n} x[s i + d m, s j + d n] @ kernel[m, n] + bias)`.

    Args:
        filters: the number of output channels.
        kernel_size: height and width of the window; an integer means both.
        strides: the steps s of the window.
        padding: "valid" (none) or "same" (zeros, so that the output's size is the input's over the stride).
        data_format: "channels_last", "channels_first", or None for the configured one.
        dilation_rate: the distances d between the window's cells.
        groups: the channels are divided into so many groups that do not see each other.
        activation: a name or function; none if None.
        use_bias: whether a bias is added.
        kernel_initializer, bias_initializer: where the weights start.
        kernel_regularizer, bias_regularizer, activity_regularizer: penalties added to the loss.
        kernel_constraint, bias_constraint: applied to the weights after every update.

    Input shape: (batch, height, width, channels) or, channels_first, (batch, channels, height, width). Raises
    ValueError for channels or filters that groups does not divide, and for a window larger than an unpadded input.

    >>> Conv2D(4, 3, strides=2, padding="same")(jnp.ones((2, 28, 28, 3))).shape
    (2, 14, 14, 4)
    """

    rank = 2


class Conv3D(_Conv):
    """A convolution over three axes; arguments as in `Conv2D`, with three numbers where it has two.

    Input shape: (batch, depth, height, width, channels) or, channels_first, (batch, channels, depth, height, width).

    >>> Conv3D(4, 3)(jnp.ones((2, 8, 8, 8, 1))).shape
    (2, 6, 6, 6, 4)
    """

    rank = 3


Convolution1D, Convolution2D, Convolution3D = Conv1D, Conv2D, Conv3D
