"""Quantiles, percentiles and medians."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import namespace as xp
from ..backends.dtypes import is_floating, kind_of
from ..backends.types import NestedArrayLike
from ..core.context import MODE
from ..core.dispatch import NUMBERS
from ..core.tensor import Tensor
from ..ops.axes import Axis, normal_axes
from .table import arrays, in_numpy, isnan


@in_numpy("median")
def median(
    a: NestedArrayLike, axis: Axis = None, overwrite_input: bool = False, keepdims: bool = False
) -> Tensor:
    return quantile(a, 0.5, axis, keepdims=keepdims)


@in_numpy("percentile")
def percentile(
    a: NestedArrayLike,
    q: NestedArrayLike,
    axis: Axis = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
) -> Tensor:
    return quantile(a, _hundredths(q), axis, overwrite_input, method, keepdims)


@in_numpy("quantile")
def quantile(
    a: NestedArrayLike,
    q: NestedArrayLike,
    axis: Axis = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
) -> Tensor:
    """Quantiles; the gradient goes to the neighbouring elements of `a`.

    With method "linear" it also goes to `q`; exactly at an element, the derivative is that from the right.
    """
    rows, q, shape = _laid_out(a, q, axis, keepdims, method)
    n = rows.shape[-1]
    z = _between(rows, n, q, method)
    # sorting puts NaN last
    return _placed(
        xp.where(isnan(rows[..., n - 1 :]), xp.nan, z) if n and is_floating(rows.dtype) else z, q, shape
    )


@in_numpy("nanmedian")
def nanmedian(
    a: NestedArrayLike, axis: Axis = None, overwrite_input: bool = False, keepdims: bool = False
) -> Tensor:
    return nanquantile(a, 0.5, axis, keepdims=keepdims)


@in_numpy("nanpercentile")
def nanpercentile(
    a: NestedArrayLike,
    q: NestedArrayLike,
    axis: Axis = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
) -> Tensor:
    return nanquantile(a, _hundredths(q), axis, overwrite_input, method, keepdims)


@in_numpy("nanquantile")
def nanquantile(
    a: NestedArrayLike,
    q: NestedArrayLike,
    axis: Axis = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
) -> Tensor:
    """Quantiles ignoring NaN; the gradient flows as in `quantile`."""
    rows, q, shape = _laid_out(a, q, axis, keepdims, method)
    known = xp.count_nonzero(~isnan(rows), axis=-1, keepdims=True)  # differs from row to row
    return _placed(_between(rows, known, q, method), q, shape)


def _hundredths(q: Any) -> Any:
    return q / 100 if type(q) in NUMBERS else xp.asarray(q) / 100


def _laid_out(
    a: NestedArrayLike, q: NestedArrayLike, axis: Axis, keepdims: bool, method: str
) -> tuple[Tensor, Tensor, tuple[int, ...]]:
    """Sorted rows of elements along `axis`, `q`, and the shape of a result.

    If `q` is a number, it takes the dtype of `a`.
    """
    if method not in _METHODS:
        raise TypeError(
            f"np.quantile on a Tensor: method must be one of {', '.join(map(repr, _METHODS))}, not {method!r}"
        )
    if not isinstance(q, Tensor) or MODE.get().trace is None:
        parts = (q if isinstance(q, Tensor) else xp.asarray(q, device="cpu")).numpy()
        if not ((parts >= 0) & (parts <= 1)).all():
            raise ValueError(f"np.quantile: q must be between 0 and 1, not {q}")
    a = xp.asarray(a)
    axes = normal_axes(axis, a.ndim, "np.quantile")
    kept = [i for i in range(a.ndim) if i not in axes]
    lengths = tuple(a.shape[i] for i in kept)
    n = 1
    for i in axes:
        n *= a.shape[i]
    rows = xp.sort(xp.reshape(xp.permute_dims(a, (*kept, *axes)), (*lengths, n)), axis=-1)
    rows = (
        rows
        if is_floating(rows.dtype) or method in ("lower", "higher", "nearest")
        else xp.astype(rows, "float64")
    )
    q = (
        xp.asarray(q, device=rows.device, dtype=rows.dtype)
        if type(q) in NUMBERS and kind_of(rows.dtype) == "f"
        else arrays((rows, q))[1]
    )
    shape = tuple(1 if i in axes else n for i, n in enumerate(a.shape)) if keepdims else lengths
    return rows, q if is_floating(q.dtype) else xp.astype(q, "float64"), shape


_METHODS = ("linear", "lower", "higher", "midpoint", "nearest")


def _between(rows: Tensor, known: Tensor | int, q: Tensor, method: str) -> Tensor:
    """Quantiles `q` of the first `known` elements of each row, along the last axis.

    NaN for rows without known elements.
    """
    place = xp.reshape(q, (-1,)) * (known - 1 if isinstance(known, int) else xp.astype(known - 1, q.dtype))
    if rows.shape[-1] == 0:
        return xp.full(
            (*rows.shape[:-1], q.size),
            xp.nan,
            dtype=rows.dtype if is_floating(rows.dtype) else "float64",
            device=rows.device,
        )
    place = xp.broadcast_to(place, (*rows.shape[:-1], q.size))
    low = xp.floor(place.detach())
    take: Callable[[Tensor], Tensor] = lambda at: xp.take_along_axis(
        rows, xp.clip(xp.astype(at, "int64"), 0, rows.shape[-1] - 1), axis=-1
    )
    if method in ("lower", "higher", "nearest"):
        return take({"lower": low, "higher": xp.ceil(place), "nearest": xp.round(place)}[method])
    part = place - low
    part = part if method == "linear" else xp.ceil(part) / 2
    below, above = take(low), take(xp.minimum(low + 1, known - 1))
    # an infinite element counts only if its weight is not 0: 0 * inf would be NaN
    whole = xp.isinf(above) & ((part == 0) | (above == below))
    # halved, so that their difference cannot overflow
    return below + xp.where(whole, 0, above / 2 - below / 2) * (2 * part)


def _placed(z: Tensor, q: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Reshape results along the last axis to `shape`, preceded by the axes of `q`."""
    return xp.reshape(xp.moveaxis(z, -1, 0), (*q.shape, *shape))
