"""The parts `gru` and `cells`: cells through time in every peer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..harness.deadline import Deadline
from ..harness.turns import PATIENCE, Found, prepare, take_turns
from ..harness.worker import Failed, Worker
from ..suites.peers import PEERS
from ..suites.problems import UNFUSED, Case, cases
from .floor import floor
from .results import Results

GRU = cases(
    ["GRU"], [(T, B, H, H) for T in (128, 512) for H in (256, 512, 1024, 2048) for B in (16, 64, 128)]
)
CELLS = cases(UNFUSED, [(128, 64, 512, 512), (512, 16, 256, 256)])

#: By part: the cases of a quick run, and of a full run.
CASES = {
    "gru": (cases(["GRU"], [(3, 2, 4, 4)]), GRU),
    "cells": (cases(["MGU"], [(3, 2, 4, 4)]), CELLS),
}

#: Turns of each peer; far slower peers need fewer.
TURNS = {"xgrad": 3, "torch.nn.GRU": 3, "JAX scan": 2, "torch loop": 2, "torch.compile": 2}
BUDGET = 0.15  # seconds per turn


def run(results: Results, wanted: Sequence[Case], options: Any, deadline: Deadline) -> None:
    """Time all cases without a record.

    Raises OutOfTime if the time is not enough for all.
    """
    device: str = options.device
    workers = {
        peer: Worker("gpu", peer, device) for peer in PEERS if not options.peers or peer in options.peers
    }
    try:
        if "limits" not in results.records:
            results.record(
                "limits",
                ceilings(workers.get("xgrad") or Worker("gpu", "xgrad", device), options.quick, deadline),
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
    """Limits of the device, or the error that prevented the measurement."""
    try:
        found: dict[str, Any] = deadline.ask(worker, PATIENCE, "ceilings", quick=quick)
    except Failed as error:
        return {"error": str(error)}
    return {"error": found["missing"]} if "missing" in found else found


def compare(workers: dict[str, Worker], case: str, deadline: Deadline, quick: bool = False) -> Found:
    """Time each peer in a case; return times or the reason for none."""
    found = prepare(workers, case, deadline)
    turns = dict.fromkeys(TURNS, 1) if quick else TURNS
    take_turns(workers, found, deadline, turns, "turn", 0.01 if quick else BUDGET)
    return found


def shown(found: dict[str, Any]) -> str:
    """A peer's time in milliseconds, or the reason for none."""
    if "gpu" in found:
        return f"{1e3 * found['gpu']:.4g} ms"
    return f"missing ({found['missing']})" if "missing" in found else f"failed ({found['error']})"
