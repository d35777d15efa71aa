"""Run many random programs, each in some of the ways.

python -m tests.fuzz --count 10000 --jobs 2        fresh programs; prints their seed
python -m tests.fuzz --count 10000 --seed 4242     the same programs again
python -m tests.fuzz 81234567 --kind grad --way compile   one program again, shrunk if it fails
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import platform
import random
import subprocess
import sys
import threading
import time
import warnings
from typing import Any

from . import numbers_of

os.environ.setdefault("XGRAD_CACHE_DIR", f"{os.devnull}/none")  # these programs are never run again


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("programs", nargs="*", type=int, help="numbers of programs to look at")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument(
        "--seed",
        type=int,
        default=int(os.environ.get("XGRAD_FUZZ_SEED") or random.SystemRandom().getrandbits(31)),
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--attempts", type=int, default=3, help="kinds and ways for each program")
    parser.add_argument("--way", action="append", help="only this way")
    parser.add_argument("--kind", help="only this kind")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=60.0, help="for making a program smaller")
    args = parser.parse_args()
    if args.worker:
        return work(args)
    return look(args) if args.programs else fuzz(args)


# Many


def fuzz(args: Any) -> int:
    print(
        f"{args.count} programs of the seed {args.seed}: to repeat, XGRAD_FUZZ_SEED={args.seed} or "
        f"--seed {args.seed}",
        flush=True,
    )
    start = time.monotonic()
    tally: collections.Counter[str] = collections.Counter()
    faults: list[str] = []
    threads = [threading.Thread(target=attended, args=(args, k, tally, faults)) for k in range(args.jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    minutes = (time.monotonic() - start) / 60
    ways = ", ".join(f"{name} {n}" for name, n in sorted(tally.items()) if name.startswith("by "))
    print(
        f"{tally['programs']} programs, {tally['skipped']} left out, {tally['runs']} runs ({ways}), "
        f"{len(faults)} faults, {minutes:.1f} minutes, {machine()}"
    )
    return bool(faults)


def machine() -> str:
    import numpy as np

    return (
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, NumPy "
        f"{np.__version__}"
    )


def attended(args: Any, k: int, tally: collections.Counter[str], faults: list[str]) -> None:
    """Run every `jobs`-th program in a worker process, which is restarted if a program kills it."""
    first, share = 0, len(range(k, args.count, args.jobs))
    while first < share:
        options = [
            "--worker",
            f"{k}:{first}",
            "--count",
            str(args.count),
            "--seed",
            str(args.seed),
            "--jobs",
            str(args.jobs),
            "--attempts",
            str(args.attempts),
        ]
        options += [option for way in args.way or () for option in ("--way", way)] + (
            ["--kind", args.kind] if args.kind else []
        )
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz", *options], stdout=subprocess.PIPE, text=True
        )
        last: dict[str, Any] = {}
        assert process.stdout is not None
        for line in process.stdout:
            last = json.loads(line)
            first = last["index"] + 1
            tally.update(last.get("tally", {}))
            for fault in last.get("faults", ()):
                report(fault, faults)
        if process.wait() and first < share:
            report(
                f"program {last.get('began')}: the process ended with {process.returncode}, "
                f"{last.get('doing')}",
                faults,
            )
            first += "doing" in last or not last
        elif first < share:
            return


def report(fault: str, faults: list[str]) -> None:
    faults.append(fault)
    print(fault[:400].replace("\n", " "), flush=True)


def work(args: Any) -> int:
    """Run the programs of one process, and print a line for each check."""
    from .ways import Skipped, attempts, case_of, wrong

    warnings.simplefilter("ignore")
    k, first = map(int, args.worker.split(":"))
    for index, number in enumerate(numbers_of(args.seed, args.count)[k :: args.jobs]):
        if index < first:
            continue
        tally, faults = collections.Counter(programs=1), []
        try:
            case = case_of(number)
        except Skipped:
            tally["skipped"] += 1
        else:
            for kind, way in attempts(
                number, [args.kind] if args.kind in case.kinds else case.kinds, args.attempts, args.way
            ):
                print(
                    json.dumps({"index": index - 1, "began": number, "doing": f"{kind}, {way}"}), flush=True
                )
                message = wrong(case, kind, way)
                tally.update({"runs": 1, f"by {way}": 1})
                if message is not None:
                    faults.append(f"program {number}, {kind}, {way}: {message}")
        print(json.dumps({"index": index, "tally": tally, "faults": faults}), flush=True)
    return 0


# One


def look(args: Any) -> int:
    """Report what is wrong with programs, shrunk to the smallest that still fail."""
    from .shrinking import smallest
    from .ways import Skipped, attempts, case_of

    warnings.simplefilter("ignore")
    found = 0
    for number in args.programs:
        try:
            case = case_of(number)
        except Skipped as error:
            print(f"program {number}: nothing can be said: {error}")
            continue
        pairs = (
            attempts(number, case.kinds, args.attempts, args.way)
            if args.kind is None
            else [(args.kind, way) for way in args.way or ["compile"]]
        )
        for kind, way in pairs:
            text = smallest(number, kind, way, args.seconds)
            if text is not None:
                found += 1
                print(text)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
