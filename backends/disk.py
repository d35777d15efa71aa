"""What is kept from run to run: compiled code, and what was measured. Losing it costs time alone."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path


def folder() -> Path:
    """Where it is kept: XGRAD_CACHE_DIR, or `xgrad` among the user's caches."""
    own = os.environ.get("XGRAD_CACHE_DIR")
    if own:
        return Path(own)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xgrad"
    except RuntimeError:  # no home
        return Path(tempfile.gettempdir()) / "xgrad"


def read(name: str) -> bytes | None:
    """What was kept under a name, None where it is not there or not whole: its own hash stands before it."""
    try:
        kept = (folder() / name).read_bytes()
    except OSError:
        return None
    return kept[32:] if hashlib.sha256(kept[32:]).digest() == kept[:32] else None


def write(name: str, data: bytes) -> None:
    """Keep data under a name. It appears whole or not at all; a folder that cannot be written is left alone."""
    path = folder() / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(hashlib.sha256(data).digest() + data)
        os.replace(file.name, path)
    except OSError:
        pass
