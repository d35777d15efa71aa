"""Counts the work of Python code instead of timing it, so that the machine's load does not matter."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


def calls_made(f: Callable[..., Any], *args: Any) -> int:
    """Return the number of function calls, Python's and C's, while `f(*args)` runs."""
    count = 0

    def note(frame: Any, event: str, arg: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        f(*args)
    finally:
        sys.setprofile(before)
    return count
