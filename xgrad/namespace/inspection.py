"""What there is to be had here: dtypes, their limits, devices."""

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
    """What the standard's `__array_namespace_info__` tells of this namespace.

    >>> import xgrad as xg
    >>> xg.__array_namespace_info__().capabilities()["boolean indexing"]
    True
    """

    def capabilities(self) -> dict[str, Any]:
        """Of what the standard leaves open: what there is. Arrays may have at most 64 axes, as NumPy's."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> Device:
        """Where new Tensors go."""
        return current_device()

    def default_dtypes(self, *, device: str | Device | None = None) -> dict[str, Any]:
        """The dtypes of new Tensors, by kind."""
        _known(device)
        names = {
            "real floating": "float64",
            "complex floating": "complex128",
            "integral": "int64",
            "indexing": "int64",
        }
        return {kind: DTYPES[name] for kind, name in names.items()}

    def devices(self) -> list[Device]:
        """The devices that can be used now."""
        return devices()

    def dtypes(self, *, device: str | Device | None = None, kind: Kind | None = None) -> dict[str, DType]:
        """The standard's dtypes by name, those of a `kind` as `isdtype` has it."""
        _known(device)
        standard = {name: dtype for name, dtype in DTYPES.items() if name != "float16"}
        return (
            standard
            if kind is None
            else {name: dtype for name, dtype in standard.items() if kinds.isdtype(dtype, kind)}
        )


@function(numpy="")
def __array_namespace_info__() -> Info:
    """What this namespace can do: its devices, dtypes, and what the standard leaves open."""
    return Info()


def _known(device: str | Device | None) -> None:
    """All devices have the same dtypes; one that is not there raises DeviceError."""
    if device is not None:
        find_device(device)


def _dtype(x: DTypeLike | ArrayLike) -> DType:
    """A dtype, or that of an array."""
    found: Any = x.dtype if hasattr(x, "dtype") and not isinstance(x, type) else x
    return kinds.canonical(found)


@function
def can_cast(from_: DTypeLike | ArrayLike, to: DTypeLike, /) -> bool:
    """Whether values of a dtype, or of a Tensor's, can become those of another by the rules of promotion."""
    return kinds.can_cast(_dtype(from_), kinds.canonical(to))


@function
def finfo(type: DTypeLike | ArrayLike, /) -> kinds.FloatInfo:
    """Limits of a floating dtype, or of a Tensor's; of a complex one, those of its parts."""
    return kinds.finfo(_dtype(type))


@function
def iinfo(type: DTypeLike | ArrayLike, /) -> kinds.IntegerInfo:
    """Limits of an integer dtype, or of a Tensor's."""
    return kinds.iinfo(_dtype(type))


@function
def isdtype(dtype: DTypeLike, kind: Kind) -> bool:
    """Whether a dtype is of a kind: a dtype, "bool", "signed integer", "unsigned integer", "integral", "real
    floating",
    "complex floating", "numeric", or a tuple of these."""
    return kinds.isdtype(kinds.canonical(dtype), kind)


@function
def result_type(*arrays_and_dtypes: DTypeLike | ArrayLike) -> DType:
    """The dtype that arrays, dtypes and Python numbers, which are weak, have together."""
    values: Any = (x if type(x) in NUMBERS else _dtype(x) for x in arrays_and_dtypes)
    return kinds.result_type(*values)
