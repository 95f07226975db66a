"""Linear algebra over the last two axes."""

import jax
import jax.numpy as jnp

from cornu import check
from cornu.ops.kit import inexact, integers, public, tensor, wide
from cornu.symbolic import op


def _square(name, x):
    x = inexact(x)
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ValueError(f"{name}: expected square matrices, as the last two axes. Received shape: {x.shape}")
    return x


def _transposed(x):
    return jnp.conj(jnp.swapaxes(x, -1, -2))


@op
def cholesky(x, upper=False):
    """The lower triangular L with L L^H = x (or the upper U with U^H U = x).

    Args:
        x: positive definite, symmetric matrices, of shape (..., n, n).
        upper: whether to give U.

    Raises ValueError where a matrix is not positive definite; under jit the result holds NaN there.
    """
    x = _square("cholesky", x)
    result = jnp.linalg.cholesky(x, upper=upper)
    if not isinstance(result, jax.core.Tracer) and bool(jnp.any(jnp.isnan(result))) and not bool(jnp.any(jnp.isnan(x))):
        raise ValueError("cholesky: the matrix is not positive definite.")
    return result


@op
def cholesky_inverse(x, upper=False):
    """The inverse of L L^H (or U^H U) from its Cholesky factor x, of shape (..., n, n)."""
    x = _square("cholesky_inverse", x)
    inverse = jax.lax.linalg.triangular_solve(x, jnp.broadcast_to(jnp.eye(x.shape[-1], dtype=x.dtype), x.shape),
                                              left_side=True, lower=not upper)
    return inverse @ _transposed(inverse) if upper else _transposed(inverse) @ inverse


@op
def det(x):
    """The determinant of square matrices."""
    return jnp.linalg.det(_square("det", x))


@op
def inv(x):
    """The inverse of square matrices."""
    return jnp.linalg.inv(_square("inv", x))


@op
def eig(x):
    """The eigenvalues and the right eigenvectors (as columns) of square matrices, complex."""
    return tuple(jnp.linalg.eig(_square("eig", x)))


@op
def eigh(x):
    """The eigenvalues, ascending, and the eigenvectors (as columns) of symmetric or Hermitian matrices."""
    return tuple(jnp.linalg.eigh(_square("eigh", x)))


@op
def lu_factor(x):
    """The factors of x = P L U: L (without its ones) and U in one matrix, and the pivots p.

    Row i was exchanged with row p[i], one after the other.
    """
    x = inexact(x)
    if x.ndim < 2:
        raise ValueError(f"lu_factor: expected matrices, as the last two axes. Received shape: {x.shape}")
    lu, pivots, _ = jax.lax.linalg.lu(x)
    return lu, pivots


@op
def qr(x, mode="reduced"):
    """Q with orthonormal columns and the upper triangular R, with Q R = x.

    Args:
        x: matrices of shape (..., m, n).
        mode: "reduced" for min(m, n) columns of Q, "complete" for m.
    """
    check.one_of("mode", mode, ("reduced", "complete"), "qr")
    return tuple(jnp.linalg.qr(inexact(x), mode))


@op
def svd(x, full_matrices=True, compute_uv=True):
    """U, the singular values s in descending order, and V^H, with U diag(s) V^H = x.

    Args:
        x: matrices of shape (..., m, n).
        full_matrices: whether U and V are square.
        compute_uv: whether to give U and V^H at all, or s alone.
    """
    result = jnp.linalg.svd(inexact(x), full_matrices, compute_uv)
    return tuple(result) if compute_uv else result


@op
def solve(a, b):
    """The x with a x = b.

    Args:
        a: square matrices, of shape (..., n, n).
        b: of shape (n,) or (..., n, k).
    """
    return jnp.linalg.solve(_square("solve", a), inexact(b))


@op
def solve_triangular(a, b, lower=False):
    """The x with a x = b for triangular a, whose other triangle is ignored.

    Args:
        a: square matrices, of shape (..., n, n).
        b: of shape (..., n) or (..., n, k).
        lower: whether a is lower triangular.
    """
    a, b = _square("solve_triangular", a), inexact(b)
    columns = b[..., None] if b.ndim == a.ndim - 1 else b
    dtype = jnp.result_type(a, columns)
    batch = jnp.broadcast_shapes(a.shape[:-2], columns.shape[:-2])
    a = jnp.broadcast_to(a.astype(dtype), (*batch, *a.shape[-2:]))
    columns = jnp.broadcast_to(columns.astype(dtype), (*batch, *columns.shape[-2:]))
    x = jax.lax.linalg.triangular_solve(a, columns, left_side=True, lower=lower)
    return x[..., 0] if b.ndim == a.ndim - 1 else x


@op
def lstsq(a, b, rcond=None):
    """The x for which |a x - b| is least; the shortest one if there are several.

    Args:
        a: a matrix of shape (m, n).
        b: of shape (m,) or (m, k).
        rcond: singular values below this share of the largest are taken as 0; machine precision for None.
    """
    return jnp.linalg.lstsq(inexact(a), inexact(b), rcond=rcond)[0]


@op
def pinv(x, rcond=None):
    """The Moore-Penrose inverse; singular values below `rcond` times the largest are taken as 0."""
    return jnp.linalg.pinv(inexact(x), rcond)


@op
def matrix_rank(x, tol=None):
    """How many singular values exceed `tol` (for None, what machine precision makes of the largest one)."""
    x = inexact(x)
    singular = jnp.linalg.svd(x, compute_uv=False)
    if tol is None:
        tol = singular.max(-1, keepdims=True) * max(x.shape[-2:]) * jnp.finfo(x.dtype).eps
    else:
        tol = tensor(tol)[..., None]
    return jnp.sum(singular > tol, axis=-1).astype("int32")


@op
def norm(x, ord=None, axis=None, keepdims=False):
    """A norm of vectors or matrices.

    Args:
        x: a tensor.
        ord: None for the square root of the sum of squares; for vectors a number p: sum(|x|^p)^(1/p), inf, -inf;
            for matrices "fro", "nuc", 1, -1, 2, -2, inf, -inf.
        axis: one axis for vectors, two for matrices; None for all of x.
        keepdims: keep the reduced axes with size 1.
    """
    x, axis = inexact(x), integers(axis)
    large = wide(x)
    vectors = isinstance(axis, int) or axis is not None and len(axis) == 1 or axis is None and x.ndim == 1
    if ord is None or ord == 2 and vectors:  # this form has a gradient at 0, which is 0
        square = jnp.sum(jnp.square(jnp.abs(large)), axis, keepdims=keepdims)
        found = jnp.where(square == 0, 0, jnp.sqrt(jnp.where(square == 0, 1, square)))
    else:
        found = jnp.linalg.norm(large, ord=ord, axis=axis, keepdims=keepdims)
    return found.astype(jnp.finfo(x.dtype).dtype)


@op
def jvp(fun, primals, tangents, has_aux=False):
    """A function's value, and its derivative in a direction.

    Args:
        fun: the function; with has_aux it returns its value and anything else.
        primals: a tuple of its arguments.
        tangents: a tuple of the direction's components, of the same shapes.
        has_aux: whether to give the anything else too, as a third result.
    """
    sequences = isinstance(primals, (list, tuple)) and isinstance(tangents, (list, tuple))
    if not sequences or len(primals) != len(tangents):
        raise ValueError("jvp: `primals` and `tangents` must be tuples of the same length. "
                         f"Received: {primals!r:.100} and {tangents!r:.100}")
    primals = [tensor(x) for x in primals]
    return jax.jvp(fun, primals, [tensor(t).astype(x.dtype) for x, t in zip(primals, tangents)], has_aux=has_aux)


__all__ = public(globals())
