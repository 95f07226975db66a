"""Fourier transforms, segments, the largest values, and functions of analysis."""

import jax
import jax.numpy as jnp
import numpy as np

from cornu import check, config
from cornu.ops.kit import inexact, integers, public, tensor, unary
from cornu.symbolic import op
from cornu.variable import room_for

erf = unary("erf", "2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x.", jax.lax.erf, inexact)
erfc = unary("erfc", "1 - erf(x).", jax.lax.erfc, inexact)
erfinv = unary("erfinv", "The inverse of erf, of x in (-1, 1).", jax.lax.erf_inv, inexact)
rsqrt = unary("rsqrt", "1 / sqrt(x).", jax.lax.rsqrt, inexact)


@op
def logsumexp(x, axis=None, keepdims=False):
    """log(sum(e^x)), without overflow, over the axis or axes (all for None)."""
    return jax.nn.logsumexp(inexact(x), axis=integers(axis), keepdims=keepdims)


@op
def logdet(x):
    """The logarithm of the determinant of positive definite matrices."""
    return jnp.linalg.slogdet(inexact(x))[1]


@op
def cdist(x, y):
    """The Euclidean distances of all pairs of rows: (..., n, d) and (..., m, d) give (..., n, m)."""
    x, y = tensor(x), tensor(y)
    if x.shape[-1] != y.shape[-1]:
        raise ValueError("cdist: rows must have one length. Received shapes: "
                         f"x {tuple(x.shape)}, y {tuple(y.shape)}")
    dtype = jnp.result_type(x, y)
    dtype = dtype if jnp.issubdtype(dtype, jnp.inexact) else jnp.dtype(config.floatx())
    x, y = x.astype(dtype), y.astype(dtype)
    square = jnp.sum(jnp.square(jnp.abs(x[..., :, None, :] - y[..., None, :, :])), -1)
    # The root's slope at 0 is infinite; equal rows get the gradient 0.
    distance = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
    return distance.astype(dtype)


@op
def top_k(x, k, sorted=True):
    """The k largest values along the last axis, and their indices; in descending order in any case."""
    values, indices = jax.lax.top_k(tensor(x), k)
    return values, indices


@op
def in_top_k(targets, predictions, k):
    """Whether the prediction for the target class is finite and among the k largest; ties count.

    Args:
        targets: (batch,), class numbers; those out of range are not in.
        predictions: (batch, classes).
        k: how many.
    """
    targets, predictions = tensor(targets), tensor(predictions)
    classes = predictions.shape[-1]
    chosen = jnp.take_along_axis(predictions, jnp.clip(targets, 0, classes - 1)[..., None], axis=-1)
    larger = jnp.sum(predictions > chosen, axis=-1)
    return (larger < k) & jnp.isfinite(chosen[..., 0]) & (targets >= 0) & (targets < classes)


# Segments ----------------------------------------------------------------------------------------------------------


def _segment(name, doc, reduce):
    def function(data, segment_ids, num_segments=None, sorted=False):
        data, ids = tensor(data), tensor(segment_ids)
        if ids.ndim != 1:
            raise ValueError(f"{name}: `segment_ids` must have one axis. Received shape: {ids.shape}")
        if num_segments is None and isinstance(ids, jax.core.Tracer):
            raise ValueError(f"{name}: pass `num_segments`; the result's shape cannot depend on values under jit, nor "
                             "for symbolic tensors.")
        return reduce(data, ids, num_segments, indices_are_sorted=sorted)

    function.__name__ = function.__qualname__ = name
    function.__module__ = __name__
    function.__doc__ = doc + """

    Args:
        data: a tensor.
        segment_ids: for each position of its first axis, the number of the segment; negative ones are left out.
        num_segments: how many segments there are; one more than the largest number for None.
        sorted: whether segment_ids is known to ascend, which may save time.
    """
    return op(function)


segment_sum = _segment("segment_sum", "The sums of the slices of each segment.", jax.ops.segment_sum)
segment_max = _segment("segment_max", "The largest values of each segment; empty ones give the dtype's least.",
                       jax.ops.segment_max)
segment_min = _segment("segment_min", "The smallest values of each segment; empty ones give the dtype's largest.",
                       jax.ops.segment_min)
segment_prod = _segment("segment_prod", "The products of the slices of each segment.", jax.ops.segment_prod)


# Fourier transforms ------------------------------------------------------------------------------------------------


@op
def view_as_complex(x):
    """Pairs in the last axis as complex numbers: (..., 2) becomes (...)."""
    x = inexact(x)
    if x.ndim < 1 or x.shape[-1] != 2:
        raise ValueError("view_as_complex: the last axis must have size 2 (real, imaginary). "
                         f"Received shape: {x.shape}")
    x = x.astype(jnp.promote_types(x.dtype, "float32"))
    return jax.lax.complex(x[..., 0], x[..., 1])


@op
def view_as_real(x):
    """Complex numbers as pairs in a new last axis."""
    x = tensor(x)
    return jnp.stack([jnp.real(x), jnp.imag(x)], axis=-1)


def _complex(name, x):
    if not isinstance(x, (list, tuple)) or len(x) != 2:
        raise ValueError(f"{name}: `x` must be a pair of tensors, the real and the imaginary part. "
                         f"Received: {x!r:.100}")
    real, imaginary = inexact(x[0]), inexact(x[1])
    if real.shape != imaginary.shape:
        raise ValueError(f"{name}: the real and the imaginary part must have one shape. "
                         f"Received: {real.shape} and {imaginary.shape}")
    return jax.lax.complex(real, imaginary)


def _parts(x):
    return jnp.real(x), jnp.imag(x)


@op
def fft(x):
    """The discrete Fourier transform along the last axis, from and to pairs (real, imaginary)."""
    return _parts(jnp.fft.fft(_complex("fft", x)))


@op
def fft2(x):
    """The discrete Fourier transform along the last two axes, from and to pairs (real, imaginary)."""
    return _parts(jnp.fft.fft2(_complex("fft2", x)))


@op
def ifft2(x):
    """The inverse of `fft2`, from and to pairs (real, imaginary)."""
    return _parts(jnp.fft.ifft2(_complex("ifft2", x)))


@op
def rfft(x, fft_length=None):
    """The Fourier transform of real numbers along the last axis: fft_length // 2 + 1 frequencies, as a pair.

    Args:
        x: a real tensor.
        fft_length: to which length x is cut or filled up with zeros; its own for None.
    """
    return _parts(jnp.fft.rfft(inexact(x), n=fft_length))


@op
def irfft(x, fft_length=None):
    """The inverse of `rfft`: a pair (real, imaginary) of f frequencies gives fft_length, or 2 (f - 1), real numbers."""
    return jnp.fft.irfft(_complex("irfft", x), n=fft_length)


@op
def extract_sequences(x, sequence_length, sequence_stride):
    """Windows of the last axis: (..., n) becomes (..., windows, sequence_length).

    Args:
        x: a tensor.
        sequence_length: the windows' length.
        sequence_stride: the distance of their starts.
    """
    x = tensor(x)
    starts = jnp.arange(0, x.shape[-1] - sequence_length + 1, sequence_stride)
    return jnp.take(x, starts[:, None] + jnp.arange(sequence_length), axis=-1)


def _window(window, sequence_length, fft_length, dtype):
    """The window's values, with zeros on both sides up to fft_length."""
    if sequence_length > fft_length:
        raise ValueError(f"`fft_length` must be at least `sequence_length`. Received: fft_length={fft_length}, "
                         f"sequence_length={sequence_length}")
    room_for("A window", fft_length)
    if window is None:
        return jnp.ones(fft_length, dtype)
    turns = 2 * np.pi * np.arange(sequence_length) / sequence_length
    if isinstance(window, str):
        check.one_of("window", window, ("hann", "hamming"))
        values = 0.5 - 0.5 * np.cos(turns) if window == "hann" else 0.54 - 0.46 * np.cos(turns)
    else:
        values = tensor(window)
    if values.shape != (sequence_length,):
        raise ValueError(f"`window` must have sequence_length={sequence_length} values. Received shape: {values.shape}")
    left = (fft_length - sequence_length) // 2
    return jnp.pad(jnp.asarray(values, dtype), (left, fft_length - sequence_length - left))


@op
def stft(x, sequence_length, sequence_stride, fft_length, window="hann", center=True):
    """The short-time Fourier transform: `rfft` of windows of the last axis.

    Args:
        x: a real tensor, of shape (..., samples).
        sequence_length: the window's length.
        sequence_stride: the distance of the windows' starts.
        fft_length: the transform's length, at least sequence_length.
        window: "hann", "hamming", the window's values, or None for none: then all fft_length samples count.
        center: whether x is continued by reflection, so that the windows' centres start at the first sample.

    Returns:
        A pair (real, imaginary), each of shape (..., windows, fft_length // 2 + 1).
    """
    x = tensor(x)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(f"stft: `x` must be of a float dtype. Received: {x.dtype}")
    _check_stride("stft", sequence_stride)
    weights = _window(window, sequence_length, fft_length, x.dtype)
    if center:
        x = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(fft_length // 2, fft_length // 2)], mode="reflect")
    frames = extract_sequences.__wrapped__(x, fft_length, sequence_stride)
    return _parts(jnp.fft.rfft(frames * weights))


def _check_stride(name: str, stride) -> None:
    if not isinstance(stride, int) or stride < 1:
        raise ValueError(f"{name}: `sequence_stride` must be an integer > 0. Received: {stride!r}")


@op
def istft(x, sequence_length, sequence_stride, fft_length, length=None, window="hann", center=True):
    """The inverse of `stft`, whose arguments it takes; least squares where windows overlap.

    Args:
        x: a pair (real, imaginary).
        length: how many samples to give; None for all.
    """
    x = _complex("istft", x)
    _check_stride("istft", sequence_stride)
    frames = jnp.fft.irfft(x, n=fft_length)
    weights = _window(window, sequence_length, fft_length, frames.dtype)
    count = frames.shape[-2]
    total = fft_length + sequence_stride * (count - 1)
    places = (jnp.arange(count)[:, None] * sequence_stride + jnp.arange(fft_length)).ravel()

    def overlapped(values):
        flat = values.reshape(*values.shape[:-2], -1)
        return jnp.zeros((*values.shape[:-2], total), values.dtype).at[..., places].add(flat)

    covered = overlapped(jnp.broadcast_to(jnp.square(weights), (count, fft_length)))
    samples = overlapped(frames * weights) / jnp.where(covered > 1e-10, covered, 1)
    start = fft_length // 2 if center else 0
    end = start + length if length is not None else total - start
    return samples[..., start:end]


__all__ = public(globals())
