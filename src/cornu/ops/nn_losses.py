"""Cross-entropies, normalizations, and codes for classes."""

import functools

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from cornu import check, dtypes
from cornu import sparse as sparse_tensors
from cornu.config import epsilon as default_epsilon
from cornu.lowering import max_classes, sum_classes
from cornu.ops.kit import inexact, integers, public, tensor, to_sparse, unit, wide
from cornu.symbolic import op

# Cross-entropies ---------------------------------------------------------------------------------------------------


def _clipped(probabilities):
    return jnp.clip(probabilities, default_epsilon(), 1 - default_epsilon())


@jax.custom_jvp
def _of_probabilities(t, p):
    """-(t log(p) + (1 - t) log(1 - p)), p kept epsilon away from 0 and 1.

    By hand, the derivative takes XLA one kernel; that of the two logarithms and of the clipping took four.
    """
    p = _clipped(p)
    return -(t * jnp.log(p) + (1 - t) * jnp.log(1 - p))


@functools.partial(_of_probabilities.defjvp, symbolic_zeros=True)
def _jvp_of_probabilities(values, tangents):
    (t, p), (dt, dp) = values, tangents
    inside, loss = _clipped(p), _of_probabilities(t, p)
    change = jnp.zeros_like(loss)
    if not isinstance(dt, SymbolicZero):
        change += (jnp.log(1 - inside) - jnp.log(inside)) * dt
    if not isinstance(dp, SymbolicZero):
        low, high = default_epsilon(), 1 - default_epsilon()
        part = ((p >= low) & (p <= high)) * 0.5 + ((p > low) & (p < high)) * 0.5  # half at the ends, as of JAX's own clipping
        change += part * (inside - t) / (inside * (1 - inside)) * dp
    return loss, change


def _same_shape(target, output):
    if target.shape != output.shape:
        raise ValueError("Arguments `target` and `output` must have the same shape. "
                         f"Received: target.shape={target.shape}, output.shape={output.shape}")
    if output.ndim < 1:
        raise ValueError(f"Arguments `target` and `output` must have one axis or more. Received shape: {output.shape}")


@op
def binary_crossentropy(target, output, from_logits=False):
    """-t log(p) - (1 - t) log(1 - p), value by value.

    Args:
        target: t, in [0, 1].
        output: p in [0, 1], of the same shape, kept epsilon away from the ends; or its logit.
        from_logits: whether `output` is the logit log(p / (1 - p)).
    """
    target, output = inexact(target), inexact(output)
    if target.shape != output.shape:
        _same_shape(target, output)
    if from_logits:
        return target * -jax.nn.log_sigmoid(output) + (1 - target) * -jax.nn.log_sigmoid(-output)
    loss = _of_probabilities(target, wide(output))
    return loss.astype(jnp.result_type(target, output))


def _log_probabilities(output, from_logits, axis):
    output = inexact(output)
    if from_logits:
        return jax.nn.log_softmax(output, axis=axis)
    p = wide(output)
    return jnp.log(_clipped(p / jnp.expand_dims(sum_classes(p, axis), axis))).astype(output.dtype)


@op
def categorical_crossentropy(target, output, from_logits=False, axis=-1):
    """-sum(t log(p)) over the classes, p being made to sum to 1.

    Args:
        target: t, the probabilities that are right, of shape (..., classes).
        output: p, of the same shape, kept epsilon away from 0 and 1; or logits.
        from_logits: whether `output` is to go through softmax.
        axis: the axis of the classes.
    """
    target, output = tensor(target), tensor(output)
    _same_shape(target, output)
    return -sum_classes(target * _log_probabilities(output, from_logits, axis), axis)


@op
def sparse_categorical_crossentropy(target, output, from_logits=False, axis=-1):
    """-log(p[t]), p being made to sum to 1.

    Args:
        target: t, class numbers, of output's shape without the axis of the classes (which may be there with size 1).
        output: p, kept epsilon away from 0 and 1; or logits.
        from_logits: whether `output` is to go through softmax.
        axis: the axis of the classes.

    Raises ValueError for a class number out of range, where the numbers are known (not under jit, where such a
    number adds no loss).
    """
    target, output = tensor(target), tensor(output)
    if target.ndim == output.ndim and target.shape[-1] == 1:
        target = jnp.squeeze(target, -1)
    if output.ndim < 1 or target.shape != tuple(d for i, d in enumerate(output.shape) if i != axis % output.ndim):
        raise ValueError("Argument `target` must have the shape of `output` without the axis of the classes. "
                         f"Received: target.shape={target.shape}, output.shape={output.shape}, axis={axis}")
    target, classes = target.astype("int32"), output.shape[axis]
    output = output.astype(jnp.promote_types(output.dtype, "float32"))  # as in Keras, from 16 bits too
    _check_classes(target, classes)
    chosen = jnp.expand_dims(target, axis) == jnp.arange(classes).reshape(
        [-1 if i == axis % output.ndim else 1 for i in range(output.ndim)])

    def of_target(values):
        return sum_classes(jnp.where(chosen, values, 0), axis)

    if from_logits:  # chosen first: one logarithm for a sample, not one for every class
        output = output - max_classes(output, axis)
        losses = jnp.log(sum_classes(jnp.exp(output), axis)) - of_target(output)
    else:
        losses = -jnp.log(_clipped(of_target(output) / sum_classes(output, axis)))
    return jnp.where((target >= 0) & (target < classes), losses, 0)


def _check_classes(target, classes):
    if isinstance(target, jax.core.Tracer) or not target.size:
        return
    low, high = int(jnp.min(target)), int(jnp.max(target))
    if low < 0 or high >= classes:
        raise ValueError(f"sparse_categorical_crossentropy: the class numbers in `target` must be between 0 and "
                         f"{classes - 1}, as `output` has {classes} classes. Received numbers from {low} to {high}.")


# Classes as codes ------------------------------------------------------------------------------------------------


@op
def one_hot(x, num_classes, axis=-1, dtype=None, sparse=False):
    """For each integer, a vector that is 1 at its place and 0 elsewhere; all 0 where it is out of range.

    Args:
        x: a tensor of integers.
        num_classes: the length of the vectors.
        axis: their axis in the result.
        dtype: of the result, floatx by default.
        sparse: whether to give a `jax.experimental.sparse.BCOO` array.
    """
    if sparse:
        return sparse_tensors.one_hot(tensor(x), num_classes, axis, dtypes.standardize(dtype))
    return jax.nn.one_hot(tensor(x), num_classes, axis=axis, dtype=dtypes.standardize(dtype))


@op
def multi_hot(inputs, num_classes=None, axis=-1, dtype=None, sparse=False, **kwargs):
    """One vector for all integers of the last axis, 1 at their places; see `one_hot` for the arguments."""
    num_classes = kwargs.pop("num_tokens", num_classes)
    if kwargs:
        raise ValueError(f"multi_hot: unknown arguments {sorted(kwargs)}.")
    if num_classes is None:
        raise ValueError("multi_hot: argument `num_classes` must be an integer. Received: None")
    inputs = tensor(inputs)
    if sparse and axis in (-1, max(inputs.ndim - 1, 0)):
        return sparse_tensors.multi_hot(inputs, num_classes, dtypes.standardize(dtype))
    codes = jax.nn.one_hot(inputs, num_classes, axis=axis, dtype=dtypes.standardize(dtype))
    codes = jnp.max(codes, axis=1 if inputs.ndim > 1 else 0)
    return to_sparse(codes) if sparse else codes


# Normalizing -----------------------------------------------------------------------------------------------------


@op
def moments(x, axes, keepdims=False, synchronized=False):
    """The mean and the variance over axes; 16-bit floats are summed in 32 bits.

    Args:
        x: a tensor.
        axes: the axis or axes to reduce.
        keepdims: keep them with size 1.
        synchronized: of no effect: under JAX a sharded tensor's moments are those of the whole.
    """
    x, axes = inexact(x), integers(axes)
    large = wide(x)
    mean, variance = jnp.mean(large, axes, keepdims=keepdims), jnp.var(large, axes, keepdims=keepdims)
    if x.dtype == jnp.float16:  # what float16 cannot hold becomes its largest number, not infinity
        limit = float(jnp.finfo(jnp.float16).max)
        mean, variance = jnp.clip(mean, -limit, limit), jnp.clip(variance, -limit, limit)
    return mean.astype(x.dtype), variance.astype(x.dtype)


def _along(values, x, axis):
    """Values of some axes of x, in a shape that broadcasts with it."""
    values = tensor(values)
    axes = {a % x.ndim for a in ((axis,) if isinstance(axis, int) else axis)}
    if values.ndim == x.ndim:
        return values
    return values.reshape([d if i in axes else 1 for i, d in enumerate(x.shape)])


@op
def batch_normalization(x, mean, variance, axis, offset=None, scale=None, epsilon=1e-3):
    """(x - mean) / sqrt(variance + epsilon) scale + offset (Ioffe and Szegedy 2015).

    Args:
        x: a tensor.
        mean, variance: one number for each position of the axis, or tensors that broadcast with x.
        axis: the axis or axes that are kept apart, usually that of the channels.
        offset, scale: likewise, or None.
        epsilon: keeps the quotient finite.
    """
    x = inexact(x)
    size = x.shape[axis] if isinstance(axis, int) else None
    if size is not None and jnp.ndim(tensor(mean)) == 1 and tensor(mean).shape[0] != size:
        raise ValueError(f"batch_normalization: `mean` must have {size} values, as many as axis {axis} of `x` has. "
                         f"Received: mean.shape={tensor(mean).shape}, x.shape={x.shape}")
    factor = jax.lax.rsqrt(_along(variance, x, axis) + epsilon)
    if scale is not None:
        factor = factor * _along(scale, x, axis)
    rest = -_along(mean, x, axis) * factor
    if offset is not None:
        rest = rest + _along(offset, x, axis)
    return x * factor + rest


@op
def layer_normalization(x, gamma=None, beta=None, axis=-1, epsilon=None, **kwargs):
    """(x - mean) / sqrt(variance + epsilon) gamma + beta, over the axis or axes (Ba et al. 2016).

    Args:
        x: a tensor.
        gamma, beta: tensors of the axes' shape, or None.
        axis: what is normalized together.
        epsilon: keeps the quotient finite; config.epsilon() for None.
    """
    if kwargs.pop("rms_scaling", False):
        return rms_normalization.__wrapped__(x, gamma, axis, epsilon)
    if kwargs:
        raise ValueError(f"layer_normalization: unknown arguments {sorted(kwargs)}.")
    x, axis = inexact(x), integers(axis)
    large = wide(x)
    mean, variance = jnp.mean(large, axis, keepdims=True), jnp.var(large, axis, keepdims=True)
    factor = jax.lax.rsqrt(variance + (default_epsilon() if epsilon is None else epsilon))
    if gamma is not None:
        factor = factor * _along(gamma, x, axis)
    rest = -mean * factor
    if beta is not None:
        rest = rest + _along(beta, x, axis)
    return (large * factor + rest).astype(x.dtype)


@op
def rms_normalization(x, scale=None, axis=-1, epsilon=None):
    """x / sqrt(mean(x^2) + epsilon) scale (Zhang and Sennrich 2019).

    Args:
        x: a tensor.
        scale: a tensor that broadcasts with x, or None.
        axis: the axis or axes of the mean.
        epsilon: keeps the quotient finite; config.epsilon() for None.
    """
    x = inexact(x)
    large = wide(x)
    square = jnp.mean(jnp.square(large), integers(axis), keepdims=True)
    normal = large * jax.lax.rsqrt(square + (default_epsilon() if epsilon is None else epsilon))
    return (normal if scale is None else normal * tensor(scale)).astype(x.dtype)


@op
def normalize(x, axis=-1, order=2, epsilon=None):
    """x / max(|x|, epsilon), for the norm of the given order along the axis or axes.

    Args:
        x: a tensor.
        axis: along which the norm is taken.
        order: 1 for the sum of absolute values, 2 for the Euclidean norm ...
        epsilon: the least norm; config.epsilon() for None.
    """
    check.positive("order", order, "normalize")
    x, axis = inexact(x), integers(axis)
    epsilon = default_epsilon() if epsilon is None else epsilon
    return unit(x, axis, epsilon, order)


@op
def psnr(x1, x2, max_val):
    """The peak signal-to-noise ratio in decibels: 20 log10(max_val) - 10 log10(mean((x1 - x2)^2)).

    Args:
        x1, x2: tensors of one shape.
        max_val: the largest value that a signal may have.
    """
    x1, x2 = inexact(x1), inexact(x2)
    if x1.shape != x2.shape:
        raise ValueError(f"psnr: `x1` and `x2` must have one shape. Received: {x1.shape} and {x2.shape}")
    return 20 * jnp.log10(jnp.asarray(max_val, x2.dtype)) - 10 * jnp.log10(jnp.mean(jnp.square(x1 - x2)))


@op
def polar(abs_, angle):
    """The complex number of the given modulus and angle: abs (cos angle + i sin angle)."""
    abs_, angle = inexact(abs_), inexact(angle)
    return jax.lax.complex(abs_ * jnp.cos(angle), abs_ * jnp.sin(angle))


__all__ = public(globals())
