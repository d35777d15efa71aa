"""Tests of files of Tensors.

They load bit for bit or are refused, are written completely or not at all, and hostile ones do no harm.
"""

from __future__ import annotations

import json
import os
import random
import resource
import stat
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import xgrad as xg

DTYPES = [
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
    "complex64",
]
LAYOUTS = {
    "row by row": lambda a: a,
    "column by column": np.asfortranarray,
    "strided": lambda a: np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a,
    "backwards": lambda a: a[..., ::-1] if a.ndim else a,
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "read-only": lambda a: np.broadcast_to(a, (2, *a.shape)),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c.safetensors"


def bits(a: np.ndarray) -> tuple[Any, ...]:
    """Return a key that differs for any two different arrays, including NaNs and zeros."""
    return a.shape, a.dtype.name, np.ascontiguousarray(a).tobytes()


class TestThereAndBack:
    @settings(max_examples=60)
    @given(st.data(), st.sampled_from(DTYPES), st.sampled_from(sorted(LAYOUTS)))
    def test_every_dtype_shape_and_layout(
        self, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, dtype: str, layout: str
    ) -> None:
        path = tmp_path_factory.mktemp("files") / "c.safetensors"
        array = LAYOUTS[layout](data.draw(arrays(dtype, array_shapes(min_dims=0, min_side=0, max_side=4))))
        xg.io.save(path, {"a": array, "b": xg.asarray(array)})
        native = array.astype(array.dtype.newbyteorder("="))
        found = xg.io.load(path)[0]
        assert bits(found["a"].numpy()) == bits(found["b"].numpy()) == bits(native)
        assert bits(safetensors.numpy.load_file(path)["a"]) == bits(native)

    @given(arrays(np.uint16, array_shapes(min_dims=0, min_side=0, max_side=4)))
    def test_bfloat16(self, tmp_path_factory: pytest.TempPathFactory, array: np.ndarray) -> None:
        path = tmp_path_factory.mktemp("files") / "c.safetensors"
        xg.io.save(path, {"a": array.view(ml_dtypes.bfloat16)})
        assert bits(xg.io.load(path)[0]["a"].numpy()) == bits(array.view(ml_dtypes.bfloat16))

    def test_numbers_names_and_words(self, path: Path) -> None:
        names = ["", "a.b", "ü€", "a\0b", 'quo"te\n', "__init__"]
        words = {"": "", "__metadata__": "x", "n": '\n\0\\"', "ü": "€" * 1000}
        xg.io.save(
            path, {name: float(i) for i, name in enumerate(names)} | {"i": 3, "t": True, "l": [[1, 2]]}, words
        )
        found, said = xg.io.load(path)
        assert said == words
        assert [found[name].item() for name in names] == list(range(len(names)))
        assert (found["i"].dtype, found["t"].dtype, found["l"].shape) == ("int64", "bool", (1, 2))

    @pytest.mark.parametrize("words", [None, {}, {"a": "b"}])
    def test_nothing_at_all(self, path: Path, words: dict[str, str] | None) -> None:
        xg.io.save(path, {}, words)
        assert xg.io.load(path) == ({}, words or {})

    def test_it_is_a_copy_at_that_moment(self, path: Path) -> None:
        array = np.ones(3)
        xg.io.save(path, {"a": xg.asarray(array)})
        found = xg.io.load(path)[0]["a"]
        found[0] = 5.0
        array[1] = 7.0
        assert xg.io.load(path)[0]["a"].tolist() == [1, 1, 1]

    def test_the_library_reads_what_is_written_and_the_other_way_round(self, path: Path) -> None:
        xg.io.save(path, {"a": np.arange(6).reshape(2, 3)}, {"step": "7"})
        with safetensors.safe_open(path, framework="numpy") as file:
            assert file.metadata()["step"] == "7"
            assert file.get_tensor("a").tolist() == [[0, 1, 2], [3, 4, 5]]
        safetensors.numpy.save_file({"a": np.ones((2, 1), np.float16)}, path, metadata={"step": "8"})
        found, words = xg.io.load(path)
        assert words == {"step": "8"}
        assert bits(found["a"].numpy()) == bits(np.ones((2, 1), np.float16))
        xg.io.save(path, found, words)
        assert xg.io.load(path)[1] == words

    @pytest.mark.parametrize(
        ("tensors", "words", "error", "message"),
        [
            ({"z": 1j}, {}, TypeError, r"'z' has dtype complex128, .* xg.real\(x\)"),
            ({"__metadata__": 1}, {}, ValueError, "__metadata__.*another name"),
            ({"\ud800": 1}, {}, ValueError, "cannot be encoded in UTF-8"),
            ({3: 1}, {}, TypeError, "names of tensors must be strings, not 3"),
            ({"a": "text"}, {}, TypeError, "'a' cannot become a Tensor"),
            ({"a": None}, {}, TypeError, "'a' cannot become a Tensor"),
            ({"a": np.array(["2020"], "datetime64[D]")}, {}, TypeError, "'a'"),
            ({"a": np.longdouble(1)}, {}, TypeError, r"'a' has dtype (float|longdouble).*another dtype"),
            ([1.0], {}, TypeError, "a mapping from names to values, not list"),
            (xg.nn.Linear(1, 1), {}, TypeError, r"not Linear; for a module, pass module.state_dict\(\)"),
            ({"a": 1}, {"step": 7}, TypeError, "'step' is int; convert it with json.dumps"),
            ({"a": 1}, {7: "step"}, TypeError, "names of metadata must be strings, not 7"),
            ({"a": 1}, {"a": "\udfff"}, ValueError, "cannot be encoded in UTF-8"),
            ({"a": 1}, {"xgrad.digest": "0"}, ValueError, "another name"),
            ({"a": 1}, ["step"], TypeError, "metadata must be a mapping from names to values, not list"),
            ({"a": 1}, {"long": "x" * 16_000_000}, ValueError, "save long metadata as a Tensor"),
        ],
    )
    def test_what_would_not_come_back_is_refused(
        self, path: Path, tensors: Any, words: Any, error: type[Exception], message: str
    ) -> None:
        xg.io.save(path, {"old": 1})
        before = path.read_bytes()
        with pytest.raises(error, match=message):
            xg.io.save(path, tensors, words)
        assert path.read_bytes() == before
        assert list(path.parent.iterdir()) == [path]


def whole_file(path: Path) -> bytes:
    """A small file with every kind of content."""
    values = {
        "a": np.arange(5, dtype=np.float32),
        "b": np.array([True, False]),
        "c": np.float64(2.5),
        "d": np.zeros((0, 3), np.int16),
    }
    xg.io.save(path, values, {"step": "7", "curve": json.dumps([1.5, 2.5])})
    return path.read_bytes()


def refused_or_same(path: Path, content: bytes, want: Any) -> bool:
    """Return whether a file is refused; if it is not, check every value."""
    path.write_bytes(content)
    try:
        found, words = xg.io.load(path)
    except ValueError as error:
        if str(path) not in str(error):
            raise
        return True
    assert words == want[1]
    assert {name: bits(t.numpy()) for name, t in found.items()} == {
        name: bits(t.numpy()) for name, t in want[0].items()
    }
    return False


class TestDamage:
    def test_a_file_that_is_cut_short_anywhere(self, path: Path) -> None:
        content, want = whole_file(path), xg.io.load(path)
        assert all(refused_or_same(path, content[:n], want) for n in range(len(content)))
        assert refused_or_same(path, content + b"\0", want)
        assert not refused_or_same(path, content, want)

    def test_any_flipped_bit(self, path: Path) -> None:
        content, want = whole_file(path), xg.io.load(path)
        header = 8 + int.from_bytes(content[:8], "little")
        for i in range(0, 8 * len(content), 1 if "XGRAD_FUZZ" in os.environ else 7):
            flipped = bytearray(content)
            flipped[i // 8] ^= 1 << i % 8
            refused = refused_or_same(path, bytes(flipped), want)
            assert refused or i // 8 < header, "a wrong value was taken"

    @settings(max_examples=150)
    @given(st.data())
    def test_several_bytes_replaced_moved_or_doubled(
        self, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
    ) -> None:
        path = tmp_path_factory.mktemp("files") / "c.safetensors"
        content, want = whole_file(path), xg.io.load(path)
        place = st.integers(0, len(content))
        for _ in range(data.draw(st.integers(1, 3))):
            i, j, k = (data.draw(place) for _ in range(3))
            new = data.draw(st.one_of(st.binary(max_size=9), st.just(content[min(j, k) : max(j, k)])))
            content = content[:i] + new + content[i + data.draw(st.integers(0, len(new))) :]
        refused_or_same(path, content, want)

    def test_older_files_have_no_digest(self, path: Path) -> None:
        safetensors.numpy.save_file({"a": np.ones(2)}, path)
        assert xg.io.load(path)[0]["a"].tolist() == [1, 1]


def made(header: Any, data: bytes = b"") -> bytes:
    """Return a file with this header, valid or not."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + data


def entry(dtype: Any = "F32", shape: Any = (1,), offsets: Any = (0, 4), **more: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets, **more}


ONE = b'"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
HOSTILE = {
    "empty": b"",
    "a length alone": struct.pack("<Q", 2),
    "header of gigabytes": struct.pack("<Q", 2**33) + b"{}",
    "header of exabytes": struct.pack("<Q", 2**63) + b"{}",
    "header of 2**64 - 1": b"\xff" * 8 + b"{}",
    "a list": made([]),
    "a number": made(3),
    "nested": made(b'{"a":' + b"[" * 10**5 + b"]" * 10**5 + b"}"),
    "nested beside": made(
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":' + b"[" * 10**5 + b"]" * 10**5 + b"}}",
        bytes(4),
    ),
    "a long number": made(
        b'{"a":{"dtype":"F32","shape":[' + b"9" * 10**5 + b'],"data_offsets":[0,4]}}', bytes(4)
    ),
    "not UTF-8": made(b'{"\xff":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', bytes(4)),
    "half a surrogate": made(b'{"\\ud800":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', bytes(4)),
    "a name twice": made(b"{" + ONE + b"," + ONE.replace(b"F32", b"I32") + b"}", bytes(4)),
    "a word twice": made(b'{"__metadata__":{"a":"1","a":"2"},' + ONE + b"}", bytes(4)),
    "words twice": made(b'{"__metadata__":{"a":"1"},"__metadata__":{"a":"1"},' + ONE + b"}", bytes(4)),
    "words that are numbers": made({"__metadata__": {"step": 7}}),
    "overlapping": made({"a": entry(), "b": entry()}, bytes(4)),
    "a hole": made({"a": entry(), "b": entry(offsets=(8, 12))}, bytes(12)),
    "data left over": made({"a": entry()}, bytes(8)),
    "data missing": made({"a": entry()}, bytes(3)),
    "offsets backwards": made({"a": entry(offsets=(4, 0))}, bytes(4)),
    "offsets negative": made({"a": entry(offsets=(-4, 0))}, bytes(4)),
    "offsets enormous": made({"a": entry(offsets=(2**64 - 4, 2**64))}),
    "offsets missing": made({"a": {"dtype": "F32", "shape": [1]}}, bytes(4)),
    "wrong shape": made({"a": entry(shape=(2,))}, bytes(4)),
    "negative shape": made({"a": entry(shape=(-1,))}, bytes(4)),
    "shape of floats": made({"a": entry(shape=(1.0,))}, bytes(4)),
    "shape that overflows": made({"a": entry(shape=(2**62, 4))}, bytes(4)),
    "enormous and empty": made({"a": entry(shape=(2**63, 0), offsets=(0, 0))}),
    "enormous and empty too": made({"a": entry(shape=(0, 2**40, 2**40), offsets=(0, 0))}),
    "65 axes": made({"a": entry(shape=(1,) * 65)}, bytes(4)),
    "unknown dtype": made({"a": entry(dtype="X7")}, bytes(4)),
    "no dtype": made({"a": entry(dtype=None)}, bytes(4)),
    "float8": made({"a": entry(dtype="F8_E4M3", shape=(4,))}, bytes(4)),
    "float8 of another kind": made({"a": entry(dtype="F8_E8M0", shape=(4,))}, bytes(4)),
    "float4": made({"a": entry(dtype="F4", shape=(8,))}, bytes(4)),
    "booleans that are neither": made({"a": entry(dtype="BOOL", shape=(4,))}, b"\0\1\2\0"),
    "half a digest": made({"__metadata__": {"xgrad.digest": "00"}, "a": entry()}, bytes(4)),
    "a digest of another kind": made(
        {"__metadata__": {"xgrad.digest": "00", "xgrad.digest_method": "md5"}, "a": entry()}, bytes(4)
    ),
    "a pickle": b"\x80\x04\x95" + bytes(100),
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "text": b"not a checkpoint at all",
}


class TestHostileFiles:
    @pytest.mark.parametrize("name", HOSTILE)
    def test_contents(self, path: Path, name: str) -> None:
        path.write_bytes(HOSTILE[name])
        with pytest.raises(ValueError, match="not a valid safetensors file") as caught:
            xg.io.load(path)
        assert str(path) in str(caught.value)

    def test_a_long_header_takes_no_memory(self, path: Path) -> None:
        junk = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":[' + b"[]," * 30_000_000 + b"[]]}}"
        path.write_bytes(made(junk, bytes(4)))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(ValueError, match=r"its header is 90,000,\d* bytes long"):
            xg.io.load(path)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000

    def test_what_is_no_file(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "loop").symlink_to("loop")
        (tmp_path / "dangling").symlink_to("nowhere")
        for what, error in [
            ("", ValueError),
            ("pipe", ValueError),
            ("/dev/zero", ValueError),
            ("dangling", FileNotFoundError),
            ("loop", OSError),
        ]:
            with pytest.raises(error, match=str(tmp_path / what)):
                xg.io.load(tmp_path / what)
        (tmp_path / "f").write_bytes(b"")
        with pytest.raises(FileNotFoundError, match="no checkpoint"):
            xg.io.load(tmp_path / "f" / "below")


@pytest.fixture
def umask() -> Iterator[None]:
    old = os.umask(0o027)
    yield
    os.umask(old)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class TestWriting:
    def test_a_new_file_has_the_permissions_of_the_umask(self, path: Path, umask: None) -> None:
        xg.io.save(path, {"a": 1})
        assert mode(path) == 0o640

    @pytest.mark.parametrize("permissions", [0o600, 0o666, 0o644, 0o664])
    def test_an_old_file_keeps_its_own(self, path: Path, umask: None, permissions: int) -> None:
        xg.io.save(path, {"a": 1})
        path.chmod(permissions)
        xg.io.save(path, {"a": 2})
        assert mode(path) == permissions
        assert xg.io.load(path)[0]["a"].item() == 2

    @pytest.mark.skipif(os.geteuid() != 0, reason="files are given away by root alone")
    def test_a_file_of_another_user_stays_theirs(self, path: Path) -> None:
        xg.io.save(path, {"a": 1})
        os.chown(path, 12345, 54321)
        path.chmod(0o600)
        xg.io.save(path, {"a": 2})
        assert (path.stat().st_uid, path.stat().st_gid, mode(path)) == (12345, 54321, 0o600)

    def test_other_threads_keep_the_umask(
        self, tmp_path: Path, umask: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refused(_: int) -> int:
            raise AssertionError("the umask belongs to the whole process")

        monkeypatch.setattr(os, "umask", refused)
        found, done = set(), threading.Event()

        def touch() -> None:
            i = 0
            while not done.is_set():
                os.close(os.open(tmp_path / f"{(i := i + 1)}", os.O_CREAT, 0o666))
                found.add(mode(tmp_path / f"{i}"))

        thread = threading.Thread(target=touch)
        thread.start()
        for _ in range(30):
            xg.io.save(tmp_path / "c.safetensors", {"a": 1})
        done.set()
        thread.join()
        monkeypatch.undo()
        assert found == {0o640}

    def test_links_are_followed(self, tmp_path: Path) -> None:
        (tmp_path / "deep").mkdir()
        target = tmp_path / "deep" / "target.safetensors"
        link, second = tmp_path / "link", tmp_path / "second"
        link.symlink_to(target)
        second.symlink_to("link")
        for value, where in enumerate((link, second, target)):  # the first is dangling at first
            xg.io.save(where, {"a": value})
            assert xg.io.load(target)[0]["a"].item() == value
        assert link.is_symlink()
        assert second.is_symlink()
        assert [p.name for p in target.parent.iterdir()] == ["target.safetensors"]

    def test_what_is_no_file_stays(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "loop").symlink_to("loop")
        (tmp_path / "folder").mkdir()
        (tmp_path / "file").write_bytes(b"")
        before = sorted(p.name for p in tmp_path.iterdir())
        for what in ("pipe", "loop", "folder", "file/below", "/dev/null"):
            with pytest.raises(OSError, match=what):
                xg.io.save(tmp_path / what, {"a": 1})
        assert sorted(p.name for p in tmp_path.iterdir()) == before
        assert stat.S_ISCHR(os.stat("/dev/null").st_mode)

    def test_long_names(self, tmp_path: Path) -> None:
        for name in ("n" * 255, "é" * 127, "日" * 85):
            xg.io.save(tmp_path / name, {"a": 1})
            assert xg.io.load(tmp_path / name)[0]["a"].item() == 1
        with pytest.raises(OSError, match="too long"):
            xg.io.save(tmp_path / ("n" * 256), {"a": 1})

    def test_read_only_files_and_folders(self) -> None:
        code = """
import os, pathlib, sys, xgrad as xg
folder = pathlib.Path(sys.argv[1])
path = folder / "c.safetensors"
xg.io.save(path, {"a": 0})
if os.geteuid() == 0:  # to whom nothing is read-only
    for where in (folder, path):
        os.chown(where, 12345, 12345)
    os.setgid(12345)
    os.setuid(12345)
xg.io.save(path, {"a": 1})
content = path.read_bytes()
for what, wanted in ((path, 0o444), (folder, 0o555)):
    old = what.stat().st_mode & 0o777
    what.chmod(wanted)
    try:
        xg.io.save(path, {"a": 2})
    except PermissionError as error:
        print(error)
    what.chmod(old)
    assert path.read_bytes() == content and list(folder.iterdir()) == [path]
path.chmod(0)
try:
    xg.io.load(path)
except PermissionError as error:
    print(error)
"""
        with tempfile.TemporaryDirectory() as folder:  # pytest's temporary paths are private to their owner
            done = subprocess.run(
                [sys.executable, "-c", code, folder], capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            assert done.stdout.count(f"{folder}/c.safetensors") == 3
            assert "read-only" in done.stdout.splitlines()[0]

    def test_a_disk_that_fills_leaves_the_old_file(self, path: Path) -> None:
        code = f"""
import resource, xgrad as xg
path = {str(path)!r}
xg.io.save(path, {{"a": xg.ones(10)}})
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
try: xg.io.save(path, {{"a": xg.ones(10_000)}})
except OSError as error: print(error)
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == f"[Errno 27] File too large: {str(path)!r}"
        assert xg.io.load(path)[0]["a"].shape == (10,)
        assert list(path.parent.iterdir()) == [path]

    @pytest.mark.parametrize("fails", ["fsync", "replace", "chmod"])
    @pytest.mark.parametrize(
        "error",
        [OSError(28, "No space left on device"), OSError("disk full"), KeyboardInterrupt(), MemoryError()],
    )
    def test_a_failure_anywhere_leaves_the_old_file(
        self, path: Path, monkeypatch: pytest.MonkeyPatch, fails: str, error: BaseException
    ) -> None:
        def failing(*_: object, **__: object) -> None:
            raise error

        xg.io.save(path, {"a": 1})
        monkeypatch.setattr(os, fails, failing)
        with pytest.raises(type(error)) as caught:
            xg.io.save(path, {"a": 2})
        monkeypatch.undo()
        if isinstance(error, OSError) and error.errno:
            assert str(path) in str(caught.value)
        assert xg.io.load(path)[0]["a"].item() == 1
        assert list(path.parent.iterdir()) == [path]

    def test_readers_beside_a_writer_see_whole_files(self, path: Path) -> None:
        xg.io.save(path, {"a": xg.zeros(1000)})
        done, found = threading.Event(), set()

        def read() -> None:
            while not done.is_set():
                found.update(np.unique(xg.io.load(path)[0]["a"].numpy()).tolist())

        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        for i in range(60):
            xg.io.save(path, {"a": xg.full(1000, float(i))})
        done.set()
        for thread in threads:
            thread.join()
        assert found <= set(range(60))
        assert len(found) > 1

    @pytest.mark.slow
    def test_a_killed_writer_leaves_the_old_file_or_the_new(self, path: Path) -> None:
        code = f"""
import xgrad as xg
print("ready", flush=True)
i = 0
while True:
    i += 1
    xg.io.save({str(path)!r}, {{"a": xg.full(20_000, float(i))}})
"""
        for _ in range(3):
            with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
                assert process.stdout is not None
                process.stdout.readline()
                while not path.exists():
                    pass
                threading.Event().wait(random.random() * 0.05)
                process.kill()
            assert len(np.unique(xg.io.load(path)[0]["a"].numpy())) == 1
            assert all(
                p == path or (p.name.startswith(f".{path.name}.") and p.suffix == ".tmp")
                for p in path.parent.iterdir()
            )
