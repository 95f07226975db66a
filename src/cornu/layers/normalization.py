"""Normalization: inputs brought to mean 0 and variance 1, over the batch or within a sample.

16-bit inputs are normalized in float32, and the result is given back in their own dtype.
"""

import functools

import jax
import jax.numpy as jnp

from cornu import check, config, initializers
from cornu.input_spec import InputSpec
from cornu.layers.core import Wrapper
from cornu.layers.layer import Layer
from cornu.layers.parts import Parted, called, told
from cornu.lowering import affine, group_norm, moments, row_norm, special
from cornu.ops.kit import unit


class _Wide(Layer):
    """Computes in float32 and gives the result in the compute dtype: large numbers are no infinities on the way."""

    _reads_wide = True

    def _narrow(self, result, inputs):
        return result.astype(self.compute_dtype if self.autocast and result.dtype == jnp.float32 else inputs.dtype)


def _wide(x):
    return x.astype("float32") if x.dtype in (jnp.float16, jnp.bfloat16) else x


class _Normalization(Parted, _Wide):
    """What the family shares: `scale` by a weight gamma, and `center` by a weight beta."""

    supports_masking = True

    def __init__(self, axis=-1, epsilon=1e-3, center=True, scale=True, beta_initializer="zeros",
                 gamma_initializer="ones", beta_regularizer=None, gamma_regularizer=None, beta_constraint=None,
                 gamma_constraint=None, **kwargs):
        super().__init__(**self._keep(told(locals(), "axis", "epsilon", "center", "scale"), "beta", "gamma"))
        self.axis, self.center, self.scale = axis, center, scale
        self.epsilon = check.positive("epsilon", epsilon, type(self).__name__, zero=True, kind=float)

    def _add_affine(self, shape, center=None):
        self.gamma = self._weight(shape, "gamma", autocast=False) if self.scale else None
        center = self.center if center is None else center
        self.beta = self._weight(shape, "beta", autocast=False) if center else None

    def _affine(self, x, mean, inverse, shape):
        """`(x - mean) * inverse * gamma + beta`, as one product and one sum per value."""
        if self.gamma is not None:
            inverse = inverse * self.gamma.value.reshape(shape)
        x = (x - mean) * inverse
        return x if self.beta is None else x + self.beta.value.reshape(shape)


def _sizes(layer, input_shape, axes):
    """The sizes of the normalized axes, which must be known; and the axes, counted from the front."""
    rank = len(input_shape)
    for axis in axes:
        if not -rank <= axis < rank:
            raise ValueError(f"{called(layer)}: axis {axis} does not exist in an input of "
                             f"shape {input_shape}.")
    axes = [axis % rank for axis in axes]
    sizes = tuple(input_shape[axis] for axis in axes)
    if None in sizes:
        raise ValueError(f"{called(layer)} needs known sizes of the axes {axes}. Received "
                         f"an input of shape {input_shape}.")
    return axes, sizes


@functools.partial(jax.jit, static_argnums=2)
def _mixed(moving, value, momentum):
    return moving * momentum + jax.lax.stop_gradient(value).astype(moving.dtype) * (1 - momentum)


class BatchNormalization(_Normalization):
    """Brings every channel to mean 0 and variance 1 over the batch (Ioffe and Szegedy 2015).

    In training `gamma * (x - mean) / sqrt(variance + epsilon) + beta` with the batch's own mean and variance, which
    are also averaged into `moving_mean` and `moving_variance`: `moving * momentum + batch * (1 - momentum)`. Otherwise
    (also where `trainable` is False) the moving ones are used.

    Args:
        axis: the channels' axis: -1, or 1 for channels_first.
        momentum: of the moving averages, between 0 and 1.
        epsilon: added to the variance.
        center, scale: whether there is a weight beta, and one gamma.
        beta_initializer, gamma_initializer, moving_mean_initializer, moving_variance_initializer: where they start.
        beta_regularizer, gamma_regularizer, beta_constraint, gamma_constraint: of the trained weights.
        renorm: whether batches are normalized by the moving statistics too (batch renormalization, Ioffe 2017).
        renorm_clipping: bounds of its corrections, a dict with any of "rmin", "rmax" and "dmax".
        renorm_momentum: of the moving statistics that it uses.
        synchronized: a batch that is divided over devices is always normalized as a whole, so True and False agree.

    Call arguments: inputs, training, and mask, a bool array of the inputs' first axes: steps where it is False do not
    count in mean and variance. Raises ValueError for a channels' axis of unknown size.

    >>> layer = BatchNormalization()
    >>> layer(jnp.array([[1.0], [3.0]]), training=True).round(2)
    Array([[-1.],
           [ 1.]], dtype=float32)
    """

    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, beta_initializer="zeros",
                 gamma_initializer="ones", moving_mean_initializer="zeros", moving_variance_initializer="ones",
                 beta_regularizer=None, gamma_regularizer=None, beta_constraint=None, gamma_constraint=None,
                 renorm=False, renorm_clipping=None, renorm_momentum=0.99, synchronized=False, **kwargs):
        super().__init__(**told(locals(), "momentum", "moving_mean_initializer", "moving_variance_initializer",
                                "renorm", "renorm_clipping", "renorm_momentum", "synchronized"))
        if not isinstance(axis, int):
            raise ValueError(f"BatchNormalization: argument `axis` must be one integer. Received: {axis!r}")
        self.momentum = check.between("momentum", momentum, 0, 1, "BatchNormalization")
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        unknown = sorted(set(renorm_clipping or ()) - {"rmin", "rmax", "dmax"})
        if unknown:
            raise ValueError(f"BatchNormalization: renorm_clipping has the keys rmin, rmax and dmax. Received: "
                             f"{unknown}")
        self.renorm, self.renorm_clipping = renorm, renorm_clipping or ({} if renorm else None)
        self.renorm_momentum = check.between("renorm_momentum", renorm_momentum, 0, 1, "BatchNormalization")
        self.synchronized = synchronized

    def build(self, input_shape):
        (axis,), shape = _sizes(self, input_shape, [self.axis])
        self._add_affine(shape)

        def moving(name, initializer):
            return self.add_weight(shape, initializer, name=name, trainable=False, autocast=False, aggregation="mean")

        self.moving_mean = moving("moving_mean", self.moving_mean_initializer)
        self.moving_variance = moving("moving_variance", self.moving_variance_initializer)
        if self.renorm:
            self.moving_stddev = moving("moving_stddev", lambda *_, **__: jnp.sqrt(self.moving_variance.raw))
            self.renorm_mean = moving("renorm_mean", self.moving_mean_initializer)
            self.renorm_stddev = moving("renorm_stddev", lambda *_, **__: jnp.sqrt(self.moving_variance.raw))
        self.input_spec = InputSpec(ndim=len(input_shape), axes={axis: shape[0]})

    def call(self, inputs, training=None, mask=None):
        axis = self.axis % inputs.ndim
        shape = [-1 if i == axis else 1 for i in range(inputs.ndim)]
        x = _wide(inputs)
        if training and self.trainable:
            mean, variance = self._moments(x, axis, mask)
            mean, inverse = self._update(mean, variance)
        else:
            mean, inverse = self.moving_mean.raw, jax.lax.rsqrt(self.moving_variance.raw + self.epsilon)
        if axis == inputs.ndim - 1:
            scale = inverse if self.gamma is None else inverse * self.gamma.value
            shift = jnp.zeros_like(scale) if self.beta is None else self.beta.value
            return self._narrow(affine(x, mean, scale, shift), inputs)
        return self._narrow(self._affine(x, mean.reshape(shape), inverse.reshape(shape), shape), inputs)

    def _moments(self, x, axis, mask):
        if mask is None and axis == x.ndim - 1:
            return moments(x)
        axes = tuple(i for i in range(x.ndim) if i != axis)
        if mask is None:
            return jnp.mean(x, axes), jnp.var(x, axes)
        if mask.ndim > x.ndim or any(m not in (1, n) for m, n in zip(mask.shape, x.shape)):
            raise ValueError(f"{called(self)}: a mask of shape {mask.shape} does not fit "
                             f"inputs of shape {x.shape}.")
        weights = jnp.broadcast_to(mask.reshape(mask.shape + (1,) * (x.ndim - mask.ndim)), x.shape).astype(x.dtype)
        total = jnp.sum(weights, axes, keepdims=True) + config.epsilon()  # a batch may be masked as a whole
        mean = jnp.sum(weights * x, axes, keepdims=True) / total
        variance = jnp.sum(weights * (x - mean) ** 2, axes, keepdims=True) / total
        return mean.reshape(-1), variance.reshape(-1)

    def _update(self, mean, variance):
        """Count the batch in, and return what to subtract and what to multiply with."""
        self._average(self.moving_mean, mean, self.momentum)
        if not self.renorm:
            self._average(self.moving_variance, variance, self.momentum)
            return mean, jax.lax.rsqrt(variance + self.epsilon)
        stddev, clip = jnp.sqrt(variance + self.epsilon), self.renorm_clipping
        r, d = jax.lax.stop_gradient((stddev / self.renorm_stddev.raw,
                                      (mean - self.renorm_mean.raw) / self.renorm_stddev.raw))
        r = jnp.clip(r, clip.get("rmin"), clip.get("rmax"))
        d = d if clip.get("dmax") is None else jnp.clip(d, -clip["dmax"], clip["dmax"])
        self._average(self.renorm_mean, mean, self.renorm_momentum)
        self._average(self.renorm_stddev, stddev, self.renorm_momentum)
        self._average(self.moving_stddev, stddev, self.momentum)
        self.moving_variance.assign(jnp.maximum(self.moving_stddev.raw**2 - self.epsilon, 0.0))
        return mean - d * stddev / r, r / stddev

    def _average(self, moving, value, momentum):
        moving.assign(_mixed(moving.raw, value, momentum))


class LayerNormalization(_Normalization):
    """Brings each sample to mean 0 and variance 1 over its last axis, or several (Ba et al. 2016).

    `gamma * (x - mean) / sqrt(variance + epsilon) + beta`, gamma and beta of the normalized axes' shape.

    Args:
        axis: the axis or axes that are normalized.
        epsilon: added to the variance.
        center, scale: whether there is a weight beta, and one gamma.
        beta_initializer, gamma_initializer: where they start.
        beta_regularizer, gamma_regularizer, beta_constraint, gamma_constraint: of the weights.
        rms_scaling: divide by the standard deviation without subtracting the mean or adding beta; kept for old
            models, `RMSNormalization` is what the name says.

    Raises ValueError for normalized axes of unknown size.

    >>> LayerNormalization()(jnp.array([[1.0, 3.0]])).round(2)
    Array([[-1.,  1.]], dtype=float32)
    """

    def __init__(self, axis=-1, epsilon=1e-3, center=True, scale=True, beta_initializer="zeros",
                 gamma_initializer="ones", beta_regularizer=None, gamma_regularizer=None, beta_constraint=None,
                 gamma_constraint=None, rms_scaling=False, **kwargs):
        super().__init__(**told(locals(), "rms_scaling"))
        if not isinstance(axis, (int, list, tuple)) or isinstance(axis, (list, tuple)) and not all(
                isinstance(a, int) for a in axis):
            raise ValueError(f"LayerNormalization: argument `axis` must be an integer or several. Received: {axis!r}")
        self.axis = list(axis) if isinstance(axis, (list, tuple)) else axis
        self.rms_scaling = rms_scaling

    def build(self, input_shape):
        axes, sizes = _sizes(self, input_shape, self.axis if isinstance(self.axis, list) else [self.axis])
        self._add_affine(sizes)
        told = self.axis if isinstance(self.axis, list) else [self.axis]
        if all(axis < 0 for axis in told):  # counted from the end: inputs of another rank fit too
            self.input_spec = InputSpec(min_ndim=-min(told), axes=dict(zip(told, sizes)))
        else:
            self.input_spec = InputSpec(ndim=len(input_shape), axes=dict(zip(axes, sizes)))

    def _add_affine(self, shape):
        super()._add_affine(shape, center=self.center and not self.rms_scaling)

    def call(self, inputs):
        x = _wide(inputs)
        axes = tuple(a % x.ndim for a in (self.axis if isinstance(self.axis, list) else [self.axis]))
        shape = [n if i in axes else 1 for i, n in enumerate(x.shape)]
        if axes == (x.ndim - 1,) and self.gamma is not None and self.beta is not None and special(x, self.gamma.value):
            return self._narrow(row_norm(x, self.gamma.value, self.beta.value, self.epsilon), inputs)
        mean, variance = jnp.mean(x, axes, keepdims=True), jnp.var(x, axes, keepdims=True)
        mean = 0.0 if self.rms_scaling else mean
        return self._narrow(self._affine(x, mean, jax.lax.rsqrt(variance + self.epsilon), shape), inputs)


class GroupNormalization(_Normalization):
    """Brings groups of channels of each sample to mean 0 and variance 1 (Wu and He 2018).

    Args:
        groups: into how many groups the channels are divided; -1 for as many as channels (instance normalization),
            1 for layer normalization over all axes.
        axis: the channels' axis.
        epsilon: added to the variance.
        center, scale: whether there is a weight beta, and one gamma, of one value per channel.
        beta_initializer, gamma_initializer: where they start.
        beta_regularizer, gamma_regularizer, beta_constraint, gamma_constraint: of the weights.

    Raises ValueError for channels that are not divisible by groups.

    >>> GroupNormalization(groups=2)(jnp.array([[1.0, 3.0, 2.0, 6.0]])).round(1)
    Array([[-1.,  1., -1.,  1.]], dtype=float32)
    """

    def __init__(self, groups=32, axis=-1, epsilon=1e-3, center=True, scale=True, beta_initializer="zeros",
                 gamma_initializer="ones", beta_regularizer=None, gamma_regularizer=None, beta_constraint=None,
                 gamma_constraint=None, **kwargs):
        super().__init__(**told(locals(), "groups"))
        if not isinstance(groups, int) or isinstance(groups, bool) or groups == 0 or groups < -1:
            raise ValueError(f"GroupNormalization: argument `groups` must be an integer > 0, or -1 for one per "
                             f"channel. Received: {groups!r}")
        self.groups = groups

    def build(self, input_shape):
        (axis,), (channels,) = _sizes(self, input_shape, [self.axis])
        if self.groups == -1:
            self.groups = channels
        if channels % self.groups:
            raise ValueError(f"{called(self)}: {channels} channels (axis {axis} of an input of "
                             f"shape {input_shape}) are not divisible by groups={self.groups}.")
        self._add_affine((channels,))
        self.input_spec = InputSpec(ndim=len(input_shape), axes={axis: channels})

    def call(self, inputs):
        x = _wide(inputs)
        axis = self.axis % x.ndim
        if axis == x.ndim - 1 > 1 and self.gamma is not None and self.beta is not None and special(x, self.gamma.value):
            return self._narrow(group_norm(x, self.gamma.value, self.beta.value, self.groups, self.epsilon), inputs)
        size = x.shape[axis] // self.groups
        x = x.reshape((*x.shape[:axis], self.groups, size, *x.shape[axis + 1:]))
        axes = tuple(i for i in range(1, x.ndim) if i != axis)
        affine = [self.groups if i == axis else size if i == axis + 1 else 1 for i in range(x.ndim)]
        mean, variance = jnp.mean(x, axes, keepdims=True), jnp.var(x, axes, keepdims=True)
        x = self._affine(x, mean, jax.lax.rsqrt(variance + self.epsilon), affine)
        return self._narrow(x.reshape(inputs.shape), inputs)


class RMSNormalization(_Wide):
    """`scale * x / sqrt(mean(x²) + epsilon)` over the last axis, or several (Zhang and Sennrich 2019).

    Args:
        axis: the axis or axes that are normalized.
        epsilon: added to the mean of the squares.

    >>> RMSNormalization()(jnp.array([[3.0, -3.0]])).round(3)
    Array([[ 1., -1.]], dtype=float32)
    """

    def __init__(self, axis=-1, epsilon=1e-6, **kwargs):
        super().__init__(**kwargs)
        self.axis = list(axis) if isinstance(axis, (list, tuple)) else axis
        self.epsilon = check.positive("epsilon", epsilon, "RMSNormalization", zero=True, kind=float)

    def build(self, input_shape):
        _, sizes = _sizes(self, input_shape, self.axis if isinstance(self.axis, list) else [self.axis])
        self.scale = self.add_weight(sizes, "ones", name="scale", autocast=False)

    def call(self, x):
        wide = _wide(x)
        axes = tuple(a % x.ndim for a in (self.axis if isinstance(self.axis, list) else [self.axis]))
        scale = self.scale.value.reshape([n if i in axes else 1 for i, n in enumerate(x.shape)])
        if axes == (x.ndim - 1,) and special(wide, self.scale.value):
            return self._narrow(row_norm(wide, self.scale.value, None, self.epsilon), x)
        inverse = jax.lax.rsqrt(jnp.mean(jnp.square(wide), axes, keepdims=True) + self.epsilon)
        return self._narrow(wide * (inverse * scale), x)


class UnitNormalization(_Wide):
    """`x / sqrt(sum(x²))`: vectors of length 1 along an axis, or several; vectors of zeros stay so.

    Args:
        axis: the axis or axes of the vectors.

    >>> UnitNormalization()(jnp.array([[3.0, 4.0]]))
    Array([[0.6, 0.8]], dtype=float32)
    """

    supports_masking = _weightless = True

    def __init__(self, axis=-1, **kwargs):
        super().__init__(**kwargs)
        if isinstance(axis, (list, tuple)):
            axis = list(axis)
        elif not isinstance(axis, int):
            raise ValueError(f"UnitNormalization: argument `axis` must be an integer or a list of them. "
                             f"Received: {axis!r}")
        self.axis = axis

    def call(self, inputs):
        axes = tuple(self.axis) if isinstance(self.axis, list) else self.axis
        return self._narrow(unit(_wide(inputs), axes, 1e-12), inputs)


class SpectralNormalization(Wrapper):
    """A wrapper that divides a layer's kernel by its greatest singular value (Miyato et al. 2018).

    In training the kernel is replaced, before every call, by itself over an estimate of that value: a few steps of
    power iteration from the vector that the last call ended with.

    Args:
        layer: a layer with a weight `kernel` (or `embeddings`).
        power_iterations: the steps, 1 or more.

    Raises ValueError for a layer without such a weight.

    >>> from cornu.layers import Dense
    >>> layer = SpectralNormalization(Dense(2))
    >>> layer(jnp.ones((1, 3)), training=True).shape
    (1, 2)
    """

    def __init__(self, layer, power_iterations=1, **kwargs):
        super().__init__(layer, **kwargs)
        self.power_iterations = check.positive("power_iterations", power_iterations, "SpectralNormalization")

    def build(self, input_shape):
        super().build(input_shape)
        self.input_spec = InputSpec(shape=[None, *input_shape[1:]])
        kernel = next((w for n in ("kernel", "embeddings") if (w := getattr(self.layer, n, None)) is not None), None)
        if kernel is None:
            raise ValueError(f"{called(self)}: {type(self.layer).__name__} layer "
                             f"{self.layer.name!r} has neither a weight `kernel` nor `embeddings`.")
        self.kernel = kernel
        self.vector_u = self.add_weight((1, kernel.shape[-1]), initializers.TruncatedNormal(stddev=0.02),
                                        trainable=False, autocast=False, name="vector_u")

    def call(self, inputs, training=False):
        if training:
            u, kernel = self.normalized_weights()
            self.vector_u.assign(u)
            self.kernel.assign(kernel)
        return self.layer(inputs)

    def normalized_weights(self):
        """What a call in training would set: the vector from power iteration, and the kernel over its singular value.

        Returns: a pair of arrays, in the shapes of `vector_u`, (1, outputs), and of the kernel. Neither is assigned.

        >>> from cornu.layers import Dense
        >>> layer = SpectralNormalization(Dense(2))
        >>> layer.build((None, 3))
        >>> [tuple(x.shape) for x in layer.normalized_weights()]
        [(1, 2), (3, 2)]
        """
        kernel = self.kernel.raw
        matrix, u = kernel.reshape(-1, kernel.shape[-1]), self.vector_u.raw
        fixed = jax.lax.stop_gradient(matrix)
        for _ in range(self.power_iterations):
            v = _unit(u @ fixed.T)
            u = _unit(v @ fixed)
        sigma = (v @ matrix @ u.T).reshape(())
        nothing = jnp.all(kernel == 0)
        return (jnp.where(nothing, self.vector_u.raw, u),
                jnp.where(nothing, kernel, kernel / jnp.where(nothing, 1.0, sigma)))


def _unit(x):
    return x * jax.lax.rsqrt(jnp.maximum(jnp.sum(jnp.square(x)), 1e-12))
