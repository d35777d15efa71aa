"""Updated copies of a Tensor, as in JAX: `x.at[key].add(v)`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from ..backends.types import ArrayLike, Index
from . import above

if TYPE_CHECKING:
    from .tensor import Tensor


class At:
    """`x.at`, to index as x itself: `x.at[key]` is the part of x that an update changes."""

    __slots__ = ("_x",)

    def __init__(self, x: Tensor) -> None:
        self._x = x

    def __getitem__(self, key: Index) -> Part:
        return Part(self._x, key)


class Part:
    """The part `x.at[key]` of a Tensor x, whose methods return updated copies of x."""

    __slots__ = ("_key", "_x")

    def __init__(self, x: Tensor, key: Index) -> None:
        self._x, self._key = x, key

    def add(self, values: ArrayLike) -> Tensor:
        """Copy of x with `values` added at the key; at an index that occurs several times, all are added."""
        return above.namespace.add_at(self._x, values, key=self._key)

    def set(self, values: ArrayLike) -> Tensor:
        """Copy of x with `values` assigned at the key; at an index that occurs several times, the last."""
        z = +self._x
        z[self._key] = values
        return z

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(
            f"x.at[...] has the updates add and set, not {name!r}: for another, write y = +x; y[key] *= v, "
            f"where an index that occurs several times counts once"
        )
