"""Tests on the stand-in for CUDA only: the first things to run on a new GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.paths import ROOT

fakecuda = sys.modules.get("tests.fakecuda.plugin")
pytestmark = [pytest.mark.cuda, pytest.mark.skipif(fakecuda is None, reason="needs -p tests.fakecuda.plugin")]

NVIDIA_SMI = """#!/bin/sh
case "$*" in
    *query-gpu=name*) echo "Stand-in, 0.0" ;;
    *utilization*) exec sleep 60 ;;
    *) echo "CUDA Version: 13.0" ;;
esac
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return the environment of processes with the stand-in and a matching nvidia-smi."""
    smi = tmp_path / "bin" / "nvidia-smi"
    smi.parent.mkdir()
    smi.write_text(NVIDIA_SMI)
    smi.chmod(0o755)
    places = [str(ROOT / "tests" / "fakecuda" / "site"), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PATH": f"{smi.parent}:{os.environ['PATH']}",
        "PYTHONPATH": ":".join(filter(None, places)),
        "FAKE_DEVICES": "1",
    }


def part(name: str, folder: Path, environment: dict[str, str], *arguments: str) -> tuple[dict[str, Any], str]:
    """Return the records of one part of `make gpu` at tiny sizes, and its output."""
    command = [
        sys.executable,
        str(ROOT / "benchmarks"),
        name,
        "--quick",
        "--results",
        str(folder),
        *arguments,
    ]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob(f"*-stand-in-{name.removeprefix('gpu-')}-quick.json")
    data = json.loads(path.read_text())
    assert data["finished"]
    return data["records"], done.stdout


def test_the_probe_runs_every_loop_in_both_ways(tmp_path: Path, environment: dict[str, str]) -> None:
    records, _ = part("gpu-probe", tmp_path, environment)
    assert records.pop("toolchain")["versions"]["NVRTC"] == "13.5"
    assert len(records) == 2 * 3
    for name, record in records.items():
        ways = {loop["way"] for loop in record["facts"]["loops"]}
        assert ways == {"one launch" if name.endswith("persistent") else "step by step"}


def test_the_probe_ends_with_one_line_where_something_is_off(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    command = [sys.executable, str(ROOT / "benchmarks"), "gpu-probe", "--quick", "--results", str(tmp_path)]
    environment |= {"FAKE_LAUNCHES": "9"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("probe: GRU float32 3,2,4,4, XGRAD_LOOPS=persistent: ")


def test_the_parts_of_cells_and_of_the_gru(tmp_path: Path, environment: dict[str, str]) -> None:
    records, _ = part("gpu-gru", tmp_path, environment, "--peers", "xgrad")
    assert set(records["limits"]) == {"flops", "latency"}
    for precision in ("float32", "tf32", "bfloat16"):
        ours = records[f"GRU {precision} 3,2,4,4"]["peers"]["xgrad"]
        assert ours["gpu"] > 0
        assert ours["facts"]["executor"] == "CUDA kernels"
    records, _ = part("gpu-cells", tmp_path, environment, "--peers", "xgrad")
    assert all("gpu" in record["peers"]["xgrad"] for name, record in records.items() if name != "limits")


def test_the_part_of_tests(tmp_path: Path, environment: dict[str, str]) -> None:
    records, _ = part("gpu-tests", tmp_path, environment, "--tests", "tests/core/test_handles.py")
    assert records["test suite"]["passed"]
    assert all(record["passed"] for record in records.values())


def test_the_part_of_training(tmp_path: Path, environment: dict[str, str]) -> None:
    records, _ = part("gpu-train", tmp_path, environment, "--peers", "xgrad")
    assert "characters/s" in records.pop("examples/train.py")  # 0, rounded
    (ours,) = (record["steps"]["xgrad"] for record in records.values())
    assert ours["wall"] > 0
