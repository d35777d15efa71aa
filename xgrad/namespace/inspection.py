"""Inspection: dtypes, their limits, and devices."""

from __future__ import annotations

from typing import Any

from ..backends import Device, current_device, devices, find_device
from ..backends import dtypes as kinds
from ..backends.dtypes import Kind
from ..backends.types import ArrayLike, DType, DTypeLike
from ..core.dispatch import NUMBERS
from ..core.tensor import API_VERSION
from .dtypes import DTYPES
from .table import function

VERSION = API_VERSION


class Info:
    """The standard's inspection object, returned by `__array_namespace_info__`.

    >>> import xgrad as xg
    >>> xg.__array_namespace_info__().capabilities()["boolean indexing"]
    True
    """

    def capabilities(self) -> dict[str, Any]:
        """Optional features of the standard that are supported.

        Arrays have at most 64 axes, as in NumPy.
        """
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> Device:
        """The device of new Tensors."""
        return current_device()

    def default_dtypes(self, *, device: str | Device | None = None) -> dict[str, Any]:
        """The default dtypes of new Tensors, by kind."""
        _known(device)
        names = {
            "real floating": "float64",
            "complex floating": "complex128",
            "integral": "int64",
            "indexing": "int64",
        }
        return {kind: DTYPES[name] for kind, name in names.items()}

    def devices(self) -> list[Device]:
        """The available devices."""
        return devices()

    def dtypes(self, *, device: str | Device | None = None, kind: Kind | None = None) -> dict[str, DType]:
        """The standard's dtypes by name, limited to a `kind` as in `isdtype`."""
        _known(device)
        standard = {name: dtype for name, dtype in DTYPES.items() if name != "float16"}
        return (
            standard
            if kind is None
            else {name: dtype for name, dtype in standard.items() if kinds.isdtype(dtype, kind)}
        )


@function(numpy="")
def __array_namespace_info__() -> Info:
    """Information on this namespace: its devices, dtypes and optional features."""
    return Info()


def _known(device: str | Device | None) -> None:
    """Check that the device exists, else raise DeviceError; all devices have the same dtypes."""
    if device is not None:
        find_device(device)


def _dtype(x: DTypeLike | ArrayLike) -> DType:
    """The dtype given, or that of an array."""
    found: Any = x.dtype if hasattr(x, "dtype") and not isinstance(x, type) else x
    return kinds.canonical(found)


@function
def can_cast(from_: DTypeLike | ArrayLike, to: DTypeLike, /) -> bool:
    """Whether promotion allows casting from a dtype, or that of a Tensor, to another."""
    return kinds.can_cast(_dtype(from_), kinds.canonical(to))


@function
def finfo(type: DTypeLike | ArrayLike, /) -> kinds.FloatInfo:
    """Limits of a floating dtype, or that of a Tensor; for complex ones, of the real and imaginary part."""
    return kinds.finfo(_dtype(type))


@function
def iinfo(type: DTypeLike | ArrayLike, /) -> kinds.IntegerInfo:
    """Limits of an integer dtype, or that of a Tensor."""
    return kinds.iinfo(_dtype(type))


@function
def isdtype(dtype: DTypeLike, kind: Kind) -> bool:
    """Whether a dtype is of a kind.

    `kind` is a dtype, "bool", "signed integer", "unsigned integer", "integral", "real floating", "complex
    floating", "numeric", or a tuple of these.
    """
    return kinds.isdtype(kinds.canonical(dtype), kind)


@function
def result_type(*arrays_and_dtypes: DTypeLike | ArrayLike) -> DType:
    """The promoted dtype of arrays, dtypes and Python numbers, which are weak."""
    values: Any = (x if type(x) in NUMBERS else _dtype(x) for x in arrays_and_dtypes)
    return kinds.result_type(*values)
