"""Creation of arrays: of a number, of evenly spaced values, of grid coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

from ..backends import current_device, find_device
from ..backends.dtypes import canonical, is_complex, is_floating
from ..backends.types import ArrayLike, DTypeLike
from ..core.context import MODE
from ..core.dispatch import NUMBERS
from ..core.memory import out_of_memory
from ..core.tensor import Tensor
from ..errors import ShapeError
from ..ops.axes import integers, is_integer
from ..ops.shaping import BROADCAST_TO, NEW, RESHAPE
from .calling import call
from .conversion import Place, asarray, astype, beside, shortened
from .table import function

Shape = int | Sequence[int]


def new(function: str, *args: Any, dtype: DTypeLike | None, device: Place, **options: Any) -> Tensor:
    """Make a new array with the creation function of the device's array library."""
    target = current_device() if device is None else find_device(device)
    trace = MODE.get().trace
    if trace is not None:
        params = {
            "function": function,
            "args": args,
            "dtype": None if dtype is None else canonical(dtype).name,
            "options": options,
        }
        return Tensor(trace.emit(NEW, target, (), params)[0], target)
    raw_dtype = None if dtype is None else target.backend.native_dtype(canonical(dtype))
    try:
        return Tensor(
            getattr(target.xp, function)(*args, dtype=raw_dtype, device=target.handle, **options), target
        )
    except MemoryError as error:
        raise out_of_memory(error, f"{function}({', '.join(map(str, args))})", target, ()) from error
    except (TypeError, ValueError, OverflowError) as error:
        given = ", ".join([*map(shortened, args), *(f"{name}={shortened(v)}" for name, v in options.items())])
        what = (
            f"{function}({given}): {error}; lengths must be integers of at least 0, and bounds must be "
            f"numbers"
        )
        kind = (
            OverflowError
            if isinstance(error, OverflowError)
            else ShapeError
            if isinstance(error, ValueError)
            else TypeError
        )
        raise kind(what) from error


def number(what: str, value: ArrayLike) -> None:
    """Check that `value` is a single real number, or a Tensor of one that needs no gradient.

    Raises TypeError otherwise.
    """
    if type(value) is float or type(value) is int:
        return
    if (
        isinstance(value, bool)
        or not hasattr(value, "__float__")
        or isinstance(value, complex)
        or getattr(value, "shape", ()) != ()
    ):
        raise TypeError(f"{what} must be a number, not {shortened(value)}")
    if isinstance(value, Tensor):
        value._exportable(what.partition(":")[0])
    elif hasattr(value, "mask"):
        asarray(value)


def either(given: Any, default: Any) -> Any:
    """`given`, or `default` if it is None."""
    return default if given is None else given


@function
def zeros(shape: Shape, *, dtype: DTypeLike | None = None, device: Place = None) -> Tensor:
    """Zeros, float64 unless `dtype` says otherwise."""
    return new("zeros", shape, dtype=either(dtype, "float64"), device=device)


@function
def ones(shape: Shape, *, dtype: DTypeLike | None = None, device: Place = None) -> Tensor:
    """Ones, float64 unless `dtype` says otherwise."""
    return new("ones", shape, dtype=either(dtype, "float64"), device=device)


@function
def empty(shape: Shape, *, dtype: DTypeLike | None = None, device: Place = None) -> Tensor:
    """Uninitialised array, float64 unless `dtype` says otherwise."""
    return new("empty", shape, dtype=either(dtype, "float64"), device=device)


@function
def arange(
    start: float,
    /,
    stop: float | None = None,
    step: float = 1,
    *,
    dtype: DTypeLike | None = None,
    device: Place = None,
) -> Tensor:
    """Evenly spaced values from `start` up to but not including `stop`."""
    start, stop = (0, start) if stop is None else (start, stop)
    for name, value in (("start", start), ("stop", stop), ("step", step)):
        number(f"arange: {name}", value)
    if step == 0:
        raise ValueError("arange: step must not be 0")
    return new("arange", start, stop, step, dtype=dtype, device=device)


@function
def eye(
    n_rows: int,
    n_cols: int | None = None,
    /,
    *,
    k: int = 0,
    dtype: DTypeLike | None = None,
    device: Place = None,
) -> Tensor:
    """Ones on the k-th diagonal, zeros elsewhere."""
    return new("eye", n_rows, n_cols, dtype=either(dtype, "float64"), device=device, k=k)


@function
def full(
    shape: Shape, fill_value: ArrayLike, *, dtype: DTypeLike | None = None, device: Place = None
) -> Tensor:
    """An array filled with one number, of that number's dtype unless `dtype` says otherwise.

    The number may be a Tensor, to which the gradient flows.
    """
    if isinstance(fill_value, Tensor):
        return call(
            BROADCAST_TO,
            (asarray(fill_value, dtype=dtype, device=device),),
            {"shape": integers(shape, "full: shape")},
        )
    if type(fill_value) is not float:
        _refuse_filling(fill_value, dtype)
    return new("full", shape, fill_value, dtype=dtype, device=device)


def _refuse_filling(value: Any, dtype: DTypeLike | None) -> None:
    """Raise TypeError if `value` is not a number, or is complex and `dtype` real."""
    if type(value) not in NUMBERS or abs(value) >= 2**63:
        value = asarray(
            value, dtype=None if type(value) is not int or dtype is None or not is_floating(dtype) else dtype
        )
    kind = value.dtype.kind if isinstance(value, Tensor) else "c" if isinstance(value, complex) else ""
    if kind == "c" and dtype is not None and not is_complex(canonical(dtype)):
        raise TypeError(
            f"full: fill_value {value!r} is complex, but dtype is {canonical(dtype)}; pass its real part, or "
            f"a complex dtype"
        )


@function
def linspace(
    start: ArrayLike,
    stop: ArrayLike,
    /,
    num: int,
    *,
    dtype: DTypeLike | None = None,
    device: Place = None,
    endpoint: bool = True,
) -> Tensor:
    """`num` evenly spaced values from `start` to `stop`; without `endpoint`, `stop` is excluded.

    The dtype is float64, or complex128 for complex ends, unless `dtype` says otherwise. The ends may be
    Tensors, which receive gradients; the values lie along a new first axis.
    """
    if isinstance(start, Tensor) or isinstance(stop, Tensor):
        return _between(start, stop, _count("linspace", num), dtype, device, endpoint)
    num = _count("linspace", num)
    for value in (start, stop):
        if type(value) not in NUMBERS:
            asarray(value)  # raises a clear error if it is not a number
    default = "complex128" if isinstance(start, complex) or isinstance(stop, complex) else "float64"
    return new("linspace", start, stop, num, dtype=either(dtype, default), device=device, endpoint=endpoint)


def _between(
    start: ArrayLike, stop: ArrayLike, num: int, dtype: DTypeLike | None, device: Place, endpoint: bool
) -> Tensor:
    like: Any = start if isinstance(start, Tensor) else stop
    start, stop = (beside(v, like) if device is None else asarray(v, device=device) for v in (start, stop))
    axes = (1,) * max(start.ndim, stop.ndim)
    t = call(
        RESHAPE, (linspace(0.0, 1.0, num, device=start.device, endpoint=endpoint),), {"shape": (num, *axes)}
    )
    z = start * (1 - t) + stop * t
    return z if dtype is None else astype(z, dtype)


def _count(function: str, num: object) -> int:
    """Check and return the number of values."""
    if isinstance(num, bool) or not is_integer(num):
        raise TypeError(f"{function}: num must be an integer, not {num!r}")
    if index(num) < 0:
        raise ShapeError(f"{function}: num must be at least 0, not {num}")
    return index(num)


def _like(x: ArrayLike, dtype: DTypeLike | None, device: Place) -> tuple[tuple[int, ...], dict[str, Any]]:
    """The shape of `x`, and keyword arguments with its dtype and device unless others are given."""
    x = asarray(x)
    return x.shape, {"dtype": either(dtype, x.dtype), "device": either(device, x.device)}


@function
def zeros_like(x: ArrayLike, /, *, dtype: DTypeLike | None = None, device: Place = None) -> Tensor:
    """Zeros with the shape, dtype and device of `x`."""
    shape, form = _like(x, dtype, device)
    return zeros(shape, **form)


@function
def ones_like(x: ArrayLike, /, *, dtype: DTypeLike | None = None, device: Place = None) -> Tensor:
    """Ones with the shape, dtype and device of `x`."""
    shape, form = _like(x, dtype, device)
    return ones(shape, **form)


@function
def empty_like(x: ArrayLike, /, *, dtype: DTypeLike | None = None, device: Place = None) -> Tensor:
    """Uninitialised array with the shape, dtype and device of `x`."""
    shape, form = _like(x, dtype, device)
    return empty(shape, **form)


@function
def full_like(
    x: ArrayLike, /, fill_value: ArrayLike, *, dtype: DTypeLike | None = None, device: Place = None
) -> Tensor:
    """Array with the shape, dtype and device of `x`, filled with one number, which may be a Tensor."""
    shape, form = _like(x, dtype, device)
    return full(
        shape,
        beside(fill_value, asarray(x)) if device is None and isinstance(fill_value, Tensor) else fill_value,
        **form,
    )


@function
def meshgrid(*arrays: ArrayLike, indexing: str = "xy") -> tuple[Tensor, ...]:
    """Coordinate grids: each array varies along its own axis and is repeated along the others.

    With `indexing` "ij", the i-th array varies along axis i; with "xy", the first two are swapped: the first
    varies along axis 1, the second along axis 0.
    """
    if indexing not in ("xy", "ij"):
        raise ValueError(f"meshgrid: indexing must be 'xy' or 'ij', not {indexing!r}")
    tensors = [asarray(x) for x in arrays]
    if any(x.ndim > 1 for x in tensors):
        raise ShapeError(
            f"meshgrid takes arrays with one axis, not shapes {' and '.join(str(x.shape) for x in tensors)}; "
            f"flatten them with xg.reshape(x, (-1,))"
        )
    axes = list(range(len(tensors)))
    if indexing == "xy" and len(axes) > 1:
        axes[:2] = 1, 0
    shape = [0] * len(axes)
    for axis, x in zip(axes, tensors):
        shape[axis] = x.size
    alone = [
        call(RESHAPE, (x,), {"shape": tuple(x.size if a == axis else 1 for a in range(len(axes)))})
        for axis, x in zip(axes, tensors)
    ]
    return tuple(call(BROADCAST_TO, (x,), {"shape": tuple(shape)}) for x in alone)
