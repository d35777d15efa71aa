"""What is the same at every step is computed and differentiated once, before the scan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from xgrad.compiler.invariants import split_invariants
from xgrad.compiler.ir import Stage
from xgrad.core.pytree import flatten

T, B, H = 5, 3, 4


def gates_in_slices(h: Any, x: Any, W: Any, a: Any) -> Any:
    z = xg.sigmoid(h @ W[:, :H] + x)
    h = (1 - z) * h + z * xg.tanh(h @ W[:, H:] + x)
    return h, h


def discretised(h: Any, x: Any, W: Any, a: Any) -> Any:
    decay = xg.exp(-xg.exp(a))
    h = decay * h + (decay - 1.0) / a * x
    return h, h * h


def result_is_invariant(h: Any, x: Any, W: Any, a: Any) -> Any:
    return xg.tanh(h * a + x), xg.sin(a)


def larger_than_its_operands(h: Any, x: Any, W: Any, a: Any) -> Any:
    return xg.tanh(h * xg.broadcast_to(a, (B, H)) + x), h


def without_gradient(h: Any, x: Any, W: Any, a: Any) -> Any:
    with xg.no_grad():
        scale = xg.exp(a)
    return xg.tanh(h * scale + xg.stop_gradient(xg.cos(a)) * x), h


def nested(h: Any, x: Any, W: Any, a: Any) -> Any:
    h, _ = xg.scan(lambda h, _: (xg.tanh(h @ W[:, :H] * xg.exp(a) + x), None), h, length=2)
    return h, h


def nothing(h: Any, x: Any, W: Any, a: Any) -> Any:
    h = xg.tanh(h + x)
    return h, h


CELLS = (
    gates_in_slices,
    discretised,
    result_is_invariant,
    larger_than_its_operands,
    without_gradient,
    nested,
    nothing,
)


def loss(cell: Callable[..., Any], looped: bool) -> Callable[..., Any]:
    def f(W: Any, a: Any, xs: Any, h: Any) -> Any:
        if looped:
            ys = []
            for t in range(T):
                h, y = cell(h, xs[t, ...], W, a)
                ys.append(y)
            ys = xg.stack(ys)
        else:
            h, ys = xg.scan(lambda h, x: cell(h, x, W, a), h, xs)
        return xg.sum(ys**2) + xg.sum(h)

    return f


def arguments() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = (H, 2 * H), (H,), (T, B, H), (B, H)
    return [rng.uniform(0.2, 0.9, size=shape) for shape in shapes]


@pytest.mark.parametrize("cell", CELLS)
def test_values_and_gradients(cell: Callable[..., Any]) -> None:
    args, places = arguments(), (0, 1, 2, 3)
    value, found = xg.compile(xg.value_and_grad(loss(cell, False), argnums=places))(*args)
    expected, wanted = xg.value_and_grad(loss(cell, True), argnums=places)(*args)
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    for z, w in zip(found, wanted, strict=True):
        np.testing.assert_allclose(z, w, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("cell", CELLS)
def test_second_derivatives_and_tangents(cell: Callable[..., Any]) -> None:
    W, a, xs, h = arguments()

    def along(looped: bool) -> Callable[..., Any]:
        return lambda W, a: xg.hvp(lambda p: loss(cell, looped)(p[0], p[1], xs, h), ([W, a],), ([W, a],))

    found, wanted = xg.compile(along(False))(W, a), along(True)(W, a)
    for z, w in zip(flatten(found)[0], flatten(wanted)[0], strict=True):
        np.testing.assert_allclose(z, w, rtol=1e-9, atol=1e-11)


def test_no_body_computes_what_stays_the_same() -> None:
    program = xg.compile(loss(discretised, False)).program(*arguments())
    (scan,) = (s for s in program.stages if isinstance(s, Stage) and s.op == "scan")
    body = scan.params["body"]
    assert not any(isinstance(s, Stage) and s.op == "exp" for s in body.program.stages)
    assert split_invariants(body) is None
    assert sum(isinstance(s, Stage) and s.op == "exp" for s in program.stages) == 2


@xg.custom_vjp
def rooted(a: Any) -> Any:
    return xg.sqrt(a)


rooted.defvjp(lambda a: (xg.sqrt(a), a), lambda a, dz: (dz * a,))


def with_rule(h: Any, x: Any, W: Any, a: Any) -> Any:
    return xg.tanh(h * xg.exp(rooted(a)) + x), h


def with_scan(h: Any, x: Any, W: Any, a: Any) -> Any:
    c, _ = xg.scan(lambda c, _: (xg.sin(c * a), None), a, length=2)
    return xg.tanh(h * xg.exp(c) + x), h


@pytest.mark.parametrize(("cell", "op"), [(with_rule, "custom"), (with_scan, "scan")])
def test_scans_and_functions_with_a_rule_stay_in_the_body(cell: Callable[..., Any], op: str) -> None:
    program = xg.trace(loss(cell, False), *arguments())
    (scan,) = (s for s in program.stages if isinstance(s, Stage) and s.op == "scan")
    body = scan.params["body"]
    assert op in [s.op for s in body.program.stages if isinstance(s, Stage)]
    assert split_invariants(body) is None
    args = arguments()
    found, wanted = (xg.grad(loss(cell, looped), argnums=(0, 1, 2, 3))(*args) for looped in (False, True))
    for z, w in zip(found, wanted, strict=True):
        np.testing.assert_allclose(z, w, rtol=1e-11, atol=1e-13)


def test_a_listing_shows_the_body_as_it_is_written() -> None:
    assert "exp" in str(xg.trace(loss(discretised, False), *arguments()))


def test_what_is_subtracted_at_each_step() -> None:
    def f(s: Any, xs: Any) -> Any:
        s, _ = xg.scan(lambda s, x: (s - xg.sum(x @ x.T, axis=0), x), s, xs)
        return s

    rng = np.random.default_rng(1)
    s, xs = rng.normal(size=B), rng.normal(size=(T, B, H))
    expected = s - sum(np.sum(x @ x.T, axis=0) for x in xs)
    np.testing.assert_allclose(xg.compile(f)(s, xs), expected, rtol=1e-12)
    slope = xg.compile(xg.grad(lambda s, xs: xg.sum(f(s, xs) ** 2), argnums=1))(s, xs)
    plain = lambda s, xs: xg.sum((s - sum(xg.sum(xs[t] @ xs[t].T, axis=0) for t in range(T))) ** 2)
    np.testing.assert_allclose(slope, xg.grad(plain, argnums=1)(s, xs), rtol=1e-11)
