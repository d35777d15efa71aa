"""Registration of functions that only NumPy has, and helpers that they share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from .. import namespace as xp  # still being filled: look functions up when called
from ..backends.dtypes import is_floating
from ..backends.types import NestedArrayLike
from ..core.dispatch import NUMBERS
from ..core.tensor import Tensor
from ..namespace.conversion import beside
from ..namespace.table import NUMPY
from ..ops.axes import normal_axes

F = TypeVar("F", bound=Callable[..., Any])

#: Implementations of `reduce` and `accumulate`, by the name of the ufunc.
REDUCTIONS: dict[str, Callable[..., Any]] = {}
ACCUMULATIONS: dict[str, Callable[..., Any]] = {}


def in_numpy(*names: str) -> Callable[[F], F]:
    """Decorator that enters an implementation of the NumPy functions of these names."""

    def enter(f: F) -> F:
        NUMPY.update(dict.fromkeys(names, f))
        return f

    return enter


def arrays(values: Sequence[Any]) -> list[Tensor]:
    """Convert all values to Tensors on the device of the first Tensor.

    A Tensor on another device raises DeviceError. Numbers are not weak.
    """
    return _placed(values, frozenset())


def weak(values: Sequence[Any]) -> list[Any]:
    """As `arrays`, but numbers and None stay as they are: in an op, numbers are weak."""
    return _placed(values, NUMBERS | {type(None)})


def _placed(values: Sequence[Any], kept: frozenset[type]) -> list[Any]:
    like = next((v for v in values if isinstance(v, Tensor)), None)
    return [v if type(v) in kept else xp.asarray(v) if like is None else beside(v, like) for v in values]


def together(values: Sequence[Any]) -> list[Tensor]:
    """As `arrays`, but numbers are weak, as in NumPy's ufuncs: they take the promoted dtype of the others."""
    given = weak(values)
    tensors = [v for v in given if isinstance(v, Tensor)]
    if not tensors:
        return arrays(given)
    dtypes, device = [v.dtype for v in tensors], tensors[0].device
    return [
        v if isinstance(v, Tensor) else xp.asarray(v, dtype=xp.result_type(*dtypes, v), device=device)
        for v in given
    ]


def along(a: NestedArrayLike, axis: int | None, function: str) -> tuple[Tensor, int]:
    """Convert to a Tensor and a non-negative axis; None flattens it.

    A scalar becomes one-dimensional.
    """
    a = xp.asarray(a)
    if axis is None or (a.ndim == 0 and axis in (0, -1)):
        return xp.reshape(a, (-1,)), 0
    (axis,) = normal_axes(axis, a.ndim, f"np.{function}")
    return a, axis


def isnan(x: NestedArrayLike) -> Tensor:
    """Where an array of any dtype is NaN."""
    x = xp.asarray(x)
    return xp.isnan(x) if is_floating(x.dtype) else xp.zeros_like(x, dtype="bool")
