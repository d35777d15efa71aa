"""The end of the time that there is for a part."""

from __future__ import annotations

import time
from typing import Any

from .worker import Failed, Worker


class OutOfTime(Exception):
    """The part's time is over; what is missing can be done by another run."""


class Deadline:
    """The end of a part's time; there is none where `seconds` is None."""

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float:
        """Seconds; raises OutOfTime where there are none."""
        seconds = float("inf") if self._end is None else self._end - time.monotonic()
        if seconds <= 0:
            raise OutOfTime
        return seconds

    def ask(self, worker: Worker, limit: float, do: str, **arguments: Any) -> Any:
        """`worker.ask`, cut off by the end of the time too, which raises OutOfTime and not Failed."""
        try:
            return worker.ask(min(limit, self.left()), do, **arguments)
        except Failed:
            self.left()
            raise
