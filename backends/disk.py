"""A cache on disk: compiled code, and what was measured. Losing it costs time alone.

Compiled code is run as it is read, so it is kept only in a folder that belongs to this user and that nobody
else can open. No symbolic link is followed, neither to the folder nor to a file in it. Each file begins with
a hash of the rest and holds the key that it was written under. Where there is no such folder, or it fails,
programs are compiled again in each process, and a warning says so once.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

#: Bytes that the cache may take; files that were not used for longest make room.
LIMIT = 256 * 2**20
#: Seconds after which a temporary file was left behind by a process that ended.
ABANDONED = 3600

_MAGIC = b"xgrad-1\n"
_OURS = re.compile(r"[0-9a-f]{64}\.[a-z]+|\.[0-9a-f]{64}\.[a-z]+\.[0-9a-f]{16}\.part")
_SECURE = os.name == "posix" and hasattr(os, "O_NOFOLLOW") and os.open in os.supports_dir_fd
_OTHERS = 0o077  # permissions of anybody but the owner
_WRITABLE = 0o022

_said = False


class _Refused(Exception):
    """The folder or a file cannot be trusted; the message says why."""


def folder() -> Path | None:
    """XGRAD_CACHE_DIR, or `xgrad` among the user's caches; None where the user has no home."""
    own = os.environ.get("XGRAD_CACHE_DIR")
    if own:
        return Path(own)
    caches = os.environ.get("XDG_CACHE_HOME", "")
    try:
        return Path(caches if os.path.isabs(caches) else Path.home() / ".cache") / "xgrad"
    except RuntimeError:
        return None


def read(kind: str, key: str) -> bytes | None:
    """What was kept under a key, as a file of that kind; None where it is not there, not whole, or not to be
    trusted."""
    try:
        with _opened(create=False) as where:
            data = _content(where, _name(kind, key))
    except FileNotFoundError:
        return None
    except (OSError, _Refused) as error:
        _say(error)
        return None
    start = len(_head(key, b""))
    if data[:start] == _head(key, data[start:]):
        return data[start:]
    _say(_Refused(f"{folder()} has a file that is damaged or was moved there"))
    return None


def write(kind: str, key: str, data: bytes) -> None:
    """Keep data under a key. It appears whole or not at all."""
    try:
        with _opened(create=True) as where:
            name = _name(kind, key)
            part = f".{name}.{os.urandom(8).hex()}.part"
            try:
                _fill(where, part, _head(key, data) + data)
                os.replace(part, name, src_dir_fd=where, dst_dir_fd=where)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(part, dir_fd=where)
                raise
            _make_room(where)
    except (OSError, _Refused) as error:
        _say(error)


def _name(kind: str, key: str) -> str:
    return f"{hashlib.sha256(key.encode()).hexdigest()}.{kind}"


def _head(key: str, data: bytes) -> bytes:
    """What stands before the data: a mark, a hash of all that follows, and the key with its length."""
    name = key.encode()
    named = len(name).to_bytes(8, "little") + name
    return _MAGIC + hashlib.sha256(named + data).digest() + named


@contextlib.contextmanager
def _opened(*, create: bool) -> Iterator[int]:
    """A descriptor of the folder, which was checked after it was opened, so that it cannot be exchanged in
    between."""
    path = folder()
    if path is None or not _SECURE:
        raise _Refused("there is no folder for it: set XGRAD_CACHE_DIR to a folder of your own")
    if create:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    where = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(where)
        if found.st_uid != os.geteuid():
            raise _Refused(f"{path} belongs to another user")
        if found.st_mode & _WRITABLE:
            raise _Refused(f"other users may write into {path}: chmod 700 it after a look at what it holds")
        if found.st_mode & _OTHERS:
            if not all(_OURS.fullmatch(name) for name in os.listdir(where)):
                raise _Refused(
                    f"other users may read {path}, and it holds other files: chmod 700 it, or name "
                    f"another folder"
                )
            os.fchmod(where, 0o700)
        yield where
    finally:
        os.close(where)


def _content(where: int, name: str) -> bytes:
    """All of a file, if it is a plain one that nobody else may open. Reading counts as use."""
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=where)
    with open(file, "rb") as stream:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & _OTHERS:
            raise _Refused(f"{folder()} has a file {name} that is not this user's alone")
        if found.st_size > LIMIT:
            return b""
        data = stream.read()
        with contextlib.suppress(OSError):
            os.utime(file)
    return data


def _fill(where: int, name: str, data: bytes) -> None:
    """A new file with these bytes."""
    file = os.open(
        name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=where
    )
    with open(file, "wb") as stream:
        stream.write(data)


def _make_room(where: int) -> None:
    """Remove what was not used for longest beyond the limit, and temporary files that nobody finishes."""
    files, now = [], time.time()
    for name in os.listdir(where):
        if not _OURS.fullmatch(name):
            continue
        with contextlib.suppress(OSError):  # another process makes room as well
            found = os.stat(name, dir_fd=where, follow_symlinks=False)
            if name.endswith(".part"):
                if now - found.st_mtime > ABANDONED:
                    os.unlink(name, dir_fd=where)
            else:
                files.append((found.st_mtime, found.st_size, name))
    total = sum(size for _, size, _ in files)
    for _, size, name in sorted(files):
        if total <= LIMIT:
            break
        total -= size
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=where)


def _say(error: Exception) -> None:
    """A warning, the first time in this process."""
    global _said
    if not _said:
        _said = True
        warnings.warn(
            f"compiled code could not be kept on disk, or found there, and is made again: {error}",
            stacklevel=2,
        )
