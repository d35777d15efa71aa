"""The training example as a user runs it: `examples/train.py`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import xgrad as xg
from tests.helpers.paths import TRAIN

SMALL = [
    "--steps",
    "12",
    "--hidden",
    "8",
    "--embedding",
    "4",
    "--batch",
    "4",
    "--window",
    "8",
    "--validate-every",
    "6",
    "--quiet",
    "--sample",
    "20",
]


def run(
    *arguments: str, cwd: Path, python: str = sys.executable, **environment: str
) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "XGRAD_DEVICE": "cpu", "XGRAD_VERIFY": "passes", **environment}
    return subprocess.run(
        [python, str(TRAIN), *arguments], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )


def test_it_learns_writes_and_reports(text: Path, tmp_path: Path) -> None:
    result = run("--data", "text.txt", *SMALL, "--steps", "60", "--lr", "0.03", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    for word in ("this model", "gzip", "bz2", "xz", "held out", "characters/s"):
        assert word in result.stdout
    first, last = (
        float(line.split(": ")[1].split()[0])
        for line in result.stdout.splitlines()
        if line.startswith("step")
        if line.split()[1] in ("6:", "60:")
    )
    assert last < first - 0.5
    assert (tmp_path / "runs" / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["checkpoint.safetensors", "curve.png"]


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_it_learns_in_half_precision_what_it_learns_in_float32(
    text: Path, tmp_path: Path, precision: str
) -> None:
    found = []
    for extra in (["--out", "plain"], ["--precision", precision]):
        result = run(
            "--data",
            "text.txt",
            *SMALL,
            "--steps",
            "40",
            "--lr",
            "0.03",
            "--sample",
            "0",
            *extra,
            cwd=tmp_path,
        )
        assert result.returncode == 0, result.stderr
        found.append(float(result.stdout.split("this model")[1].split()[0]))
    assert f"float32 on cpu, arithmetic in {precision}" in result.stdout
    assert abs(found[1] / found[0] - 1) < 0.05
    tensors, _ = xg.io.load(tmp_path / "runs" / "checkpoint.safetensors")
    assert tensors["h"].dtype == precision
    assert tensors["model.read.weight"].dtype == "float32"
    assert ("scale.scale" in tensors) == (precision == "float16")
    other = run("--data", "text.txt", *SMALL, "--steps", "40", "--lr", "0.03", "--resume", cwd=tmp_path)
    assert "'precision'" in other.stderr


@pytest.mark.slow
@pytest.mark.parametrize("extra", [[], ["--precision", "float16"]], ids=["float32", "float16"])
def test_resuming_goes_on_bit_for_bit(text: Path, tmp_path: Path, extra: list[str]) -> None:
    options = ["--data", "text.txt", *SMALL, *extra]
    whole = run(*options, "--out", "whole", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    code = f"""
import os, signal, sys; sys.path.insert(0, {str(TRAIN.parent)!r})
import train
save = train.Run.save
def save_and_stop(self, path):
    save(self, path)
    os.kill(os.getpid(), signal.SIGTERM)
train.Run.save = save_and_stop
train.interruption.listen()
train.main({[*options, "--out", "parts"]!r})
"""
    stopped = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "stopped at step 6 of 12, which is saved in parts/checkpoint.safetensors" in stopped.stderr
    assert stopped.returncode == 143
    rest = run(*options, "--out", "parts", "--resume", cwd=tmp_path)
    assert rest.returncode == 0, rest.stderr
    (a, a_words), (b, b_words) = (
        xg.io.load(tmp_path / out / "checkpoint.safetensors") for out in ("whole", "parts")
    )
    assert a_words == b_words
    assert set(a) == set(b)
    for name in a:
        np.testing.assert_array_equal(a[name].numpy(), b[name].numpy())
    assert (
        whole.stdout.split("bits per character")[1].split("wrote")[0]
        == rest.stdout.split("bits per character")[1].split("wrote")[0]
    )


@pytest.mark.slow
def test_the_same_seed_gives_the_same_run(text: Path, tmp_path: Path) -> None:
    outputs = [
        run("--data", "text.txt", *SMALL, "--out", f"of{seed}", "--seed", seed, cwd=tmp_path).stdout
        for seed in ("1", "1", "2")
    ]
    shown = [out.split("bits per character")[1] for out in outputs]
    assert shown[0] == shown[1] != shown[2]


def test_help_reads_well(tmp_path: Path) -> None:
    result = run("--help", cwd=tmp_path)
    assert result.returncode == 0
    assert "two minutes on two cores" in result.stdout
    assert all(len(line) <= 100 for line in result.stdout.splitlines())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (None, ["--data", "missing.txt"], "cannot read missing.txt: No such file"),
        (None, ["--data", "."], "cannot read .:"),
        (b"", ["--data", "bad.txt"], "bad.txt is empty"),
        (b" \n\n ", ["--data", "bad.txt"], "bad.txt is empty"),
        (b"\xff\xfe\x00binary", ["--data", "bad.txt"], "is not UTF-8 text"),
        (b"zero\0bytes" * 100, ["--data", "bad.txt"], "zero bytes"),
        (b"too short", ["--data", "bad.txt"], "9 characters, but 4 streams of one window need 40"),
        (None, ["--device", "tpu"], "unknown device 'tpu'"),
        (None, ["--resume", "--out", "nowhere"], "no checkpoint at nowhere"),
        (None, ["--steps", "0"], "argument --steps: 0 must be from 1 to"),
        (None, ["--lr", "nan"], "argument --lr: nan must be from"),
        (None, ["--seed", "-1"], "argument --seed: -1 must be from 0 to"),
        (None, ["--temperature", "1e-40"], "argument --temperature: 1e-40 must be from 0.001 to"),
        (b"abcdefghij", ["--data", "bad.txt", "--batch", "1", "--window", "1"], "need 20"),
        (None, ["--lr", "1e30"], "the loss is"),
        (None, ["--out", "text.txt"], "cannot write to text.txt"),
    ],
)
def test_bad_input_ends_with_one_line(
    content: bytes | None, arguments: list[str], message: str, text: Path, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "bad.txt").write_bytes(content)
    result = run("--data", "text.txt", *SMALL, *arguments, cwd=tmp_path)
    assert result.returncode != 0
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.glob("**/*.safetensors"))


@pytest.mark.slow
def test_broken_and_foreign_checkpoints(text: Path, tmp_path: Path) -> None:
    assert run("--data", "text.txt", *SMALL, cwd=tmp_path).returncode == 0
    checkpoint = tmp_path / "runs" / "checkpoint.safetensors"
    whole = checkpoint.read_bytes()
    foreign = run("--data", "text.txt", *SMALL, "--hidden", "9", "--resume", cwd=tmp_path)
    assert "with other options or another text" in foreign.stderr
    assert "'hidden': 8" in foreign.stderr
    assert checkpoint.read_bytes() == whole
    for broken in (whole[:-7], whole[:100], b"", b"x" * 50):
        checkpoint.write_bytes(broken)
        result = run("--data", "text.txt", *SMALL, "--resume", cwd=tmp_path)
        assert "cannot resume" in result.stderr
        assert "Traceback" not in result.stderr
        assert checkpoint.read_bytes() == broken
    xg.io.save(checkpoint, {"a": xg.ones(1)})
    assert "cannot resume" in run("--data", "text.txt", *SMALL, "--resume", cwd=tmp_path).stderr


def test_outside_the_environment_it_says_so_in_one_line(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-E", "-s", "-S", str(TRAIN)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert "make train" in line
    assert ".venv/bin/activate" in line


def test_cuda_that_is_not_there(tmp_path: Path) -> None:
    try:
        xg.backends.find_device("cuda")
    except xg.DeviceError:
        result = run(*SMALL, cwd=tmp_path, XGRAD_DEVICE="cuda")
        assert result.returncode == 1
        assert "CUDA" in result.stderr
        assert "Traceback" not in result.stderr
    else:
        pytest.skip("CUDA is here")


def test_by_hand_example_agrees(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, str(TRAIN.with_name("gru_by_hand.py"))],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    differences = [float(line.split()[-1]) for line in result.stdout.splitlines()[1:]]
    assert len(differences) == 8
    assert max(differences) < 1e-12


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_make_clean_keeps_what_was_trained() -> None:
    said = subprocess.run(
        ["make", "-n", "clean"], cwd=TRAIN.parent.parent, capture_output=True, text=True, check=True
    ).stdout
    assert ".venv" in said.split()
    assert "runs" not in said
