"""Pooling over one to three axes."""

import jax.numpy as jnp
import numpy as np
from jax import lax

from cornu.lowering.convolution import _tuple, pad_pairs


def _window(x, window, strides, padding, data_format):
    rank = x.ndim - 2
    window = _tuple(window, rank)
    strides = window if strides is None else _tuple(strides, rank)
    sizes = x.shape[2:] if data_format == "channels_first" else x.shape[1:-1]
    pads = pad_pairs(padding, sizes, window, strides, (1,) * rank)
    if data_format == "channels_first":
        return (1, 1, *window), (1, 1, *strides), ((0, 0), (0, 0), *pads)
    return (1, *window, 1), (1, *strides, 1), ((0, 0), *pads, (0, 0))


def max_pool(x, window, strides=None, padding="valid", data_format="channels_last"):
    """The largest value in each window."""
    low = -jnp.inf if jnp.issubdtype(x.dtype, jnp.floating) else jnp.iinfo(x.dtype).min
    return lax.reduce_window(x, np.array(low, x.dtype)[()], lax.max, *_window(x, window, strides, padding, data_format))


def average_pool(x, window, strides=None, padding="valid", data_format="channels_last"):
    """The mean over each window; padding does not count."""
    where = _window(x, window, strides, padding, data_format)
    total = lax.reduce_window(x, np.zeros((), x.dtype)[()], lax.add, *where)
    if padding == "valid":
        return total / np.array(np.prod(where[0]), x.dtype)
    return total / lax.reduce_window(jnp.ones(x.shape, x.dtype), np.zeros((), x.dtype)[()], lax.add, *where)
