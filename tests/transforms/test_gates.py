"""Tests of custom gates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from xgrad.backends.cpu import native as native_code
from xgrad.ops import OPS


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
        with pytest.raises(TypeError, match="a derivative must take dz"):
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


@pytest.fixture
def bent() -> Iterator[Any]:
    """A custom op that executors know only by its scalar function."""
    yield xg.register_op(
        "swish_of_a_test",
        lambda xp, x, y: x / (1 + xp.exp(-y * x)) + xp.where(x > y, y, 0),
        scalar="x * sigmoid(y * x) + where(x > y, y, 0)",
        dx=lambda xp, dz, x, y: dz * (xp.exp(-y * x) * (1 + y * x) + 1) / (1 + xp.exp(-y * x)) ** 2,
        dy=lambda xp, dz, x, y: (
            dz * (x * x * xp.exp(-y * x) / (1 + xp.exp(-y * x)) ** 2 + xp.where(x > y, 1, 0))
        ),
    )
    xg.unregister_op("swish_of_a_test")


@pytest.mark.parametrize("native", ["1", "0"])
def test_an_op_with_a_scalar_is_compiled(native: str, bent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XGRAD_NATIVE", native)
    x, y = np.linspace(-2, 3, 12).reshape(3, 4), np.linspace(0.1, 1, 4)
    xg.check_grads(bent, (x, y), order=2)

    def loss(x: Any, y: Any) -> Any:
        h, zs = xg.scan(lambda h, a: (bent(xg.tanh(h + a), y), h), xg.zeros_like(x), x * xg.ones((5, 1, 1)))
        return xg.sum(h * h) + xg.sum(zs)

    for f in (loss, xg.grad(loss, argnums=(0, 1)), xg.grad(lambda x, y: xg.sum(xg.grad(loss)(x, y) ** 2))):
        compiled = xg.compile(f)
        found, wanted = compiled(x, y), f(x, y)
        for a, b in zip(
            found if isinstance(found, tuple) else (found,),
            wanted if isinstance(wanted, tuple) else (wanted,),
        ):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-11, atol=1e-13)
        kind = compiled.executable(x, y).kind
        assert kind == ("NumPy" if native == "0" else "native code") or native_code.missing()
    assert "tanh(0.5 * (v1 * v0))" in xg.trace(bent, x, y).source("cuda")
    module: dict[str, Any] = {}
    exec(xg.trace(bent, x, y).source(), module)
    np.testing.assert_allclose(module["forward"](x, y)[0], bent(x, y).numpy(), rtol=1e-14)


@pytest.mark.parametrize(
    ("scalar", "why"),
    [
        ("tnah(x)", "did you mean tanh"),
        ("x + w", "'w' is not defined"),
        ("x.real", "is not supported"),
        ("__import__('os')", "is not supported"),
        ("x +", "not a valid expression"),
        ("exp(x, y)", "takes 1 operand"),
        ("", "last line"),
        ("0 < x < y", "is not supported"),
        ("x += 1", "last line"),
        ("where(x, y)", "takes 3"),
        ("gelu_of_a_test(x)", "no elementwise function"),
        ("'x'", "is not supported"),
        ("lambda: x", "is not supported"),
        ("a = x", "last line"),
    ],
)
def test_a_scalar_that_is_none_is_refused(scalar: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        xg.register_op("gelu_of_a_test", lambda xp, x, y: x, scalar=scalar)
    assert "gelu_of_a_test" not in OPS


def test_a_scalar_is_of_elements_alone() -> None:
    for options in ({"elementwise": False}, {"variadic": True}):
        with pytest.raises(TypeError, match="elementwise"):
            xg.register_op("gelu_of_a_test", lambda xp, x: x, scalar="x", **options)
    with pytest.raises(TypeError, match="no parameters"):
        xg.register_op("gelu_of_a_test", lambda xp, x, *, k=1: x * k, scalar="x")
    with pytest.raises(TypeError, match="must be a string"):
        xg.register_op("gelu_of_a_test", lambda xp, x: x, scalar=3)  # type: ignore[arg-type]
