"""Time on the GPU and on the host."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, NamedTuple

MOST_CALLS = 1000


class Clock:
    """Of a library that computes at once, or whose queue `wait` waits for: the host's."""

    def __init__(self, wait: Callable[[], Any] = lambda: None) -> None:
        self.wait = wait

    def mark(self) -> Any:
        """A point in what was asked for so far."""
        self.wait()
        return time.perf_counter()

    def between(self, a: Any, b: Any) -> float:
        """Seconds from mark to mark."""
        return float(b - a)

    def free(self) -> None:
        """Give back memory that nothing holds."""
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


class Job(NamedTuple):
    """What a peer does: `step` is timed; `check` gives numbers that peers must agree on, or none; `facts` are
    for the record."""

    step: Callable[[], Any]
    clock: Clock
    check: Callable[[], list[float]] = list
    facts: Callable[[], dict[str, Any]] = dict
    held: ExitStack | None = None  # what must stay entered meanwhile


class Turn(NamedTuple):
    """Seconds of one step: on the GPU, of calls in a row; on the wall, of one call that is waited for; of the
    host, until a call returns.

    `doubt` says that the events did not cover the calls, as when a library works on another stream: the time
    is then the wall's.
    """

    gpu: float
    wall: float
    host: float
    calls: int
    doubt: bool


def measure(job: Job, budget: float) -> Turn:
    """About `budget` seconds of steps, after one that wakes the GPU."""
    clock, walls = job.clock, list[float]()
    job.step()
    clock.wait()
    while len(walls) < 5 and (not walls or sum(walls) < budget / 2):
        start = time.perf_counter()
        job.step()
        clock.wait()
        walls.append(time.perf_counter() - start)
    wall = statistics.median(walls)
    calls = max(1, min(MOST_CALLS, int(budget / wall)))
    start = time.perf_counter()
    first = clock.mark()
    for _ in range(calls):
        job.step()
    host = time.perf_counter() - start
    last = clock.mark()
    clock.wait()
    whole, gpu = time.perf_counter() - start, clock.between(first, last)
    doubt = gpu < 0.8 * whole - 1e-3
    return Turn((whole if doubt else gpu) / calls, wall, host / calls, calls, doubt)
