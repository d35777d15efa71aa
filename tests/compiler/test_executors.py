"""Tests of the choice of the executor, and of the cache of prepared programs.

The program alone decides which executor runs a scan. A program is prepared once, whichever thread asks.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from xgrad.compiler import executors
from xgrad.compiler.caches import Cache, Once
from xgrad.compiler.interpreter import interpret
from xgrad.compiler.passes import optimise

rng = np.random.default_rng(0)


@pytest.fixture(params=[None, "0", "1"], ids=["default", "XGRAD_NATIVE=0", "XGRAD_NATIVE=1"])
def native(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    if request.param is None:
        monkeypatch.delenv("XGRAD_NATIVE", raising=False)
    else:
        monkeypatch.setenv("XGRAD_NATIVE", request.param)
    return request.param


def cell(W: Any) -> Callable[[Any, Any], Any]:
    def step(h: Any, x: Any) -> Any:
        h = xg.tanh(h @ W + x) * xg.sigmoid(h - x) + 0.1 * xg.exp(-h * h)
        return h, xg.sum(h)

    return step


def loss(W: Any, h: Any, xs: Any) -> Any:
    h, ys = xg.scan(cell(W), h, xs)
    return xg.sum(h * h) + xg.mean(ys)


def bits(tree: Any) -> list[bytes]:
    """Return the bytes of all arrays."""
    leaves: list[Any] = []
    xg.tree_map(leaves.append, tree)
    return [v.detach().numpy().tobytes() for v in leaves]


@pytest.mark.slow
@pytest.mark.parametrize("length", [2, 7, 8, 9, 60])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_scan_gives_the_same_bits_however_often_it_ran(length: int, dtype: str, native: str | None) -> None:
    """When elapsed time chose the executor, another one took over after fewer runs than this."""
    W, h, xs = (xg.asarray(rng.normal(size=s).astype(dtype)) for s in ((5, 5), (3, 5), (length, 3, 5)))
    gradient = xg.value_and_grad(loss, argnums=(0, 1, 2))
    first = bits(gradient(W, h, xs))
    assert all(bits(gradient(W, h, xs)) == first for _ in range(max(60, 1200 // length)))


def scan_program(length: int, size: int, inner: int = 0) -> Any:
    def step(h: Any, x: Any) -> Any:
        if inner:
            h, _ = xg.scan(lambda h, _: (xg.tanh(h) + x, None), h, None, length=inner)
        return xg.tanh(h + x), h

    return optimise(xg.trace(lambda h, xs: xg.scan(step, h, xs), xg.zeros(size), xg.zeros((length, size))))


@pytest.mark.parametrize(
    ("length", "size", "inner", "expected"),
    [
        (1, 3, 0, False),
        (3, 50, 0, False),
        (7, 3, 0, False),
        (8, 3, 0, True),
        (1000, 1, 0, True),
        (1, 10**6, 0, True),
        (2, 3, 3, False),
        (2, 3, 20, True),
        (0, 3, 0, False),
    ],
)
def test_it_is_compiled_where_its_stages_are_repeated(
    length: int, size: int, inner: int, expected: bool
) -> None:
    assert executors.repays(scan_program(length, size, inner).stages) == expected


def test_a_long_loop_is_compiled_before_its_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """No step runs in the array library, whose ops would take seconds at this length."""

    def refuse(*args: Any) -> Any:
        raise AssertionError("a stage runs in the array library")

    monkeypatch.delenv("XGRAD_NATIVE", raising=False)
    monkeypatch.setenv("XGRAD_VERIFY", "0")  # which runs every step of a plan
    monkeypatch.setattr(executors, "interpret", refuse)
    length = 100_000
    a, xs = 0.5, np.random.default_rng(0).normal(size=length)
    run = lambda a, xs: xg.scan(lambda h, x: (a * h + x, h), xg.asarray(0.0), xs)
    slope = xg.grad(lambda a, xs: run(a, xs)[0])(a, xg.asarray(xs))
    h, ys = run(xg.asarray(a), xg.asarray(xs))
    expected, found, dh = [], 0.0, 0.0
    for x in xs.tolist():
        expected.append(found)
        found, dh = a * found + x, found + a * dh
    np.testing.assert_allclose(ys.numpy(), expected, rtol=1e-9, atol=1e-12)
    assert (h.item(), slope.item()) == (pytest.approx(found), pytest.approx(dh))


def test_a_compiled_function_is_compiled_under_a_gradient_too(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bool] = []
    old = executors.Executable._compiled

    def noted(self: Any) -> Any:
        ready = old(self)
        made.append(ready.run is not None)
        return ready

    monkeypatch.setattr(executors.Executable, "_compiled", noted)
    f = xg.compile(lambda x: xg.sum(xg.tanh(x) ** 3))
    x = rng.normal(size=4)
    slope = xg.grad(f)(x).numpy()
    np.testing.assert_allclose(slope, 3 * np.tanh(x) ** 2 * (1 - np.tanh(x) ** 2), rtol=1e-12)
    assert made == [True, True]  # forward and backward


@pytest.mark.slow
def test_lengths_that_keep_changing_are_made_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    old = executors.Executable.__init__

    def noted(self: Any, *args: Any, **options: Any) -> None:
        made.append(self)
        old(self, *args, **options)

    monkeypatch.setattr(executors.Executable, "__init__", noted)
    w = xg.asarray(rng.normal(size=3))
    xs = xg.asarray(rng.normal(size=(60, 3)))
    run = lambda n: xg.scan(lambda h, x: (xg.tanh(h * w + x), None), xg.zeros(3), xs[:n])[0]
    first = [bits(run(n)) for n in range(60)]
    count = len(made)
    assert count == 60
    for n in (*range(60), *reversed(range(60))):
        assert bits(run(n)) == first[n]
    assert len(made) == count
    want = np.zeros(3)
    for x in xs.numpy()[:20]:
        want = np.tanh(want * w.numpy() + x)
    np.testing.assert_allclose(run(20).numpy(), want, rtol=1e-12)


def test_bodies_that_differ_in_a_number_alone_are_told_of() -> None:
    run = lambda rate: xg.scan(lambda h, x: (h - rate * xg.cos(h + x), None), xg.zeros(2), xg.ones((3, 2)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for i in range(31):
            run(0.5 + i)
            run(xg.asarray(0.5 + i))
    with pytest.warns(UserWarning, match="differ only in Python numbers.*xg.asarray") as caught:
        run(99.5)
    assert caught[0].filename == __file__


def test_a_cache_forgets_what_was_not_used_for_longest() -> None:
    cache, made = Cache(3), list[str]()

    def get(word: str) -> None:
        assert cache.get(word, lambda: made.append(word) or word) == word  # type: ignore[func-returns-value]

    for word in "abcada":  # b is dropped for d
        get(word)
    assert "".join(made) == "abcd"
    assert [word for word in "abcd" if cache.find(word)] == ["a", "c", "d"]
    cache.find("a")
    get("b")  # for c, as a and d were used later
    assert [word for word in "abcd" if cache.find(word)] == ["a", "b", "d"]
    cache.clear()
    assert len(cache) == 0


def test_a_cache_that_weighs() -> None:
    cache = Cache(2, weigh=len, room=10)
    for word in ("a" * 4, "b" * 4, "c", "d"):
        cache.get(word, lambda word=word: word)
    assert len(cache) == 4  # all of them fit
    cache.get("e" * 9, lambda: "e" * 9)
    assert [word for word in ("c", "d", "e" * 9) if cache.find(word)] == ["d", "e" * 9]
    cache.get("f" * 99, lambda: "f" * 99)
    assert len(cache) == 2  # two are kept, however large
    assert cache.find("e" * 9)
    assert cache.find("f" * 99)


# Threads


@pytest.fixture
def hurried() -> Iterator[None]:
    """Make threads switch as often as possible."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def together(work: Callable[[int], Any], threads: int = 8) -> list[Any]:
    """Return the results of `work(i)` in several threads that start at the same moment."""
    barrier = threading.Barrier(threads)

    def begin(i: int) -> Any:
        barrier.wait()
        return work(i)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(begin, range(threads)))


def test_it_is_made_once_though_many_ask_at_once(hurried: None) -> None:
    for _ in range(50):
        made: list[int] = []
        once = Once(lambda made=made: made.append(1) or object())
        assert len(set(map(id, together(lambda i, once=once: once())))) == 1
        assert len(made) == 1


def test_where_making_it_raises_the_next_one_tries_again() -> None:
    tries: list[int] = []

    def make() -> str:
        tries.append(1)
        if len(tries) < 3:
            raise MemoryError
        return "made"

    once = Once(make)
    for _ in range(2):
        with pytest.raises(MemoryError):
            once()
    assert not once.done
    assert once() == once() == "made"
    assert len(tries) == 3


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["compiled function", "scan", "model"])
def test_many_threads_share(kind: str, native: str | None, hurried: None) -> None:
    model = xg.nn.GRU(3, 4, dtype="float64", rng=xg.random.default_rng(1))
    W, h = xg.asarray(rng.normal(size=(5, 5))), xg.zeros((2, 5))
    data = [xg.asarray(rng.normal(size=(9, 2, 5))) for _ in range(8)]
    for round in range(3):  # each with a program that is not prepared yet

        def plain(x: Any, round: int = round) -> Any:
            if kind == "model":
                return xg.value_and_grad(lambda model, x: xg.sum(model(x)[0] ** (2 + round)))(
                    model, x[..., :3]
                )
            return xg.value_and_grad(lambda x: loss(W, h, x) * (1.5 + round))(x)

        run = xg.compile(plain) if kind == "compiled function" else plain
        found = together(lambda i, run=run: [bits(run(data[i])) for _ in range(15)])
        serial = [bits(run(x)) for x in data]
        assert found == [[expected] * 15 for expected in serial]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_process_forked_while_a_thread_makes_a_program_makes_its_own() -> None:
    started, release = threading.Event(), threading.Event()

    def make() -> int:
        started.set()
        release.wait(10)
        return os.getpid()

    once = Once(make)
    thread = threading.Thread(target=once)
    thread.start()
    started.wait(10)
    child = os.fork()
    if child == 0:
        release.set()  # a separate copy of the event
        os._exit(0 if once() == os.getpid() else 1)
    try:
        assert os.waitpid(child, 0)[1] == 0
    finally:
        release.set()
        thread.join()
    assert once() == os.getpid()


def long_chain(x: Any) -> Any:
    """Forty stages, which no executor compiles for complex numbers."""
    for _ in range(20):
        x = xg.sin(x) * (0.5 + 0.1j)
    return x


def unrolled(x: Any) -> Any:
    return xg.scan(lambda h, _: (long_chain(h), xg.sum(h)), x, length=3)[0]


@pytest.mark.parametrize(
    "f",
    [long_chain, unrolled, xg.checkpoint(long_chain), lambda x: unrolled(x) + long_chain(x)],
    ids=["chain", "loop", "checkpoint", "both"],
)
def test_what_no_stage_reads_any_more_is_not_kept_where_nothing_is_compiled(f: Any) -> None:
    x = xg.asarray(np.ones(2**14, dtype=complex), device="strict:1")
    compiled = xg.compile(f)
    np.testing.assert_allclose(compiled(x).numpy(), f(x).numpy())
    assert compiled.executable(x).kind == executors.INTERPRETED
    tracemalloc.start()
    try:
        found = compiled(x)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert np.array_equal(found.numpy(), compiled(x).numpy())
    assert peak < 6 * 16 * x.size


def test_a_loop_that_was_optimised_keeps_what_later_steps_read() -> None:
    """Interpreted alone: invariants, carries that swap values, and results read after the loop."""
    W = rng.normal(size=(3, 3))

    def step(carry: Any, x: Any) -> Any:
        a, b = carry
        return (b, xg.sin(a @ W + x)), (a, b * 2)

    def f(a: Any, xs: Any) -> Any:
        (a, b), (first, second) = xg.scan(step, (a, a * 2), xs)
        return a, b, first, second + xg.sum(first)

    a, xs = rng.normal(size=(2, 3)), rng.normal(size=(5, 2, 3))
    program = xg.trace(f, a, xs)
    optimised = optimise(program)
    given = [a, xs, *([W] if len(program.inputs) == 3 else [])]
    for p in (program, optimised, pickle.loads(pickle.dumps(optimised))):
        for z, expected in zip(interpret(p, xg.backends.find_device("cpu"), given), f(a, xs), strict=True):
            np.testing.assert_allclose(z, expected.numpy(), rtol=1e-12)
    assert pickle.dumps(optimised) == pickle.dumps(optimise(program))
