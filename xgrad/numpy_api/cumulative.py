"""Cumulative reductions."""

from __future__ import annotations

from collections.abc import Callable

from .. import namespace as xp
from ..backends.types import DTypeLike, NestedArrayLike
from ..core.tensor import Tensor
from .shapes import atleast_1d
from .table import ACCUMULATIONS, along, in_numpy


@in_numpy("cumsum")
def cumsum(a: NestedArrayLike, axis: int | None = None, dtype: DTypeLike | None = None) -> Tensor:
    a, axis = along(a, axis, "cumsum")
    return xp.cumulative_sum(a, axis=axis, dtype=dtype)


@in_numpy("cumprod")
def cumprod(a: NestedArrayLike, axis: int | None = None, dtype: DTypeLike | None = None) -> Tensor:
    a, axis = along(a, axis, "cumprod")
    return xp.cumulative_prod(a, axis=axis, dtype=dtype)


@in_numpy("cumulative_sum")
def cumulative_sum(
    x: NestedArrayLike,
    /,
    *,
    axis: int | None = None,
    dtype: DTypeLike | None = None,
    include_initial: bool = False,
) -> Tensor:
    return xp.cumulative_sum(atleast_1d(x), axis=axis, dtype=dtype, include_initial=include_initial)


@in_numpy("cumulative_prod")
def cumulative_prod(
    x: NestedArrayLike,
    /,
    *,
    axis: int | None = None,
    dtype: DTypeLike | None = None,
    include_initial: bool = False,
) -> Tensor:
    return xp.cumulative_prod(atleast_1d(x), axis=axis, dtype=dtype, include_initial=include_initial)


def _accumulation(name: str) -> Callable[..., Tensor]:
    """Cumulative reduction by an associative binary function, combining 1, 2, 4, 8 ... neighbours."""

    def accumulate(a: NestedArrayLike, axis: int = 0) -> Tensor:
        a, axis = along(a, axis, f"{name}.accumulate")
        a = a != 0 if name.startswith("logical") else a
        before, reach = (slice(None),) * axis, 1
        while reach < a.shape[axis]:
            start, end = a[(*before, slice(None, -reach))], a[(*before, slice(reach, None))]
            a = xp.concat([a[(*before, slice(None, reach))], getattr(xp, name)(start, end)], axis=axis)
            reach *= 2
        return +a

    return accumulate


ACCUMULATIONS.update(add=cumsum, multiply=cumprod)
ACCUMULATIONS.update(
    {name: _accumulation(name) for name in ("maximum", "minimum", "logaddexp", "logical_and", "logical_or")}
)
