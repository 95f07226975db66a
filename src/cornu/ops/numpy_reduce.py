"""Operations that reduce, accumulate, count or sort along axes."""

import jax
import jax.numpy as jnp

from cornu import dtypes
from cornu.ops.kit import cumulative, inexact, integers, known, operand, public, quantiles, reduction, tensor, to_sparse
from cornu.symbolic import op

all = reduction("all", "Whether all values are nonzero.")
any = reduction("any", "Whether some value is nonzero.")
amax = reduction("amax", "The largest value.")
amin = reduction("amin", "The smallest value.")
argmax = reduction("argmax", "The index of the largest value, the first one if there are several.")
argmin = reduction("argmin", "The index of the smallest value, the first one if there are several.")
mean = reduction("mean", "The mean: sum(x) / n; integers give floats.")
median = reduction("median", "The middle value, or the mean of the two in the middle.")
ptp = reduction("ptp", "The largest value less the smallest.")
std = reduction("std", "The standard deviation: sqrt(mean((x - mean(x))^2)).")
sum = reduction("sum", "The sum.")
var = reduction("var", "The variance: mean((x - mean(x))^2).")
nanargmax = reduction("nanargmax", "Like argmax, without the NaNs; -1 where all are NaN.")
nanargmin = reduction("nanargmin", "Like argmin, without the NaNs; -1 where all are NaN.")
nanmax = reduction("nanmax", "The largest value that is not NaN.")
nanmean = reduction("nanmean", "The mean of the values that are not NaN.")
nanmedian = reduction("nanmedian", "The median of the values that are not NaN.")
nanmin = reduction("nanmin", "The smallest value that is not NaN.")
nanprod = reduction("nanprod", "The product of the values that are not NaN.")
nanstd = reduction("nanstd", "The standard deviation of the values that are not NaN.")
nansum = reduction("nansum", "The sum of the values that are not NaN.")
nanvar = reduction("nanvar", "The variance of the values that are not NaN.")

quantile = quantiles("quantile", "The value below which a share q (0 to 1) of the values lies.")
percentile = quantiles("percentile", "The value below which q percent (0 to 100) of the values lie.")
nanquantile = quantiles("nanquantile", "Like quantile, without the NaNs.")
nanpercentile = quantiles("nanpercentile", "Like percentile, without the NaNs.")

cumsum = cumulative("cumsum", "The running sum.")
cumprod = cumulative("cumprod", "The running product.")
nancumsum = cumulative("nancumsum", "The running sum, NaNs taken as 0.")
nancumprod = cumulative("nancumprod", "The running product, NaNs taken as 1.")


@op
def max(x, axis=None, keepdims=False, initial=None):
    """The largest value.

    Args:
        x: a tensor of any shape.
        axis: the axis or axes to reduce; None reduces all.
        keepdims: keep the reduced axes with size 1.
        initial: the least value of the result, which an empty tensor gives.
    """
    return jnp.max(tensor(x), axis=integers(axis), keepdims=keepdims, initial=initial)


@op
def min(x, axis=None, keepdims=False, initial=None):
    """The smallest value; `initial` is the largest value of the result. The arguments are those of `max`."""
    return jnp.min(tensor(x), axis=integers(axis), keepdims=keepdims, initial=initial)


@op
def prod(x, axis=None, keepdims=False, dtype=None):
    """The product.

    Args:
        x: a tensor of any shape.
        axis: the axis or axes to reduce; None reduces all.
        keepdims: keep the reduced axes with size 1.
        dtype: in which to multiply; small integers are widened to 32 bits by default.
    """
    return jnp.prod(tensor(x), axis=integers(axis), keepdims=keepdims,
                    dtype=None if dtype is None else dtypes.standardize(dtype))


@op
def average(x, axis=None, weights=None):
    """The weighted mean: sum(w x) / sum(w).

    Args:
        x: a tensor of any shape.
        axis: the axis or axes to reduce; None reduces all.
        weights: of x's shape, or one-dimensional along the axis; None weighs all alike.
    """
    return jnp.average(tensor(x), axis=integers(axis), weights=None if weights is None else tensor(weights))


@op
def count_nonzero(x, axis=None):
    """How many values are not 0, over the axis or axes, or over all for None."""
    return jnp.count_nonzero(tensor(x), axis=integers(axis))


@op
def diff(a, n=1, axis=-1):
    """The differences of neighbours, a[i + 1] - a[i], taken n times along an axis."""
    return jnp.diff(tensor(a), n=n, axis=axis)


@op
def trapezoid(y, x=None, dx=1.0, axis=-1):
    """The integral of y by the trapezoidal rule.

    Args:
        y: the values of the integrand.
        x: where they were taken; None for even spacing.
        dx: that spacing.
        axis: along which to integrate.
    """
    return jnp.trapezoid(inexact(y), None if x is None else inexact(x), dx=dx, axis=axis)


# Sorting and counting ----------------------------------------------------------------------------------------------


@op
def sort(x, axis=-1):
    """The values in ascending order along an axis."""
    return jnp.sort(tensor(x), axis=axis)


@op
def argsort(x, axis=-1):
    """The indices that would sort the values in ascending order; equal ones keep their order. None flattens first."""
    x = tensor(x)
    return jnp.argsort(x.reshape(-1) if x.ndim == 0 else x, axis=axis)


@op
def argpartition(x, kth, axis=-1):
    """Indices that put the kth smallest value in its place, smaller ones before it and larger ones behind.

    Along an axis; None flattens first.
    """
    x = tensor(x)
    return jnp.argpartition(x.reshape(-1), kth) if axis is None else jnp.argpartition(x, kth, axis)


@op
def searchsorted(sorted_sequence, values, side="left"):
    """Where values would have to be inserted to keep the sequence sorted.

    Args:
        sorted_sequence: a sorted one-dimensional tensor.
        values: what to insert.
        side: "left" for the first suitable place, "right" for the last.
    """
    sequence = tensor(sorted_sequence)
    if sequence.ndim != 1:
        raise ValueError(f"searchsorted: `sorted_sequence` must be one-dimensional. Received shape: {sequence.shape}")
    return jnp.searchsorted(sequence, tensor(values), side=side)


@op
def digitize(x, bins):
    """The number of the bin in which each value lies: i for bins[i - 1] <= x < bins[i]."""
    bins = tensor(bins)
    if bins.ndim != 1:
        raise ValueError(f"digitize: `bins` must be one-dimensional. Received shape: {bins.shape}")
    return jnp.digitize(tensor(x), bins)


@op
def bincount(x, weights=None, minlength=0, sparse=False):
    """How often each integer 0, 1, 2 ... occurs in the last axis of x.

    Args:
        x: a tensor of non-negative integers, of one or two dimensions.
        weights: what each occurrence counts, of x's shape; None for 1.
        minlength: the least length of the result.
        sparse: whether to give a `jax.experimental.sparse.BCOO` array.

    Under jit, and for symbolic tensors, the largest value is not known: then minlength is the length of the result.
    """
    x, weights = tensor(x), None if weights is None else tensor(weights)
    length = minlength
    if not isinstance(x, jax.core.Tracer) and x.size:
        length = int(jnp.max(x)) + 1
        length = length if length > minlength else minlength
    dtype = jnp.int32 if weights is None else weights.dtype

    def count(row, weight):
        return jnp.zeros((length,), dtype).at[row].add(weight, mode="drop")

    weights = jnp.ones_like(x, dtype) if weights is None else weights
    counts = count(x, weights) if x.ndim == 1 else jax.vmap(count)(x, weights)
    return to_sparse(counts) if sparse else counts


@op
def histogram(x, bins=10, range=None):
    """How many values lie in each of `bins` even bins between range[0] and range[1] (default: the extremes of x).

    Returns:
        The counts, and the bins' `bins + 1` edges.
    """
    if not isinstance(bins, int) or isinstance(bins, bool) or bins < 1:
        raise ValueError(f"histogram: `bins` must be an integer > 0. Received: {bins!r}")
    if range is not None and (len(range) != 2 or range[1] < range[0]):
        raise ValueError(f"histogram: `range` must be two numbers, the smaller one first. Received: {range!r}")
    x = tensor(x)
    if x.dtype == bool:
        x = x.astype("int32")
    return jnp.histogram(x, bins=bins, range=range)


@op
def isin(x1, x2, assume_unique=False, invert=False):
    """Whether each value of x1 is one of x2's; the contrary where `invert`.

    Args:
        x1, x2: tensors of any shape.
        assume_unique: the caller knows that neither has a value twice, which may save time.
        invert: whether to give True for values that are not in x2.
    """
    return jnp.isin(tensor(x1), tensor(x2), assume_unique=assume_unique, invert=invert)


@op
def unique(x, sorted=True, return_index=False, return_inverse=False, return_counts=False, axis=None, size=None,
           fill_value=None):
    """The different values of x, in ascending order.

    Args:
        x: a tensor of any shape.
        sorted: the order is ascending in any case.
        return_index: whether to give also the index of each one's first occurrence.
        return_inverse: ... also the indices that rebuild x.
        return_counts: ... also how often each occurs.
        axis: compare whole slices along this axis; None compares values.
        size: how many to give, which jit and symbolic tensors need; missing ones are filled up.
        fill_value: with this value, or with the smallest one for None.
    """
    x = known("unique", x, "Pass `size`, the number of values to give.") if size is None else tensor(x)
    return jnp.unique(x, return_index, return_inverse, return_counts, axis, sorted=sorted, size=size,
                      fill_value=fill_value, equal_nan=False)


@op
def corrcoef(x):
    """Pearson's correlation coefficients of the rows of x."""
    return jnp.corrcoef(tensor(x))


@op
def correlate(x1, x2, mode="valid"):
    """The cross-correlation of two one-dimensional tensors: c[k] = sum_n x1[n + k] conj(x2[n]).

    Args:
        x1, x2: one-dimensional tensors.
        mode: "valid", "same" or "full": which of the overlaps count.
    """
    return jnp.correlate(operand(x1), operand(x2), mode=mode)


__all__ = public(globals())
