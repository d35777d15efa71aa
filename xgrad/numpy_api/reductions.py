"""Reductions with NumPy's `where=` and `initial=`."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from .. import namespace as xp
from ..backends.dtypes import is_complex, is_floating, is_half
from ..backends.types import ArrayLike, DTypeLike, NestedArrayLike
from ..core.dispatch import NUMBERS
from ..core.tensor import Tensor
from ..errors import ShapeError
from ..ops.axes import Axis, normal_axes
from ..ops.reductions import single
from ..ops.shaping import broadcast_shapes
from .table import REDUCTIONS, arrays, in_numpy


def axes_for(axis: Axis, a: NestedArrayLike) -> Axis:
    """Normalise `axis`: for scalars NumPy's ufuncs accept the axes 0 and -1."""
    return None if axis in (0, -1) and xp.asarray(a).ndim == 0 else axis


def mask_for(a: Tensor, where: NestedArrayLike) -> Tensor:
    """Broadcast `where` to the shape of `a`, which it must not enlarge."""
    held = arrays((a, where))[1]
    if held.dtype.kind != "b":
        raise TypeError(f"where= must be boolean, not {held.dtype}; use xg.astype(mask, xg.bool)")
    if broadcast_shapes(held.shape, a.shape) != a.shape:
        raise ShapeError(
            f"where= of shape {held.shape} does not broadcast to the shape of the array, {a.shape}"
        )
    return xp.broadcast_to(held, a.shape)


def selected(a: NestedArrayLike, where: NestedArrayLike, otherwise: ArrayLike) -> Tensor:
    """`a` where `where` is true, else `otherwise`."""
    a = xp.asarray(a)
    return (
        a
        if where is True
        else xp.where(mask_for(a, where), a, xp.full((), otherwise, dtype=a.dtype, device=a.device))
    )


def count(a: Tensor, axis: Axis, keepdims: bool, where: NestedArrayLike) -> Any:
    """Number of elements that each result is reduced from."""
    return (
        prod(a.shape[i] for i in normal_axes(axis, a.ndim))
        if where is True
        else xp.sum(mask_for(a, where), axis=axis, keepdims=keepdims)
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
    z = xp.sum(selected(a, where, 0), axis=axes_for(axis, a), dtype=dtype, keepdims=keepdims)
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
    z = xp.prod(selected(a, where, 1), axis=axes_for(axis, a), dtype=dtype, keepdims=keepdims)
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
    axis = axes_for(axis, a)
    if initial is None:
        if where is not True:
            raise ValueError(f"np.{name} with where= needs initial=, the result if no element is selected")
        return reduce(a, axis=axis, keepdims=keepdims)
    a = xp.asarray(a)
    initial = _initial(initial, a)
    a = selected(a, where, initial)
    if not count(a, axis, keepdims, True):
        shape = xp.sum(a, axis=axis, keepdims=keepdims).shape
        return xp.full(shape, initial, dtype=a.dtype, device=a.device)
    return better(reduce(a, axis=axis, keepdims=keepdims), initial)


@in_numpy("all")
def all_(
    a: NestedArrayLike, axis: Axis = None, keepdims: bool = False, *, where: NestedArrayLike = True
) -> Tensor:
    return xp.all(selected(a, where, 1), axis=axes_for(axis, a), keepdims=keepdims)


@in_numpy("any")
def any_(
    a: NestedArrayLike, axis: Axis = None, keepdims: bool = False, *, where: NestedArrayLike = True
) -> Tensor:
    return xp.any(selected(a, where, 0), axis=axes_for(axis, a), keepdims=keepdims)


@in_numpy("argmax")
def argmax(a: ArrayLike, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
    return xp.argmax(a, axis=axes_for(axis, a), keepdims=keepdims)


@in_numpy("argmin")
def argmin(a: ArrayLike, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
    return xp.argmin(a, axis=axes_for(axis, a), keepdims=keepdims)


@in_numpy("count_nonzero")
def count_nonzero(a: ArrayLike, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    return xp.count_nonzero(a, axis=axes_for(axis, a), keepdims=keepdims)


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
            sum_(single(xp, cast), axis, None, keepdims, None, where), count(a, axis, keepdims, where)
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
    return _spread(xp.std, root, a, axis, dtype, ddof if correction is None else correction, keepdims, where)


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
    n = count(a, axis, keepdims, where)
    far = a - mean(a, axis, dtype, True, where=where)
    square = xp.real(far * xp.conj(far)) if is_complex(a.dtype) else far * far
    total = sum_(square, axis, dtype, keepdims, None, where)
    z = of_variance(_divided(total, max(n - ddof, 0) if where is True else xp.maximum(n - ddof, 0)))
    return z if dtype is None else xp.astype(z, dtype, copy=False)


def root(x: Tensor) -> Tensor:
    """The square root, flat at 0."""
    return xp.where(x == 0, 0, xp.sqrt(xp.where(x == 0, 1, x)))


@in_numpy("ptp")
def ptp(a: NestedArrayLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    return max_(a, axis, keepdims) - min_(a, axis, keepdims)


REDUCTIONS.update(
    add=sum_,
    multiply=prod_,
    maximum=max_,
    minimum=min_,
    logical_and=all_,
    logical_or=any_,
)
REDUCTIONS["logaddexp"] = lambda a, axis=None, keepdims=False: xp.logsumexp(
    a, axis=axes_for(axis, a), keepdims=keepdims
)
