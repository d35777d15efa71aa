"""Copies of arrays between guard regions, which detect out-of-bounds writes."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np

GUARD = 4096  # bytes on either side
MARK = 0xA5
ALIGNMENT = 256  # of an allocation on a GPU


def _bounds(array: np.ndarray) -> tuple[int, int]:
    """Return the address of an array's first byte, and of the byte after its last."""
    low, high = np.lib.array_utils.byte_bounds(array)
    return (low, low) if array.size == 0 else (low, high)


def _root(array: np.ndarray) -> np.ndarray:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


class Guarded:
    """Copies of arrays in guarded memory; arrays whose memory overlaps keep doing so.

    `addresses` are the copies' first elements, in the order of the arrays. A view is aligned as it would be
    if its base were an allocation of the GPU's.
    """

    def __init__(self, arrays: Sequence[np.ndarray]) -> None:
        self.arrays = arrays
        self.regions: list[_Region] = []
        for i in sorted(range(len(arrays)), key=lambda i: _bounds(arrays[i])):
            low, high = _bounds(arrays[i])
            if not self.regions or low >= self.regions[-1].high:
                self.regions.append(_Region(low, high, _root(arrays[i]).ctypes.data))
            region = self.regions[-1]
            region.high = max(region.high, high)
            region.members.append(i)
        for region in self.regions:
            region.fill()
        place = {i: region for region in self.regions for i in region.members}
        self.addresses = [place[i].copy + array.ctypes.data - place[i].low for i, array in enumerate(arrays)]

    def wrong(self) -> str | None:
        """Describe a write outside the arrays or to a read-only one, or return None."""
        for region in self.regions:
            named = " and ".join(f"{i} of shape {self.arrays[i].shape}" for i in region.members)
            for where, memory in (("before", region.before[::-1]), ("behind", region.behind)):
                written = np.flatnonzero(memory != MARK)
                if written.size:
                    return f"has written {written[0]} bytes {where} array {named}"
            if (
                not any(self.arrays[i].flags.writeable for i in region.members)
                and region.data.tobytes() != region.original
            ):
                return f"has written the read-only array {named}"
        return None

    def copy_back(self) -> None:
        """Copy the results of the kernel back to the arrays."""
        for region in self.regions:
            if any(self.arrays[i].flags.writeable for i in region.members):
                ctypes.memmove(region.low, region.copy, region.high - region.low)


class _Region:
    """The memory of overlapping arrays, and its copy."""

    def __init__(self, low: int, high: int, root: int) -> None:
        self.low, self.high, self.root = low, high, root
        self.members: list[int] = []

    def fill(self) -> None:
        size = self.high - self.low
        memory = np.full(size + 2 * GUARD + 2 * ALIGNMENT, MARK, np.uint8)
        start = GUARD + (self.low - self.root - memory.ctypes.data - GUARD) % ALIGNMENT
        self.before, self.data, self.behind = (
            memory[:start],
            memory[start : start + size],
            memory[start + size :],
        )
        self.copy = self.data.ctypes.data if size else memory.ctypes.data + start
        self.original = ctypes.string_at(self.low, size)
        self.data[:] = np.frombuffer(self.original, np.uint8)
