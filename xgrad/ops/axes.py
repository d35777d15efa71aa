"""Validation of integer and axis arguments."""

from __future__ import annotations

from collections.abc import Iterable
from operator import index
from typing import SupportsIndex, TypeGuard

Axis = int | tuple[int, ...] | None


def integers(given: SupportsIndex | Iterable[SupportsIndex]) -> tuple[int, ...]:
    """One or several integers as a tuple of ints; anything with `__index__` counts, also NumPy's."""
    if is_integer(given):
        return (index(given),)
    try:
        return tuple(map(index, given))  # type: ignore[arg-type]  # raises for others
    except TypeError:
        raise TypeError(f"{given!r} is neither an integer nor a tuple of them") from None


def is_integer(given: object) -> TypeGuard[SupportsIndex]:
    """Whether this is a single integer."""
    return hasattr(given, "__index__") and getattr(given, "shape", ()) == ()


def integer(what: str, given: object) -> int:
    """The argument `what` as an int. Raises TypeError for anything but an integer, also for True and 2.0."""
    if isinstance(given, bool) or not is_integer(given):
        raise TypeError(f"{what} is an integer, not {given!r}")
    return index(given)


def normal_axes(axis: SupportsIndex | Iterable[SupportsIndex] | None, ndim: int) -> tuple[int, ...]:
    """`axis`, one or several, as a tuple of axes from 0 to ndim - 1; None means all."""
    if axis is None:
        return tuple(range(ndim))
    axes = integers(axis)
    for a in axes:
        if not -ndim <= a < ndim:
            raise IndexError(f"axis {a} of an array with {ndim} axes")
    return tuple(a % ndim for a in axes)
