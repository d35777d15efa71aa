"""`check_derivation` on a recurrent network as a plain loop: slips at every step, and in sums over steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import xgrad as xg

T, B, H = 5, 3, 4
rng = np.random.default_rng(0)
W, U, V = (rng.normal(size=(H, H)) / 2 for _ in range(3))
H0, XS, DYS = rng.normal(size=(B, H)), rng.normal(size=(T, B, H)), rng.normal(size=(T, B, H))
ARGS = (W, U, V, H0, XS, DYS)


def network(W: Any, U: Any, V: Any, h0: Any, xs: Any, dys: Any) -> Any:
    h = h0
    loss = 0.0
    for t in range(T):
        a = h @ W + xs[t] @ U
        h = xg.tanh(a)
        y = h @ V
        loss = loss + xg.sum(dys[t] * y)
    return loss


def by_hand(slip: str = "") -> dict[str, np.ndarray]:
    """The gradients of the network, with a slip in the loop."""
    h = [H0]
    for t in range(T):
        h.append(np.tanh(h[t] @ W + XS[t] @ U))
    dW, dU, dV, dh = np.zeros_like(W), np.zeros_like(U), np.zeros_like(V), np.zeros_like(H0)
    for t in reversed(range(T)):
        dy = DYS[t] / B if slip == "a mean over the batch" else DYS[t]
        new_dV = (h[t] if slip == "V from the state before" else h[t + 1]).T @ dy
        dV = new_dV if slip == "dV overwritten" else dV + new_dV
        through_y = dy @ (V if slip == "V not transposed" else V.T)
        dh = through_y if slip == "dh overwritten" else dh + through_y
        slopes = {
            "no slope": np.ones_like(dh),
            "no square": 1 - h[t + 1],
            "slope at the state before": 1 - h[t] ** 2,
            "slope at the input": 1 - (h[t] @ W + XS[t] @ U) ** 2,
        }
        da = dh * slopes.get(slip, 1 - h[t + 1] ** 2)
        da = -da if slip == "sign" else da
        new_dW = (h[t + 1] if slip == "W from the state after" else h[t]).T @ da
        dW = new_dW if slip == "dW overwritten" else dW + new_dW
        dU = dU + XS[t].T @ da
        if slip == "dW from y":
            dW = dW - new_dW + (h[t + 1] @ V).T @ da
        dh = da @ (W if slip == "W not transposed" else W.T)
        if slip == "no way through time":
            dh = np.zeros_like(dh)
        if slip == "truncated" and t == T - 2:
            dU, dh = dU, np.zeros_like(dh)
    return {"dV": dV, "dW": dW, "dU": dU, "dh0": dh}


def test_the_derivation_is_right() -> None:
    assert xg.check_derivation(network, ARGS, by_hand())


SLIPS = {
    "V from the state before": ("dV", "operand", "where"),
    "dV overwritten": ("dV", "overwritten", "overwritten (= for +=)"),
    "dW overwritten": ("dW", "overwritten", "overwritten (= for +=)"),
    "V not transposed": ("dU", "transpose", "V.T"),
    "dh overwritten": ("dU", "overwritten", "lacks what comes through"),
    "no slope": ("dU", "factor", "the local derivative"),
    "no square": ("dU", "formula", "is 1 - h_5**2, not 1 - h_5"),
    "slope at the state before": ("dU", "operand", "where"),
    "slope at the input": ("dU", "point", "at its input"),
    "sign": ("dU", "sign", "wrong sign"),
    "W from the state after": ("dW", "operand", "where"),
    "W not transposed": ("dU", "transpose", "W.T"),
    "dW from y": ("dW", "operand", "dW uses the wrong value: y_5 where h_4 belongs"),
    "no way through time": ("dU", "overwritten", "lacks what comes through"),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_at_every_step_is_named(slip: str) -> None:
    check = xg.check_derivation(network, ARGS, by_hand(slip))
    _, kind, words = SLIPS[slip]
    assert check.wrong is not None
    assert check.wrong.cause is not None, str(check)
    right = by_hand()
    bad = [name for name, g in by_hand(slip).items() if np.max(abs(g - right[name])) > 1e-6]
    assert check.wrong.name in bad
    assert (check.wrong.cause.kind, words in check.wrong.cause.text) == (kind, True), str(check)


def gate(a: Any, b: Any, c: Any) -> Any:
    p = xg.tanh(a)
    q = xg.sigmoid(b)
    r = p * q
    return xg.sum(r * c)


A, B2, C = rng.normal(size=(3, 3, 4))


def test_gradients_of_two_operands_that_are_exchanged() -> None:
    p, q = np.tanh(A), 1 / (1 + np.exp(-B2))
    wrong = {"da": C * p * (1 - p**2), "db": C * q * q * (1 - q)}
    check = xg.check_derivation(gate, (A, B2, C), wrong)
    assert "dp and dq are exchanged" in str(check)
    right = {"da": C * q * (1 - p**2), "db": C * p * q * (1 - q)}
    assert xg.check_derivation(gate, (A, B2, C), right)
    check = xg.check_derivation(gate, (A, B2, C), {"da": right["db"], "db": right["da"]})
    assert "has the numbers of d" in str(check)


def test_inputs_in_the_wrong_order_of_time() -> None:
    def last(w: Any, xs: Any) -> Any:
        h = 0.0 * xs[0]
        for x in xs:
            h = xg.tanh(h @ w + x)
        return xg.sum(h)

    dxs = xg.grad(last, argnums=1)(W, list(XS))
    check = xg.check_derivation(last, (W, list(XS)), {"dxs": dxs[::-1]})
    assert "dxs[4] has the numbers of dxs[0]" in str(check)
