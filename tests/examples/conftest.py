"""Shared fixtures for the tests of `examples/train.py`."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("the quick brown fox jumps over the lazy dog; " * 60, encoding="utf-8")
    return path


@pytest.fixture
def folder(text: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in the folder with the text, on the default device."""
    monkeypatch.chdir(text.parent)
    monkeypatch.delenv("XGRAD_DEVICE", raising=False)
    return text.parent
