"""Reductions with NumPy's `where=` and `initial=`, NaN-ignoring ones, and cumulative ones."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from .. import namespace as xp
from ..backends.dtypes import is_complex, is_floating, is_half
from ..backends.types import ArrayLike, DTypeLike, NestedArrayLike
from ..core.context import MODE
from ..core.dispatch import NUMBERS
from ..core.tensor import Tensor
from ..errors import ShapeError
from ..ops.axes import Axis, normal_axes
from ..ops.reductions import single
from ..ops.shaping import broadcast_shapes
from .shapes import atleast_1d
from .table import ACCUMULATIONS, REDUCTIONS, along, arrays, in_numpy, isnan


def _axes(axis: Axis, a: NestedArrayLike) -> Axis:
    """Normalise `axis`: for scalars NumPy's ufuncs accept the axes 0 and -1."""
    return None if axis in (0, -1) and xp.asarray(a).ndim == 0 else axis


def _held(a: Tensor, where: NestedArrayLike) -> Tensor:
    """Broadcast `where` to the shape of `a`, which it must not enlarge."""
    held = arrays((a, where))[1]
    if held.dtype.kind != "b":
        raise TypeError(f"where= must be boolean, not {held.dtype}; use xg.astype(mask, xg.bool)")
    if broadcast_shapes(held.shape, a.shape) != a.shape:
        raise ShapeError(
            f"where= of shape {held.shape} does not broadcast to the shape of the array, {a.shape}"
        )
    return xp.broadcast_to(held, a.shape)


def _only(a: NestedArrayLike, where: NestedArrayLike, otherwise: ArrayLike) -> Tensor:
    """`a` where `where` is true, else `otherwise`."""
    a = xp.asarray(a)
    return (
        a
        if where is True
        else xp.where(_held(a, where), a, xp.full((), otherwise, dtype=a.dtype, device=a.device))
    )


def _count(a: Tensor, axis: Axis, keepdims: bool, where: NestedArrayLike) -> Any:
    """Number of elements that each result is reduced from."""
    return (
        prod(a.shape[i] for i in normal_axes(axis, a.ndim))
        if where is True
        else xp.sum(_held(a, where), axis=axis, keepdims=keepdims)
    )


def _divided(total: Tensor, n: Tensor | int) -> Tensor:
    """total / n, in the dtype of `total` if that is floating."""
    return total / (
        xp.astype(n, total.dtype if is_floating(total.dtype) else "float64")
        if isinstance(n, Tensor)
        else float(n)
    )


def _initial(initial: NestedArrayLike, like: Tensor) -> Tensor:
    """Initial value of a reduction, in the dtype of its result."""
    if type(initial) in NUMBERS:
        return xp.asarray(initial, dtype=like.dtype, device=like.device)
    return xp.astype(arrays((like, initial))[1], like.dtype)


@in_numpy("sum")
def sum_(
    a: NestedArrayLike,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    keepdims: bool = False,
    initial: NestedArrayLike | None = None,
    where: NestedArrayLike = True,
) -> Tensor:
    z = xp.sum(_only(a, where, 0), axis=_axes(axis, a), dtype=dtype, keepdims=keepdims)
    return z if initial is None else z + _initial(initial, z)


@in_numpy("prod")
def prod_(
    a: NestedArrayLike,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    keepdims: bool = False,
    initial: NestedArrayLike | None = None,
    where: NestedArrayLike = True,
) -> Tensor:
    z = xp.prod(_only(a, where, 1), axis=_axes(axis, a), dtype=dtype, keepdims=keepdims)
    return z if initial is None else z * _initial(initial, z)


@in_numpy("max", "amax")
def max_(
    a: NestedArrayLike,
    axis: Axis = None,
    keepdims: bool = False,
    initial: NestedArrayLike | None = None,
    where: NestedArrayLike = True,
) -> Tensor:
    return _extreme("max", xp.max, xp.maximum, a, axis, keepdims, initial, where)


@in_numpy("min", "amin")
def min_(
    a: NestedArrayLike,
    axis: Axis = None,
    keepdims: bool = False,
    initial: NestedArrayLike | None = None,
    where: NestedArrayLike = True,
) -> Tensor:
    return _extreme("min", xp.min, xp.minimum, a, axis, keepdims, initial, where)


def _extreme(
    name: str,
    reduce: Callable[..., Tensor],
    better: Callable[[Tensor, Tensor], Tensor],
    a: NestedArrayLike,
    axis: Axis,
    keepdims: bool,
    initial: NestedArrayLike | None,
    where: NestedArrayLike,
) -> Tensor:
    axis = _axes(axis, a)
    if initial is None:
        if where is not True:
            raise ValueError(f"np.{name} with where= needs initial=, the result if no element is selected")
        return reduce(a, axis=axis, keepdims=keepdims)
    a = xp.asarray(a)
    initial = _initial(initial, a)
    a = _only(a, where, initial)
    if not _count(a, axis, keepdims, True):
        shape = xp.sum(a, axis=axis, keepdims=keepdims).shape
        return xp.full(shape, initial, dtype=a.dtype, device=a.device)
    return better(reduce(a, axis=axis, keepdims=keepdims), initial)


@in_numpy("all")
def all_(
    a: NestedArrayLike, axis: Axis = None, keepdims: bool = False, *, where: NestedArrayLike = True
) -> Tensor:
    return xp.all(_only(a, where, 1), axis=_axes(axis, a), keepdims=keepdims)


@in_numpy("any")
def any_(
    a: NestedArrayLike, axis: Axis = None, keepdims: bool = False, *, where: NestedArrayLike = True
) -> Tensor:
    return xp.any(_only(a, where, 0), axis=_axes(axis, a), keepdims=keepdims)


@in_numpy("argmax")
def argmax(a: ArrayLike, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
    return xp.argmax(a, axis=_axes(axis, a), keepdims=keepdims)


@in_numpy("argmin")
def argmin(a: ArrayLike, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
    return xp.argmin(a, axis=_axes(axis, a), keepdims=keepdims)


@in_numpy("count_nonzero")
def count_nonzero(a: ArrayLike, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    return xp.count_nonzero(a, axis=_axes(axis, a), keepdims=keepdims)


@in_numpy("mean")
def mean(
    a: NestedArrayLike,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    keepdims: bool = False,
    *,
    where: NestedArrayLike = True,
) -> Tensor:
    a = xp.asarray(a)
    cast = a if dtype is None else xp.astype(a, dtype)
    if where is True:
        z = xp.mean(cast, axis=axis, keepdims=keepdims)
    else:
        z = _divided(
            sum_(single(xp, cast), axis, None, keepdims, None, where), _count(a, axis, keepdims, where)
        )
    return xp.astype(
        z, (cast.dtype if is_half(cast.dtype) else z.dtype) if dtype is None else dtype, copy=False
    )


@in_numpy("var")
def var(
    a: NestedArrayLike,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: NestedArrayLike = True,
    correction: float | None = None,
) -> Tensor:
    return _spread(
        xp.var, xp.positive, a, axis, dtype, ddof if correction is None else correction, keepdims, where
    )


@in_numpy("std")
def std(
    a: NestedArrayLike,
    axis: Axis = None,
    dtype: DTypeLike | None = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: NestedArrayLike = True,
    correction: float | None = None,
) -> Tensor:
    """Standard deviation; where it is 0, its gradient is 0."""
    return _spread(xp.std, _root, a, axis, dtype, ddof if correction is None else correction, keepdims, where)


def _spread(
    of_all: Callable[..., Tensor],
    of_variance: Callable[[Tensor], Tensor],
    a: NestedArrayLike,
    axis: Axis,
    dtype: DTypeLike | None,
    ddof: float,
    keepdims: bool,
    where: NestedArrayLike,
) -> Tensor:
    """Variance or standard deviation; by `of_all` if that supports all given arguments."""
    a = xp.asarray(a)
    if where is True and dtype is None and not is_complex(a.dtype):
        return of_all(a, axis=axis, correction=ddof, keepdims=keepdims)
    if is_half(a.dtype) and dtype is None:
        return xp.astype(
            _spread(of_all, of_variance, single(xp, a), axis, None, ddof, keepdims, where), a.dtype
        )
    n = _count(a, axis, keepdims, where)
    far = a - mean(a, axis, dtype, True, where=where)
    square = xp.real(far * xp.conj(far)) if is_complex(a.dtype) else far * far
    total = sum_(square, axis, dtype, keepdims, None, where)
    z = of_variance(_divided(total, max(n - ddof, 0) if where is True else xp.maximum(n - ddof, 0)))
    return z if dtype is None else xp.astype(z, dtype, copy=False)


def _root(x: Tensor) -> Tensor:
    """The square root, flat at 0."""
    return xp.where(x == 0, 0, xp.sqrt(xp.where(x == 0, 1, x)))


@in_numpy("ptp")
def ptp(a: NestedArrayLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    return max_(a, axis, keepdims) - min_(a, axis, keepdims)


# Ignoring NaN


def _known(a: NestedArrayLike, where: NestedArrayLike) -> Tensor:
    """Mask of the elements selected by `where` that are not NaN."""
    known = ~isnan(a)
    return known if where is True else known & _held(known, where)


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
    return mean(a, _axes(axis, a), dtype, keepdims, where=_known(a, where))


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
    known, axis = _known(a, where), _axes(axis, a)
    z = var(_only(a, known, 0), axis, dtype, ddof, keepdims, where=known)
    return xp.where(_count(a, axis, keepdims, known) > ddof, z, xp.nan)


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
    return _root(nanvar(a, axis, dtype, ddof, keepdims, where=where, correction=correction))


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
    z = reduce(_only(a, ~missing, worst), axis, keepdims, initial, where)
    return (
        z
        if initial is not None
        else xp.where(xp.all(missing, axis=_axes(axis, a), keepdims=keepdims), xp.nan, z)
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
    return place(_only(a, ~missing, worst) if is_floating(a.dtype) else a, axis=axis, keepdims=keepdims)


# Cumulative reductions


@in_numpy("cumsum")
def cumsum(a: NestedArrayLike, axis: int | None = None, dtype: DTypeLike | None = None) -> Tensor:
    a, axis = along(a, axis, "cumsum")
    return xp.cumulative_sum(a, axis=axis, dtype=dtype)


@in_numpy("cumprod")
def cumprod(a: NestedArrayLike, axis: int | None = None, dtype: DTypeLike | None = None) -> Tensor:
    a, axis = along(a, axis, "cumprod")
    return xp.cumulative_prod(a, axis=axis, dtype=dtype)


@in_numpy("nancumsum")
def nancumsum(a: NestedArrayLike, axis: int | None = None, dtype: DTypeLike | None = None) -> Tensor:
    return cumsum(_only(a, ~isnan(a), 0), axis, dtype)


@in_numpy("nancumprod")
def nancumprod(a: NestedArrayLike, axis: int | None = None, dtype: DTypeLike | None = None) -> Tensor:
    return cumprod(_only(a, ~isnan(a), 1), axis, dtype)


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


REDUCTIONS.update(
    add=sum_,
    multiply=prod_,
    maximum=max_,
    minimum=min_,
    logical_and=all_,
    logical_or=any_,
    fmax=nanmax,
    fmin=nanmin,
)
REDUCTIONS["logaddexp"] = lambda a, axis=None, keepdims=False: xp.logsumexp(
    a, axis=_axes(axis, a), keepdims=keepdims
)
ACCUMULATIONS.update(add=cumsum, multiply=cumprod)
ACCUMULATIONS.update(
    {name: _accumulation(name) for name in ("maximum", "minimum", "logaddexp", "logical_and", "logical_or")}
)
