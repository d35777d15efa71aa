"""Disk cache of compiled code and measurements; losing it only costs time.

Cached code is executed, so it is stored only in a folder that belongs to this user and that nobody else can
open. Symbolic links are not followed, neither to the folder nor to a file in it. Each file begins with a hash
of the rest and contains its key. If the folder cannot be used, programs are compiled again in each process,
with one warning.
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

#: Size limit of the cache in bytes; the least recently used files are removed.
LIMIT = 256 * 2**20
#: Age in seconds after which a temporary file is considered abandoned.
ABANDONED = 3600

_MAGIC = b"xgrad-1\n"
_OURS = re.compile(r"[0-9a-f]{64}\.[a-z]+|\.[0-9a-f]{64}\.[a-z]+\.[0-9a-f]{16}\.part")
_SECURE = os.name == "posix" and hasattr(os, "O_NOFOLLOW") and os.open in os.supports_dir_fd
_OTHERS = 0o077  # permissions of group and others
_WRITABLE = 0o022

_said = False


class _Refused(Exception):
    """The folder or a file cannot be trusted; the message says why."""


def folder() -> Path | None:
    """XGRAD_CACHE_DIR, or `xgrad` in the user's cache folder; None if the user has no home."""
    own = os.environ.get("XGRAD_CACHE_DIR")
    if own:
        return Path(own)
    caches = os.environ.get("XDG_CACHE_HOME", "")
    try:
        return Path(caches if os.path.isabs(caches) else Path.home() / ".cache") / "xgrad"
    except RuntimeError:
        return None


def read(kind: str, key: str) -> bytes | None:
    """Read the entry of a key and kind; None if it is missing, damaged or not trusted."""
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
    _say(_Refused(f"a file in {folder()} is damaged, or was moved there"))
    return None


def write(kind: str, key: str, data: bytes) -> None:
    """Store data under a key, atomically."""
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
    """The file header: a magic number, a hash of all that follows, and the key with its length."""
    name = key.encode()
    named = len(name).to_bytes(8, "little") + name
    return _MAGIC + hashlib.sha256(named + data).digest() + named


@contextlib.contextmanager
def _opened(*, create: bool) -> Iterator[int]:
    """Open the folder and check it; yield its descriptor.

    It is checked after opening, so that it cannot be replaced in between.
    """
    path = folder()
    if path is None or not _SECURE:
        raise _Refused("there is no safe folder for it; set XGRAD_CACHE_DIR to a folder of your own")
    if create:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    where = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(where)
        if found.st_uid != os.geteuid():
            raise _Refused(f"{path} belongs to another user")
        if found.st_mode & _WRITABLE:
            raise _Refused(f"other users may write to {path}; check what is in it, then chmod 700 it")
        if found.st_mode & _OTHERS:
            if not all(_OURS.fullmatch(name) for name in os.listdir(where)):
                raise _Refused(
                    f"other users may read {path}, and it has other files in it; chmod 700 it, or set "
                    f"XGRAD_CACHE_DIR to another folder"
                )
            os.fchmod(where, 0o700)
        yield where
    finally:
        os.close(where)


def _content(where: int, name: str) -> bytes:
    """Content of a regular file that nobody else may open.

    Reading marks it as used.
    """
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=where)
    with open(file, "rb") as stream:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & _OTHERS:
            raise _Refused(f"the file {name} in {folder()} belongs to another user, or others may open it")
        if found.st_size > LIMIT:
            return b""
        data = stream.read()
        with contextlib.suppress(OSError):
            os.utime(file)
    return data


def _fill(where: int, name: str, data: bytes) -> None:
    """Write a new file with these bytes."""
    file = os.open(
        name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=where
    )
    with open(file, "wb") as stream:
        stream.write(data)


def _make_room(where: int) -> None:
    """Remove the least recently used files beyond the limit, and abandoned temporary files."""
    files, now = [], time.time()
    for name in os.listdir(where):
        if not _OURS.fullmatch(name):
            continue
        with contextlib.suppress(OSError):  # another process may remove files too
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
    """Warn, only once per process."""
    global _said
    if not _said:
        _said = True
        warnings.warn(
            f"the cache of compiled code on disk cannot be used, so code is compiled again: {error}",
            stacklevel=2,
        )
