"""CPU suites: peers timed in several cases, and the table of times and ratios."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from .deadline import Deadline
from .measure import Job
from .tables import line, rule
from .turns import Found, difference, prepare, take_turns
from .worker import Worker

BUDGET, REST = 0.3, 0.25  # seconds per turn, and seconds for a thread pool to go to sleep after it
PATIENCE = 3600.0  # seconds to wait for an answer: on a busy machine a step may take minutes


class Suite(NamedTuple):
    """The peers and cases of a suite.

    Each of `peers` makes the job of a case; the first peer is the reference. `fact` is the name of one of its
    job's facts, shown in a column.
    """

    title: str
    case: str  # the heading of the column of cases
    cases: Sequence[str]
    unit: float  # number of the table's units in a second
    peers: Mapping[str, Callable[[str], Job]]
    fact: str = ""

    def chosen(self, parts: list[str] | None) -> list[str]:
        """The cases whose names contain one of these parts, ignoring case; all if there are no parts."""
        return [c for c in self.cases if not parts or any(part.lower() in c.lower() for part in parts)]


def compare(
    name: str,
    suite: Suite,
    turns: int,
    peers: list[str] | None = None,
    cases: list[str] | None = None,
    busy: bool = False,
) -> None:
    """Time every case for every peer; print times and ratios to the first peer's.

    `peers` and `cases` (parts of names) restrict the selection. With `busy`, each case is timed again while
    other processes occupy all cores, and a third row has the ratios of the two.
    """
    time = "median" if busy else "best"
    chosen = [p for p in suite.peers if not peers or p in peers]
    print(f"\n{suite.title}", flush=True)
    fact = [suite.fact] if suite.fact else []
    print(line([suite.case, *chosen, f"over {chosen[0]}: {', '.join(chosen[1:])}", "differ by", *fact]))
    print(rule(len(chosen) + 3 + len(fact)))
    for case in suite.chosen(cases):
        found = timed({p: Worker(name, p, "cpu") for p in chosen}, case, turns)
        for p in chosen:
            why = found[p].get("error") or found[p].get("missing")
            if why:
                print(f"  {p}: {why}", file=sys.stderr)
        facts = [str(found[chosen[0]].get("facts", {}).get(name, "-")) for name in fact]
        print(line([case, *figures(found, suite.unit, time), *facts]), flush=True)
        if busy:
            with occupied():
                again = timed({p: Worker(name, p, "cpu") for p in chosen}, case, turns)
            print(line([f"{case}, busy", *figures(again, suite.unit, time), *facts]), flush=True)
            both = [
                f"{again[p][time] / found[p][time]:.2f}" if time in again[p] and time in found[p] else "-"
                for p in chosen
            ]
            print(line(["busy over idle", *both, "-", "-", *("-" for _ in facts)]), flush=True)


@contextmanager
def occupied() -> Iterator[None]:
    """Occupy every core that this process may use with a process that never pauses."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in os.sched_getaffinity(0)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def timed(workers: Mapping[str, Worker], case: str, turns: int) -> Found:
    """Time one case, in new processes."""
    deadline = Deadline(None)
    try:
        found = prepare(workers, case, deadline, PATIENCE)
        take_turns(workers, found, deadline, dict.fromkeys(workers, turns), "best", BUDGET, REST, PATIENCE)
    finally:
        for worker in workers.values():
            worker.close()
    return found


def figures(found: Found, unit: float, time: str = "best") -> list[str]:
    """The cells of a row: each peer's time, ratios to the first peer's, and the difference of results."""
    times = {p: f[time] * unit for p, f in found.items() if time in f}
    shown = [f"{times[p]:.4g}" if p in times else "-" for p in found]
    first, *others = found
    ratios = [f"{times[p] / times[first]:.2f}" if {p, first} <= {*times} else "-" for p in others]
    return [*shown, ", ".join(ratios), difference(found)]
