"""Clocks with a common interface: the host's, and CUDA events of CuPy and torch."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any


class Clock:
    """Host clock, for a library that is synchronous or whose queue `wait` waits for."""

    def __init__(self, wait: Callable[[], Any] = lambda: None) -> None:
        self.wait = wait

    def mark(self) -> Any:
        """Mark a point in time, after all steps started before it."""
        self.wait()
        return time.perf_counter()

    def between(self, a: Any, b: Any) -> float:
        """Seconds between two marks."""
        return float(b - a)

    def free(self) -> None:
        """Release unused pooled memory."""
        gc.collect()


class CupyClock(Clock):
    """Events on CuPy's current stream."""

    def __init__(self) -> None:
        import cupy

        self._cupy = cupy
        super().__init__(cupy.cuda.runtime.deviceSynchronize)

    def mark(self) -> Any:
        event = self._cupy.cuda.Event()
        event.record()
        return event

    def between(self, a: Any, b: Any) -> float:
        b.synchronize()
        return float(self._cupy.cuda.get_elapsed_time(a, b)) / 1e3

    def free(self) -> None:
        super().free()
        self._cupy.get_default_memory_pool().free_all_blocks()
        self._cupy.get_default_pinned_memory_pool().free_all_blocks()


class TorchClock(Clock):
    """Events on torch's current stream."""

    def __init__(self) -> None:
        import torch

        self._torch = torch
        super().__init__(torch.cuda.synchronize)

    def mark(self) -> Any:
        event = self._torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def between(self, a: Any, b: Any) -> float:
        b.synchronize()
        return float(a.elapsed_time(b)) / 1e3

    def free(self) -> None:
        super().free()
        self._torch.cuda.empty_cache()


def xgrad_clock(device: str) -> Clock:
    """Clock for xgrad: events on CUDA, else the host's."""
    return CupyClock() if device.startswith("cuda") else Clock()


def torch_clock(device: str) -> Clock:
    """Clock for torch: events on CUDA, else the host's."""
    return TorchClock() if device.startswith("cuda") else Clock()
