"""The output folder of a run: one run at a time, atomic writes, and no temporary files left behind."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

CHECKPOINT, CURVE, REPORT, LOCK = "checkpoint.safetensors", "curve.png", "report.html", ".lock"


class InUse(Exception):
    """Another run has the folder."""


class Folder:
    """A folder locked by this run, inside a `with` block.

    The operating system releases the lock when the process ends, however it ends. The next run removes the
    temporary files that a killed run left. Raises InUse if another run has the lock, and OSError if the
    folder cannot be created or written.
    """

    def __init__(self, path: str | Path, option: str = "--out") -> None:
        self.path, self.option = Path(path), option
        self.checkpoint, self.curve = self.path / CHECKPOINT, self.path / CURVE
        self.report = self.path / REPORT
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
        """Remove temporary files, and release the lock."""
        if self._lock is None:
            return
        if self._is_locked():
            self._remove_unfinished()
            with suppress(OSError):
                # while the lock is held; a waiting run finds the file gone, and creates a new one
                (self.path / LOCK).unlink()
        self._release()
        if self._made:
            with suppress(OSError):
                self.path.rmdir()  # only if it is empty

    def still_there(self) -> bool:
        """Say whether the folder is still the same one; if it was deleted or moved, create it again.

        Raises InUse if another run has locked a folder in its place, and FileExistsError if that folder has a
        checkpoint of another run.
        """
        if self._is_locked():
            return True
        same = self.path.exists() and os.path.samestat(self.path.stat(), self._folder)
        if not same and self.checkpoint.exists():
            raise FileExistsError(
                f"during the run, {self.path} was replaced by another folder, which has a checkpoint"
            )
        self._release()
        self.path.mkdir(parents=True, exist_ok=True)
        self._acquire()
        return same

    def has_checkpoint(self) -> bool:
        """Say whether the folder is still the same one, and has a checkpoint."""
        return self._is_locked() and self.checkpoint.exists()

    @contextmanager
    def whole(self, path: Path) -> Iterator[Path]:
        """Give a temporary path to write to; at the end of the block the file replaces `path`."""
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
            raise InUse(_busy(self.path, self.option)) from None
        self._folder = self.path.stat()

    def _sign(self, handle: int) -> None:
        """Write the process and host that hold the lock into its file."""
        self._file = os.fstat(handle)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()} {socket.gethostname()}\n".encode(), 0)

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
        self._lock = self._file = None

    def _is_locked(self) -> bool:
        """Say whether the lock file on disk is the one that this run holds."""
        with suppress(OSError):
            return self._file is not None and os.path.samestat((self.path / LOCK).stat(), self._file)
        return False

    def _remove_unfinished(self) -> None:
        """Remove files that a killed run was writing; with the lock held, nobody else writes here."""
        for name in (CHECKPOINT, CURVE, REPORT):
            for path in self.path.glob(f".{name}.*.tmp"):
                with suppress(OSError):
                    path.unlink()


def _busy(folder: Path, option: str) -> str:
    """Return the error message for a second run."""
    pid, host = "", ""
    with suppress(OSError, ValueError):
        pid, host = (folder / LOCK).read_text(encoding="utf-8").split()
    if pid.isdigit():
        way = (
            f"wait for it, or stop it with `kill {pid}`"
            if host == socket.gethostname()
            else f"wait for it, or stop it on {host}"
        )
        who = f"another run, process {pid}" + (f" on {host}" if host != socket.gethostname() else "")
    else:
        who, way = "another run", "wait for it, or stop it"
    return f"{folder} is in use by {who}: {way}, or give this run another folder with {option}"
