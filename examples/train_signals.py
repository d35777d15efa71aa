"""Ctrl-C (SIGINT), SIGTERM and SIGHUP end a run with one line instead of a stack trace, at a place where
nothing is lost.

The handler never raises: an exception in the middle of an import, of a callback or of a file that is being
written would leave things half done. Either there is nothing to lose, and the process ends at once, or the
signal is kept for `postponed` to find.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Interruption:
    """The signals that ask this process to end.

    `farewell` is what is said when it ends at once, `clean` is called before. `number` is that of a signal
    that was postponed, or 0.
    """

    def __init__(self) -> None:
        self.number = 0
        self.farewell = "stopped before the first step"
        self.clean: Callable[[], None] = lambda: None
        self._postponing = False

    def listen(self) -> None:
        """Take over every one of these signals that the process was not told to ignore, as `nohup` tells
        it."""
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._arrived)

    def ignore(self) -> None:
        """There is nothing to stop any more."""
        for number in SIGNALS:
            if signal.getsignal(number) == self._arrived:
                signal.signal(number, signal.SIG_IGN)

    @contextmanager
    def postponed(self) -> Iterator[None]:
        """Let a first signal only set `number`, at which whoever is inside looks when nothing is half done.

        A second one ends the process.
        """
        self._postponing = True
        try:
            yield
        finally:
            self._postponing = False

    def end(self, farewell: str) -> NoReturn:
        """Say why, and end as a shell expects of a process that such a signal has stopped."""
        self.ignore()
        print(f"train.py: {farewell}", file=sys.stderr)
        sys.exit(128 + self.number)

    def _arrived(self, number: int, _: Any) -> None:
        if self._postponing and not self.number:
            self.number = number
            return
        self.ignore()
        with suppress(Exception):
            self.clean()
        with suppress(Exception):  # as of a stream that was being written to just now
            sys.stdout.flush()
        with suppress(OSError):
            os.write(2, f"{os.linesep * os.isatty(2)}train.py: {self.farewell}{os.linesep}".encode())
        os._exit(128 + number)


interruption = Interruption()
