"""Tests of compile: one trace of a program, the same results, in memory of their own."""

from __future__ import annotations

import pickle
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from xgrad.compiler.ir import Carry, Loop, Program, Stage, Value
from xgrad.compiler.lowering.lower import lower
from xgrad.compiler.passes import optimise
from xgrad.compiler.printing.explain import counts, peak

rng = np.random.default_rng(0)


@pytest.fixture(params=["native", "NumPy"])
def executor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if request.param == "native":
        pytest.importorskip("llvmlite")
    else:
        monkeypatch.setenv("XGRAD_NATIVE", "0")
    return request.param


def gru(W: Any, h: Any, x: Any) -> Any:
    z_t = xg.sigmoid(h @ W["zh"].T + x @ W["zx"].T)
    r_t = xg.sigmoid(h @ W["rh"].T + x @ W["rx"].T)
    h_tilde = xg.tanh((r_t * h) @ W["h"].T + x @ W["x"].T)
    h = (1 - z_t) * h + z_t * h_tilde
    return h, h


def weights(I: int, H: int, dtype: Any = "d") -> dict[str, np.ndarray]:
    shapes = {"zh": (H, H), "rh": (H, H), "h": (H, H), "zx": (H, I), "rx": (H, I), "x": (H, I)}
    return {name: (rng.normal(size=shape) / 4).astype(dtype) for name, shape in shapes.items()}


def loss(W: Any, xs: Any) -> Any:
    _, ys = xg.scan(lambda h, x: gru(W, h, x), xg.zeros((xs.shape[1], W["zh"].shape[0]), dtype=xs.dtype), xs)
    return xg.mean(ys**2)


@pytest.mark.parametrize(("dtype", "tolerance"), [("d", 1e-12), ("f", 2e-5)])
def test_the_gradients_of_a_gru(executor: str, dtype: str, tolerance: float) -> None:
    W, xs = weights(3, 5, dtype), rng.normal(size=(7, 2, 3)).astype(dtype)
    compiled = xg.compile(xg.value_and_grad(loss, argnums=(0, 1)))
    value, (dW, dxs) = compiled(W, xs)
    expected, (eW, exs) = xg.value_and_grad(loss, argnums=(0, 1))(W, xs)
    np.testing.assert_allclose(value.numpy(), expected.numpy(), rtol=tolerance)
    np.testing.assert_allclose(dxs.numpy(), exs.numpy(), rtol=tolerance, atol=tolerance)
    for name, g in eW.items():
        np.testing.assert_allclose(dW[name].numpy(), g.numpy(), rtol=tolerance, atol=tolerance)
    assert compiled.executable(W, xs).kind.startswith("native" if executor == "native" else "NumPy")


def test_composes_with_transforms(executor: str) -> None:
    f = lambda x: xg.sum(xg.tanh(x) ** 3)
    x, v = rng.normal(size=4), rng.normal(size=4)
    for g in (
        xg.grad(f),
        lambda x: xg.vjp(f, x)[1](1.0)[0],
        lambda x: xg.jvp(f, (x,), (v,))[1],
        lambda x: xg.jvp(xg.grad(f), (x,), (v,))[1],
    ):
        np.testing.assert_allclose(xg.compile(g)(x).numpy(), g(x).numpy(), rtol=1e-12)
    np.testing.assert_allclose(xg.grad(xg.compile(f))(x).numpy(), xg.grad(f)(x).numpy(), rtol=1e-12)
    np.testing.assert_allclose(
        xg.grad(lambda x: xg.sum(xg.grad(xg.compile(f))(x)))(x).numpy(),
        xg.grad(lambda x: xg.sum(xg.grad(f)(x)))(x).numpy(),
        rtol=1e-10,
    )
    np.testing.assert_allclose(
        xg.compile(lambda x: xg.compile(f)(x) * 2)(x).numpy(), 2 * f(x).numpy(), rtol=1e-12
    )


def test_what_it_returns_is_kept(executor: str) -> None:
    f = xg.compile(lambda x: (x + 1, x * 2, x))
    first = f(np.ones(3))
    kept = [z.numpy().copy() for z in first]
    f(np.full(3, 5.0))
    for z, before in zip(first, kept):
        np.testing.assert_array_equal(z.numpy(), before)
    x = xg.ones(3)
    assert not np.shares_memory(f(x)[2].data, x.data)


@pytest.mark.parametrize("rotated", [False, True], ids=["real", "complex"])
def test_outputs_are_no_views_of_arguments(executor: str, rotated: bool) -> None:
    """Interpreted programs, such as those with complex carries, are covered too.

    A carry is an element of xs, a slice or a transpose.
    """

    def f(x: Any, xs: Any) -> Any:
        turn = xg.exp(0.5j) if rotated else 0.5
        (last, first, _), ys = xg.scan(lambda c, v: ((v, c[0], c[2] * turn), c[1]), (x, x, x * turn), xs)
        return last, first, ys[:1], x[1:], xg.reshape(x, (3, 1)).T, xg.real(xs)

    x, xs = np.arange(3.0), np.arange(12.0).reshape(4, 3)
    found = xg.compile(f)(x, xs)
    kept = [z.numpy().copy() for z in found]
    x[...] = xs[...] = -1
    for z, before in zip(found, kept, strict=True):
        np.testing.assert_array_equal(z.numpy(), before)
    np.testing.assert_array_equal(kept[0], [9, 10, 11])


def test_backward_reaches_leaves(executor: str) -> None:
    w = xg.tensor([1.0, 2.0], requires_grad=True)
    f = xg.compile(lambda x: xg.sum(w * x**2))
    f(np.array([3.0, 4.0])).backward()
    assert w.grad is not None
    assert w.grad.numpy().tolist() == [9.0, 16.0]
    leaf = xg.tensor([3.0, 4.0], requires_grad=True)
    f(leaf).backward()
    assert leaf.grad is not None
    assert leaf.grad.numpy().tolist() == [6.0, 16.0]


def test_tensors_from_outside_are_read_at_each_call(executor: str) -> None:
    w = xg.tensor([1.0, 2.0])
    f = xg.compile(lambda x: x * w)
    assert f(np.ones(2)).numpy().tolist() == [1, 2]
    w += 1
    assert f(np.ones(2)).numpy().tolist() == [2, 3]


def test_traces_once_a_signature() -> None:
    calls = []

    def f(x: Any, n: int) -> Any:
        calls.append(x.shape)
        return x * n

    g = xg.compile(f)
    for n in (2, 2, 3):
        assert g(np.ones(2), n).numpy().tolist() == [n, n]
    g(np.ones(3), 2)
    g(np.ones(2, "f"), 2)
    assert calls == [(2,), (3,), (2,)]  # another Python number does not change the signature


def test_shapes_that_keep_changing() -> None:
    f = xg.compile(lambda x, name: x + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for n in range(64):
            f(np.ones(3), str(n))
    with pytest.warns(UserWarning, match="keep changing") as told:
        f(np.ones(3), "64")
    assert told[0].filename == __file__  # the user's line, not one of the library


def test_a_branch_is_refused() -> None:
    with pytest.raises(xg.TraceError, match=r"test_compile\.py:\d+.*xg\.where"):
        xg.compile(lambda x: x if x > 0 else -x)(xg.asarray(1.0))
    with pytest.raises(xg.TraceError, match=r"test_compile\.py:\d+.*mask.*xg\.where"):
        xg.compile(lambda x: x[x > 1])(np.ones(3))
    with pytest.raises(xg.TraceError, match="drawn"):
        xg.compile(lambda x: x + xg.random.default_rng(0).normal(size=2))(np.ones(2))


def test_a_gather_and_its_gradient_are_native() -> None:
    table, ids = rng.normal(size=(5, 3)), np.array([0, 2, 2])
    f = xg.compile(xg.grad(lambda table: xg.sum(xg.take(table, xg.asarray(ids), axis=0) ** 2)))
    expected = np.zeros_like(table)
    np.add.at(expected, ids, 2 * table[ids])
    np.testing.assert_allclose(f(table).numpy(), expected)
    assert "run by      native code\n" in f.explain(table)


def test_from_several_threads(executor: str) -> None:
    W, xs = weights(3, 4), [rng.normal(size=(5, 2, 3)) for _ in range(4)]
    f = xg.compile(loss)
    expected = [f(W, x).item() for x in xs]
    found: dict[int, list[float]] = {}
    threads = [
        threading.Thread(target=lambda i=i: found.update({i: [f(W, xs[i]).item() for _ in range(50)]}))
        for i in range(4)
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert found == {i: [e] * 50 for i, e in enumerate(expected)}


def test_products_leave_the_loop() -> None:
    """At any length, two products per step remain forward and two backward.

    The others are moved before or after the loop.
    """
    W = weights(3, 5)
    found = set()
    for T in (3, 50):
        program = xg.compile(xg.grad(loss, argnums=(0, 1))).program(W, rng.normal(size=(T, 2, 3)))
        found.add(counts(optimise(program).stages))
    (c,) = found
    assert c.inner_products == 4


def test_memory() -> None:
    """Memory is close to that of a hand-written loop: eight stacks of states, inputs and gradients."""
    T, B, I, H = 100, 4, 16, 32
    W, xs = weights(I, H, "f"), np.ones((T, B, I), "f")
    program = xg.compile(xg.grad(loss, argnums=(0, 1))).program(W, xs)
    by_hand = 4 * (8 * T * B * H + 2 * T * B * I + 2 * sum(w.size for w in W.values()))
    assert peak(lower(optimise(program))) < 1.35 * by_hand


def test_explain() -> None:
    f = xg.compile(xg.grad(loss))
    text = f.explain(weights(3, 5), np.ones((4, 2, 3)))
    for word in ("hoist", "sink", "peak memory", "products", "flop"):
        assert word in text
    assert f.program(weights(3, 5), np.ones((4, 2, 3))).explain().startswith("pass")


def test_programs_are_data() -> None:
    program = xg.compile(xg.grad(loss)).program(weights(3, 5), np.ones((4, 2, 3)))
    again = pickle.loads(pickle.dumps(program))
    assert again == program
    assert str(again) == str(program)
    assert optimise(again) == optimise(program)


@pytest.mark.parametrize("native", ["0", "1"])
def test_infinity_is_a_number_of_a_program(native: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XGRAD_NATIVE", native)
    x = np.array([0.5, -float("inf"), 2.0])
    f = xg.compile(xg.grad(lambda x: xg.logsumexp(x)))
    np.testing.assert_allclose(f(x).numpy(), np.exp(x) / np.exp(x).sum())


@pytest.mark.parametrize("exponent", [float("inf"), -float("inf"), float("nan"), 0.5, 8.0, 1e30, -2.0])
def test_powers_of_every_number(exponent: float, executor: str) -> None:
    x = xg.asarray([-float("inf"), -2.0, -1.0, -0.0, 0.0, 0.5, 1.0, 2.0, float("inf")])
    with np.errstate(all="ignore"):
        z, expected = (f(lambda x: x**exponent)(x).numpy() for f in (xg.compile, lambda f: f))
    np.testing.assert_array_equal(z, expected)
    np.testing.assert_array_equal(np.signbit(z), np.signbit(expected))


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128", "int64"])
def test_adding_zero_keeps_the_sign_that_it_has(dtype: str, executor: str) -> None:
    x = xg.asarray(np.array([-0.0, 0.0, 2.0]).astype(dtype))
    zeros = xg.zeros(3)
    for f in (
        lambda x: x + 0.0,
        lambda x: 0.0 + x,
        lambda x: x + 0,
        lambda x: x + -0.0,
        lambda x: x - 0.0,
        lambda x: x - -0.0,
        lambda x: 0 - x,
        lambda x: x + zeros,
        lambda x: x + xg.zeros(3),
        lambda x: x - xg.zeros(3),
        lambda x: x + xg.full((3,), -0.0),
        lambda x: x * 1,
    ):
        z, expected = xg.compile(f)(x).numpy(), f(x).numpy()
        assert z.dtype == expected.dtype
        assert [str(v) for v in z.tolist()] == [str(v) for v in expected.tolist()]


def test_what_adds_nothing_to_zero_leaves_a_loop() -> None:
    h = (
        Value("h", (3,), "float64"),
        Value("a", (3,), "float64"),
        Value("x", (3,), "float64"),
        Value("s", (3,), "float64"),
    )
    (state, total, x, zeros), out = h, [Value(n, (3,), "float64") for n in ("h2", "a2", "hT", "aT")]
    new = Stage(
        "new", (), (zeros,), {"function": "zeros", "args": ((3,),), "dtype": "float64", "options": {}}
    )
    body = (Stage("tanh", (state,), (out[0],)), Stage("+", (total, zeros), (out[1],)))
    loop = Loop(5, False, (Carry(state, x, out[0], out[2]), Carry(total, 0.0, out[1], out[3])), (), (), body)
    (found,) = (
        s for s in optimise(Program((x,), (new, loop), (out[2], out[3]))).stages if isinstance(s, Loop)
    )
    assert [s.op for s in found.stages if isinstance(s, Stage)] == ["tanh"]


def test_numbers_at_a_mask_compile_with_their_gradient() -> None:
    def f(x: Any) -> Any:
        y = x * 1.0
        y[y < 0] = 0.0
        return xg.sum(y * y)

    x = np.array([-1.0, 2.0, 3.0])
    assert xg.compile(xg.grad(f))(x).tolist() == xg.grad(f)(x).tolist() == [0, 4, 6]
