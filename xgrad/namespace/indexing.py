"""Gathering elements by index, and scattering them."""

from __future__ import annotations

from ..backends.types import ArrayLike, Index
from ..core.dispatch import index_operands
from ..core.tensor import Tensor
from ..errors import ShapeError
from ..ops import indexing as i
from ..ops.axes import normal_axes
from ..ops.correlating import SLIDE
from .calling import call
from .conversion import asarray, beside
from .creation import arange
from .manipulation import reshape
from .table import function


@function
def take(x: ArrayLike, indices: ArrayLike, /, *, axis: int | None = None) -> Tensor:
    """The slices of `x` along `axis` at `indices`.

    `indices` is an integer array of any shape, whose axes replace `axis` in the result.
    """
    x = asarray(x)
    indices = beside(indices, x)
    if indices.dtype.kind not in "iu":
        raise IndexError(
            f"take: indices must be integers, not {indices.dtype}; use x[mask] for a mask, and "
            f"xg.astype(indices, xg.int64) for rounded numbers"
        )
    if axis is None:
        if x.ndim != 1:
            raise ValueError(
                f"take: an array of shape {x.shape} needs axis=, or flatten it first with xg.reshape(x, "
                f"(-1,))"
            )
        axis = 0
    (axis,) = normal_axes(axis, x.ndim, "take")
    if indices.ndim == 1:
        return call(i.TAKE, (x, indices), {"axis": axis})
    flat = call(i.TAKE, (x, reshape(indices, (-1,))), {"axis": axis})
    return reshape(flat, (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))


@function
def take_along_axis(x: ArrayLike, indices: ArrayLike, /, *, axis: int = -1) -> Tensor:
    """The elements of `x` at `indices` along `axis`, as given by `argsort` or `argmax(keepdims=True)`.

    Along the other axes `x` and `indices` broadcast.

    >>> import xgrad as xg
    >>> xg.take_along_axis(xg.asarray([[1, 2], [3, 4]]), xg.asarray([[1], [0]]))
    tensor([[2],
            [3]])
    """
    x = asarray(x)
    indices = beside(indices, x)
    (axis,) = normal_axes(axis, x.ndim, "take_along_axis")
    if indices.dtype.kind not in "iu":
        raise IndexError(
            f"take_along_axis: indices must be integers, not {indices.dtype}; use x[mask] for a mask"
        )
    if indices.ndim != x.ndim:
        raise ShapeError(
            f"take_along_axis: x of shape {x.shape} and indices of shape {indices.shape} must have the same "
            f"number of axes"
        )
    own = [reshape(arange(n, device=x.device), (n, *(1,) * (x.ndim - a - 1))) for a, n in enumerate(x.shape)]
    z: Tensor = x[tuple(indices if a == axis else places for a, places in enumerate(own))]
    return z


def untake(values: ArrayLike, indices: ArrayLike, *, axis: int, shape: tuple[int, ...]) -> Tensor:
    """Add the slices of `values` along `axis` at `indices` to zeros of `shape`: the transpose of `take`."""
    return call(i.UNTAKE, (values, indices), {"axis": axis, "shape": shape})


def scatter(values: ArrayLike, *, key: Index, shape: tuple[int, ...]) -> Tensor:
    """Add `values` at `key` to zeros of `shape`: the transpose of `x[key]`."""
    values = asarray(values)
    pattern, arrays = index_operands(values, key)
    return call(i.SCATTER, (values, *arrays), {"key": pattern, "shape": shape})


def setitem(x: ArrayLike, v: ArrayLike, *, key: Index) -> Tensor:
    """Copy of `x` with `v` assigned at `key`."""
    x = asarray(x)
    pattern, arrays = index_operands(x, key)
    return call(i.SETITEM, (x, v, *arrays), {"key": pattern})


def slide(a: Tensor, v: Tensor, *, full: bool) -> Tensor:
    """Sliding dot product of `v` along `a`: the op of that name."""
    return call(SLIDE, (a, v), {"full": full})
