"""NumPy dtypes, which xgrad uses on every device, and bfloat16."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np

from .types import DType, DTypeLike


def bfloat16() -> DType:
    """The upper half of a float32: 8 bits of exponent and 8 of precision.

    NumPy lacks it; the optional package ml_dtypes provides it. Raises ImportError, saying what to install, if
    that is missing.
    """
    try:
        import ml_dtypes
    except ImportError as error:
        raise ImportError("bfloat16 needs the package ml_dtypes: pip install ml_dtypes") from error
    found: DType = np.dtype(ml_dtypes.bfloat16)
    return found


def canonical(dtype: DTypeLike) -> DType:
    """Convert a dtype name, Python type or any library's dtype to a NumPy dtype in native byte order.

    Raises TypeError for a non-numeric dtype.
    """
    try:
        found: DType = np.dtype(dtype)
    except (TypeError, SyntaxError):
        name = str(dtype).rpartition(".")[2]
        if name == "bfloat16":
            return bfloat16()
        if name not in np.sctypeDict:
            raise TypeError(
                f"there is no dtype {dtype!r}; pass one such as xg.float32, or its name, 'float32'"
            ) from None
        found = np.dtype(name)
    if kind_of(found) not in "biufc":
        raise TypeError(f"a Tensor holds numbers, not dtype {found}")
    return found if found.isnative else found.newbyteorder("=")


def kind_of(dtype: DType) -> str:
    """`dtype.kind`, but "f" for bfloat16, for which NumPy says "V"."""
    kind = dtype.kind
    return "f" if kind == "V" and is_bfloat16(dtype) else kind


def is_bfloat16(dtype: DType) -> bool:
    """Whether this is the bfloat16 of ml_dtypes; False if that was not imported."""
    return bool(dtype.kind == "V" and dtype.type.__name__ == "bfloat16")


def is_floating(dtype: DTypeLike) -> bool:
    """Whether values of this dtype have derivatives: real or complex floating point."""
    return kind_of(canonical(dtype)) in "fc"


def is_half(dtype: Any) -> bool:
    """Whether this is float16 or bfloat16, of any array library."""
    return getattr(dtype, "itemsize", 0) == 2 and dtype.kind in "fV"


def is_complex(dtype: object) -> bool:
    """Whether values of this dtype, of any array library, are complex."""
    kind = getattr(dtype, "kind", None)
    return kind == "c" if kind is not None else "complex" in str(dtype)


#: A dtype kind of the array standard: a dtype, the name of a kind, or a tuple of these.
Kind: TypeAlias = "DTypeLike | tuple[Kind, ...]"


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
    """Limits of a floating dtype as Python numbers; for complex ones, of the real and imaginary part."""
    if is_bfloat16(dtype):
        import ml_dtypes

        limits: Any = ml_dtypes.finfo(dtype)
        return FloatInfo(
            limits.bits,
            float(limits.eps),
            float(limits.max),
            float(limits.min),
            float(limits.smallest_normal),
            dtype,
        )
    found = np.finfo(dtype)
    return FloatInfo(
        found.bits,
        float(found.eps),
        float(found.max),
        float(found.min),
        float(found.smallest_normal),
        found.dtype,
    )


def iinfo(dtype: DType) -> IntegerInfo:
    """Limits of an integer dtype."""
    found = np.iinfo(dtype)
    return IntegerInfo(found.bits, found.max, found.min, found.dtype)


def isdtype(dtype: DType, kind: Kind) -> bool:
    """Whether a dtype is of a kind of the array standard, or of any in a tuple."""
    if isinstance(kind, tuple):
        return any(isdtype(dtype, k) for k in kind)
    if not isinstance(kind, str):
        return dtype == canonical(kind)
    return np.isdtype(_stand_in(dtype), kind)


def result_type(*values: DType | complex) -> DType:
    """The promoted dtype of dtypes and Python numbers."""
    if not any(isinstance(v, np.dtype) for v in values):
        raise ValueError("result_type needs at least one array or dtype")
    return promoted(*values)


def promoted(*values: DType | complex) -> DType:
    """NumPy's `result_type`, extended by bfloat16.

    bfloat16 promotes like float16; the two together give float32.
    """
    brain = [v for v in values if isinstance(v, np.dtype) and is_bfloat16(v)]
    if not brain:
        return np.result_type(*values)
    found = np.result_type(*map(_stand_in, values))
    if found != np.float16:
        return found
    return (
        np.dtype(np.float32) if any(isinstance(v, np.dtype) and v == np.float16 for v in values) else brain[0]
    )


def can_cast(old: DType, new: DType) -> bool:
    """Whether promotion allows casting `old` to `new`."""
    return result_type(old, new) == new if is_bfloat16(old) or is_bfloat16(new) else np.can_cast(old, new)


def _stand_in(value: Any) -> Any:
    """Replace bfloat16 by float16: NumPy's rules treat them the same."""
    return np.dtype(np.float16) if isinstance(value, np.dtype) and is_bfloat16(value) else value
