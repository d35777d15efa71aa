"""Recurrent cells as in their papers, and alternative spellings, runnable in every library.

A cell is a function of `F`, a library's functions; `W`, its weights by name; `x`, its input; and its states,
which are initially zero. It returns the new states and its output. Shapes of weights are written in letters
with an optional factor: H is the size of a state, I that of x, C = H + I.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple


class Functions(NamedTuple):
    """The functions available to a cell.

    `mean` and `softmax` are over the last axis, `concat` along it, and `mean` keeps it.
    """

    sigmoid: Callable[..., Any]
    tanh: Callable[..., Any]
    exp: Callable[..., Any]
    log: Callable[..., Any]
    sqrt: Callable[..., Any]
    maximum: Callable[..., Any]
    concat: Callable[..., Any]
    mean: Callable[..., Any]
    softmax: Callable[..., Any]
    scan: Callable[..., Any]


class Cell(NamedTuple):
    """A cell, the number of its states, and the shapes of its weights."""

    step: Callable[..., tuple[tuple[Any, ...], Any]]
    states: int
    weights: dict[str, str]

    def shapes(self, I: int, H: int) -> dict[str, tuple[int, ...]]:  # noqa: E741
        """The shapes of the weights as numbers."""
        size = {"H": H, "I": I, "C": H + I}
        return {
            name: tuple(int(n or 1) * size[letter] for n, letter in re.findall(r"(\d*)([HIC])", shape))
            for name, shape in self.weights.items()
        }


CELLS: dict[str, Cell] = {}
SPELLINGS: dict[str, Cell] = {}


def _enter(
    table: dict[str, Cell], name: str, states: int, **weights: str
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def entered(step: Callable[..., Any]) -> Callable[..., Any]:
        table[name] = Cell(step, states, weights)
        return step

    return entered


def _gru(F: Functions, W: Any, x: Any, h: Any) -> Any:
    """Gated recurrent unit, which resets before the product. K. Cho et al. 2014."""
    z = F.sigmoid(h @ W["W_zh"].T + x @ W["W_zx"].T)
    r = F.sigmoid(h @ W["W_rh"].T + x @ W["W_rx"].T)
    h_tilde = F.tanh((r * h) @ W["W_h"].T + x @ W["W_x"].T)
    h = (1 - z) * h + z * h_tilde
    return (h,), h


GRU = Cell(_gru, 1, {"W_zh": "HH", "W_zx": "HI", "W_rh": "HH", "W_rx": "HI", "W_h": "HH", "W_x": "HI"})


@_enter(CELLS, "MGU", 1, W_f="HH", U_f="HI", b_f="H", W_h="HH", U_h="HI", b_h="H")
def mgu(F: Functions, W: Any, x: Any, h: Any) -> Any:
    """Minimal gated unit. G.-B. Zhou et al. 2016."""
    f = F.sigmoid(h @ W["W_f"].T + x @ W["U_f"].T + W["b_f"])
    h_tilde = F.tanh((f * h) @ W["W_h"].T + x @ W["U_h"].T + W["b_h"])
    h = (1 - f) * h + f * h_tilde
    return (h,), h


LSTM = {f"{kind}_{gate}": shape for gate in "ifog" for kind, shape in (("W", "HH"), ("U", "HI"), ("b", "H"))}


@_enter(CELLS, "LSTM", 2, **LSTM)
def lstm(F: Functions, W: Any, x: Any, h: Any, c: Any) -> Any:
    """S. Hochreiter and J. Schmidhuber 1997, with the forget gate of F. Gers et al. 2000."""
    i = F.sigmoid(h @ W["W_i"].T + x @ W["U_i"].T + W["b_i"])
    f = F.sigmoid(h @ W["W_f"].T + x @ W["U_f"].T + W["b_f"])
    o = F.sigmoid(h @ W["W_o"].T + x @ W["U_o"].T + W["b_o"])
    g = F.tanh(h @ W["W_g"].T + x @ W["U_g"].T + W["b_g"])
    c = f * c + i * g
    h = o * F.tanh(c)
    return (h, c), h


@_enter(CELLS, "peephole", 2, **LSTM, p_i="H", p_f="H", p_o="H")
def peephole(F: Functions, W: Any, x: Any, h: Any, c: Any) -> Any:
    """An LSTM whose gates read the cell state. F. Gers and J. Schmidhuber 2000."""
    i = F.sigmoid(h @ W["W_i"].T + x @ W["U_i"].T + W["p_i"] * c + W["b_i"])
    f = F.sigmoid(h @ W["W_f"].T + x @ W["U_f"].T + W["p_f"] * c + W["b_f"])
    g = F.tanh(h @ W["W_g"].T + x @ W["U_g"].T + W["b_g"])
    c = f * c + i * g
    o = F.sigmoid(h @ W["W_o"].T + x @ W["U_o"].T + W["p_o"] * c + W["b_o"])
    h = o * F.tanh(c)
    return (h, c), h


@_enter(CELLS, "residual", 1, W="HH", U="HI", b="H")
def residual(F: Functions, W: Any, x: Any, h: Any) -> Any:
    """A residual update of the state."""
    h = h + F.tanh(h @ W["W"].T + x @ W["U"].T + W["b"])
    return (h,), h


@_enter(CELLS, "coRNN", 2, W="HH", W_z="HH", V="HI", b="H")
def cornn(F: Functions, W: Any, x: Any, y: Any, z: Any) -> Any:
    """Coupled oscillators: positions y, velocities z. T. K. Rusch and S. Mishra 2021."""
    dt, gamma, epsilon = 0.042, 2.7, 4.7
    z = z + dt * (F.tanh(y @ W["W"].T + z @ W["W_z"].T + x @ W["V"].T + W["b"]) - gamma * y - epsilon * z)
    y = y + dt * z
    return (y, z), y


@_enter(CELLS, "sLSTM", 4, **{name.replace("g", "z"): shape for name, shape in LSTM.items()})
def slstm(F: Functions, W: Any, x: Any, h: Any, c: Any, n: Any, m: Any) -> Any:
    """Exponential gates, stabilised by their log maximum m; normaliser n. M. Beck et al. 2024; one head."""
    z = F.tanh(h @ W["W_z"].T + x @ W["U_z"].T + W["b_z"])
    o = F.sigmoid(h @ W["W_o"].T + x @ W["U_o"].T + W["b_o"])
    log_i = h @ W["W_i"].T + x @ W["U_i"].T + W["b_i"]
    log_f = F.log(F.sigmoid(h @ W["W_f"].T + x @ W["U_f"].T + W["b_f"]))
    m_new = F.maximum(log_f + m, log_i)
    i, f = F.exp(log_i - m_new), F.exp(log_f + m - m_new)
    c = f * c + i * z
    n = f * n + i
    h = o * (c / n)
    return (h, c, n, m_new), h


@_enter(SPELLINGS, "GRU in slices", 1, W="I3H", U="H2H", V="HH", b="3H")
def sliced_gru(F: Functions, W: Any, x: Any, h: Any) -> Any:
    """One product for the terms of x in all gates, one for the terms of h in two gates."""
    H = h.shape[-1]
    a, u = x @ W["W"] + W["b"], h @ W["U"]
    z = F.sigmoid(a[..., :H] + u[..., :H])
    r = F.sigmoid(a[..., H : 2 * H] + u[..., H:])
    h = (1 - z) * h + z * F.tanh(a[..., 2 * H :] + (r * h) @ W["V"])
    return (h,), h


def _lstm_of(F: Functions, a: Any, c: Any) -> Any:
    H = c.shape[-1]
    i, f, o = (F.sigmoid(a[..., k * H : (k + 1) * H]) for k in range(3))
    c = f * c + i * F.tanh(a[..., 3 * H :])
    h = o * F.tanh(c)
    return (h, c), h


@_enter(SPELLINGS, "LSTM in slices", 2, W="I4H", U="H4H", b="4H")
def sliced_lstm(F: Functions, W: Any, x: Any, h: Any, c: Any) -> Any:
    """Four gates from two products."""
    return _lstm_of(F, x @ W["W"] + h @ W["U"] + W["b"], c)


@_enter(SPELLINGS, "LSTM of concat", 2, W="C4H", b="4H")
def concat_lstm(F: Functions, W: Any, x: Any, h: Any, c: Any) -> Any:
    """Four gates from one product."""
    return _lstm_of(F, F.concat((h, x)) @ W["W"] + W["b"], c)


@_enter(SPELLINGS, "tied gates", 1, W="HH", U_z="HI", U_r="HI", W_h="HH", U_h="HI")
def tied(F: Functions, W: Any, x: Any, h: Any) -> Any:
    """A GRU that uses one weight in two gates."""
    z = F.sigmoid(h @ W["W"].T + x @ W["U_z"].T)
    r = F.sigmoid(h @ W["W"].T + x @ W["U_r"].T)
    h = (1 - z) * h + z * F.tanh((r * h) @ W["W_h"].T + x @ W["U_h"].T)
    return (h,), h


@_enter(
    SPELLINGS,
    "output inside",
    1,
    W_f="HH",
    U_f="HI",
    b_f="H",
    W_h="HH",
    U_h="HI",
    b_h="H",
    W_out="HH",
    b_out="H",
)
def output_inside(F: Functions, W: Any, x: Any, h: Any) -> Any:
    """An output layer inside the step, which could be moved after the loop."""
    (h,), _ = mgu(F, W, x, h)
    return (h,), h @ W["W_out"] + W["b_out"]


@_enter(SPELLINGS, "layer norm", 1, W="HH", U="HI", gain="H", b="H")
def layer_norm(F: Functions, W: Any, x: Any, h: Any) -> Any:
    """J. L. Ba et al. 2016."""
    a = h @ W["W"].T + x @ W["U"].T
    a = a - F.mean(a)
    a = a / F.sqrt(F.mean(a * a) + 1e-5)
    h = F.tanh(W["gain"] * a + W["b"])
    return (h,), h


@_enter(SPELLINGS, "softmax", 1, W_p="HH", U_p="HI", W_h="HH", U_h="HI")
def softmax(F: Functions, W: Any, x: Any, h: Any) -> Any:
    """The update gate is a softmax over the state."""
    p = F.softmax(h @ W["W_p"].T + x @ W["U_p"].T)
    h = (1 - p) * h + p * F.tanh(h @ W["W_h"].T + x @ W["U_h"].T)
    return (h,), h


SPELLINGS["unbatched"] = CELLS["MGU"]


@_enter(SPELLINGS, "nested", 1, W="HH", U="HI", b="H")
def nested(F: Functions, W: Any, x: Any, h: Any) -> Any:
    """Three inner-loop steps per outer step."""
    a = x @ W["U"].T + W["b"]

    def inner(h: Any, _: Any) -> Any:
        h = F.tanh(h @ W["W"].T + a)
        return h, h

    h, ys = F.scan(inner, h, None, 3)
    return (h,), ys[0] + h
