"""Tests of the files of `examples/train.py`.

A folder holds one run, checkpoints are validated before use, and full disks are handled.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from tests.helpers.paths import EXAMPLES
from tests.helpers.train_command import SMALL, train

pytestmark = pytest.mark.usefixtures("folder")


def contents(folder: str = "runs") -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in Path(folder).iterdir()}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, xg.Tensor], dict[str, str]]:
    """A valid checkpoint."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("good"))
        Path("text.txt").write_text("the quick brown fox jumps over the lazy dog; " * 60, encoding="utf-8")
        assert not train()
        return xg.io.load("runs/checkpoint.safetensors")


class TestResume:
    def refused(self, tensors: dict[str, Any], words: dict[str, str], message: str) -> None:
        xg.io.save("runs/checkpoint.safetensors", tensors, words)
        before = contents()
        said = train("--resume")
        assert re.search(f"cannot resume: runs/checkpoint.safetensors: .*{message}", said), said
        assert contents() == before

    @pytest.mark.parametrize(
        "value",
        [
            "NaN",
            "Infinity",
            "-Infinity",
            "-1",
            "0",
            "13",
            "1e1",
            "6.0",
            '"6"',
            "null",
            "true",
            "[6]",
            "{}",
            "",
            "x",
            "6 6",
            "[" * 10**5,
            "9" * 5000,
        ],
        ids=lambda v: v[:9],
    )
    def test_bad_steps(self, good: Any, value: str) -> None:
        self.refused(good[0], {**good[1], "step": value}, "step must be ")

    @pytest.mark.parametrize("value", ["null", "[]", '"x"', "3", "{", "NaN"])
    def test_bad_signatures(self, good: Any, value: str) -> None:
        self.refused(good[0], {**good[1], "signature": value}, "signature must be ")

    @pytest.mark.parametrize(
        "change", [{"hidden": 9}, {"seed": "0"}, {"lr": None}, {"text": "0"}, {"more": 1}, {"more": None}]
    )
    def test_other_signatures(self, good: Any, change: dict[str, Any]) -> None:
        words = {**good[1], "signature": json.dumps({**json.loads(good[1]["signature"]), **change})}
        self.refused(
            good[0], words, f"it belongs to a run with other options or another text.*{next(iter(change))}"
        )

    @pytest.mark.parametrize(
        "change",
        [
            None,
            {},
            {"bit_generator": "MT19937"},
            {"state": 3},
            {"state": {"state": -1, "inc": 1}},
            {"state": {"state": 1.5, "inc": 1}},
            {"state": {"state": 2**200, "inc": 1}},
            {"has_uint32": "x"},
            {"uinteger": -1},
            {"state": {}},
        ],
    )
    def test_bad_random_numbers(self, good: Any, change: dict[str, Any] | None) -> None:
        rng = change and {**json.loads(good[1]["rng"]), **change}
        self.refused(good[0], {**good[1], "rng": json.dumps(rng)}, "")

    @pytest.mark.parametrize("name", ["step", "rng", "signature"])
    def test_missing_words(self, good: Any, name: str) -> None:
        self.refused(
            good[0],
            {k: v for k, v in good[1].items() if k != name},
            f"not a checkpoint of train.py: it lacks {name}",
        )

    @pytest.mark.parametrize(
        "kind",
        [
            "h",
            "curve",
            "validation.steps",
            "validation.bits",
            "model.gru.W_h",
            "optimizer.m.0",
            "optimizer.count",
        ],
    )
    def test_every_tensor(self, good: Any, kind: str) -> None:
        tensors, words = good
        value = tensors[kind].numpy()
        self.refused({k: v for k, v in tensors.items() if k != kind}, words, "missing|lacks")
        self.refused({**tensors, kind: value[None]}, words, kind.partition(".")[2])
        self.refused({**tensors, kind: value.astype("complex64")}, words, kind.partition(".")[2])
        self.refused({**tensors, kind: value.astype("uint8")}, words, kind.partition(".")[2])
        if value.dtype.kind == "f":
            for bad in (np.nan, np.inf):
                spoilt = value.copy()
                spoilt.flat[-1] = bad
                self.refused({**tensors, kind: spoilt}, words, "not finite")

    @pytest.mark.parametrize("steps", [[12, 6], [6, 6], [0, 12], [6, 13], [-6, 12], [6, 2**40]])
    def test_bad_validation_steps(self, good: Any, steps: list[int]) -> None:
        self.refused(
            {**good[0], "validation.steps": np.array(steps)}, good[1], "validation.steps must increase"
        )

    def test_more_than_there_should_be(self, good: Any) -> None:
        for name in ("more", "scale.scale", "model.more", "optimizer.v.99"):
            self.refused({**good[0], name: 1.0}, good[1], "unexpected")
        self.refused({**good[0], "optimizer.count": -1}, good[1], "count")
        self.refused({**good[0], "curve": good[0]["curve"][:-1]}, good[1], "curve must be float64 of shape")

    def test_what_is_no_checkpoint(self, good: Any) -> None:
        xg.io.save("runs/checkpoint.safetensors", *good)
        whole = Path("runs/checkpoint.safetensors").read_bytes()
        flipped = bytearray(whole)
        flipped[-5] ^= 1
        for content in (b"", b"text", whole[:-1], whole[:100], bytes(flipped)):
            Path("runs/checkpoint.safetensors").write_bytes(content)
            before = contents()
            assert "cannot resume: runs/checkpoint.safetensors is not a valid safetensors file" in train(
                "--resume"
            )
            assert contents() == before
        Path("runs/checkpoint.safetensors").unlink()
        Path("runs/checkpoint.safetensors").mkdir()
        assert "it is a folder" in train("--resume")

    def test_nothing_to_resume_leaves_nothing(self, folder: Path) -> None:
        assert "no checkpoint at nowhere" in train("--resume", "--out", "nowhere")
        assert not Path("nowhere").exists()

    def test_a_validation_that_a_signal_cut_off_is_made_up_for(self, good: Any) -> None:
        tensors = {
            **good[0],
            "validation.steps": good[0]["validation.steps"][:-1],
            "validation.bits": good[0]["validation.bits"][:-1],
        }
        xg.io.save("runs/checkpoint.safetensors", tensors, good[1])
        assert not train("--resume")
        found, _ = xg.io.load("runs/checkpoint.safetensors")
        assert found["validation.steps"].tolist() == [6, 12]


class TestOverwriting:
    def test_another_configuration_is_kept(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert not train()
        before = contents()
        said = train("--seed", "1")
        assert "runs/checkpoint.safetensors would be overwritten: " in said
        assert "it has {'seed': 0}, this run has {'seed': 1}" in said
        assert "--out, or pass --overwrite" in said
        assert contents() == before
        assert not train("--seed", "1", "--overwrite")
        assert contents() != before

    def test_the_same_configuration_is_said(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert not train()
        capsys.readouterr()
        assert not train()
        said = capsys.readouterr().out.partition("characters, ")[0]  # printed before anything is computed
        assert "checkpoint.safetensors is at step 12 of the same run, which now starts again" in said
        assert "will overwrite it" in said
        assert "--resume" in said
        assert "--out" in said

    @pytest.mark.parametrize("content", [b"", b"something else"])
    def test_what_is_no_checkpoint_is_kept(self, content: bytes) -> None:
        Path("runs").mkdir()
        Path("runs/checkpoint.safetensors").write_bytes(content)
        assert "not a valid safetensors file" in train()
        assert contents() == {"checkpoint.safetensors": content}
        xg.io.save("runs/checkpoint.safetensors", {"weights": 1.0})
        assert "checkpoint.safetensors: it is not a checkpoint of train.py" in train()

    def test_a_signal_before_the_first_checkpoint_keeps_the_earlier_one(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import train as example

        assert not train()
        before = contents()
        real = example.learning_rate

        def stopping(step: int, options: Any) -> float:
            example.interruption.number = signal.SIGINT if step == 2 else 0
            return real(step, options)

        monkeypatch.setattr(example, "learning_rate", stopping)
        try:
            assert train() == str(128 + signal.SIGINT)
        finally:
            example.interruption.number = 0
        assert contents() == before


@pytest.fixture
def other_run(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Start another run, which owns the folder `runs`."""
    command = [
        sys.executable,
        str(EXAMPLES / "train.py"),
        *SMALL,
        "--steps",
        "1000000",
        "--validate-every",
        "1000000",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        lock = folder / "runs" / ".lock"
        while process.poll() is None and not (lock.exists() and lock.read_bytes()):
            time.sleep(0.01)
        yield process
        process.kill()


class TestFolder:
    @pytest.mark.slow
    def test_two_runs(self, other_run: subprocess.Popen[str]) -> None:
        for options in ([], ["--resume"], ["--overwrite"]):
            said = train(*options)
            assert (
                f"runs is in use by another run, process {other_run.pid}: wait for it, or stop it with "
                f"`kill {other_run.pid}`"
            ) in said
            assert "--out" in said
        assert list(contents()) == [".lock"]
        assert not train("--out", "others")
        other_run.kill()
        other_run.wait()
        assert not train()
        assert sorted(contents()) == ["checkpoint.safetensors", "curve.png"]

    def test_what_killed_runs_left_is_removed(self) -> None:
        Path("runs").mkdir()
        for name in (
            ".lock",
            ".checkpoint.safetensors.01234567.tmp",
            ".curve.png.01234567.tmp",
            "notes.txt",
            ".hidden",
        ):
            Path("runs", name).write_text("1 elsewhere\n")
        assert not train()
        assert sorted(contents()) == [".hidden", "checkpoint.safetensors", "curve.png", "notes.txt"]

    def during(self, monkeypatch: pytest.MonkeyPatch, happens: Callable[[], None]) -> str:
        """Return the output of a run whose folder is modified after the first checkpoint."""
        import train as example

        real, calls = example.Run.save, []

        def hook(run: Any, path: Path) -> None:
            real(run, path)
            calls.append(path)
            if len(calls) == 1:
                happens()

        monkeypatch.setattr(example.Run, "save", hook)
        return train()

    def test_deleted(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        assert not self.during(monkeypatch, lambda: shutil.rmtree("runs"))
        assert (
            "runs was deleted or moved during the run; it is created again, with a checkpoint of step 12"
            in capsys.readouterr().out
        )
        assert sorted(contents()) == ["checkpoint.safetensors", "curve.png"]

    @pytest.mark.parametrize(
        "loss",
        [lambda: shutil.rmtree("runs"), lambda: os.unlink("runs/checkpoint.safetensors")],
        ids=["folder", "file"],
    )
    def test_deleted_after_the_last_step(
        self, monkeypatch: pytest.MonkeyPatch, loss: Callable[[], None]
    ) -> None:
        import train as example

        assert not train("--out", "others")
        real = example.Text.compressed

        def hook(text: Any) -> Any:
            loss()
            return real(text)

        monkeypatch.setattr(example.Text, "compressed", hook)
        assert not train()
        assert sorted(contents()) == ["checkpoint.safetensors", "curve.png"]
        one, other = (xg.io.load(f"{where}/checkpoint.safetensors") for where in ("runs", "others"))
        assert one[1] == other[1]

    def test_moved(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        assert not self.during(monkeypatch, lambda: os.rename("runs", "moved"))
        assert "deleted or moved" in capsys.readouterr().out
        assert sorted(contents()) == ["checkpoint.safetensors", "curve.png"]
        assert json.loads(xg.io.load("moved/checkpoint.safetensors")[1]["step"]) == 6

    def test_replaced_by_a_folder_with_a_checkpoint(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert not train("--out", "others", "--seed", "1")
        before = contents("others")

        def replace() -> None:
            os.rename("runs", "moved")
            os.rename("others", "runs")

        said = self.during(monkeypatch, replace)
        assert "runs was replaced by another folder, which has a checkpoint" in said
        assert "the training after step 6 is lost, up to step 12" in said
        assert contents() == before

    def test_taken_by_another_run(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from train_files import Folder

        other = Folder("runs")

        def take() -> None:
            os.rename("runs", "moved")
            other.__enter__()

        said = self.during(monkeypatch, take)
        other.leave()
        assert f"in use by another run, process {os.getpid()}" in said
        assert "the training after step 6 is lost, up to step 12" in said

    def test_the_lock_alone_is_deleted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert not self.during(monkeypatch, lambda: os.unlink("runs/.lock"))
        assert sorted(contents()) == ["checkpoint.safetensors", "curve.png"]

    def test_a_file_takes_its_place(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def replace() -> None:
            shutil.rmtree("runs")
            Path("runs").write_text("a file")

        said = self.during(monkeypatch, replace)
        assert "cannot write runs/checkpoint.safetensors: " in said
        assert "the training after step 6 is lost, up to step 12" in said
        assert Path("runs").read_text() == "a file"


class TestWriting:
    def run(
        self, *options: str, limit: int | None = None, **streams: Any
    ) -> subprocess.CompletedProcess[str]:
        def limited() -> None:
            if limit:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        command = [sys.executable, str(EXAMPLES / "train.py"), *SMALL, *options]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
        # without compiled code, whose cache would also hit the limit
        env = {**os.environ, "XGRAD_NATIVE": "0"}
        return subprocess.run(command, text=True, check=False, preexec_fn=limited, env=env, **streams)

    @pytest.mark.slow
    def test_a_disk_that_fills(self) -> None:
        done = self.run(limit=4000)
        assert done.returncode == 1
        assert done.stderr == (
            "train.py: cannot write runs/checkpoint.safetensors: File too large; the training so "
            "far is lost, up to step 6\n"
        )
        assert not Path("runs").exists()
        assert self.run(limit=20_000).stderr.startswith("train.py: cannot write runs/curve.png: ")
        assert list(contents()) == ["checkpoint.safetensors"]
        whole = contents()
        done = self.run(limit=4000)
        assert "the training so far is lost" in done.stderr
        assert contents() == whole

    @pytest.mark.slow
    def test_output_that_cannot_be_written(self) -> None:
        with open("/dev/full", "w") as full:
            done = self.run(stdout=full)
        assert (done.returncode, done.stderr) == (
            1,
            "train.py: cannot write to standard output: No space left on device\n",
        )
        reading, writing = os.pipe()
        os.close(reading)
        with os.fdopen(writing, "w") as pipe:
            done = self.run(stdout=pipe)
        assert (done.returncode, done.stderr) == (
            1,
            "train.py: cannot write to standard output: Broken pipe\n",
        )

    @pytest.mark.slow
    def test_a_file_of_output_has_no_bars(self) -> None:
        done = self.run()
        assert done.stderr == ""
        assert "\r" not in done.stdout
        assert "\x1b" not in done.stdout

    @pytest.mark.slow
    @pytest.mark.parametrize("columns", [40, 200])
    def test_a_terminal_has_a_bar_that_fits(self, columns: int) -> None:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        command = [sys.executable, str(EXAMPLES / "train.py"), *SMALL]
        with subprocess.Popen(
            command, stdout=theirs, stderr=theirs, stdin=theirs, start_new_session=True
        ) as process:
            os.close(theirs)
            shown = b""
            while True:
                try:
                    part = os.read(ours, 65536)
                except OSError:  # the other end is closed
                    break
                if not part:
                    break
                shown += part
        os.close(ours)
        assert process.returncode == 0
        bars = [part for part in re.split(r"[\r\n]", shown.decode()) if "%|" in part or "step/s" in part]
        assert bars
        assert all(len(re.sub(r"\x1b\[[A-Z0-9]*", "", bar)) <= columns for bar in bars)


@pytest.mark.parametrize(
    ("option", "values"),
    [
        *(
            (name, ["0", "-1", "nan", "inf", "1.5", "", "x", "9" * 30, "9" * 5000])
            for name in ("steps", "hidden", "embedding", "batch", "window")
        ),
        *((name, ["0", "-1", "nan", "1.5", "x", "9" * 30]) for name in ("validate-every", "streams")),
        *(
            (name, ["0", "-1", "nan", "inf", "-inf", "1e400", "1e-400", "", "x"])
            for name in ("lr", "clip", "temperature")
        ),
        *((name, ["-1", "nan", "1.5", "", "x", "9" * 30]) for name in ("sample", "seed")),
        ("out", [""]),
        ("dtype", ["int8", ""]),
        ("precision", ["float8"]),
    ],
)
def test_options_out_of_bounds(option: str, values: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for value in values:
        assert train(f"--{option}={value}") == "2"
        assert f"error: argument --{option}: " in capsys.readouterr().err
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--hidden", "65536", "--embedding", "65536"], "this run needs at least [0-9,]+ GB of memory"),
        (["--window", "1000000000"], "streams of one window need"),
        (["--batch", "1000000000"], "streams of one window need"),
        (["--out", "text.txt/below"], "cannot write to text.txt/below: Not a directory"),
        (["--out", "/proc/below"], "cannot write to /proc/below"),
        (["--out", "n" * 300], "cannot write to n+: File name too long"),
    ],
)
def test_what_cannot_be(options: list[str], message: str) -> None:
    assert re.search(message, train(*options))
