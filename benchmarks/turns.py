"""Peers in processes of their own that take turns."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

BUDGET, REST = 0.3, 0.25  # seconds of running a turn, and for a thread pool to go to sleep after it


class Job(NamedTuple):
    """What a peer does: `step` is timed; `check` gives numbers that all peers must agree on, or none."""

    step: Callable[[], Any]
    check: Callable[[], list[float]] = list
    per: int = 1  # how many things one step does, for the time of one


def serve(job: Job) -> None:
    """A worker: say the check, then for each line on standard input run for as long, and say the best
    time."""
    job.step()
    print(json.dumps(job.check()), flush=True)
    for line in sys.stdin:
        best, end = float("inf"), time.perf_counter() + float(line)
        while True:
            start = time.perf_counter()
            job.step()
            now = time.perf_counter()
            best = min(best, now - start)
            if now > end:
                break
        print(best / job.per, flush=True)


class Worker:
    """The process of one peer."""

    def __init__(self, suite: str, peer: str, case: str) -> None:
        command = [sys.executable, "-W", "ignore", str(Path(__file__).parent), "--worker", suite, peer, case]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        self.check: list[float] | None = json.loads(line) if line else None

    def turn(self) -> float:
        """Seconds of its best run."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{BUDGET}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> str:
        """End it; what it said of an error."""
        _, said = self._process.communicate()
        return said.strip().rpartition("\n")[2]


def table(name: str, suite: Any, options: Any) -> None:
    """Time every case of a suite for every peer, and print the times and their ratios to the first peer's."""
    peers = [p for p in suite.PEERS if not options.peers or p in options.peers]
    print(f"\n{suite.TITLE}", flush=True)
    print(
        f"| {suite.CASE} | "
        + " | ".join(peers)
        + f" | over {peers[0]}: "
        + ", ".join(peers[1:])
        + " | differ by |"
    )
    print("|" + "---|" * (len(peers) + 3))
    for case in suite.CASES:
        if options.cases and not any(part in case for part in options.cases):
            continue
        workers = {p: Worker(name, p, case) for p in peers}
        absent = {p for p, w in workers.items() if w.check is None}
        times: dict[str, list[float]] = {p: [] for p in peers}
        for _ in range(options.turns):
            for p in peers:
                if p not in absent:
                    times[p].append(workers[p].turn())
                    time.sleep(REST)
        for p, w in workers.items():
            said = w.close()
            if p in absent:
                print(f"  {p}: {said}", file=sys.stderr)
        middle = {p: statistics.median(t) * suite.UNIT for p, t in times.items() if t}
        ratios = ", ".join(
            f"{middle[p] / middle[peers[0]]:.2f}" if {p, peers[0]} <= {*middle} else "-" for p in peers[1:]
        )
        shown = " | ".join(f"{middle[p]:.4g}" if p in middle else "-" for p in peers)
        print(
            f"| {case} | {shown} | {ratios} | "
            f"{_difference([w.check for w in workers.values() if w.check])} |",
            flush=True,
        )


def _difference(checks: list[list[float]]) -> str:
    """The largest relative difference between what the peers computed; what is nearly nothing counts as a
    thousandth of the largest."""
    least = max((abs(b) for c in checks[:1] for b in c), default=0.0) / 1e3 or 1.0
    worst = max(
        (abs(a - b) / max(abs(b), least) for c in checks[1:] for a, b in zip(c, checks[0], strict=True)),
        default=None,
    )
    return "-" if worst is None else f"{worst:.0e}"
