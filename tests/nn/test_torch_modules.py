"""Modules and training compared with torch's. Runs where torch is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import xgrad as xg

torch = pytest.importorskip("torch", reason="torch is not installed: `make parity` installs it")
pytestmark = pytest.mark.parity

rng = np.random.default_rng(0)


def close(a: Any, b: Any) -> None:
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("size", [(1, 1, 1, 1), (1, 3, 2, 4), (7, 1, 3, 5), (12, 4, 3, 6)], ids=str)
def test_reset_after_is_torchs_gru(size: tuple[int, int, int, int], bias: bool) -> None:
    T, B, I, H = size
    theirs = torch.nn.GRU(I, H, bias=bias, dtype=torch.float64)
    x, h0 = rng.normal(size=(T, B, I)), rng.normal(size=(B, H))
    dy = rng.normal(size=(T, B, H))
    tx, th = torch.tensor(x, requires_grad=True), torch.tensor(h0, requires_grad=True)
    ty, tlast = theirs(tx, th[None])
    ty.backward(torch.tensor(dy))

    mine = xg.nn.GRU.from_torch(theirs.state_dict())
    (_, (ys, last)), (g, dx, dh) = xg.value_and_grad(
        lambda m, x, h: (xg.sum(m(x, h)[0] * dy), m(x, h)), argnums=(0, 1, 2), has_aux=True
    )(mine, x, h0)
    close(ys, ty)
    close(last, tlast[0])
    close(dx, tx.grad)
    close(dh, th.grad)
    grads = {name: p.grad.numpy() for name, p in theirs.named_parameters()}
    r, z, n = (slice(i * H, (i + 1) * H) for i in range(3))
    pairs = [(g.W_rx, "weight_ih_l0", r, 1), (g.W_zx, "weight_ih_l0", z, -1), (g.W_x, "weight_ih_l0", n, 1)]
    pairs += [(g.W_rh, "weight_hh_l0", r, 1), (g.W_zh, "weight_hh_l0", z, -1), (g.W_h, "weight_hh_l0", n, 1)]
    if bias:
        pairs += [
            (g.b_r, "bias_ih_l0", r, 1),
            (g.b_r, "bias_hh_l0", r, 1),
            (g.b_z, "bias_ih_l0", z, -1),
            (g.b_h, "bias_ih_l0", n, 1),
        ]
        pairs += [(g.b_hh, "bias_hh_l0", n, 1)]
    for ours, name, rows, sign in pairs:
        np.testing.assert_allclose(ours.numpy(), sign * grads[name][rows], rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [(1, 1, 1, 1), (9, 4, 3, 6)], ids=str)
def test_reset_before_is_the_same_equations_in_torch(size: tuple[int, int, int, int]) -> None:
    T, B, I, H = size
    mine = xg.nn.GRU(I, H, dtype=xg.float64, rng=xg.random.default_rng(1))
    p = {
        name: torch.tensor(w.detach().numpy(), requires_grad=True)
        for name, w in mine.named_parameters().items()
    }
    x, h0, dy = rng.normal(size=(T, B, I)), rng.normal(size=(B, H)), rng.normal(size=(T, B, H))
    tx, th = torch.tensor(x, requires_grad=True), torch.tensor(h0, requires_grad=True)
    h, ys = th, []
    for x_t in tx:
        z = torch.sigmoid(h @ p["W_zh"].T + x_t @ p["W_zx"].T + p["b_z"])
        r = torch.sigmoid(h @ p["W_rh"].T + x_t @ p["W_rx"].T + p["b_r"])
        h_tilde = torch.tanh((r * h) @ p["W_h"].T + x_t @ p["W_x"].T + p["b_h"])
        h = (1 - z) * h + z * h_tilde
        ys.append(h)
    torch.stack(ys).backward(torch.tensor(dy))

    def loss(m: Any, x: Any, h: Any) -> Any:
        ys, _ = m(x, h)
        return xg.sum(ys * dy), ys

    (_, out), (g, dx, dh) = xg.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)(mine, x, h0)
    close(out, torch.stack(ys))
    close(dx, tx.grad)
    close(dh, th.grad)
    for name, gradient in g.named_parameters().items():
        close(gradient, p[name].grad)


def test_from_torch_refuses_other_networks() -> None:
    for other in (
        torch.nn.GRU(2, 3, num_layers=2),
        torch.nn.GRU(2, 3, bidirectional=True),
        torch.nn.Linear(2, 3),
    ):
        with pytest.raises(KeyError, match="one layer"):
            xg.nn.GRU.from_torch(other.state_dict())


def test_cross_entropy_and_adam_train_alike() -> None:
    x, target = rng.normal(size=(20, 5)), rng.integers(0, 3, 20)
    W = rng.normal(size=(3, 5))
    theirs, mine = torch.tensor(W, requires_grad=True), xg.tensor(W, requires_grad=True)
    adam, optimizer = torch.optim.Adam([theirs], lr=0.05), xg.optim.Adam([mine], lr=0.05)
    for _ in range(20):
        adam.zero_grad()
        torch.nn.functional.cross_entropy(torch.tensor(x) @ theirs.T, torch.tensor(target)).backward()
        torch.nn.utils.clip_grad_norm_([theirs], 0.1)
        adam.step()
        optimizer.zero_grad()
        xg.nn.cross_entropy(x @ mine.T, target).backward()
        (g,), _ = xg.optim.clip_by_global_norm([mine.grad], 0.1)
        optimizer.step([g])
    # torch adds 1e-6 to the norm it clips by
    np.testing.assert_allclose(mine.detach().numpy(), theirs.detach().numpy(), atol=1e-6)
