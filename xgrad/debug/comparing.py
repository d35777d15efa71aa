"""Which elements of two arrays differ by more than rounding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..backends import Device, device_of, find_device
from ..backends.dtypes import kind_of
from ..backends.types import ArrayLike, HostArray

#: Tolerances relative to a number's own size, and relative to the largest number of its array.
TOLERANCES = {
    "float64": (1e-7, 1e-10),
    "float32": (1e-3, 1e-5),
    "float16": (5e-2, 1e-2),
    "bfloat16": (1e-1, 5e-2),
}
_PARTS = {"complex128": "float64", "complex64": "float32"}


def on_host(v: Any) -> HostArray:
    """Copy an array to host memory, if it is not there."""
    device = device_of(v)
    xp: Any = find_device("cpu").xp
    found: HostArray = xp.asarray(v if device is None else device.backend.to_host(v))
    return found


def largest(arrays: Sequence[Any]) -> float:
    """The largest finite magnitude in some arrays."""
    xp: Any = find_device("cpu").xp
    found = [0.0]
    for v in map(on_host, arrays):
        if kind_of(v.dtype) in "fc":
            sizes = xp.abs(xp.astype(v, "complex128" if kind_of(v.dtype) == "c" else "float64"))
            found.append(float(xp.max(xp.where(xp.isfinite(sizes), sizes, 0.0), initial=0.0)))
    return max(found)


def wrong(found: Any, expected: Any, rtol: float | None = None, scale: float = 1.0) -> Any:
    """The mask of elements where `found` differs from `expected`, which has the same shape and dtype.

    `scale` is the size of the inputs of both. Integers and booleans must be equal; NaN is equal to NaN, and
    an infinity to one of the same sign. Other numbers may differ by rounding: relative to themselves, to the
    largest number expected, and to `scale` if that is below 1.
    """
    xp: Any = find_device("cpu").xp
    found, expected = on_host(found), on_host(expected)
    kind = kind_of(expected.dtype)
    if kind not in "fc":
        return found != expected
    relative, absolute = TOLERANCES[_PARTS.get(str(expected.dtype), str(expected.dtype))]
    if rtol is not None:
        relative, absolute = rtol, rtol / 100
    wide = "complex128" if kind == "c" else "float64"
    found, expected = xp.astype(found, wide), xp.astype(expected, wide)
    # compared separately: an infinity in one part must not hide the other
    parts = (xp.real, xp.imag) if kind == "c" else (lambda v: v,)
    pairs = [(part(found), part(expected)) for part in parts]
    most = absolute * max(largest([expected]), min(1.0, scale))
    sizes = [xp.where(xp.isfinite(e), xp.abs(e), 0.0) for _, e in pairs]
    size = xp.hypot(*sizes) if kind == "c" else sizes[0]
    bad = xp.zeros(expected.shape, dtype="bool")
    for f, e in pairs:
        both = xp.isfinite(f) & xp.isfinite(e)
        apart = xp.abs(xp.where(both, f, 0.0) - xp.where(both, e, 0.0)) > relative * size + most
        bad = bad | xp.where(both, apart, ~((f == e) | (xp.isnan(f) & xp.isnan(e))))
    return bad


def described(found: ArrayLike, expected: ArrayLike, bad: HostArray) -> str:
    """Describe the first element that differs, and how many do."""
    xp: Any = find_device("cpu").xp
    found, expected = on_host(found), on_host(expected)
    index = tuple(int(i[0]) for i in xp.nonzero(bad)) if bad.ndim else ()
    place = f"element {index if len(index) != 1 else index[0]} is" if index else "it is"
    count = int(xp.sum(bad))
    return f"{place} {found[index]}, but should be {expected[index]}" + (
        f" ({count} of {bad.size} elements differ)" if bad.size > 1 else ""
    )


def copied(v: Any, device: Device) -> Any:
    """Copy an array of `device`, so that nobody else can change it."""
    return device.xp.asarray(v, copy=True) if hasattr(v, "shape") else v
