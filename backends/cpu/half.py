"""Half precision on the CPU: ops on float16 and bfloat16 compute in float32 and round each result.

NumPy's float16 loops are slow, and accumulate in float16 when they sum over an outer axis. It has none for
bfloat16; ml_dtypes has some, with its own promotion. So an array of these dtypes is a `Half` here, to which
NumPy dispatches by its protocols. Arrays of other dtypes are plain arrays, without overhead.

Overflow, and the resulting NaN, gives no warning: with loss scaling, both are part of the search for the
scale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..dlpack import capsule_of, from_dlpack
from ..dtypes import is_bfloat16, is_half, kind_of, result_type
from ..types import DType, DTypeLike, HostArray

_FLOAT32 = np.dtype(np.float32)


__all__ = ["Half", "astype", "classed", "is_half", "namespace", "rounded"]


class Half(np.ndarray):
    """An array of float16 or bfloat16."""

    def __array_ufunc__(self, ufunc: Callable[..., Any], method: str, *inputs: Any, **kwargs: Any) -> Any:
        if ufunc in _NEIGHBOURS:
            dtype = result_type(*(v.dtype for v in _arrays(inputs)))
            return classed(ufunc(*(np.asarray(v, dtype) for v in inputs), **kwargs))
        return _computed(
            getattr(ufunc, method),
            inputs,
            kwargs,
            of=inputs if method in ("__call__", "outer") else inputs[:1],
        )

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        if function in _MOVES and "dtype" not in kwargs and len({v.dtype for v in _arrays(args[:1])}) == 1:
            return _classed(super().__array_function__(function, types, args, kwargs))
        return _computed(function, args, kwargs, of=(args, tuple(kwargs.values())))

    def __repr__(self) -> str:
        return repr(self.view(np.ndarray))

    def __dlpack__(self, **options: Any) -> Any:
        return (
            capsule_of(self, **options)
            if is_bfloat16(self.dtype)
            else self.view(np.ndarray).__dlpack__(**options)
        )


#: Functions on neighbouring numbers, which differ in float32.
_NEIGHBOURS = (np.nextafter, np.spacing)

#: Functions that only move elements: they run on the arrays directly, and return views where NumPy does.
_MOVES = {
    np.argmax,
    np.argmin,
    np.argsort,
    np.array_equal,
    np.atleast_1d,
    np.atleast_2d,
    np.broadcast_arrays,
    np.broadcast_to,
    np.concatenate,
    np.copy,
    np.count_nonzero,
    np.diagonal,
    np.empty_like,
    np.expand_dims,
    np.flip,
    np.linalg.diagonal,
    np.linalg.matrix_transpose,
    np.may_share_memory,
    np.matrix_transpose,
    np.moveaxis,
    np.nonzero,
    np.ones_like,
    np.ravel,
    np.real,
    np.repeat,
    np.reshape,
    np.roll,
    np.shape,
    np.shares_memory,
    np.sort,
    np.split,
    np.squeeze,
    np.stack,
    np.swapaxes,
    np.take,
    np.take_along_axis,
    np.tile,
    np.transpose,
    np.tril,
    np.triu,
    np.unstack,
    np.zeros_like,
}


def rounded(x: HostArray | float, dtype: DType) -> Half:
    """Round to the nearest float16 or bfloat16; overflow gives infinity."""
    with np.errstate(over="ignore"):
        return np.asarray(x).astype(dtype).view(Half)


def _computed(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], of: tuple[Any, ...]
) -> Any:
    """Call `function` on the arrays in float32; round to the operands' promoted dtype."""
    dtype = result_type(*(v.dtype for v in _arrays(of)))
    wanted, out = kwargs.get("dtype"), kwargs.get("out")
    options = dict(kwargs)
    if wanted is not None:
        dtype = np.dtype(wanted)
        options["dtype"] = _FLOAT32 if is_half(dtype) else dtype
    options.pop("out", None)
    targets = out if isinstance(out, tuple) else (out,)
    casting = options.pop("casting", "same_kind")
    raised = _raised(args, dtype)
    if out is not None and "where" in options:
        options["out"] = tuple(
            None if t is None else np.array(t, _FLOAT32 if is_half(t.dtype) else t.dtype) for t in targets
        )
    with np.errstate(over="ignore", invalid="ignore"):
        z = function(*raised, **{name: _raised(v, dtype) for name, v in options.items()})
    if z is None:  # `at`, and functions that write to their first argument
        if isinstance(args[0], Half):
            args[0][...] = rounded(raised[0], args[0].dtype)
        return None
    z = _lowered(z, dtype) if is_half(dtype) else z
    if out is None:
        return z
    for target, part in zip(targets, z if isinstance(z, tuple) else (z,)):
        if target is not None:
            if casting != "unsafe" and not (
                kind_of(part.dtype) == kind_of(target.dtype) or np.can_cast(part.dtype, target.dtype, casting)
            ):
                raise TypeError(
                    f"cannot cast the result from {part.dtype} to {target.dtype} with casting rule "
                    f"{casting!r}"
                )
            target[...] = rounded(part, target.dtype) if is_half(target.dtype) else np.asarray(part)
    return targets[0] if len(targets) == 1 else targets


def _arrays(values: Iterable[Any]) -> Iterator[Any]:
    """The arrays in nested tuples and lists; a NumPy scalar is one."""
    for v in values:
        if isinstance(v, np.ndarray | np.generic):
            yield v
        elif isinstance(v, tuple | list):
            yield from _arrays(v)


def _raised(v: Any, dtype: DType) -> Any:
    """Convert half precision to float32.

    As in NumPy, a Python number is rounded to the dtype of the arrays.
    """
    if isinstance(v, np.ndarray | np.generic):
        return np.asarray(v).astype(_FLOAT32) if is_half(v.dtype) else np.asarray(v) if type(v) is Half else v
    if type(v) is float and is_half(dtype):
        return float(rounded(v, dtype))
    if isinstance(v, tuple) and hasattr(v, "_fields"):
        return type(v)(*(_raised(part, dtype) for part in v))
    return type(v)(_raised(part, dtype) for part in v) if type(v) in (tuple, list) else v


def _lowered(z: Any, dtype: DType) -> Any:
    """Round float32 arrays in a result to `dtype`."""
    if isinstance(z, tuple | list):
        parts = [_lowered(part, dtype) for part in z]
        return type(z)(*parts) if hasattr(z, "_fields") else type(z)(parts)
    return rounded(z, dtype) if getattr(z, "dtype", None) == _FLOAT32 else z


def classed(z: HostArray) -> HostArray:
    """Give an array the class for its dtype: `Half`, or a plain array."""
    if type(z) is Half:
        return z if is_half(z.dtype) else z.view(np.ndarray)
    return np.asarray(z).view(Half) if is_half(z.dtype) else z


def _classed(z: Any) -> Any:
    return type(z)(map(classed, z)) if type(z) in (tuple, list) else classed(z) if hasattr(z, "dtype") else z


#: Functions that make an array of a given dtype, or from an object of any dtype.
_MAKERS = ("arange", "asarray", "empty", "eye", "full", "linspace", "ones", "zeros")


def namespace() -> SimpleNamespace:
    """NumPy's namespace, with `Half` for half-precision arrays."""
    names = {name: getattr(np, name) for name in dir(np) if not name.startswith("_")}
    return SimpleNamespace(
        **{
            **names,
            **{name: _making(names[name]) for name in _MAKERS},
            "astype": astype,
            "from_dlpack": _making(from_dlpack),
        }
    )


def _making(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def made(*args: Any, **kwargs: Any) -> Any:
        return classed(function(*args, **kwargs))

    return made


def astype(x: HostArray, dtype: DTypeLike, /, *, copy: bool = True, device: str | None = None) -> HostArray:
    """NumPy's `astype`, but overflow in float16 gives infinity without a warning."""
    target = np.dtype(dtype)
    if is_half(target) and x.dtype != target:
        return rounded(x, target)
    return classed(np.astype(np.asarray(x), target, copy=copy))
