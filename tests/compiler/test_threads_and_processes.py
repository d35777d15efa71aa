"""Threads and processes that share compiled code get the serial results and never deadlock."""

from __future__ import annotations

import asyncio
import contextvars
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from xgrad.backends.cpu import native

needs_native = pytest.mark.skipif(native.missing() is not None, reason="needs native code")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

XS = np.random.default_rng(0).normal(size=(6, 4, 5))
WEIGHTS = np.random.default_rng(1).normal(size=(5, 5)) / 3


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XGRAD_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def switching() -> Iterator[None]:
    """Make threads switch as often as possible."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def cell(W: Any) -> Any:
    def step(h: Any, x: Any) -> Any:
        h = xg.tanh(x + h @ W)
        return h, h * h

    return step


def loss(W: Any, xs: Any) -> Any:
    return xg.sum(xg.scan(cell(W), xg.zeros((xs.shape[1], 5)), xs)[1])


def by_numpy(W: Any, xs: Any) -> tuple[Any, Any]:
    """Return the loss and its gradient, step by step."""
    h, kept = np.zeros((xs.shape[1], 5)), []
    for x in xs:
        kept.append(h)
        h = np.tanh(x + h @ W)
    hs = [*kept[1:], h]
    dW, dh = np.zeros_like(W), np.zeros_like(h)
    for before, now in zip(kept[::-1], hs[::-1]):
        dz = (dh + 2 * now) * (1 - now * now)
        dW += before.T @ dz
        dh = dz @ W.T
    return sum(np.sum(z * z) for z in hs), dW


def together(count: int, work: Any) -> list[Any]:
    """Run `work(i)` in threads that start at the same moment."""
    gate = threading.Barrier(count)

    def start(i: int) -> Any:
        gate.wait()
        return work(i)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(start, range(count)))


def test_threads_share_a_compiled_function(switching: None) -> None:
    both = xg.compile(xg.value_and_grad(loss))
    inputs = [(WEIGHTS * (1 + i / 10), XS[:, : 1 + i % 4]) for i in range(8)]

    def work(i: int) -> Any:
        return [tuple(z.numpy().copy() for z in both(*inputs[(i + k) % 8])) for k in range(24)]

    for i, found in enumerate(together(6, work)):
        for k, (value, slope) in enumerate(found):
            want = by_numpy(*inputs[(i + k) % 8])
            np.testing.assert_allclose(value, want[0], rtol=1e-12)
            np.testing.assert_allclose(slope, want[1], rtol=1e-10, atol=1e-12)


def test_threads_share_a_scan_body(switching: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The threads run while the scan switches from the array library to compiled code."""
    monkeypatch.setenv("XGRAD_NATIVE", "1")
    step = cell(xg.asarray(WEIGHTS))

    def work(i: int) -> Any:
        xs = XS[: 1 + i % 5]
        return [xg.scan(step, xg.zeros((4, 5)), xs)[0].numpy().copy() for _ in range(20)]

    for i, found in enumerate(together(6, work)):
        h = np.zeros((4, 5))
        for x in XS[: 1 + i % 5]:
            h = np.tanh(x + h @ WEIGHTS)
        for z in found:
            np.testing.assert_allclose(z, h, rtol=1e-12)


def test_threads_share_a_model(switching: None) -> None:
    model = xg.nn.GRU(3, 4)
    xs = np.random.default_rng(0).normal(size=(5, 2, 3)).astype("float32")
    slope = xg.grad(lambda m, x: xg.sum(m(x)[0] ** 2))
    want = [g.numpy().copy() for g in xg.core.pytree.flatten(slope(model, xs))[0]]
    for found in together(
        6,
        lambda i: [[g.numpy().copy() for g in xg.core.pytree.flatten(slope(model, xs))[0]] for _ in range(5)],
    ):
        for gradients in found:
            for g, w in zip(gradients, want, strict=True):
                np.testing.assert_allclose(g, w, rtol=1e-4, atol=1e-5)


@needs_native
def test_threads_compile_the_same_new_program(cache: Path, switching: None) -> None:
    x = np.linspace(0, 1, 40)
    for k in range(4):
        work = lambda i, k=k: xg.compile(lambda x: xg.exp(x) * (k + 0.375) - xg.tanh(x))(x).numpy()
        for found in together(6, work):
            np.testing.assert_allclose(found, np.exp(x) * (k + 0.375) - np.tanh(x), rtol=1e-12)
    assert not list(cache.glob("*.part"))


def new_program(k: int) -> Any:
    """Compile a new program in another process."""
    x = np.linspace(0, 1, 40)
    f = xg.compile(lambda x: xg.exp(x) * 0.8125 - xg.tanh(x) ** 2)
    value = f(x).numpy()
    h = xg.grad(loss)(xg.asarray(WEIGHTS), XS).numpy()
    return value, h, f.executable(x).kind


@pytest.mark.parametrize(
    "way", [pytest.param("fork", marks=needs_fork), pytest.param("spawn", marks=pytest.mark.exhaustive)]
)
def test_processes_compile_the_same_new_program_into_one_cache(cache: Path, way: str) -> None:
    context = multiprocessing.get_context(way)
    with ProcessPoolExecutor(3, mp_context=context) as pool:
        found = list(pool.map(new_program, range(6)))
    x = np.linspace(0, 1, 40)
    for value, slope, kind in found:
        np.testing.assert_allclose(value, np.exp(x) * 0.8125 - np.tanh(x) ** 2, rtol=1e-12)
        np.testing.assert_allclose(slope, by_numpy(WEIGHTS, XS)[1], rtol=1e-10, atol=1e-12)
        assert kind == found[0][2]
    if native.missing() is None:
        assert cache.is_dir()
        assert not list(cache.glob(".*"))


@needs_fork
def test_a_fork_after_compiling(cache: Path) -> None:
    """The child process runs programs compiled before the fork, and compiles new ones."""
    before = xg.compile(lambda x: xg.tanh(x) * 3)
    x = np.linspace(-1, 1, 30)
    before(x)

    def work() -> None:
        np.testing.assert_allclose(before(x).numpy(), np.tanh(x) * 3, rtol=1e-12)
        np.testing.assert_allclose(
            xg.compile(lambda x: xg.tanh(x) * 3.25)(x).numpy(), np.tanh(x) * 3.25, rtol=1e-12
        )

    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    work()


FORKS = """
import os, signal, sys, threading
import numpy as np, xgrad as xg

x = np.linspace(0, 1, 20)
xg.compile(lambda x: x + 1)(x)  # Python's own locks of modules that are being imported stay taken in a child
stop = threading.Event()
failed = []

def compiling(seed):
    k = seed
    while not stop.is_set():
        k += 1
        c = k + 0.5
        z = xg.compile(lambda x: xg.tanh(x) * c + xg.exp(x))(x).numpy()
        if not np.allclose(z, np.tanh(x) * c + np.exp(x)):
            failed.append(k)

threads = [threading.Thread(target=compiling, args=(1000 * i,)) for i in range(2)]
for t in threads:
    t.start()
children = []
for i in range(8):
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # one that hangs is killed
        z = xg.compile(lambda x: xg.tanh(x) - (i + 0.25) * x)(x).numpy()
        os._exit(0 if np.allclose(z, np.tanh(x) - (i + 0.25) * x) else 3)
    children.append(child)
    stop.wait(0.05)
codes = [os.waitstatus_to_exitcode(os.waitpid(c, 0)[1]) for c in children]
stop.set()
for t in threads:
    t.join()
print(codes, failed)
sys.exit(any(codes) or bool(failed))
"""


@pytest.mark.slow
@needs_fork
@needs_native
def test_a_fork_while_threads_compile(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKS],
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_asynchronous_tasks() -> None:
    """Each task has its own mode, and tasks that run in threads share compiled functions."""
    both = xg.compile(xg.value_and_grad(loss))
    want = by_numpy(WEIGHTS, XS)

    async def eager(i: int) -> Any:
        x = xg.tensor(WEIGHTS, requires_grad=True)
        if i % 2:
            with xg.no_grad():
                await asyncio.sleep(0.001)
                assert not loss(x, XS).requires_grad
        z = loss(x, XS)
        await asyncio.sleep(0.001)
        z.backward()
        return z.numpy(), x.grad.numpy()

    async def compiled(i: int) -> Any:
        return [z.numpy() for z in await asyncio.to_thread(both, WEIGHTS, XS)]

    async def everything() -> list[Any]:
        return await asyncio.gather(*(eager(i) for i in range(6)), *(compiled(i) for i in range(6)))

    for value, slope in asyncio.run(everything()):
        np.testing.assert_allclose(value, want[0], rtol=1e-12)
        np.testing.assert_allclose(slope, want[1], rtol=1e-10, atol=1e-12)


SIGNAL = """
import contextvars, signal
import numpy as np, xgrad as xg

x = np.linspace(0, 1, 20)
seen = []

def work():
    z = xg.compile(lambda x: xg.tanh(x) * 2 + len(seen))(x)
    return np.allclose(z.numpy(), np.tanh(x) * 2 + len(seen))

def handler(*_):
    seen.append(contextvars.Context().run(work))  # not as a part of what is traced just now
    signal.setitimer(signal.ITIMER_REAL, 0.01)

xg.compile(lambda x: x + 1)(x)  # a handler cannot import what is being imported
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.01)
for k in range(12):
    assert np.allclose(xg.compile(lambda x: xg.exp(x) * (k + 0.5))(x).numpy(), np.exp(x) * (k + 0.5))
signal.setitimer(signal.ITIMER_REAL, 0)
assert seen and all(seen), seen
"""


@pytest.mark.exhaustive
@needs_fork
@needs_native
def test_a_signal_handler_may_compile_while_the_program_compiles(tmp_path: Path) -> None:
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SIGNAL)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="needs signals")
@pytest.mark.parametrize("way", ["compile", "trace", "scan", "checkpoint"])
def test_a_signal_handler_in_a_context_of_its_own(way: str) -> None:
    """A signal handler is not part of the function that is being traced at that moment."""
    w, found = xg.tensor([1.0, 2.0], requires_grad=True), []

    def work() -> None:
        xg.sum(w * w).backward()
        found.append((w.grad.tolist(), float(xg.compile(lambda x: xg.sum(x * 3))(w.detach()))))  # type: ignore[union-attr]
        w.grad = None

    def f(x: Any) -> Any:
        y = xg.sin(x)
        signal.raise_signal(signal.SIGUSR1)
        return xg.sum(y * x)

    before = signal.signal(signal.SIGUSR1, lambda *_: contextvars.Context().run(work))
    x = xg.asarray([1.0, 2.0])
    try:
        if way == "trace":
            assert [s.op for s in xg.trace(f, x).stages] == ["sin", "*", "sum"]
        else:
            run = {
                "compile": xg.compile(f),
                "checkpoint": xg.checkpoint(f),
                "scan": lambda x: xg.scan(lambda h, _: (f(x), None), 0.0, None, length=2)[0],
            }
            np.testing.assert_allclose(float(run[way](x)), np.sum(np.sin([1.0, 2.0]) * [1.0, 2.0]))
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert found[0] == ([2.0, 4.0], 9.0)
