"""NumPy 2's promotion for array libraries that refuse to promote by themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .base import Device
from .dtypes import is_bfloat16, kind_of, promoted
from .types import Array

_WEAK = (int, float, complex)


def promote(device: Device, rule: str, operands: list[Any]) -> list[Array]:
    """Convert `operands` to arrays of the dtypes that NumPy would compute with.

    `rule` is the name of the NumPy ufunc whose promotion applies, or one of "result_type" (all operands share
    one), "where" (all but the first do), "float" (integers become float64), "complex" (real numbers become
    complex) and "count" (booleans become int64). A Python number is weak: it takes the dtype of the arrays
    beside it.
    """
    kinds = [
        type(v) if type(v) in _WEAK else np.dtype(bool) if type(v) is bool else device.backend.dtype_of(v)
        for v in operands
    ]
    dtypes = _RULES[rule](kinds) if rule in _RULES else _as_ufunc(rule, kinds)
    return [_cast(device, v, dtype) for v, dtype in zip(operands, dtypes, strict=False)]


def _as_ufunc(name: str, kinds: list[Any]) -> list[np.dtype[Any]]:
    """Dtypes that NumPy's ufunc of this name would use; bfloat16 is treated as float16."""
    brain = [isinstance(kind, np.dtype) and is_bfloat16(kind) for kind in kinds]
    ufunc = getattr(np, name)
    if not any(brain):
        return list(ufunc.resolve_dtypes((*kinds, None)))
    half = np.dtype(np.float16)
    together = promoted(*[kind(0) if isinstance(kind, type) else kind for kind in kinds])
    found = ufunc.resolve_dtypes((*(half if b else kind for b, kind in zip(brain, kinds)), None))
    return [together if dtype == half else dtype for dtype in found]


def _common(kinds: list[Any]) -> list[np.dtype[Any]]:
    """One dtype for all; a Python type stands for a weak number of that type."""
    return [promoted(*[kind(0) if isinstance(kind, type) else kind for kind in kinds])] * len(kinds)


_RULES: dict[str, Callable[[list[Any]], list[np.dtype[Any]]]] = {
    "result_type": _common,
    "where": lambda kinds: [np.dtype(bool), *_common(kinds[1:])],
    "float": lambda kinds: [np.dtype(kind if kind_of(np.dtype(kind)) in "fc" else float) for kind in kinds],
    "complex": lambda kinds: [
        np.dtype(kind if np.dtype(kind).kind == "c" else "complex64" if kind == np.float32 else complex)
        for kind in kinds
    ],
    "count": lambda kinds: [np.dtype(int if np.dtype(kind) == np.dtype(bool) else kind) for kind in kinds],
}


def _cast(device: Device, value: Any, dtype: np.dtype[Any]) -> Any:
    if type(value) in (*_WEAK, bool):
        return device.xp.full((), value, dtype=device.backend.native_dtype(dtype), device=device.handle)
    if device.backend.dtype_of(value) == dtype:
        return value
    return device.xp.astype(value, dtype)
