"""Sums at places of a Tensor, where an index may occur several times."""

from __future__ import annotations

from typing import Any

from ..backends.dtypes import is_floating
from ..backends.types import ArrayLike, Index
from ..core.dispatch import index_operands
from ..core.tensor import Tensor
from ..errors import ShapeError
from ..ops import indexing as i
from ..ops.shaping import broadcast_shapes
from .calling import call
from .conversion import asarray
from .gates import where
from .manipulation import broadcast_to


def add_at(x: ArrayLike, values: ArrayLike, *, key: Index, subtract: bool = False) -> Tensor:
    """Copy of `x` with `values` added at `key`, or subtracted, as often as an index occurs."""
    x = asarray(x)
    if x.dtype.kind == "b":
        raise TypeError("at[...].add adds numbers, but this Tensor has dtype bool: use set")
    values = x._assignable(values).astype(x.dtype, copy=False)
    pattern, arrays = index_operands(x, key)
    masks = [a for a in arrays if a.dtype.kind == "b"]
    if masks and masks[0].shape == x.shape and values.ndim == 0:
        return where(masks[0], x - values if subtract else x + values, x)
    # how many elements a mask selects depends on its values
    shape = Tensor(x.data, x.device)[key].shape if masks else _selected(x.shape, pattern, arrays)
    if not _fits(values.shape, shape):
        raise ShapeError(
            f"values of shape {values.shape} do not broadcast to {shape}, the shape of the part of the "
            f"Tensor that they are added to"
        )
    # x - 0 is x, while -0.0 + 0 is not -0.0
    subtracted = subtract or is_floating(x.dtype)
    values = broadcast_to(-values if subtracted and not subtract else values, shape)
    sums = call(i.SCATTER, (values, *arrays), {"key": pattern, "shape": x.shape})
    return x - sums if subtracted else x + sums


def _fits(values: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    try:
        return broadcast_shapes(values, shape) == shape
    except ShapeError:
        return False


def _selected(shape: tuple[int, ...], pattern: Any, arrays: list[Tensor]) -> tuple[int, ...]:
    """The shape of x[key], for an x of this shape and a key without masks."""
    key = i.fill(pattern, tuple(arrays)) if arrays else pattern
    key = key if isinstance(key, tuple) else (key,)
    left = len(shape) - sum(k is not None and k is not ... for k in key)
    if left < 0:
        raise IndexError(f"too many indices: {len(shape) - left} for a Tensor of shape {shape}")
    found: list[int] = []  # the lengths of slices and new axes
    indices: list[tuple[int, int]] = []  # for each index: its place in the key, and in `found`
    axis = 0
    for place, k in enumerate(key):
        if k is None:
            found.append(1)
        elif k is ...:
            found += shape[axis : axis + left]
            axis += left
        elif isinstance(k, slice):
            found.append(len(range(*k.indices(shape[axis]))))
            axis += 1
        else:
            if isinstance(k, int) and not -shape[axis] <= k < shape[axis]:
                raise IndexError(f"index {k} is out of bounds for axis {axis} with length {shape[axis]}")
            indices.append((place, len(found)))
            axis += 1
    if not arrays:
        return tuple(found)
    # as in NumPy: the axes of index arrays replace these where they are side by side, else they come first
    (first, at), (last, _) = indices[0], indices[-1]
    at = at if last - first == len(indices) - 1 else 0
    return (*found[:at], *broadcast_shapes(*(a.shape for a in arrays)), *found[at:])
