"""Products of tensors."""

import functools

import jax.numpy as jnp

from cornu.ops.kit import binary, inexact, operand, public, tensor
from cornu.symbolic import op

dot = binary("dot", "The product over x1's last and x2's last but one axis.")
inner = binary("inner", "The product over the last axes of both.")
kron = binary("kron", "Kronecker's product.")
outer = binary("outer", "The products of all pairs of values: r[i, j] = x1[i] x2[j].")
vdot = binary("vdot", "The sum of conj(x1) x2 over all values.")


@op
def matmul(x1, x2):
    """The matrix product over the last axes; 8-bit integers are summed in 32 bits.

    Args:
        x1: of shape (..., n, k), or (k,).
        x2: of shape (..., k, m), or (k,).
    """
    x1, x2 = tensor(x1), tensor(x2)
    small = x1.dtype == x2.dtype == jnp.int8
    return jnp.matmul(x1, x2, preferred_element_type=jnp.int32 if small else None)


@op
def tensordot(x1, x2, axes=2):
    """The product over several axes.

    Args:
        x1, x2: tensors.
        axes: how many of x1's last and x2's first axes, or a pair of lists of axes.
    """
    axes = axes if isinstance(axes, int) else tuple(tuple(a) if hasattr(a, "__iter__") else a for a in axes)
    return jnp.tensordot(tensor(x1), tensor(x2), axes)


@op
def cross(x1, x2, axisa=-1, axisb=-1, axisc=-1, axis=None):
    """The cross product of vectors of two or three components.

    Args:
        x1, x2: tensors of vectors.
        axisa, axisb: the axes of x1 and x2 that hold the components.
        axisc: that of the result.
        axis: if given, that of all three.
    """
    return jnp.cross(operand(x1), operand(x2), axisa, axisb, axisc, axis)


@op
def einsum(subscripts, *operands, **kwargs):
    """Einstein's sum: `einsum("ij,jk->ik", a, b)` is a matrix product.

    Args:
        subscripts: letters for the axes of each tensor, and after `->` those of the result.
        *operands: the tensors.
        **kwargs: `optimize`, `precision` and `preferred_element_type`, as in jnp.einsum.
    """
    operands = [tensor(x) for x in operands]
    if all(x.dtype == jnp.int8 for x in operands):
        kwargs.setdefault("preferred_element_type", jnp.int32)
    return jnp.einsum(subscripts, *operands, **kwargs)


def vectorize(pyfunc, *, excluded=None, signature=None):
    """A function of single values (or of the slices that the signature names) that maps over the other axes.

    Args:
        pyfunc: the function.
        excluded: the numbers or names of arguments that are not mapped over.
        signature: such as "(n),(n)->()"; None for single values.

    >>> vectorize(lambda a, b: a + b)([1, 2], [10, 20])
    Array([11, 22], dtype=int32)
    """
    if not callable(pyfunc):
        raise ValueError(f"vectorize: `pyfunc` must be callable. Received: {pyfunc!r}")
    excluded = set() if excluded is None else set(excluded)
    mapped = jnp.vectorize(pyfunc, excluded=excluded, signature=signature)

    @functools.wraps(pyfunc)
    def function(*args, **kwargs):
        args = [a if i in excluded else tensor(a) for i, a in enumerate(args)]
        return mapped(*args, **{k: v if k in excluded else tensor(v) for k, v in kwargs.items()})

    return op(function)


@op
def slogdet(x):
    """The sign and the logarithm of the absolute value of the determinant of square matrices."""
    return tuple(jnp.linalg.slogdet(inexact(x)))


__all__ = public(globals())
