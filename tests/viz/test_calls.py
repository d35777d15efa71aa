"""The calls of `deriv` that a picture shows: spelled as the backward pass prints them, with its numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import xgrad as xg

from .computations import NEURON, gru_loss, gru_problem, neuron


def two_ways(x: Any, y: Any) -> Any:
    s = x * y + xg.tanh(x)
    return xg.sum(s * s / (1.0 + x**2))


def from_outside(x: Any) -> Any:
    h0 = xg.zeros(3)
    h, _ = xg.scan(lambda h, x: (xg.tanh(h + x), None), h0, x)
    return xg.sum(h)


PROBLEMS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "neuron": (neuron, NEURON),
    "two ways": (two_ways, (np.array([0.3, -1.2]), 2.0)),
    "GRU": (gru_loss, gru_problem(2)),
    "loop": (from_outside, (np.ones((2, 3)),)),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_calls_are_those_of_the_backward_pass(name: str) -> None:
    f, args = PROBLEMS[name]
    # the graph inside of a gate, which comes later, has names of its own
    boxes = {box.name: box for box in reversed(xg.draw(f, *args)._picture.boxes)}
    steps = list(xg.graph(f, *args).backward())
    compared = 0
    for step in steps:
        if step.stage.op in ("item", "unstack") or len(step.stage.operands) > 6:
            continue
        box = boxes[step.stage.name]
        assert box.call == step.call
        assert [f"d{target.name}" for target, _ in box.given] == [c.name for c in step.contributions]
        for (_, given), c in zip(box.given, step.contributions, strict=True):
            np.testing.assert_allclose(given.numpy(), c.value.numpy(), rtol=1e-12)
        compared += 1
    assert compared > 4


def test_a_gradient_that_is_added_to_another_is_ret() -> None:
    boxes = {box.name: box for box in xg.draw(lambda x, y: (x + y) * x, 3.0, -4.0)._picture.boxes}
    assert boxes["z2"].call == 'dz1, dx = deriv(dz2, z1, x, "*")'
    assert boxes["z1"].call == 'ret = deriv(dz1, x, y, "+")'


def test_nothing_is_said_of_gradients_that_nobody_needs(recwarn: pytest.WarningsRecorder) -> None:
    (box,) = [b for b in xg.draw(lambda x: x**2, -3.0)._picture.boxes if b.op == "**"]
    assert box.call == 'dx, _ = deriv(dz1, x, 2, "**")'
    assert not recwarn.list


def test_a_constant_has_the_name_of_its_variable() -> None:
    drawing = xg.draw(from_outside, np.ones((2, 3)))
    names = [box.name for box in drawing._picture.boxes]
    assert "h0" in names
    assert "c" not in names
    assert {"x[t=0]", "x[t=1]"} <= set(names)
