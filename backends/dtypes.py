"""dtypes as NumPy has them, which is what xgrad shows on every device."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

DType = np.dtype[Any]


def canonical(dtype: Any) -> DType:
    """A dtype given by name, as a Python type, or as any array library writes it. Raises TypeError for one that is not of numbers."""
    try:
        found: DType = np.dtype(dtype)
    except TypeError:
        found = np.dtype(str(dtype).rpartition(".")[2])
    if found.kind not in "biufc":
        raise TypeError(f"a Tensor holds numbers, not dtype {found}")
    return found


def is_floating(dtype: Any) -> bool:
    """Whether values of this dtype have derivatives: real or complex floating point."""
    return canonical(dtype).kind in "fc"


def is_complex(dtype: Any) -> bool:
    """Whether values of this dtype, of any array library, are complex."""
    kind = getattr(dtype, "kind", None)
    return kind == "c" if kind is not None else "complex" in str(dtype)


class FloatInfo(NamedTuple):
    """Limits of a floating dtype."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: DType


class IntegerInfo(NamedTuple):
    """Limits of an integer dtype."""

    bits: int
    max: int
    min: int
    dtype: DType


def finfo(dtype: DType) -> FloatInfo:
    """Limits of a floating dtype, as Python numbers; of a complex one, those of its parts."""
    found = np.finfo(dtype)
    return FloatInfo(found.bits, float(found.eps), float(found.max), float(found.min), float(found.smallest_normal), found.dtype)


def iinfo(dtype: DType) -> IntegerInfo:
    """Limits of an integer dtype."""
    found = np.iinfo(dtype)
    return IntegerInfo(found.bits, found.max, found.min, found.dtype)


def isdtype(dtype: DType, kind: Any) -> bool:
    """Whether a dtype is of a kind of the array standard, or of one of a tuple of kinds."""
    return np.isdtype(dtype, kind)


def result_type(*values: Any) -> DType:
    """The dtype of dtypes and Python numbers together."""
    if not any(isinstance(v, np.dtype) for v in values):
        raise ValueError("result_type needs one array or dtype at least")
    return np.result_type(*values)


def can_cast(old: DType, new: DType) -> bool:
    """Whether promotion leads from one dtype to the other."""
    return np.can_cast(old, new)
