"""Searching and sets. Indices have no derivative; values taken by them have."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

from ..backends.types import ArrayLike
from ..core.tensor import Tensor
from ..ops import indexing as i
from ..ops import ordering as o
from .calling import call, with_values
from .creation import asarray
from .indexing import take
from .manipulation import reshape
from .table import function


class UniqueAllResult(NamedTuple):
    """Different values in ascending order, where the first of each is, which of them each element is, how
    many there are of each."""

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCountsResult(NamedTuple):
    """Different values in ascending order, and how many there are of each."""

    values: Tensor
    counts: Tensor


class UniqueInverseResult(NamedTuple):
    """Different values in ascending order, and which of them each element is."""

    values: Tensor
    inverse_indices: Tensor


@function
def nonzero(x: ArrayLike, /) -> tuple[Tensor, ...]:
    """The indices of the elements that are not zero: an array for each axis."""
    x = with_values(asarray(x), "nonzero")
    if not x.ndim:
        raise ValueError("nonzero: an array of shape () has no indices")
    return cast(tuple[Tensor, ...], call(o.NONZERO, (x,)))


@function
def searchsorted(
    x1: ArrayLike, x2: ArrayLike, /, *, side: str = "left", sorter: ArrayLike | None = None
) -> Tensor:
    """The places in `x1` where the elements of `x2` keep it sorted.

    `sorter` has the indices that sort an `x1` that is not.

    With `side` "left" that is before all elements that are equal, with "right" after them.

    >>> import xgrad as xg
    >>> xg.searchsorted(xg.asarray([1.0, 2.0, 3.0]), xg.asarray([2.0, 2.5]))
    tensor([1, 2])
    """
    if side not in ("left", "right"):
        raise ValueError(f"searchsorted: side is 'left' or 'right', not {side!r}")
    if sorter is not None:
        x1 = take(x1, sorter, axis=0)
    return call(o.SEARCHSORTED, (x1, x2), {"side": side})


@function
def unique_all(x: ArrayLike, /) -> UniqueAllResult:
    """The different values of the flattened array, where they are, and how many.

    Each NaN is a value of its own.

    A gradient goes to the first element of each value.
    """
    x = with_values(asarray(x), "unique")
    indices, inverse, counts = cast(Any, call(o.UNIQUE, (x,)))
    return UniqueAllResult(call(i.TAKE, (reshape(x, (-1,)), indices), {"axis": 0}), indices, inverse, counts)


@function
def unique_counts(x: ArrayLike, /) -> UniqueCountsResult:
    """The different values of the flattened array, and how many there are of each; see `unique_all`."""
    found = unique_all(x)
    return UniqueCountsResult(found.values, found.counts)


@function
def unique_inverse(x: ArrayLike, /) -> UniqueInverseResult:
    """The different values of the flattened array, and which of them each element is: values[inverse_indices]
    is x; see `unique_all`."""
    found = unique_all(x)
    return UniqueInverseResult(found.values, found.inverse_indices)


@function
def unique_values(x: ArrayLike, /) -> Tensor:
    """The different values of the flattened array, in ascending order; see `unique_all`."""
    return unique_all(x).values
