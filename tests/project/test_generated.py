"""The generated files are up to date."""

from __future__ import annotations

import sys

import pytest

from tests.helpers.paths import ROOT

sys.path.append(str(ROOT / "docs"))
import generate


@pytest.mark.parametrize("file", generate.FILES)
def test_a_file_is_up_to_date(file: str) -> None:
    assert (ROOT / file).read_text() == generate.FILES[file](), f"{file} is old: run python docs/generate.py"
