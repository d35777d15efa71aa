"""Test what the CuPy backend adds to CuPy, with NumPy in CuPy's place.

The replacement is as strict as CuPy where CuPy is, and assigns in no fixed order where CuPy has none.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from xgrad.backends import current_matmul_precision
from xgrad.backends.base import Device
from xgrad.backends.cuda.backend import CuPy, matmul
from xgrad.backends.cuda.cublas import FLOAT32
from xgrad.backends.cuda.namespace import namespace
from xgrad.backends.namespace import extended


@pytest.fixture
def backend() -> Any:
    """Return the CuPy backend, working on NumPy's arrays."""
    made: Any = CuPy.__new__(CuPy)
    made.cupy = SimpleNamespace(**vars(np))
    made.cupy._core = SimpleNamespace(get_compute_type=lambda dtype: 1)
    made.cupy.cuda = SimpleNamespace(Device=lambda index: nullcontext())
    made.xp, made.half = np, type("Half", (), {})
    made._count = 1
    return made


# Assigning

KEYS: dict[str, Any] = {
    "one array": (np.array([2, 0, 2, 2]), ...),
    "two arrays": (np.array([1, 1, 0]), np.array([3, 3, -1])),
    "beside a slice": (slice(None), np.array([[0, 1], [1, 3]])),
    "an integer's array": (np.array(1), slice(1, None)),
}


class Unordered(np.ndarray[Any, Any]):
    """An array that assigns several values for one element in another order than NumPy."""

    def __setitem__(self, key: Any, value: Any) -> None:
        parts = key if isinstance(key, tuple) else (key,)
        assert not any(isinstance(k, np.ndarray) and k.dtype.kind in "iu" for k in parts), "in no order"
        super().__setitem__(key, value)


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("form", ["whole", "a number's array", "a row"])
def test_the_last_of_several_values_counts(key: Any, form: str, backend: Any) -> None:
    start = np.arange(12.0).reshape(3, 4)
    shape = start[key].shape
    values = {
        "whole": 100 + np.arange(float(np.prod(shape))).reshape(shape),
        "a number's array": np.array(7.0),
        "a row": 50 + np.arange(float(shape[-1])),
    }[form]
    expected = start.copy()
    expected[key] = values
    target = start.copy().view(Unordered)
    backend.assign(target, key, values)
    np.testing.assert_array_equal(np.asarray(target), expected)


def test_assignments_with_an_order_are_cupys_own(backend: Any) -> None:
    target = np.zeros((3, 4)).view(Unordered)
    backend.assign(target, (slice(0, 2), 1), np.array([1.0, 2.0]))
    backend.assign(target, (target == 0,), 5.0)
    assert np.asarray(target)[:, 1].tolist() == [1, 2, 5]


def test_nothing_is_assigned_at_no_places(backend: Any) -> None:
    target = np.ones(3).view(Unordered)
    backend.assign(target, (np.array([], int),), np.zeros(0))
    assert np.asarray(target).tolist() == [1, 1, 1]


# Matrix products by a cuBLAS that reads memory in column-major order


class Cublas:
    """A stand-in for `gemmEx` and `gemmStridedBatchedEx` on float32 in host memory.

    It records the compute type of each call.
    """

    def __init__(self) -> None:
        self.computed: list[int] = []

    def gemmEx(
        self,
        handle: int,
        ta: int,
        tb: int,
        m: int,
        n: int,
        k: int,
        one: int,
        a: int,
        at: int,
        lda: int,
        b: int,
        bt: int,
        ldb: int,
        zero: int,
        c: int,
        ct: int,
        ldc: int,
        compute: int,
        algo: int,
    ) -> None:
        assert (at, bt, ct, handle) == (0, 0, 0, 11)
        assert (ctypes.c_float.from_address(one).value, ctypes.c_float.from_address(zero).value) == (1, 0)
        self.computed.append(compute)
        x = self._columns(a, lda, *((k, m) if ta else (m, k)))
        y = self._columns(b, ldb, *((n, k) if tb else (k, n)))
        self._columns(c, ldc, m, n)[...] = (x.T if ta else x) @ (y.T if tb else y)

    def gemmStridedBatchedEx(
        self,
        handle: int,
        ta: int,
        tb: int,
        m: int,
        n: int,
        k: int,
        one: int,
        a: int,
        at: int,
        lda: int,
        sa: int,
        b: int,
        bt: int,
        ldb: int,
        sb: int,
        zero: int,
        c: int,
        ct: int,
        ldc: int,
        sc: int,
        count: int,
        compute: int,
        algo: int,
    ) -> None:
        for i in range(count):
            self.gemmEx(
                handle,
                ta,
                tb,
                m,
                n,
                k,
                one,
                a + 4 * sa * i,
                at,
                lda,
                b + 4 * sb * i,
                bt,
                ldb,
                zero,
                c + 4 * sc * i,
                ct,
                ldc,
                compute,
                algo,
            )

    @staticmethod
    def _columns(address: int, ld: int, rows: int, columns: int) -> np.ndarray:
        assert ld >= rows
        buffer = (ctypes.c_float * (ld * (columns - 1) + rows)).from_address(address)
        return np.ndarray((rows, columns), np.float32, buffer, strides=(4, 4 * ld))


@pytest.fixture
def cublas(backend: Any, monkeypatch: pytest.MonkeyPatch) -> Cublas:
    made = Cublas()
    monkeypatch.setattr(matmul, "address", lambda x: x.ctypes.data)
    for name in ("cupy_backends", "cupy_backends.cuda"):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace())
    monkeypatch.setitem(sys.modules, "cupy_backends.cuda.libs", SimpleNamespace(cublas=made))
    device = SimpleNamespace(compute_capability="90")
    backend.cupy.cuda = SimpleNamespace(
        Device=lambda *index: device, device=SimpleNamespace(get_cublas_handle=lambda: 11)
    )
    backend.gpu = device
    return made


def floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype("float32")


SHAPES = [
    ((2, 3), (3, 4)),
    ((1, 3), (3, 1)),
    ((5, 2, 3), (5, 3, 4)),
    ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)),
    ((2, 1, 2, 3), (4, 3, 2)),
    ((1, 1), (1, 1)),
]


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize("layout", ["rows", "columns", "backwards"])
@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_products_by_cublas(shapes: Any, layout: str, precision: str, backend: Any, cublas: Cublas) -> None:
    x, y = (floats(*s) for s in shapes)
    if layout == "columns":
        x, y = (
            np.asarray(x.swapaxes(-1, -2), order="C").swapaxes(-1, -2),
            np.asarray(y.swapaxes(-1, -2), order="C").swapaxes(-1, -2),
        )
    elif layout == "backwards":
        x, y = x[..., ::-1], y[..., ::-1, :]
    with xg.matmul_precision(precision):
        z = matmul.matmul(backend.cupy, x, y)
    np.testing.assert_allclose(z, x @ y, rtol=1e-5, atol=1e-6)
    assert set(cublas.computed) == {FLOAT32[precision]}


def test_which_products_are_cupys_own(backend: Any, cublas: Cublas) -> None:
    x, v = floats(2, 2), floats(2)
    matmul.matmul(backend.cupy, x, x)
    with xg.matmul_precision("tf32"):
        for a, b in ((x, v), (v, x), (x.astype("float64"), x), (x[:0], x), (x.astype("complex64"), x)):
            np.testing.assert_allclose(matmul.matmul(backend.cupy, a, b), a @ b)
        assert cublas.computed == []
        with pytest.raises(ValueError, match=r"\(2, 2\) and \(3, 2\)"):
            matmul.matmul(backend.cupy, x, floats(3, 2))
    assert cublas.computed == []


def test_highest_is_float32_whatever_cupy_was_told(backend: Any, cublas: Cublas) -> None:
    backend.cupy._core.get_compute_type = lambda dtype: 7
    matmul.matmul(backend.cupy, floats(2, 2), floats(2, 2))
    assert cublas.computed == [68]


def test_an_older_gpu_has_float32_alone(backend: Any, cublas: Cublas) -> None:
    backend.gpu.compute_capability = "75"
    with xg.matmul_precision("bf16"):
        matmul.matmul(backend.cupy, floats(2, 2), floats(2, 2))
    assert cublas.computed == [68]


def test_einsum_follows(backend: Any, cublas: Cublas) -> None:
    standard = SimpleNamespace(**{name: getattr(np, name) for name in dir(np) if not name.startswith("_")})
    backend.xp = namespace(SimpleNamespace(**vars(backend.cupy)), standard)
    x, y = floats(2, 3), floats(3, 4)
    with xg.matmul_precision("bf16"):
        np.testing.assert_allclose(backend.einsum("ij,jk->ik", x, y), x @ y, rtol=1e-5)
    assert cublas.computed == [75]
    np.testing.assert_allclose(backend.einsum("ij,jk->ik", x, y), x @ y, rtol=1e-5)
    assert len(cublas.computed) == 1


# The precision itself


def test_the_precision_holds_from_then_on_or_in_a_block() -> None:
    def elsewhere() -> None:
        assert current_matmul_precision() == "highest"
        xg.matmul_precision("bf16")
        with xg.matmul_precision("tf32"):
            assert current_matmul_precision() == "tf32"
        assert current_matmul_precision() == "bf16"

    thread = threading.Thread(target=elsewhere)
    with xg.matmul_precision("tf32"):
        thread.start()
        thread.join()
        with contextlib.suppress(KeyError), xg.matmul_precision("bf16"):
            raise KeyError
        assert current_matmul_precision() == "tf32"
    assert current_matmul_precision() == "highest"
    with pytest.raises(ValueError, match="'highest', 'tf32', 'bf16', not 'fast'"):
        xg.matmul_precision("fast")
    assert current_matmul_precision() == "highest"


def test_programs_are_made_for_a_precision() -> None:
    x = xg.ones((2, 2), dtype=xg.float32)
    f = xg.compile(lambda x: x @ x)
    made = []
    for name in ("highest", "tf32", "bf16", "highest"):
        with xg.matmul_precision(name):
            made.append(f.executable(x))
            assert f(x).numpy().tolist() == [[2, 2], [2, 2]]
    assert made[0] is made[3]
    assert len({id(e) for e in made}) == 3


def test_scans_are_made_for_a_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    from xgrad.compiler import executors, lengths

    made: list[str] = []

    class Noting(executors.Executable):
        def __init__(self, *args: Any, **options: Any) -> None:
            made.append(current_matmul_precision())
            super().__init__(*args, **options)

    monkeypatch.setattr(lengths, "Executable", Noting)
    w = xg.full((3, 3), 0.125, dtype=xg.float32)
    for name in ("tf32", "highest", "tf32"):
        with xg.matmul_precision(name):
            xg.scan(lambda h, _: (xg.tanh(h @ w + 0.125), None), xg.ones((2, 3), dtype=xg.float32), None, 3)
    assert made == ["tf32", "highest"]


# Streams, and transfers between GPUs


class Cuda:
    """CuPy's devices, streams and events, which record the calls made to them."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.current: dict[int, Any] = {}
        self.device = 0
        self.made = 0

    def Device(self, index: int | None = None) -> Any:
        cuda, before = self, self.device

        class Here:
            mem_info = (3, 100)

            def __enter__(self) -> Any:
                nonlocal before
                before, cuda.device = cuda.device, cuda.device if index is None else index
                return self

            def __exit__(self, *error: object) -> None:
                cuda.device = before

        return Here()

    def get_current_stream(self) -> Any:
        return self.current.setdefault(self.device, self._stream(f"outer{self.device}"))

    def Stream(self, *, non_blocking: bool) -> Any:
        assert non_blocking
        self.made += 1
        return self._stream(f"inner{self.made}")

    def _stream(self, name: str) -> Any:
        cuda, log, device = self, self.log, self.device

        class Stream:
            def record(self) -> str:
                log.append(f"{name} recorded")
                return f"of {name}"

            def wait_event(self, event: str) -> None:
                log.append(f"{name} waits for event {event}")

            def __enter__(self) -> Any:
                self.before = cuda.current.get(device)
                cuda.current[device] = self
                return self

            def __exit__(self, *error: object) -> None:
                cuda.current[device] = self.before

        return Stream()


def test_streams_wait_for_each_other(backend: Any) -> None:
    cuda = backend.cupy.cuda = Cuda()
    outer = cuda.get_current_stream()
    with contextlib.suppress(KeyError), Device(backend, 0).stream():
        assert cuda.get_current_stream() is not outer
        cuda.log.append("work")
        raise KeyError
    assert cuda.get_current_stream() is outer
    assert cuda.log == [
        "outer0 recorded",
        "inner1 waits for event of outer0",
        "work",
        "inner1 recorded",
        "outer0 waits for event of inner1",
    ]


def test_dlpack_passes_the_stream_on_from_the_device_of_the_value(backend: Any) -> None:
    cuda = backend.cupy.cuda = Cuda()
    backend._count = 2
    seen: list[tuple[int, dict[str, Any]]] = []
    array = SimpleNamespace(
        shape=(2,), strides=(8,), __dlpack__=lambda **options: seen.append((cuda.device, options))
    )
    backend.xp = SimpleNamespace(asarray=lambda a, **options: a)
    t = xg.Tensor(array, Device(backend, 1))
    t.__dlpack__(stream=7)
    t.__dlpack__(stream=-1, copy=False)
    t.__dlpack__()
    assert seen == [(1, {"stream": 7}), (1, {"stream": -1, "copy": False}), (1, {})]


def test_dlpack_on_the_cpu_takes_no_stream() -> None:
    with pytest.raises(RuntimeError, match="stream=None"):
        xg.ones(2, device="cpu").__dlpack__(stream=1)


def test_a_device_without_streams(device: str) -> None:
    here = xg.current_device()
    with here.stream():
        z = xg.ones(2) * 3
    here.release()
    assert z.numpy().tolist() == [3, 3]


def test_from_one_gpu_to_another(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = backend.cupy.cuda = Cuda()
    backend._count = 2
    monkeypatch.setattr(backend, "index_of", lambda array: 0)
    xp = extended(backend)
    with xg.backends.count_transfers() as copies:
        moved = xp.to_device(np.arange(3.0), Device(backend, 1))
    assert moved.tolist() == [0, 1, 2]
    assert copies == type(copies)()
    assert cuda.log == [
        "outer0 recorded",
        "outer1 waits for event of outer0",
        "outer1 recorded",
        "outer0 waits for event of outer1",
    ]


def test_memory_of_the_pool(backend: Any) -> None:
    backend.cupy.cuda = Cuda()
    freed: list[bool] = []
    pool = SimpleNamespace(
        used_bytes=lambda: 5, total_bytes=lambda: 8, free_all_blocks=lambda: freed.append(True)
    )
    backend.cupy.get_default_memory_pool = lambda: pool
    device = Device(backend, 0)
    assert device.memory() == {"used": 5, "pool": 8, "total": 100}
    device.release()
    assert freed == [True]


# The namespace


def test_new_arrays_are_made_on_the_device_that_is_named() -> None:
    cuda = Cuda()
    places: list[int] = []

    def zeros(shape: Any, dtype: Any = None) -> np.ndarray:
        places.append(cuda.device)
        return np.zeros(shape, dtype)

    library = SimpleNamespace(**{**vars(np), "cuda": cuda})
    library.cuda.Device = lambda index: Cuda.Device(cuda, index)
    xp = namespace(library, SimpleNamespace(**{**vars(np), "zeros": zeros}))
    xp.zeros(2, device=1)
    xp.zeros(2)
    assert places == [1, 0]


def test_singular_matrices_raise_as_numpys_do(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, str]] = []

    @contextlib.contextmanager
    def errstate(**kinds: str) -> Any:
        asked.append(kinds)
        yield

    monkeypatch.setitem(sys.modules, "cupyx", SimpleNamespace(errstate=errstate))
    xp = namespace(SimpleNamespace(**vars(np)), SimpleNamespace(**vars(np)))
    for name in ("inv", "cholesky"):
        assert getattr(xp.linalg, name)(np.eye(2)).tolist() == [[1, 0], [0, 1]]
    assert xp.linalg.solve(np.eye(2), np.ones((2, 1))).tolist() == [[1], [1]]
    assert asked == [{"linalg": "raise"}] * 3
    assert xp.linalg.svd is np.linalg.svd


def test_signs_keep_nan() -> None:
    xp = namespace(SimpleNamespace(**vars(np)), SimpleNamespace(**vars(np)))
    np.testing.assert_array_equal(xp.sign(np.array([-2.0, 0.0, np.nan])), [-1, 0, np.nan])
    assert xp.sign(np.array([-3, 4])).tolist() == [-1, 1]
