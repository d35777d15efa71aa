"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path


def write_whole(path: str | Path, content: bytes) -> None:
    """Write a file beside its place and move it there, so that a reader finds the old content or the new,
    never a part.

    Symbolic links are followed, as `open` follows them. A file that was there keeps its permissions, and its
    owner where the system lets it; a new one has those of the umask. The file beside is called
    `.NAME.XXXXXXXX.tmp`, and is removed if anything fails; it stays only where the process is killed.

    Raises OSError, naming `path`, with the file that was there as it was: for a folder that cannot be made or
    written, a full disk, a file that is read-only, and anything in its place that is no file.
    """
    target = Path(os.path.realpath(path))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        old = _file_there(target)
        beside = target.with_name(f".{target.name[:40]}.{secrets.token_hex(4)}.tmp")
        # of which the umask takes its part, in the system itself
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
    """The file that is to be replaced. Raises OSError for what must not be."""
    try:
        old = target.lstat()
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(old.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if stat.S_ISLNK(old.st_mode):  # links that lead to one another
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    if not stat.S_ISREG(old.st_mode):
        raise OSError(errno.EINVAL, "a device, pipe or socket, and no file")
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, "the file is read-only")
    return old


def _inherit(path: Path, old: os.stat_result) -> None:
    """Give a file the owner, as far as the system allows it, and the permissions of the one that it
    replaces."""
    new = path.stat()
    if hasattr(os, "chown") and (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        with suppress(PermissionError):
            os.chown(path, old.st_uid, old.st_gid)
    os.chmod(path, stat.S_IMODE(old.st_mode))
