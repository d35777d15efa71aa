"""Conversion to Tensors, and between dtypes and devices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..backends import Device, DeviceError, current_device, device_of, find_device
from ..backends.dtypes import canonical, is_complex, is_floating, kind_of, result_type
from ..backends.types import ArrayLike, DTypeLike, NestedArrayLike
from ..core.context import MODE
from ..core.dispatch import NUMBERS, adopt, apply
from ..core.graph import Leaf, Named
from ..core.recording import warn
from ..core.tensor import Tensor
from ..errors import GraphError, ShapeError, TraceError, no_array
from ..ops.arithmetic import ASTYPE, NONE, ROUND_TO
from ..ops.shaping import STACK, TO_DEVICE
from .table import NUMPY, function

Place = str | Device | None


@function(numpy="")
def tensor(
    data: NestedArrayLike,
    requires_grad: bool = False,
    *,
    dtype: DTypeLike | None = None,
    device: Place = None,
    name: str | None = None,
) -> Tensor:
    """Make a Tensor from a copy of `data`.

    No gradient flows back to `data`; with `asarray` it does.

    Args:
        data: numbers, nested lists of them, an array, or a Tensor.
        requires_grad: whether `backward` stores a gradient in `.grad`; only for floating dtypes.
        dtype: default that of `data`: float64 for Python floats, int64 for integers.
        device: default the current device.
        name: name of the Tensor in graphs and errors.

    Raises TypeError if `requires_grad` is set for integers. A list of Tensors that need a gradient is copied
    with a warning; inside a function that is differentiated or traced, it raises GraphError. Use `stack` to
    keep the gradient.

    >>> import xgrad as xg
    >>> xg.tensor([1.0, 2.0], requires_grad=True)
    tensor([1., 2.], requires_grad=True)
    """
    if MODE.get().trace is not None and requires_grad:
        raise TraceError(
            "xg.tensor(requires_grad=True) was called in a function that is being traced: make the Tensor "
            "outside it, or differentiate the function with xg.grad"
        )
    copied = isinstance(data, list | tuple) and _holds_tensors(data)  # by `_stacked`
    with_value = asarray(data, dtype=dtype, device=device, copy=None if copied else True)
    if copied:
        _refuse_cutting(with_value, requires_grad)
    with_value = with_value._taken("xg.tensor").detach()
    if requires_grad and not is_floating(with_value.dtype):
        raise TypeError(
            f"xg.tensor: requires_grad=True needs a floating-point dtype, not {with_value.dtype}: write 3.0 "
            f"for 3, or pass dtype=xg.float64"
        )
    if not requires_grad and name is None:
        return with_value
    kind = Leaf if requires_grad else Named
    return with_value._with_node(kind(with_value.device, with_value.shape, with_value.data.dtype, name))


def _refuse_cutting(stacked: Tensor, own: bool) -> None:
    """Warn, or raise GraphError, if copying a list of Tensors cuts a gradient.

    `own` says that a new leaf is made, which is meant to cut it.
    """
    mode = MODE.get()
    message = (
        "xg.tensor copies its argument, which cuts the gradients of the Tensors in this list: use xg.stack "
        "to keep them, or t.detach() on each if you want to cut them"
    )
    if (mode.trace is not None and is_floating(stacked.dtype)) or (mode.lifted and stacked.requires_grad):
        raise GraphError(message)
    if stacked.requires_grad and not own:
        warn(message)


@function(numpy="array asarray asanyarray")
def asarray(
    obj: Any, /, *, dtype: DTypeLike | None = None, device: Place = None, copy: bool | None = None
) -> Tensor:
    """Convert to a Tensor: a Tensor is returned as it is, an array on the same device shares its memory.

    Args:
        obj: numbers, nested lists of them, an array of any backend, a Tensor, or nested lists with Tensors
            in them, which are stacked: a gradient flows to each.
        dtype: default that of `obj`.
        device: default the current device; a Tensor stays where it is.
        copy: True copies always, False never (ValueError where it would have to).

    >>> import numpy as np, xgrad as xg
    >>> xg.asarray(np.arange(3))
    tensor([0, 1, 2])
    """
    if isinstance(obj, Tensor):
        if dtype is None and device is None and copy is None:
            return obj
        moved = obj if device is None else to_device(obj, device)
        moved = moved if dtype is None else astype(moved, dtype, copy=False)
        _refuse_copy(copy, moved is not obj)
        return _copied(moved) if copy and moved is obj else moved
    if isinstance(obj, list | tuple) and _holds_tensors(obj):
        _refuse_copy(copy, True)
        stacked = _stacked(obj, dtype)
        return stacked if device is None else to_device(stacked, device)
    target = current_device() if device is None else find_device(device)
    home, number = device_of(obj), obj
    if home is None:
        home = find_device("cpu")
        # numbers are converted directly to their dtype, so that large integers keep all digits
        obj = _read(home, obj, dtype, copy if home is target else None)
    raw: Any = home.xp.asarray(home.backend.checked(obj), copy=copy if home is target else None)
    if home is not target:
        _refuse_copy(copy, True)
        if type(number) in NUMBERS:  # the array library can fill these in without a copy
            raw = target.xp.full(
                (), raw.item(), dtype=target.backend.native_dtype(raw.dtype), device=target.handle
            )
        else:
            raw = target.backend.from_host(home.backend.to_host(raw), target.index)
            raw = target.xp.asarray(raw, copy=True) if copy else raw
    if dtype is not None and target.backend.dtype_of(raw) != canonical(dtype):
        _refuse_copy(copy, True)
        if is_complex(raw.dtype) and kind_of(canonical(dtype)) in "iuf":
            raise TypeError(
                f"asarray: complex numbers cannot be cast to {canonical(dtype)}; use xg.real(x) or xg.imag(x)"
            )
        raw = target.xp.astype(raw, canonical(dtype))
    made = Tensor(raw, target)
    trace = MODE.get().trace
    if trace is not None:
        trace.made(made)
    return made


def _read(home: Device, obj: Any, dtype: DTypeLike | None, copy: bool | None) -> Any:
    """Convert numbers, nested lists, or an array of an unregistered library to an array on `home`."""
    if (
        not isinstance(obj, int | float | complex)
        and not hasattr(obj, "__len__")
        and not hasattr(obj, "__array__")
    ):
        raise TypeError(f"asarray takes arrays, numbers and nested lists of them, not {no_array(obj)}")
    try:
        found = home.xp.asarray(obj, dtype=None if dtype is None else canonical(dtype), copy=copy)
    except (RuntimeError, TypeError, ValueError, OverflowError) as error:
        if not hasattr(obj, "__array__"):
            raise _unreadable(obj, error) from error
        kind = f"{type(obj).__module__}.{type(obj).__name__}"
        way_out = (
            "detach it, or convert it to a dtype that NumPy has before you pass it to xgrad; for bfloat16, "
            "use xg.from_dlpack"
        )
        raise TypeError(f"asarray cannot read this {kind}: {error} ({way_out})") from error
    if kind_of(found.dtype) not in "biufc":
        raise _unreadable(obj, None)
    return found


def _unreadable(obj: object, error: Exception | None) -> Exception:
    """The error for an object that cannot be converted: names it, or the first bad element of a list."""
    if not isinstance(obj, list | tuple):
        if isinstance(obj, int):
            return OverflowError(
                f"asarray: the integer {obj} is too large for int64; write it as a float, or pass "
                f"dtype=xg.float64"
            )
        if error is None and hasattr(obj, "__array__"):  # a table, or a column of one
            return TypeError(
                f"asarray: this {type(obj).__name__} has columns or elements that are not numbers; select "
                f"the numeric columns, or convert them"
            )
        return (
            TypeError(f"asarray takes arrays, numbers and nested lists of them, not {no_array(obj)}")
            if error is None
            else error
        )
    found = _culprit(obj)
    return (
        found
        or error
        or TypeError(f"asarray takes arrays, numbers and nested lists of them, not {shortened(obj)}")
    )


def _culprit(obj: Sequence[Any]) -> Exception | None:
    """The error for the first element of nested lists that prevents conversion; None if there is none."""
    lengths = {len(v) if isinstance(v, list | tuple) else None for v in obj}
    if len(lengths) > 1:
        return ShapeError(
            f"asarray: rows of different lengths do not make an array: {shortened(obj)}; pad them to one "
            f"length, or keep a list of arrays"
        )
    for v in obj:
        if isinstance(v, list | tuple):
            found = _culprit(v)
        else:
            known = type(v) in NUMBERS or device_of(v) is not None
            found = None if known and not (isinstance(v, int) and abs(v) >= 2**63) else _unreadable(v, None)
        if found is not None:
            return found
    return None


def shortened(obj: object) -> str:
    """The text of an argument, for a message."""
    text = repr(obj)
    return text if len(text) < 60 else f"{text[:57]}..."


def beside(value: ArrayLike, like: Tensor) -> Tensor:
    """Convert `value` to a Tensor on the device of `like`.

    Lists and numbers are copied there. Raises DeviceError for an array on another device.
    """
    if isinstance(value, list | tuple) and _holds_tensors(value):
        value = asarray(value)
    if isinstance(value, Tensor):
        if value.device is not like.device:
            raise DeviceError(
                f"one Tensor is on {value.device} and another on {like.device}; move one with .to(device)"
            )
        return value
    known = type(value) not in NUMBERS and device_of(value) is not None
    there: Tensor = adopt(value, like, NONE) if known else asarray(value, device=like.device)
    return there


def _holds_tensors(obj: Sequence[Any]) -> bool:
    """Whether nested lists contain a Tensor.

    Raises TypeError for a masked array, which would lose its mask.
    """
    return not NUMBERS.issuperset(map(type, obj)) and any(map(_is_or_holds_tensor, obj))


def _is_or_holds_tensor(v: object) -> bool:
    if isinstance(v, Tensor):
        return True
    if isinstance(v, list | tuple):
        return _holds_tensors(v)
    home = device_of(v) if hasattr(v, "mask") else None
    return home is not None and home.backend.checked(v) is None


def _stacked(obj: Sequence[Any], dtype: DTypeLike | None) -> Tensor:
    """Stack nested lists with Tensors into one Tensor of their promoted dtype; Python numbers are weak."""

    def leaves(v: Any) -> Iterator[Any]:
        if isinstance(v, list | tuple):
            for inner in v:
                yield from leaves(inner)
        else:
            yield v

    flat = list(leaves(obj))
    device = next(v.device for v in flat if isinstance(v, Tensor))
    if dtype is None:
        dtype = result_type(
            *(
                v if type(v) in NUMBERS else v.dtype if isinstance(v, Tensor) else asarray(v).dtype
                for v in flat
            )
        )

    def whole(v: Any) -> Tensor:
        if isinstance(v, list | tuple) and len(v):
            return apply(STACK, tuple(map(whole, v)), {"axis": 0})
        return astype(v, dtype) if isinstance(v, Tensor) else asarray(v, dtype=dtype, device=device)

    return whole(obj)


def _refuse_copy(copy: bool | None, needed: bool) -> None:
    if copy is False and needed:
        raise ValueError(
            "asarray: copy=False was given, but this dtype or device needs a copy; leave copy out"
        )


def _copied(x: Tensor) -> Tensor:
    if MODE.get().trace is None:
        x = Tensor(x.device.xp.asarray(x.data, copy=True), x.device, x.node)
    return apply(NONE, (x,)) if is_floating(x.dtype) else x._alias()


@function(numpy="")
def astype(x: ArrayLike, dtype: DTypeLike, /, *, copy: bool = True, device: Place = None) -> Tensor:
    """Convert to another dtype, and to another device if one is given.

    Gradients flow between floating dtypes, but not through integers.

    With `copy` False, a Tensor that already has the dtype is returned as it is; otherwise a new Tensor is
    made. They may share memory, which is unobservable, as values are never changed in place. Raises TypeError
    for complex to real.
    """
    t, dtype = asarray(x), canonical(dtype)
    if is_complex(t.dtype) and kind_of(dtype) in "iuf":
        raise TypeError(
            f"astype: complex numbers cannot be cast to {dtype}; use xg.real(x) or xg.imag(x) first"
        )
    return cast(t if device is None else to_device(t, device), dtype, copy=copy)


def cast(t: Tensor, dtype: DTypeLike, /, *, copy: bool = True) -> Tensor:
    """As `astype`, but complex to real takes the real part, as NumPy does."""
    dtype = canonical(dtype)
    if t.dtype == dtype:
        return +t if copy else t
    return apply(ASTYPE if is_floating(dtype) else ROUND_TO, (t,), {"dtype": dtype})


NUMPY["astype"] = cast


def to_device(x: ArrayLike, device: str | Device, /) -> Tensor:
    """Copy to another device; the gradient flows back to the original one."""
    t, target = x if isinstance(x, Tensor) else asarray(x), find_device(device)
    if t.device is target:
        return t
    moved = apply(TO_DEVICE, (t,), {"source": t.device, "target": target})
    if moved.node is not None:
        moved.node.device = target  # the device of its output and its cotangent
    return Tensor(moved.data, target, moved.node)


class UnsupportedMemory(DeviceError, BufferError):
    """Memory on a device that no available backend can use."""


#: Backends by DLPack device type: host memory, CUDA memory, and managed memory.
_DLPACK = {1: "cpu", 2: "cuda", 13: "cuda"}


@function(numpy="")
def from_dlpack(x: Any, /, *, device: Place = None, copy: bool | None = None) -> Tensor:
    """Import an array of another library as a Tensor that shares its memory, on its device.

    Args:
        x: an array with `__dlpack__`: of NumPy, CuPy, PyTorch, JAX, ... A Tensor that needs a gradient raises
            GraphError, as the gradient would be cut.
        device: another device for the result.
        copy: True copies always, False never (ValueError where `device` needs it).

    Raises AttributeError for an object without `__dlpack__`, and UnsupportedMemory (a DeviceError, and also
    the BufferError that the standard requires) for memory that no available backend can use.

    >>> import numpy as np, xgrad as xg
    >>> xg.from_dlpack(np.ones(2))
    tensor([1., 1.])
    """
    if isinstance(x, Tensor):
        x._exportable("from_dlpack")
        return asarray(x.detach(), device=device, copy=copy)
    home = device_of(x)
    if home is None:
        if not hasattr(x, "__dlpack_device__"):
            raise AttributeError(
                f"from_dlpack takes an array with __dlpack__, not {type(x).__name__}; use xg.asarray"
            )
        kind, index = x.__dlpack_device__()
        if int(kind) not in _DLPACK:
            raise UnsupportedMemory(
                f"from_dlpack: no backend can use memory of DLPack device type {int(kind)}; copy the array "
                f"to the CPU or to CUDA first"
            )
        name = _DLPACK[int(kind)]
        try:
            home = find_device(f"{name}:{index}" if name == "cuda" else name)
        except DeviceError as error:
            raise UnsupportedMemory(f"from_dlpack: {error}") from error
        x = home.xp.from_dlpack(x)
    return asarray(x, device=home if device is None else device, copy=copy)
