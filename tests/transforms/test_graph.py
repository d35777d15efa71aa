"""The recorded graph: names, values and gradients, and running it again forward and backward."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import xgrad as xg


def neuron(w: Any, x: Any) -> Any:
    dot = w["a"] * x + w["b"]
    f = 1 / (1 + xg.exp(-dot))
    return f * f


def test_stages_with_names_ops_values_and_gradients(device: str) -> None:
    g = xg.graph(neuron, {"a": 2.0, "b": -3.0}, -1.0)
    assert [(s.name, s.op) for s in g] == [
        ("w['a']", "input"),
        ("w['b']", "input"),
        ("x", "input"),
        ("z1", "*"),
        ("dot", "+"),
        ("z3", "neg"),
        ("z4", "exp"),
        ("z5", "+"),
        ("f", "/"),
        ("z7", "*"),
    ]
    g.bprop()
    f = 1 / (1 + np.exp(5.0))
    assert g["f"].value.item() == pytest.approx(f)
    assert g["f"].grad.item() == pytest.approx(2 * f)
    assert g["dot"].grad.item() == pytest.approx(2 * f * f * (1 - f))
    assert g["w['a']"].grad.item() == pytest.approx(-2 * f * f * (1 - f))
    assert g.output.grad.item() == 1
    assert g["dot"].source.split(":")[0].endswith("test_graph.py")


def test_order_is_topological(device: str) -> None:
    g = xg.graph(neuron, {"a": 2.0, "b": -3.0}, -1.0)
    place = {id(stage): i for i, stage in enumerate(g)}
    for stage in g:
        assert all(place[id(v)] < place[id(stage)] for v in stage.operands if isinstance(v, xg.GraphNode))


def test_again_with_new_inputs(device: str) -> None:
    g = xg.graph(lambda x, y: xg.sum(x * y) + y[0], np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    g.bprop()
    assert g["x"].grad.numpy().tolist() == [3, 4]
    assert g.fprop(y=np.array([5.0, 6.0])).item() == 22
    assert g["y"].value.numpy().tolist() == [5, 6]
    assert g["x"].grad is None
    g.bprop(dz=2.0)
    assert g["x"].grad.numpy().tolist() == [10, 12]
    assert g["y"].grad.numpy().tolist() == [4, 4]
    with pytest.raises(KeyError, match="no input w"):
        g.fprop(w=1.0)
    with pytest.raises(xg.ShapeError):
        g.fprop(x=np.ones(3))


def test_integer_inputs_are_shown(device: str) -> None:
    g = xg.graph(lambda W, i: xg.sum(xg.take(W, i, axis=0)), np.ones((3, 2)), np.array([0, 2, 2]))
    g.bprop()
    assert g["W"].grad.numpy()[:, 0].tolist() == [1, 0, 2]
    assert g["i"].grad is None
    g.fprop(i=np.array([1, 1, 1]))
    g.bprop()
    assert g["W"].grad.numpy()[:, 0].tolist() == [0, 3, 0]


def test_through_time_the_step_is_in_the_name(device: str) -> None:
    def cell(h: Any, x: Any) -> Any:
        h_new = xg.tanh(h + x)
        return h_new, None

    g = xg.graph(lambda h, xs: xg.scan(cell, h, xs)[0], 0.5, np.array([1.0, 2.0]))
    names = [s.name for s in g]
    assert "h_new[t=0]" in names
    assert "h_new[t=1]" in names
    g.bprop()
    assert g["xs"].grad.shape == (2,)
    g.fprop(xs=np.array([0.0, 0.0]))
    assert g.output.value.item() == pytest.approx(np.tanh(np.tanh(0.5)))


def test_recording_ordinary_code(device: str) -> None:
    x = xg.tensor([1.0, 2.0], requires_grad=True, name="x")
    c = xg.asarray([3.0, 4.0])
    with xg.record():
        z = xg.sum(x * c)
    z.backward()
    g = xg.graph(z)
    assert [(s.name, s.op) for s in g] == [("c", "constant"), ("x", "leaf"), ("z1", "*"), ("z", "sum")]
    assert g["z1"].value.numpy().tolist() == [3, 8]
    assert g["z1"].grad.numpy().tolist() == [1, 1]
    assert g["x"].grad.numpy().tolist() == [3, 4]


def test_a_constant_may_have_a_name(device: str) -> None:
    c = xg.tensor([3.0, 4.0], name="c")
    assert not c.requires_grad
    assert c.name == "c"
    g = xg.graph(lambda x: xg.sum(x * c), np.array([1.0, 2.0]))
    assert [(s.name, s.op) for s in g] == [("c", "constant"), ("x", "input"), ("z1", "*"), ("z2", "sum")]


def test_an_ordinary_graph_says_what_is_not_kept(device: str) -> None:
    x = xg.tensor([1.0], requires_grad=True)
    g = xg.graph(xg.sum(xg.tanh(x) * x))
    assert [s.op for s in g] == ["leaf", "tanh", "*", "sum"]
    assert g["z1"].value is None
    assert "value not kept" in str(g)


def test_listing() -> None:
    listing = str(xg.graph(neuron, {"a": 2.0, "b": -3.0}, -1.0)).splitlines()
    assert listing[3].split() == "z1 = w['a'] * x () float64 = -2.".split()
    assert listing[8].split()[:5] == "f = 1 / z5".split()


def test_bad_input() -> None:
    with pytest.raises(TypeError, match="one Tensor"):
        xg.graph(lambda x: (x, x), 1.0)
    with pytest.raises(xg.GraphError, match="floating"):
        xg.graph(lambda i: i + 1, np.int64(1)).bprop()
    with pytest.raises(KeyError, match="the stages are x, z1"):
        xg.graph(lambda x: x + 1, 1.0)["y"]
