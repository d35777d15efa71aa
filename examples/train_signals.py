"""Clean exits on Ctrl-C (SIGINT), SIGTERM and SIGHUP: one line instead of a stack trace, and no lost work.

The handler never raises an exception: in the middle of an import, a callback or a write it would leave things
half done. Outside `postponed` there is nothing to lose, and the process exits immediately. Inside `postponed`
the handler only notes the signal, and the training loop checks for it.
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
    """The signals that ask this process to stop.

    On an immediate exit, `clean` is called and `farewell` is printed. `number` is the number of a postponed
    signal, or 0.
    """

    def __init__(self) -> None:
        self.number = 0
        self.farewell = "stopped before the first step"
        self.clean: Callable[[], None] = lambda: None
        self._postponing = False

    def listen(self) -> None:
        """Install the handler for each signal that the process does not already ignore (as under `nohup`)."""
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._arrived)

    def ignore(self) -> None:
        """Ignore these signals from now on."""
        for number in SIGNALS:
            if signal.getsignal(number) == self._arrived:
                signal.signal(number, signal.SIG_IGN)

    @contextmanager
    def postponed(self) -> Iterator[None]:
        """Inside the block, the first signal only sets `number`, and a second one ends the process.

        The code in the block checks `number` where it is safe to stop.
        """
        self._postponing = True
        try:
            yield
        finally:
            self._postponing = False

    def end(self, farewell: str) -> NoReturn:
        """Print the reason, and exit with the status that a shell expects after this signal."""
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
        with suppress(Exception):  # the stream may be in the middle of a write
            sys.stdout.flush()
        with suppress(OSError):
            os.write(2, f"{os.linesep * os.isatty(2)}train.py: {self.farewell}{os.linesep}".encode())
        os._exit(128 + number)


interruption = Interruption()
