"""`examples/train.py` killed or interrupted at random moments and resumed gives the same bits.

It also leaves no files behind. XGRAD_KILLS=50 in the environment sets the number of moments for each signal
in the exhaustive test.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

import xgrad as xg
from tests.helpers.paths import TRAIN

OPTIONS = [
    "--data",
    "text.txt",
    "--hidden",
    "16",
    "--embedding",
    "8",
    "--batch",
    "4",
    "--window",
    "8",
    "--steps",
    "60",
    "--sample",
    "20",
]
OPTIONS += ["--validate-every", "7", "--quiet"]
KILLS = int(os.environ.get("XGRAD_KILLS", 4))
SIGNALS = ["SIGINT", "SIGTERM", "SIGKILL"]

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="when a process listens to signals is read from /proc"
)


@dataclass
class Whole:
    """A run without interruption, for reference."""

    folder: Path
    seconds: float
    result: tuple[dict[str, bytes], dict[str, str]]

    def start(self, out: str, *options: str) -> subprocess.Popen[str]:
        """Start training into a folder, with an empty code cache, so that signals also hit compilation."""
        env = {
            **os.environ,
            "XGRAD_DEVICE": "cpu",
            "XGRAD_NATIVE": "1",
            "XGRAD_CACHE_DIR": str(self.folder / f"cache-{time.time_ns()}"),
        }
        command = [sys.executable, str(TRAIN), *OPTIONS, "--out", out, *options]
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=heed_interrupts,
        )


def heed_interrupts() -> None:
    """Restore the default handler of SIGINT: children of a background process inherit that it is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("kills")
    (folder / "text.txt").write_text("the quick brown fox jumps over the lazy dog; " * 60, encoding="utf-8")
    whole = Whole(folder, 0.0, ({}, {}))
    process = whole.start("whole")
    listening(process)
    began = time.perf_counter()
    _, errors = process.communicate()
    whole.seconds = time.perf_counter() - began
    assert process.returncode == 0, errors
    whole.result = result(folder / "whole")
    return whole


def result(out: Path) -> tuple[dict[str, bytes], dict[str, str]]:
    """Return everything that a checkpoint holds, bit for bit."""
    tensors, words = xg.io.load(out / "checkpoint.safetensors")
    return {name: t.numpy().tobytes() for name, t in tensors.items()}, words


def listening(process: subprocess.Popen[str]) -> None:
    """Wait until the script itself runs; before that, Python handles the signal in its own way."""
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        caught = int(status.read_text().split("SigCgt:")[1].split()[0], 16)
        if caught >> (signal.SIGTERM - 1) & 1:
            return


def finish(whole: Whole, out: str, said: str) -> None:
    """Resume to the end, and compare with the reference."""
    again = ["--resume"] if (whole.folder / out / "checkpoint.safetensors").exists() else []
    process = whole.start(out, *again)
    _, errors = process.communicate()
    assert process.returncode == 0, f"{said}: {errors}"
    assert sorted(p.name for p in (whole.folder / out).iterdir()) == [
        "checkpoint.safetensors",
        "curve.png",
    ], said
    assert result(whole.folder / out) == whole.result, said


def interrupt(whole: Whole, name: str, moment: float) -> None:
    """Stop one run after this many seconds, and resume it."""
    number, out, said = getattr(signal, name), f"{name}-{moment:.6f}", f"{name} after {moment:.3f} s"
    process = whole.start(out)
    listening(process)
    time.sleep(moment)
    process.send_signal(number)
    _, errors = process.communicate()
    if process.returncode == 0:  # it finished before the signal
        assert not errors, said
    elif number == signal.SIGKILL:
        assert (process.returncode, errors) == (-number, ""), said
    else:
        assert process.returncode == 128 + number, f"{said}: {errors}"
        (line,) = errors.splitlines()
        assert line.startswith("train.py: stopped"), said
        if "which is saved" in line:
            assert "--resume" in line, said
        left = {p.name for p in (whole.folder / out).glob("*")}
        assert left <= {"checkpoint.safetensors", "curve.png"}, said
    finish(whole, out, said)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGKILL"])
def test_a_random_moment(whole: Whole, name: str) -> None:
    interrupt(whole, name, random.uniform(0, whole.seconds))


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", SIGNALS)
def test_many_random_moments(whole: Whole, name: str) -> None:
    for _ in range(KILLS):
        interrupt(whole, name, random.uniform(0, whole.seconds))


PLACES = {
    "while a module is imported": "importing('matplotlib.font_manager')",
    "before a checkpoint is written": "before(train.xg.io, 'save')",
    "while a checkpoint is written": "before(os, 'fsync')",
    "before a checkpoint is put in its place": "before(os, 'replace')",
    "after a checkpoint was put in its place": "after(os, 'replace')",
    "while validating": "before(train, 'loss', 3)",
    "while the lock is taken": "after(train_files.Folder, '_sign')",
    "while compressors are compared": "before(train.Text, 'compressed')",
    "while drawing": "after(train.matplotlib.figure.Figure, 'savefig')",
    "before the picture is put in its place": "before(train_files.Path, 'replace')",
    "after the picture was put in its place": "after(train_files.Path, 'replace')",
}


@pytest.mark.exhaustive
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", SIGNALS)
def test_chosen_moments(whole: Whole, name: str, place: str) -> None:
    out = f"{name}-{place.replace(' ', '-')}"
    code = f"""
import importlib.abc, os, signal, sys
sys.path.insert(0, {str(TRAIN.parent)!r})
from train_signals import interruption
interruption.listen()

def now():
    os.kill(os.getpid(), signal.{name})

def importing(module):
    class Finder(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path, target=None):
            if name == module:
                now()
    sys.meta_path.insert(0, Finder())

def hooked(owner, name, count, first, then):
    real, calls = getattr(owner, name), []
    def hook(*arguments, **options):
        calls.append(None)
        if len(calls) == count and first: now()
        done = real(*arguments, **options)
        if len(calls) == count and then: now()
        return done
    setattr(owner, name, hook)

def before(owner, name, count=1): hooked(owner, name, count, True, False)
def after(owner, name, count=1): hooked(owner, name, count, False, True)

if {place.startswith("while a module")}: {PLACES[place]}
import train, train_files
if not {place.startswith("while a module")}: {PLACES[place]}
sys.argv = ["train.py", *{[*OPTIONS, "--out", out]!r}]
train.command()
"""
    env = {**os.environ, "XGRAD_DEVICE": "cpu", "XGRAD_NATIVE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=whole.folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=heed_interrupts,
    )
    number = getattr(signal, name)
    assert done.returncode == (-number if name == "SIGKILL" else 128 + number), done.stderr
    assert len(done.stderr.splitlines()) == (name != "SIGKILL"), done.stderr
    if name != "SIGKILL":
        assert {p.name for p in (whole.folder / out).glob("*")} <= {"checkpoint.safetensors", "curve.png"}
    finish(whole, out, out)
