"""The same seed gives the same bits, also if a run is stopped and resumed.

Tested on every executor, at sizes where executors once switched during the run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import xgrad as xg
from tests.helpers.paths import TRAIN

OPTIONS = [
    "--data",
    "text.txt",
    "--steps",
    "60",
    "--hidden",
    "32",
    "--batch",
    "4",
    "--window",
    "16",
    "--validate-every",
    "30",
    "--sample",
    "40",
    "--quiet",
]
STOPPED = f"""
import os, signal, sys; sys.path.insert(0, {str(TRAIN.parent)!r})
import train
save = train.Run.save
def save_and_stop(self, path):
    save(self, path)
    train.Run.save = save
    os.kill(os.getpid(), signal.SIGINT)
train.Run.save = save_and_stop
train.interruption.listen()
train.main(sys.argv[1:])
"""


def run(cwd: Path, native: str | None, *command: str) -> subprocess.CompletedProcess[str]:
    env = (
        {k: v for k, v in os.environ.items() if k != "XGRAD_NATIVE"}
        | {"XGRAD_DEVICE": "cpu"}
        | ({} if native is None else {"XGRAD_NATIVE": native})
    )
    return subprocess.run(
        [sys.executable, *command], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )


def result(cwd: Path, out: str, shown: str) -> tuple[dict[str, bytes], dict[str, str], str]:
    """Return all that a run left: Tensors and metadata of its checkpoint, and its final output."""
    tensors, words = xg.io.load(cwd / out / "checkpoint.safetensors")
    return (
        {name: t.numpy().tobytes() for name, t in tensors.items()},
        words,
        shown.split("bits per character")[1].split("wrote")[0],
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "native",
    [None, pytest.param("0", marks=pytest.mark.exhaustive), pytest.param("1", marks=pytest.mark.exhaustive)],
    ids=["default", "XGRAD_NATIVE=0", "XGRAD_NATIVE=1"],
)
def test_train(text: Path, tmp_path: Path, native: str | None) -> None:
    found = []
    for out in ("once", "again"):
        done = run(tmp_path, native, str(TRAIN), *OPTIONS, "--out", out)
        assert done.returncode == 0, done.stderr
        found.append(result(tmp_path, out, done.stdout))
    assert found[0] == found[1]
    stopped = run(tmp_path, native, "-c", STOPPED, *OPTIONS, "--out", "parts")
    assert "stopped at step 3" in stopped.stderr
    rest = run(tmp_path, native, str(TRAIN), *OPTIONS, "--out", "parts", "--resume")
    assert rest.returncode == 0, rest.stderr
    assert result(tmp_path, "parts", rest.stdout) == found[0]
