"""The files that are made are what would be made now."""

from __future__ import annotations

import pytest

from .generated import FILES, ROOT


@pytest.mark.parametrize("file", FILES)
def test_a_file_is_up_to_date(file: str) -> None:
    assert (ROOT / file).read_text() == FILES[file](), f"{file} is old: run python -m tests.generated"
