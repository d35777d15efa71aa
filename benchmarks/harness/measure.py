"""A peer's job, and timing of its steps: single steps, or many in a row.

On the CPU the best single step is the best measure, as other load only adds time. A GPU works asynchronously,
so its time is that of queued steps, measured by its own events.
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
    """A peer's work in a case.

    `step` is timed; `check` returns numbers on which all peers must agree, or none.
    """

    step: Callable[[], Any]
    check: Callable[[], list[float]] = list
    per: int = 1  # items of work per step, to report the time of one
    clock: Clock = Clock()
    facts: Callable[[], dict[str, Any]] = dict  # for the record
    held: ExitStack | None = None  # contexts to keep open meanwhile


def singly(job: Job, budget: float, most: int | None = None) -> list[float]:
    """Times of single synchronous steps.

    It runs for about `budget` seconds, at least one step and at most `most`.
    """
    found, end = list[float](), time.perf_counter() + budget
    while not found or (time.perf_counter() <= end and len(found) != most):
        start = time.perf_counter()
        job.step()
        job.clock.wait()
        found.append(time.perf_counter() - start)
    return found


class Turn(NamedTuple):
    """Seconds of one step: GPU time of queued calls, wall time of a synchronous call, host time of a call.

    `doubt` says that the events did not cover the calls, for example because a library uses another stream;
    the time is then wall-clock time.
    """

    gpu: float
    wall: float
    host: float
    calls: int
    doubt: bool


def measure(job: Job, budget: float) -> Turn:
    """Time steps for about `budget` seconds, after one warm-up step."""
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
