"""Eigenvalues and singular values with their vectors.

The engine does not conjugate the gradients of the outputs: they are dL/dRe + i dL/dIm. Of hermitian matrices
only the lower triangle is read, and the gradient is that of this function.

Source: M. Giles, An extended collection of matrix derivative results for forward and reverse mode AD (2008).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import nan

from ..backends.dtypes import canonical, finfo, is_complex
from ..backends.types import Array, Namespace
from .decompositions import H, matrices, of_lower, square
from .perturbation import Gradients, Numerators, Spectrum, diagonal, rule_of_values
from .table import op


def _on_diagonal(xp: Namespace, d: Array) -> Array:
    return xp.eye(d.shape[-1], dtype=d.dtype, device=d.device) * d[..., None, :]


def _between(xp: Namespace, w: Array) -> Array:
    """w_j - w_i at (i, j), and 1 on the diagonal, where no quotient is needed."""
    return xp.where(diagonal(xp, w), 1, w[..., None, :] - w[..., None])


def _ascending(xp: Namespace, w: Array) -> Array:
    i = xp.arange(1, w.shape[-1] + 1, dtype=xp.abs(w[..., :0]).dtype, device=w.device)
    return xp.broadcast_to(i, w.shape)


def _size(xp: Namespace, x: Array) -> Array:
    """The sum of absolute values of each column of `x`."""
    return xp.sum(xp.abs(x), axis=-2)


# Hermitian matrices


def _eigh_numerators(xp: Namespace, dz: Gradients, z: Sequence[Array]) -> Numerators:
    dv, v = dz[1], z[1]
    if dv is None:
        zero = xp.zeros_like(v)
        return [(zero, xp.real(zero))]
    p, size = H(xp, v) @ dv, _size(xp, dv)
    return [(xp.where(diagonal(xp, v), 0, 0.5 * (p - H(xp, p))), size[..., None, :] + size[..., None])]


def _eigh_whole(xp: Namespace, z: Sequence[Array], dw: Array, quotients: Sequence[Array] | None) -> Array:
    """V (diag(dw) + quotients) Vᴴ, folded into the triangle that is read."""
    v = z[1]
    if quotients is None:
        return of_lower(xp, (v * dw[..., None, :]) @ H(xp, v))
    return of_lower(xp, v @ (quotients[0] + _on_diagonal(xp, dw)) @ H(xp, v))


def _eigh_dx(xp: Namespace, dz: Gradients, z: Sequence[Array], *, UPLO: str) -> Array:
    g = _HERMITIAN.rule(xp, dz, z)
    return g if UPLO == "L" else H(xp, g)


_HERMITIAN = Spectrum(0, _ascending, lambda xp, w: [_between(xp, w)], _eigh_numerators, _eigh_whole)

EIGH = op(
    "eigh",
    lambda xp, x, *, UPLO="L": tuple(xp.eigh(square(x, "eigh"), UPLO)),
    dx=_eigh_dx,
    spectrum=_HERMITIAN,
    function="linalg.eigh",
    promotion="float",
)


# Operands that need a gradient use `eigh` instead, which computes the vectors for it.
EIGVALSH = op(
    "eigvalsh",
    lambda xp, x: xp.linalg.eigvalsh(square(x, "eigvalsh")),
    dx=lambda xp, dz, x: rule_of_values(xp, dz, xp.linalg.eigh(x), _HERMITIAN),
    function="linalg.eigvalsh",
    promotion="float",
)

# Any square matrices


def _eig_numerators(xp: Namespace, dz: Gradients, z: Sequence[Array]) -> Numerators:
    """Vᴴ dV - Vᴴ V diag(Re Vᴴ dV): vectors have length 1 and arbitrary phase."""
    dv, v = dz[1], z[1]
    if dv is None:
        zero = xp.zeros_like(v)
        return [(zero, xp.real(zero))]
    vH = H(xp, v)
    grow = xp.real(xp.sum(xp.conj(v) * dv, axis=-2))
    turn = vH @ dv - (vH @ v) * grow[..., None, :]
    return [(xp.where(diagonal(xp, v), 0, turn), xp.zeros_like(xp.real(turn)) + _size(xp, dv)[..., None, :])]


def _eig_whole(xp: Namespace, z: Sequence[Array], dw: Array, quotients: Sequence[Array] | None) -> Array:
    """V⁻ᴴ (diag(dw) + quotients) Vᴴ; NaN for a defective matrix, whose V is singular."""
    v = z[1]
    vH = H(xp, v)
    inner = _on_diagonal(xp, dw) if quotients is None else quotients[0] + _on_diagonal(xp, dw)
    smallest = xp.linalg.svdvals(v)[..., -1:, None] if v.shape[-1] else 1
    few = smallest < finfo(canonical(v.dtype)).eps ** 0.75
    return xp.where(
        few,
        nan,
        xp.linalg.solve(xp.where(few, xp.eye(v.shape[-1], dtype=v.dtype, device=v.device), vH), inner @ vH),
    )


_ANY = Spectrum(
    0,
    _ascending,
    lambda xp, w: [_between(xp, xp.conj(w) if is_complex(w.dtype) else w)],
    _eig_numerators,
    _eig_whole,
)

EIG = op(
    "eig",
    lambda xp, x: tuple(xp.eig(square(x, "eig"))),
    dx=_ANY.rule,
    spectrum=_ANY,
    function="linalg.eig",
    promotion="float",
)

# Singular values


def _turn(xp: Namespace, q: Array, dq: Array | None, k: int) -> tuple[Array, Array, Array]:
    """The gradient of orthonormal columns, split into rotations, and its size.

    The first part is for rotations of the first k columns among themselves, the second for rotations out of
    their span. Further columns are an arbitrary basis of the complement: only rotations between them and the
    first k count.
    """
    q1 = q[..., :k]
    if dq is None:
        zero = xp.zeros_like(q1)
        return H(xp, q1) @ zero, zero, xp.sum(xp.real(zero), axis=-2)
    d1 = dq[..., :k]
    turn = H(xp, q1) @ d1
    size = _size(xp, d1)
    out = d1 - q1 @ turn
    if q.shape[-1] > k:
        out = out - q[..., k:] @ (H(xp, dq[..., k:]) @ q1)
        size = size + xp.sum(xp.abs(dq[..., k:]), axis=(-2, -1))[..., None]
    return turn - H(xp, turn), out, size


def _svd_numerators(xp: Namespace, dz: Gradients, z: Sequence[Array]) -> Numerators:
    """Joint rotations of U and V have differences of singular values as denominators, opposite ones sums."""
    (du, _, dvh), (u, s, vh) = dz, z
    k = s.shape[-1]
    turn_u, out_u, size_u = _turn(xp, u, du, k)
    turn_v, out_v, size_v = _turn(xp, H(xp, vh), None if dvh is None else H(xp, dvh), k)
    size = size_u + size_v
    both = size[..., None, :] + size[..., None]
    return [
        (xp.where(diagonal(xp, turn_u), 0, 0.5 * (turn_u + turn_v)), both),
        (0.5 * (turn_u - turn_v), both),
        (out_u, size_u[..., None, :]),
        (out_v, size_v[..., None, :]),
    ]


def _svd_whole(xp: Namespace, z: Sequence[Array], ds: Array, quotients: Sequence[Array] | None) -> Array:
    u, s, vh = z
    k = s.shape[-1]
    u1, v1h = u[..., :k], vh[..., :k, :]
    if quotients is None:
        return (u1 * ds[..., None, :]) @ v1h
    differences, sums, out_u, out_v = quotients
    g = u1 @ (differences + sums + _on_diagonal(xp, ds)) @ v1h
    g = g if u.shape[-2] == k else g + out_u @ v1h
    return g if vh.shape[-1] == k else g + u1 @ H(xp, out_v)


def _svd_differences(xp: Namespace, s: Array) -> list[Array]:
    return [_between(xp, s), s[..., None, :] + s[..., None], s[..., None, :], s[..., None, :]]


_SINGULAR = Spectrum(
    1, lambda xp, s: xp.flip(_ascending(xp, s), axis=-1), _svd_differences, _svd_numerators, _svd_whole
)

SVD = op(
    "svd",
    lambda xp, x, *, full_matrices=True: tuple(
        xp.linalg.svd(matrices(x, "svd"), full_matrices=full_matrices)
    ),
    dx=lambda xp, dz, z, *, full_matrices: _SINGULAR.rule(xp, dz, z),
    spectrum=_SINGULAR,
    function="linalg.svd",
    promotion="float",
)

SVDVALS = op(
    "svdvals",
    lambda xp, x: xp.linalg.svdvals(matrices(x, "svdvals")),
    dx=lambda xp, dz, x: rule_of_values(xp, dz, xp.linalg.svd(x, full_matrices=False), _SINGULAR),
    function="linalg.svdvals",
    promotion="float",
)

#: The ops whose derivative has a limit at equal values.
DECOMPOSITIONS = frozenset((EIGH, EIG, SVD))
