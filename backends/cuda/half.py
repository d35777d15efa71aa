"""bfloat16 on CUDA: each op computes in float32 and rounds its result, as `cpu/half.py` does for NumPy.

CuPy supports bfloat16 in arithmetic only, gives float32 with a Python number, and lacks `where`, sorting and
sums of products along an axis. So an array of bfloat16 is a `Half` here, a subclass of CuPy's array. Its
operators, and the functions of the namespace given one, compute in float32. For float16, CuPy does the same
by itself, except in decompositions and Fourier transforms.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from functools import cache, wraps
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..dtypes import bfloat16, is_bfloat16, result_type
from ..types import DType

if TYPE_CHECKING:
    from cupy import ndarray as Array


_FLOAT16, _FLOAT32 = np.dtype(np.float16), np.dtype(np.float32)

#: Functions that make an array of a given dtype, or from an object of any dtype.
_MAKERS = ("arange", "asarray", "astype", "empty", "eye", "from_dlpack", "full", "linspace", "ones", "zeros")

#: Functions that only move elements.
_MOVES = frozenset(
    (
        "argmax",
        "argmin",
        "broadcast_arrays",
        "broadcast_to",
        "concat",
        "copy",
        "count_nonzero",
        "diagonal",
        "empty_like",
        "expand_dims",
        "flip",
        "matrix_transpose",
        "moveaxis",
        "nonzero",
        "ones_like",
        "permute_dims",
        "ravel",
        "repeat",
        "reshape",
        "roll",
        "squeeze",
        "stack",
        "swapaxes",
        "take",
        "take_along_axis",
        "tile",
        "unstack",
        "zeros_like",
    )
)
_BINARY = (
    "add",
    "sub",
    "mul",
    "truediv",
    "floordiv",
    "mod",
    "pow",
    "matmul",
    "lt",
    "le",
    "gt",
    "ge",
    "eq",
    "ne",
)
_UNARY = ("neg", "pos", "abs")


@cache
def half_of(cupy: ModuleType) -> type:
    """Make the class of bfloat16 arrays."""
    members: dict[str, Any] = {"__module__": "cupy", "__doc__": "An array of bfloat16.", "__hash__": None}
    plain = cupy.ndarray

    def binary(function: Callable[..., Any], turned: bool) -> Any:
        def method(self: Array, other: Any) -> Any:
            if not isinstance(other, plain | int | float | complex | np.generic):
                return NotImplemented
            return computed(cupy, function, (other, self) if turned else (self, other), {})

        return method

    def in_place(function: Callable[..., Any]) -> Any:
        def method(self: Array, other: Any) -> Array:
            self[...] = function(self, other)
            return self

        return method

    for name in _BINARY:
        function = getattr(operator, f"__{name}__")
        members[f"__{name}__"] = binary(function, False)
        if name not in ("lt", "le", "gt", "ge", "eq", "ne"):
            members |= {f"__r{name}__": binary(function, True), f"__i{name}__": in_place(function)}
    for name in _UNARY:
        function = getattr(operator, f"__{name}__")
        members[f"__{name}__"] = lambda self, function=function: computed(cupy, function, (self,), {})
    for name in ("__getitem__", "astype", "copy", "view"):
        members[name] = _classing(cupy, getattr(plain, name))
    return type("Half", (plain,), members)


def _classing(cupy: ModuleType, method: Callable[..., Any]) -> Any:
    """Wrap a method so that its result has the class for its dtype."""

    @wraps(method)
    def called(self: Array, *args: Any, **kwargs: Any) -> Array:
        return classed(cupy, method(self, *args, **kwargs))

    return called


def classed(cupy: ModuleType, z: Any) -> Any:
    """Give an array, or those in a tuple or list, the class for its dtype."""
    if isinstance(z, tuple | list):
        parts = [classed(cupy, part) for part in z]
        return type(z)(*parts) if hasattr(z, "_fields") else type(z)(parts)
    if not isinstance(z, cupy.ndarray) or is_bfloat16(z.dtype) == (type(z) is not cupy.ndarray):
        return z
    return cupy.ndarray.view(z, z.dtype, half_of(cupy) if type(z) is cupy.ndarray else cupy.ndarray)


def computed(
    cupy: ModuleType, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Call `function` with half-precision arrays in float32; round to the operands' promoted dtype."""
    dtype = result_type(*(v.dtype for v in _arrays(cupy, (args, tuple(kwargs.values())))))
    wanted = kwargs.get("dtype")
    if wanted is not None:
        dtype = np.dtype(wanted)
        kwargs = kwargs | {"dtype": _FLOAT32 if dtype == _FLOAT16 or is_bfloat16(dtype) else dtype}
    z = function(*_raised(cupy, args, dtype), **{name: _raised(cupy, v, dtype) for name, v in kwargs.items()})
    return _lowered(cupy, z, dtype) if dtype == _FLOAT16 or is_bfloat16(dtype) else z


def _arrays(cupy: ModuleType, values: Any) -> Iterator[Any]:
    """The arrays in nested tuples and lists; a NumPy scalar is one."""
    for v in values:
        if isinstance(v, cupy.ndarray | np.generic):
            yield v
        elif isinstance(v, tuple | list):
            yield from _arrays(cupy, v)


def _raised(cupy: ModuleType, v: Any, dtype: DType) -> Any:
    """Convert half precision to float32; round a Python number to the dtype of the arrays."""
    if isinstance(v, cupy.ndarray):
        half = v.dtype == _FLOAT16 or is_bfloat16(v.dtype)
        return cupy.ndarray.view(v, v.dtype, cupy.ndarray).astype(_FLOAT32) if half else v
    if type(v) is float and is_bfloat16(dtype):
        return float(np.float32(v).astype(dtype))
    if isinstance(v, tuple | list):
        parts = [_raised(cupy, part, dtype) for part in v]
        return type(v)(*parts) if hasattr(v, "_fields") else type(v)(parts)
    return v


def _lowered(cupy: ModuleType, z: Any, dtype: DType) -> Any:
    """Round float32 arrays in a result to `dtype`."""
    if isinstance(z, tuple | list):
        parts = [_lowered(cupy, part, dtype) for part in z]
        return type(z)(*parts) if hasattr(z, "_fields") else type(z)(parts)
    return classed(cupy, z.astype(dtype)) if getattr(z, "dtype", None) == _FLOAT32 else z


def namespace(cupy: ModuleType, names: SimpleNamespace) -> SimpleNamespace:
    """Extend the functions of a namespace to bfloat16, and those of `linalg` and `fft` to float16."""
    half = half_of(cupy)

    def any_half(values: Any) -> bool:
        return any(type(v) is half or (type(v) in (tuple, list) and any_half(v)) for v in values)

    def any_narrow(values: Any) -> bool:
        return any(isinstance(v, cupy.ndarray) and (type(v) is half or v.dtype == _FLOAT16) for v in values)

    def taking(name: str, function: Callable[..., Any], wanted: Callable[[Any], bool]) -> Any:
        @wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            if not wanted(args):
                return function(*args, **kwargs)
            if name == "nextafter" and all(is_bfloat16(v.dtype) for v in args):
                return _next(cupy, *args)
            if (
                name in _MOVES
                and "dtype" not in kwargs
                and len({v.dtype for v in _arrays(cupy, args[:1])}) == 1
            ):
                return classed(cupy, function(*args, **kwargs))
            return computed(cupy, function, args, kwargs)

        return called

    def making(name: str, function: Callable[..., Any]) -> Any:
        @wraps(function)
        def made(*args: Any, dtype: Any = None, **kwargs: Any) -> Any:
            if name == "astype":
                return classed(
                    cupy, function(*args, **kwargs) if dtype is None else function(*args, dtype, **kwargs)
                )
            if dtype is not None and is_bfloat16(np.dtype(dtype)) and name in ("arange", "eye", "linspace"):
                return classed(cupy, function(*args, dtype=_FLOAT32, **kwargs).astype(bfloat16()))
            return classed(
                cupy, function(*args, **kwargs) if dtype is None else function(*args, dtype=dtype, **kwargs)
            )

        return made

    def of(namespace: ModuleType | SimpleNamespace, wanted: Callable[[Any], bool]) -> SimpleNamespace:
        found = {}
        for name, value in vars(namespace).items():
            if name in ("linalg", "fft") and not callable(value):
                found[name] = of(_public(value), any_narrow)
            elif name in _MAKERS and callable(value):
                found[name] = making(name, value)
            else:
                found[name] = (
                    taking(name, value, wanted) if callable(value) and not isinstance(value, type) else value
                )
        return SimpleNamespace(**found)

    return of(names, any_half)


def _next(cupy: ModuleType, x: Array, y: Array) -> Array:
    """The bfloat16 number after `x` towards `y`.

    The bit patterns are ordered like the magnitudes.
    """
    x, y = cupy.broadcast_arrays(*(cupy.ndarray.view(v, v.dtype, cupy.ndarray) for v in (x, y)))
    bits, wide_x, wide_y = x.view(np.int16), x.astype(_FLOAT32), y.astype(_FLOAT32)
    away = (wide_x < wide_y) == (wide_x > 0)
    least = cupy.where(wide_y > 0, np.int16(1), np.int16(-0x7FFF))
    moved = cupy.where(wide_x == 0, least, bits + cupy.where(away, np.int16(1), np.int16(-1)))
    found = cupy.where(wide_x == wide_y, y.view(np.int16), moved)
    return classed(cupy, cupy.where(cupy.isnan(wide_x + wide_y), np.int16(0x7FC0), found).view(x.dtype))


def _public(module: ModuleType) -> SimpleNamespace:
    return SimpleNamespace(
        **{name: getattr(module, name) for name in dir(module) if not name.startswith("_")}
    )
