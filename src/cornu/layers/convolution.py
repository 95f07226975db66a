"""Convolutions over one, two and three axes: plain, transposed, depthwise and separable."""

import jax
import jax.numpy as jnp

from cornu import activations, check
from cornu.input_spec import InputSpec
from cornu.layers.parts import Parted, called, told
from cornu.layers.spatial import Spatial, check_window
from cornu.lowering import bias_add
from cornu.lowering.convolution import conv, conv_transpose, depthwise_conv, separable_conv


class _BaseConv(Parted, Spatial):
    """What the convolutions share: the window's arguments, the bias and the activation."""

    paddings = ("valid", "same")
    parts = ("kernel", "bias")

    def __init__(self, kernel_size, strides=1, padding="valid", data_format=None, dilation_rate=1, activation=None,
                 use_bias=True, **kwargs):
        super().__init__(data_format=data_format, **self._keep(kwargs, *self.parts))
        self._numbers(kernel_size=kernel_size, strides=strides, dilation_rate=dilation_rate)
        self.padding = check.one_of("padding", str(padding).lower(), self.paddings, type(self).__name__)
        self.activation = activations.get(activation)
        self.use_bias = use_bias

    def _channels(self, input_shape):
        """The number of input channels, which must be known; from now on the input must have as many."""
        channels = input_shape[self._channel_axis]
        if channels is None:
            raise ValueError(f"{called(self)} needs a known number of channels. Received an "
                             f"input of shape {tuple(input_shape)}.")
        self.input_spec = InputSpec(ndim=self.rank + 2, axes={self._channel_axis: channels})
        return channels

    def _add_bias(self, filters):
        self.bias = self._weight((filters,), "bias") if self.use_bias else None

    def _check_size(self, x):
        if self.padding == "valid":
            check_window(self, x, self.kernel_size, self.dilation_rate)

    def call(self, inputs):
        self._check_size(inputs)
        x = self._convolve(inputs)
        if self.bias is not None:
            x = bias_add(x, self.bias.value, self.data_format)
        return self.activation(x)


class _Conv(_BaseConv):
    def __init__(self, filters, kernel_size, strides=1, padding="valid", data_format=None, dilation_rate=1, groups=1,
                 activation=None, use_bias=True, kernel_initializer="glorot_uniform", bias_initializer="zeros",
                 kernel_regularizer=None, bias_regularizer=None, activity_regularizer=None, kernel_constraint=None,
                 bias_constraint=None, **kwargs):
        super().__init__(**told(locals(), "filters", "groups"))
        owner = type(self).__name__
        self.filters = check.positive("filters", filters, owner)
        self.groups = check.positive("groups", groups, owner)
        if filters % groups:
            raise ValueError(f"{owner}: groups must divide filters. Received: filters={filters}, groups={groups}")

    def build(self, input_shape):
        channels = self._channels(input_shape)
        if channels % self.groups:
            raise ValueError(f"{called(self)}: the input's {channels} channels are not "
                             f"divisible by groups={self.groups}. Received an input of shape {tuple(input_shape)}.")
        self.kernel = self._weight((*self.kernel_size, channels // self.groups, self.filters), "kernel")
        self._add_bias(self.filters)

    def _convolve(self, x):
        return self.convolution_op(x, self.kernel.value)

    def convolution_op(self, inputs, kernel):
        """The convolution of the inputs with a kernel, before bias and activation.

        A subclass may put another in its place, or hand on another kernel:

        >>> class Even(Conv2D):
        ...     def convolution_op(self, inputs, kernel):
        ...         return super().convolution_op(inputs, kernel - kernel.mean((0, 1, 2)))

        Args:
            inputs: of shape (batch, ..., channels) or, channels_first, (batch, channels, ...).
            kernel: of shape (*window, channels // groups, filters).
        """
        inputs, kernel = (x if isinstance(x, jax.Array) else jnp.asarray(x) for x in (inputs, kernel))
        super()._check_size(inputs)
        return conv(inputs, kernel, self.strides, self._padding(), self.dilation_rate, self.groups, self.data_format)

    def _check_size(self, x):
        pass  # `convolution_op` does, as another in its place may add a margin first

    def _padding(self):
        return self.padding


class Conv1D(_Conv):
    """A convolution over one axis, time; arguments as in `Conv2D`, with one number where it has two.

    padding="causal" pads on the left alone, so that an output sees no later inputs. Input shape: (batch,
    steps, channels) or, channels_first, (batch, channels, steps).

    >>> Conv1D(4, 3, padding="causal").compute_output_shape((2, 10, 8))
    (2, 10, 4)
    """

    paddings = ("valid", "same", "causal")

    def _compute_causal_padding(self) -> list:
        """How much is added before and after every axis of the input: on the left of the steps, what the window spans."""
        steps = [(self.kernel_size[0] - 1) * self.dilation_rate[0], 0]
        return [[0, 0], steps, [0, 0]] if self.data_format == "channels_last" else [[0, 0], [0, 0], steps]

    def _padding(self):
        return [self._compute_causal_padding()[self._first]] if self.padding == "causal" else self.padding


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

    >>> Conv2D(4, 3, strides=2, padding="same").compute_output_shape((2, 28, 28, 3))
    (2, 14, 14, 4)
    """


class Conv3D(_Conv):
    """A convolution over three axes; arguments as in `Conv2D`, with three numbers where it has two.

    Input shape: (batch, depth, height, width, channels) or, channels_first, (batch, channels, depth, height, width).

    >>> Conv3D(4, 3).compute_output_shape((2, 8, 8, 8, 1))
    (2, 6, 6, 6, 4)
    """


class _ConvTranspose(_BaseConv):
    def __init__(self, filters, kernel_size, strides=1, padding="valid", output_padding=None, data_format=None,
                 dilation_rate=1, activation=None, use_bias=True, kernel_initializer="glorot_uniform",
                 bias_initializer="zeros", kernel_regularizer=None, bias_regularizer=None, activity_regularizer=None,
                 kernel_constraint=None, bias_constraint=None, **kwargs):
        super().__init__(**told(locals(), "filters", "output_padding"))
        owner = type(self).__name__
        self.filters = check.positive("filters", filters, owner)
        self.output_padding = None if output_padding is None else check.int_tuple(
            "output_padding", output_padding, self.rank, owner, zero=True)
        if output_padding is not None and any(p >= s for p, s in zip(self.output_padding, self.strides)):
            raise ValueError(f"{owner}: output_padding must be smaller than strides on every axis. Received: "
                             f"output_padding={output_padding}, strides={strides}")

    def build(self, input_shape):
        self.kernel = self._weight((*self.kernel_size, self.filters, self._channels(input_shape)), "kernel")
        self._add_bias(self.filters)

    def _check_size(self, x):
        pass  # the window only spreads out: every input is large enough

    def _convolve(self, x):
        return conv_transpose(x, self.kernel.value, self.strides, self.padding, self.output_padding,
                              self.dilation_rate, self.data_format)


class Conv1DTranspose(_ConvTranspose):
    """The transpose of `Conv1D`; arguments as in `Conv2DTranspose`, with one number where it has two."""


class Conv2DTranspose(_ConvTranspose):
    """The transpose of `Conv2D`: every input cell spreads its values over a window of the output.

    With n cells on an axis and a window spanning k = (kernel_size - 1) dilation + 1, the output has
    n strides + max(k - strides, 0) cells for padding "valid" and n strides for "same"; where output_padding is given,
    (n - 1) strides + k - 2 p + output_padding, with p = 0 for "valid" and k // 2 for "same".

    Args:
        filters: the number of output channels.
        kernel_size: height and width of the window; an integer means both.
        strides: how far apart neighbouring input cells land in the output.
        padding: "valid" or "same".
        output_padding: cells added at the end of each axis, fewer than strides; None chooses the output's size.
        data_format: "channels_last", "channels_first", or None for the configured one.
        dilation_rate: the distances between the window's cells.
        activation, use_bias, the initializers, regularizers and constraints: as in `Conv2D`.

    Raises ValueError for an output_padding that is not smaller than strides. Source: Zeiler et al., Deconvolutional
    Networks (2010).

    >>> Conv2DTranspose(4, 3, strides=2, padding="same").compute_output_shape((2, 7, 7, 3))
    (2, 14, 14, 4)
    """


class Conv3DTranspose(_ConvTranspose):
    """The transpose of `Conv3D`; arguments as in `Conv2DTranspose`, with three numbers where it has two."""

    def __init__(self, filters, kernel_size, strides=1, padding="valid", data_format=None, output_padding=None,
                 dilation_rate=1, activation=None, use_bias=True, kernel_initializer="glorot_uniform",
                 bias_initializer="zeros", kernel_regularizer=None, bias_regularizer=None, activity_regularizer=None,
                 kernel_constraint=None, bias_constraint=None, **kwargs):
        super().__init__(**told(locals()))  # only the order is another one than in Conv2DTranspose, as in Keras


class _DepthwiseConv(_BaseConv):
    parts = ("depthwise", "bias")

    def __init__(self, kernel_size, strides=1, padding="valid", depth_multiplier=1, data_format=None, dilation_rate=1,
                 activation=None, use_bias=True, depthwise_initializer="glorot_uniform", bias_initializer="zeros",
                 depthwise_regularizer=None, bias_regularizer=None, activity_regularizer=None,
                 depthwise_constraint=None, bias_constraint=None, **kwargs):
        super().__init__(**told(locals(), "depth_multiplier"))
        self.depth_multiplier = check.positive("depth_multiplier", depth_multiplier, type(self).__name__)

    def build(self, input_shape):
        channels = self._channels(input_shape)
        self.kernel = self._weight((*self.kernel_size, channels, self.depth_multiplier), "kernel", "depthwise")
        self._add_bias(channels * self.depth_multiplier)

    def _convolve(self, x):
        return depthwise_conv(x, self.kernel.value, self.strides, self.padding, self.dilation_rate, self.data_format)


class DepthwiseConv1D(_DepthwiseConv):
    """A convolution of every channel by itself over one axis; arguments as in `DepthwiseConv2D`."""


class DepthwiseConv2D(_DepthwiseConv):
    """A convolution of every channel by itself, with depth_multiplier kernels each.

    Args:
        kernel_size: height and width of the window; an integer means both.
        strides: the steps of the window.
        padding: "valid" or "same".
        depth_multiplier: the number of output channels for every input channel.
        data_format: "channels_last", "channels_first", or None for the configured one.
        dilation_rate: the distances between the window's cells.
        activation: a name or function; none if None.
        use_bias: whether a bias is added.
        depthwise_initializer, bias_initializer: where the weights start.
        depthwise_regularizer, bias_regularizer, activity_regularizer: penalties added to the loss.
        depthwise_constraint, bias_constraint: applied to the weights after every update.

    >>> DepthwiseConv2D(3).compute_output_shape((2, 28, 28, 3))
    (2, 26, 26, 3)
    """


class _SeparableConv(_BaseConv):
    parts = ("depthwise", "pointwise", "bias")

    def __init__(self, filters, kernel_size, strides=1, padding="valid", data_format=None, dilation_rate=1,
                 depth_multiplier=1, activation=None, use_bias=True, depthwise_initializer="glorot_uniform",
                 pointwise_initializer="glorot_uniform", bias_initializer="zeros", depthwise_regularizer=None,
                 pointwise_regularizer=None, bias_regularizer=None, activity_regularizer=None,
                 depthwise_constraint=None, pointwise_constraint=None, bias_constraint=None, **kwargs):
        super().__init__(**told(locals(), "filters", "depth_multiplier"))
        self.filters = check.positive("filters", filters, type(self).__name__)
        self.depth_multiplier = check.positive("depth_multiplier", depth_multiplier, type(self).__name__)

    def build(self, input_shape):
        channels, multiplier = self._channels(input_shape), self.depth_multiplier
        self.depthwise_kernel = self._weight((*self.kernel_size, channels, multiplier), "depthwise_kernel", "depthwise")
        self.pointwise_kernel = self._weight((*(1,) * self.rank, channels * multiplier, self.filters),
                                             "pointwise_kernel", "pointwise")
        self._add_bias(self.filters)

    def _convolve(self, x):
        return separable_conv(x, self.depthwise_kernel.value, self.pointwise_kernel.value, self.strides, self.padding,
                              self.dilation_rate, self.data_format)


class SeparableConv1D(_SeparableConv):
    """A depthwise convolution over one axis, then one of width 1 that mixes the channels; see `SeparableConv2D`.

    >>> SeparableConv1D(4, 3).compute_output_shape((2, 10, 8))
    (2, 8, 4)
    """


class SeparableConv2D(_SeparableConv):
    """A depthwise convolution, then a 1 x 1 convolution that mixes the channels.

    Args:
        filters: the number of output channels.
        kernel_size: height and width of the depthwise window; an integer means both.
        strides: the steps of the window.
        padding: "valid" or "same".
        data_format: "channels_last", "channels_first", or None for the configured one.
        dilation_rate: the distances between the window's cells.
        depth_multiplier: the number of channels in between for every input channel.
        activation: a name or function; none if None.
        use_bias: whether a bias is added.
        depthwise_initializer, pointwise_initializer, bias_initializer: where the weights start.
        depthwise_regularizer, pointwise_regularizer, bias_regularizer, activity_regularizer: penalties.
        depthwise_constraint, pointwise_constraint, bias_constraint: applied to the weights after every update.

    Source: Chollet, Xception (2017).

    >>> SeparableConv2D(4, 3).compute_output_shape((2, 28, 28, 3))
    (2, 26, 26, 4)
    """


Convolution1D, Convolution2D, Convolution3D = Conv1D, Conv2D, Conv3D
Convolution1DTranspose, Convolution2DTranspose = Conv1DTranspose, Conv2DTranspose
Convolution3DTranspose = Conv3DTranspose
SeparableConvolution1D, SeparableConvolution2D = SeparableConv1D, SeparableConv2D
