"""Every code block of the README and the docs runs, and prints what the page says; so do the examples in docstrings."""

from __future__ import annotations

import contextlib
import doctest
import importlib
import io
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xgrad as xg

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_blocks_run_and_print_what_they_say(page: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XGRAD_VERIFY", "passes")  # their programs have the sizes of real ones
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    namespace: dict[str, Any] = {}
    registered = set(xg.ops.OPS)
    blocks = BLOCK.findall(page.read_text())
    try:
        for i, (language, content) in enumerate(blocks):
            if language != "python":
                continue
            said = io.StringIO()
            with contextlib.redirect_stdout(said):
                exec(compile(content, f"{page.name}, block {i}", "exec"), namespace)
            if i + 1 < len(blocks) and blocks[i + 1][0] == "text":
                assert said.getvalue().rstrip() == blocks[i + 1][1].rstrip()
            else:
                assert not said.getvalue(), "a block that prints is followed by what it prints"
    finally:
        for name in set(xg.ops.OPS) - registered:
            xg.ops.OPS.pop(name)


def test_every_page_has_code() -> None:
    for page in PAGES:
        assert any(language == "python" for language, _ in BLOCK.findall(page.read_text())), page


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


MODULES = ["xgrad", *sorted(m.name for m in pkgutil.walk_packages(xg.__path__, "xgrad."))]


@pytest.mark.parametrize("name", [m for m in MODULES if m != "xgrad.backends.cuda"])
def test_docstring_examples(name: str) -> None:
    module = importlib.import_module(name)
    registered = set(xg.ops.OPS)
    with np.printoptions(precision=8):
        failed, _ = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    for op in set(xg.ops.OPS) - registered:
        xg.ops.OPS.pop(op)
    assert not failed


def test_the_example_by_hand_runs_from_its_own_folder() -> None:
    subprocess.run([sys.executable, "gru_by_hand.py"], cwd=ROOT / "examples", check=True, capture_output=True)
