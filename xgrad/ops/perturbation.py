"""The derivative of a decomposition into values and vectors, and its limit where values are equal.

The derivative of the vectors has quotients of numerators over differences of values. A smooth function of
the matrix does not depend on the choice of vectors of equal values. For such a function, a numerator is 0
wherever its difference is, and the derivative is the limit of their quotient. The limit needs more than the
gradients at the point: how they change as the values move apart. The engine computes it (see
`xgrad/core/limits.py`) and passes it to the rule as a `Limit` after the gradients of the outputs. Without
one, as in compiled code, such a quotient is NaN.

Source: T. Kato, Perturbation theory for linear operators (1966).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any, NamedTuple

from ..backends.dtypes import canonical, finfo
from ..backends.types import Array, Namespace
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


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The specifics of a decomposition.

    Attributes:
        at: the position of the values among its outputs.
        apart: from (xp, values), a direction along which no two values stay equal.
        differences: from (xp, values), the denominators, which are linear in the values.
        numerators: from (xp, dz, z), the numerators, each with the size of the gradients that it was computed
            from.
        whole: from (xp, z, dvalues, quotients), the gradient of the matrix.
    """

    at: int
    apart: Callable[[Namespace, Array], Array]
    differences: Callable[[Namespace, Array], list[Array]]
    numerators: Callable[[Namespace, Gradients, Sequence[Array]], Numerators]
    whole: Callable[[Namespace, Sequence[Array], Array, Sequence[Array] | None], Array]

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
        dvalues = xp.zeros_like(values) if dz[self.at] is None else dz[self.at]
        refused = None
        if limit is not None and limit.refused is not None:
            assert limit.towards is not None
            refused = xp.where(limit.refused, nan, xp.ones_like(limit.refused, dtype=limit.towards.dtype))
            dvalues = dvalues * refused
        if limit is not None and limit.way == "none":
            dvalues = dvalues * (1 / xp.where(_tied(xp, self, values), nan, xp.ones_like(xp.abs(values))))
        if all(part is None for i, part in enumerate(dz) if i != self.at):  # no gradient of the vectors
            if limit is None:
                dvalues = xp.where(_unequal(xp, self, values, dvalues), nan, dvalues)
            return self.whole(xp, z, dvalues, None)
        if limit is None or limit.way == "none":
            return self.whole(xp, z, dvalues, self._quotients(xp, dz, z, known=limit is None))
        if limit.way == "part":
            dvalues = xp.zeros_like(dvalues)
        return self.whole(xp, z, dvalues, self._limits(xp, dz, z, limit, refused))

    def _quotients(self, xp: Namespace, dz: Gradients, z: Sequence[Array], *, known: bool) -> list[Array]:
        """The quotients without a limit: where values are equal they are NaN, or 0 if that is `known`."""
        values = z[self.at]
        differences, numerators = self.differences(xp, values), self.numerators(xp, dz, z)
        ties = self.equal(xp, values, differences)
        return [
            _unknown(xp, n, scale, d, tie, values, known)
            for (n, scale), d, tie in zip(numerators, differences, ties)
        ]

    def _limits(
        self, xp: Namespace, dz: Gradients, z: Sequence[Array], limit: Limit, refused: Array | None
    ) -> list[Array]:
        """The quotients with a limit; NaN for the matrices that are `refused`."""
        assert limit.towards is not None
        values = z[self.at]
        differences, towards = self.differences(xp, values), self.differences(xp, limit.towards)
        numerators = [n for n, _ in self.numerators(xp, dz, z)]
        if limit.way == "part":
            return [_over(xp, n, t, mask) for n, t, mask in zip(numerators, towards, limit.masks)]
        if limit.way == "rest":
            parts = [
                _over(xp, n, d, xp.logical_not(mask))
                for n, d, mask in zip(numerators, differences, limit.masks)
            ]
            return parts if refused is None else [part * refused[..., None] for part in parts]
        moved = [n for n, _ in self.numerators(xp, limit.moved, z)]
        sealed = [None] * len(moved) if limit.sealed is None else limit.sealed
        return [
            _sealed(xp, _over(xp, n, d, xp.logical_not(mask)) + _over(xp, m, t, mask), seal, values)
            for n, d, mask, m, t, seal in zip(numerators, differences, limit.masks, moved, towards, sealed)
        ]


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
    tied = xp.any(xp.logical_and(ties[0], xp.logical_not(diagonal(xp, ties[0]))), axis=-1)
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


def diagonal(xp: Namespace, x: Array) -> Array:
    i = xp.arange(x.shape[-1], device=x.device)
    return i[:, None] == i


def rule_of_values(xp: Namespace, dz: Array, z: Sequence[Array], spectrum: Spectrum) -> Array:
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
