"""Einstein summation: products of elements with equal indices, summed over indices not in the output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..backends.types import Array, Namespace
from .table import op


def split_subscripts(subscripts: str) -> tuple[list[str], str]:
    """The subscripts of each operand, and of the output: "ij,jk->ik" is (["ij", "jk"], "ik")."""
    inputs, _, output = subscripts.partition("->")
    return inputs.split(","), output


def _dx(
    xp: Namespace, dz: Array, x: tuple[Array, ...], needs: Sequence[Any], *, subscripts: str
) -> tuple[Array | None, ...]:
    """The gradient of each operand that needs one: the einsum of dz with all the others."""
    inputs, output = split_subscripts(subscripts)
    return tuple(_of_one(xp, dz, output, i, inputs, x) if needs[i] else None for i in range(len(x)))


def _of_one(xp: Namespace, dz: Array, output: str, i: int, inputs: list[str], x: tuple[Array, ...]) -> Array:
    """The gradient of operand `i`.

    It is broadcast over indices that occur only in this operand; for repeated indices, it is on the diagonal.
    """
    mine, shape = inputs[i], x[i].shape
    others = [(x[j], inputs[j]) for j in range(len(x)) if j != i]
    known = {*output, *(c for _, subscript in others for c in subscript)}
    distinct = "".join(dict.fromkeys(mine))
    kept = "".join(c for c in distinct if c in known)
    g = xp.einsum(
        ",".join([output, *(subscript for _, subscript in others)]) + "->" + kept,
        dz,
        *(other for other, _ in others),
    )
    given = {c: g.shape[kept.index(c)] if c in known else 1 for c in distinct}
    # an axis of length 1 is summed by `deriv`
    full = tuple(given[c] if n == 1 else n for c, n in dict(zip(mine, shape, strict=True)).items())
    g = xp.broadcast_to(xp.reshape(g, tuple(given.values())), full)
    return g if distinct == mine else _on_the_diagonal(xp, g, distinct, mine, shape)


def _on_the_diagonal(xp: Namespace, g: Array, distinct: str, subscript: str, shape: tuple[int, ...]) -> Array:
    """Zeros of `shape`, with the elements of `g` where repeated indices are equal."""
    first = {c: subscript.index(c) for c in distinct}
    g = xp.reshape(
        g,
        tuple(n if first[c] == axis else 1 for axis, (c, n) in enumerate(zip(subscript, shape, strict=True))),
    )
    at: list[Any] = [
        xp.reshape(xp.arange(n, device=g.device), (-1,) + (1,) * (len(shape) - axis - 1))
        for axis, n in enumerate(shape)
    ]
    equal = None
    for axis, c in enumerate(subscript):
        if first[c] != axis:
            same = at[axis] == at[first[c]]
            equal = same if equal is None else equal & same
    return xp.where(equal, g, 0)


EINSUM = op(
    "einsum",
    lambda xp, *x, subscripts: xp.einsum(subscripts, *x),
    dx=_dx,
    variadic=True,
    promotion="result_type",
    analytic=True,
    linear="each",
)
