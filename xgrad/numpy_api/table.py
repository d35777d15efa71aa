"""The table of what NumPy alone has, and what its functions here share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from .. import namespace as xp  # whose functions are looked up when they are called: it is being filled
from ..backends.dtypes import is_floating
from ..backends.types import NestedArrayLike
from ..core.dispatch import NUMBERS
from ..core.tensor import Tensor
from ..namespace.creation import beside
from ..namespace.table import NUMPY
from ..ops.axes import normal_axes

F = TypeVar("F", bound=Callable[..., Any])

#: By the name of a ufunc: what its `reduce` and its `accumulate` do.
REDUCTIONS: dict[str, Callable[..., Any]] = {}
ACCUMULATIONS: dict[str, Callable[..., Any]] = {}


def in_numpy(*names: str) -> Callable[[F], F]:
    """Enter what the NumPy functions of these names do on Tensors, with NumPy's own arguments."""

    def enter(f: F) -> F:
        NUMPY.update(dict.fromkeys(names, f))
        return f

    return enter


def arrays(values: Sequence[Any]) -> list[Tensor]:
    """Tensors, arrays, numbers and lists as Tensors, on the device of the first Tensor among them; one that
    is elsewhere raises
    DeviceError. A number has a dtype of its own."""
    return _placed(values, frozenset())


def weak(values: Sequence[Any]) -> list[Any]:
    """As `arrays`, but numbers, and None, stay as they are: in an op numbers take the dtype of what is beside
    them."""
    return _placed(values, NUMBERS | {type(None)})


def _placed(values: Sequence[Any], kept: frozenset[type]) -> list[Any]:
    like = next((v for v in values if isinstance(v, Tensor)), None)
    return [v if type(v) in kept else xp.asarray(v) if like is None else beside(v, like) for v in values]


def together(values: Sequence[Any]) -> list[Tensor]:
    """As `arrays`, but numbers are weak, as in NumPy's ufuncs: they take the dtype that the others have
    together."""
    given = weak(values)
    tensors = [v for v in given if isinstance(v, Tensor)]
    if not tensors:
        return arrays(given)
    dtypes, device = [v.dtype for v in tensors], tensors[0].device
    return [
        v if isinstance(v, Tensor) else xp.asarray(v, dtype=xp.result_type(*dtypes, v), device=device)
        for v in given
    ]


def along(a: NestedArrayLike, axis: int | None) -> tuple[Tensor, int]:
    """An array and an axis of it, from 0 on; flattened where that is None.

    One number is as an array of it.
    """
    a = xp.asarray(a)
    if axis is None or (a.ndim == 0 and axis in (0, -1)):
        return xp.reshape(a, (-1,)), 0
    (axis,) = normal_axes(axis, a.ndim)
    return a, axis


def isnan(x: NestedArrayLike) -> Tensor:
    """Where an array, of any dtype, is NaN."""
    x = xp.asarray(x)
    return xp.isnan(x) if is_floating(x.dtype) else xp.zeros_like(x, dtype="bool")
