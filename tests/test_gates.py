"""Gates of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import xgrad as xg


@xg.gate
def swish(x: Any) -> Any:
    return x * xg.sigmoid(x)


@xg.gate(dx=lambda dz, z: dz * (1 - z) * z)
def logistic(x: Any) -> Any:
    return 1 / (1 + xg.exp(-x))


@xg.gate(dx=lambda dz, y: dz * y, dy=lambda dz, x: dz * x)
def product(x: Any, y: Any) -> Any:
    return x * y


class MultiplyGate(xg.Gate):
    """As in the notes."""

    def forward(self, x: Any, y: Any) -> Any:
        self.x = x
        self.y = y
        return x * y

    def backward(self, dz: Any) -> list[Any]:
        dx = self.y * dz
        dy = self.x * dz
        return [dx, dy]


@pytest.fixture
def cube() -> Iterator[Any]:
    yield xg.register_op("cube", lambda xp, x: x * x * x, dx=lambda dz, x: dz * (3 * x * x))
    xg.unregister_op("cube")


@pytest.mark.parametrize("f", [swish, logistic])
def test_functions_as_gates(f: Any, device: str) -> None:
    xg.check_grads(f, (xg.asarray([0.3, -1.0, 2.0]),))
    xg.check_grads(lambda x: f(x) * f(2 * x), (xg.asarray([0.3, -1.0, 2.0]),))


def test_gates_of_two_operands(device: str) -> None:
    args = (xg.asarray([0.3, -1.0]), xg.asarray([[2.0], [1.5]]))
    xg.check_grads(product, args)
    xg.check_grads(MultiplyGate(), args)


def test_a_gate_is_one_stage_of_a_graph(device: str) -> None:
    for f, name in [(swish, "swish"), (logistic, "logistic")]:
        g = xg.graph(lambda x, f=f: xg.sum(f(x)), np.array([0.3, -1.0]))
        assert [stage.op for stage in g] == ["input", name, "sum"]
        g.bprop()
        expected = xg.grad(lambda x, f=f: xg.sum(f(x)))(np.array([0.3, -1.0]))
        np.testing.assert_allclose(g["x"].grad.numpy(), expected.numpy())


def test_the_derivative_by_hand_is_the_one_used(device: str) -> None:
    wrong = xg.gate(dx=lambda dz: dz * 100)(lambda x: x + 1)
    assert xg.grad(wrong)(1.0).item() == 100


def test_a_class_gate_keeps_each_calls_operands(device: str) -> None:
    gate = MultiplyGate()
    x = xg.tensor(2.0, requires_grad=True)
    z = gate(gate(x, 3.0), gate(x, 5.0))
    z.backward()
    assert x.grad.item() == 2 * 2 * 15
    assert not hasattr(gate, "x")


def test_a_class_gate_through_time(device: str) -> None:
    gate = MultiplyGate()
    f = lambda w, xs: xg.scan(lambda h, x: (gate(h, w) + x, None), 1.0, xs)[0]
    xg.check_grads(f, (xg.asarray(0.5), xg.asarray([1.0, 2.0, 3.0])))


def test_a_class_gate_must_answer_for_every_operand() -> None:
    class Lazy(xg.Gate):
        def forward(self, x: Any, y: Any) -> Any:
            return x * y

        def backward(self, dz: Any) -> Any:
            return dz

    with pytest.raises(TypeError, match=r"Lazy\.backward returned 1 gradients for 2 operands"):
        xg.grad(Lazy())(1.0, 2.0)


def test_an_op_that_is_added_works_everywhere(cube: Any, device: str) -> None:
    xg.check_grads(cube, (xg.asarray([0.3, -1.0]),))
    assert xg.deriv(1.0, 2.0, None, "cube")[0] == 12
    assert [stage.op for stage in xg.graph(lambda x: cube(x) + 1, 2.0)] == ["input", "cube", "+"]
    x = xg.tensor(2.0, requires_grad=True)
    cube(x).backward()
    assert x.grad.item() == 12
    assert xg.grad(xg.grad(xg.grad(cube)))(2.0).item() == 6


def test_an_op_with_parameters() -> None:
    scaled = xg.register_op("scaled", lambda xp, x, *, by=2.0: x * by, dx=lambda dz, *, by: dz * by)
    try:
        assert xg.grad(scaled)(3.0).item() == 2
        assert xg.grad(lambda x: scaled(x, by=5.0))(3.0).item() == 5
    finally:
        xg.unregister_op("scaled")


class TestBadInput:
    def test_a_name_that_is_taken(self) -> None:
        with pytest.raises(ValueError, match="'tanh'"):
            xg.register_op("tanh", lambda xp, x: x)

    def test_a_rule_that_asks_for_something_else(self) -> None:
        with pytest.raises(TypeError, match="a derivative takes dz"):
            xg.register_op("odd", lambda xp, x: x, dx=lambda dz, w: dz * w)

    def test_a_gate_that_closes_over_what_needs_a_gradient(self) -> None:
        w = xg.tensor(2.0, requires_grad=True)

        @xg.gate(dx=lambda dz: dz)
        def scale(x: Any) -> Any:
            return w * x

        with pytest.raises(xg.GraphError, match=r"'scale'.*operand"):
            scale(1.0)

    def test_a_gate_that_uses_a_global_that_needs_a_gradient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(globals(), "weight", xg.tensor(2.0, requires_grad=True))
        scale = xg.gate(dx=lambda dz: dz)(lambda x: weight * x)  # noqa: F821
        with pytest.raises(xg.GraphError, match="not an operand"):
            scale(1.0)

    def test_a_gate_class_without_methods(self) -> None:
        class Empty(xg.Gate):
            pass

        with pytest.raises(TypeError, match=r"abstract.*Empty.*backward.*forward"):
            Empty()
