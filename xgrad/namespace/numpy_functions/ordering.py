"""Sorting, searching, and taking what was found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...backends.dtypes import is_floating
from ...ops.reductions import normal_axes
from ...tensors import Tensor
from .table import in_numpy, in_range, together, xp


def _flat(a: Any, axis: int | None) -> tuple[Tensor, int]:
    a = xp.asarray(a)
    return (xp.reshape(a, (-1,)), -1) if axis is None else (a, axis)


@in_numpy("sort")
def sort(a: Any, axis: int | None = -1, kind: str | None = None, *, stable: bool | None = None) -> Tensor:
    """Stable, whatever `kind` says."""
    a, axis = _flat(a, axis)
    return xp.sort(a, axis=axis)


@in_numpy("argsort")
def argsort(a: Any, axis: int | None = -1, kind: str | None = None, *, stable: bool | None = None) -> Tensor:
    """Stable, whatever `kind` says."""
    a, axis = _flat(a, axis)
    return xp.argsort(a, axis=axis)


@in_numpy("partition")
def partition(a: Any, kth: int | Sequence[int], axis: int | None = -1, kind: str = "introselect") -> Tensor:
    """Sorted wholly, which is a partition at every place."""
    return sort(a, axis)


@in_numpy("argpartition")
def argpartition(a: Any, kth: int | Sequence[int], axis: int | None = -1, kind: str = "introselect") -> Tensor:
    return argsort(a, axis)


@in_numpy("searchsorted")
def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Tensor:
    a, v = together((a, v))
    dtype = xp.result_type(a.dtype, v.dtype)
    a, v = xp.astype(a, dtype), xp.astype(v, dtype)
    return xp.reshape(xp.searchsorted(a, xp.reshape(v, (-1,)), side=side, sorter=sorter), v.shape)


@in_numpy("flatnonzero")
def flatnonzero(a: Any) -> Tensor:
    return xp.nonzero(xp.reshape(a, (-1,)))[0]


@in_numpy("argwhere")
def argwhere(a: Any) -> Tensor:
    a = xp.asarray(a)
    if a.ndim == 0:
        return xp.zeros((int(bool(a != 0)), 0), dtype="int64", device=a.device)
    return xp.stack(xp.nonzero(a), axis=-1)


@in_numpy("unique")
def unique(
    ar: Any, return_index: bool = False, return_inverse: bool = False, return_counts: bool = False, axis: None = None, *, equal_nan: bool = True
) -> Any:
    """The gradient of a value goes to where it stands first. NaNs are one value, or each its own, as NumPy's `equal_nan` says."""
    if axis is not None:
        raise TypeError("np.unique on a Tensor takes no axis=: it has the unique elements, not slices")
    flat = xp.reshape(ar, (-1,))
    found = xp.unique_all(flat)
    first, inverse, counts = found.indices, xp.reshape(found.inverse_indices, xp.asarray(ar).shape), found.counts
    missing = xp.isnan(found.values) if is_floating(flat.dtype) else None
    if equal_nan and missing is not None and bool(xp.any(missing)):
        known = found.values.size - int(xp.count_nonzero(missing))
        first, inverse = first[: known + 1], xp.minimum(inverse, known)
        counts = xp.concat([counts[:known], xp.reshape(xp.sum(counts[known:]), (1,))])
    values = xp.take(flat, first, axis=0)
    parts = [part for part, wanted in ((first, return_index), (inverse, return_inverse), (counts, return_counts)) if wanted]
    return (values, *parts) if parts else values


@in_numpy("take")
def take(a: Any, indices: Any, axis: int | None = None, mode: str = "raise") -> Tensor:
    a = xp.asarray(a)
    a, axis = (xp.reshape(a, (-1,)), 0) if axis is None else (a, in_range(axis, a.ndim))
    indices = indices if isinstance(indices, Tensor) else xp.asarray(indices, device=a.device)
    n = a.shape[axis]
    if mode not in ("raise", "wrap", "clip"):
        raise ValueError(f"take: mode is 'raise', 'wrap' or 'clip', not {mode!r}")
    if mode != "raise":
        indices = indices % n if mode == "wrap" else xp.minimum(xp.maximum(indices, 0), n - 1)
    if indices.ndim == 0:
        return xp.squeeze(xp.take(a, xp.reshape(indices, (1,)), axis=axis), axis)
    return xp.take(a, indices, axis=axis)


@in_numpy("take_along_axis")
def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Tensor:
    arr, indices = together((arr, indices))
    arr, axis = _flat(arr, axis)
    return xp.take_along_axis(arr, indices, axis=axis)


@in_numpy("compress")
def compress(condition: Any, a: Any, axis: int | None = None) -> Tensor:
    """How many elements that takes depends on the values: not for use in a trace."""
    a = xp.asarray(a)
    a, axis = (xp.reshape(a, (-1,)), 0) if axis is None else (a, in_range(axis, a.ndim))
    return xp.take(a, xp.nonzero(xp.asarray(condition, device=a.device))[0], axis=axis)


@in_numpy("extract")
def extract(condition: Any, arr: Any) -> Tensor:
    return compress(xp.reshape(condition, (-1,)), arr)


@in_numpy("median")
def median(a: Any, axis: Any = None, overwrite_input: bool = False, keepdims: bool = False) -> Tensor:
    return quantile(a, 0.5, axis, keepdims=keepdims)


@in_numpy("percentile")
def percentile(a: Any, q: Any, axis: Any = None, overwrite_input: bool = False, method: str = "linear", keepdims: bool = False) -> Tensor:
    q = [v / 100 for v in q] if hasattr(q, "__len__") and len(getattr(q, "shape", (1,))) else q / 100
    return quantile(a, q, axis, overwrite_input, method, keepdims)


@in_numpy("quantile")
def quantile(a: Any, q: Any, axis: Any = None, overwrite_input: bool = False, method: str = "linear", keepdims: bool = False) -> Tensor:
    """`q` is a number, or a list or array of them, of one axis; the gradient goes to `a` alone."""
    a = xp.asarray(a)
    axes = normal_axes(tuple(axis) if isinstance(axis, list) else axis, a.ndim)
    kept = [i for i in range(a.ndim) if i not in axes]
    lengths = tuple(a.shape[i] for i in kept)
    rows = xp.sort(xp.reshape(xp.permute_dims(a, (*kept, *axes)), (*lengths, -1) if 0 not in lengths else (*lengths, 1)), axis=-1)
    rows = rows if is_floating(rows.dtype) or method in ("lower", "higher", "nearest") else xp.astype(rows, "float64")
    shape = tuple(1 if i in axes else n for i, n in enumerate(a.shape)) if keepdims else lengths
    one = not hasattr(q, "__len__") or getattr(q, "shape", (1,)) == ()
    found = [xp.reshape(_quantile(rows, float(v), method), shape) for v in ([q] if one else q)]
    return found[0] if one else xp.stack(found)


def _quantile(rows: Tensor, q: float, method: str) -> Tensor:
    """Of each sorted row, what stands at the part `q` of its way; NaN where there is one, which sorting puts last."""
    if not 0 <= q <= 1:
        raise ValueError(f"quantile: {q} is not between 0 and 1")
    n = rows.shape[-1]
    if n == 0:
        return xp.full(rows.shape[:-1], xp.nan, dtype=rows.dtype, device=rows.device)
    place = q * (n - 1)
    low = min(int(place), n - 1)
    high = min(low + 1, n - 1)
    parts = {"linear": place - low, "lower": 0.0, "higher": float(place > low), "midpoint": 0.5 * (place > low), "nearest": round(place) - low}
    if method not in parts:
        raise TypeError(f"np.quantile on a Tensor takes method={' or '.join(map(repr, parts))}, not {method!r}")
    part = parts[method]
    below, above = rows[..., low], rows[..., high]
    z = below if part == 0 else above if part == 1 else below + (above - below) * part
    return xp.where(xp.isnan(rows[..., -1]), rows[..., -1], z) if is_floating(rows.dtype) else z
