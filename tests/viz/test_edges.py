"""Pictures of every kind of op and function: none may fail, and each says what it has to say."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import xgrad as xg


class Product(xg.Gate):
    def forward(self, x: Any, y: Any) -> Any:
        self.x, self.y = x, y
        return x * y

    def backward(self, dz: Any) -> Any:
        return self.y * dz, self.x * dz


@xg.gate
def inner(x: Any, y: Any) -> Any:
    return x * y + xg.tanh(x)


@xg.gate
def outer(x: Any) -> Any:
    return 2.0 * inner(x, x)


@xg.gate(dx=lambda dz, z: dz * (1 - z) * z)
def by_hand(x: Any) -> Any:
    return 1 / (1 + xg.exp(-x))


@xg.custom_vjp
def custom(x: Any) -> Any:
    return xg.sin(x)


custom.defvjp(lambda x: (xg.sin(x), x), lambda x, dz: (dz * xg.cos(x),))
compiled = xg.compile(lambda x: 2.0 * xg.tanh(x))


def loops(h: Any, xs: Any) -> Any:
    def within(c: Any, x: Any) -> Any:
        c, _ = xg.scan(lambda d, e: (xg.tanh(d + e), None), c, xg.stack([x, x]))
        return c, c

    return xg.scan(within, h, xs)[0]


def changes(x: Any) -> Any:
    y = 1.0 * x
    y[0] = 5.0
    return xg.sum(y * y)


#: What is drawn, its arguments, and the text of one of its stages.
CASES: dict[str, tuple[Callable[..., Any], tuple[Any, ...], str]] = {
    "complex": (lambda z: z * z, (1 + 2j,), "z1 = z * z"),
    "integer": (lambda x: x * x, (np.asarray(3),), "z1 = x * x"),
    "several results": (lambda x: (x * 3.0, x), (1.0,), "z1 = x * 3.0"),
    "a tree": (lambda p: p["a"] * p["b"][0], ({"a": 1.0, "b": [2.0]},), "z1 = p['a'] * p['b'][0]"),
    "a class gate": (lambda x, y: Product()(x, y), (2.0, 3.0), "z1 = Product(x, y)"),
    "custom": (lambda x: custom(x), (1.0,), "z1 = custom(x)"),
    "gates in gates": (outer, (1.0,), "z1 = inner(x, x)"),
    "a gate by hand": (by_hand, (1.0,), "z2 = exp(z1)"),
    "compiled": (lambda x: compiled(x) + 1.0, (np.ones(3),), "z1 = compiled(x)"),
    "nested loops": (loops, (0.1, np.ones(3)), "x[t=0] = xs[0]"),
    "no steps": (lambda h: xg.scan(lambda c, _: (c, c), h, None, length=0)[0] * 2.0, (1.0,), "z1 = h * 2.0"),
    "several outputs": (lambda a: xg.sum(xg.linalg.qr(a)[0]), (np.eye(3),), "z1 = qr(a)"),
    "indices": (lambda x: x[np.array([0, 1])] * x[1:3], (np.arange(5.0),), "z2 = x[1:3]"),
    "in place": (changes, (np.arange(3.0),), "y = 1.0 * x"),
    "many operands": (lambda x: xg.concat([x] * 30), (np.ones(2),), "z1 = concat(x, x, …, x)"),
    "the input": (lambda x: x, (1.0,), "x"),
    "a constant": (lambda x: xg.ones(3), (1.0,), "x"),
    "any number of arguments": (lambda *a: a[0] * a[1], (1.0, 2.0), "z1 = a0 * a1"),
    "a gradient": (xg.grad(lambda x: x**3), (2.0,), "z2 = z1 ** 2"),
}


@pytest.mark.parametrize("name", CASES)
def test_draws(name: str) -> None:
    f, args, text = CASES[name]
    drawing = xg.draw(f, *args, depth=5)
    assert text in [box.text for box in drawing._picture.boxes]
    for one in (drawing, xg.draw(f, *args)):
        ET.fromstring(one.svg())
        assert one.html().count("<script") == 2
        assert one.dot().endswith("}\n")


def test_what_has_no_gradient_says_why() -> None:
    assert "ambiguous" in xg.draw(*CASES["complex"][:1], *CASES["complex"][1]).notes[0]
    assert "no floating-point input" in xg.draw(*CASES["integer"][:1], *CASES["integer"][1]).notes[0]
    assert xg.draw(lambda x: (x, x), 1.0).notes == ["the result has 2 parts: this is the graph of the first"]


def test_draws_on_every_device(device: str) -> None:
    svg = xg.draw(lambda W, x: xg.sum(xg.tanh(W @ x)), xg.ones((4, 5)), xg.ones(5)).svg()
    assert ">[5.00 5.00 5.00 5.00]<" in svg
    assert ">4.00<" in svg


def test_operands_that_a_graph_does_not_keep_are_left_open() -> None:
    x = xg.tensor([1.0, 2.0], requires_grad=True, name="x")
    g = xg.graph(xg.sum(2.0 * x + xg.asarray([1.0, 1.0])))
    g.bprop()
    boxes = xg.draw(g)._picture.boxes
    assert [box.text for box in boxes] == ["x", "z1 = … * x", "z2 = z1 + …", "z3 = sum(z2)"]
    assert boxes[1].call == '_, dx = deriv(dz1, …, x, "*")'
    assert not any(box.given for box in boxes)


def test_the_calls_of_deriv_can_be_run() -> None:
    """The calls that the page shows are Python: run from the last to the first, they give the gradients."""

    def f(x: Any, W: Any) -> Any:
        h = xg.tanh(W @ x)
        return xg.sum(xg.sum(h, axis=0) * 3.0)

    args = np.array([[0.3], [0.5]]), np.array([[1.0, -2.0], [0.5, 0.1]])
    boxes = xg.draw(f, *args)._picture.boxes
    names: dict[str, Any] = {box.name: box.value for box in boxes}
    names |= {"deriv": xg.deriv, f"d{boxes[-1].name}": xg.asarray(1.0)}
    for box in reversed(boxes):
        exec(box.call, names)
    dx, dW = xg.grad(f, argnums=(0, 1))(*args)
    np.testing.assert_allclose(names["dx"].numpy(), dx.numpy(), rtol=1e-14)
    np.testing.assert_allclose(names["dW"].numpy(), dW.numpy(), rtol=1e-14)
