"""Exchange of bfloat16 arrays by DLPack.

NumPy does not support bfloat16 in DLPack, so it exports 16-bit integers, and the dtype in the capsule is
patched.

The layout is that of dlpack.h: a DLTensor is a pointer, a device of two 32-bit numbers, the number of axes in
32 bits, and the dtype, whose first byte is its code; a versioned capsule has a version, two pointers and 64
bits of flags before it.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from .dtypes import bfloat16

_INTEGER, _BFLOAT = 1, 4  # kDLUInt, kDLBfloat
_CODE_AT = {b"dltensor": 20, b"dltensor_versioned": 52}


def _code(capsule: Any) -> ctypes.c_uint8:
    """Reference to the dtype code inside a capsule."""
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype, api.PyCapsule_GetName.argtypes = ctypes.c_char_p, [ctypes.py_object]
    api.PyCapsule_GetPointer.restype, api.PyCapsule_GetPointer.argtypes = (
        ctypes.c_void_p,
        [ctypes.py_object, ctypes.c_char_p],
    )
    name = api.PyCapsule_GetName(capsule)
    return ctypes.c_uint8.from_address(api.PyCapsule_GetPointer(capsule, name) + _CODE_AT[name])


def capsule_of(array: np.ndarray, **options: Any) -> Any:
    """Make a capsule of a bfloat16 array."""
    capsule = array.view(np.ndarray).view(np.uint16).__dlpack__(**options)
    _code(capsule).value = _BFLOAT
    return capsule


class _AsIntegers:
    """Proxy for an array of another library that presents its bfloat16 to NumPy as integers."""

    def __init__(self, array: Any) -> None:
        self._array = array
        self.changed = False

    def __dlpack_device__(self) -> Any:
        return self._array.__dlpack_device__()

    def __dlpack__(self, **options: Any) -> Any:
        capsule = self._array.__dlpack__(**options)
        code = _code(capsule)
        self.changed = code.value == _BFLOAT
        if self.changed:
            code.value = _INTEGER
        return capsule


def from_dlpack(x: Any, /, **options: Any) -> np.ndarray:
    """NumPy's `from_dlpack`, with support for bfloat16."""
    seen = _AsIntegers(x)
    array = np.from_dlpack(seen, **options)
    return array.view(bfloat16()) if seen.changed else array
