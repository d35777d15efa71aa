"""Searching and sets. Indices have no derivative, but values gathered by them do."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

from ..backends.types import ArrayLike
from ..core.tensor import Tensor
from ..ops import indexing as i
from ..ops import ordering as o
from .calling import call, with_values
from .conversion import asarray
from .indexing import take
from .manipulation import reshape
from .table import function


class UniqueAllResult(NamedTuple):
    """Unique values in ascending order, indices of their first occurrences, inverse indices, and counts."""

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCountsResult(NamedTuple):
    """Unique values in ascending order, and their counts."""

    values: Tensor
    counts: Tensor


class UniqueInverseResult(NamedTuple):
    """Unique values in ascending order, and the index among them of each element."""

    values: Tensor
    inverse_indices: Tensor


@function
def nonzero(x: ArrayLike, /) -> tuple[Tensor, ...]:
    """The indices of non-zero elements: one array per axis."""
    x = with_values(asarray(x), "nonzero")
    if not x.ndim:
        raise ValueError("nonzero: an array of shape () has no indices; use xg.reshape(x, (1,)) first")
    return cast(tuple[Tensor, ...], call(o.NONZERO, (x,)))


@function
def searchsorted(
    x1: ArrayLike, x2: ArrayLike, /, *, side: str = "left", sorter: ArrayLike | None = None
) -> Tensor:
    """Positions at which inserting the elements of `x2` keeps `x1` sorted.

    If `x1` is not sorted, `sorter` has the indices that sort it.

    With `side` "left" the position is before all equal elements, with "right" after them.

    >>> import xgrad as xg
    >>> xg.searchsorted(xg.asarray([1.0, 2.0, 3.0]), xg.asarray([2.0, 2.5]))
    tensor([1, 2])
    """
    if side not in ("left", "right"):
        raise ValueError(f"searchsorted: side must be 'left' or 'right', not {side!r}")
    if sorter is not None:
        x1 = take(x1, sorter, axis=0)
    return call(o.SEARCHSORTED, (x1, x2), {"side": side})


@function
def unique_all(x: ArrayLike, /) -> UniqueAllResult:
    """Unique values of the flattened array, with indices and counts.

    NaNs count as distinct.

    The gradient goes to the first occurrence of each value.
    """
    x = with_values(asarray(x), "unique")
    indices, inverse, counts = cast(Any, call(o.UNIQUE, (x,)))
    return UniqueAllResult(call(i.TAKE, (reshape(x, (-1,)), indices), {"axis": 0}), indices, inverse, counts)


@function
def unique_counts(x: ArrayLike, /) -> UniqueCountsResult:
    """Unique values of the flattened array, and their counts; see `unique_all`."""
    found = unique_all(x)
    return UniqueCountsResult(found.values, found.counts)


@function
def unique_inverse(x: ArrayLike, /) -> UniqueInverseResult:
    """Unique values of the flattened array, and indices such that values[inverse_indices] is x.

    See `unique_all`.
    """
    found = unique_all(x)
    return UniqueInverseResult(found.values, found.inverse_indices)


@function
def unique_values(x: ArrayLike, /) -> Tensor:
    """Unique values of the flattened array, in ascending order; see `unique_all`."""
    return unique_all(x).values
