"""Eigenvalues and singular values with their vectors, and their derivatives where values are equal.

The derivative of the vectors has quotients of numerators over differences of values. A smooth function of
the matrix does not depend on the choice of vectors of equal values. For such a function, a numerator is 0
wherever its difference is, and the derivative is the limit of their quotient. The limit needs more than the
gradients at the point: how they change as the values move apart. The engine computes it (see
`xgrad/core/limits.py`) and passes it to the rule as a `Limit` after the gradients of the outputs. Without
one, as in compiled code, such a quotient is NaN.

The engine does not conjugate the gradients of the outputs: they are dL/dRe + i dL/dIm. Of hermitian matrices
only the lower triangle is read, and the gradient is that of this function.

Sources: M. Giles, An extended collection of matrix derivative results for forward and reverse mode AD (2008);
T. Kato, Perturbation theory for linear operators (1966), for equal values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import nan
from typing import Any, NamedTuple

from ..backends.dtypes import canonical, finfo, is_complex
from ..backends.types import Array, Namespace
from .decompositions import H, matrices, of_lower, square
from .table import op

#: Values count as equal if they differ by at most this many eps times the sum of all, which exceeds LAPACK's
#: error.
ROUNDING = 32


#: Gradients of the outputs, None for those without one.
Gradients = Sequence[Array | None]

#: Numerators over differences of values, each with the size of the gradients that it was computed from.
Numerators = list[tuple[Array, Array]]


class Limit(NamedTuple):
    """What a rule does where values are equal.

    Attributes:
        way: "limit": the quotients in `masks` become quotients of derivatives along `towards`; "rest": they
            are omitted; "part": only they are kept, over the differences of `towards`; "none": they are NaN.
        masks: for each numerator, a mask of the quotients 0 / 0.
        towards: the direction in which the values move apart.
        moved: how the gradients of the outputs change along that direction.
        refused: the matrices of the stack at which the function has no derivative.
        sealed: the quotients that are valid at this point only, so that they have no derivative.
    """

    way: str
    masks: Sequence[Array] = ()
    towards: Array | None = None
    moved: Sequence[Array | None] = ()
    refused: Array | None = None
    sealed: Sequence[Array | None] | None = None

    def _unrecorded(self) -> Limit:
        """Replace the Tensors by their arrays."""
        masks, moved = _arrays(self.masks), _arrays(self.moved)
        towards, refused = _arrays([self.towards, self.refused])
        return Limit(
            self.way, masks, towards, moved, refused, None if self.sealed is None else _arrays(self.sealed)
        )


def _arrays(given: Sequence[Any]) -> list[Any]:
    return [None if v is None else v.data for v in given]


class Spectrum:
    """The specifics of a decomposition.

    `at`: the position of the values among its outputs;
    `apart(xp, values)`: a direction along which no two values stay equal;
    `differences(xp, values)`: the denominators, linear in the values;
    `numerators(xp, dz, z)`: the numerators, each with the size of the gradients that it was computed from;
    `whole(xp, z, dvalues, quotients)`: the gradient of the matrix.
    """

    def __init__(
        self,
        at: int,
        apart: Callable[[Namespace, Array], Array],
        differences: Callable[[Namespace, Array], list[Array]],
        numerators: Callable[[Namespace, Gradients, Sequence[Array]], Numerators],
        whole: Callable[[Namespace, Sequence[Array], Array, Sequence[Array] | None], Array],
    ) -> None:
        self.at, self.apart, self.differences, self.numerators, self.whole = (
            at,
            apart,
            differences,
            numerators,
            whole,
        )

    def equal(
        self, xp: Namespace, values: Array, differences: Sequence[Array], times: float | None = None
    ) -> list[Array]:
        """Where values are equal up to rounding; with `times`, up to so many times √eps."""
        eps = finfo(canonical(values.dtype)).eps
        size = xp.sum(xp.abs(values), axis=-1, keepdims=True)[..., None]
        part = ROUNDING * eps if times is None else times * eps**0.5 / max(values.shape[-1], 1)
        return [xp.abs(d) <= part * size for d in differences]

    def rule(self, xp: Namespace, dz: Sequence[Any], z: Sequence[Array], **params: Any) -> Array:
        """The gradient of the matrix. `dz` may end with a `Limit` after the gradients of the outputs."""
        limit: Limit | None = dz[-1] if len(dz) > len(z) else None
        dz, values = list(dz[: len(z)]), z[self.at]
        vectors = any(part is not None for i, part in enumerate(dz) if i != self.at)
        dvalues = xp.zeros_like(values) if dz[self.at] is None else dz[self.at]
        refused = None
        if limit is not None and limit.refused is not None:
            assert limit.towards is not None
            refused = xp.where(limit.refused, nan, xp.ones_like(limit.refused, dtype=limit.towards.dtype))
            dvalues = dvalues * refused
        if limit is not None and limit.way == "none":
            dvalues = dvalues * (1 / xp.where(_tied(xp, self, values), nan, xp.ones_like(xp.abs(values))))
        if not vectors:
            if limit is None:
                dvalues = xp.where(_unequal(xp, self, values, dvalues), nan, dvalues)
            return self.whole(xp, z, dvalues, None)
        differences = self.differences(xp, values)
        numerators = self.numerators(xp, dz, z)
        if limit is None or limit.way == "none":
            ties = self.equal(xp, values, differences)
            known = limit is None
            parts = [
                _unknown(xp, n, scale, d, tie, values, known)
                for (n, scale), d, tie in zip(numerators, differences, ties)
            ]
            return self.whole(xp, z, dvalues, parts)
        assert limit.towards is not None
        towards = self.differences(xp, limit.towards)
        if limit.way == "limit":
            moved = [n for n, _ in self.numerators(xp, limit.moved, z)]
            sealed = [None] * len(moved) if limit.sealed is None else limit.sealed
            parts = [
                _sealed(xp, _over(xp, n, d, xp.logical_not(mask)) + _over(xp, m, t, mask), seal, values)
                for (n, _), d, mask, m, t, seal in zip(
                    numerators, differences, limit.masks, moved, towards, sealed
                )
            ]
        elif limit.way == "rest":
            parts = [
                _over(xp, n, d, xp.logical_not(mask))
                for (n, _), d, mask in zip(numerators, differences, limit.masks)
            ]
            parts = parts if refused is None else [part * refused[..., None] for part in parts]
        else:
            parts = [_over(xp, n, t, mask) for (n, _), t, mask in zip(numerators, towards, limit.masks)]
            dvalues = xp.zeros_like(dvalues)
        return self.whole(xp, z, dvalues, parts)


def _over(xp: Namespace, x: Array, y: Array, mask: Array) -> Array:
    """x / y where `mask` is true (NaN if y is 0), else 0; also in derivatives of any order."""
    return xp.where(mask, x, 0) * (1 / xp.where(mask, xp.where(y == 0, nan, y), 1))


def _sealed(xp: Namespace, x: Array, mask: Array | None, values: Array) -> Array:
    """`x`, but with a derivative of NaN where `mask` is true."""
    return x if mask is None else x + xp.where(mask, xp.seal(values)[..., None], 0)


# A zero for each row, whose derivative is NaN in both modes: wherever the row has a tangent, and wherever a
# nonzero gradient arrives.
SEAL = op(
    "seal",
    lambda xp, x: xp.seal(x),
    dx=lambda xp, dz, first: (xp.where(dz == 0, 0, dz * nan) + xp.zeros_like(xp.real(first[0])),),
    jvp=lambda xp, t: xp.sum(xp.real(t[0]), axis=-1, keepdims=True) * nan,
    variadic=True,
)


def _unknown(
    xp: Namespace, x: Array, scale: Array, y: Array, tie: Array, values: Array, known: bool
) -> Array:
    """x / y, NaN where y is 0.

    Where x is `known`, and no gradient contributes to it, the quotient is 0 there, with a derivative of NaN.
    """
    if not known:
        return x * (1 / xp.where(tie, nan, y))
    z = xp.where(tie, xp.where(scale == 0, 0, scale * nan), _over(xp, x, y, xp.logical_not(tie)))
    return _sealed(xp, z, tie, values)


def _tied(xp: Namespace, spectrum: Spectrum, values: Array) -> Array:
    """A mask of values that are equal to another, and of singular values that are 0."""
    ties = spectrum.equal(xp, values, spectrum.differences(xp, values))
    tied = xp.any(xp.logical_and(ties[0], xp.logical_not(_diagonal(xp, ties[0]))), axis=-1)
    return xp.logical_or(tied, ties[2][..., 0, :]) if len(ties) > 1 else tied


def _unequal(xp: Namespace, spectrum: Spectrum, values: Array, dvalues: Array) -> Array:
    """A mask of equal values whose gradients differ: individually, they have no derivative."""
    tie = spectrum.equal(xp, values, spectrum.differences(xp, values))
    eps = finfo(canonical(values.dtype)).eps
    size = xp.abs(dvalues)
    noise = 1e4 * eps * xp.sum(xp.abs(values), axis=-1, keepdims=True)
    far = (
        xp.abs(dvalues[..., None, :] - dvalues[..., None])
        > eps**0.5 * (size[..., None, :] + size[..., None]) + noise[..., None]
    )
    found = xp.any(xp.logical_and(tie[0], far), axis=-1)
    if len(tie) > 1:  # singular values have a kink at 0
        zero = tie[2][..., 0, :]
        kink = xp.logical_and(zero, size > eps**0.5 * xp.sum(size, axis=-1, keepdims=True) + noise)
        found = xp.logical_or(found, kink)
    return found


def _diagonal(xp: Namespace, x: Array) -> Array:
    i = xp.arange(x.shape[-1], device=x.device)
    return i[:, None] == i


def _on_diagonal(xp: Namespace, d: Array) -> Array:
    return xp.eye(d.shape[-1], dtype=d.dtype, device=d.device) * d[..., None, :]


def _between(xp: Namespace, w: Array) -> Array:
    """w_j - w_i at (i, j), and 1 on the diagonal, where no quotient is needed."""
    return xp.where(_diagonal(xp, w), 1, w[..., None, :] - w[..., None])


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
    return [(xp.where(_diagonal(xp, v), 0, 0.5 * (p - H(xp, p))), size[..., None, :] + size[..., None])]


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


def _of_values(xp: Namespace, dz: Array, z: Sequence[Array], spectrum: Spectrum) -> Array:
    """The rule for values alone.

    It has no second derivative where values are equal, as `z` is a new decomposition, on which dz does not
    depend.
    """
    g = spectrum.rule(xp, [dz if i == spectrum.at else None for i in range(len(z))], z)
    values = z[spectrum.at]
    ties = spectrum.equal(xp, values, spectrum.differences(xp, values))
    tied = xp.any(ties[0], axis=(-2, -1), keepdims=True)
    for tie in ties[1:]:
        tied = xp.logical_or(tied, xp.any(tie, axis=(-2, -1), keepdims=True))
    return _sealed(xp, g, tied, values)


# Operands that need a gradient use `eigh` instead, which computes the vectors for it.
EIGVALSH = op(
    "eigvalsh",
    lambda xp, x: xp.linalg.eigvalsh(square(x, "eigvalsh")),
    dx=lambda xp, dz, x: _of_values(xp, dz, xp.linalg.eigh(x), _HERMITIAN),
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
    return [(xp.where(_diagonal(xp, v), 0, turn), xp.zeros_like(xp.real(turn)) + _size(xp, dv)[..., None, :])]


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
        (xp.where(_diagonal(xp, turn_u), 0, 0.5 * (turn_u + turn_v)), both),
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
    dx=lambda xp, dz, x: _of_values(xp, dz, xp.linalg.svd(x, full_matrices=False), _SINGULAR),
    function="linalg.svdvals",
    promotion="float",
)

#: The ops whose derivative has a limit at equal values.
DECOMPOSITIONS = frozenset((EIGH, EIG, SVD))
