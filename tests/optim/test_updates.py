"""Optimisers as pure functions: the same bits as `step`, compiled or not, and nothing else changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import xgrad as xg

OPTIMISERS: dict[str, Callable[[Any], xg.optim.Optimizer]] = {
    "SGD": lambda params: xg.optim.SGD(params, lr=0.1),
    "momentum": lambda params: xg.optim.SGD(params, lr=0.1, momentum=0.9),
    "Adam": lambda params: xg.optim.Adam(params, lr=0.1),
}


class Model(xg.nn.Module):
    def __init__(self, dtype: str) -> None:
        rng = xg.random.default_rng(0)
        self.first = xg.nn.Linear(3, 4, dtype=dtype, rng=rng)
        self.second = xg.nn.Linear(4, 1, dtype=dtype, rng=rng)

    def __call__(self, x: xg.Tensor) -> xg.Tensor:
        return self.second(xg.tanh(self.first(x)))


def loss(model: Model, x: xg.Tensor) -> xg.Tensor:
    return xg.sum(model(x) ** 2)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compile"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("name", OPTIMISERS)
def test_update_and_apply_are_step(name: str, dtype: str, compiled: bool, device: str) -> None:
    if dtype == "float16" and device.startswith("strict"):
        pytest.skip("the strict library has no float16")
    stepped, updated = Model(dtype), Model(dtype)
    one, other = OPTIMISERS[name](stepped), OPTIMISERS[name](updated)
    x = xg.asarray(np.linspace(-1, 1, 6).reshape(2, 3), dtype=dtype)

    def run(model: Model, state: dict[str, Any], x: xg.Tensor, lr: float) -> dict[str, Any]:
        updates, state = other.update(xg.grad(loss)(model, x), state, lr=lr)
        other.apply(updates, model)
        return state

    step = xg.compile(run) if compiled else run
    limit = {"float64": 1e-12, "float32": 1e-5, "float16": 2e-2}[dtype]
    for k in range(4):
        one.lr = 0.1 / (k + 1)
        one.step(xg.grad(loss)(stepped, x))
        other.state = step(updated, other.state, x, 0.1 / (k + 1))
        for p, q in zip(one.params, other.params, strict=True):
            np.testing.assert_allclose(q.numpy(), p.numpy(), rtol=limit, atol=limit)
            assert q.is_leaf
            assert q.requires_grad
    assert one.count == other.count == 4
    assert {k: v.dtype for k, v in one.state_dict().items()} == {
        k: v.dtype for k, v in other.state_dict().items()
    }
    if compiled and not device.startswith("strict"):  # which needs the values of numbers
        assert step._traces == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", OPTIMISERS)
def test_update_changes_nothing(name: str) -> None:
    model = Model("float64")
    optimizer = OPTIMISERS[name](model)
    before, state = [p.numpy().copy() for p in optimizer.params], optimizer.state
    kept = dict(optimizer.state_dict())
    _, after = optimizer.update(xg.grad(loss)(model, xg.ones((2, 3))), state)
    assert int(after["count"]) == 1
    assert int(state["count"]) == optimizer.count == 0
    for p, old in zip(optimizer.params, before, strict=True):
        np.testing.assert_array_equal(p.numpy(), old)
    for k, v in optimizer.state_dict().items():
        np.testing.assert_array_equal(v.numpy(), kept[k].numpy())


def test_a_parameter_in_two_places_is_updated_once() -> None:
    w = xg.tensor([1.0, 2.0], requires_grad=True)
    optimizer = xg.optim.SGD([w, w], lr=0.5)
    updates, _ = optimizer.update([xg.ones(2), 2 * xg.ones(2)], optimizer.state)
    optimizer.apply(updates)
    np.testing.assert_array_equal(w.numpy(), [-0.5, 0.5])


def test_updates_of_another_tree() -> None:
    model = Model("float64")
    optimizer = xg.optim.SGD(model)
    with pytest.raises(xg.ShapeError, match="SGD: the updates have the structure"):
        optimizer.apply([xg.ones(2)])
    updates, _ = optimizer.update(xg.grad(loss)(model, xg.ones((2, 3))), optimizer.state)
    with pytest.raises(xg.ShapeError, match="pass what `update` returned"):
        optimizer.apply(updates, model.first)


def test_what_needs_no_gradient_needs_none_when_compiled() -> None:
    w = xg.tensor([1.0, 2.0], requires_grad=True)

    def f(w: xg.Tensor, x: xg.Tensor) -> Any:
        with xg.no_grad():
            s = w * 2.0
        return xg.sum(w * x), s, x + 1.0

    plain, compiled = f(w, xg.ones(2)), xg.compile(f)(w, xg.ones(2))
    assert [z.requires_grad for z in plain] == [z.requires_grad for z in compiled] == [True, False, False]
