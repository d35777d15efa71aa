"""array_api_strict as a third backend: the standard only, on three devices that do not mix."""

from __future__ import annotations

from typing import Any

import array_api_strict
import numpy as np

from xgrad.backends import Array, Backend, register

_NAMES = ("CPU_DEVICE", "device1", "device2")


class Strict(Backend):
    name = "strict"
    xp = array_api_strict

    def count(self) -> int:
        return len(_NAMES)

    def handle(self, index: int) -> Any:
        return array_api_strict.Device(_NAMES[index])

    def index_of(self, array: Array) -> int:
        return next(i for i, name in enumerate(_NAMES) if array.device == array_api_strict.Device(name))

    def to_host(self, array: Array) -> np.ndarray:
        return array._array.copy()

    def from_host(self, array: np.ndarray, index: int) -> Array:
        return array_api_strict.asarray(array, device=self.handle(index), copy=True)

    def scatter_add(self, target: Array, key: Any, values: Array) -> None:
        np.add.at(target._array, self._inner_key(key), values._array)

    def assign(self, target: Array, key: Any, values: Any) -> None:
        """Assign as NumPy does, also with integer arrays in the key, which the library refuses."""
        parts = key if isinstance(key, tuple) else (key,)
        if not any("int" in str(getattr(k, "dtype", "")) for k in parts):
            target[key] = values
        else:
            target._array[self._inner_key(key)] = values._array if hasattr(values, "dtype") else values

    def _inner_key(self, key: Any) -> Any:
        """Return a key of the underlying NumPy arrays, as a custom kernel would have, without a copy."""
        parts = key if isinstance(key, tuple) else (key,)
        return tuple(k._array if hasattr(k, "dtype") else k for k in parts)

    def memory(self, index: int) -> dict[str, int]:
        return {"used": 0, "total": 0}


def register_strict() -> None:
    array_api_strict.set_array_api_strict_flags(api_version="2024.12")
    register("strict", Strict, library="array_api_strict")
