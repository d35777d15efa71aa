"""Taking elements and putting them back: each is the derivative of the other.

Index arrays are operands, so that an index computed on the way stays part of the graph. The parameter `key`
is the index as written, with `Hole(i)` where the i-th of them belongs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, NamedTuple

from ..backends.types import Array, Namespace
from .table import op


class Hole(NamedTuple):
    """The place of the i-th index array in a key."""

    i: int


def split(key: tuple[Any, ...], is_array: Callable[[Any], bool]) -> tuple[tuple[Any, ...], list[Array]]:
    """`key` with holes for its index arrays, and the arrays."""
    arrays: list[Array] = []

    def part(k: Any) -> Any:
        if not is_array(k):
            return k
        arrays.append(k)
        return Hole(len(arrays) - 1)

    return tuple(part(k) for k in key), arrays


def fill(key: Any, indices: tuple[Array, ...]) -> Any:
    """`key` with its index arrays back in their places."""
    if not indices:
        return key
    return tuple(indices[k.i] if isinstance(k, Hole) else k for k in key)


def _as_tuple(key: Any) -> tuple[Any, ...]:
    return key if isinstance(key, tuple) else (key,)


def _none_for(indices: tuple[Array, ...]) -> tuple[None, ...]:
    """Index arrays have no derivative."""
    return (None,) * len(indices)


def _batch(params: dict[str, Any], rank: int, length: int) -> dict[str, Any] | None:
    """The same elements along the whole of the new axis; None for index arrays."""
    key = _as_tuple(params["key"])
    if not all(k is None or k is ... or type(k) in (int, slice) for k in key):
        return None
    shape = {"shape": (length, *params["shape"])} if "shape" in params else {}
    return {"key": (slice(None), *key), **shape}


GETITEM = op(
    "getitem",
    lambda xp, x, *indices, key: x[fill(key, indices)],
    dx=lambda xp, dz, x_shape, rest, *, key: (
        xp.scatter(dz, key=fill(key, rest), shape=x_shape[0]),
        *_none_for(rest),
    ),
    variadic=True,
    analytic=True,
    linear="jointly",
    view=True,
    batch=_batch,
    moves=True,
)

# zeros of a shape with dz added at key: what getitem passes back.
SCATTER = op(
    "scatter",
    lambda xp, x, *indices, key, shape: xp.scatter(x, key=fill(key, indices), shape=shape),
    dx=lambda dz, rest, *, key, shape: (dz[fill(key, rest)], *_none_for(rest)),
    variadic=True,
    analytic=True,
    linear="jointly",
    batch=_batch,
    moves=True,
)


def _kept(xp: Namespace, dz: Array, key: tuple[Any, ...]) -> Array:
    """dz[key], but 0 where another element of the value was assigned to the same place later: numbers that
    are put there tell."""
    g = dz[key]
    if not any(getattr(k, "dtype", None) is not None and "int" in str(k.dtype) for k in key):
        return g
    numbers = xp.reshape(xp.arange(prod(g.shape), device=dz.device), g.shape)
    places = xp.setitem(xp.zeros(dz.shape, dtype=numbers.dtype, device=dz.device), numbers, key=key)
    return xp.where(places[key] == numbers, g, 0)


def _setitem_dx(
    xp: Namespace, dz: Array, rest: tuple[Array, ...], needs: Sequence[Any], *, key: Any
) -> tuple[Array | None, ...]:
    """dz but 0 at key, where x was overwritten; and what is at key."""
    index = fill(key, rest[1:])
    dx = xp.setitem(dz, 0, key=index) if needs[0] else None
    return dx, _kept(xp, dz, _as_tuple(index)) if needs[1] else None, *_none_for(rest[1:])


SETITEM = op(
    "setitem",
    lambda xp, x, v, *indices, key: xp.setitem(x, v, key=fill(key, indices)),
    dx=_setitem_dx,
    variadic=True,
    analytic=True,
    linear="jointly",
    moves=True,
)

TAKE = op(
    "take",
    lambda xp, x, y, *, axis=0: xp.take(x, y, axis=axis),
    dx=lambda xp, dz, x_shape, y, *, axis: xp.untake(dz, y, axis=axis, shape=x_shape),
    linear="jointly",
    in_numpy="take",
    at_once=True,
)

# zeros of a shape with the slices of dz added where take found them.
UNTAKE = op(
    "untake",
    lambda xp, x, y, *, axis, shape: xp.untake(x, y, axis=axis, shape=shape),
    dx=lambda xp, dz, y, *, axis, shape: xp.take(dz, y, axis=axis),
    linear="jointly",
    internal=True,
)

# The index of each element as often as it is to be repeated.
REPEATED = op(
    "repeated",
    lambda xp, counts: xp.repeat(xp.arange(counts.shape[0], device=counts.device), counts),
    internal=True,
)
