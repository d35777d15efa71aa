"""Recurrent cells for tests of CUDA kernels: equations, arguments, plans, and the CPU's results."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

import xgrad as xg
from tests.emulated.device import rounded
from tests.helpers.cuda_plans import lowered
from xgrad.compiler.lowering.lower import Lowered
from xgrad.core.pytree import flatten, unflatten


def gates(W: Any, x: Any, h: Any, *names: str) -> list[Any]:
    """Return the pre-activation of each gate from x and h."""
    return [x @ W[f"U_{g}"] + h @ W[f"W_{g}"] + W[f"b_{g}"] for g in names]


def gru_before(W: Any, x: Any, h: Any) -> Any:
    z, r = map(xg.sigmoid, gates(W, x, h, "z", "r"))
    (a,) = gates(W, x, r * h, "h")
    h = (1 - z) * h + z * xg.tanh(a)
    return (h,), h


def gru_after(W: Any, x: Any, h: Any) -> Any:
    z, r = map(xg.sigmoid, gates(W, x, h, "z", "r"))
    h = (1 - z) * h + z * xg.tanh(x @ W["U_h"] + r * (h @ W["W_h"]) + W["b_h"])
    return (h,), h


def peephole(W: Any, x: Any, h: Any, c: Any) -> Any:
    i, f, o, g = gates(W, x, h, *"ifog")
    c = xg.sigmoid(f + W["p_f"] * c) * c + xg.sigmoid(i + W["p_i"] * c) * xg.tanh(g)
    h = xg.sigmoid(o + W["p_o"] * c) * xg.tanh(c)
    return (h, c), h


def mgu(W: Any, x: Any, h: Any) -> Any:
    f = xg.sigmoid(gates(W, x, h, "f")[0])
    h = (1 - f) * h + f * xg.tanh(gates(W, x, f * h, "h")[0])
    return (h,), h


def residual(W: Any, x: Any, h: Any) -> Any:
    h = h + xg.tanh(gates(W, x, h, "h")[0])
    return (h,), h


def cornn(W: Any, x: Any, y: Any, z: Any) -> Any:
    z = z + 0.1 * (xg.tanh(gates(W, x, y, "y")[0] + z @ W["W_z"]) - 2.7 * y - 4.7 * z)
    y = y + 0.1 * z
    return (y, z), y


def slstm(W: Any, x: Any, h: Any, c: Any, n: Any, m: Any) -> Any:
    i, f, o, z = gates(W, x, h, *"ifoz")
    f = xg.log(xg.sigmoid(f))
    top = xg.maximum(f + m, i)
    i, f = xg.exp(i - top), xg.exp(f + m - top)
    c, n = f * c + i * xg.tanh(z), f * n + i
    h = xg.sigmoid(o) * (c / n)
    return (h, c, n, top), h


def layer_norm(W: Any, x: Any, h: Any) -> Any:
    (a,) = gates(W, x, h, "h")
    a = a - xg.mean(a, axis=-1, keepdims=True)
    a = a / xg.sqrt(xg.mean(a * a, axis=-1, keepdims=True) + 1e-2)
    h = xg.tanh(W["p_g"] * a)
    return (h,), h


def attention(W: Any, x: Any, h: Any) -> Any:
    """A softmax over a small memory, which is one of the weights."""
    (a,) = gates(W, x, h, "h")
    h = xg.tanh(a + xg.softmax(h @ W["M"].T, axis=-1) @ W["M"])
    return (h,), h


def output_inside(W: Any, x: Any, h: Any) -> Any:
    (h,), _ = residual(W, x, 0.5 * h)
    return (h,), h @ W["W_o"] + W["b_o"]


def mean_of_rows(W: Any, x: Any, h: Any) -> Any:
    h = xg.tanh(gates(W, x, h, "h")[0] + xg.mean(h, axis=0))
    return (h,), h


def reversed_rows(W: Any, x: Any, h: Any) -> Any:
    h = xg.tanh(gates(W, x, h, "h")[0] + 0.5 * h[::-1])
    return (h,), h


def from_the_left(W: Any, x: Any, h: Any) -> Any:
    h = xg.tanh(gates(W, x, h, "h")[0] + (h @ h.T) @ h)
    return (h,), h


def fast_weights(W: Any, x: Any, h: Any, A: Any) -> Any:
    A = 0.9 * A + 0.1 * h.T @ h
    h = xg.tanh(gates(W, x, h, "h")[0] + h @ A)
    return (h, A), h


def stacks(W: Any, x: Any, h: Any) -> Any:
    """Two heads, each with its own matrix."""
    B, H = h.shape
    heads = xg.transpose(xg.reshape(h, (B, 2, H // 2)), (1, 0, 2)) @ W["S"]
    h = xg.tanh(gates(W, x, h, "h")[0] + xg.reshape(xg.transpose(heads, (1, 0, 2)), (B, H)))
    return (h,), h


class Cell(NamedTuple):
    step: Callable[..., Any]
    gates: str
    states: int = 1
    more: tuple[str, ...] = ()


CELLS = {
    "GRU, reset before": Cell(gru_before, "zrh"),
    "GRU, reset after": Cell(gru_after, "zrh"),
    "LSTM with peepholes": Cell(peephole, "ifog", 2, ("p_i", "p_f", "p_o")),
    "MGU": Cell(mgu, "fh"),
    "residual": Cell(residual, "h"),
    "coRNN": Cell(cornn, "y", 2, ("W_z",)),
    "sLSTM": Cell(slstm, "ifoz", 4),
    "layer norm": Cell(layer_norm, "h", 1, ("p_g",)),
    "attention": Cell(attention, "h", 1, ("M",)),
    "output inside": Cell(output_inside, "h", 1, ("W_o", "b_o")),
}

MIXING = {
    "mean of rows": Cell(mean_of_rows, "h"),
    "reversed rows": Cell(reversed_rows, "h"),
    "from the left": Cell(from_the_left, "h"),
    "fast weights": Cell(fast_weights, "h", 2),
    "stacks": Cell(stacks, "h", 1, ("S",)),
}

STEPS, INPUTS = 3, 3


def arguments(cell: Cell, batch: int | None, width: int, dtype: str) -> tuple[Any, ...]:
    """Return weights by name, inputs, and initial states; there is no batch axis if `batch` is None."""
    rng, H = np.random.default_rng(0), width
    shapes = {"U": (INPUTS, H), "W": (H, H), "b": (H,), "p": (H,), "M": (4, H), "S": (2, H // 2, H // 2)}
    names = [f"{kind}_{g}" for g in cell.gates for kind in "UWb"] + list(cell.more)
    W = {
        name: (rng.normal(size=shapes[name[0]]) / (H**0.5 if name[0] in "WS" else 1.5)).astype(dtype)
        for name in names
    }
    B = () if batch is None else (batch,)
    states = [(rng.normal(size=(*B, H)) / 2).astype(dtype) for _ in range(cell.states)]
    if cell.step is fast_weights:
        states[1] = np.zeros((H, H), dtype)
    if cell.step is slstm:
        states[2] = np.abs(states[2]) + np.ones((), dtype)
    return W, rng.normal(size=(STEPS, *B, INPUTS)).astype(dtype), tuple(states)


def loss_of(cell: Cell) -> Callable[..., Any]:
    def loss(W: Any, xs: Any, states: Any) -> Any:
        last, ys = xg.scan(lambda h, x: cell.step(W, x, *h), states, xs)
        total = xg.mean(ys * ys)
        for h in last:
            total = total + xg.mean(xg.sin(h))
        return total, ys

    return xg.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)


@cache
def problem(
    name: str, batch: int | None, width: int, dtype: str, precision: str = "highest"
) -> tuple[Lowered, list[np.ndarray], list[np.ndarray]]:
    """Return a cell's plan, its inputs, and the CPU's results, in float64 if that is wider.

    The inputs are exactly representable in `precision`: if a cell's derivative has kinks, rounded weights
    could fall on the other side of one.
    """
    cell = {**CELLS, **MIXING}[name]
    given = arguments(cell, batch, width, dtype)
    with xg.device("cpu"):
        arrays, structure = flatten(given)
        arrays = [rounded(x, precision) if dtype == "float32" else x for x in arrays]
        f = loss_of(cell)
        exact = f(*unflatten(structure, [xg.asarray(x.astype(np.float64)) for x in arrays]))
        made = lowered(f, *unflatten(structure, [xg.asarray(x) for x in arrays]))
        return made, arrays, [np.asarray(z) for z in flatten(exact)[0]]


SOME = ("GRU, reset before", "sLSTM", "layer norm")
