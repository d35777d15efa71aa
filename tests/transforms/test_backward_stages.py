"""The backward pass one `deriv` at a time, and graphs and listings as text that a reader would write."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import xgrad as xg


class Multiplying(xg.Gate):
    def forward(self, x: Any, y: Any) -> Any:
        self.x, self.y = x, y
        return x * y

    def backward(self, dz: Any) -> Any:
        return self.y * dz, self.x * dz


class Raising(xg.Gate):
    def __init__(self, factor: float) -> None:
        self.factor = factor

    def forward(self, x: Any) -> Any:
        self.x = x
        return self.factor * x * x

    def backward(self, dz: Any) -> Any:
        return 2 * self.factor * self.x * dz


@xg.gate
def swish(x: Any) -> Any:
    return x * xg.sigmoid(x)


@xg.gate(dx=lambda dz, z: dz * (1 - z) * z)
def sigma(x: Any) -> Any:
    return 1 / (1 + xg.exp(-x))


def staged(x: Any, y: Any) -> Any:
    sigy = 1.0 / (1 + xg.exp(-y))
    num = x + sigy
    sigx = 1.0 / (1 + xg.exp(-x))
    xpy = x + y
    xpysqr = xpy**2
    den = sigx + xpysqr
    invden = 1.0 / den
    return num * invden


def of_gates(p: Any, x: Any) -> Any:
    s = Multiplying()(p["w"][0], x)
    k = Raising(2.5)(s)
    z = sigma(k) * swish(k) + p["b"]
    return xg.sum(z)


def by_the_notes(x: float, y: float) -> dict[str, float]:
    """The backward pass as https://cs231n.github.io/optimization-2/ writes it."""
    sigy, sigx, xpy = 1 / (1 + math.exp(-y)), 1 / (1 + math.exp(-x)), x + y
    num, den = x + sigy, sigx + xpy**2
    dnum, dinvden = 1 / den, num
    dden = -1 / den**2 * dinvden
    dxpy = 2 * xpy * dden
    dx = dxpy + (1 - sigx) * sigx * dden + dnum
    dy = dxpy + (1 - sigy) * sigy * dnum
    return {"num": dnum, "invden": dinvden, "den": dden, "xpy": dxpy, "x": dx, "y": dy}


def test_python_integers_are_numbers(device: str) -> None:
    expected = by_the_notes(3, -4)
    dx, dy = xg.grad(staged, argnums=(0, 1))(3, -4)
    assert (dx.item(), dy.item()) == pytest.approx((expected["x"], expected["y"]))
    g = xg.graph(staged, 3, -4)
    g.bprop()
    assert {name: g[name].grad.item() for name in expected} == pytest.approx(expected)
    assert "dx = deriv" in xg.derive(lambda x: xg.tanh(x), 3).backward.replace("  ", " ").replace("  ", " ")
    w, x = xg.grad(lambda w, x: w[0] * x[0] + w[1] * x[1] + w[2], argnums=(0, 1))([2, -3, -3], [-1, -2])
    assert [float(v) for v in (*w, *x)] == [-1, -2, 1, 2, -3]
    with pytest.raises(TypeError, match=r"bool.*3\.0"):
        xg.grad(lambda x: x * 1.0)(True)


def test_the_steps_are_those_of_the_notes(device: str) -> None:
    expected = by_the_notes(3, -4)
    g = xg.graph(staged, 3.0, -4.0)
    seen, added = {}, []
    for step in g.backward():
        for c in step.contributions:
            seen[c.stage.name] = c.total.item()
            added += [c.stage.name] if c.adds else []
    assert {name: seen[name] for name in expected} == pytest.approx(expected)
    assert sorted(added) == ["x", "x", "y"]
    assert g["x"].grad.item() == pytest.approx(expected["x"])


def test_the_gradients_are_found_step_by_step() -> None:
    g = xg.graph(staged, 3.0, -4.0)
    g.bprop()
    steps = g.backward()
    assert g.output.grad is not None
    assert g["num"].grad is None
    next(steps)
    assert g["num"].grad is not None
    assert g["den"].grad is None


def test_a_step_has_the_call_and_the_numbers(device: str) -> None:
    first, second = xg.graph(lambda x, y: (x + y) * x, 3.0, -4.0).backward()
    assert first.call == 'dz1, dx = deriv(dz2, z1, x, "*")'
    assert [line.split() for line in str(second).splitlines()] == [
        "z1 = x + y".split(),
        'ret = deriv(dz1, x, y, "+")'.split(),
        "dz1 = 3.".split(),
        "dx += 3. now 2.".split(),
        "dy = 3.".split(),
    ]
    (same,) = xg.graph(lambda x: x * x, 3.0).backward()
    assert same.call == 'ret = deriv(dz1, x, x, "*")'
    assert [c.adds for c in same.contributions] == [False, True]


def test_the_steps_add_up_to_the_gradients(device: str) -> None:
    rng = np.random.default_rng(0)
    args = (rng.normal(size=(3, 3)), rng.normal(size=(4, 3)))

    def f(W: Any, xs: Any) -> Any:
        h, ys = xg.scan(lambda h, x: (xg.tanh(W @ h + x), h), xg.zeros(3), xs)
        q, r = xg.linalg.qr(W)
        return xg.sum(ys) + xg.sum(h * (q + r)[0])

    g = xg.graph(f, *args)
    for _ in g.backward():
        pass
    for stage, expected in zip((g["W"], g["xs"]), xg.grad(f, argnums=(0, 1))(*args), strict=True):
        np.testing.assert_allclose(stage.grad.numpy(), expected.numpy(), rtol=1e-12)


def test_the_printed_graph_has_a_column_of_gradients() -> None:
    g = xg.graph(staged, 3, -4)
    assert "dx" not in str(g)
    g.bprop()
    lines = str(g).splitlines()
    assert lines[0].split() == "x = input () float64 = 3. dx = 2.0595698".split()
    assert lines[-1].split()[-3:] == ["dz14", "=", "1."]
    assert len({line.rindex(" = ") for line in lines}) == 1


def test_large_arrays_are_shown_by_their_range() -> None:
    g = xg.graph(lambda x: xg.sum(x * x), np.arange(6.0))
    g.bprop()
    assert str(g).splitlines()[0].endswith("dx  = (6,) from 0. to 10.")


def test_gates_and_scans_in_a_printed_graph() -> None:
    text = str(xg.graph(of_gates, {"w": [2.0], "b": 0.5}, 0.3))
    assert "s         = Multiplying()(p['w'][0], x)" in text
    assert "k         = Raising(factor=2.5)(s)" in text
    h = xg.tensor([0.0, 0.0], requires_grad=True, name="h")
    text = str(xg.graph(xg.sum(xg.scan(lambda h, x: (xg.tanh(h + x), h), h, xg.ones((3, 2)))[1])))
    assert "scan(h, ..., length=3)" in text
    assert "(2,) float64, (3, 2) float64" in text
    text = str(xg.graph(lambda xs: xg.scan(lambda h, x: (h * x, None), 1.0, xs)[0], np.ones(3)))
    assert "= unstack(xs) 3 of () float64" in " ".join(text.split())
    assert "= z1[2] " in text
    for word in ("object at", "dtype(", "use="):
        assert word not in text


def test_a_value_keeps_its_name_where_it_enters_a_gate_or_a_function() -> None:
    def helper(inside: Any) -> Any:
        return inside * 2.0

    def f(x: Any) -> Any:
        pre = x * 3.0
        return helper(pre) + swish(pre) + sigma(pre)

    assert "pre" in [s.name for s in xg.graph(f, 1.0)]
    assert "inside" not in [s.name for s in xg.graph(f, 1.0)]
    assert "sigma(pre)" in str(xg.trace(f, 1.0))
    assert "inside" not in str(xg.trace(f, 1.0))
    assert 'pre, None, "sigma")' in xg.derive(f, 1.0).backward


@pytest.mark.parametrize("inline", [False, True])
def test_what_derive_prints_runs(inline: bool) -> None:
    p, x = {"w": [2.0, np.ones(2)], "b": 0.5}, 0.3
    text = str(xg.derive(of_gates, p, x, inline=inline))
    names = {name: getattr(xg, name) for name in (*xg.namespace.__all__, "deriv")}
    names |= {"p": p, "x": x, "Multiplying": Multiplying, "Raising": Raising, "sigma": sigma}
    exec(text, names)
    expected_p, expected_x = xg.grad(of_gates, argnums=(0, 1))(p, x)
    found = names["dp"]
    assert float(found["w"][0]) == pytest.approx(float(expected_p["w"][0]))
    assert float(found["b"]) == pytest.approx(float(expected_p["b"]))
    assert np.asarray(found["w"][1]).tolist() == [0, 0]
    assert float(names["dx"]) == pytest.approx(float(expected_x))


def test_deriv_knows_a_class_of_gates_by_name_and_attributes(device: str) -> None:
    assert [float(g) for g in xg.deriv(1.0, (3.0, -4.0), None, "Multiplying")] == [-4, 3]
    assert float(xg.deriv(1.0, (3.0,), None, "Raising", factor=2.5)[0]) == 15
    with pytest.raises(TypeError, match="the gate itself"):
        xg.deriv(1.0, (3.0,), None, "Raising")


def test_a_value_that_leaves_the_graph_is_warned_of() -> None:
    with pytest.warns(UserWarning, match=r"float\(\) takes a value out"):
        xg.graph(lambda x: x * math.exp(x), 1.0)


def test_the_repr_of_a_graph_says_what_it_is() -> None:
    assert repr(xg.graph(staged, 3, -4)) == "<Graph of 16 stages, from x, y to z14>"
