"""A Tensor is a handle: changing one handle changes no other, and no gradient is lost on the way."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
import pytest

import xgrad as xg


def test_a_function_may_change_its_arguments_in_place(device: str) -> None:
    def doubled(x: Any) -> Any:
        x *= 2.0
        return xg.sum(x * x)

    def overwritten(x: Any) -> Any:
        x[0] = 5.0
        return xg.sum(x * x)

    g = xg.grad(doubled)(3.0)
    assert g.item() == 24
    assert not g.requires_grad
    assert xg.grad(overwritten)(np.array([1.0, 2.0])).numpy().tolist() == [0, 4]
    assert xg.vjp(doubled, 3.0)[1](1.0)[0].item() == 24
    graph = xg.graph(doubled, 3.0)
    graph.bprop()
    assert graph["x"].grad.item() == 24
    argument = xg.asarray([1.0, 2.0])
    xg.grad(overwritten)(argument)
    assert argument.numpy().tolist() == [1, 2]


def test_the_body_of_a_scan_may_change_its_carry_in_place(device: str) -> None:
    def body(h: Any, x: Any) -> Any:
        h += x
        return h, h

    h0 = xg.asarray(0.0)
    h, ys = xg.scan(body, h0, xg.asarray([1.0, 2.0, 3.0]))
    assert (h0.item(), h.item(), ys.numpy().tolist()) == (0, 6, [1, 3, 6])
    gh, gx = xg.grad(lambda h, xs: xg.sum(xg.scan(body, h, xs)[1]), (0, 1))(0.5, np.array([1.0, 2.0, 3.0]))
    assert (gh.item(), gx.numpy().tolist()) == (3, [3, 2, 1])


def test_copies_are_copies() -> None:
    x = xg.asarray([1.0, 2.0])
    for y in (+x, x.astype(xg.float64), xg.tensor(x), xg.asarray(x, copy=True)):
        y += 1
        assert x.numpy().tolist() == [1, 2]
    for source in (array("d", [1.0, 2.0]), memoryview(array("d", [1.0, 2.0]))):
        t = xg.tensor(source)
        source[0] = 99.0
        assert t.numpy().tolist() == [1, 2]
    assert type(xg.asarray(np.ones((1, 1)).view(np.matrix)).data) is np.ndarray


def test_a_gradient_does_not_alias_what_the_caller_gave() -> None:
    x = xg.tensor([1.0, 2.0], requires_grad=True)
    dz = np.ones(2)
    (x + 0).backward(dz)
    dz[:] = 77
    assert x.grad.numpy().tolist() == [1, 1]


def test_gradients_by_hand_may_be_added_to_in_place() -> None:
    dz = np.ones(3)
    a, b = xg.deriv(dz, np.ones(3), np.ones(3), "+")
    a += 10
    assert b.tolist() == dz.tolist() == [1, 1, 1]
    (dx,) = xg.deriv(1.0, np.ones(3), None, "sum")
    dx += 1
    assert dx.tolist() == [2, 2, 2]


def test_integers_by_hand_have_gradients_that_are_none() -> None:
    np.testing.assert_allclose(xg.deriv(1.0, 3, 4, "/"), (0.25, -0.1875))
    np.testing.assert_allclose(xg.deriv(0.5, -2, 5, "*"), (2.5, -1.0))
    np.testing.assert_allclose(xg.deriv(1, np.array([1, 2]), None, "tanh")[0], 1 - np.tanh([1, 2]) ** 2)
    assert xg.deriv(1.0, xg.asarray(3), xg.asarray(4), "/")[0].item() == 0.25


def test_a_number_as_dz_is_spread_over_any_output() -> None:
    dx, dy = xg.deriv(1.0, np.ones((2, 3)), np.ones((3, 4)), "@")
    assert dx.tolist() == [[4.0] * 3] * 2
    assert dy.tolist() == [[2.0] * 4] * 3
    assert xg.deriv(1.0, np.ones((2, 3)), None, "reshape", shape=(6,))[0].shape == (2, 3)


def test_results_of_nested_transforms_are_free(device: str) -> None:
    g = xg.grad(lambda y: xg.grad(lambda x: x**y)(2.0))(3.0)
    assert not g.requires_grad
    np.testing.assert_allclose(np.asarray(g.numpy()), 4 + 12 * np.log(2))
    assert xg.grad(lambda y: xg.grad(lambda x: x**y)(2.0))(0.0).item() == pytest.approx(0.5)


def test_devices_do_not_mix_in_gradients() -> None:
    a, b = xg.ones(2, device="strict:0"), xg.ones(2, device="strict:1")
    with pytest.raises(xg.DeviceError, match=r"strict:0 and strict:1|strict:1 and strict:0"):
        xg.deriv(a, a, b, "*")
    x = xg.tensor([1.0, 2.0], requires_grad=True, device="strict:0")
    with pytest.raises(xg.DeviceError, match="dz is on strict:1"):
        (x * 2).backward(b)
    assert x[[0, 0]].device == "strict:0"


def test_axes_out_of_range() -> None:
    for f in (
        lambda: xg.squeeze(xg.ones((1, 1, 3)), axis=3),
        lambda: xg.permute_dims(xg.ones((2, 3)), (3, 2)),
        lambda: xg.squeeze(xg.asarray(1.0), axis=0),
    ):
        with pytest.raises(IndexError, match="axis"):
            f()
    with pytest.raises(xg.ShapeError, match="two axes"):
        xg.asarray(1.0).mT  # noqa: B018


def test_assignment_of_a_value_with_leading_ones(device: str) -> None:
    def f(v: Any) -> Any:
        x = xg.zeros((2, 3))
        x[0] = v
        return x * 2

    xg.check_grads(f, (xg.asarray([[1.0, 2.0, 3.0]]),))


def test_rules_that_leave_an_operand_out_are_refused() -> None:
    with pytest.raises(TypeError, match="variadic"):
        xg.register_op("fma", lambda xp, x, y, w: x * y + w, dx=lambda dz, y: dz * y, dy=lambda dz, x: dz * x)
    with pytest.raises(TypeError, match="dx and dy"):
        xg.gate(dx=lambda dz, y: dz * y)(lambda x, y: x * y)
    with pytest.raises(TypeError, match="twice"):
        xg.grad(lambda x, y: x * y, argnums=(0, 0))(1.0, 2.0)


def test_the_output_of_a_graph_need_not_be_its_newest_stage(device: str) -> None:
    g = xg.graph(lambda x, y: x, 2.0, 5.0)
    assert g.output.name == "x"
    assert g.fprop(x=7.0).item() == 7
    w = xg.tensor(3.0, requires_grad=True, name="w")
    g = xg.graph(lambda y: w * y, 2.0)
    g.bprop()
    assert g["w"].grad.item() == 2
