"""The folder of a run: one run at a time, files that appear whole or not at all, and nothing left over."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

CHECKPOINT, CURVE, LOCK = "checkpoint.safetensors", "curve.png", ".lock"


class InUse(Exception):
    """Another run has the folder."""


class Folder:
    """A folder that is this run's alone, inside a `with` block.

    The system gives up the lock when the process ends, however it ends. What a killed run left in the folder
    is removed by the next. Raises InUse where another run has it, and OSError where it cannot be made or
    written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.checkpoint, self.curve = self.path / CHECKPOINT, self.path / CURVE
        self._lock: FileLock | None = None
        self._file: os.stat_result | None = None  # the lock's, as long as it is held

    def __enter__(self) -> Folder:
        self._made = not self.path.exists()
        self.path.mkdir(parents=True, exist_ok=True)
        self._acquire()
        self._remove_unfinished()
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        """Remove what is not to stay, and let others have the folder."""
        if self._lock is None:
            return
        if self._is_locked():
            self._remove_unfinished()
            with suppress(OSError):
                # while it is held; who waits for it finds that it is gone, and makes another
                (self.path / LOCK).unlink()
        self._release()
        if self._made:
            with suppress(OSError):
                self.path.rmdir()  # if nothing has come into it

    def still_there(self) -> bool:
        """Whether it is the folder that it was. If it was deleted or moved, it is made again, and False.

        Raises InUse where another run has taken its place, and FileExistsError where it has a checkpoint that
        is not this run's.
        """
        if self._is_locked():
            return True
        same = self.path.exists() and os.path.samestat(self.path.stat(), self._folder)
        if not same and self.checkpoint.exists():
            raise FileExistsError(
                f"{self.path} was replaced during the run by a folder with a checkpoint of its own"
            )
        self._release()
        self.path.mkdir(parents=True, exist_ok=True)
        self._acquire()
        return same

    def has_checkpoint(self) -> bool:
        """Whether it is the folder that it was, with what was written there."""
        return self._is_locked() and self.checkpoint.exists()

    @contextmanager
    def whole(self, path: Path) -> Iterator[Path]:
        """Where to write a file that takes the place of `path` at the end of the block."""
        beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        try:
            yield beside
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)

    def _acquire(self) -> None:
        self._lock = FileLock(self.path / LOCK, on_acquired=self._sign)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise InUse(_busy(self.path)) from None
        self._folder = self.path.stat()

    def _sign(self, handle: int) -> None:
        """Write who holds the lock into its file."""
        self._file = os.fstat(handle)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()} {socket.gethostname()}\n".encode(), 0)

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
        self._lock = self._file = None

    def _is_locked(self) -> bool:
        """Whether the lock that this run holds is the one that others would find."""
        with suppress(OSError):
            return self._file is not None and os.path.samestat((self.path / LOCK).stat(), self._file)
        return False

    def _remove_unfinished(self) -> None:
        """Files that were being written when a run was killed: nobody else writes here."""
        for name in (CHECKPOINT, CURVE):
            for path in self.path.glob(f".{name}.*.tmp"):
                with suppress(OSError):
                    path.unlink()


def _busy(folder: Path) -> str:
    """What to tell a second run."""
    pid, host = "", ""
    with suppress(OSError, ValueError):
        pid, host = (folder / LOCK).read_text(encoding="utf-8").split()
    if pid.isdigit():
        way = (
            f"wait for it, stop it with `kill {pid}`"
            if host == socket.gethostname()
            else f"wait for it, stop it on {host}"
        )
        who = f"another run, process {pid}" + (f" on {host}" if host != socket.gethostname() else "")
    else:
        who, way = "another run", "wait for it, stop it"
    return f"{folder} is in use by {who}: {way}, or give this one a folder of its own with --out"
