"""The first two minutes on a GPU: what would spoil all that comes after shows here, in one line.

NVRTC and the driver, clusters, barriers that count in memory, cooperative launches in a recording, and
races: a step that is done thirty times gives the same bits. Each loop is run in both ways in turn, by
XGRAD_LOOPS, as otherwise only the faster one would be. A launch that hangs is found by its time.
"""

from __future__ import annotations

import time
from typing import Any

from ..harness.deadline import Deadline
from ..harness.worker import Failed, Worker
from ..suites.problems import Case, cases
from .results import Results

WAYS = ("persistent", "steps")
LIMIT = 120.0  # seconds for all of it

#: Small enough for clusters, and too large for one, so that blocks count in memory; in each arithmetic.
CASES = [
    *cases(["GRU"], [(16, 64, 256, 256)]),
    *(Case("GRU", precision, 16, 64, 512, 512) for precision in ("float32", "bfloat16")),
    Case("GRU", "tf32", 16, 128, 1024, 1024),
    Case("layer norm", "float32", 16, 16, 256, 256),
]
QUICK = cases(["GRU"], [(3, 2, 4, 4)])


def run(results: Results, options: Any, deadline: Deadline) -> None:
    """Probe in each way, and record what was found. Ends the program with one line where something is off."""
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
    """The answer to a request, or the end of the program with the line that says what is off."""
    what = f"{arguments.get('case', do)}, XGRAD_LOOPS={worker.variables['XGRAD_LOOPS']}"
    try:
        found: dict[str, Any] = deadline.ask(worker, max(1.0, end - time.monotonic()), do, **arguments)
    except Failed as error:
        raise SystemExit(f"probe: {what}: {error}") from None
    return found


def _check_way(case: Case, way: str, loops: list[dict[str, Any]]) -> None:
    """Check that every loop ran in this way, if it can."""
    other = [
        loop
        for loop in loops
        if loop["way"] != ("one launch" if way == "persistent" else "step by step") and not loop["why"]
    ]
    if other:
        raise SystemExit(f"probe: {case}: with XGRAD_LOOPS={way} a loop was run {other[0]['way']}")
