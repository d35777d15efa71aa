"""The pool of threads: each row runs once, whoever else is at work, in every process."""

from __future__ import annotations

import ctypes
import gc
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import xgrad as xg
from xgrad.backends.cpu import native, threads

pytestmark = pytest.mark.skipif(
    native.missing() is not None or os.name != "posix", reason="needs native code and POSIX threads"
)

_PIECE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
_I = ctypes.c_int64
_SHARE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, _I, _I, _I)


@pytest.fixture(scope="module")
def pool() -> threads.Pool:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XGRAD_NUM_THREADS", "3")
        made = threads.Pool(native.load, 0, 0)
    made.start()
    made["least"] = 1
    return made


def share(pool: threads.Pool, run: Callable[[int, int], None], rows: int, work: int, pieces: int) -> None:
    piece = _PIECE(lambda _, first, count: run(first, count))
    function = ctypes.cast(piece, ctypes.c_void_p).value
    _SHARE(pool.functions[0])(pool.address, function, None, rows, work, pieces)


@given(rows=st.integers(0, 70), work=st.integers(0, 9), pieces=st.integers(1, 4), tile=st.integers(1, 9))
def test_each_row_runs_once(pool: threads.Pool, rows: int, work: int, pieces: int, tile: int) -> None:
    pool["tile"] = tile
    seen: list[int] = []
    share(pool, lambda first, count: seen.extend(range(first, first + count)), rows, work, pieces)
    assert sorted(seen) == list(range(rows))


def test_several_threads_take_part(pool: threads.Pool) -> None:
    pool["tile"] = 1
    both = threading.Barrier(3)
    names = set()

    def run(first: int, count: int) -> None:
        both.wait(timeout=30)
        names.add(threading.current_thread().name)

    share(pool, run, 3, 100, 1)
    assert len(names) == 3


def test_who_comes_while_it_is_busy_works_alone(pool: threads.Pool) -> None:
    seen: list[tuple[int, int]] = []

    def run(first: int, count: int) -> None:
        share(pool, lambda a, n: seen.append((a, n)), 5, 100, 1)

    share(pool, run, 1, 100, 1)
    assert seen == [(0, 5)] or sorted(seen)[0][0] == 0
    seen.clear()
    share(pool, run, 2, 100, 1)
    assert seen == [(0, 5), (0, 5)]


def test_two_callers_at_once(pool: threads.Pool) -> None:
    totals: list[int] = []

    def caller() -> None:
        for _ in range(200):
            seen: list[int] = []
            share(pool, lambda first, count: seen.extend(range(first, first + count)), 7, 100, 1)
            totals.append(sum(seen))

    callers = [threading.Thread(target=caller) for _ in range(4)]
    for t in callers:
        t.start()
    for t in callers:
        t.join()
    assert totals == [21] * 800


def test_blas_has_its_threads_again() -> None:
    blas = native.find_blas()
    if blas is None or not blas.get_threads:
        pytest.skip("this BLAS has no such functions")
    get = ctypes.CFUNCTYPE(ctypes.c_int)(blas.get_threads)
    before = get()
    f = xg.compile(lambda a, b: a @ b)
    f(np.ones((70, 80)), np.ones((80, 90)))
    assert get() == before


@pytest.mark.parametrize("inside", [False, True])
def test_blas_has_its_threads_again_after_an_error(inside: bool) -> None:
    blas = native.find_blas()
    if blas is None or not blas.get_threads:
        pytest.skip("this BLAS has no such functions")
    get = ctypes.CFUNCTYPE(ctypes.c_int)(blas.get_threads)
    seen: list[int] = []

    def fail(args: Any, outs: Any) -> None:
        seen.append(get())
        raise ArithmeticError("in the call")

    def f(h: Any, W: Any) -> Any:
        if not inside:
            h = h + xg.linalg.eigvalsh(W)[0]
        step = lambda h, _: (xg.tanh(h @ W) + (xg.linalg.eigvalsh(W * h[0, 0])[0] if inside else 0.0), None)
        return xg.scan(step, h, length=3)[0]

    compiled = xg.compile(f)
    args = np.ones((64, 64)) / 64, np.eye(64)
    compiled(*args)
    host = compiled.executable(*args)._ready().engine._host
    host._calls[:] = [call._replace(run=fail) for call in host._calls]
    before = get()
    with pytest.raises(ArithmeticError, match="in the call"):
        compiled(*args)
    assert get() == before
    assert seen == [1 if inside else before]


@pytest.mark.parametrize("said", ["0", "-1", "two", "", "1.5"])
def test_a_number_of_threads_that_is_none(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XGRAD_NUM_THREADS", said)
    with pytest.raises(ValueError, match=r"XGRAD_NUM_THREADS=.* is not a positive number of threads"):
        threads.told()


PROGRAM = """
import numpy as np, os, threading, xgrad as xg
from xgrad.backends.cpu import native
f = xg.compile(lambda U, xs, h: xg.scan(lambda h, x: (xg.tanh(x + h @ U), h), h, xs)[1])
args = np.ones((40, 40)) / 99, np.ones((5, 16, 40)), np.zeros((16, 40))
native.pool().start()
native.pool()["least"] = 1
first = f(*args)
assert sum(t.name.startswith("xgrad-") for t in threading.enumerate()) == THREADS - 1
child = os.fork()
if child == 0:
    native.pool().start()
    native.pool()["least"] = 1
    os._exit(0 if np.array_equal(f(*args), first) else 1)
assert os.waitpid(child, 0)[1] == 0
assert np.array_equal(f(*args), first)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("count", [1, 3])
def test_a_child_process_starts_its_own(count: int) -> None:
    environment: dict[str, Any] = {**os.environ, "XGRAD_NUM_THREADS": str(count)}
    program = PROGRAM.replace("THREADS", str(count))
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=120)


def test_kernels_outlive_the_cache_of_compiled_code() -> None:
    f = xg.compile(lambda U, xs, h: xg.scan(lambda h, x: (xg.tanh(x + h @ U), h), h, xs)[1])
    args = np.ones((40, 40)) / 99, np.ones((5, 16, 40)), np.zeros((16, 40))
    first = f(*args)
    native._loaded.clear()
    gc.collect()
    native.load("define void @run() { ret void }")  # frees what nothing refers to
    np.testing.assert_array_equal(f(*args), first)
