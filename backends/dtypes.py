"""dtypes as NumPy has them, which is what xgrad shows on every device."""

from __future__ import annotations

from typing import Any

import numpy as np

DType = np.dtype[Any]


def canonical(dtype: Any) -> DType:
    """A dtype given by name, as a Python type, or as any array library writes it."""
    try:
        found: DType = np.dtype(dtype)
    except TypeError:
        found = np.dtype(str(dtype).rpartition(".")[2])
    return found


def is_floating(dtype: Any) -> bool:
    """Whether values of this dtype have derivatives: real or complex floating point."""
    return canonical(dtype).kind in "fc"


def is_complex(dtype: Any) -> bool:
    """Whether values of this dtype, of any array library, are complex."""
    kind = getattr(dtype, "kind", None)
    return kind == "c" if kind is not None else "complex" in str(dtype)
