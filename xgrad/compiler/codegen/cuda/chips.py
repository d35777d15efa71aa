"""The properties of a GPU that kernels depend on."""

from __future__ import annotations

from typing import NamedTuple


class Chip(NamedTuple):
    """The properties of a GPU.

    Attributes:
        arch: its compute capability, 90 for 9.0.
        processors: the number of multiprocessors.
        shared: bytes of shared memory available to one block.
        threads: the maximum of resident threads per multiprocessor.
        registers: 4-byte registers per multiprocessor.
    """

    name: str
    arch: int
    processors: int
    shared: int
    threads: int
    registers: int = 65536


#: Chips by name, for tests and examples on machines without a GPU. From NVIDIA's tables of compute
#: capabilities.
CHIPS = {
    chip.name: chip
    for chip in (
        Chip("A100", 80, 108, 166912, 2048),
        Chip("A10", 86, 72, 101376, 1536),
        Chip("L4", 89, 58, 101376, 1536),
        Chip("RTX 4090", 89, 128, 101376, 1536),
        Chip("H100", 90, 132, 232448, 2048),
        Chip("H200", 90, 132, 232448, 2048),
        Chip("B200", 100, 148, 232448, 2048),
    )
}
