"""Alternating short measurements of all peers in one case, as machine speed varies over minutes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Any

from .deadline import Deadline
from .worker import Failed, Worker

PATIENCE = 150.0  # seconds to wait for an answer; preparation may include compilation
TIMES = ("best", "median", "gpu", "wall", "host")

#: By peer: `check` and `facts`, then times; or the reason for none, as `missing` or `error`.
Found = dict[str, dict[str, Any]]


def prepare(
    workers: Mapping[str, Worker], case: str, deadline: Deadline, patience: float = PATIENCE
) -> Found:
    """Prepare the job of each peer, one after the other, as some tune themselves by timing."""
    found: Found = {}
    for peer, worker in workers.items():
        try:
            found[peer] = deadline.ask(worker, patience, "prepare", case=case)
        except Failed as error:
            found[peer] = {"error": str(error)}
    return found


def take_turns(
    workers: Mapping[str, Worker],
    found: Found,
    deadline: Deadline,
    turns: Mapping[str, int],
    do: str,
    budget: float,
    rest: float = 0.0,
    patience: float = PATIENCE,
) -> None:
    """Add the times of the prepared peers to `found`.

    Each takes its number of turns, of `budget` seconds, with `rest` seconds after each. `do` is "best" or
    "turn", a request of the server.
    """
    taken: dict[str, list[dict[str, Any]]] = {peer: [] for peer in found if "check" in found[peer]}
    for i in range(max(turns.values())):
        for peer in [p for p in taken if i < turns[p]]:
            try:
                taken[peer].append(deadline.ask(workers[peer], patience, do, budget=budget))
            except Failed as error:
                found[peer] = {"error": str(error)}
                del taken[peer]
            time.sleep(rest)
    for peer, them in taken.items():
        found[peer] |= medians(them)


def medians(turns: list[dict[str, Any]]) -> dict[str, Any]:
    """The median of each time, the turns themselves, and whether any is doubtful."""
    times = {name: statistics.median(t[name] for t in turns) for name in TIMES if name in turns[0]}
    return {**times, "turns": turns, "doubt": any(t.get("doubt", False) for t in turns)}


def difference(found: Found) -> str:
    """Largest relative difference of any peer's numbers from those of the first peer that has some.

    Numbers near 0 are compared with a thousandth of the largest.
    """
    first, *others = [f["check"] for f in found.values() if f.get("check")] or [[]]
    least = max(map(abs, first), default=0.0) / 1e3 or 1.0
    worst = max(
        (abs(a - b) / max(abs(b), least) for them in others for a, b in zip(them, first, strict=True)),
        default=None,
    )
    return "-" if worst is None else f"{worst:.0e}"
