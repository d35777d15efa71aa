"""Checkpointing: intermediate values are recomputed instead of kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import xgrad as xg
from xgrad.core.graph import ancestors
from xgrad.transforms.checkpointing import Segments, checkpoint, scan_in_segments
from xgrad.transforms.forward_mode import jvp

rng = np.random.default_rng(0)


def kept(z: xg.Tensor) -> int:
    """Return how many numbers the graph of `z` holds."""
    arrays: dict[int, Any] = {}

    def look(v: Any) -> None:
        if isinstance(v, tuple):
            for part in v:
                look(part)
        elif hasattr(v, "shape"):
            arrays[id(v)] = v

    assert z.node is not None
    for node in ancestors([z.node])[0]:
        look(node.saved)
    return int(sum(v.size for v in arrays.values()))


def close(a: Any, b: Any) -> None:
    for x, y in zip(a, b, strict=True):
        np.testing.assert_allclose(x.detach().numpy(), y.detach().numpy(), rtol=1e-12, atol=1e-12)


def deep(x: Any, w: Any) -> Any:
    for _ in range(6):
        x = xg.tanh(x @ w)
    return x


def test_the_same_values_and_gradients(device: str) -> None:
    x, w = rng.normal(size=(2, 3)), rng.normal(size=(3, 3))
    plain, again = (
        xg.value_and_grad(lambda x, w: xg.sum(f(x, w) ** 2), argnums=(0, 1))(x, w)
        for f in (deep, checkpoint(deep))
    )
    close([plain[0], *plain[1]], [again[0], *again[1]])


def test_less_is_kept(device: str) -> None:
    x = xg.tensor(rng.normal(size=(2, 3)), requires_grad=True)
    w = xg.asarray(rng.normal(size=(3, 3)))
    assert kept(checkpoint(deep)(x, w)) == 6 + 9
    assert kept(deep(x, w)) > 6 * 6


def test_trees_and_what_is_no_array(device: str) -> None:
    def f(p: Any, *, axis: int, word: str) -> Any:
        assert word == "word"
        return {"a": xg.sum(p["x"][0] * p["k"], axis=axis), "b": [None, p["x"][1] * 2]}

    z = checkpoint(f)({"x": [np.ones((2, 3)), xg.asarray(3)], "k": 2}, axis=1, word="word")
    assert z["a"].numpy().tolist() == [6, 6]
    assert z["b"][0] is None
    assert z["b"][1].item() == 6
    assert checkpoint(lambda: 3)() == 3


def test_tensors_from_outside_get_their_gradients(device: str) -> None:
    w = xg.tensor(rng.normal(size=(3, 3)), requires_grad=True)
    x = rng.normal(size=(2, 3))
    for f in (deep, checkpoint(lambda x, _: deep(x, w))):
        xg.sum(f(xg.asarray(x), w)).backward()
    assert w.grad is not None
    twice, w.grad = w.grad, None
    xg.sum(deep(xg.asarray(x), w)).backward()
    assert w.grad is not None
    close([twice / 2], [w.grad])


def test_integers_have_no_gradient(device: str) -> None:
    f = checkpoint(lambda x, n: (x * n, n + 1))
    _, n = f(xg.tensor(2.0, requires_grad=True), xg.asarray(3))
    assert n.item() == 4
    assert xg.grad(lambda x: f(x, xg.asarray(3))[0])(2.0).item() == 3


def test_nested_and_of_higher_order(device: str) -> None:
    x, w = xg.asarray(rng.normal(size=(2, 3))), xg.asarray(rng.normal(size=(3, 3)))
    xg.check_grads(lambda x, w: checkpoint(lambda x: checkpoint(lambda x: xg.tanh(x @ w))(x) * x)(x), (x, w))
    close(*(jvp(lambda x: f(x, w), (x,), (x,)) for f in (deep, checkpoint(deep))))


def test_without_gradients_it_is_the_function_itself(device: str) -> None:
    seen = []
    with xg.no_grad():
        checkpoint(lambda x: seen.append(x.item()))(xg.asarray(2.0))
    assert seen == [2]


def test_a_value_is_asked_for() -> None:
    with pytest.raises(xg.TraceError):
        checkpoint(lambda x: x if x.item() > 0 else -x)(xg.tensor(1.0, requires_grad=True))


@pytest.mark.parametrize("compiled", [True, False])
def test_inside_a_step(compiled: bool, device: str) -> None:
    xs, w = rng.normal(size=(5, 2, 3)), rng.normal(size=(3, 3))

    def loss(cell: Any, compiled: bool) -> Any:
        def f(xs: Any, w: Any) -> Any:
            h, ys = xg.scan(lambda h, x: (cell(h + x, w), h), xg.zeros((2, 3)), xs, compiled=compiled)
            return xg.sum(h * h) + xg.sum(xg.sin(ys))

        return xg.value_and_grad(f, argnums=(0, 1))(xs, w)

    plain, again = loss(deep, False), loss(checkpoint(deep), compiled)
    close([plain[0], *plain[1]], [again[0], *again[1]])


def test_inside_a_step_only_its_operands_are_kept(device: str) -> None:
    w = xg.tensor(rng.normal(size=(3, 3)), requires_grad=True)
    xs = xg.asarray(rng.normal(size=(50, 2, 3)))

    def state(cell: Any) -> xg.Tensor:
        return xg.scan(lambda h, x: (cell(h + x, w), None), xg.zeros((2, 3)), xs)[0]

    # the states, or their sums with xs, in addition to xs
    assert kept(state(checkpoint(deep))) <= 2 * 50 * 6 + 9 + 2 * 6
    assert kept(state(deep)) > 6 * 50 * 6


SEGMENTS = [(0, 3), (1, 3), (11, 1), (11, 3), (11, 4), (11, 11), (11, 20), (12, 4)]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("length", "every"), SEGMENTS)
def test_a_scan_in_segments(length: int, every: int, reverse: bool, device: str) -> None:
    h, xs, w = rng.normal(size=3), rng.normal(size=(length, 3)), rng.normal(size=(3, 3))

    def results(segments: bool) -> Any:
        def f(h: Any, xs: Any, w: Any) -> Any:
            cell = lambda h, x: (xg.tanh(h @ w + x), (h, {"y": h * x}))
            if segments:
                h, (hs, y) = scan_in_segments(xg.scan, cell, h, xs, Segments(length, reverse, every))
            else:
                h, (hs, y) = xg.scan(cell, h, xs, reverse=reverse, compiled=False)
            return xg.sum(h * h) + xg.sum(xg.sin(hs) * y["y"]), (h, hs, y["y"])

        (value, outputs), gradients = xg.value_and_grad(f, argnums=(0, 1, 2), has_aux=True)(h, xs, w)
        return [value, *outputs, *gradients]

    close(results(True), results(False))


def test_memory_falls(device: str) -> None:
    w = xg.tensor(rng.normal(size=(3, 3)), requires_grad=True)
    h = xg.zeros((4, 3))

    def state(every: int | None) -> xg.Tensor:
        cell = lambda h, _: (xg.tanh(xg.sin(h) @ w), None)
        last: xg.Tensor = (
            scan_in_segments(xg.scan, cell, h, None, Segments(100, False, every))
            if every
            else xg.scan(cell, h, length=100)
        )[0]
        return last

    assert kept(state(10)) <= 2 * 10 * 12 + 100
    assert kept(state(None)) >= 2 * 100 * 12


def test_a_segment_has_one_step_at_least() -> None:
    with pytest.raises(ValueError, match="checkpoint_every=0"):
        scan_in_segments(xg.scan, lambda h, x: (h, None), xg.asarray(1.0), None, Segments(5, False, 0))
