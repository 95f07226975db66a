"""Convolutions, pooling, and what moves values between space and channels."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from cornu import check
from cornu.config import standardize_data_format
from cornu.lowering import convolution, pooling
from cornu.ops.kit import inexact, integers, public, tensor
from cornu.symbolic import op
from cornu.variable import room_for


def _prepare(name, inputs, kernel, padding, data_format):
    inputs, kernel = inexact(inputs), inexact(kernel)
    dtype = jnp.result_type(inputs, kernel)
    if inputs.ndim not in (3, 4, 5):
        raise ValueError(f"{name}: `inputs` must have 3, 4 or 5 axes (batch, 1 to 3 of space, channels). "
                         f"Received shape: {inputs.shape}")
    if kernel.ndim != inputs.ndim:
        raise ValueError(f"{name}: `kernel` must have as many axes as `inputs`. Received shapes: kernel "
                         f"{kernel.shape}, inputs {inputs.shape}")
    return inputs.astype(dtype), kernel.astype(dtype), _padding(name, padding), standardize_data_format(data_format)


def _padding(name, padding):
    return check.one_of("padding", str(padding).lower(), ("valid", "same"), name)


def _channels(x, data_format):
    return x.shape[1 if data_format == "channels_first" else -1]


@op
def conv(inputs, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1):
    """A convolution over one, two or three axes: out[i] = sum_m inputs[strides i + dilation_rate m] @ kernel[m].

    Args:
        inputs: (batch, *space, channels), or (batch, channels, *space).
        kernel: (*window, channels / groups, filters); the number of groups follows from the channels.
        strides: an integer, or one for each axis of space.
        padding: "valid" for none, "same" for as many zeros as keep the size (over the stride).
        data_format: "channels_last" or "channels_first"; the configured one for None.
        dilation_rate: the distance between the window's cells, likewise.
    """
    inputs, kernel, padding, data_format = _prepare("conv", inputs, kernel, padding, data_format)
    channels, taken = _channels(inputs, data_format), kernel.shape[-2]
    if channels % taken or kernel.shape[-1] % (channels // taken):
        raise ValueError(f"conv: the {channels} channels of `inputs` do not fit a kernel of shape {kernel.shape}, "
                         f"which takes {taken} (or a divisor of the channels and of the filters, for groups).")
    return convolution.conv(inputs, kernel, integers(strides), padding, integers(dilation_rate), channels // taken,
                            data_format)


@op
def depthwise_conv(inputs, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1):
    """A convolution of every channel by itself; kernel: (*window, channels, multiplier), the rest as in `conv`."""
    inputs, kernel, padding, data_format = _prepare("depthwise_conv", inputs, kernel, padding, data_format)
    return convolution.depthwise_conv(inputs, kernel, integers(strides), padding, integers(dilation_rate), data_format)


@op
def separable_conv(inputs, depthwise_kernel, pointwise_kernel, strides=1, padding="valid", data_format=None,
                   dilation_rate=1):
    """A depthwise convolution, then one whose window is one cell.

    Args:
        inputs, strides, padding, data_format, dilation_rate: as in `conv`.
        depthwise_kernel: (*window, channels, multiplier).
        pointwise_kernel: (1, ..., channels x multiplier, filters).
    """
    inputs, kernel, padding, data_format = _prepare("separable_conv", inputs, depthwise_kernel, padding, data_format)
    return convolution.separable_conv(inputs, kernel, tensor(pointwise_kernel), integers(strides), padding,
                                      integers(dilation_rate), data_format)


@op
def conv_transpose(inputs, kernel, strides=1, padding="valid", output_padding=None, data_format=None, dilation_rate=1):
    """The transpose (the gradient with respect to the input) of a convolution.

    Args:
        inputs, strides, padding, data_format, dilation_rate: as in `conv`.
        kernel: (*window, filters, channels).
        output_padding: what is added to the output at its end; chosen for None.
    """
    inputs, kernel, padding, data_format = _prepare("conv_transpose", inputs, kernel, padding, data_format)
    return convolution.conv_transpose(inputs, kernel, integers(strides), padding, integers(output_padding),
                                      integers(dilation_rate), data_format)


# Pooling -----------------------------------------------------------------------------------------------------------


@op
def max_pool(inputs, pool_size, strides=None, padding="valid", data_format=None):
    """The largest value in each window.

    Args:
        inputs: (batch, *space, channels), or (batch, channels, *space).
        pool_size: the window's size, an integer or one for each axis of space.
        strides: its steps; pool_size for None.
        padding: "valid" for none, "same" for as much as covers the whole input.
        data_format: "channels_last" or "channels_first"; the configured one for None.
    """
    inputs = tensor(inputs)
    numbers = inputs.astype("uint8") if inputs.dtype == bool else inputs  # XLA's windows have no booleans
    return pooling.max_pool(numbers, integers(pool_size), integers(strides), _padding("max_pool", padding),
                            standardize_data_format(data_format)).astype(inputs.dtype)


@op
def average_pool(inputs, pool_size, strides=None, padding="valid", data_format=None):
    """The mean over each window, without padding; the arguments are those of `max_pool`."""
    return pooling.average_pool(inexact(inputs), integers(pool_size), integers(strides),
                                _padding("average_pool", padding), standardize_data_format(data_format))


def _adaptive(x, output_size, data_format, pool):
    """Apply `pool(x, axis, starts, ends)` to every axis of space; window i of n goes from i s/n to (i + 1) s/n."""
    first = 1 if standardize_data_format(data_format) == "channels_last" else 2
    rank = x.ndim - 2
    sizes = (output_size,) * rank if isinstance(output_size, int) else integers(output_size)
    if len(sizes) != rank or any(n < 1 for n in sizes):
        raise ValueError(f"`output_size` must be an integer > 0 or {rank} of them. Received: {output_size!r}")
    for axis, count in enumerate(sizes, first):
        size = x.shape[axis]
        room_for("Adaptive pooling", count, size)
        steps = np.arange(count)
        x = pool(x, axis, steps * size // count, -(-(steps + 1) * size // count))
    return x


def _mean_of(x, axis, starts, ends):
    cells = np.arange(x.shape[axis])
    weights = ((cells >= starts[:, None]) & (cells < ends[:, None])) / (ends - starts)[:, None]
    return jnp.moveaxis(jnp.tensordot(x, jnp.asarray(weights, x.dtype), [[axis], [1]]), -1, axis)


def _max_of(x, axis, starts, ends):
    places = np.minimum(starts[:, None] + np.arange((ends - starts).max()), ends[:, None] - 1)
    return jnp.max(jnp.take(x, places, axis=axis), axis=axis + 1)


@op
def adaptive_average_pool(inputs, output_size, data_format=None):
    """The means over windows chosen so that the output has a given size.

    Args:
        inputs: (batch, *space, channels), or (batch, channels, *space).
        output_size: an integer, or one for each axis of space.
        data_format: "channels_last" or "channels_first"; the configured one for None.
    """
    return _adaptive(inexact(inputs), output_size, data_format, _mean_of)


@op
def adaptive_max_pool(inputs, output_size, data_format=None):
    """The largest values of windows chosen so that the output has a given size; see `adaptive_average_pool`."""
    return _adaptive(tensor(inputs), output_size, data_format, _max_of)


# Space and channels ------------------------------------------------------------------------------------------------


def _blocks(name, x, block_size, data_format):
    x = tensor(x)
    check.positive("block_size", block_size, name)
    data_format = standardize_data_format(data_format)
    if x.ndim != 4:
        raise ValueError(f"{name}: `x` must have 4 axes. Received shape: {x.shape}")
    return x if data_format == "channels_last" else jnp.moveaxis(x, 1, -1), data_format == "channels_first"


@op
def depth_to_space(x, block_size, data_format="channels_last"):
    """Channels laid out as blocks of space: (b, h, w, c s^2) becomes (b, h s, w s, c).

    Args:
        x: images.
        block_size: s.
        data_format: "channels_last" or "channels_first".
    """
    x, first = _blocks("depth_to_space", x, block_size, data_format)
    b, h, w, c = x.shape
    if c % block_size**2:
        raise ValueError(f"depth_to_space: {c} channels are not divisible by the square of block_size={block_size}.")
    if first:  # Keras orders the channels in this layout the other way round, as PyTorch does
        x = x.reshape(b, h, w, -1, block_size, block_size).transpose(0, 1, 4, 2, 5, 3)
    else:
        x = x.reshape(b, h, w, block_size, block_size, -1).transpose(0, 1, 3, 2, 4, 5)
    x = x.reshape(b, h * block_size, w * block_size, c // block_size**2)
    return jnp.moveaxis(x, -1, 1) if first else x


@op
def space_to_depth(x, block_size, data_format="channels_last"):
    """Blocks of space laid out as channels: (b, h s, w s, c) becomes (b, h, w, c s^2). See `depth_to_space`."""
    x, first = _blocks("space_to_depth", x, block_size, data_format)
    b, h, w, c = x.shape
    if any(isinstance(d, int) and d % block_size for d in (h, w)):
        raise ValueError(f"space_to_depth: height {h} and width {w} must be divisible by block_size={block_size}.")
    x = x.reshape(b, h // block_size, block_size, w // block_size, block_size, c)
    x = x.transpose(0, 1, 3, 5, 2, 4) if first else x.transpose(0, 1, 3, 2, 4, 5)
    x = x.reshape(b, h // block_size, w // block_size, c * block_size**2)
    return jnp.moveaxis(x, -1, 1) if first else x


def _pair(value):
    return (value, value) if isinstance(value, int) else integers(value)


@op
def unfold(x, kernel_size, dilation=1, padding=0, stride=1):
    """All windows of images as columns: (b, c, h, w) becomes (b, c x window, number of windows).

    Args:
        x: images, channels first.
        kernel_size: the window's size, an integer or a pair, as all that follow.
        dilation: the distance between its cells.
        padding: how many zeros are added on each side.
        stride: the window's steps.
    """
    x = tensor(x)
    if x.ndim != 4:
        raise ValueError(f"unfold: `x` must have 4 axes (batch, channels, height, width). Received shape: {x.shape}")
    pads = [(p, p) for p in _pair(padding)]
    patches = jax.lax.conv_general_dilated_patches(x, _pair(kernel_size), _pair(stride), pads,
                                                   rhs_dilation=_pair(dilation))
    return patches.reshape(*patches.shape[:2], patches.shape[2] * patches.shape[3])


@op
def fold(x, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """Columns added up to images at the places that `unfold` takes them from.

    Args:
        x: (batch, channels x window, number of windows).
        output_size: height and width of the images.
        kernel_size, dilation, padding, stride: as in `unfold`.
    """
    x, window = inexact(x), _pair(kernel_size)
    if x.ndim != 3 or x.shape[1] % math.prod(window):
        raise ValueError(f"fold: `x` must have shape (batch, channels x {math.prod(window)}, windows), as kernel_size "
                         f"is {kernel_size}. Received shape: {x.shape}")
    images = jax.ShapeDtypeStruct((x.shape[0], x.shape[1] // math.prod(window), *_pair(output_size)), x.dtype)
    return jax.linear_transpose(lambda i: unfold.__wrapped__(i, window, dilation, padding, stride), images)(x)[0]


__all__ = public(globals())
