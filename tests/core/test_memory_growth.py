"""Tests of memory use.

Steps do not grow it while the cycle collector is off, and small objects keep no large ones alive.
"""

from __future__ import annotations

import gc
import subprocess
import sys
import types
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from tests.helpers.paths import ROOT
from xgrad.backends.cpu import marshalling, native

needs_native = pytest.mark.skipif(native.missing() is not None, reason="needs native code")

W = np.random.default_rng(0).normal(size=(8, 8)) / 3
ROWS = np.random.default_rng(1).normal(size=(5, 8))


def cell(h: Any, x: Any) -> Any:
    h = xg.tanh(x + h @ W)
    return h, h


def loss(x: Any) -> Any:
    return xg.sum(xg.scan(cell, xg.zeros(8), x)[1] ** 2)


class Boom(Exception):
    """Raised by a body."""


def failing(h: Any, x: Any) -> Any:
    y = xg.tanh(h * x)
    if y.shape == (8,):
        raise Boom
    return y, None


def refused(f: Callable[[], Any]) -> None:
    """Run `f`, which must raise."""
    with pytest.raises((Boom, xg.TraceError, xg.ShapeError)):
        f()


t = xg.tensor(ROWS[0], requires_grad=True)
slope, both = xg.grad(loss), xg.compile(xg.value_and_grad(lambda w, x: xg.sum(xg.tanh(x @ w) ** 2)))


def backward(i: int) -> None:
    xg.sum(xg.tanh(t * 2) ** 2).backward()
    t.grad = None


def second(i: int) -> None:
    x = xg.tensor(ROWS, requires_grad=True)
    xg.sum(x**3).backward(create_graph=True)
    x.grad = None


KINDS: dict[str, Callable[[int], Any]] = {
    "backward": backward,
    "create_graph": second,
    "grad": lambda i: slope(ROWS),
    "jvp": lambda i: xg.jvp(loss, (ROWS,), (ROWS,)),
    "hvp": lambda i: xg.grad(lambda x: xg.sum(xg.grad(loss)(x) ** 2))(ROWS),
    "compiled": lambda i: both(W, ROWS),
    "compiled_anew": lambda i: xg.compile(lambda x: x * 2 + xg.tanh(x))(ROWS),
    "compiled_gradient_anew": lambda i: xg.compile(xg.grad(lambda x: xg.mean(xg.tanh(x)) + xg.std(x)))(ROWS),
    "compiled_and_not_run": lambda i: xg.compile(lambda x: x * 2 + xg.tanh(x)).program(ROWS),
    "lengths": lambda i: slope(np.resize(ROWS, (1 + i % 7, 8))),
    "fresh_bodies": lambda i: xg.scan(lambda h, x: (xg.tanh(h + x), h), xg.zeros(8), ROWS),
    "uncompiled": lambda i: xg.scan(cell, xg.zeros(8), ROWS, compiled=False),
    "trace": lambda i: xg.trace(loss, ROWS),
    "derive": lambda i: str(xg.derive(loss, ROWS)),
    "source": lambda i: xg.trace(lambda x: xg.sum(xg.tanh(x)), ROWS).source(),
    "graph": lambda i: str(xg.graph(lambda x: xg.sum(xg.tanh(x)), ROWS)),
    "raises_in_scan": lambda i: refused(lambda: xg.scan(failing, xg.zeros(8), ROWS)),
    "raises_in_compile": lambda i: refused(
        lambda: xg.compile(lambda x: xg.scan(failing, xg.zeros(8), x))(ROWS)
    ),
    "raises_in_grad": lambda i: refused(lambda: xg.grad(lambda x: failing(x, x)[0])(ROWS[0])),
    "raises_in_trace": lambda i: refused(lambda: xg.trace(lambda x: float(xg.sum(x)), ROWS)),
    "raises_in_op": lambda i: refused(lambda: xg.ones(3) @ xg.ones(4)),
    "raises_in_run": lambda i: refused(lambda: xg.compile(lambda x: x @ xg.ones(4))(ROWS)),
}


@pytest.fixture
def collector_off() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def ours(v: Any) -> bool:
    return type(v).__module__.startswith("xgrad") or isinstance(v, np.ndarray | types.FrameType)


def waiting() -> list[str]:
    """Return the types of our objects that only the cycle collector can free."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        return [type(v).__name__ for v in gc.garbage if ours(v)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.collect()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_waits_for_the_cycle_collector(
    kind: str, collector_off: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XGRAD_CACHE_DIR", str(tmp_path))
    step = KINDS[kind]
    for i in range(8):
        step(i)
    gc.collect()
    for i in range(14):
        step(i)
    assert waiting() == []


GROWTH = f"""
import gc, sys
from pathlib import Path
from {__name__} import KINDS

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

step, count = KINDS[sys.argv[1]], int(sys.argv[2])
gc.disable()
for i in range(count // 4):  # caches fill
    step(i)
before = resident()
for i in range(count):
    step(i)
print((resident() - before) / count)
"""


@pytest.mark.exhaustive
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
@pytest.mark.parametrize("kind", KINDS)
def test_twenty_thousand_steps_without_growth(kind: str) -> None:
    count = (
        2_000
        if kind in ("compiled_anew", "compiled_gradient_anew", "hvp", "derive", "raises_in_compile")
        else 20_000
    )
    command = [sys.executable, "-c", GROWTH, kind, str(count)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 200, done.stdout  # bytes per step


def holding(array: Any) -> int:
    """Return the size in bytes of the memory that an array keeps alive."""
    while getattr(array, "base", None) is not None:
        array = array.base
    return int(array.nbytes)


def test_a_loss_that_is_kept_does_not_keep_the_gradients() -> None:
    weights = [np.ones((300, 300)), np.ones(300)]
    step = xg.compile(xg.value_and_grad(lambda w: xg.sum(xg.tanh(w[0]) @ w[1])))
    value, slopes = step(weights)
    assert holding(value.data) <= marshalling.SHARED + 64
    assert holding(slopes[1].data) <= marshalling.SHARED + 64
    assert holding(slopes[0].data) >= slopes[0].data.nbytes


@needs_native
def test_small_outputs_share_little() -> None:
    """Small outputs keep little memory alive, whatever their number and dtypes."""
    f = xg.compile(
        lambda x: (
            [x * k for k in range(60)]
            + [xg.astype(x, xg.float32) * k for k in range(60)]
            + [x > 0, xg.sum(x)]
        )
    )
    x = np.arange(300.0)
    found = f(x)
    for k in range(60):
        np.testing.assert_array_equal(found[k].numpy(), x * k)
        np.testing.assert_array_equal(found[60 + k].numpy(), x.astype("float32") * k)
    assert all(holding(z.data) <= marshalling.SHARED + 64 for z in found)
    assert len({z.data.__array_interface__["data"][0] for z in found}) == len(found)


@pytest.mark.parametrize("executor", ["native", "numpy", "interpreted"])
def test_arguments_are_let_go(executor: str, monkeypatch: pytest.MonkeyPatch, collector_off: None) -> None:
    monkeypatch.setenv("XGRAD_NATIVE", "0" if executor == "numpy" else "1")
    f = xg.compile(lambda x: xg.tanh(x) * 2)
    runs: list[Callable[[Any], Any]] = [
        f,
        lambda x: xg.scan(lambda h, v: (h + v, h * v), xg.zeros(8), x),
        slope,
    ]
    if executor == "interpreted":
        runs = [
            lambda x: xg.scan(lambda h, v: (h + v, h * v), xg.zeros(8), x, compiled=False),
            lambda x: xg.tanh(xg.asarray(x)),
        ]
    for run in runs:
        x = ROWS.copy()
        alive = weakref.ref(x)
        for _ in range(3):
            run(x)
        del x
        assert alive() is None


# Arrays that change between calls of a compiled function


@needs_native
@pytest.mark.parametrize("finder", [True, False])
def test_arrays_that_are_resized_between_calls(finder: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same object may have moved memory, another shape or another dtype."""
    if not finder:
        monkeypatch.setattr(marshalling, "find", lambda load: None)
    f = xg.compile(lambda x: xg.tanh(x) + x)
    x = np.linspace(-1, 1, 5000).copy()
    run = f.executable(x)
    for _ in range(3):
        np.testing.assert_allclose(run([x])[0], np.tanh(x) + x, rtol=1e-13)
    hold = []
    for k in range(20):
        x.resize(50_000 + 7000 * k, refcheck=False)  # this moves its memory
        with pytest.raises(ValueError, match="must have size 5000"):
            run([x])
        hold.append(np.full(5000, np.nan))  # takes the freed memory
        x.resize(5000, refcheck=False)
        x[:] = np.linspace(-1, k, 5000)
        np.testing.assert_allclose(run([x])[0], np.tanh(x) + x, rtol=1e-13)


@needs_native
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_arrays_that_are_given_another_form_between_calls() -> None:
    f = xg.compile(lambda x: x * 2.0)
    x = np.arange(12.0).reshape(3, 4)
    run = f.executable(x)
    np.testing.assert_array_equal(run([x])[0], x * 2)
    x.shape = (4, 3)  # the memory order is unchanged
    np.testing.assert_array_equal(run([x])[0].reshape(4, 3), x * 2)
    x.shape = (3, 4)
    x.strides = (8, 24)
    np.testing.assert_array_equal(run([x])[0], x * 2)
    x.strides = (32, 8)
    np.testing.assert_array_equal(run([x])[0], x * 2)
    x.dtype = np.int64
    np.testing.assert_array_equal(run([x])[0], x * 2.0)
    x.dtype = np.float64
    x.flags.writeable = False
    np.testing.assert_array_equal(run([x])[0], x * 2)
    x = x.astype(">f8")
    np.testing.assert_array_equal(run([x])[0], x * 2)
    raw = np.zeros(12 * 8 + 1, np.uint8)[1:].view(np.float64)
    raw[:] = np.arange(12)
    np.testing.assert_array_equal(run([raw.reshape(3, 4)])[0].reshape(-1), raw * 2)


@needs_native
def test_arrays_through_the_public_functions() -> None:
    f = xg.compile(lambda x: xg.sum(x * x))
    x = np.arange(4.0)
    assert float(f(x)) == 14
    x.resize(400_000, refcheck=False)
    assert float(f(x)) == 14
    x.resize(2, refcheck=False)
    assert float(f(x)) == 1
    x[:] = 3
    assert float(f(x)) == 18


# Out of memory


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 3])
def test_out_of_memory_leaves_nothing(
    times: int, monkeypatch: pytest.MonkeyPatch, collector_off: None
) -> None:
    monkeypatch.setenv("XGRAD_NATIVE", "1")

    def new(h: Any, x: Any) -> Any:
        h = xg.tanh(x * 1.375 + h @ W)
        return h, h

    alone = lambda x: xg.scan(new, xg.zeros(8), x)[1]
    for run in (xg.compile(alone), alone, xg.grad(lambda x: xg.sum(alone(x) * 3))):
        want = [z.numpy() for z in xg.core.pytree.flatten(run(ROWS))[0]]
        gc.collect()
        x = ROWS.copy()
        alive = weakref.ref(x)

        def full(*args: Any, **kwargs: Any) -> Any:
            raise MemoryError("Unable to allocate 8.00 GiB for an array")

        for _ in range(times):
            with monkeypatch.context() as patch:
                patch.setattr(np, "empty", full)
                with pytest.raises(xg.OutOfMemoryError):
                    run(x)
        del x
        assert alive() is None
        assert waiting() == []
        for z, w in zip(xg.core.pytree.flatten(run(ROWS))[0], want, strict=True):
            np.testing.assert_array_equal(z.numpy(), w)
