"""Cells through time in every peer, case after case: the parts `gru` and `cells`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

from gpu_cases import UNFUSED, Case, cases
from gpu_floor import floor
from gpu_peers import PEERS
from gpu_results import Results
from gpu_worker import Failed, Worker

GRU = cases(
    ["GRU"], [(T, B, H, H) for T in (128, 512) for H in (256, 512, 1024, 2048) for B in (16, 64, 128)]
)
CELLS = cases(UNFUSED, [(128, 64, 512, 512), (512, 16, 256, 256)])
QUICK_GRU, QUICK_CELLS = cases(["GRU"], [(3, 2, 4, 4)]), cases(["MGU"], [(3, 2, 4, 4)])

#: Turns of each peer; those that are far slower need no more to be told apart.
TURNS = {"xgrad": 3, "torch.nn.GRU": 3, "JAX scan": 2, "torch loop": 2, "torch.compile": 2}
BUDGET = 0.15  # seconds of running a turn
PATIENCE = 150.0  # seconds for a peer to get ready, which includes its compiler


class OutOfTime(Exception):
    """The part's time is over; what is missing can be done by another run."""


class Deadline:
    """The end of a part's time. Where there is none, `seconds` is None."""

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float:
        """Seconds; raises OutOfTime where there are none."""
        seconds = float("inf") if self._end is None else self._end - time.monotonic()
        if seconds <= 0:
            raise OutOfTime
        return seconds

    def ask(self, worker: Worker, limit: float, do: str, **arguments: Any) -> Any:
        """`worker.ask`, cut off by the end of the time too, which raises OutOfTime and not Failed."""
        try:
            return worker.ask(min(limit, self.left()), do, **arguments)
        except Failed:
            self.left()
            raise


def run(results: Results, wanted: Sequence[Case], options: Any, deadline: Deadline) -> None:
    """Time all cases that have no record. Raises OutOfTime where they were too many."""
    device: str = options.device
    workers = {peer: Worker(peer, device) for peer in PEERS if not options.peers or peer in options.peers}
    try:
        if "limits" not in results.records:
            results.record(
                "limits", ceilings(workers.get("xgrad") or Worker("xgrad", device), options.quick, deadline)
            )
        for case in wanted:
            if str(case) not in results.records and (
                not options.cases or any(part in str(case) for part in options.cases)
            ):
                record = {"peers": compare(workers, str(case), deadline, options.quick)}
                limits = results.records["limits"]
                results.record(
                    str(case), record if "error" in limits else {**record, "floor": floor(case, limits)}
                )
                print(
                    f"{case}: "
                    + ", ".join(f"{peer} {shown(found)}" for peer, found in record["peers"].items()),
                    flush=True,
                )
    finally:
        for worker in workers.values():
            worker.close()


def ceilings(worker: Worker, quick: bool, deadline: Deadline) -> dict[str, Any]:
    """What the device can do, or the error that kept it from being measured."""
    try:
        found: dict[str, Any] = deadline.ask(worker, PATIENCE, "ceilings", quick=quick)
    except Failed as error:
        return {"error": str(error)}
    return {"error": found["missing"]} if "missing" in found else found


def compare(workers: dict[str, Worker], case: str, deadline: Deadline, quick: bool = False) -> dict[str, Any]:
    """What each peer did in a case: times, or why it has none.

    One gets ready after the other, as some choose by timing.
    """
    found: dict[str, Any] = {}
    turns: dict[str, list[dict[str, Any]]] = {}
    for peer, worker in workers.items():
        try:
            found[peer] = deadline.ask(worker, PATIENCE, "prepare", case=case)
            if "missing" not in found[peer]:
                turns[peer] = []
        except Failed as error:
            found[peer] = {"error": str(error)}
    for i in range(1 if quick else max(TURNS.values())):
        for peer in [p for p in turns if i < TURNS[p]]:
            try:
                turns[peer].append(
                    deadline.ask(workers[peer], PATIENCE, "turn", budget=0.01 if quick else BUDGET)
                )
            except Failed as error:
                found[peer] = {"error": str(error)}
                del turns[peer]
    for peer, them in turns.items():
        found[peer] |= {name: statistics.median(t[name] for t in them) for name in ("gpu", "wall", "host")}
        found[peer] |= {"turns": them, "doubt": any(t["doubt"] for t in them)}
    return found


def shown(found: dict[str, Any]) -> str:
    """A peer's time in milliseconds, or why there is none."""
    if "gpu" in found:
        return f"{1e3 * found['gpu']:.4g} ms"
    return f"missing ({found['missing']})" if "missing" in found else f"failed ({found['error']})"
