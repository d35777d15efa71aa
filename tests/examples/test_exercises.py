"""Each exercise names its slip, and says that all is right once it is mended."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.paths import EXAMPLES, ROOT

EXERCISES = EXAMPLES / "exercises"
SOLUTIONS = runpy.run_path(str(EXERCISES / "solutions.py"))["SOLUTIONS"]

#: What each exercise says: the gradient that is wrong, and the cause.
SAYS = {
    "01_multiply.py": (
        "dq is wrong: it is 3, but must be -4",
        "dq is df times the other factor, z, not q itself",
    ),
    "02_subtract.py": ("dgate is wrong: it is 1.5, but must be -1.5", "dgate has the wrong sign"),
    "03_staged.py": (
        "dx is wrong: it is 0.512144",
        "dx lacks what comes through xpy, sigx",
    ),
    "04_sigmoid.py": (
        "ddot is wrong: it is -2",
        "the derivative of sigmoid in terms of its output, f, is taken at its input, dot",
    ),
    "05_tanh.py": ("da is wrong", "the derivative of tanh(a) is 1 - h**2, not 1 - h"),
    "06_mean.py": (
        "dsquare is wrong: at (0,) it is 1, but must be 0.25",
        "the derivative of a mean is 1 / n",
    ),
    "07_matmul.py": ("dx is wrong: at ", "a transpose is missing: dx is W.T @ dy, not W @ dy"),
    "08_layer.py": (
        "db is wrong: it has shape (5, 4), but must have (4,)",
        "db is a sum over axis 0, which is missing",
    ),
    "09_gru.py": (
        "dz7 is wrong: at ",
        "the derivative of sigmoid(z7) is z8 * (1 - z8), not z8 * (1 - z8) * (1 - z8 * (1 - z8))",
    ),
    "10_through_time.py": (
        "dW is wrong: at ",
        "dW uses the wrong value: h_3 where h_2 belongs, in each of the 3 runs of this line",
    ),
}


def test_every_exercise_has_a_solution() -> None:
    assert [p.name for p in sorted(EXERCISES.glob("[0-9]*.py"))] == sorted(SOLUTIONS) == sorted(SAYS)
    assert all(f"`{name}`" in (EXERCISES / "README.md").read_text() for name in SOLUTIONS)


def run(path: Path) -> str:
    """Return what a file prints."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, str(path)], check=True, capture_output=True, text=True, env=env
    ).stdout


@pytest.mark.parametrize("name", SOLUTIONS)
def test_the_slip_is_named_and_the_mended_file_is_right(name: str, tmp_path: Path) -> None:
    wrong, right, _ = SOLUTIONS[name]
    source = (EXERCISES / name).read_text()
    assert source.count(f"    {wrong}\n") == 1

    said = run(EXERCISES / name)
    gradient, cause = SAYS[name]
    assert said.startswith(gradient), said
    assert cause in said.partition("Likely cause: ")[2].splitlines()[0], said
    assert str(EXERCISES / name) in said

    mended = tmp_path / name
    mended.write_text(source.replace(f"    {wrong}\n", f"    {right}\n"))
    said = run(mended)
    assert said.startswith("All "), said
    assert "wrong" not in said
