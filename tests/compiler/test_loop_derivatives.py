"""Derivatives of loops that need values the forward loop has not kept, and results without a derivative."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from xgrad.compiler import scan
from xgrad.core.dispatch import apply
from xgrad.ops import OPS
from xgrad.ops.table import Op, op

XS = np.array([1.0, 0.5, -0.7, 1.2])


@xg.custom_jvp
def product(x: Any, y: Any) -> Any:
    return x * y


@product.defjvp
def _(p: Any, t: Any) -> Any:
    return p[0] * p[1], t[0] * p[1] + p[0] * t[1]


@xg.custom_vjp
def wave(x: Any) -> Any:
    return xg.sin(x)


wave.defvjp(lambda x: (xg.sin(x), x), lambda x, dz: (dz * xg.cos(x),))


def by_rule(c: Any, x: Any, how: Any) -> Any:
    return c + product(x, c), wave(product(c, x))


def again(c: Any, x: Any, how: Any) -> Any:
    c = xg.checkpoint(lambda c: xg.tanh(c * x) + 0.5 * c)(c)
    return c, c * c


def unused(c: Any, x: Any, how: Any) -> Any:
    (a, _), _ = xg.scan(lambda d, u: ((d[0] * u, xg.sin(d[1] * d[0])), d[1] * u), (c, c + x), XS, **how)
    return c + 0.1 * a, x * a


def unused_carry(c: Any, x: Any, how: Any) -> Any:
    _, ys = xg.scan(lambda d, u: (xg.tanh(d + product(u, c)), d * d), c, XS, **how)
    return xg.sin(c + xg.sum(ys)), ys[1]


def spectrum(c: Any, x: Any, how: Any) -> Any:
    return xg.tanh(xg.real(xg.fft.fft(xg.tanh(x * c[None]), axis=0))[0] * c), None


CELLS = [by_rule, again, unused, unused_carry, spectrum]

SECOND: dict[str, Callable[[Any], Any]] = {
    "jvp": lambda f: xg.jvp(f, (0.5,), (1.0,)),
    "hvp": lambda f: xg.hvp(f, (0.5,), (1.0,)),
    "jvp of grad": lambda f: xg.jvp(xg.grad(f), (0.5,), (1.0,)),
    "grad of jvp": lambda f: xg.grad(lambda a: xg.jvp(f, (a,), (a * a,))[1])(0.5),
    "grad of grad": lambda f: xg.grad(xg.grad(f))(0.5),
    "jvp of jvp": lambda f: xg.jvp(lambda a: xg.jvp(f, (a,), (a,))[1], (0.5,), (1.0,)),
    "compiled": lambda f: xg.compile(lambda a: xg.hvp(f, (a,), (a,)))(xg.asarray(0.5)),
}


@pytest.mark.slow
@pytest.mark.parametrize("how", [{}, {"checkpoint_every": 3}, {"reverse": True}], ids=str)
@pytest.mark.parametrize("order", SECOND)
@pytest.mark.parametrize("cell", CELLS)
def test_second_derivatives(cell: Any, order: str, how: Any) -> None:
    def loss(a: Any, compiled: bool) -> Any:
        given = (
            {**how, "compiled": compiled} if compiled else {"reverse": "reverse" in how, "compiled": False}
        )
        h, ys = xg.scan(lambda c, x: cell(c, x, {"compiled": compiled}), a, XS, **given)
        return xg.sin(h) + (0 if ys is None else xg.sum(ys * ys))

    found, expected = SECOND[order](lambda a: loss(a, True)), SECOND[order](lambda a: loss(a, False))
    for u, v in zip(xg.core.pytree.flatten(found)[0], xg.core.pytree.flatten(expected)[0], strict=True):
        np.testing.assert_allclose(u.numpy(), v.numpy(), rtol=1e-9, atol=1e-12)


def test_tangents_of_segments_by_hand() -> None:
    f = lambda v: (
        xg.scan(lambda s, t: (s + v * t, None), 0.0, np.array([1.0, 2.0, 3.0]), checkpoint_every=2)[0] ** 2
    )
    assert xg.hvp(f, (0.5,), (1.0,)).item() == pytest.approx(72.0)
    g = lambda a: xg.scan(lambda c, t: (c + product(t, c), None), a, np.array([1.0, 2.0, 3.0]))[0]
    assert [v.item() for v in xg.jvp(g, (0.5,), (1.0,))] == pytest.approx([12.0, 24.0])


def _circle_dx(xp: Any, dz: Any, z: Any, x: Any) -> Any:
    """Return the gradient, computed from x if the cosine has no cotangent, and otherwise from z."""
    if dz[1] is None:
        return (dz[0] * xp.cos(x[0]),)
    return ((0 if dz[0] is None else dz[0] * z[1]) - dz[1] * z[0],)


@pytest.fixture
def circle() -> Iterator[Op]:
    yield op("circle", lambda xp, x: (xp.sin(x), xp.cos(x)), dx=_circle_dx, variadic=True)
    del OPS["circle"]


@pytest.mark.parametrize("chosen", range(4))
def test_rules_that_read_what_they_need_for_the_gradients_they_are_given(
    circle: Op, chosen: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    original = scan.derivative_of
    monkeypatch.setattr(
        scan,
        "derivative_of",
        lambda body, wanted, given=None: made.append(given) or original(body, wanted, given),
    )

    def loss(a: Any, compiled: bool) -> Any:
        def step(c: Any, x: Any) -> Any:
            return 1.1 * c, apply(circle, (c,))

        c, (s, k) = xg.scan(step, a, XS, compiled=compiled)
        return [xg.sum(s), xg.sum(k), c, xg.sum(s * k)][chosen]

    for order in (
        lambda f: xg.grad(f)(0.7),
        lambda f: xg.hvp(f, (0.7,), (1.0,)),
        lambda f: xg.jvp(f, (0.7,), (1.0,))[1],
    ):
        expected = order(lambda a: loss(a, False))
        np.testing.assert_allclose(
            order(lambda a: loss(a, True)).numpy(), expected.numpy(), rtol=1e-10, atol=1e-12
        )
    assert ((False, True, False) in made) == (chosen == 0)  # the forward loop ran again and kept x


# Results without a derivative


def hits(h: Any, how: Any) -> Any:
    """Return how often, whether ever, and where `h` is larger, and a sum that depends on both."""

    def step(c: Any, x: Any) -> Any:
        n, ever, total = c
        larger = h > x
        total = total + xg.where(ever, h * x, 1.0) + n.astype("float64") * h * h
        return (n + larger.astype("int64"), xg.logical_or(ever, larger), total), (larger, n, total)

    return xg.scan(step, (xg.asarray(0), xg.asarray(False), xg.asarray(0.0)), XS, **how)


WITHOUT: dict[str, Callable[[Any], Any]] = {
    "value": lambda f: f(xg.asarray(0.8)),
    "grad": lambda f: xg.grad(f)(0.8),
    "compile": lambda f: xg.compile(f)(xg.asarray(0.8)),
    "compiled grad": lambda f: xg.compile(xg.grad(f))(xg.asarray(0.8)),
    "jvp": lambda f: xg.jvp(f, (0.8,), (1.0,)),
    "hessian": lambda f: xg.hessian(f)(0.8),
    "checkpoint": lambda f: xg.grad(xg.checkpoint(f))(0.8),
    "grad of compiled": lambda f: xg.grad(xg.compile(f))(0.8),
}


@pytest.mark.parametrize("way", WITHOUT)
def test_no_gradient_flows_to_integers_and_booleans(way: str, device: str) -> None:
    def loss(h: Any, how: Any) -> Any:
        (n, ever, total), (larger, counts, totals) = hits(h, how)
        assert not any(v.requires_grad for v in (n, ever, larger, counts))
        found = (
            h * h
            + total * n.astype("float64")
            + xg.sum(xg.where(larger, totals, 0.5))
            + xg.sum(counts.astype("float64")) * h
        )
        return xg.where(ever, found, h)

    found, expected = (
        WITHOUT[way](lambda h: loss(h, {})),
        WITHOUT[way](lambda h: loss(h, {"compiled": False})),
    )
    for u, v in zip(xg.core.pytree.flatten(found)[0], xg.core.pytree.flatten(expected)[0], strict=True):
        np.testing.assert_allclose(u.numpy(), v.numpy(), rtol=1e-10)


def test_counts_beside_a_function_have_no_slope() -> None:
    count = lambda h: xg.scan(lambda n, t: (n + (h > t).astype("int64"), None), xg.asarray(0), xg.ones(3))[0]
    assert xg.compile(xg.grad(lambda h: h + count(h).astype("float64")))(1.5).item() == 1.0
    leaf = xg.tensor(1.5, requires_grad=True)
    assert not count(leaf).requires_grad
    assert xg.trace(count, 1.5).source()


@pytest.mark.parametrize("record", [False, True])
def test_integers_of_a_recorded_scan(record: bool) -> None:
    f = lambda h: xg.sum(hits(h, {})[1][2])
    g = xg.graph(f, 0.8)
    g.bprop()
    assert next(node for node in g if node.op == "input").grad.item() == pytest.approx(
        xg.grad(lambda h: xg.sum(hits(h, {"compiled": False})[1][2]))(0.8).item()
    )


@pytest.mark.parametrize("way", ["hvp", "grad of jvp", "grad of grad"])
@pytest.mark.parametrize("compiled", [False, True])
def test_second_derivatives_of_a_look_up(way: str, compiled: bool) -> None:
    """The rules of `take` and `untake` use functions of the namespace that inspect the dtype of an index."""
    table, h, tokens = (
        np.linspace(-1, 1, 12).reshape(4, 3),
        np.array([0.3, -0.2, 0.7]),
        np.array([[1, 0], [3, 3], [2, 1]]),
    )
    move = np.cos(table)

    def loss(table: Any, how: Any) -> Any:
        def step(c: Any, t: Any) -> Any:
            best = xg.take(table, xg.argmax(table @ c), axis=0)
            return xg.tanh(c + xg.sum(xg.take(table, t, axis=0), axis=0) * best), xg.take(c, xg.argsort(c)[0])

        c, ys = xg.scan(step, h, tokens, **how)
        return xg.sum(c**2) + xg.sum(ys**3)

    def second(table: Any, how: Any) -> Any:
        f = lambda t: loss(t, how)
        if way == "hvp":
            return xg.hvp(f, (table,), (move,))
        if way == "grad of jvp":
            return xg.grad(lambda t: xg.jvp(f, (t,), (move,))[1])(table)
        return xg.grad(lambda t: xg.sum(xg.grad(f)(t) * move))(table)

    found = (xg.compile(second) if compiled else second)(table, {})
    slope = lambda e: xg.grad(lambda t: loss(t, {"compiled": False}))(table + e * move).numpy()
    np.testing.assert_allclose(
        found.numpy(), second(table, {"compiled": False}).numpy(), rtol=1e-10, atol=1e-12
    )
    np.testing.assert_allclose(found.numpy(), (slope(1e-5) - slope(-1e-5)) / 2e-5, rtol=1e-6, atol=1e-7)
