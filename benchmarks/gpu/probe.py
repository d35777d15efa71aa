"""A two-minute check on a GPU for problems that would spoil later parts, reported in one line.

It checks NVRTC and the driver, clusters, barriers by counters in memory, cooperative launches in a recording,
and races: a step repeated thirty times must give the same bits. Each loop is run in both ways, set by
XGRAD_LOOPS, as otherwise only the faster one would run. A hanging launch is detected by a timeout.
"""

from __future__ import annotations

import time
from typing import Any

from ..harness.deadline import Deadline
from ..harness.worker import Failed, Worker
from ..suites.problems import Case, cases
from .results import Results

WAYS = ("persistent", "steps")
LIMIT = 120.0  # total seconds

#: Cases that fit in a cluster, and cases too large for one, which use counters in memory; in each precision.
CASES = [
    *cases(["GRU"], [(16, 64, 256, 256)]),
    *(Case("GRU", precision, 16, 64, 512, 512) for precision in ("float32", "bfloat16")),
    Case("GRU", "tf32", 16, 128, 1024, 1024),
    Case("layer norm", "float32", 16, 16, 256, 256),
]
QUICK = cases(["GRU"], [(3, 2, 4, 4)])


def run(results: Results, options: Any, deadline: Deadline) -> None:
    """Probe each way of running loops, and record the results.

    On a problem, it ends the program with one line.
    """
    end = time.monotonic() + LIMIT
    barriers: set[str] = set()
    for way in WAYS:
        worker = Worker("gpu", "xgrad", options.device, XGRAD_LOOPS=way)
        try:
            if way == WAYS[0]:
                found = _asked(worker, deadline, end, "toolchain")
                results.record("toolchain", found)
                print(
                    ", ".join(f"{name} {version}" for name, version in found["versions"].items()), flush=True
                )
            for case in QUICK if options.quick else CASES:
                start = time.monotonic()
                found = _asked(worker, deadline, end, "probe", case=str(case))
                results.record(f"{case}, {way}", {"passed": True, **found})
                loops = found.get("facts", {}).get("loops", [])
                _check_way(case, way, loops)
                barriers |= {loop["barrier"] for loop in loops if way == "persistent"}
                said = ", ".join(f"{loop['way']} {loop['barrier']}".strip() for loop in loops)
                off = f"off by {found['worst']:.1e}" if "worst" in found else f"missing ({found['missing']})"
                print(
                    f"{case}, {way}: {off}, {said or 'no loop'}, {time.monotonic() - start:.1f} s", flush=True
                )
        finally:
            worker.close()
    if options.device.startswith("cuda") and not options.quick and not {"counted"} <= barriers:
        raise SystemExit(
            f"probe: no loop waited at a counted barrier; there were {', '.join(sorted(barriers)) or 'none'}"
        )


def _asked(worker: Worker, deadline: Deadline, end: float, do: str, **arguments: Any) -> dict[str, Any]:
    """Answer to a request; on a problem, end the program with a line that describes it."""
    what = f"{arguments.get('case', do)}, XGRAD_LOOPS={worker.variables['XGRAD_LOOPS']}"
    try:
        found: dict[str, Any] = deadline.ask(worker, max(1.0, end - time.monotonic()), do, **arguments)
    except Failed as error:
        raise SystemExit(f"probe: {what}: {error}") from None
    return found


def _check_way(case: Case, way: str, loops: list[dict[str, Any]]) -> None:
    """Check that every loop ran in the requested way, if possible."""
    other = [
        loop
        for loop in loops
        if loop["way"] != ("one launch" if way == "persistent" else "step by step") and not loop["why"]
    ]
    if other:
        raise SystemExit(f"probe: {case}: with XGRAD_LOOPS={way} a loop was run {other[0]['way']}")
