"""Functions that move elements and change none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from ..ops import shaping as s
from ..ops.reductions import normal_axes
from ..tensors import Tensor
from .calling import call
from .creation import asarray
from .table import function


@function
def reshape(x: Any, /, shape: int | tuple[int, ...], *, copy: bool | None = None) -> Tensor:
    """The elements in another shape, in which one axis may be -1. `copy` is accepted; a Tensor never shows whether it shares memory."""
    return call(s.RESHAPE, (x,), {"shape": (shape,) if isinstance(shape, int) else tuple(shape)})


@function
def permute_dims(x: Any, /, axes: tuple[int, ...]) -> Tensor:
    """The axes in another order."""
    return call(s.TRANSPOSE, (x,), {"axes": tuple(axes)})


@function
def transpose(x: Any, /, axes: tuple[int, ...] | None = None) -> Tensor:
    """The axes in the order given, in reverse where none is; NumPy's name for `permute_dims`."""
    return call(s.TRANSPOSE, (x,), {"axes": axes if axes is None else tuple(axes)})


@function
def broadcast_to(x: Any, /, shape: tuple[int, ...]) -> Tensor:
    """`x` repeated along new axes and axes of length 1."""
    return call(s.BROADCAST_TO, (x,), {"shape": tuple(shape)})


@function
def broadcast_arrays(*arrays: Any) -> tuple[Tensor, ...]:
    """All of them in the shape that they broadcast to together."""
    tensors = tuple(map(asarray, arrays))
    shape = tensors[0].device.xp.broadcast_arrays(*(x.data for x in tensors))[0].shape if tensors else ()
    return tuple(x if x.shape == shape else broadcast_to(x, shape) for x in tensors)


@function
def expand_dims(x: Any, /, *, axis: int = 0) -> Tensor:
    """`x` with a new axis of length 1 before `axis`."""
    x = asarray(x)
    if not -x.ndim - 1 <= axis <= x.ndim:
        raise IndexError(f"expand_dims: axis {axis} of a result with {x.ndim + 1} axes")
    axis %= x.ndim + 1
    return reshape(x, (*x.shape[:axis], 1, *x.shape[axis:]))


@function
def squeeze(x: Any, /, axis: int | tuple[int, ...]) -> Tensor:
    """`x` without axes of length 1. Raises ValueError where one is longer."""
    x = asarray(x)
    axes = normal_axes(axis, x.ndim)
    if any(x.shape[a] != 1 for a in axes):
        raise ValueError(f"squeeze: axis {axis} of shape {x.shape} is not of length 1")
    return reshape(x, tuple(n for a, n in enumerate(x.shape) if a not in axes))


@function
def concat(arrays: Sequence[Any], /, *, axis: int | None = 0) -> Tensor:
    """Arrays one after the other along `axis`; flattened first where it is None."""
    tensors = _alike(arrays, "concat")
    if axis is None:
        tensors, axis = tuple(reshape(x, (-1,)) for x in tensors), 0
    return call(s.CONCAT, tensors, {"axis": axis})


@function
def stack(arrays: Sequence[Any], /, *, axis: int = 0) -> Tensor:
    """Arrays of one shape side by side along a new axis."""
    return call(s.STACK, _alike(arrays, "stack"), {"axis": axis})


@function
def unstack(x: Any, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    """The slices of `x` along `axis`."""
    return cast(tuple[Tensor, ...], call(s.UNSTACK, (x,), {"axis": axis}))


def _alike(arrays: Sequence[Any], function: str) -> tuple[Any, ...]:
    if not len(arrays):
        raise ValueError(f"{function} needs at least one array")
    return tuple(arrays)
