"""Test and benchmark xgrad on a GPU.

`make gpu`, or `python benchmarks gpu`, runs all parts; `gpu-PART` runs one.

    gpu-probe   two minutes: toolchain, clusters, barriers, recordings, races, in both ways of a loop
    gpu-tests   the whole test suite, and agreement with float64 on the CPU
    gpu-gru     the reset-before GRU, compared with cuDNN, torch, torch.compile and JAX
    gpu-cells   cells that no framework has fused
    gpu-train   examples/train.py, and its step compared with torch
    gpu-table   the table in docs/19-benchmarks.md, from existing results

Each part writes benchmarks/results/DATE-GPU-PART.json and .md after every case. Cases already recorded for
this day and GPU are not run again (unless `--force` is given), so an aborted part resumes. A single part
stops after --limit seconds and exits with 75: run it again for the rest. A run of all parts has no limit. If
the probe finds a problem, it ends the run with one line. A failed test, a disagreement, or an error of xgrad
makes the exit status 1; a missed goal does not.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from .. import ROOT
from ..harness import machine
from ..harness.deadline import Deadline, OutOfTime
from . import probe, table, tests, timing, training
from .goals import GOALS, failures, verdicts
from .pages import page
from .results import FOLDER, Results

PAGE = ROOT / "docs" / "19-benchmarks.md"
PARTS = ("probe", *table.PARTS)
UNFINISHED = 75  # EX_TEMPFAIL of sysexits.h: try again


def main(arguments: list[str]) -> int:
    """Run the parts given on the command line; return the exit status."""
    options = parse(arguments)
    folder = Path(options.results)
    if options.part == "gpu-table":
        PAGE.write_text(table.inserted(PAGE.read_text(), folder))
        return 0
    parts = PARTS if options.part == "gpu" else [options.part.removeprefix("gpu-")]
    here = machine.gpu(options.device)
    if here["GPU"] == machine.NO_GPU:
        sys.exit(
            "nvidia-smi shows no GPU here; --device cpu --quick --results FOLDER sees that "
            "everything runs without one"
        )
    print(machine.describe(here), flush=True)
    statuses = [
        run(part, Results(folder, part + some(options), here, page, options.force), options) for part in parts
    ]
    return 1 if 1 in statuses else max(statuses)


def some(options: Any) -> str:
    """File name suffix for partial results, to distinguish them from complete ones."""
    return "-quick" if options.quick else "-some" if options.peers or options.cases or options.tests else ""


def run(part: str, results: Results, options: Any) -> int:
    """Run one part, print its results, and return its exit status."""
    print(f"\n{part}: {results.path}", flush=True)
    unlimited = options.part == "gpu" or options.limit <= 0
    deadline = Deadline(None if unlimited else options.limit)
    try:
        if results.data["finished"]:
            print("recorded today already; --force (FORCE=1 for make) runs it again")
        elif part == "probe":
            probe.run(results, options, deadline)
        elif part == "tests":
            tests.run(results, options, deadline)
        elif part == "train":
            training.run(results, options, deadline)
        else:
            quick, whole = timing.CASES[part]
            timing.run(results, quick if options.quick else whole, options, deadline)
        results.finish()
    except OutOfTime:
        results.write()
        print(
            f"{part}: out of time, {len(results.records)} records are kept; run it again to go on", flush=True
        )
        return 1 if failures(results.records) else UNFINISHED
    for v in verdicts(results.records):
        judged = f"goal {GOALS[v.peer]}: {'met' if v.met else 'NOT MET'}"
        print(
            f"{v.precision}, {v.peer}: {v.median:.2f} at the median of {v.sizes}, least "
            f"{v.least:.2f} at {v.where}; {judged}"
        )
    failed = failures(results.records)
    print("\n".join(f"FAILED {line}" for line in failed) or f"{part}: nothing failed", flush=True)
    return 1 if failed else 0


def parse(arguments: list[str]) -> Any:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=["gpu", "gpu-table", *(f"gpu-{part}" for part in PARTS)])
    parser.add_argument("--device", default="cuda", help="default %(default)s")
    parser.add_argument(
        "--results",
        default=str(FOLDER),
        metavar="FOLDER",
        help="default benchmarks/results; a run on the CPU must name one",
    )
    parser.add_argument(
        "--limit",
        type=float,
        default=510,
        metavar="SECONDS",
        help="for one part; 0 for none (default %(default)s)",
    )
    parser.add_argument(
        "--suite-limit",
        type=float,
        default=900,
        metavar="SECONDS",
        help="for the tests, if that is less (default %(default)s)",
    )
    parser.add_argument("--force", action="store_true", help="forget what was recorded today")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one tiny case and one file of tests, to see that everything runs",
    )
    parser.add_argument(
        "--peers",
        nargs="*",
        help="only these; results of some peers, cases or tests have names of their own, and are in no table",
    )
    parser.add_argument("--cases", nargs="*", help="only the cases whose text contains one of these")
    parser.add_argument(
        "--tests", nargs="*", default=[], metavar="PATH", help="only these tests (default: all)"
    )
    options = parser.parse_args(arguments)
    if (
        not options.device.startswith("cuda")
        and options.results == str(FOLDER)
        and options.part != "gpu-table"
    ):
        parser.error("results in benchmarks/results are a GPU's; name another folder with --results")
    return options
