"""Functions that rearrange elements without changing them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from math import prod
from operator import index
from typing import Any, cast

from ..backends.types import ArrayLike
from ..core.context import MODE, mode
from ..core.tensor import Tensor
from ..errors import ShapeError
from ..ops import shaping as s
from ..ops.axes import integers, is_integer, normal_axes
from ..ops.cumulative import part
from ..ops.indexing import REPEATED, TAKE
from .calling import call, with_values
from .conversion import asarray, astype, beside
from .table import function

Axes = int | tuple[int, ...]


@function
def reshape(x: ArrayLike, /, shape: int | Sequence[int], *, copy: bool | None = None) -> Tensor:
    """Reshape; one length may be -1.

    With `copy` True the result has its own memory; with False, ValueError is raised if the memory layout
    requires a copy.
    """
    shape = integers(shape, "reshape: shape")
    if copy is not None and MODE.get().trace is None:
        x = asarray(x, copy=True) if copy else _viewable(asarray(x), shape)
    return call(s.RESHAPE, (x,), {"shape": shape})


def _viewable(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    try:
        x.device.xp.reshape(x.data, shape, copy=False)
    except (ValueError, AttributeError) as error:
        raise ValueError(
            f"reshape(copy=False): this Tensor of shape {x.shape} cannot become {shape} without a copy, "
            f"because of its memory layout; leave copy out"
        ) from error
    return x


@function
def permute_dims(x: ArrayLike, /, axes: tuple[int, ...]) -> Tensor:
    """Permute the axes into the order `axes`."""
    return call(s.TRANSPOSE, (x,), {"axes": tuple(axes)})


@function
def transpose(x: ArrayLike, /, axes: tuple[int, ...] | None = None) -> Tensor:
    """Permute the axes, or reverse them if no order is given; NumPy's name for `permute_dims`."""
    return call(s.TRANSPOSE, (x,), {"axes": axes if axes is None else tuple(axes)})


@function
def moveaxis(x: ArrayLike, source: Axes, destination: Axes, /) -> Tensor:
    """Move the axes `source` to the positions `destination`; the others keep their order."""
    x = asarray(x)
    sources, places = normal_axes(source, x.ndim, "moveaxis"), normal_axes(destination, x.ndim, "moveaxis")
    if len(sources) != len(places) or len(set(sources)) < len(sources) or len(set(places)) < len(places):
        raise ValueError(
            f"moveaxis: source={source} and destination={destination} must have the same number of axes, and "
            f"name each axis once"
        )
    order = [a for a in range(x.ndim) if a not in sources]
    for place, axis in sorted(zip(places, sources)):
        order.insert(place, axis)
    return permute_dims(x, tuple(order))


@function
def broadcast_to(x: ArrayLike, /, shape: int | tuple[int, ...]) -> Tensor:
    """Broadcast to a shape: repeat along new axes and axes of length 1."""
    return call(s.BROADCAST_TO, (x,), {"shape": integers(shape, "broadcast_to: shape")})


@function
def broadcast_arrays(*arrays: ArrayLike) -> tuple[Tensor, ...]:
    """Broadcast arrays against each other to a common shape."""
    tensors = tuple(map(asarray, arrays))
    shape = s.broadcast_shapes(*(x.shape for x in tensors))
    return tuple(+x if x.shape == shape else broadcast_to(x, shape) for x in tensors)


@function
def expand_dims(x: ArrayLike, /, axis: int = 0) -> Tensor:
    """Insert a new axis of length 1 at position `axis`."""
    x = asarray(x)
    (axis,) = normal_axes(axis, x.ndim + 1, "expand_dims")
    return reshape(x, (*x.shape[:axis], 1, *x.shape[axis:]))


def _distinct(axis: Axes | None, ndim: int, function: str) -> tuple[int, ...]:
    """Normalise `axis` to a tuple of distinct axes from 0 to ndim - 1; None means all."""
    axes = normal_axes(axis, ndim, function)
    if len(set(axes)) < len(axes):
        raise ValueError(f"{function}: axis={axis} names an axis twice")
    return axes


@function
def squeeze(x: ArrayLike, /, axis: Axes) -> Tensor:
    """Remove axes of length 1.

    Raises ValueError if one is longer.
    """
    x = asarray(x)
    axes = _distinct(axis, x.ndim, "squeeze")
    if any(x.shape[a] != 1 for a in axes):
        raise ValueError(f"squeeze: axis={axis} must have length 1, but the array has shape {x.shape}")
    return reshape(x, tuple(n for a, n in enumerate(x.shape) if a not in axes))


@function
def concat(arrays: Sequence[Any], /, *, axis: int | None = 0) -> Tensor:
    """Concatenate arrays along `axis`, with dtype promotion; None flattens them first."""
    tensors = _alike(arrays, "concat")
    if axis is None:
        tensors, axis = tuple(reshape(x, (-1,)) for x in tensors), 0
    return call(s.CONCAT, tensors, {"axis": axis})


@function
def stack(arrays: Sequence[Any], /, *, axis: int = 0) -> Tensor:
    """Stack arrays of equal shape along a new axis, with dtype promotion."""
    return call(s.STACK, _alike(arrays, "stack"), {"axis": axis})


@function
def unstack(x: ArrayLike, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    """The slices of `x` along `axis`."""
    return cast(tuple[Tensor, ...], call(s.UNSTACK, (x,), {"axis": axis}))


def _alike(arrays: Sequence[Any], function: str) -> tuple[Any, ...]:
    if not hasattr(arrays, "__len__") or isinstance(arrays, dict | str):
        raise TypeError(
            f"{function} takes a list or tuple of arrays, not {type(arrays).__name__}; use "
            f"{function}(list(...))"
        )
    if not len(arrays):
        raise ValueError(f"{function} needs at least one array")
    return tuple(arrays)


@function
def flip(x: ArrayLike, /, *, axis: Axes | None = None) -> Tensor:
    """Reverse the elements along `axis`: an axis, a tuple of axes, or None for all."""
    x = asarray(x)
    axes = _distinct(axis, x.ndim, "flip")
    z: Tensor = x[tuple(slice(None, None, -1 if a in axes else None) for a in range(x.ndim))]
    return z


@function
def roll(x: ArrayLike, /, shift: Axes, *, axis: Axes | None = None) -> Tensor:
    """Shift elements cyclically by `shift` along `axis`.

    `axis` is an axis; a tuple of axes, with one shift for all or one for each; or None for the flattened
    array.

    >>> import xgrad as xg
    >>> xg.roll(xg.arange(4), 1)
    tensor([3, 0, 1, 2])
    """
    x = asarray(x)
    if axis is None:
        return reshape(roll(reshape(x, (-1,)), shift, axis=0), x.shape)
    axes = normal_axes(axis, x.ndim, "roll")
    shifts = integers(beside(shift, x) if isinstance(shift, Tensor) else shift, "roll: shift")
    shifts, axes = (
        shifts * len(axes) if len(shifts) == 1 else shifts,
        axes * len(shifts) if len(axes) == 1 else axes,
    )
    if len(shifts) != len(axes):
        raise ValueError(
            f"roll: {len(shifts)} shifts do not fit {len(axes)} axes; give one shift for each axis, or a "
            f"single shift"
        )
    z: Tensor = +x
    for places, a in zip(shifts, axes):
        n = x.shape[a]
        if n and places % n:
            z = concat([part(z, a, n - places % n, None), part(z, a, None, n - places % n)], axis=a)
    return z


@function
def repeat(x: ArrayLike, repeats: ArrayLike, /, *, axis: int | None = None) -> Tensor:
    """Repeat each element along `axis`, or of the flattened array if `axis` is None.

    `repeats` is one count, or an integer array with a count for each element. In a traced function it must be
    a list, whose values are known.

    >>> import xgrad as xg
    >>> xg.repeat(xg.arange(3), xg.asarray([2, 0, 1]))
    tensor([0, 0, 2])
    """
    x = asarray(x)
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    (axis,) = normal_axes(axis, x.ndim, "repeat")
    n, before, after = x.shape[axis], x.shape[:axis], x.shape[axis + 1 :]
    if is_integer(repeats) and not isinstance(repeats, Tensor):
        repeats = index(repeats)
        if repeats < 0:
            raise ValueError(f"repeat: repeats must be at least 0, not {repeats}")
        return reshape(
            broadcast_to(reshape(x, (*before, n, 1, *after)), (*before, n, repeats, *after)),
            (*before, n * repeats, *after),
        )
    known = isinstance(repeats, list | tuple) and all(
        is_integer(v) and not isinstance(v, Tensor) for v in repeats
    )
    with mode(trace=None) if known else nullcontext():
        places = _places(repeats, x, n)
    return call(TAKE, (x, places), {"axis": axis})


def _places(repeats: ArrayLike, x: Tensor, n: int) -> Tensor:
    """For each element of the result, its index among the `n` input elements."""
    counts = with_values(beside(repeats, x), "repeat")
    if counts.dtype.kind not in "biu":
        raise TypeError(
            f"repeat: repeats must be integers, not {counts.dtype}; use xg.astype(repeats, xg.int64)"
        )
    counts = astype(counts, "int64")
    if counts.shape not in ((), (1,), (n,)):
        raise ShapeError(
            f"repeat: repeats of shape {counts.shape} do not fit an axis of length {n}; give one count, or "
            f"one for each element"
        )
    return call(REPEATED, (broadcast_to(counts, (n,)),))


@function
def tile(x: ArrayLike, repetitions: tuple[int, ...], /) -> Tensor:
    """Tile copies of `x`: `repetitions` has the number for each axis, or for the last axes if it is shorter.

    >>> import xgrad as xg
    >>> xg.tile(xg.arange(2), (2, 2))
    tensor([[0, 1, 0, 1],
            [0, 1, 0, 1]])
    """
    x = asarray(x)
    times = integers(repetitions, "tile: repetitions")
    rank = max(x.ndim, len(times))
    times = (1,) * (rank - len(times)) + times
    shape = (1,) * (rank - x.ndim) + x.shape
    apart = reshape(x, tuple(m for n in shape for m in (1, n)))
    side_by_side = broadcast_to(apart, tuple(m for pair in zip(times, shape) for m in pair))
    return reshape(side_by_side, tuple(map(prod, zip(times, shape))))
