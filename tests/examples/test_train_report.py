"""The page of `examples/train.py --report`: what is in it, and that it is written like other files."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from tests.helpers.paths import EXAMPLES
from tests.helpers.train_command import SMALL, train

pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """A text to learn that must not become markup."""
    path = tmp_path / "text.txt"
    path.write_text("the quick brown fox; <script>alert('&amp;')</script> " * 60, encoding="utf-8")
    return path


class Page(HTMLParser):
    """The tags of a page, its images, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data + "\n"

    @property
    def images(self) -> list[bytes]:
        sources = [a["src"].partition(";base64,") for tag, a in self.tags if tag == "img"]
        return [base64.b64decode(data) for _, _, data in sources]


def page(folder: str = "seen") -> Page:
    return Page(Path(folder, "report.html").read_text(encoding="utf-8"))


def test_the_page_has_everything_and_needs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert not train("--report", "seen", "--seed", "0")
    said = capsys.readouterr().out
    assert "wrote seen/report.html" in said
    assert [p.name for p in Path("seen").iterdir()] == ["report.html"]
    assert Path("seen/report.html").stat().st_size < 1_500_000
    found = page()
    for tag, attributes in found.tags:
        assert tag not in ("script", "link", "iframe", "object")
        assert not attributes.keys() & {"href", "srcset", "onload"}
        if tag == "img":
            assert attributes["alt"]
            assert attributes["src"].startswith(("data:image/png;base64,", "data:image/svg+xml;base64,"))
    kinds = [image[:4] for image in found.images]
    assert kinds == [b"\x89PNG"] * 4 + [b"<svg"]  # curves, gradients twice, gates, the cell
    words = [
        "Before training",
        "After training",
        "embedding",
        "seed",
        "NumPy",
        "z_t",
        "arithmetic in float32",
    ]
    for word in words:
        assert word in found.text, word
    for line in said.split("held-out text\n")[1].splitlines()[:4]:
        name, bits = line.strip().rsplit(maxsplit=1)
        assert re.search(rf"{name.strip()}\n{bits}\n", found.text)
    sample = said.split("\n\n")[-2].strip("\n")
    assert sample in found.text
    assert "url(" not in Path("seen/report.html").read_text(encoding="utf-8")


def test_the_run_is_the_same_with_a_report() -> None:
    assert not train("--out", "a")
    assert not train("--out", "b", "--report", "seen")
    (one, words), (two, other) = (xg.io.load(f"{out}/checkpoint.safetensors") for out in "ab")
    assert words == other
    for name, value in one.items():
        np.testing.assert_array_equal(value.numpy(), two[name].numpy())


def test_a_report_is_not_overwritten_silently() -> None:
    assert not train("--report", "seen")
    Path("seen/report.html").write_text("mine")
    before = Path("runs/checkpoint.safetensors").read_bytes()
    for options in ([], ["--resume"], ["--out", "other"]):
        said = train("--report", "seen", *options)
        assert said.startswith("train.py: seen/report.html would be overwritten: choose another folder with")
        assert Path("seen/report.html").read_text() == "mine"
    assert Path("runs/checkpoint.safetensors").read_bytes() == before
    assert not Path("other").exists()
    assert not train("--report", "seen", "--resume", "--overwrite")
    assert "After training" in page().text


@pytest.mark.slow
def test_the_folder_of_the_run_can_have_the_report() -> None:
    assert not train("--report", "./runs")
    assert sorted(p.name for p in Path("runs").iterdir()) == [
        "checkpoint.safetensors",
        "curve.png",
        "report.html",
    ]
    assert not train("--out", "deep", "--report", "deep/er")
    assert sorted(p.name for p in Path("deep").iterdir()) == ["checkpoint.safetensors", "curve.png", "er"]


def test_without_a_sample_and_on_a_short_text(folder: Path) -> None:
    (folder / "text.txt").write_text("abcdefghijklmnopqrst")
    assert not train("--report", "seen", "--sample", "0", "--batch", "1", "--window", "1")
    assert "Sample" not in page().text
    assert len(page().images) == 5


@pytest.mark.slow
@pytest.mark.parametrize("options", [["--dtype", "float64"], ["--precision", "bfloat16"]])
def test_other_dtypes(options: list[str]) -> None:
    assert not train("--report", "seen", *options)
    assert f"arithmetic in {options[1] if options[0] == '--dtype' else 'float32'}" in page().text


def test_without_igraph_there_is_all_but_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "igraph", None)
    assert not train("--report", "seen")
    assert len(page().images) == 4
    assert re.search(r"There is no picture: .*pip install 'xgrad\[viz\]'", page().text)


def test_folders_that_cannot_be_used(folder: Path) -> None:
    from train_files import Folder

    assert "cannot write to text.txt" in train("--report", "text.txt")
    assert (
        "must not be empty"
        in subprocess.run(
            [sys.executable, str(EXAMPLES / "train.py"), "--report", ""],
            capture_output=True,
            text=True,
            check=False,
        ).stderr
    )
    with Folder("seen"):
        said = train("--report", "seen")
    assert f"seen is in use by another run, process {os.getpid()}" in said
    assert "another folder with --report" in said
    assert not Path("runs").exists()


@pytest.mark.slow
def test_what_a_killed_run_left_is_removed() -> None:
    Path("seen").mkdir()
    Path("seen/.report.html.01234567.tmp").write_text("half a page")
    assert not train("--report", "seen")
    assert [p.name for p in Path("seen").iterdir()] == ["report.html"]


@pytest.mark.slow
def test_a_folder_that_is_deleted_during_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    import train as example

    real = example.Text.compressed

    def hook(text: Any) -> Any:
        shutil.rmtree("seen")
        return real(text)

    monkeypatch.setattr(example.Text, "compressed", hook)
    assert not train("--report", "seen")
    assert "After training" in page().text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "status"),
    [
        ("before(train.Run, 'save')", "stopped at step 6 of 12, which is saved"),
        ("before(train, 'page')", "stopped after the last step, which is saved"),
        ("before(train_files.Path, 'replace', 2)", "stopped after the last step, which is saved"),
    ],
    ids=["in training", "while the page is made", "before it is put in its place"],
)
def test_a_signal_leaves_no_half_page(place: str, status: str) -> None:
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(EXAMPLES)!r})
from train_signals import interruption
interruption.listen()
import train, train_files

def before(holder, name, call=1):
    real, calls = getattr(holder, name), []
    def hook(*args, **kwargs):
        calls.append(name)
        if len(calls) == call:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*args, **kwargs)
    setattr(holder, name, hook)

{place}
train.main({[*SMALL, "--report", "seen"]!r})
"""
    stopped = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert stopped.returncode == 143
    assert status in stopped.stderr
    assert not Path("seen").exists()
    assert not train("--resume", "--report", "seen")
    assert "After training" in page().text
