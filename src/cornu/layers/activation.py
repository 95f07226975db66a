"""Activation functions as layers, for where one wants them to have a place, an argument or a weight of their own."""

import jax.numpy as jnp

from cornu import activations, check
from cornu.input_spec import InputSpec
from cornu.layers.layer import Layer
from cornu.layers.parts import Parted, called, told


class _Elementwise(Layer):
    """A layer without weights that keeps its input's shape, and so its mask."""

    supports_masking = _weightless = True


class Activation(_Elementwise):
    """Applies an activation function.

    Args:
        activation: a name of `cornu.activations`, or a function.

    Raises ValueError for an unknown name.

    >>> Activation("relu")(jnp.array([-1.0, 2.0]))
    Array([0., 2.], dtype=float32)
    """

    def __init__(self, activation, **kwargs):
        super().__init__(**kwargs)
        self.activation = activations.get(activation)

    def call(self, inputs):
        return self.activation(inputs)


class ReLU(_Elementwise):
    """`x` at and above the threshold, at most `max_value`; `negative_slope * (x - threshold)` below it.

    Args:
        max_value: the greatest output, or None.
        negative_slope: the slope below the threshold.
        threshold: below which the slope applies.

    Raises ValueError for a negative argument.

    >>> ReLU(max_value=1.0, negative_slope=0.5)(jnp.array([-1.0, 0.5, 2.0]))
    Array([-0.5,  0.5,  1. ], dtype=float32)
    """

    def __init__(self, max_value=None, negative_slope=0.0, threshold=0.0, **kwargs):
        super().__init__(**kwargs)
        owner = type(self).__name__
        self.max_value = max_value
        if max_value is not None:
            self.max_value = check.positive("max_value", max_value, owner, zero=True, kind=float)
        self.negative_slope = check.positive("negative_slope", negative_slope, owner, zero=True, kind=float)
        self.threshold = check.positive("threshold", threshold, owner, zero=True, kind=float)

    def call(self, inputs):
        return activations.relu(inputs, self.negative_slope, self.max_value, self.threshold)


class ThresholdedReLU(_Elementwise):
    """`x` above the threshold, 0 elsewhere: a layer of Keras 2.

    Args:
        theta: the threshold, 0 or more.

    Raises ValueError for a threshold that is no such number.

    >>> ThresholdedReLU(1.5)(jnp.array([1.0, 2.0]))
    Array([0., 2.], dtype=float32)
    """

    def __init__(self, theta=1.0, **kwargs):
        super().__init__(**kwargs)
        if theta is None or theta < 0:
            raise ValueError(f"ThresholdedReLU: `theta` is a number of 0 or more. Received: {theta}")
        self.theta = float(theta)

    def call(self, inputs):
        inputs = jnp.asarray(inputs)
        return jnp.where(inputs > self.theta, inputs, jnp.zeros((), inputs.dtype))


class LeakyReLU(_Elementwise):
    """`x` above zero, `negative_slope * x` below (Maas et al. 2013).

    Args:
        negative_slope: the slope below zero; None is an error.

    >>> LeakyReLU(0.5)(jnp.array([-1.0, 2.0]))
    Array([-0.5,  2. ], dtype=float32)
    """

    def __init__(self, negative_slope=0.3, **kwargs):
        alpha = kwargs.pop("alpha", None)  # the argument's name in old files
        super().__init__(**kwargs)
        slope = negative_slope if alpha is None else alpha
        self.negative_slope = check.positive("negative_slope", slope, type(self).__name__, zero=True, kind=float)

    def call(self, inputs):
        return activations.leaky_relu(inputs, self.negative_slope)


class PReLU(Parted):
    """`x` above zero, `alpha * x` below, with a learned `alpha` for every feature (He et al. 2015).

    Args:
        alpha_initializer, alpha_regularizer, alpha_constraint: of the weight alpha.
        shared_axes: axes along which alpha is one number, such as [1, 2] for images; 0 is the batch.

    Input shape: any, all sizes but the batch and the shared ones known.

    >>> PReLU(alpha_initializer="ones")(jnp.array([[-1.0, 2.0]]))
    Array([[-1.,  2.]], dtype=float32)
    """

    supports_masking = True

    def __init__(self, alpha_initializer="Zeros", alpha_regularizer=None, alpha_constraint=None, shared_axes=None,
                 **kwargs):
        super().__init__(**self._keep(told(locals(), "shared_axes"), "alpha"))
        self.shared_axes = [shared_axes] if isinstance(shared_axes, int) else shared_axes and list(shared_axes)

    def build(self, input_shape):
        shared = self.shared_axes or ()
        shape = [1 if axis in shared else size for axis, size in enumerate(input_shape)][1:]
        if None in shape:
            raise ValueError(f"{called(self)} needs known sizes of the axes that are not shared. Received "
                             f"an input of shape {input_shape}; shared_axes={self.shared_axes}.")
        self.alpha = self._weight(shape, "alpha")
        self.input_spec = InputSpec(ndim=len(input_shape), axes={
            axis: size for axis, size in enumerate(input_shape) if axis and axis not in shared})

    def call(self, inputs):
        return jnp.maximum(inputs, 0) - self.alpha.value * jnp.maximum(-inputs, 0)


class ELU(_Elementwise):
    """`x` above zero, `alpha * (exp(x) - 1)` below (Clevert et al. 2016).

    Args:
        alpha: the negative of the least output.

    >>> ELU()(jnp.array([0.0, 2.0]))
    Array([0., 2.], dtype=float32)
    """

    def __init__(self, alpha=1.0, **kwargs):
        super().__init__(**kwargs)
        self.alpha = alpha

    def call(self, inputs):
        return activations.elu(inputs, self.alpha)


class Softmax(_Elementwise):
    """`exp(x) / sum(exp(x))` over an axis, or several.

    Args:
        axis: an axis or a list of axes.

    Call arguments: inputs; mask, a bool array that broadcasts to the inputs' shape: where it is False the output is 0,
    also where all of a slice is masked. Raises ValueError for a mask of another shape.

    >>> Softmax()(jnp.zeros((1, 2)), mask=jnp.array([[True, False]]))
    Array([[1., 0.]], dtype=float32)
    """

    def __init__(self, axis=-1, **kwargs):
        super().__init__(**kwargs)
        self.axis = list(axis) if isinstance(axis, (tuple, list)) else axis

    def call(self, inputs, mask=None):
        if mask is not None:
            sizes = (1,) * (inputs.ndim - mask.ndim) + mask.shape
            if any(m not in (1, n) for m, n in zip(sizes, inputs.shape)) or mask.ndim > inputs.ndim:
                raise ValueError(f"{called(self)}: a mask of shape {mask.shape} is not broadcastable to inputs of shape "
                                 f"{inputs.shape}.")
            low = jnp.finfo(inputs.dtype).min / (2 if inputs.dtype == jnp.float16 else 1)
            inputs = inputs + (1.0 - mask.astype(inputs.dtype)) * low
        axis = tuple(self.axis) if isinstance(self.axis, list) else self.axis
        shifted = jnp.exp(inputs - jnp.max(inputs, axis, keepdims=True))
        result = shifted / jnp.sum(shifted, axis, keepdims=True)
        return result if mask is None else jnp.where(mask.astype(bool), result, 0)
