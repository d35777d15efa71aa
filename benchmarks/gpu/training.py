"""Training on a GPU: the part `train`.

It runs `examples/train.py` unchanged, and compares its step with the same model in torch.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from .. import ROOT
from ..harness.deadline import Deadline
from ..harness.turns import prepare, take_turns
from ..harness.worker import Worker, environment
from ..suites.training import characters
from .results import Results

CASES, QUICK = ["64,32,64,256", "64,128,256,1024"], ["4,2,3,5"]
TURNS, BUDGET = 3, 1.0


class Utilisation:
    """GPU utilisation sampled by nvidia-smi five times a second; None without nvidia-smi."""

    def __init__(self, device: str) -> None:
        self._process: subprocess.Popen[str] | None = None
        self.percent: float | None = None
        if device.startswith("cuda"):
            query = ["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
            self._command = ["nvidia-smi", *query, "-lms", "200", "-i", device.partition(":")[2] or "0"]

    def __enter__(self) -> Utilisation:
        if hasattr(self, "_command"):
            try:
                self._process = subprocess.Popen(
                    self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
                )
            except OSError:
                self._process = None
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self.percent = middle(self._process.communicate()[0])


def middle(said: str) -> float | None:
    """Median of the samples of nvidia-smi, except the first and last, which cover time outside."""
    found = [float(word) for word in said.split() if word.replace(".", "").isdigit()][1:-1]
    return statistics.median(found) if found else None


def run(results: Results, options: Any, deadline: Deadline) -> None:
    """Run both measurements, unless already recorded."""
    if "examples/train.py" not in results.records:
        results.record(
            "examples/train.py", example(options.device, options.quick, min(240.0, deadline.left()))
        )
        print(f"examples/train.py: {results.records['examples/train.py']}", flush=True)
    workers = {
        peer: Worker("gpu", peer, options.device)
        for peer in ("xgrad", "torch")
        if not options.peers or peer in options.peers
    }
    try:
        for case in QUICK if options.quick else CASES:
            if case not in results.records:
                results.record(
                    case,
                    {
                        "steps": {
                            peer: step(worker, case, options, deadline) for peer, worker in workers.items()
                        }
                    },
                )
                print(f"a step at {case}: {results.records[case]['steps']}", flush=True)
    finally:
        for worker in workers.values():
            worker.close()


def example(device: str, quick: bool, limit: float) -> dict[str, Any]:
    """Characters per second reported by the whole command, including compilation."""
    steps = (
        ["--steps", "4", "--hidden", "5", "--batch", "2", "--window", "4", "--streams", "1"]
        if quick
        else ["--steps", "2000"]
    )
    env = environment(device)
    with tempfile.TemporaryDirectory() as folder, Utilisation(device) as use:
        text = Path(folder, "text.txt")
        text.write_text("the quick brown fox jumps over the lazy dog; " * 9)
        few = ["--data", str(text)] if quick else []
        command = [
            sys.executable,
            str(ROOT / "examples" / "train.py"),
            "--quiet",
            "--sample",
            "0",
            "--out",
            folder,
            *steps,
            *few,
        ]
        try:
            done = subprocess.run(
                command, env=env, capture_output=True, text=True, check=False, timeout=limit
            )
        except subprocess.TimeoutExpired:
            return {"passed": False, "error": f"cut off after {limit:.0f} s"}
    speeds = re.findall(r"([\d,]+) characters/s", done.stdout)
    if done.returncode or not speeds:
        last = (done.stderr or done.stdout).strip().rpartition("\n")[2][:300]
        return {"passed": None if "is not installed" in last else False, "error": last}
    held_out = re.findall(r"([\d.]+) bits/char held out", done.stdout)
    return {
        "passed": True,
        "characters/s": float(speeds[-1].replace(",", "")),
        "bits": float(held_out[-1]),
        "GPU %": use.percent,
    }


def step(worker: Worker, case: str, options: Any, deadline: Deadline) -> dict[str, Any]:
    """GPU, wall-clock and host seconds of a training step, and its characters per second.

    The wall-clock time includes reading the loss, and gives the characters per second.
    """
    workers = {worker.peer: worker}
    ready = prepare(workers, f"train {case}", deadline)
    with Utilisation(options.device) as use:
        turns, budget = (1, 0.01) if options.quick else (TURNS, BUDGET)
        take_turns(workers, ready, deadline, {worker.peer: turns}, "turn", budget)
    found = ready[worker.peer]
    if "wall" not in found:
        return found
    return {**found, "characters/s": characters(case) / found["wall"], "GPU %": use.percent}
