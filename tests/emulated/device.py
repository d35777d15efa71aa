"""A launcher that runs a GPU's schedules on the CPU."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from xgrad.backends.cuda.protocol import Launcher
from xgrad.compiler.codegen.cuda.chips import Chip
from xgrad.compiler.codegen.cuda.device import DEVICE

from . import compile as compiled


class EmulatedLauncher(Launcher):
    """Runs kernels on NumPy arrays, compiled for the host; products by NumPy, rounded as `precision` says."""

    def __init__(
        self, chip: Chip, seed: int = 0, slower: str = "step by step", kind: type[np.ndarray] = np.ndarray
    ) -> None:
        self._chip, self.seed, self.slower, self.kind = chip, seed, slower, kind
        self.launches: list[str] = []
        self._kept: dict[int, np.ndarray] = {}

    def chip(self) -> tuple[str, int, int, int, int, int]:
        return tuple(self._chip)  # type: ignore[return-value]

    def load(self, source: str) -> Callable[[str], Any]:
        library = compiled(source.replace(DEVICE.strip(), ""))
        assert not library.warnings, library.warnings
        return lambda name: (library, name)

    def launch(self, kernel: Any, launch: Any, arguments: Sequence[int]) -> None:
        library, name = kernel
        assert launch.grid * launch.cooperative <= self._chip.processors
        assert launch.shared <= self._chip.shared
        count = len(launch.places)
        given = [*map(int, arguments[:count]), *map(ctypes.c_longlong, arguments[count:])]
        cluster = launch.cluster if launch.cluster > 1 else None
        library.launch(
            name,
            (launch.grid,),
            launch.block,
            launch.shared,
            given,
            cooperative=launch.cooperative,
            cluster=cluster,
            seed=self.seed,
        )
        self.launches.append(name)

    def product(self, product: Any, addresses: Sequence[int], precision: str) -> None:
        p = product
        self.launches.append(f"{p.m}x{p.k}x{p.n}")
        shapes = [(p.m, p.k), (p.k, p.n), (p.m, p.n)]
        for i in range(p.stack):
            a, b, out = (
                _matrix(address + i * apart * _size(p.dtype), shape, lead, across, p.dtype)
                for address, apart, shape, lead, across in zip(
                    addresses, p.apart, shapes, p.lead, (*p.across, False)
                )
            )
            wide = np.float64 if p.dtype == "float64" else np.float32
            a, b = (rounded(x, precision) if p.dtype == "float32" else x.astype(wide) for x in (a, b))
            total = a @ b
            out[...] = (total + out if p.add else total).astype(out.dtype)

    def memory(self, size: int) -> np.ndarray:
        whole = np.full(size + 256, 0xFF, np.uint8)  # NaN in every floating dtype
        skip = -whole.ctypes.data % 256
        return whole[skip : skip + size]

    def address(self, array: np.ndarray) -> int:
        return array.ctypes.data

    def ready(self, array: Any, dtype: str) -> np.ndarray:
        found = np.ascontiguousarray(array, _dtype(dtype))
        if found.ctypes.data % 256:  # GPU allocations are aligned like this
            aligned = self.view(self.memory(found.nbytes), found.size, dtype).reshape(found.shape)
            aligned[...] = found
            found = aligned
        return found

    def view(self, memory: np.ndarray, size: int, dtype: str) -> np.ndarray:
        return memory[: size * _size(dtype)].view(_dtype(dtype)).view(self.kind)

    def array(self, address: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: str) -> np.ndarray:
        if 0 in shape:
            return np.empty(shape, _dtype(dtype)).view(self.kind)
        reach = [(n - 1) * s for n, s in zip(shape, strides)]
        first = sum(r for r in reach if r < 0)
        size = sum(r for r in reach if r > 0) - first + _size(dtype)
        memory = (ctypes.c_char * size).from_address(address + first)
        return np.ndarray(shape, _dtype(dtype), memory, -first, strides).view(self.kind)

    def copy(self, target: int, source: int, size: int) -> None:
        ctypes.memmove(target, source, size)

    def recorded(self, work: Callable[[], None]) -> Callable[[], None]:
        return work

    def seconds(self, work: Callable[[], None]) -> float:
        before = len(self.launches)
        work()
        launched = self.launches[before:]
        return float((len(launched) > 4) == (self.slower == "step by step"))

    def stream(self) -> Hashable:
        return 0


def _matrix(address: int, shape: tuple[int, int], lead: int, across: bool, dtype: str) -> np.ndarray:
    """Return the matrix at an address, in BLAS's layout."""
    rows, columns = shape[::-1] if across else shape
    flat = (ctypes.c_char * (((rows - 1) * lead + columns) * _size(dtype))).from_address(address)
    found = np.lib.stride_tricks.as_strided(
        np.frombuffer(flat, _dtype(dtype)),
        (rows, columns),
        (lead * _size(dtype), _size(dtype)),
        writeable=True,
    )
    return found.T if across else found


def rounded(x: np.ndarray, precision: str) -> np.ndarray:
    """Round float32 numbers as tensor cores do.

    tf32 keeps 10 bits after the point, with ties away from zero; otherwise 7 bits, with ties to even.
    """
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    if precision == "tf32":
        bits = (bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000)
    elif precision == "bf16":
        bits = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
    return bits.view(np.float32)


def _dtype(name: str) -> Any:
    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


def _size(name: str) -> int:
    return _dtype(name).itemsize
