"""Taking elements by index, and putting them back."""

from __future__ import annotations

from typing import Any

from ..ops import indexing as i
from ..tensors import Tensor, index_operands
from .calling import call
from .creation import asarray
from .manipulation import reshape
from .table import function


@function
def take(x: Any, indices: Any, /, *, axis: int | None = None) -> Tensor:
    """The slices of `x` along `axis` at `indices`, an integer array of any shape, which takes the place of that axis."""
    x, indices = asarray(x), asarray(indices)
    if axis is None:
        if x.ndim != 1:
            raise ValueError(f"take from an array of {x.ndim} axes needs axis=")
        axis = 0
    if not -x.ndim <= axis < x.ndim:
        raise IndexError(f"take: axis {axis} of an array with {x.ndim} axes")
    axis %= x.ndim
    if indices.ndim == 1:
        return call(i.TAKE, (x, indices), {"axis": axis})
    flat = call(i.TAKE, (x, reshape(indices, (-1,))), {"axis": axis})
    return reshape(flat, (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))


def untake(values: Any, indices: Any, *, axis: int, shape: tuple[int, ...]) -> Tensor:
    """Zeros of a shape with the slices of `values` along `axis` added at `indices`: the transpose of `take`."""
    return call(i.UNTAKE, (values, indices), {"axis": axis, "shape": shape})


def scatter(values: Any, *, key: Any, shape: tuple[int, ...]) -> Tensor:
    """Zeros of a shape with `values` added at `key`: the transpose of `x[key]`."""
    values = asarray(values)
    pattern, arrays = index_operands(values, key)
    return call(i.SCATTER, (values, *arrays), {"key": pattern, "shape": shape})


def setitem(x: Any, v: Any, *, key: Any) -> Tensor:
    """`x` with `v` at `key`, as a new Tensor."""
    x = asarray(x)
    pattern, arrays = index_operands(x, key)
    return call(i.SETITEM, (x, v, *arrays), {"key": pattern})
