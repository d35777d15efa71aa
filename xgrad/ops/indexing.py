"""Indexing: gather and scatter; each is the transpose of the other.

Index arrays are operands, so that a computed index stays part of the graph. The parameter `key` is the index
as written, with `Hole(i)` in place of the i-th index array.
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
    """Split `key` into a pattern with holes for its index arrays, and the arrays."""
    arrays: list[Array] = []

    def part(k: Any) -> Any:
        if not is_array(k):
            return k
        arrays.append(k)
        return Hole(len(arrays) - 1)

    return tuple(part(k) for k in key), arrays


def fill(key: Any, indices: tuple[Array, ...]) -> Any:
    """Put the index arrays back into the holes of `key`."""
    if not indices:
        return key
    return tuple(indices[k.i] if isinstance(k, Hole) else k for k in key)


def _as_tuple(key: Any) -> tuple[Any, ...]:
    return key if isinstance(key, tuple) else (key,)


def _none_for(indices: tuple[Array, ...]) -> tuple[None, ...]:
    """Index arrays have no derivative."""
    return (None,) * len(indices)


def _batch(params: dict[str, Any], rank: int, length: int) -> dict[str, Any] | None:
    """Index all of the new axis, and the others as before; None for index arrays."""
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

# Zeros of a shape with x added at key: the transpose of getitem.
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
    """dz[key], but 0 for elements whose place was overwritten by a later element of the same assignment.

    To find these, it assigns the elements' numbers and reads them back. A single index has no later element.
    """
    g = dz[key]
    arrays = [k for k in key if getattr(k, "dtype", None) is not None and "int" in str(k.dtype)]
    if all(prod(k.shape) == 1 for k in arrays):
        return g
    numbers = xp.reshape(xp.arange(prod(g.shape), device=dz.device), g.shape)
    written = xp.setitem(xp.zeros(dz.shape, dtype=numbers.dtype, device=dz.device), numbers, key=key)
    return xp.where(written[key] == numbers, g, 0)


def _setitem_dx(
    xp: Namespace, dz: Array, rest: tuple[Array, ...], needs: Sequence[Any], *, key: Any
) -> tuple[Array | None, ...]:
    """For x, dz with 0 at key, where x was overwritten; for the value, dz at key."""
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

# Zeros of a shape with the slices of x added at the indices y: the transpose of take.
UNTAKE = op(
    "untake",
    lambda xp, x, y, *, axis, shape: xp.untake(x, y, axis=axis, shape=shape),
    dx=lambda xp, dz, y, *, axis, shape: xp.take(dz, y, axis=axis),
    linear="jointly",
    internal=True,
)

# The index of each element, repeated as often as its count says.
REPEATED = op(
    "repeated",
    lambda xp, counts: xp.repeat(xp.arange(counts.shape[0], device=counts.device), counts),
    internal=True,
)
