"""The table of what NumPy alone has, and what its functions here share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ... import namespace
from ...applying import adopt
from ...backends import device_of
from ...ops.arithmetic import NONE
from ...tensors import Tensor

F = TypeVar("F", bound=Callable[..., Any])

#: By NumPy's name, "gradient" or "linalg.norm": a function with NumPy's own arguments.
IN_NUMPY_ALONE: dict[str, Callable[..., Any]] = {}

#: By the name of a ufunc: what its `reduce` and its `accumulate` do.
REDUCTIONS: dict[str, Callable[..., Any]] = {}
ACCUMULATIONS: dict[str, Callable[..., Any]] = {}

#: The namespace, whose functions are looked up when they are called: it is still being filled when this is imported.
xp: Any = namespace


def in_numpy(*names: str) -> Callable[[F], F]:
    """Enter what the NumPy functions of these names do on Tensors."""

    def enter(f: F) -> F:
        IN_NUMPY_ALONE.update(dict.fromkeys(names, f))
        return f

    return enter


def together(values: Sequence[Any]) -> list[Tensor]:
    """Tensors, arrays, numbers and lists as Tensors, on the device of the first Tensor among them."""
    like = next((v for v in values if isinstance(v, Tensor)), None)
    if like is None:
        return [xp.asarray(v) for v in values]
    return [adopt(v, like, NONE) if device_of(v) is not None or isinstance(v, Tensor) else xp.asarray(v, device=like.device) for v in values]


def in_range(axis: int, ndim: int) -> int:
    """`axis` from 0 to ndim - 1. Raises IndexError where there is no such axis."""
    if not -ndim <= axis < ndim:
        raise IndexError(f"axis {axis} of an array with {ndim} axes")
    return axis % ndim
