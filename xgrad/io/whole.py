"""Atomic writing of files."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path


def write_whole(path: str | Path, content: bytes) -> None:
    """Write a file atomically: a reader finds the old content or the new, never a part.

    The content is written to a temporary file in the same folder, which then replaces the target. Symbolic
    links are followed, as by `open`. An existing file keeps its permissions, and its owner if the system
    allows it; a new one has the permissions of the umask. The temporary file is called `.NAME.XXXXXXXX.tmp`,
    and is removed if anything fails; it is left behind only if the process is killed.

    Raises OSError, naming `path`, with the existing file unchanged: for a folder that cannot be created or
    written, a full disk, a read-only file, and a target that is not a file.
    """
    target = Path(os.path.realpath(path))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        old = _file_there(target)
        beside = target.with_name(f".{target.name[:40]}.{secrets.token_hex(4)}.tmp")
        # the system applies the umask
        mode = stat.S_IMODE(old.st_mode) if old else 0o666
        try:
            with open(beside, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if old:
                _inherit(beside, old)
            os.replace(beside, target)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


def _file_there(target: Path) -> os.stat_result | None:
    """Status of the file to be replaced, if any.

    Raises OSError for a target that must not be replaced.
    """
    try:
        old = target.lstat()
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(old.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if stat.S_ISLNK(old.st_mode):  # circular links
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    if not stat.S_ISREG(old.st_mode):
        raise OSError(errno.EINVAL, "it is a device, pipe or socket, not a file")
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, "the file is read-only")
    return old


def _inherit(path: Path, old: os.stat_result) -> None:
    """Copy the permissions, and if possible the owner, of the file to be replaced."""
    new = path.stat()
    if hasattr(os, "chown") and (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        with suppress(PermissionError):
            os.chown(path, old.st_uid, old.st_gid)
    os.chmod(path, stat.S_IMODE(old.st_mode))
