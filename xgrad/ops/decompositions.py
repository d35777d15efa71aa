"""Inverses, determinants and decompositions of matrices, stacked along any leading axes.

As everywhere, a rule of an op with one complex output is plain calculus. Where the function itself
conjugates (cholesky, pinv), the rule conjugates dz to get the conventional gradient g = dL/dRe + i dL/dIm,
and conjugates the result back. The engine does not conjugate the cotangents of tuples: their parts are
conventional gradients.

For hermitian matrices (cholesky, and eigh in `spectral`) only one triangle is read, and the gradient is that
of this function: the triangle that is read gets the whole gradient, for an element and its copy, and the
other is 0. So it agrees with finite differences for any matrix, and along hermitian changes with the
hermitian gradient.

Sources: M. Giles, An extended collection of matrix derivative results for forward and reverse mode AD (2008);
I. Murray, Differentiation of the Cholesky decomposition (2016); G. Golub and V. Pereyra, The differentiation
of pseudo-inverses (1973); H. Liao et al., Differentiable programming tensor networks (2019), for qr.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from math import nan, prod
from typing import Any

from ..backends.dtypes import canonical, finfo, is_complex
from ..backends.types import Array, ArrayT, Namespace
from ..errors import ShapeError
from .table import op


def square(x: ArrayT, function: str) -> ArrayT:
    """Return `x`; raise ShapeError unless it is a stack of square matrices."""
    if len(x.shape) < 2 or x.shape[-1] != x.shape[-2]:
        raise ShapeError(
            f"{function} takes square matrices (..., n, n), not an array of shape {tuple(x.shape)}"
        )
    return x


def matrices(x: ArrayT, function: str) -> ArrayT:
    """Return `x`; raise ShapeError unless it is a stack of matrices."""
    if len(x.shape) < 2:
        raise ShapeError(f"{function} takes matrices (..., m, n), not an array of shape {tuple(x.shape)}")
    return x


def _T(xp: Namespace, x: Array) -> Array:
    return xp.matrix_transpose(x)


def _conj(xp: Namespace, x: Array) -> Array:
    return xp.conj(x) if is_complex(x.dtype) else x


def H(xp: Namespace, x: Array) -> Array:
    """The conjugate transpose."""
    return _T(xp, _conj(xp, x))


def hermitian(xp: Namespace, x: Array) -> Array:
    return 0.5 * (x + H(xp, x))


def of_lower(xp: Namespace, g: Array) -> Array:
    """Fold a hermitian gradient into the lower triangle, the only one that is read."""
    return xp.tril(g) + xp.tril(g, k=-1)


def _below(xp: Namespace, x: Array) -> tuple[Array, Array]:
    """Two masks of a square matrix: the part below the diagonal, and the diagonal."""
    i = xp.arange(x.shape[-1], device=x.device)
    return i[:, None] > i, i[:, None] == i


# Inverses

INV = op(
    "inv",
    lambda xp, x: xp.linalg.inv(square(x, "inv")),
    dx=lambda xp, dz, z: -(_T(xp, z) @ dz @ _T(xp, z)),
    function="linalg.inv",
    promotion="float",
    analytic=True,
    doc="""Inverse of square matrices.

    Raises ShapeError where they are not square, and the array library's LinAlgError where one is singular.

    >>> import xgrad as xg
    >>> xg.linalg.inv(xg.asarray([[2.0, 0.0], [0.0, 4.0]]))
    tensor([[0.5 , 0.  ],
            [0.  , 0.25]])
    """,
)


def _side_by_side(xp: Namespace, y: Array) -> Array:
    """Join a stack of matrices (..., n, k) into one matrix with all columns."""
    return xp.reshape(xp.moveaxis(y, -2, 0), (y.shape[-2], prod(y.shape[:-2]) * y.shape[-1]))


def _solve(xp: Namespace, x: Array, y: Array) -> Array:
    """x⁻¹ y.

    A single matrix x is factored once, even for a stack y. Stacks are broadcast here, as not every array
    library does that.
    """
    square(x, "solve")
    if x.shape[-1] != y.shape[-2]:
        raise ShapeError(
            f"solve takes arrays (..., n, n) and (..., n, k), or a vector (n,); got shapes {tuple(x.shape)} "
            f"and {tuple(y.shape)}"
        )
    if x.ndim == 2 and y.ndim > 2:
        z = xp.linalg.solve(x, _side_by_side(xp, y))
        return xp.moveaxis(xp.reshape(z, (x.shape[0], *y.shape[:-2], y.shape[-1])), 0, -2)
    if x.shape[:-2] != y.shape[:-2]:
        pairs = zip_longest(reversed(x.shape[:-2]), reversed(y.shape[:-2]), fillvalue=1)
        stack = tuple(m if n == 1 else n for n, m in pairs)[::-1]
        x, y = xp.broadcast_to(x, (*stack, *x.shape[-2:])), xp.broadcast_to(y, (*stack, *y.shape[-2:]))
    return xp.linalg.solve(x, y)


def _solve_dx(
    xp: Namespace, dz: Array, z: Array, first: tuple[Array], needs: Sequence[Any]
) -> tuple[Array | None, Array]:
    (x,) = first
    dy = _solve(xp, _T(xp, x), dz)
    if not needs[0]:
        return None, dy
    # one matrix: the sum over the stack is one product
    left, right = (_side_by_side(xp, v) for v in (dy, z)) if x.ndim == 2 else (dy, z)
    return -(left @ _T(xp, right)), dy


SOLVE = op(
    "solve",
    _solve,
    dx=_solve_dx,
    variadic=True,
    function="linalg.solve",
    promotion="result_type",
    analytic=True,
)


def _pinv_dx(xp: Namespace, dz: Array, z: Array, x: Array) -> Array:
    """Transpose of dP = -P dX P + P Pᴴ dXᴴ (I - X P) + (I - P X) dXᴴ Pᴴ P, for constant rank."""
    g, zH = _conj(xp, dz), H(xp, z)
    gH = H(xp, g)
    beside = (gH - x @ (z @ gH)) @ (z @ zH)  # (I - X P) gᴴ P Pᴴ
    below = (zH @ z) @ (gH - (gH @ z) @ x)  # Pᴴ P gᴴ (I - P X)
    return _conj(xp, beside + below - zH @ g @ zH)


PINV = op(
    "pinv", lambda xp, x, y: xp.linalg.pinv(matrices(x, "pinv"), rtol=y), dx=_pinv_dx, function="linalg.pinv"
)

# Determinants

DET = op(
    "det",
    lambda xp, x: xp.linalg.det(square(x, "det")),
    dx=lambda xp, dz, x: dz[..., None, None] * xp.cofactor(x),
    function="linalg.det",
    promotion="float",
    analytic=True,
    doc="""Determinant of square matrices.

    Its derivative, the cofactor matrix, is also right for singular matrices.

    >>> import xgrad as xg
    >>> xg.grad(xg.linalg.det)(xg.asarray([[1.0, 2.0], [2.0, 4.0]]))
    tensor([[ 4., -2.],
            [-2.,  1.]])
    """,
)


def _cofactor_dx(xp: Namespace, dz: Array, x: Array) -> Array:
    """With x = U S Vh, use the first-order expansion of the cofactors of S + M.

    It consists of products of all singular values but two.
    """
    u, s, vh = xp.linalg.svd(x, full_matrices=False)
    det = (xp.linalg.det(u) * xp.linalg.det(vh))[..., None, None]
    u, vh = _conj(xp, u), _conj(xp, vh)
    _, diagonal = _below(xp, s)
    but_one = xp.where(diagonal, xp.ones_like(s[..., None, :]), s[..., None, :])[..., None, :]
    but_two = xp.prod(xp.where(diagonal, xp.ones_like(but_one), but_one), axis=-1)
    but_two = xp.where(diagonal, xp.zeros_like(but_two), but_two)
    g = _T(xp, u) @ dz @ _T(xp, vh)
    on_diagonal = but_two @ xp.linalg.diagonal(g)[..., None]
    return det * (u @ (xp.where(diagonal, on_diagonal, xp.zeros_like(g)) - but_two * _T(xp, g)) @ vh)


# det(x) x⁻ᵀ, computed from singular values, so that no inverse is needed.
COFACTOR = op("cofactor", lambda xp, x: xp.cofactor(x), dx=_cofactor_dx, analytic=True, internal=True)


def _slogdet_dx(xp: Namespace, dz: Sequence[Array | None], z: tuple[Array, Array], x: Array) -> Array:
    """d log det x = tr(x⁻¹ dx), where log det x = log|det x| + i angle; the sign is e^(i angle)."""
    dsign, dlog = dz
    if is_complex(x.dtype) and dsign is not None:
        turn = xp.imag(xp.conj(dsign) * z[0]) * -1j
        dlog = turn if dlog is None else dlog + turn
    dlog = xp.zeros_like(dsign) if dlog is None else dlog
    return dlog[..., None, None] * H(xp, xp.linalg.inv(x))


SLOGDET = op(
    "slogdet",
    lambda xp, x: tuple(xp.linalg.slogdet(square(x, "slogdet"))),
    dx=_slogdet_dx,
    function="linalg.slogdet",
    promotion="float",
)

# Factors


def _cholesky_dx(xp: Namespace, dz: Array, z: Array, *, upper: bool) -> Array:
    """L⁻ᴴ Φ(Lᴴ g) L⁻¹, folded into the triangle read; Φ is the lower triangle with half the diagonal."""
    L, g = (H(xp, z), _T(xp, dz)) if upper else (z, _conj(xp, dz))
    below, diagonal = _below(xp, L)
    p = H(xp, L) @ g
    half = xp.where(below, p, xp.where(diagonal, 0.5 * p, xp.zeros_like(p)))
    inverse = xp.linalg.inv(L)
    g = of_lower(xp, hermitian(xp, H(xp, inverse) @ half @ inverse))
    return _T(xp, g) if upper else _conj(xp, g)


def _cholesky(xp: Namespace, x: Array, *, upper: bool = False) -> Array:
    """Get the upper factor from the lower: libraries differ in which triangle they read for the upper."""
    square(x, "cholesky")
    return H(xp, xp.linalg.cholesky(H(xp, x))) if upper else xp.linalg.cholesky(x)


CHOLESKY = op(
    "cholesky",
    _cholesky,
    dx=_cholesky_dx,
    function="linalg.cholesky",
    promotion="float",
    doc="""Cholesky factors of positive definite matrices.

    The lower triangular L with x = L Lᴴ, or with `upper` the upper triangular U with x = Uᴴ U.

    Only the same triangle of `x` is read, so the gradient is 0 in the other. Raises the array library's
    LinAlgError where x is not positive definite.
    """,
)


def _qr_dx(
    xp: Namespace, dz: Sequence[Array | None], z: tuple[Array, Array], x: Array, *, mode: str
) -> Array:
    """(dQ + Q sym(R dRᴴ - dQᴴ Q)) R⁻ᴴ, where sym mirrors the lower triangle.

    For a wide x, this is the gradient of its first, square part.
    """
    (dq, dr), (q, r) = dz, z
    n, m = x.shape[-2:]
    k = min(n, m)
    # further columns are an arbitrary basis of the complement: only turns between them and the first k count
    if dq is not None and q.shape[-1] > k:
        dq = dq[..., :k] - q[..., k:] @ (H(xp, dq[..., k:]) @ q[..., :k])
    q, r, dr = q[..., :k], r[..., :k, :], None if dr is None else dr[..., :k, :]
    rest = None
    if m > k:
        if dr is not None:
            rest = q @ dr[..., k:]
            moved = x[..., k:] @ H(xp, dr[..., k:])
            dq, dr = moved if dq is None else dq + moved, dr[..., :k]
        else:
            rest = xp.zeros_like(x[..., k:])
        r = r[..., :k]
    inner = xp.zeros_like(r) if dr is None else r @ H(xp, dr)
    if dq is not None:
        inner = inner - H(xp, dq) @ q
    below, diagonal = _below(xp, inner)
    lower = xp.where(below, inner, xp.where(diagonal, 0.5 * inner, xp.zeros_like(inner)))
    g = q @ (lower + H(xp, lower))
    size = xp.abs(xp.linalg.diagonal(r))
    dependent = xp.any(
        size <= 32 * finfo(canonical(size.dtype)).eps * xp.sum(size, axis=-1, keepdims=True), axis=-1
    )[..., None, None]
    g = H(xp, xp.linalg.solve(r, H(xp, g if dq is None else g + dq)))
    g = xp.where(dependent, nan, g)
    return g if rest is None else xp.concat([g, rest], axis=-1)


QR = op(
    "qr",
    lambda xp, x, *, mode="reduced": tuple(xp.linalg.qr(matrices(x, "qr"), mode=mode)),
    dx=_qr_dx,
    function="linalg.qr",
    promotion="float",
)
