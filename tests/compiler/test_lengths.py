"""Scans of many lengths: one compilation serves nearby lengths, with the values of a plain loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import xgrad as xg
from xgrad.backends.cpu import native
from xgrad.compiler import bodies, lengths
from xgrad.compiler.caches import Cache

pytestmark = pytest.mark.skipif(native.missing() is not None, reason=native.missing() or "")

rng = np.random.default_rng(0)
W, U = rng.normal(size=(4, 4)) * 0.5, rng.normal(size=(3, 4)) * 0.5


def gated(h: Any, x: Any) -> Any:
    z, r = xg.sigmoid(h @ W + x @ U), xg.sigmoid(h @ W - x @ U)
    h = (1 - z) * xg.tanh((r * h) @ W + x @ U) + z * h
    return h, h


def several(carry: Any, x: Any) -> Any:
    """A step with carries of several kinds, one of which is only passed on."""
    h, total, last = carry
    h = xg.tanh(h @ W + xg.sum(x) + last)
    return (h, total + xg.sum(h), x[:, :1]), (h[0], xg.max(h, axis=-1))


BODIES = {
    "gated": (gated, lambda: np.zeros((2, 4))),
    "several": (several, lambda: (np.ones((2, 4)), 0.5, np.ones((2, 1)))),
}


def loss(run: Any, body: Any) -> Any:
    def f(init: Any, xs: Any) -> Any:
        leaves = xg.tree_map(lambda z: xg.sum(xg.sin(z)), run(body, init, xs))
        total = 0.0
        for z in _flat(leaves):
            total = total + z
        return total

    return f


def _flat(tree: Any) -> list[Any]:
    return [leaf for part in tree for leaf in _flat(part)] if isinstance(tree, tuple) else [tree]


def plain(body: Any, carry: Any, xs: Any) -> Any:
    ys = []
    for t in range(len(xs)):
        carry, y = body(carry, xs[t])
        ys.append(y)
    return carry, xg.tree_map(lambda *z: xg.stack(list(z)), *ys)


@pytest.mark.slow
@pytest.mark.parametrize("name", BODIES)
def test_every_length_has_the_values_of_a_plain_loop(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XGRAD_NATIVE", "1")
    body, init = BODIES[name]
    scanned = xg.value_and_grad(loss(xg.scan, body), argnums=1)
    by_hand = xg.value_and_grad(loss(plain, body), argnums=1)
    for length in (*range(1, 20), 31, 32, 33, 40, 45, 50):
        xs = rng.normal(size=(length, 2, 3))
        (found, slope), (expected, wanted) = scanned(init(), xs), by_hand(init(), xs)
        np.testing.assert_allclose(found.item(), expected.item(), rtol=1e-12, err_msg=str(length))
        np.testing.assert_allclose(slope.numpy(), wanted.numpy(), rtol=1e-10, atol=1e-13, err_msg=str(length))


def test_lengths_of_an_octave_are_planned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XGRAD_NATIVE", "1")
    monkeypatch.setenv("XGRAD_VERIFY", "0")
    made: list[int] = []
    plan = lengths.plan_of
    monkeypatch.setattr(lengths, "plan_of", lambda *args: made.append(1) or plan(*args))
    V = xg.asarray(rng.normal(size=(4, 4)))
    f = xg.grad(lambda h, xs: xg.sum(xg.scan(lambda h, x: (xg.tanh(h @ V + x), None), h, xs)[0]))
    compiled = set(native._loaded)
    for length in (17, 20, 24, 31, 18, 29):
        f(np.zeros((2, 4)), rng.normal(size=(length, 2, 4)))
    assert len(made) == 2 * 3  # forward and backward: both ends of the range, and its middle
    assert len(set(native._loaded) - compiled) <= 2


def test_the_bits_do_not_depend_on_which_lengths_ran_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in another process, where another length comes first."""
    monkeypatch.setenv("XGRAD_NATIVE", "1")
    monkeypatch.setenv("XGRAD_VERIFY", "0")
    xs = {length: rng.normal(size=(length, 2, 3)) for length in range(8, 17)}
    found: list[dict[int, bytes]] = []
    for order in (list(xs), list(xs)[::-1]):
        monkeypatch.setattr(bodies, "BODIES", Cache(64))
        step = xg.value_and_grad(loss(xg.scan, gated), argnums=1)
        bits = {}
        for length in order:
            value, slope = step(np.zeros((2, 4)), xs[length])
            bits[length] = value.numpy().tobytes() + slope.numpy().tobytes()
        found.append(bits)
    assert found[0] == found[1]
