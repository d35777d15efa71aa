"""Tests of the cache on disk: which files are trusted, which are kept, and running without a cache."""

from __future__ import annotations

import os
import re
import resource
import stat
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from xgrad.backends import disk
from xgrad.backends.cpu import native

KEY, DATA = "LLVM 20, x86-64, a program", bytes(range(256)) * 40
OTHER_USER = 54321

pytestmark = pytest.mark.skipif(not disk._SECURE, reason="a cache on disk needs POSIX")
as_root = pytest.mark.skipif(
    os.name == "posix" and os.geteuid() != 0, reason="only root may become another user"
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Provide a cache folder that does not exist yet, and reset the warnings already given."""
    monkeypatch.setattr(disk, "_said", False)
    monkeypatch.setenv("XGRAD_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Provide a cache folder that does not exist yet, inside one that every user may write to."""
    with tempfile.TemporaryDirectory() as top:
        Path(top).chmod(0o1777)
        monkeypatch.setenv("XGRAD_CACHE_DIR", f"{top}/xgrad")
        yield Path(top) / "xgrad"


def without_a_cache(match: str) -> None:
    """Check that nothing is read or written, with a single warning."""
    with pytest.warns(UserWarning, match=match):
        disk.write("o", KEY, DATA)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        disk.write("o", KEY, DATA)
        assert disk.read("o", KEY) is None


def in_a_child(work: Callable[[], None]) -> None:
    """Run `work` in a child process, which may switch to another user."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_what_is_kept_comes_back(cache: Path) -> None:
    assert disk.read("o", KEY) is None
    disk.write("o", KEY, DATA)
    disk.write("json", KEY, b"{}")
    assert (disk.read("o", KEY), disk.read("json", KEY), disk.read("o", KEY + " ")) == (DATA, b"{}", None)
    disk.write("o", KEY, b"new")
    assert disk.read("o", KEY) == b"new"
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert {stat.S_IMODE(p.stat().st_mode) for p in cache.iterdir()} == {0o600}
    assert len(list(cache.iterdir())) == 2


def test_the_umask_does_not_open_it(cache: Path) -> None:
    before = os.umask(0)
    try:
        disk.write("o", KEY, DATA)
    finally:
        assert os.umask(before) == 0
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert [stat.S_IMODE(p.stat().st_mode) for p in cache.iterdir()] == [0o600]


@pytest.mark.parametrize("at", ["first", "mark", "hash", "key", "data", "end"])
def test_damaged_files_are_not_used(cache: Path, at: str) -> None:
    disk.write("o", KEY, DATA)
    (file,) = cache.iterdir()
    whole = bytearray(file.read_bytes())
    place = {"first": 0, "mark": 5, "hash": 20, "key": 60, "data": len(whole) // 2, "end": len(whole) - 1}[at]
    for damaged in (
        whole[:place],
        whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :],
        whole + b"\0",
    ):
        file.write_bytes(damaged)
        disk._said = False
        with pytest.warns(UserWarning, match="damaged"):
            assert disk.read("o", KEY) is None
    disk.write("o", KEY, DATA)
    assert disk.read("o", KEY) == DATA


def test_a_file_of_another_key_is_not_used(cache: Path) -> None:
    disk.write("o", "LLVM 20, another processor, a program", DATA)
    (file,) = cache.iterdir()
    disk.write("o", KEY, b"of this one")
    (own,) = set(cache.iterdir()) - {file}
    os.replace(file, own)
    with pytest.warns(UserWarning, match="moved there"):
        assert disk.read("o", KEY) is None


def test_a_folder_that_others_may_write_is_refused(cache: Path) -> None:
    disk.write("o", KEY, DATA)
    for mode in (0o777, 0o1777, 0o720, 0o702):
        cache.chmod(mode)
        disk._said = False
        without_a_cache("other users may write")
        assert stat.S_IMODE(cache.stat().st_mode) == mode


def test_a_folder_that_others_may_read_is_closed_if_it_is_ours_alone(cache: Path) -> None:
    disk.write("o", KEY, DATA)
    cache.chmod(0o755)
    assert disk.read("o", KEY) == DATA
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    (cache / "thesis.txt").write_text("")
    cache.chmod(0o755)
    without_a_cache("has other files")
    assert stat.S_IMODE(cache.stat().st_mode) == 0o755


def test_files_that_others_may_open_are_not_used(cache: Path) -> None:
    disk.write("o", KEY, DATA)
    (file,) = cache.iterdir()
    file.chmod(0o644)
    with pytest.warns(UserWarning, match="belongs to another user, or others may open it"):
        assert disk.read("o", KEY) is None


def test_no_link_is_followed(cache: Path, tmp_path: Path) -> None:
    disk.write("o", KEY, DATA)
    (file,) = cache.iterdir()
    cache.rename(tmp_path / "elsewhere")
    cache.symlink_to(tmp_path / "elsewhere")
    without_a_cache("cache")
    cache.unlink()
    cache.mkdir(0o700)
    file.symlink_to(tmp_path / "elsewhere" / file.name)
    disk._said = False
    with pytest.warns(UserWarning, match="compiled again"):
        assert disk.read("o", KEY) is None
    disk.write("o", KEY, b"new")  # replaces the link itself, not its target
    assert not file.is_symlink()
    disk_before = (tmp_path / "elsewhere" / file.name).read_bytes()
    assert disk_before.endswith(DATA)


def test_what_is_no_plain_file_is_not_opened(cache: Path) -> None:
    disk.write("o", KEY, DATA)
    (file,) = cache.iterdir()
    file.unlink()
    os.mkfifo(file, 0o600)
    with pytest.warns(UserWarning, match="compiled again"):
        assert disk.read("o", KEY) is None
    file.unlink()
    file.mkdir()
    disk.write("o", KEY, DATA)
    assert disk.read("o", KEY) is None
    assert list(cache.iterdir()) == [file]


def test_a_file_in_the_place_of_the_folder(cache: Path) -> None:
    cache.write_text("")
    without_a_cache("cache")
    assert cache.read_text() == ""


def test_no_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a home there is no cache folder, and in particular none in the temporary directory."""
    for name in ("XGRAD_CACHE_DIR", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert disk.folder() is None
    without_a_cache("set XGRAD_CACHE_DIR")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    for place in ("replace", "open"):
        with monkeypatch.context() as patch:
            patch.setattr(disk.os, place, full)
            disk._said = False
            with pytest.warns(UserWarning, match="No space left"):
                disk.write("o", KEY, DATA)
    assert list(cache.iterdir()) == []  # temporary files are removed
    disk.write("o", KEY, DATA)
    assert disk.read("o", KEY) == DATA


def test_a_limit_on_the_size_of_files(cache: Path) -> None:
    def work() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            disk.write("o", KEY, DATA)
        assert [w.category for w in said] == [UserWarning]
        assert list(cache.iterdir()) == []

    in_a_child(work)


def test_a_folder_that_goes_away(cache: Path) -> None:
    disk.write("o", KEY, DATA)
    for file in cache.iterdir():
        file.unlink()
    cache.rmdir()
    assert disk.read("o", KEY) is None
    disk.write("o", KEY, DATA)
    assert disk.read("o", KEY) == DATA


def test_it_has_a_bound(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "LIMIT", 5 * (len(DATA) + 200))
    now = 1_000_000_000
    for i in range(9):
        disk.write("o", f"{KEY} {i}", DATA)
        for age, name in enumerate(sorted(cache.iterdir(), key=lambda p: p.stat().st_mtime)):
            os.utime(name, (now + 100 * i + age, now + 100 * i + age))
        disk.read("o", f"{KEY} 0")  # keep this entry recently used
    assert disk.read("o", f"{KEY} 0") == DATA
    assert disk.read("o", f"{KEY} 8") == DATA
    assert disk.read("o", f"{KEY} 1") is None
    assert sum(p.stat().st_size for p in cache.iterdir()) <= disk.LIMIT


def test_what_a_killed_process_left_is_removed(cache: Path) -> None:
    disk.write("o", KEY, DATA)
    left = [cache / f".{'0' * 64}.o.{'1' * 16}.part", cache / f".{'0' * 64}.o.{'2' * 16}.part"]
    for file in left:
        file.write_bytes(b"half")
    os.utime(left[0], (0, 0))
    (cache / "notes").write_text("not ours")
    disk.write("o", KEY, DATA)
    assert [file.exists() for file in left] == [False, True]  # a process may still be writing the other one
    assert (cache / "notes").exists()


@as_root
def test_a_folder_of_another_user_is_refused(cache: Path) -> None:
    """No user, root included, runs code that another user may have planted."""
    disk.write("o", KEY, DATA)
    for file in (cache, *cache.iterdir()):
        os.chown(file, OTHER_USER, OTHER_USER)
    without_a_cache("belongs to another user")


@as_root
def test_a_file_of_another_user_is_refused(cache: Path) -> None:
    disk.write("o", KEY, DATA)
    (file,) = cache.iterdir()
    os.chown(file, OTHER_USER, OTHER_USER)
    with pytest.warns(UserWarning, match="belongs to another user, or others may open it"):
        assert disk.read("o", KEY) is None


@as_root
def test_two_users_of_one_folder_keep_apart(public: Path) -> None:
    """The first user owns the folder; the other is given no code by it and cannot disturb it."""

    def becomes(user: int, kept: bytes | None) -> Callable[[], None]:
        def work() -> None:
            os.setgid(user)
            os.setuid(user)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                assert disk.read("o", KEY) == kept
                disk.write("o", KEY, str(user).encode())
                assert disk.read("o", KEY) == (
                    None if kept is None and user != OTHER_USER else str(user).encode()
                )

        return work

    in_a_child(becomes(OTHER_USER, None))
    in_a_child(becomes(OTHER_USER + 1, None))
    in_a_child(becomes(OTHER_USER, str(OTHER_USER).encode()))
    without_a_cache("belongs to another user")  # root


@as_root
def test_a_read_only_folder(public: Path) -> None:
    disk.write("o", KEY, DATA)
    for file in (public, *public.iterdir()):
        os.chown(file, OTHER_USER, OTHER_USER)
    public.chmod(0o500)

    def work() -> None:
        os.setuid(OTHER_USER)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            assert disk.read("o", KEY) == DATA  # it is still valid
            disk.write("o", f"{KEY} 2", DATA)
            disk.write("o", f"{KEY} 3", DATA)
        assert len(said) == 1

    in_a_child(work)


RUN = """
import sys, warnings
import numpy as np, xgrad as xg
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    f = xg.compile(lambda x: xg.tanh(x) * x)
    g = xg.compile(lambda x: xg.exp(x) - x)
    x = np.linspace(-1, 1, 50)
    np.testing.assert_allclose(f(x).numpy(), np.tanh(x) * x, rtol=1e-12)
    np.testing.assert_allclose(g(x).numpy(), np.exp(x) - x, rtol=1e-12)
    print(f.executable(x).kind, len([w for w in said if "compiled code" in str(w.message)]))
"""


@pytest.mark.slow
@pytest.mark.skipif(native.missing() is not None, reason="needs native code")
@pytest.mark.parametrize("trouble", ["none", "file", "open", "garbage", "gone"])
def test_programs_run_without_a_cache(cache: Path, trouble: str, tmp_path: Path) -> None:
    """Whatever is wrong with the folder, native code gives the same values with at most one warning."""
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))

    def run() -> str:
        done = subprocess.run(
            [sys.executable, "-c", RUN],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert run() == "native code 0"
    if trouble == "file":
        for file in cache.iterdir():
            file.unlink()
        cache.rmdir()
        cache.write_text("")
    elif trouble == "open":
        cache.chmod(0o777)
    elif trouble == "garbage":
        for file in cache.iterdir():
            file.write_bytes(b"\x7fELF" + os.urandom(1000))
    elif trouble == "gone":
        environment["XGRAD_CACHE_DIR"] = "/proc/nowhere"
    assert run() == f"native code {0 if trouble == 'none' else 1}"


@pytest.mark.skipif(native.missing() is not None, reason="needs native code")
def test_the_key_names_the_machine_and_the_versions(cache: Path) -> None:
    import llvmlite

    native._loaded.clear()
    x = np.ones(7)
    xg.compile(lambda x: x * 3 + xg.tanh(x))(x)
    file = max(cache.iterdir(), key=lambda p: p.stat().st_size)
    head = file.read_bytes()[:4000]
    for word in (llvmlite.__version__, native._host().cpu, native._host().features, "xgrad "):
        assert word.encode() in head
    assert re.search(rb", [0-9a-f]{64}", head)
