"""NumPy on the CPU."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

import numpy as np

from . import native
from .base import Array, Backend


class NumPy(Backend):
    """The CPU. NumPy 2 is its own standard namespace."""

    name = "cpu"
    xp = np
    promotes = True
    native = native

    def __init__(self) -> None:
        _keep_freed_memory()

    def handle(self, index: int) -> str:
        return "cpu"

    def from_host(self, array: np.ndarray, index: int) -> Array:
        return array

    def to_host(self, array: Array) -> np.ndarray:
        return np.asarray(array)

    def scatter_add(self, target: Array, key: Any, values: Array) -> None:
        np.add.at(target, key, values)

    def native_dtype(self, dtype: Any) -> Any:
        return dtype

    def dtype_of(self, array: Array) -> np.dtype[Any]:
        return array.dtype  # type: ignore[no-any-return]

    def memory(self, index: int) -> dict[str, int]:
        page = os.sysconf("SC_PAGE_SIZE")
        resident = int(Path("/proc/self/statm").read_text().split()[1]) if Path("/proc/self/statm").exists() else 0
        return {"used": resident * page, "total": os.sysconf("SC_PHYS_PAGES") * page}

    def facts(self, index: int) -> dict[str, str]:
        built: Any = np.show_config(mode="dicts")
        blas = built["Build Dependencies"].get("blas", {})
        return {"BLAS": blas.get("name", "unknown"), "BLAS version": blas.get("version", "unknown")}


def _keep_freed_memory() -> None:
    """Let glibc keep up to a gigabyte of freed memory for the next step, instead of returning it page by page after each.

    Every training step allocates and frees the same arrays; taking their pages from the system again costs more than the
    arithmetic on them. Other allocators do without. An environment that sets MALLOC_TRIM_THRESHOLD_ has its way.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None and "MALLOC_TRIM_THRESHOLD_" not in os.environ:
        mallopt(-1, 2**30)  # M_TRIM_THRESHOLD
        mallopt(-3, 2**25)  # M_MMAP_THRESHOLD: the largest that glibc takes
