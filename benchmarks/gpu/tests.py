"""The test suite on a device, and agreement with float64: the part `tests`."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import tempfile
from typing import Any

from .. import ROOT
from ..harness.deadline import Deadline
from ..harness.turns import PATIENCE
from ..harness.worker import Failed, Worker, environment
from ..suites.problems import UNFUSED, Case, cases
from .agreement import TOLERANCES, agrees
from .results import Results

#: Packages that the tests import, besides xgrad.
NEEDED = (
    "pytest",
    "hypothesis",
    "array_api_strict",
    "array_api_compat",
    "opt_einsum",
    "optree",
    "safetensors",
    "einops",
    "scipy",
    "sklearn",
)

#: Excluded: it builds and installs packages, which needs a network, and does not depend on the device.
LEFT_OUT = "tests/project/test_package.py"

RESERVE = 120.0  # seconds reserved for agreement after the suite

# The residual cell amplifies small differences from step to step, so errors grow in any precision.
AGREEMENT = [
    *cases(["GRU"], [(64, 16, 256, 256), (128, 64, 512, 512)]),
    *cases(
        [*(cell for cell in UNFUSED if cell != "residual"), "LSTM", "GRU in slices", "layer norm"],
        [(32, 16, 256, 256)],
    ),
    *cases(["residual"], [(8, 16, 256, 256)]),
]
QUICK = cases(["GRU", "residual"], [(3, 2, 4, 4)])


def run(results: Results, options: Any, deadline: Deadline) -> None:
    """Run both, unless already recorded."""
    if "test suite" not in results.records:
        tests = options.tests or (["tests/core/test_handles.py"] if options.quick else [])
        found = suite(options.device, tests, min(options.suite_limit, max(60.0, deadline.left() - RESERVE)))
        results.record("test suite", found)
        print(f"test suite: {found['summary']}", flush=True)
    worker = Worker("gpu", "xgrad", options.device)
    try:
        for case in QUICK if options.quick else AGREEMENT:
            name = f"agreement {case}"
            if name not in results.records and (
                not options.cases or any(part in name for part in options.cases)
            ):
                results.record(name, agreement(worker, case, deadline))
                print(f"{name}: {results.records[name]}", flush=True)
    finally:
        worker.close()


def agreement(worker: Worker, case: Case, deadline: Deadline) -> dict[str, Any]:
    """The errors of a case, and whether they are within tolerance; None if the precision is missing."""
    try:
        found: dict[str, Any] = deadline.ask(worker, PATIENCE, "agree", case=str(case))
    except Failed as error:
        return {"passed": False, "error": str(error)}
    if "missing" in found:
        return {"passed": None, **found}
    return {
        "passed": agrees(found["errors"], case.precision),
        "worst": max(found["errors"].values()),
        "allowed": TOLERANCES[case.precision],
        **found,
    }


def suite(device: str, tests: list[str], limit: float) -> dict[str, Any]:
    """Run pytest; return its last output, its counts, and the failed tests."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if "pytest" in missing:
        return {"passed": False, "summary": f"not run: {', '.join(missing)} missing", "missing": missing}
    workers = (
        ["-n", str(min(12, os.cpu_count() or 1))] if importlib.util.find_spec("xdist") and not tests else []
    )
    command = [sys.executable, "-m", "pytest", "-rfE", "--tb=short", f"--ignore={LEFT_OUT}", *workers, *tests]
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=_environment(device),
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code: int | None = process.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            code = None
        said.seek(0)
        text = said.read()
    return {"missing": missing, "left out": LEFT_OUT, **read(text, code, limit)}


def _environment(device: str) -> dict[str, str]:
    """Environment for pytest.

    Tests choose their devices themselves: all that are available, or another index if set here.
    """
    env = environment(device)
    del env["XGRAD_DEVICE"]
    return env if device in ("cpu", "cuda", "cuda:0") else env | {"XGRAD_TEST_DEVICES": device}


def read(text: str, code: int | None, limit: float) -> dict[str, Any]:
    """Parse the output of pytest and its exit code, None if it timed out.

    It passed only if the exit code is 0 and at least one test ran.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    said = re.findall(
        r"(\d+) (passed|failed|skipped|errors?|xfailed|deselected)\b", lines[-1] if lines else ""
    )
    counts = {word.rstrip("s"): int(n) for n, word in said}
    last = lines[-1].strip("= ") if lines else "it said nothing"
    failed = [line for line in lines if line.startswith(("FAILED ", "ERROR "))]
    tail = [] if code == 0 else lines[-40:]
    summary = last if code is not None else f"cut off after {limit:.0f} s: {last}"
    return {
        "passed": code == 0 and counts.get("passed", 0) > 0,
        "summary": summary,
        "counts": counts,
        "failed": failed[:200],
        "tail": tail,
    }
