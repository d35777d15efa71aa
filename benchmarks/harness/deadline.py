"""The time limit of a part."""

from __future__ import annotations

import time
from typing import Any

from .worker import Failed, Worker


class OutOfTime(Exception):
    """The part's time is over; another run can do the rest."""


class Deadline:
    """The time limit of a part; None means no limit."""

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float:
        """Seconds left; raises OutOfTime if there are none."""
        seconds = float("inf") if self._end is None else self._end - time.monotonic()
        if seconds <= 0:
            raise OutOfTime
        return seconds

    def ask(self, worker: Worker, limit: float, do: str, **arguments: Any) -> Any:
        """`worker.ask`, also limited by the deadline, which raises OutOfTime instead of Failed."""
        try:
            return worker.ask(min(limit, self.left()), do, **arguments)
        except Failed:
            self.left()
            raise
