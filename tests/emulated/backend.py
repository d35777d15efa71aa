"""The emulated device as a backend.

It runs NumPy's functions on an array type of its own, so that its arrays do not mix with the host's.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from xgrad.backends import Array, Backend, DeviceError, register
from xgrad.compiler.codegen.cuda.chips import CHIPS

from . import available
from .device import EmulatedLauncher


class GpuArray(np.ndarray):
    """An array that claims to be on a GPU."""

    __module__ = "emulated_gpu"  # the library whose arrays the backend takes


def _ours(x: Any) -> Any:
    if isinstance(x, tuple):
        parts = [_ours(part) for part in x]
        return type(x)(*parts) if hasattr(x, "_fields") else tuple(parts)
    return np.asarray(x).view(GpuArray) if isinstance(x, np.ndarray | np.generic) else x


class _Namespace:
    """NumPy's namespace, with functions that return arrays of the device."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def __dir__(self) -> list[str]:
        return dir(self._module)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name)
        if isinstance(found, ModuleType):
            return _Namespace(found)
        if not callable(found) or isinstance(found, type):
            return found
        return lambda *args, device=None, **options: _ours(found(*args, **options))


class Emulated(Backend):
    """An emulated H100."""

    name = "emulated"
    xp = _Namespace(np)
    promotes = True

    def __init__(self) -> None:
        why = available()
        if why is not None:
            raise DeviceError(why)
        self._launcher = EmulatedLauncher(CHIPS["H100"], kind=GpuArray)

    def launcher(self, index: int) -> EmulatedLauncher:
        return self._launcher

    def handle(self, index: int) -> str:
        return "cpu"

    def from_host(self, array: np.ndarray, index: int) -> Array:
        return np.array(array).view(GpuArray)

    def to_host(self, array: Array) -> np.ndarray:
        return np.asarray(array).view(np.ndarray)

    def native_dtype(self, dtype: Any) -> Any:
        return dtype

    def scatter_add(self, target: Array, key: Any, values: Array) -> None:
        np.add.at(target, key, values)

    def memory(self, index: int) -> dict[str, int]:
        return {"used": 0, "total": 0}


def register_emulated() -> None:
    register("emulated", Emulated, library=GpuArray.__module__)
