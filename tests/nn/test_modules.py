"""Tests of modules, losses, optimisers and checkpoints."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xgrad as xg


class Model(xg.nn.Module):
    def __init__(self) -> None:
        self.layers = [xg.nn.Linear(3, 4, dtype=xg.float64), xg.nn.Linear(4, 2, bias=False, dtype=xg.float64)]
        self.scale = xg.tensor(2.0, requires_grad=True)
        self.words = "not a weight"

    def __call__(self, x: Any) -> Any:
        return self.layers[1](xg.tanh(self.layers[0](x))) * self.scale


def test_a_module_is_a_tree(device: str) -> None:
    model = Model()
    assert list(model.named_parameters()) == ["layers.0.weight", "layers.0.bias", "layers.1.weight", "scale"]
    g = xg.grad(lambda m, x: xg.sum(m(x)))(model, np.ones((5, 3)))
    assert isinstance(g, Model)
    assert g.words == "not a weight"
    assert g.layers[0].weight.shape == (4, 3)
    assert xg.tree_map(lambda p: p * 0, model).scale.item() == 0
    xg.check_grads(lambda m, x: m(x), (model, xg.ones((2, 3))))


def test_modules_copy_and_pickle(device: str) -> None:
    model = Model()
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other.scale is not model.scale
        np.testing.assert_array_equal(other(np.ones(3)).detach().numpy(), model(np.ones(3)).detach().numpy())


def test_state_goes_in_whole_or_not_at_all() -> None:
    a, b = Model(), Model()
    b.load_state_dict(a.state_dict())
    np.testing.assert_array_equal(a(np.ones(3)).detach().numpy(), b(np.ones(3)).detach().numpy())
    state = {name: value * 0 for name, value in a.state_dict().items()}
    for bad, error, words in [
        ({k: v for k, v in state.items() if k != "scale"}, KeyError, "scale"),
        (state | {"more": xg.ones(1)}, KeyError, "more"),
        (state | {"scale": xg.ones(3)}, xg.ShapeError, "scale"),
        (state | {"scale": xg.ones((), dtype=xg.float32)}, TypeError, "scale"),
    ]:
        with pytest.raises(error, match=words):
            b.load_state_dict(bad)
    np.testing.assert_array_equal(a.scale.detach().numpy(), b.scale.detach().numpy())


def test_the_same_seed_gives_the_same_weights() -> None:
    def weights(seed: int) -> Any:
        return xg.nn.Linear(3, 4, rng=xg.random.default_rng(seed)).weight.detach().numpy()

    np.testing.assert_array_equal(weights(1), weights(1))
    assert (weights(1) != weights(2)).any()


def test_modules_move(device: str) -> None:
    model = Model().to("cpu")
    assert all(p.device.name == "cpu" and p.is_leaf for p in model.parameters())


def test_embedding(device: str) -> None:
    table = xg.nn.Embedding(4, 3, dtype=xg.float64)
    ids = xg.asarray([[1, 3], [1, 1]])
    assert table(ids).shape == (2, 2, 3)
    g = xg.grad(lambda t: xg.sum(t(ids)))(table)
    assert g.weight.numpy()[:, 0].tolist() == [0, 3, 0, 1]
    with pytest.raises(TypeError, match="integer indices"):
        table(xg.asarray([0.5]))
    if device.startswith("cuda"):  # indices out of bounds wrap around
        return
    with pytest.raises(IndexError):
        table(xg.asarray([4]))


def test_cross_entropy(device: str) -> None:
    logits = xg.asarray([[2.0, 0.0, -1.0], [0.0, 0.0, 0.0]])
    expected = [-np.log(np.exp(2) / (np.exp(2) + 1 + np.exp(-1))), np.log(3)]
    assert xg.nn.cross_entropy(logits, xg.asarray([0, 2])).item() == pytest.approx(np.mean(expected))
    xg.check_grads(lambda z: xg.nn.cross_entropy(z, xg.asarray([0, 2])), (logits,))
    with pytest.raises(xg.ShapeError, match=r"\(2,\)"):
        xg.nn.cross_entropy(logits, xg.asarray([0]))
    with pytest.raises(TypeError, match="integer"):
        xg.nn.cross_entropy(logits, xg.asarray([0.0, 1.0]))


def test_linear_refuses_another_dtype() -> None:
    with pytest.raises(TypeError, match="Linear has float32 weights, but its input is float64"):
        xg.nn.Linear(2, 2)(np.ones(2))


@pytest.mark.parametrize(
    "make",
    [
        lambda p: xg.optim.SGD(p, 0.1),
        lambda p: xg.optim.SGD(p, 0.05, momentum=0.5),
        lambda p: xg.optim.Adam(p, 0.1),
    ],
)
def test_optimisers_find_the_bottom(make: Any, device: str) -> None:
    p = {"x": xg.tensor([5.0, -3.0], requires_grad=True), "y": xg.tensor(2.0, requires_grad=True)}
    optimizer = make(p)
    for _ in range(300):
        optimizer.zero_grad()
        (xg.sum((p["x"] - 1) ** 2) + p["y"] ** 2).backward()
        optimizer.step()
    np.testing.assert_allclose(p["x"].detach().numpy(), [1, 1], atol=1e-3)
    assert abs(p["y"].item()) < 1e-3


def test_optimisers_go_on_where_they_stopped(device: str) -> None:
    def steps(optimizer: Any, p: Any, count: int) -> None:
        for _ in range(count):
            optimizer.step([p.detach() * 2 + 1])

    p = xg.tensor([1.0, 2.0], requires_grad=True)
    whole = xg.optim.Adam([p], 0.1)
    steps(whole, p, 7)

    q = xg.tensor([1.0, 2.0], requires_grad=True)
    first = xg.optim.Adam([q], 0.1)
    steps(first, q, 3)
    second = xg.optim.Adam([q], 0.1)
    second.load_state_dict(first.state_dict())
    steps(second, q, 4)
    np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())


def test_optimisers_refuse_what_does_not_fit() -> None:
    p = xg.tensor([1.0], requires_grad=True)
    optimizer = xg.optim.SGD([p], 0.1)
    with pytest.raises(xg.ShapeError, match="structure"):
        optimizer.step({"p": xg.ones(1)})
    with pytest.raises(xg.ShapeError):
        optimizer.step([xg.ones(2)])
    with pytest.raises(xg.GraphError, match="made with requires_grad=True"):
        xg.optim.SGD([p * 2], 0.1)
    with pytest.raises(KeyError):
        xg.optim.Adam([p]).load_state_dict(optimizer.state_dict())
    assert p.item() == 1


def test_clipping(device: str) -> None:
    grads = {"a": xg.asarray([3.0]), "b": xg.asarray([[4.0]])}
    clipped, norm = xg.optim.clip_by_global_norm(grads, 1.0)
    assert norm.item() == 5
    assert clipped["b"].item() == pytest.approx(0.8)
    same, _ = xg.optim.clip_by_global_norm(grads, 10.0)
    assert same["a"].item() == 3


class TestCheckpoints:
    def test_there_and_back(self, tmp_path: Path, device: str) -> None:
        path = tmp_path / "deep" / "c.safetensors"
        tensors = {
            "a": xg.asarray([[1.0, 2.0]]).T,
            "b": xg.asarray(3, dtype=xg.int32),
            "empty": xg.zeros((0, 2), dtype=xg.float32),
        }
        xg.io.save(path, tensors, {"step": "7"})
        loaded, words = xg.io.load(path)
        assert words == {"step": "7"}
        for name, value in tensors.items():
            np.testing.assert_array_equal(loaded[name].numpy(), value.numpy())
            assert loaded[name].dtype == value.dtype

    def test_an_old_file_survives_a_failed_write(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "c.safetensors"
        xg.io.save(path, {"a": xg.ones(2)})
        monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            xg.io.save(path, {"a": xg.zeros(2)})
        assert xg.io.load(path)[0]["a"].numpy().tolist() == [1, 1]
        assert [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]

    def test_broken_files(self, tmp_path: Path) -> None:
        path = tmp_path / "c.safetensors"
        with pytest.raises(FileNotFoundError, match="no checkpoint"):
            xg.io.load(path)
        xg.io.save(path, {"a": xg.ones(100)})
        whole = path.read_bytes()
        for content in (whole[:-10], whole[:20], b"", b"not a checkpoint at all"):
            path.write_bytes(content)
            with pytest.raises(ValueError, match="not a valid safetensors file"):
                xg.io.load(path)


def test_random_numbers(device: str) -> None:
    rng = xg.random.default_rng(3)
    state = rng.state
    a, b, c = (
        rng.uniform(-1, 2, (1000,), dtype=xg.float32),
        rng.normal(size=(2, 3)),
        rng.integers(0, 5, (100,)),
    )
    assert a.dtype == xg.float32
    assert -1 <= xg.min(a).item() < xg.max(a).item() < 2
    assert set(c.numpy().tolist()) == {0, 1, 2, 3, 4}
    rng.state = state
    np.testing.assert_array_equal(rng.uniform(-1, 2, (1000,), dtype=xg.float32).numpy(), a.numpy())
    np.testing.assert_array_equal(rng.normal(size=(2, 3)).numpy(), b.numpy())
