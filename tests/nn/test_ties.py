"""Tied parameters: a Tensor in several places of a module is one parameter."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import xgrad as xg

X = np.random.default_rng(0).normal(size=(3, 2))


class Pair(xg.nn.Module):
    """Two names for one Tensor."""

    def __init__(self) -> None:
        self.a = xg.tensor([1.0], requires_grad=True)
        self.b = self.a


class Tied(xg.nn.Module):
    """A weight shared between layers, in a list, a dict and a tuple."""

    def __init__(self) -> None:
        rng = xg.random.default_rng(1)
        self.encoder = xg.nn.Linear(2, 2, bias=False, dtype=xg.float64, rng=rng)
        self.layers = [xg.nn.Linear(2, 2, dtype=xg.float64, rng=rng), {"w": self.encoder.weight}]
        self.layers[0].weight = self.encoder.weight
        self.both = (self.encoder.weight, self.layers[0].bias)

    def __call__(self, x: Any) -> Any:
        h = xg.tanh(self.encoder(x)) @ self.layers[1]["w"]
        return xg.sum((h + self.layers[0](x)) * self.both[1] + xg.sum(self.both[0]))


def loss(model: Any, x: Any) -> Any:
    return model(x)


def free(w: Any, b: Any, x: Any) -> Any:
    """Compute `Tied` as a function of its two parameters."""
    return xg.sum((xg.tanh(x @ w.T) @ w + x @ w.T + b) * b + xg.sum(w))


def places(model: Any) -> list[Any]:
    return [model.encoder.weight, model.layers[0].weight, model.layers[1]["w"], model.both[0]]


def is_tied(model: Any) -> bool:
    return all(w is model.encoder.weight for w in places(model)) and model.both[1] is model.layers[0].bias


def test_there_is_one_of_each() -> None:
    model = Tied()
    assert list(model.named_parameters()) == ["encoder.weight", "layers.0.bias"]
    assert [p is q for p, q in zip(model.parameters(), (model.encoder.weight, model.both[1]))] == [True, True]


@pytest.mark.parametrize("how", [lambda f: f, xg.compile])
def test_the_gradient_is_that_of_all_places(how: Any) -> None:
    model = Tied()
    value, found = how(xg.value_and_grad(loss))(model, X)
    w, b = model.encoder.weight, model.both[1]
    expected = xg.grad(free, argnums=(0, 1))(w, b, X)
    np.testing.assert_allclose(value.item(), free(w, b, X).item())
    assert is_tied(found)
    for g, e in zip(found.parameters(), expected, strict=True):
        np.testing.assert_allclose(g.numpy(), e.numpy())
    model(X).backward()
    for p, e in zip(model.parameters(), expected, strict=True):
        np.testing.assert_allclose(p.grad.numpy(), e.numpy())


@pytest.mark.parametrize(
    "made",
    [
        lambda p: xg.optim.SGD(p, lr=0.1),
        lambda p: xg.optim.SGD(p, lr=0.1, momentum=0.9),
        lambda p: xg.optim.Adam(p, lr=0.1),
    ],
)
@pytest.mark.parametrize("by_grads", [False, True])
def test_an_optimiser_moves_it_once(made: Any, by_grads: bool) -> None:
    model, alone = Tied(), [xg.tensor(p, requires_grad=True) for p in Tied().parameters()]
    optimizer, other = made(model), made(alone)
    for _ in range(3):
        if by_grads:
            optimizer.step(xg.grad(loss)(model, X))
            other.step(list(xg.grad(free, argnums=(0, 1))(*alone, X)))
        else:
            model.zero_grad()
            other.zero_grad()
            model(X).backward()
            free(*alone, X).backward()
            optimizer.step()
            other.step()
    for p, q in zip(model.parameters(), alone, strict=True):
        np.testing.assert_allclose(p.numpy(), q.numpy())
    assert is_tied(model)


def test_a_pair() -> None:
    model = Pair()
    optimizer = xg.optim.SGD(model, lr=0.1)
    xg.sum(model.a * model.b).backward()
    optimizer.step()
    np.testing.assert_allclose(model.a.numpy(), [0.8])
    assert len(optimizer.state_dict()) == 1


class TestLists:
    """A list is no module, so each place in it is a separate argument.

    An optimiser still finds the shared parameters.
    """

    def test_each_has_a_gradient(self) -> None:
        w = xg.tensor([2.0], requires_grad=True)
        a, b = xg.grad(lambda ws: xg.sum(ws[0] * ws[1] ** 2))([w, w])
        assert (a.tolist(), b.tolist()) == ([4.0], [8.0])

    def test_a_step_by_the_gradients_of_both(self) -> None:
        w = xg.tensor([2.0], requires_grad=True)
        optimizer = xg.optim.SGD([w, w], lr=0.1)
        optimizer.step(xg.grad(lambda ws: xg.sum(ws[0] * ws[1] ** 2))([w, w]))
        np.testing.assert_allclose(w.numpy(), [2.0 - 0.1 * 12.0])

    @pytest.mark.parametrize("scaled", [False, True])
    def test_a_step_by_the_same_gradient_twice(self, scaled: bool) -> None:
        w = xg.tensor([2.0], requires_grad=True)
        optimizer, scale = xg.optim.SGD([w, w], lr=0.1), xg.optim.LossScale(8.0)
        loss = xg.sum(w * w)
        (scale.scale(loss) if scaled else loss).backward()
        grads = [p.grad for p in (w, w)]
        clipped, norm = xg.optim.clip_by_global_norm(scale.unscale(grads) if scaled else grads, 2.0)
        assert norm.item() == pytest.approx(4.0)
        optimizer.step(clipped)
        np.testing.assert_allclose(w.numpy(), [2.0 - 0.1 * 2.0])

    def test_the_same_dz_is_not_taken_for_one_gradient(self) -> None:
        for how in (lambda f: f, xg.compile):
            a, b = how(xg.grad(lambda ws: ws[0] + ws[1]))([xg.asarray(1.0), xg.asarray(2.0)])
            assert a is not b
            assert xg.optim.clip_by_global_norm([a, b], 10.0)[1].item() == pytest.approx(np.sqrt(2))

    def test_parameters_of_modules_that_share_one(self) -> None:
        one, other = xg.nn.Linear(2, 2), xg.nn.Linear(2, 2)
        other.weight = one.weight
        assert len(xg.optim.SGD([*one.parameters(), *other.parameters()]).params) == 3
        assert len(xg.optim.SGD((one, other)).params) == 3


@pytest.mark.parametrize(
    "copied",
    [
        lambda m: xg.nn.cast(m, xg.float32),
        lambda m: m.to("cpu"),
        copy.deepcopy,
        lambda m: pickle.loads(pickle.dumps(m)),
        lambda m: xg.tree_map(lambda p, g: p - 0.1 * g, m, xg.grad(loss)(m, X)),
        xg.compile(lambda m: xg.tree_map(lambda p: 2 * p, m)),
        lambda m: xg.optim.LossScale().unscale(m),
        lambda m: xg.optim.clip_by_global_norm(m, 1.0)[0],
    ],
)
def test_it_stays_tied(copied: Any) -> None:
    model = Tied()
    twin = copied(model)
    assert is_tied(twin)
    assert is_tied(model)
    assert type(twin.both) is tuple


def test_the_norm_counts_it_once() -> None:
    g = xg.grad(loss)(Tied(), X)
    expected = np.sqrt(sum(float(np.sum(p.numpy() ** 2)) for p in (g.encoder.weight, g.both[1])))
    assert xg.optim.clip_by_global_norm(g, 1.0)[1].item() == pytest.approx(expected)


def test_saved_and_loaded(tmp_path: Any) -> None:
    model, other = Tied(), Tied()
    with xg.no_grad():
        other.encoder.weight += 1.0
    xg.io.save(tmp_path / "tied.safetensors", model.state_dict())
    other.load_state_dict(xg.io.load(tmp_path / "tied.safetensors")[0])
    assert other.encoder.weight.tolist() == model.encoder.weight.tolist()
    assert is_tied(other)


def test_other_names_of_it_may_be_loaded_if_they_agree() -> None:
    model = Tied()
    state = {**model.state_dict(), "both.0": model.encoder.weight.detach()}
    model.load_state_dict(state)
    del state["encoder.weight"]
    model.load_state_dict(state)
    with pytest.raises(ValueError, match=r"both\.0 is tied to encoder\.weight"):
        model.load_state_dict({**model.state_dict(), "both.0": model.encoder.weight.detach() + 1})


def test_untied_again() -> None:
    model = Tied()
    model.both = (xg.tensor(model.encoder.weight, requires_grad=True), model.both[1])
    assert list(model.named_parameters()) == ["encoder.weight", "layers.0.bias", "both.0"]
