"""A peer's job, and the time of its steps: one at a time, and many in a row.

On the CPU the best of single steps says most, as whatever else the machine does only adds to a time. A GPU
works through a queue, so its time is that of steps in a row, which its own events take.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, NamedTuple

from .clock import Clock

MOST_CALLS = 1000


class Job(NamedTuple):
    """What a peer does in a case: `step` is timed, `check` gives numbers that all peers must agree on, or
    none."""

    step: Callable[[], Any]
    check: Callable[[], list[float]] = list
    per: int = 1  # how many things one step does, for the time of one
    clock: Clock = Clock()
    facts: Callable[[], dict[str, Any]] = dict  # for the record
    held: ExitStack | None = None  # what must stay entered meanwhile


def singly(job: Job, budget: float, most: int | None = None) -> list[float]:
    """Seconds of steps that are waited for one by one: for about `budget` seconds, at least one of them and
    at most `most`."""
    found, end = list[float](), time.perf_counter() + budget
    while not found or (time.perf_counter() <= end and len(found) != most):
        start = time.perf_counter()
        job.step()
        job.clock.wait()
        found.append(time.perf_counter() - start)
    return found


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
    clock = job.clock
    job.step()
    clock.wait()
    wall = statistics.median(singly(job, budget / 2, most=5))
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
