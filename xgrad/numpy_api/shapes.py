"""Joining, splitting and rearranging arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from operator import index
from typing import Any

from .. import namespace as xp
from ..backends.types import ArrayLike, DTypeLike, NestedArrayLike
from ..core.tensor import Tensor
from ..ops.axes import integers, is_integer, normal_axes
from .table import arrays, in_numpy

Ints = int | Sequence[int]


def _c_order(order: str | None, name: str) -> None:
    """Refuse element orders other than C order; the memory layout of a Tensor is unobservable."""
    if order not in ("C", None):
        raise TypeError(
            f"np.{name} on a Tensor supports only order='C', not {order!r}; transpose the Tensor first"
        )


@in_numpy("concatenate")
def concatenate(parts: Sequence[Any], /, axis: int | None = 0, *, dtype: DTypeLike | None = None) -> Tensor:
    z = xp.concat(arrays(parts), axis=axis)
    return z if dtype is None else xp.astype(z, dtype)


@in_numpy("stack")
def stack(parts: Sequence[Any], /, axis: int = 0, *, dtype: DTypeLike | None = None) -> Tensor:
    z = xp.stack(arrays(parts), axis=axis)
    return z if dtype is None else xp.astype(z, dtype)


@in_numpy("vstack", "row_stack")
def vstack(tup: Sequence[Any], *, dtype: DTypeLike | None = None) -> Tensor:
    return concatenate([atleast_2d(x) for x in arrays(tup)], 0, dtype=dtype)


@in_numpy("hstack")
def hstack(tup: Sequence[Any], *, dtype: DTypeLike | None = None) -> Tensor:
    parts = [atleast_1d(x) for x in arrays(tup)]
    return concatenate(parts, 0 if parts and parts[0].ndim == 1 else 1, dtype=dtype)


@in_numpy("dstack")
def dstack(tup: Sequence[Any]) -> Tensor:
    return concatenate([atleast_3d(x) for x in arrays(tup)], 2)


@in_numpy("column_stack")
def column_stack(tup: Sequence[Any]) -> Tensor:
    return concatenate([x if x.ndim > 1 else xp.reshape(x, (-1, 1)) for x in arrays(tup)], 1)


@in_numpy("append")
def append(arr: NestedArrayLike, values: NestedArrayLike, axis: int | None = None) -> Tensor:
    return concatenate((arr, values), axis)


@in_numpy("atleast_1d")
def atleast_1d(*arys: NestedArrayLike) -> Any:
    return _each(arys, lambda x: x if x.ndim else xp.reshape(x, (1,)))


@in_numpy("atleast_2d")
def atleast_2d(*arys: NestedArrayLike) -> Any:
    return _each(arys, lambda x: x if x.ndim > 1 else xp.reshape(x, (1, x.size)))


@in_numpy("atleast_3d")
def atleast_3d(*arys: NestedArrayLike) -> Any:
    return _each(
        arys, lambda x: x if x.ndim > 2 else x[:, :, None] if x.ndim == 2 else xp.reshape(x, (1, x.size, 1))
    )


def _each(given: tuple[Any, ...], f: Callable[[Any], Any]) -> Any:
    """Apply `f` to one array, or to each of several."""
    results = tuple(+f(x) for x in arrays(given))
    return results[0] if len(results) == 1 else results


@in_numpy("array_split")
def array_split(ary: NestedArrayLike, indices_or_sections: Ints, axis: int = 0) -> list[Tensor]:
    ary = xp.asarray(ary)
    axis = normal_axes(axis, ary.ndim, "np.split")[0]
    n = ary.shape[axis]
    if is_integer(indices_or_sections):
        parts = index(indices_or_sections)
        if parts <= 0:
            raise ValueError(f"np.array_split: the number of sections must be at least 1, not {parts}")
        stops = [(i * (n // parts) + min(i, n % parts)) for i in range(1, parts)]
    else:
        stops = list(integers(indices_or_sections, "np.split: indices"))
    before = (slice(None),) * axis
    bounds = (slice(a, b).indices(n) for a, b in zip([0, *stops], [*stops, n], strict=True))
    return [ary[(*before, slice(a, max(a, b)))] for a, b, _ in bounds]


@in_numpy("split")
def split(ary: NestedArrayLike, indices_or_sections: Ints, axis: int = 0) -> list[Tensor]:
    ary = xp.asarray(ary)
    n = ary.shape[normal_axes(axis, ary.ndim, "np.split")[0]]
    if is_integer(indices_or_sections) and n % index(indices_or_sections):
        raise ValueError(
            f"np.split: {n} elements do not divide into {indices_or_sections} equal sections; use "
            f"np.array_split"
        )
    return array_split(ary, indices_or_sections, axis)


@in_numpy("vsplit")
def vsplit(ary: NestedArrayLike, indices_or_sections: Ints) -> list[Tensor]:
    return split(_with_axes(ary, 2, "vsplit"), indices_or_sections, 0)


@in_numpy("hsplit")
def hsplit(ary: NestedArrayLike, indices_or_sections: Ints) -> list[Tensor]:
    ary = _with_axes(ary, 1, "hsplit")
    return split(ary, indices_or_sections, 0 if ary.ndim == 1 else 1)


@in_numpy("dsplit")
def dsplit(ary: NestedArrayLike, indices_or_sections: Ints) -> list[Tensor]:
    return split(_with_axes(ary, 3, "dsplit"), indices_or_sections, 2)


def _with_axes(ary: NestedArrayLike, n: int, name: str) -> Tensor:
    t: Tensor = xp.asarray(ary)
    if t.ndim < n:
        raise ValueError(f"np.{name} needs an array with at least {n} axes, not shape {t.shape}")
    return t


@in_numpy("reshape")
def reshape(a: ArrayLike, shape: Ints, order: str = "C", *, copy: bool | None = None) -> Tensor:
    _c_order(order, "reshape")
    return xp.reshape(a, shape, copy=copy)


@in_numpy("ravel")
def ravel(a: ArrayLike, order: str = "C") -> Tensor:
    _c_order(order, "ravel")
    return xp.reshape(a, (-1,))


@in_numpy("squeeze")
def squeeze(a: NestedArrayLike, axis: int | tuple[int, ...] | None = None) -> Tensor:
    a = xp.asarray(a)
    if axis is None or (a.ndim == 0 and axis in (0, -1)):
        return xp.reshape(a, tuple(n for n in a.shape if n != 1))
    return xp.squeeze(a, axis)


@in_numpy("expand_dims")
def expand_dims(a: NestedArrayLike, axis: int | tuple[int, ...]) -> Tensor:
    a = xp.asarray(a)
    ndim = a.ndim + len(integers(axis, "np.expand_dims: axis"))
    places = set(normal_axes(axis, ndim, "np.expand_dims"))
    if len(places) < ndim - a.ndim:
        raise ValueError(f"np.expand_dims: axis={axis} repeats an axis")
    lengths = iter(a.shape)
    return xp.reshape(a, tuple(1 if i in places else next(lengths) for i in range(ndim)))


@in_numpy("swapaxes")
def swapaxes(a: NestedArrayLike, axis1: int, axis2: int) -> Tensor:
    a = xp.asarray(a)
    order = list(range(a.ndim))
    i, j = normal_axes((axis1, axis2), a.ndim, "np.swapaxes")
    order[i], order[j] = j, i
    return xp.permute_dims(a, tuple(order))


@in_numpy("rollaxis")
def rollaxis(a: NestedArrayLike, axis: int, start: int = 0) -> Tensor:
    a = xp.asarray(a)
    axis = normal_axes(axis, a.ndim, "np.rollaxis")[0]
    start = normal_axes(start, a.ndim + (start >= 0), "np.rollaxis")[0]
    return xp.moveaxis(a, axis, start - 1 if axis < start else start)


@in_numpy("flipud")
def flipud(m: ArrayLike) -> Tensor:
    return xp.flip(m, axis=0)


@in_numpy("fliplr")
def fliplr(m: ArrayLike) -> Tensor:
    return xp.flip(m, axis=1)


@in_numpy("rot90")
def rot90(m: NestedArrayLike, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Tensor:
    m = xp.asarray(m)
    i, j = normal_axes(axes, m.ndim, "np.rot90")
    if i == j:
        raise ValueError(f"np.rot90: axes={axes} must be two different axes")
    turned = (
        +m,
        swapaxes(xp.flip(m, axis=j), i, j),
        xp.flip(m, axis=(i, j)),
        xp.flip(swapaxes(m, i, j), axis=j),
    )
    return turned[k % 4]


@in_numpy("copy")
def copy(a: NestedArrayLike, order: str = "K", subok: bool = False) -> Tensor:
    return xp.asarray(a, copy=True)


@in_numpy("resize")
def resize(a: ArrayLike, new_shape: Ints) -> Tensor:
    flat, shape = ravel(a), integers(new_shape, "np.resize: new_shape")
    n = prod(shape)
    if not flat.size:
        return xp.zeros(shape, dtype=flat.dtype, device=flat.device)
    return xp.reshape(xp.tile(flat, (-(-n // flat.size),))[:n], shape)


@in_numpy("block")
def block(nested: Any, /) -> Tensor:
    def depth(part: Any) -> int:
        return 1 + max(map(depth, part)) if isinstance(part, list) else 0

    def leaves(part: Any) -> list[Any]:
        return [leaf for inner in part for leaf in leaves(inner)] if isinstance(part, list) else [part]

    levels, tensors = depth(nested), arrays(leaves(nested))
    ndim, following = max([levels, *(x.ndim for x in tensors)]), iter(tensors)

    def joined(part: Any, level: int) -> Tensor:
        if isinstance(part, list):
            return concatenate([joined(inner, level + 1) for inner in part], ndim - levels + level)
        x = next(following)
        return xp.reshape(x, (1,) * (ndim - x.ndim) + x.shape)

    return +joined(nested, 0)
