"""Layers that move, repeat, cut off and add values without changing them."""

import math
import numbers

import jax
import jax.numpy as jnp

from cornu import check, config, ops, sparse
from cornu.input_spec import InputSpec
from cornu.layers.layer import Layer
from cornu.layers.parts import called
from cornu.layers.spatial import Spatial


class Flatten(Layer):
    """One axis for all axes but the batch.

    Args:
        data_format: with "channels_first" the channels are moved last before; "channels_last" by default.

    Input shape: (batch, ...). Output shape: (batch, product of the others); (batch, 1) for inputs of rank 1.

    >>> Flatten()(jnp.ones((2, 3, 4))).shape
    (2, 12)
    """

    _weightless = takes_sparse = True

    def __init__(self, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.data_format = config.standardize_data_format(data_format)
        self.input_spec = InputSpec(min_ndim=1)
        self._channels_first = self.data_format == "channels_first"

    def call(self, inputs):
        if self._channels_first and inputs.ndim > 1:
            inputs = _permuted(inputs, (0, *range(2, inputs.ndim), 1))
        if sparse.is_sparse(inputs):
            return ops.reshape(inputs, (inputs.shape[0], math.prod(inputs.shape[1:])))
        return inputs.reshape(inputs.shape[0], math.prod(inputs.shape[1:]))


class Reshape(Layer):
    """Another shape for each sample.

    Args:
        target_shape: the new shape without the batch; one size may be -1, which is then worked out.

    Raises ValueError where the sizes do not fit.

    >>> Reshape((2, -1))(jnp.ones((5, 6))).shape
    (5, 2, 3)
    """

    _weightless = takes_sparse = True

    def __init__(self, target_shape, **kwargs):
        super().__init__(**kwargs)
        shape = (target_shape,) if isinstance(target_shape, int) else tuple(target_shape)
        if any(not isinstance(n, int) or n < -1 for n in shape) or shape.count(-1) > 1:
            raise ValueError(f"Reshape: argument `target_shape` must be made of integers >= 0 and at most one -1. "
                             f"Received: {target_shape!r}")
        self.target_shape = shape

    def call(self, inputs):
        sizes = inputs.shape[1:]
        known = math.prod(n for n in self.target_shape if n != -1)
        if all(isinstance(n, int) for n in sizes):
            have, open_size = math.prod(sizes), -1 in self.target_shape
            if (have % known if known else have) if open_size else have != known:
                raise ValueError(f"{called(self)}: samples of shape {tuple(sizes)} ({have} values) do not "
                                 f"fit target_shape={self.target_shape}.")
        rest = math.prod(sizes) // known if -1 in self.target_shape and known else 0
        shape = (inputs.shape[0], *(rest if n == -1 else n for n in self.target_shape))
        return ops.reshape(inputs, shape) if sparse.is_sparse(inputs) else inputs.reshape(shape)


class Permute(Layer):
    """The axes of each sample in another order.

    Args:
        dims: the new order, axes counted from 1: (2, 1) swaps the first two after the batch.

    Raises ValueError unless dims is a permutation of 1 to their number.

    >>> Permute((2, 1))(jnp.ones((5, 3, 4))).shape
    (5, 4, 3)
    """

    _weightless = takes_sparse = True

    def __init__(self, dims, **kwargs):
        super().__init__(**kwargs)
        self.dims = tuple(dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ValueError(f"Permute: argument `dims` must hold each of 1 to {len(self.dims)} once. "
                             f"Received: {dims!r}")
        self.input_spec = InputSpec(ndim=len(self.dims) + 1)

    def call(self, inputs):
        return _permuted(inputs, (0, *self.dims))


def _permuted(x, axes):
    return ops.transpose(x, axes) if sparse.is_sparse(x) else jnp.transpose(x, axes)


class RepeatVector(Layer):
    """Each sample `n` times, along a new axis after the batch.

    Args:
        n: how often.

    Input shape: (batch, features). Output shape: (batch, n, features).

    >>> RepeatVector(3)(jnp.ones((2, 4))).shape
    (2, 3, 4)
    """

    _weightless = True

    def __init__(self, n, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(n, numbers.Integral):
            raise TypeError(f"RepeatVector: argument `n` must be an integer > 0. Received: {n!r}")
        self.n = check.positive("n", n, "RepeatVector")
        self.input_spec = InputSpec(ndim=2)

    def call(self, inputs):
        return jnp.repeat(inputs[:, None], self.n, axis=1)


# Edges -------------------------------------------------------------------------------------------------------------


class _Edged(Spatial):
    """A layer that cuts or adds cells at the edges."""

    _weightless = True

    def _pairs(self, argument, value):
        """An integer for all edges, one per axis, or a (before, after) pair per axis, as pairs; over one axis one."""
        if self.rank == 1:
            return (check.int_tuple(argument, value, 2, type(self).__name__, zero=True),)
        values = (value,) * self.rank if isinstance(value, int) else value
        try:
            pairs = tuple(check.int_tuple(argument, v, 2, zero=True) for v in values)
        except (TypeError, ValueError):
            pairs = ()
        if len(pairs) != self.rank:
            raise ValueError(f"{type(self).__name__}: argument `{argument}` must be an integer >= 0, {self.rank} of "
                             f"them, or {self.rank} pairs (before, after). Received: {value!r}")
        return pairs


class _Cropping(_Edged):
    def __init__(self, cropping, data_format=None, **kwargs):
        super().__init__(data_format, **kwargs)
        self._edges = self._pairs("cropping", cropping)
        self.cropping = self._edges if self.rank > 1 else self._edges[0]

    def call(self, inputs):
        index = [slice(None)] * inputs.ndim
        for axis, (low, high) in enumerate(self._edges, self._first):
            size = inputs.shape[axis]
            if isinstance(size, int) and low + high >= size:
                raise ValueError(f"{called(self)}: cropping={self.cropping} leaves nothing "
                                 f"of axis {axis} of an input of shape {tuple(inputs.shape)}.")
            index[axis] = slice(low, size - high)
        return inputs[tuple(index)]


class Cropping1D(_Cropping):
    """Cuts steps off both ends of a sequence.

    Args:
        cropping: (before, after), or an integer for both.

    Input shape: (batch, steps, features). Raises ValueError where nothing would be left.

    >>> Cropping1D((1, 2))(jnp.ones((2, 6, 3))).shape
    (2, 3, 3)
    """

    _not_in_config = frozenset(("data_format",))

    def __init__(self, cropping=(1, 1), **kwargs):
        super().__init__(cropping, "channels_last", **kwargs)


class Cropping2D(_Cropping):
    """Cuts rows and columns off the edges of images.

    Args:
        cropping: ((top, bottom), (left, right)); or two integers, for the rows and the columns; or one for all.
        data_format: "channels_last", "channels_first", or None for the configured one.

    Raises ValueError where nothing would be left.

    >>> Cropping2D(((1, 0), (2, 1)))(jnp.ones((2, 8, 8, 3))).shape
    (2, 7, 5, 3)
    """

    def __init__(self, cropping=((0, 0), (0, 0)), data_format=None, **kwargs):
        super().__init__(cropping, data_format, **kwargs)


class Cropping3D(_Cropping):
    """Cuts values off the edges of volumes; arguments as in `Cropping2D`, with three axes.

    >>> Cropping3D(1)(jnp.ones((2, 8, 8, 8, 3))).shape
    (2, 6, 6, 6, 3)
    """

    def __init__(self, cropping=((1, 1), (1, 1), (1, 1)), data_format=None, **kwargs):
        super().__init__(cropping, data_format, **kwargs)


class _ZeroPadding(_Edged):
    def __init__(self, padding, data_format=None, **kwargs):
        super().__init__(data_format, **kwargs)
        self._edges = self._pairs("padding", padding)
        self.padding = self._edges if self.rank > 1 else self._edges[0]

    def call(self, inputs):
        edges = [(0, 0)] * inputs.ndim
        edges[self._first:self._first + self.rank] = self._edges
        return jnp.pad(inputs, edges)


class ZeroPadding1D(_ZeroPadding):
    """Adds zeros at both ends of a sequence.

    Args:
        padding: (before, after), or an integer for both.
        data_format: "channels_last", "channels_first", or None for the configured one.

    >>> ZeroPadding1D((1, 2))(jnp.ones((2, 6, 3))).shape
    (2, 9, 3)
    """

    def __init__(self, padding=1, data_format=None, **kwargs):
        super().__init__(padding, data_format, **kwargs)


class ZeroPadding2D(_ZeroPadding):
    """Adds rows and columns of zeros round images.

    Args:
        padding: ((top, bottom), (left, right)); or two integers, for the rows and the columns; or one for all.
        data_format: "channels_last", "channels_first", or None for the configured one.

    >>> ZeroPadding2D(((1, 0), (2, 1)))(jnp.ones((2, 8, 8, 3))).shape
    (2, 9, 11, 3)
    """

    def __init__(self, padding=(1, 1), data_format=None, **kwargs):
        super().__init__(padding, data_format, **kwargs)


class ZeroPadding3D(_ZeroPadding):
    """Adds zeros round volumes; arguments as in `ZeroPadding2D`, with three axes.

    >>> ZeroPadding3D(1)(jnp.ones((2, 8, 8, 8, 3))).shape
    (2, 10, 10, 10, 3)
    """

    def __init__(self, padding=((1, 1), (1, 1), (1, 1)), data_format=None, **kwargs):
        super().__init__(padding, data_format, **kwargs)


# Up-sampling -------------------------------------------------------------------------------------------------------


class _UpSampling(Spatial):
    _weightless = True

    def __init__(self, size, data_format=None, **kwargs):
        super().__init__(data_format, **kwargs)
        self._numbers(size=size)

    def call(self, inputs):
        return self._repeat(inputs, (self.size,) if self.rank == 1 else self.size)

    def _repeat(self, x, sizes):
        """Each value `size` times, along all axes by one broadcast."""
        for axis, size in reversed(list(enumerate(sizes, self._first))):
            shape = (*x.shape[:axis + 1], size, *x.shape[axis + 1:])
            x = jnp.broadcast_to(jnp.expand_dims(x, axis + 1), shape)
            x = x.reshape(*shape[:axis], shape[axis] * size, *shape[axis + 2:])
        return x


class UpSampling1D(_UpSampling):
    """Each step of a sequence `size` times.

    Args:
        size: how often, an integer.

    Input shape: (batch, steps, features).

    >>> UpSampling1D(2)(jnp.ones((2, 3, 4))).shape
    (2, 6, 4)
    """

    _not_in_config = frozenset(("data_format",))

    def __init__(self, size=2, **kwargs):
        super().__init__(1, "channels_last", **kwargs)
        self.size = check.positive("size", size, "UpSampling1D")


class UpSampling2D(_UpSampling):
    """Larger images: each pixel `size` times, or interpolated.

    Args:
        size: the factors of height and width; an integer means both.
        data_format: "channels_last", "channels_first", or None for the configured one.
        interpolation: "nearest", "bilinear", "bicubic", "lanczos3" or "lanczos5".

    >>> UpSampling2D(2)(jnp.ones((2, 4, 4, 3))).shape
    (2, 8, 8, 3)
    """

    def __init__(self, size=(2, 2), data_format=None, interpolation="nearest", **kwargs):
        super().__init__(size, data_format, **kwargs)
        self.interpolation = check.one_of("interpolation", str(interpolation).lower(),
                                          ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"), "UpSampling2D")

    def call(self, inputs):
        if self.interpolation == "nearest":
            return self._repeat(inputs, self.size)
        shape, first = list(inputs.shape[1:]), self._first - 1
        shape[first:first + 2] = [n * factor for n, factor in zip(shape[first:], self.size)]
        # one sample at a time, as seen from the function: the batch size may be a symbol
        return jax.vmap(lambda x: jax.image.resize(x, shape, self.interpolation))(inputs)


class UpSampling3D(_UpSampling):
    """Larger volumes: each value `size` times along three axes.

    Args:
        size: the three factors; an integer means all.
        data_format: "channels_last", "channels_first", or None for the configured one.

    >>> UpSampling3D(2)(jnp.ones((2, 4, 4, 4, 3))).shape
    (2, 8, 8, 8, 3)
    """

    def __init__(self, size=(2, 2, 2), data_format=None, **kwargs):
        super().__init__(size, data_format, **kwargs)
