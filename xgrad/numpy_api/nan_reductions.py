"""Reductions that ignore NaN."""

from __future__ import annotations

from collections.abc import Callable

from .. import namespace as xp
from ..backends.dtypes import is_floating
from ..backends.types import DTypeLike, NestedArrayLike
from ..core.context import MODE
from ..core.tensor import Tensor
from ..ops.axes import Axis
from .cumulative import cumprod, cumsum
from .reductions import axes_for, count, mask_for, max_, mean, min_, prod_, root, selected, sum_, var
from .table import REDUCTIONS, in_numpy, isnan


def _known(a: NestedArrayLike, where: NestedArrayLike) -> Tensor:
    """Mask of the elements selected by `where` that are not NaN."""
    known = ~isnan(a)
    return known if where is True else known & mask_for(known, where)


@in_numpy("nansum")
def nansum(
    a: NestedArrayLike,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    keepdims: bool = False,
    initial: NestedArrayLike | None = None,
    where: NestedArrayLike = True,
) -> Tensor:
    return sum_(a, axis, dtype, keepdims, initial, _known(a, where))


@in_numpy("nanprod")
def nanprod(
    a: NestedArrayLike,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    keepdims: bool = False,
    initial: NestedArrayLike | None = None,
    where: NestedArrayLike = True,
) -> Tensor:
    return prod_(a, axis, dtype, keepdims, initial, _known(a, where))


@in_numpy("nanmean")
def nanmean(
    a: NestedArrayLike,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    keepdims: bool = False,
    *,
    where: NestedArrayLike = True,
) -> Tensor:
    return mean(a, axes_for(axis, a), dtype, keepdims, where=_known(a, where))


@in_numpy("nanvar")
def nanvar(
    a: NestedArrayLike,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: NestedArrayLike = True,
    correction: float | None = None,
) -> Tensor:
    a, ddof = xp.asarray(a), ddof if correction is None else correction
    if not is_floating(a.dtype):
        return var(a, axis, dtype, ddof, keepdims, where=where)
    known, axis = _known(a, where), axes_for(axis, a)
    z = var(selected(a, known, 0), axis, dtype, ddof, keepdims, where=known)
    return xp.where(count(a, axis, keepdims, known) > ddof, z, xp.nan)


@in_numpy("nanstd")
def nanstd(
    a: NestedArrayLike,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: NestedArrayLike = True,
    correction: float | None = None,
) -> Tensor:
    return root(nanvar(a, axis, dtype, ddof, keepdims, where=where, correction=correction))


@in_numpy("nanmax")
def nanmax(
    a: NestedArrayLike,
    axis: Axis = None,
    keepdims: bool = False,
    initial: NestedArrayLike | None = None,
    where: NestedArrayLike = True,
) -> Tensor:
    """The gradient goes to exactly one element: on a tie the first."""
    return _nan_extreme(max_, -xp.inf, a, axis, keepdims, initial, where)


@in_numpy("nanmin")
def nanmin(
    a: NestedArrayLike,
    axis: Axis = None,
    keepdims: bool = False,
    initial: NestedArrayLike | None = None,
    where: NestedArrayLike = True,
) -> Tensor:
    """The gradient goes to exactly one element: on a tie the first."""
    return _nan_extreme(min_, xp.inf, a, axis, keepdims, initial, where)


def _nan_extreme(
    reduce: Callable[..., Tensor],
    worst: float,
    a: NestedArrayLike,
    axis: Axis,
    keepdims: bool,
    initial: NestedArrayLike | None,
    where: NestedArrayLike,
) -> Tensor:
    a, missing = xp.asarray(a), isnan(a)
    if not is_floating(a.dtype):
        return reduce(a, axis, keepdims, initial, where)
    z = reduce(selected(a, ~missing, worst), axis, keepdims, initial, where)
    return (
        z
        if initial is not None
        else xp.where(xp.all(missing, axis=axes_for(axis, a), keepdims=keepdims), xp.nan, z)
    )


@in_numpy("nanargmax")
def nanargmax(a: NestedArrayLike, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
    return _nan_place("nanargmax", xp.argmax, -xp.inf, a, axis, keepdims)


@in_numpy("nanargmin")
def nanargmin(a: NestedArrayLike, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
    return _nan_place("nanargmin", xp.argmin, xp.inf, a, axis, keepdims)


def _nan_place(
    name: str, place: Callable[..., Tensor], worst: float, a: NestedArrayLike, axis: Axis, keepdims: bool
) -> Tensor:
    """Index of an extreme element, ignoring NaN.

    Raises ValueError for an all-NaN slice; in a trace this cannot be checked.
    """
    a, missing = xp.asarray(a), isnan(a)
    if MODE.get().trace is None and bool(xp.any(xp.all(missing, axis=axis))):
        raise ValueError(f"np.{name}: an all-NaN slice along axis={axis} has no such element")
    return place(selected(a, ~missing, worst) if is_floating(a.dtype) else a, axis=axis, keepdims=keepdims)


@in_numpy("nancumsum")
def nancumsum(a: NestedArrayLike, axis: int | None = None, dtype: DTypeLike | None = None) -> Tensor:
    return cumsum(selected(a, ~isnan(a), 0), axis, dtype)


@in_numpy("nancumprod")
def nancumprod(a: NestedArrayLike, axis: int | None = None, dtype: DTypeLike | None = None) -> Tensor:
    return cumprod(selected(a, ~isnan(a), 1), axis, dtype)


REDUCTIONS.update(fmax=nanmax, fmin=nanmin)
