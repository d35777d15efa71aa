"""Sorting by NumPy in place of Thrust, which CuPy's wheel has only for GPUs."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np


def install() -> None:
    """Replace CuPy's sorting functions."""
    from cupy.cuda import thrust

    thrust.sort, thrust.argsort, thrust.lexsort = _sort, _argsort, _lexsort


def _sort(dtype: Any, data: int, keys: int, shape: Any) -> None:
    array = _at(data, shape, _sorted(dtype))
    array[...] = np.sort(array, axis=-1, kind="stable")


def _argsort(dtype: Any, indices: int, data: int, keys: int, shape: Any) -> None:
    _at(indices, shape, np.int64)[...] = np.argsort(_at(data, shape, _sorted(dtype)), axis=-1, kind="stable")


def _lexsort(dtype: Any, indices: int, keys: int, count: int, size: int) -> None:
    _at(indices, (size,), np.int64)[...] = np.lexsort(_at(keys, (count, size), _sorted(dtype)))


def _sorted(dtype: Any) -> Any:
    """Return the dtype, if Thrust supports it."""
    from cupy.cuda import common

    try:
        common._get_dtype_id(dtype)
    except ValueError:
        raise NotImplementedError(f"Sorting arrays with dtype '{dtype}' is not supported") from None
    return dtype


def _at(address: int, shape: Any, dtype: Any) -> Any:
    """Return the array at an address."""
    size = int(np.prod(shape, dtype=int)) * np.dtype(dtype).itemsize
    return (
        np.frombuffer(
            (ctypes.c_char * max(size, 1)).from_address(address), dtype, int(np.prod(shape, dtype=int))
        ).reshape(shape)
        if size
        else np.empty(shape, dtype)
    )
