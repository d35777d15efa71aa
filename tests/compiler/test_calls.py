"""An op without a kernel slows down only itself.

Compiled programs call the array library for it, in loops too.
"""

from __future__ import annotations

import threading
import warnings
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from xgrad.compiler.calls import calls

rng = np.random.default_rng(0)
W = rng.normal(size=(4, 4)) * 0.4


def whitened(h: Any, x: Any) -> Any:
    """A cell with a multi-output op that has no kernel, and with ops that have one."""
    w, v = xg.linalg.eigh(h @ h.mT + xg.eye(3))
    h = xg.tanh(h @ W + x) / xg.sqrt(w)[:, None]
    return h, xg.sum(v**2)


def shrunk(h: Any, x: Any) -> Any:
    """A cell scaled by the largest singular value of a view of its carry."""
    s = xg.linalg.svdvals(h[:, ::-1])
    return xg.tanh(h @ W + x[::-1]) * s[0], s


CELLS = {"several outputs": whitened, "a view": shrunk}


def plain(cell: Any, h: Any, xs: Any) -> Any:
    """Run the same loop in plain Python."""
    ys = []
    for x in xs:
        h, y = cell(h, x)
        ys.append(y)
    return h, xg.stack(ys)


def loss(run: Any) -> Any:
    return lambda h, xs: sum(xg.sum(xg.sin(z)) for z in run(h, xs))


@pytest.fixture(params=["native", "numpy"])
def executor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("XGRAD_NATIVE", "1" if request.param == "native" else "0")
    return str(request.param)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("reverse", [False, True])
def test_a_loop_with_a_call_in_it(executor: str, name: str, reverse: bool) -> None:
    cell, h, xs = CELLS[name], rng.normal(size=(3, 4)), rng.normal(size=(5, 3, 4))
    run = lambda h, xs: xg.scan(cell, h, xs, reverse=reverse, compiled=True)
    by_hand = lambda h, xs: plain(cell, h, xs[::-1] if reverse else xs)
    found, expected = run(h, xs), by_hand(h, xg.asarray(xs))
    np.testing.assert_allclose(found[0].numpy(), expected[0].numpy(), rtol=1e-12)
    order = slice(None, None, -1) if reverse else slice(None)
    np.testing.assert_allclose(found[1].numpy(), expected[1].numpy()[order], rtol=1e-12)
    for z, w in zip(
        xg.grad(loss(run), argnums=(0, 1))(h, xs),
        xg.grad(loss(lambda h, xs: plain(cell, h, xs)), argnums=(0, 1))(h, xs[::-1] if reverse else xs),
        strict=True,
    ):
        w = w.numpy()[order] if w.ndim == 3 else w.numpy()
        np.testing.assert_allclose(z.numpy(), w, rtol=1e-10, atol=1e-13)


def test_only_what_has_no_kernel_is_called() -> None:
    f = xg.compile(lambda h, xs: xg.scan(whitened, h, xs)[0])
    h, xs = rng.normal(size=(3, 4)), rng.normal(size=(5, 3, 4))
    executable = f.executable(h, xs)
    f(h, xs)
    assert executable.kind == "native code"
    found = [(call.op, lengths) for call, lengths in calls(executable.lowered.plan.body)]
    assert found == [("eigh", (5,))]  # the identity matrix is a constant
    text = f.explain(h, xs)
    assert "native code, but for 5 calls of the array library" in text
    assert "1 call of 'eigh' of (3, 3), " in text
    assert "test_calls.py:" in text
    assert ", at every step" in text


def test_a_loop_that_is_mostly_calls_says_so_once() -> None:
    def step(h: Any, x: Any) -> Any:
        return xg.tanh(h + x) * xg.linalg.svdvals(h)[0], None

    f = xg.compile(lambda h, xs: xg.scan(step, h, xs)[0])
    h, xs = rng.normal(size=(30, 4)), rng.normal(size=(200, 30, 4))
    with pytest.warns(
        UserWarning, match=r"most of it for 'svdvals' of \(30, 4\), .*test_calls.py:\d+, which has no"
    ):
        f(h, xs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        f(h, xs)


def test_explain_says_before_the_first_call_what_it_says_after_it() -> None:
    for f, args in (
        (lambda x: xg.sort(xg.exp(x)), (rng.normal(size=3),)),
        (lambda h, xs: xg.scan(whitened, h, xs)[0], (rng.normal(size=(3, 4)), rng.normal(size=(5, 3, 4)))),
        (lambda x: xg.tanh(x), (rng.normal(size=3),)),
    ):
        g = xg.compile(f)
        before = g.explain(*args).splitlines()
        g(*args)
        assert before[:-1] == g.explain(*args).splitlines()[:-1]  # the last line has times


def test_an_error_in_a_call_is_raised_where_the_program_was_called(executor: str) -> None:
    f = xg.compile(lambda x: xg.scan(lambda h, x: (h + xg.linalg.cholesky(x), None), xg.zeros((2, 2)), x)[0])
    good, bad = np.eye(2), -np.eye(2)
    with pytest.raises(np.linalg.LinAlgError):
        f(np.stack([good, bad, good]))
    np.testing.assert_allclose(f(np.stack([good, good])).numpy(), 2 * good)  # the program still works
    np.testing.assert_allclose(f(np.stack([good, good, good])).numpy(), 3 * good)


def test_several_threads_each_have_their_own_memory(executor: str) -> None:
    f = xg.compile(lambda h, xs: xg.scan(whitened, h, xs)[0])
    given = [(rng.normal(size=(3, 4)), rng.normal(size=(5, 3, 4))) for _ in range(4)]
    expected = [f(*args).numpy() for args in given]
    wrong: list[int] = []

    def repeatedly(i: int) -> None:
        for _ in range(30):
            if not np.array_equal(f(*given[i]).numpy(), expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=repeatedly, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == []


@pytest.mark.parametrize("dtype", ["int8", "uint16", "uint64", "float16", "complex64", "complex128"])
def test_every_dtype_is_carried_through_loops(executor: str, dtype: str) -> None:
    x = np.arange(6).reshape(2, 3).astype(dtype)
    run = lambda x: xg.scan(lambda h, x: (h + x * 2, h), x[0], x)
    (h, ys), (last, stack) = (
        xg.compile(run)(x),
        plain(lambda h, x: (h + x * 2, h), xg.asarray(x[0]), xg.asarray(x)),
    )
    assert (h.dtype, ys.dtype) == (dtype, dtype)
    np.testing.assert_array_equal(h.numpy(), last.numpy())
    np.testing.assert_array_equal(ys.numpy(), stack.numpy())


def test_stacks_of_stacks_of_products() -> None:
    a, b = rng.normal(size=(2, 3, 4, 5)), rng.normal(size=(3, 5, 2))
    for f in (
        lambda a, b: a @ b,
        lambda a, b: xg.permute_dims(a, (1, 0, 2, 3)) @ b[:, None],
        lambda a, b: xg.permute_dims(a, (0, 1, 3, 2)) @ xg.ones((2, 3, 4, 4)) + b[..., :1],
        lambda a, b: a[..., 0] @ b[0, :4],
    ):
        g = xg.compile(f)
        np.testing.assert_allclose(g(a, b).numpy(), f(xg.asarray(a), xg.asarray(b)).numpy(), rtol=1e-13)
        slope = xg.grad(lambda a, b, f=f: xg.sum(xg.sin(f(a, b))), argnums=(0, 1))
        for found, expected in zip(xg.compile(slope)(a, b), slope(a, b), strict=True):
            np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-12)
        assert "calls of" not in g.explain(a, b)
