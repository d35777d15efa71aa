"""grad, value_and_grad and vjp, in JAX's form."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from tests.helpers.counting import calls_made


def test_grad_of_a_python_number(device: str) -> None:
    g = xg.grad(lambda x: x**2)(3.0)
    assert isinstance(g, xg.Tensor)
    assert g.item() == 6
    assert not g.requires_grad


def test_plain_arrays_go_to_the_current_device(device: str) -> None:
    g = xg.grad(lambda x: xg.sum(x * x))(np.array([1.0, 2.0]))
    assert g.device == xg.asarray(0).device
    assert g.numpy().tolist() == [2, 4]


def test_argnums(device: str) -> None:
    def f(x: Any, y: Any) -> Any:
        return x * y * y

    assert xg.grad(f, argnums=1)(2.0, 3.0).item() == 12
    gy, gx = xg.grad(f, argnums=(1, 0))(2.0, 3.0)
    assert (gx.item(), gy.item()) == (9, 12)
    assert xg.grad(f, argnums=-1)(2.0, 3.0).item() == 12
    with pytest.raises(TypeError, match="argnums=2"):
        xg.grad(f, argnums=2)(2.0, 3.0)


def test_the_gradient_has_the_structure_of_the_argument(device: str) -> None:
    params = {"W": np.ones((2, 2)), "layers": [1.0, (2.0, None)]}

    def f(p: Any) -> Any:
        return xg.sum(p["W"]) * p["layers"][0] + p["layers"][1][0] ** 2

    g = xg.grad(f)(params)
    assert g["W"].numpy().tolist() == [[1, 1], [1, 1]]
    assert g["layers"][0].item() == 4
    assert g["layers"][1][0].item() == 4
    assert g["layers"][1][1] is None


def test_aux(device: str) -> None:
    (value, aux), g = xg.value_and_grad(lambda x: (x * x, {"double": 2 * x}), has_aux=True)(3.0)
    assert (value.item(), aux["double"].item(), g.item()) == (9, 6, 6)
    assert not aux["double"].requires_grad
    g, aux = xg.grad(lambda x: (x * x, "word"), has_aux=True)(3.0)
    assert (g.item(), aux) == (6, "word")
    with pytest.raises(TypeError, match="pair"):
        xg.grad(lambda x: x, has_aux=True)(3.0)


def test_many_outputs_in_aux_cost_no_walk_of_the_graph_each() -> None:
    def chain(x: Any) -> Any:
        kept = []
        for _ in range(500):
            x = x * 0.999 + 0.001
            kept.append(x)
        return x, kept

    alone, beside = xg.grad(lambda x: chain(x)[0]), xg.grad(chain, has_aux=True)
    alone(1.0), beside(1.0)
    assert calls_made(beside, 1.0) < 2 * calls_made(alone, 1.0)


def test_aux_stays_connected_to_the_arguments_of_an_outer_transform(device: str) -> None:
    def outer(x: Any) -> Any:
        _, (plain, both) = xg.grad(lambda y: (y, (y * y, x * y)), has_aux=True)(2.0)
        assert not plain.requires_grad
        return both * x

    assert xg.grad(outer)(3.0).item() == 12


def test_an_argument_that_is_not_used_has_zero_gradient(device: str) -> None:
    g = xg.grad(lambda x, y: y, argnums=0)(np.ones(3), 1.0)
    assert g.numpy().tolist() == [0, 0, 0]
    assert xg.grad(lambda x: 1.0)(2.0).item() == 0
    assert xg.grad(lambda x: x)(2.0).item() == 1


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_nested(order: int, device: str) -> None:
    f = lambda x: x**5
    for _ in range(order):
        f = xg.grad(f)
    factor = {1: 5, 2: 20, 3: 60, 4: 120}[order]
    assert f(2.0).item() == pytest.approx(factor * 2.0 ** (5 - order))


def test_a_gradient_of_something_inside_a_gradient(device: str) -> None:
    """Variables of nested gradients are not confused."""
    assert xg.grad(lambda x: x * xg.grad(lambda y: x * y)(1.0))(3.0).item() == 6
    assert xg.grad(lambda x: xg.grad(lambda y: y * y)(x) * x)(3.0).item() == 12
    assert xg.grad(lambda x: x * xg.grad(lambda y: x)(1.0))(3.0).item() == 0


def test_closed_over_leaves_stay_connected(device: str) -> None:
    """A penalty on a gradient reaches the weights that it depends on."""
    w = xg.tensor(3.0, requires_grad=True)
    slope = xg.grad(lambda x: w * x * x)(2.0)
    (slope**2).backward()
    assert w.grad.item() == 2 * 12 * 4


def test_leaf_arguments_are_values(device: str) -> None:
    w = xg.tensor(3.0, requires_grad=True)
    g = xg.grad(lambda w: w * w)(w)
    assert not g.requires_grad
    assert w.grad is None


def test_under_no_grad(device: str) -> None:
    with xg.no_grad():
        assert xg.grad(lambda x: x * x)(3.0).item() == 6


def test_gradient_of_a_gradient_by_backward(device: str) -> None:
    x = xg.tensor(2.0, requires_grad=True)
    y = x * x
    xg.grad(lambda a: a**3)(y).backward()
    assert x.grad.item() == 6 * 4 * 4


def test_vjp_may_be_called_many_times(device: str) -> None:
    z, pull = xg.vjp(lambda x, y: {"a": x * y, "b": x + y}, 2.0, np.array([3.0, 4.0]))
    assert z["a"].numpy().tolist() == [6, 8]
    for _ in range(2):
        gx, gy = pull({"a": np.ones(2), "b": np.zeros(2)})
        assert gx.item() == 7
        assert gy.numpy().tolist() == [2, 2]
    gx, gy = pull({"a": np.zeros(2), "b": np.ones(2)})
    assert (gx.item(), gy.numpy().tolist()) == (2, [1, 1])
    with pytest.raises(xg.ShapeError, match="structure"):
        pull(np.ones(2))
    with pytest.raises(xg.ShapeError, match="shape"):
        pull({"a": np.ones(3), "b": np.zeros(2)})


def test_vjp_nests(device: str) -> None:
    def hvp(x: Any) -> Any:
        _, pull = xg.vjp(xg.grad(lambda a: xg.sum(a**3)), x)
        return pull(np.array([1.0, 10.0]))[0]

    assert hvp(np.array([2.0, 3.0])).numpy().tolist() == [12, 180]
    third = xg.grad(lambda x: xg.sum(hvp(x)))(np.array([2.0, 3.0]))
    assert third.numpy().tolist() == [6, 60]


class TestBadInput:
    def test_integers(self) -> None:
        with pytest.raises(TypeError, match=r"argument 0 of <lambda>.*int64.*3\.0"):
            xg.grad(lambda x: x * x)(np.int64(3))
        with pytest.raises(TypeError, match=r"\['i'\]"):
            xg.grad(lambda p: p["x"])({"x": 1.0, "i": np.array([1])})

    def test_outputs_that_are_no_scalar(self) -> None:
        with pytest.raises(TypeError, match=r"shape \(2,\)"):
            xg.grad(lambda x: x)(np.ones(2))
        with pytest.raises(TypeError, match="str"):
            xg.grad(lambda x: "a")(1.0)
        with pytest.raises(TypeError, match="complex"):
            xg.grad(lambda x: x * 1j)(1.0)


def test_a_value_that_is_taken_out_is_warned_of(device: str) -> None:
    def filled(x: Any) -> Any:
        a = np.zeros(2)
        for i in range(2):
            a[i] = x[i] ** 2
        return xg.sum(xg.asarray(a))

    with pytest.warns(UserWarning, match=r"float\(\) takes a value out of the graph") as caught:
        xg.grad(filled)(xg.asarray([1.0, 2.0]))
    assert caught[0].filename == __file__
    x = xg.tensor(2.0, requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        float(x * x)  # as when printing a loss
        xg.grad(lambda x: x * float(x.detach()) if x > 0 else x)(2.0)


def test_arguments_that_are_no_positions() -> None:
    assert xg.grad(lambda x, y: x * y, argnums=np.int64(1))(2.0, 3.0).item() == 2
    for argnums in ("x", 0.5, None):
        with pytest.raises(TypeError, match="neither an int nor a tuple"):
            xg.grad(lambda x: x, argnums=argnums)(1.0)
    with pytest.raises(TypeError, match="pass has_aux=True"):
        xg.grad(lambda x: (x, x))(1.0)
