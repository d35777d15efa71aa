"""Array creation, and queries about arrays."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from operator import index
from typing import Any

from .. import namespace as xp
from ..backends.dtypes import is_complex, is_floating
from ..backends.types import ArrayLike, DTypeLike, NestedArrayLike
from ..core.tensor import Tensor
from ..namespace.conversion import Place
from ..ops.axes import Axis, integers, normal_axes
from .shapes import Ints
from .table import arrays, in_numpy, together, weak


@in_numpy("zeros_like")
def zeros_like(
    a: NestedArrayLike,
    dtype: DTypeLike | None = None,
    order: str = "K",
    subok: bool = True,
    shape: Ints | None = None,
    *,
    device: Place = None,
) -> Tensor:
    return _like(0, a, dtype, shape, device)


@in_numpy("empty_like")
def empty_like(
    prototype: NestedArrayLike,
    dtype: DTypeLike | None = None,
    order: str = "K",
    subok: bool = True,
    shape: Ints | None = None,
    *,
    device: Place = None,
) -> Tensor:
    return _like(0, prototype, dtype, shape, device)


@in_numpy("ones_like")
def ones_like(
    a: NestedArrayLike,
    dtype: DTypeLike | None = None,
    order: str = "K",
    subok: bool = True,
    shape: Ints | None = None,
    *,
    device: Place = None,
) -> Tensor:
    return _like(1, a, dtype, shape, device)


@in_numpy("full_like")
def full_like(
    a: NestedArrayLike,
    fill_value: NestedArrayLike,
    dtype: DTypeLike | None = None,
    order: str = "K",
    subok: bool = True,
    shape: Ints | None = None,
    *,
    device: Place = None,
) -> Tensor:
    """Filled array like `a`; the gradient goes to `fill_value` if it is a Tensor."""
    if isinstance(fill_value, bool | int | float | complex):
        return _like(fill_value, a, dtype, shape, device)
    a, fill_value = together((a, fill_value))
    return xp.broadcast_to(xp.astype(fill_value, dtype or a.dtype), _shape(a, shape))


def _like(
    value: complex, a: NestedArrayLike, dtype: DTypeLike | None, shape: Ints | None, device: Place
) -> Tensor:
    """Filled array like `a`; there is no `order`, as memory layout is unobservable."""
    a = xp.asarray(a)
    return xp.full(_shape(a, shape), value, dtype=dtype or a.dtype, device=device or a.device)


def _shape(a: Tensor, shape: Ints | None) -> tuple[int, ...]:
    return a.shape if shape is None else integers(shape, "shape")


@in_numpy("linspace")
def linspace(
    start: NestedArrayLike,
    stop: NestedArrayLike,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: DTypeLike | None = None,
    axis: int = 0,
) -> Any:
    """Evenly spaced values; the gradient goes to both ends."""
    start, stop = together((start, stop))
    ends = xp.result_type(start.dtype, stop.dtype, 1.0)
    start, stop = xp.astype(start, ends), xp.astype(stop, ends)
    z = xp.moveaxis(xp.linspace(start, stop, index(num), endpoint=endpoint), 0, axis)
    z = xp.astype(z if dtype is None or is_floating(dtype) else xp.floor(z), ends if dtype is None else dtype)
    return (z, (stop - start) / max(num - 1 if endpoint else num, 1)) if retstep else z


@in_numpy("logspace")
def logspace(
    start: NestedArrayLike,
    stop: NestedArrayLike,
    num: int = 50,
    endpoint: bool = True,
    base: ArrayLike = 10.0,
    dtype: DTypeLike | None = None,
    axis: int = 0,
) -> Tensor:
    """Logarithmically spaced values; the gradient goes to both ends and to `base`."""
    start, stop, base = weak((start, stop, base))
    z = xp.pow(base, linspace(start, stop, num, endpoint, axis=axis))
    return z if dtype is None else xp.astype(z, dtype)


@in_numpy("geomspace")
def geomspace(
    start: NestedArrayLike,
    stop: NestedArrayLike,
    num: int = 50,
    endpoint: bool = True,
    dtype: DTypeLike | None = None,
    axis: int = 0,
) -> Tensor:
    """Geometrically spaced values between real numbers; NaN if their signs differ.

    The gradient goes to both ends.
    """
    start, stop = (xp.astype(v, xp.result_type(v.dtype, "float64")) for v in arrays((start, stop)))
    if is_complex(start.dtype) or is_complex(stop.dtype):
        raise TypeError(f"np.geomspace on a Tensor takes real numbers, not {start.dtype} and {stop.dtype}")
    sign = xp.sign(start)
    z = sign * xp.exp(linspace(xp.log(sign * start), xp.log(sign * stop), num, endpoint))
    if num > 1:  # the ends exactly as given, without NaN
        first, last = (xp.broadcast_to(v, z.shape[1:])[None] for v in (start, stop))
        z = xp.concat([first, z[1:-1], last] if endpoint else [first, z[1:]])
    z = xp.moveaxis(z, 0, axis)
    return z if dtype is None else xp.astype(z, dtype)


@in_numpy("vander")
def vander(x: NestedArrayLike, N: int | None = None, increasing: bool = False) -> Tensor:
    x = xp.asarray(x)
    n = x.shape[0] if N is None else N
    powers = xp.arange(n, device=x.device) if increasing else xp.arange(n - 1, -1, -1, device=x.device)
    return xp.astype(x, xp.result_type(x.dtype, "int64"))[:, None] ** powers


@in_numpy("shape")
def shape(a: Tensor) -> tuple[int, ...]:
    return a.shape


@in_numpy("ndim")
def ndim(a: Tensor) -> int:
    return a.ndim


@in_numpy("size")
def size(a: Tensor, axis: Axis = None) -> int:
    return prod(a.shape[i] for i in normal_axes(axis, a.ndim, "np.size"))


@in_numpy("iscomplexobj")
def iscomplexobj(x: Tensor) -> bool:
    return is_complex(x.dtype)


@in_numpy("isrealobj")
def isrealobj(x: Tensor) -> bool:
    return not is_complex(x.dtype)


@in_numpy("may_share_memory", "shares_memory")
def shares_memory(a: NestedArrayLike, b: NestedArrayLike, max_work: int | None = None) -> bool:
    """False for Tensors: values are never changed in place, so sharing memory is unobservable."""
    return False


@in_numpy("array_repr")
def array_repr(arr: Tensor) -> str:
    return repr(arr)


@in_numpy("apply_along_axis")
def apply_along_axis(
    func1d: Callable[..., Any], axis: int, arr: ArrayLike, *args: Any, **kwargs: Any
) -> Tensor:
    """Call `func1d` for each row along `axis`.

    This is slow; prefer a function that takes an axis.
    """
    arr = xp.moveaxis(arr, axis, -1)
    rows = [func1d(row, *args, **kwargs) for row in xp.reshape(arr, (-1, arr.shape[-1]))]
    z = xp.stack(arrays(rows))
    z = xp.reshape(z, (*arr.shape[:-1], *z.shape[1:]))
    return xp.moveaxis(
        z,
        tuple(range(arr.ndim - 1, z.ndim)),
        tuple(range(axis % arr.ndim, axis % arr.ndim + z.ndim - arr.ndim + 1)),
    )
