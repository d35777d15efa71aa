"""How much work Python code does, counted instead of timed: the machine's load does not matter."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


def calls_made(f: Callable[..., Any], *args: Any) -> int:
    """The number of functions that are called while `f(*args)` runs, Python's and C's."""
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
