"""Compiled functions called with many shapes: they share code, and have the values of plain loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from xgrad.backends.cpu import native
from xgrad.compiler import families

pytestmark = pytest.mark.skipif(native.missing() is not None, reason=native.missing() or "")

rng = np.random.default_rng(0)
W, U, E = rng.normal(size=(3, 4)) * 0.4, rng.normal(size=(4, 4)) * 0.4, rng.normal(size=(9, 3))


def rnn(w: Any, xs: Any, reverse: bool = False) -> Any:
    step = lambda h, x: (xg.tanh(x @ w[0] + h @ w[1]),) * 2
    return xg.scan(step, xg.zeros((xs.shape[1], 4)), xs, reverse=reverse)[1]


def by_hand(w: Any, xs: Any, reverse: bool = False) -> Any:
    h, ys = np.zeros((xs.shape[1], 4)), []
    for x in xs[::-1] if reverse else xs:
        h = np.tanh(x @ w[0] + h @ w[1])
        ys.append(h)
    return np.stack(ys[::-1] if reverse else ys)


def means(w: Any, xs: Any) -> Any:
    steps, rows, _ = xs.shape
    return xg.mean(rnn(w, xs) ** 2) + xg.sum(rnn(w, xs)) * (1 / steps) / rows


def both_ways(w: Any, xs: Any) -> Any:
    ys = xg.concat([rnn(w, xs), rnn(w, xs, reverse=True)], axis=-1)
    return xg.mean(ys[1:] * ys[:-1]) + xg.sum(xg.cumulative_sum(ys, axis=0)[-1] / xs.shape[0])


def letters(w: Any, ids: Any) -> Any:
    ys = rnn(w, w[2][ids])
    weights = xg.arange(ids.shape[0], dtype=xg.float64) / ids.shape[0]
    return xg.mean(xg.take_along_axis(ys, (ids % 4)[..., None], axis=-1)[..., 0] * weights[:, None])


def waves(w: Any, xs: Any) -> Any:
    turn = xg.exp(1j * w[1][0] - 0.1)
    step = lambda h, x: (turn * h + x @ w[0],) * 2
    ys = xg.scan(step, xg.zeros((xs.shape[1], 4), dtype=xg.complex128), xs)[1]
    return xg.mean(xg.real(ys) ** 2) + xg.std(xg.imag(ys[-1]))


FUNCTIONS: dict[str, Callable[..., Any]] = {f.__name__: f for f in (means, both_ways, letters, waves)}


def inputs(name: str, steps: int, rows: int) -> np.ndarray:
    size = (steps, rows)
    return rng.integers(0, 9, size) if name == "letters" else rng.normal(size=(*size, 3))


def shapes(count: int, seed: int) -> list[tuple[int, int]]:
    r = np.random.default_rng(seed)
    return [(int(r.integers(2, 40)), int(r.integers(1, 12))) for _ in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_shape_has_the_values_of_a_plain_loop(name: str) -> None:
    """Compared with the engine, whose loop runs in Python."""
    f, w = FUNCTIONS[name], [W, U, E]
    compiled = xg.compile(xg.value_and_grad(f))
    unlooped = xg.value_and_grad(lambda w, xs: f(w, xs))
    for steps, rows in shapes(12, 1):
        xs = inputs(name, steps, rows)
        value, slopes = compiled(w, xs)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(xg, "scan", lambda *args, **options: plain_scan(*args, **options))
            expected, wanted = unlooped([xg.asarray(v) for v in w], xg.asarray(xs))
        np.testing.assert_allclose(value.item(), expected.item(), rtol=1e-12, err_msg=f"{steps, rows}")
        for a, b in zip(slopes, wanted):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-10, atol=1e-13, err_msg=f"{steps, rows}")
    assert compiled._families.served > 2


def plain_scan(f: Any, init: Any, xs: Any, reverse: bool = False) -> Any:
    carry, ys = init, []
    for t in range(xs.shape[0])[:: -1 if reverse else 1]:
        carry, y = f(carry, xs[t])
        ys.append(y)
    return carry, xg.stack(ys[::-1] if reverse else ys)


def test_two_hundred_lengths_and_twenty_batches_are_compiled_a_few_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XGRAD_VERIFY", "0")  # which would plan each shape
    compiled = xg.compile(xg.grad(means))
    before = set(native._loaded)
    r = np.random.default_rng(2)
    for steps in r.permutation(np.arange(2, 202)):
        compiled([W, U], np.zeros((steps, int(r.integers(2, 22)), 3)))
    assert len(set(native._loaded) - before) < 8  # the pool of threads and its products among them
    assert compiled._families.served > 180


def test_a_gradient_of_a_compiled_function_shares_code_too() -> None:
    compiled = xg.compile(means)
    for steps, rows in shapes(12, 3):
        xs = rng.normal(size=(steps, rows, 3))
        slope = xg.grad(lambda xs: compiled([W, U], xs))(xs).numpy()
        move, step = rng.normal(size=xs.shape), 1e-5

        def value(xs: np.ndarray) -> float:
            ys = by_hand([W, U], xs)
            return float(np.mean(ys**2) + np.sum(ys) / len(xs) / xs.shape[1])

        expected = (value(xs + step * move) - value(xs - step * move)) / (2 * step)
        assert np.sum(slope * move) == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert compiled._families.served > 8


def test_the_bits_do_not_depend_on_which_shapes_came_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XGRAD_VERIFY", "0")
    order, found = shapes(16, 4), list[dict[tuple[int, int], bytes]]()
    xs = {shape: rng.normal(size=(*shape, 3)).astype("f") for shape in order}
    w = [W.astype("f"), U.astype("f")]
    for turn in (order, order[::-1]):
        compiled = xg.compile(xg.value_and_grad(lambda w, xs: xg.mean(rnn32(w, xs) ** 2)))
        bits = {}
        for shape in turn:
            value, slopes = compiled(w, xs[shape])
            bits[shape] = b"".join(v.numpy().tobytes() for v in (value, *slopes))
        found.append(bits)
    assert found[0] == found[1]


def rnn32(w: Any, xs: Any) -> Any:
    step = lambda h, x: (xg.tanh(x @ w[0] + h @ w[1]),) * 2
    return xg.scan(step, xg.zeros((xs.shape[1], 4), dtype=xg.float32), xs)[1]


def test_a_function_that_chooses_by_shape_is_compiled_for_each_choice() -> None:
    def f(xs: Any) -> Any:
        n = xs.shape[0]
        return xg.sum(xs[: n // 2]) if n == 23 else xg.sum(xs**2) if n > 20 else xg.sum(xs)

    compiled = xg.compile(f)
    for n in (30, 31, 32, 29, 23, 28, 10, 11, 12, 13, 20, 21, 22):
        xs = rng.normal(size=n)
        expected = xs[:11].sum() if n == 23 else (xs**2).sum() if n > 20 else xs.sum()
        np.testing.assert_allclose(compiled(xs).item(), expected, rtol=1e-12)


def test_polynomials_fit_what_varies_together() -> None:
    def sample(t: int, b: int) -> list[int]:
        return [t, b, 4, t, 4 * t * b, t - 1, t * b, b, 12, 8 * (t - 1) * b]

    pairs = [(20, 7), (33, 5), (12, 9), (25, 11)]
    model = families._model([sample(*p) for p in pairs], 3)
    assert model is not None
    for t, b in [*pairs, (50, 2)]:
        assert model.sizes(sample(t, b)) == (t, b)
        assert model.numbers((t, b)) == sample(t, b)
    two = families._model([sample(*p)[:-1] for p in pairs[:2]], 3)
    assert two is not None
    assert two.numbers((50, 2)) == sample(50, 2)[:-1]
    assert families._model([sample(3, 4)] * 2, 3) is None  # nothing varies
    assert families._model([[n, n * n * n + n] for n in (2, 3, 5, 7)], 1) is None
