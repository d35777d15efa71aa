"""Sorting, searching, and taking what was found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...backends.dtypes import is_floating
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


@in_numpy("isin")
def isin(element: Any, test_elements: Any, assume_unique: bool = False, invert: bool = False, *, kind: str | None = None) -> Tensor:
    element, test = together((element, test_elements))
    found = xp.any(element[..., None] == xp.reshape(test, (-1,)), axis=-1)
    return ~found if invert else found


@in_numpy("digitize")
def digitize(x: Any, bins: Any, right: bool = False) -> Tensor:
    """Of bins that increase."""
    return searchsorted(bins, x, "left" if right else "right")


@in_numpy("delete")
def delete(arr: Any, obj: int | slice | Sequence[int], axis: int | None = None) -> Tensor:
    """`obj` is an index, a slice, or a list of indices."""
    arr = xp.asarray(arr)
    arr, axis = (xp.reshape(arr, (-1,)), 0) if axis is None else (arr, in_range(axis, arr.ndim))
    places = range(arr.shape[axis])
    gone = places[obj] if isinstance(obj, slice) else [places[int(i)] for i in ([obj] if isinstance(obj, int) else obj)]
    return xp.take(arr, xp.asarray([i for i in places if i not in gone], dtype="int64", device=arr.device), axis=axis)
