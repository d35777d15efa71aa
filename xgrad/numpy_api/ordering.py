"""Sorting, searching and selecting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import namespace as xp
from ..backends.dtypes import is_complex, is_floating
from ..backends.types import ArrayLike, NestedArrayLike
from ..core.context import MODE
from ..core.tensor import Tensor
from ..errors import ShapeError
from ..ops.axes import integers
from .table import along, arrays, in_numpy, together, weak


@in_numpy("sort")
def sort(
    a: ArrayLike, axis: int | None = -1, kind: str | None = None, *, stable: bool | None = None
) -> Tensor:
    """Stable, whatever `kind` says."""
    return xp.sort(xp.reshape(a, (-1,)) if axis is None else a, axis=-1 if axis is None else axis)


@in_numpy("argsort")
def argsort(
    a: NestedArrayLike, axis: int | None = -1, kind: str | None = None, *, stable: bool | None = None
) -> Tensor:
    """Stable, whatever `kind` says."""
    a, axis = along(a, axis, "argsort")
    return xp.argsort(a, axis=axis)


@in_numpy("partition")
def partition(
    a: ArrayLike, kth: int | Sequence[int], axis: int | None = -1, kind: str = "introselect"
) -> Tensor:
    """Sort completely, which is a partition at every position.

    The gradient goes to the original positions of the elements.
    """
    _within(a, kth, axis, "partition")
    return sort(a, axis)


@in_numpy("argpartition")
def argpartition(
    a: NestedArrayLike, kth: int | Sequence[int], axis: int | None = -1, kind: str = "introselect"
) -> Tensor:
    _within(a, kth, axis, "argpartition")
    return argsort(a, axis)


def _within(a: NestedArrayLike, kth: int | Sequence[int], axis: int | None, name: str) -> None:
    """Raise ValueError if `kth` is out of range."""
    a, axis = along(a, axis, name)
    for k in integers(kth, f"np.{name}: kth"):
        if not -a.shape[axis] <= k < max(a.shape[axis], 1):
            raise ValueError(f"np.{name}: kth={k} is out of range for an axis of length {a.shape[axis]}")


@in_numpy("searchsorted")
def searchsorted(
    a: NestedArrayLike, v: NestedArrayLike, side: str = "left", sorter: ArrayLike | None = None
) -> Tensor:
    a, v = arrays((a, v))
    dtype = xp.result_type(a.dtype, v.dtype)
    a, v = xp.astype(a, dtype), xp.astype(v, dtype)
    return xp.reshape(xp.searchsorted(a, xp.reshape(v, (-1,)), side=side, sorter=sorter), v.shape)


@in_numpy("flatnonzero")
def flatnonzero(a: ArrayLike) -> Tensor:
    return xp.nonzero(xp.reshape(a, (-1,)))[0]


@in_numpy("argwhere")
def argwhere(a: NestedArrayLike) -> Tensor:
    a = xp.asarray(a)
    if a.ndim == 0:
        return xp.zeros((int(bool(a != 0)), 0), dtype="int64", device=a.device)
    return xp.stack(xp.nonzero(a), axis=-1)


@in_numpy("unique")
def unique(
    ar: ArrayLike,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: None = None,
    *,
    equal_nan: bool = True,
) -> Any:
    """Unique values; the gradient goes to the first occurrence of each.

    NaNs count as one value or as distinct, according to `equal_nan`.
    """
    if axis is not None:
        raise TypeError("np.unique on a Tensor takes no axis=: it finds unique elements, not unique slices")
    flat = xp.reshape(ar, (-1,))
    found = xp.unique_all(flat)
    first, inverse, counts = (
        found.indices,
        xp.reshape(found.inverse_indices, xp.asarray(ar).shape),
        found.counts,
    )
    missing = xp.isnan(found.values) if is_floating(flat.dtype) else None
    if equal_nan and missing is not None and bool(xp.any(missing)):
        known = found.values.size - int(xp.count_nonzero(missing))
        first, inverse = first[: known + 1], xp.minimum(inverse, known)
        counts = xp.concat([counts[:known], xp.reshape(xp.sum(counts[known:]), (1,))])
    values = xp.take(flat, first, axis=0)
    parts = [
        part
        for part, wanted in ((first, return_index), (inverse, return_inverse), (counts, return_counts))
        if wanted
    ]
    return (values, *parts) if parts else values


def _within_mode(indices: Tensor, n: int, mode: str, name: str) -> Tensor:
    """Apply NumPy's `mode` to indices out of range of n elements."""
    if mode not in ("raise", "wrap", "clip"):
        raise ValueError(f"np.{name}: mode must be 'raise', 'wrap' or 'clip', not {mode!r}")
    if mode == "raise":
        return indices
    return indices % n if mode == "wrap" else xp.minimum(xp.maximum(indices, 0), n - 1)


@in_numpy("take")
def take(
    a: NestedArrayLike, indices: NestedArrayLike, axis: int | None = None, mode: str = "raise"
) -> Tensor:
    a, indices = arrays((a, indices))
    a, axis = along(a, axis, "take")
    n = a.shape[axis]
    indices = _within_mode(indices, n, mode, "take")
    if indices.ndim == 0:
        return xp.squeeze(xp.take(a, xp.reshape(indices, (1,)), axis=axis), axis)
    return xp.take(a, indices, axis=axis)


@in_numpy("take_along_axis")
def take_along_axis(arr: NestedArrayLike, indices: NestedArrayLike, axis: int | None = -1) -> Tensor:
    arr, indices = arrays((arr, indices))
    arr, axis = along(arr, axis, "take_along_axis")
    return xp.take_along_axis(arr, indices, axis=axis)


@in_numpy("compress")
def compress(condition: NestedArrayLike, a: NestedArrayLike, axis: int | None = None) -> Tensor:
    """Select slices by a mask; the shape depends on values, so it cannot be traced."""
    a, condition = arrays((a, condition))
    a, axis = along(a, axis, "compress")
    if condition.ndim != 1:
        raise ShapeError(f"np.compress takes a condition with one axis, not shape {condition.shape}")
    return xp.take(a, xp.nonzero(condition)[0], axis=axis)


@in_numpy("extract")
def extract(condition: NestedArrayLike, arr: NestedArrayLike) -> Tensor:
    arr, condition = arrays((arr, condition))
    return compress(xp.reshape(condition, (-1,)), arr)


@in_numpy("isin")
def isin(
    element: NestedArrayLike,
    test_elements: NestedArrayLike,
    assume_unique: bool = False,
    invert: bool = False,
    *,
    kind: str | None = None,
) -> Tensor:
    """Membership, by binary search in the sorted `test_elements`; `kind` is ignored."""
    element, test = arrays((element, test_elements))
    test, flat = xp.reshape(test, (-1,)), xp.reshape(element, (-1,))
    if is_complex(element.dtype) or is_complex(test.dtype):  # complex numbers are not ordered
        found = xp.any(flat[:, None] == test, axis=-1)
    elif not test.size:
        found = xp.zeros_like(flat, dtype="bool")
    else:
        dtype = xp.result_type(element.dtype, test.dtype, 0)  # booleans as numbers
        test, flat = xp.sort(xp.astype(test, dtype)), xp.astype(flat, dtype)
        found = xp.take(test, xp.minimum(xp.searchsorted(test, flat), test.size - 1), axis=0) == flat
    return xp.reshape(~found if invert else found, element.shape)


@in_numpy("digitize")
def digitize(x: NestedArrayLike, bins: NestedArrayLike, right: bool = False) -> Tensor:
    """Indices of the bins of `x`.

    Raises ValueError for bins that are not monotonic; in a trace this cannot be checked.
    """
    bins, x = arrays((bins, x))
    if is_complex(x.dtype):
        raise TypeError(f"np.digitize takes real numbers, not {x.dtype}")
    if MODE.get().trace is None:
        steps = bins[1:] >= bins[:-1], bins[1:] <= bins[:-1]
        if not any(bool(xp.all(step)) for step in steps):
            raise ValueError("np.digitize: bins must increase or decrease")
    side = "left" if right else "right"
    z = searchsorted(bins, x, side)
    return (
        z
        if bins.size < 2
        else xp.where(bins[0] > bins[-1], bins.size - searchsorted(xp.flip(bins), x, side), z)
    )


@in_numpy("delete")
def delete(arr: NestedArrayLike, obj: NestedArrayLike, axis: int | None = None) -> Tensor:
    """Delete slices; `obj` is an index, a slice, a list of indices, or a mask."""
    arr, axis = along(arr, axis, "delete")
    n = arr.shape[axis]
    gone = (
        set(range(n)[obj]) if isinstance(obj, slice) else set(_places(arrays((arr, obj))[1], n, n, "delete"))
    )
    return xp.take(
        arr, xp.asarray([i for i in range(n) if i not in gone], dtype="int64", device=arr.device), axis=axis
    )


def _places(obj: Tensor, n: int, end: int, name: str) -> list[int]:
    """Positions selected by an index, a list or a mask: of n elements, valid from -n to end - 1."""
    given = obj.numpy().ravel().tolist()
    if given and obj.dtype.kind not in "biu":
        raise IndexError(f"np.{name} takes integers, slices and masks as indices, not {obj.dtype}")
    if given and obj.dtype.kind == "b":
        if len(given) != n:
            raise ValueError(f"np.{name}: a mask of length {len(given)} does not fit an axis of length {n}")
        return [i for i, chosen in enumerate(given) if chosen]
    for i in given:
        if not -n <= i < end:
            raise IndexError(f"np.{name}: index {i} is out of range for an axis of length {n}")
    return [i + n if i < 0 else i for i in given]


@in_numpy("insert")
def insert(
    arr: NestedArrayLike, obj: NestedArrayLike, values: NestedArrayLike, axis: int | None = None
) -> Tensor:
    """Insert values before the elements at `obj`, one index or several."""
    arr, axis = along(arr, axis, "insert")
    n = arr.shape[axis]
    if isinstance(obj, slice):
        obj = list(range(n)[obj])
    obj = arrays((arr, obj))[1]
    places = _places(obj, n, n + 1, "insert")
    values = xp.astype(arrays((arr, values))[1], arr.dtype)
    values = xp.reshape(values, (1,) * (arr.ndim - values.ndim) + values.shape)
    if obj.ndim == 0:
        values = xp.moveaxis(values, 0, axis)
    if len(places) == 1:
        places *= values.shape[axis]
    new = xp.broadcast_to(values, (*arr.shape[:axis], len(places), *arr.shape[axis + 1 :]))
    order = sorted([(place, 0, n + k) for k, place in enumerate(places)] + [(i, 1, i) for i in range(n)])
    return xp.take(
        xp.concat([arr, new], axis=axis),
        xp.asarray([i for _, _, i in order], dtype="int64", device=arr.device),
        axis=axis,
    )


@in_numpy("lexsort")
def lexsort(keys: Sequence[NestedArrayLike], axis: int = -1) -> Tensor:
    """Indices that sort by the last key, ties by the one before it, and so on."""
    tensors = arrays(tuple(keys))
    order = xp.argsort(tensors[0], axis=axis)
    for key in tensors[1:]:
        order = xp.take_along_axis(
            order, xp.argsort(xp.take_along_axis(key, order, axis=axis), axis=axis), axis=axis
        )
    return order


@in_numpy("choose")
def choose(a: NestedArrayLike, choices: Sequence[Any], mode: str = "raise") -> Tensor:
    """At each position, the element of the choice selected by `a`."""
    *choices, a = weak((*choices, a))
    a = arrays((*choices, a))[-1]
    a = xp.astype(a, "int64") if a.dtype.kind == "b" else a
    choices = together(choices) if any(isinstance(v, Tensor) for v in choices) else arrays((a, *choices))[1:]
    stacked = xp.stack(xp.broadcast_arrays(a, *choices)[1:])
    a = xp.broadcast_to(a, stacked.shape[1:])
    return xp.take_along_axis(stacked, _within_mode(a, len(stacked), mode, "choose")[None], axis=0)[0]
