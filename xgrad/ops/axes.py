"""Validation of integer and axis arguments."""

from __future__ import annotations

from collections.abc import Iterable
from operator import index
from typing import SupportsIndex, TypeGuard

Axis = int | tuple[int, ...] | None


def integers(given: SupportsIndex | Iterable[SupportsIndex], what: str = "the argument") -> tuple[int, ...]:
    """One or several integers as a tuple of ints; anything with `__index__` counts, also NumPy's.

    `what` names the argument in the TypeError for anything else.
    """
    if is_integer(given):
        return (index(given),)
    try:
        return tuple(map(index, given))  # type: ignore[arg-type]  # raises for others
    except TypeError:
        raise TypeError(f"{what} must be an integer or a tuple of integers, not {given!r}") from None


def is_integer(given: object) -> TypeGuard[SupportsIndex]:
    """Whether this is a single integer."""
    return hasattr(given, "__index__") and getattr(given, "shape", ()) == ()


def integer(what: str, given: object) -> int:
    """The argument `what` as an int. Raises TypeError for anything but an integer, also for True and 2.0."""
    if isinstance(given, bool) or not is_integer(given):
        raise TypeError(f"{what} must be an integer, not {given!r}")
    return index(given)


def normal_axes(
    axis: SupportsIndex | Iterable[SupportsIndex] | None, ndim: int, function: str = ""
) -> tuple[int, ...]:
    """`axis`, one or several, as a tuple of axes from 0 to ndim - 1; None means all.

    Errors name the function; the rule of an op needs no name, as `apply` adds that of the op.
    """
    if axis is None:
        return tuple(range(ndim))
    axes = integers(axis, f"{function}: axis" if function else "axis")
    for a in axes:
        if not -ndim <= a < ndim:
            subject = function and f"{function}: "
            has = f"has axes from {-ndim} to {ndim - 1}" if ndim else "of shape () has no axes"
            raise IndexError(f"{subject}axis {a} is out of range: the array {has}")
    return tuple(a % ndim for a in axes)
