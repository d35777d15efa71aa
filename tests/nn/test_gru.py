"""A GRU three ways: by hand, by the engine from the same 17 equations, and as a module."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import xgrad as xg
from tests.helpers.paths import EXAMPLES

sys.path.insert(0, str(EXAMPLES))
from gru_by_hand import back_through_time, by_engine, random_problem, through_time

SIZES = [(1, 1, 1, 1), (1, 3, 2, 4), (5, 1, 3, 4), (7, 4, 3, 5), (20, 2, 6, 3)]


def close(a: xg.Tensor, b: xg.Tensor) -> None:
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_three_ways_agree(size: tuple[int, int, int, int], device: str) -> None:
    T, B, I, H = size
    W, h0, xs, dhs = random_problem(T, B, I, H, seed=T)
    steps = through_time(W, h0, xs)
    dW, dh0, dxs = back_through_time(dhs, W, xs, steps)

    dW_engine, dh0_engine, dxs_engine = by_engine(W, h0, xs, dhs)
    for name in W:
        close(dW[name], dW_engine[name])
    close(dh0, dh0_engine)
    close(xg.stack(dxs), xg.stack(dxs_engine))

    gru = xg.nn.GRU(I, H, bias=False, dtype=xg.float64)
    gru.load_state_dict({f"W_{name}": w for name, w in W.items()})
    rows = xg.stack([x.T for x in xs])  # the module takes a batch of rows

    def loss(gru: xg.nn.GRU, rows: xg.Tensor, h: xg.Tensor) -> tuple[xg.Tensor, xg.Tensor]:
        ys, _ = gru(rows, h)
        return xg.sum(ys * xg.stack([d.T for d in dhs])), ys

    (_, ys), (dgru, drows, dh) = xg.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)(gru, rows, h0.T)
    close(ys, xg.stack([z[17].T for z in steps]))
    for name in W:
        close(dW[name], getattr(dgru, f"W_{name}"))
    close(dh0, dh.T)
    close(xg.stack([d.T for d in dxs]), drows)


@pytest.mark.slow
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("reset", ["before", "after"])
def test_gradients_of_the_module(reset: str, bias: bool, device: str) -> None:
    rng = xg.random.default_rng(1)
    gru = xg.nn.GRU(2, 3, reset, bias, dtype=xg.float64, rng=rng)
    assert ("b_hh" in gru.named_parameters()) == (bias and reset == "after")
    xg.check_grads(lambda g, xs, h: g(xs, h), (gru, rng.normal(size=(3, 2, 2)), rng.normal(size=(2, 3))))


def test_backward_leaves_gradients_in_every_weight(device: str) -> None:
    gru = xg.nn.GRU(2, 3)
    ys, h = gru(np.ones((4, 5, 2), "f"))
    assert (ys.shape, h.shape) == ((4, 5, 3), (5, 3))
    xg.sum(ys).backward()
    assert all(p.grad is not None and p.grad.dtype == xg.float32 for p in gru.parameters())


def test_z_weighs_the_new_state() -> None:
    gru = xg.nn.GRU(1, 1, dtype=xg.float64)
    with xg.no_grad():
        gru.b_z[...] = 100.0  # z = 1: the old state is dropped
    _, h = gru(np.zeros((1, 1, 1)), np.array([[0.9]]))
    r = 1 / (1 + np.exp(-(gru.W_rh.item() * 0.9 + gru.b_r.item())))
    assert h.item() == pytest.approx(np.tanh(gru.W_h.item() * r * 0.9 + gru.b_h.item()))


class TestBadInput:
    def test_shapes(self) -> None:
        gru = xg.nn.GRU(2, 3)
        with pytest.raises(xg.ShapeError, match=r"\(T, B, 2\)"):
            gru(np.ones((4, 2), "f"))
        with pytest.raises(xg.ShapeError, match=r"\(T, B, 2\)"):
            gru(np.ones((4, 5, 3), "f"))
        with pytest.raises(xg.ShapeError, match=r"\(5, 3\)"):
            gru(np.ones((4, 5, 2), "f"), np.ones((1, 3), "f"))

    def test_another_dtype(self) -> None:
        with pytest.raises(TypeError, match=r"float32 weights.*float64.*dtype=xg\.float64"):
            xg.nn.GRU(2, 3)(np.ones((4, 5, 2)))

    def test_another_reset(self) -> None:
        with pytest.raises(ValueError, match="before"):
            xg.nn.GRU(2, 3, reset="sometimes")  # type: ignore[arg-type]
