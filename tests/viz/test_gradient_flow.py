"""Gradients through time: the norms and the parts, against complex steps in a plain NumPy loop."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from tests.helpers.devices import DEVICES

T, B, I, H = 6, 2, 3, 4
STEP = 1e-30  # of complex steps, whose error is its square


def numbers(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=shape)


XS, V, U = numbers(T, B, I), numbers(H, I, seed=1), numbers(H, H, seed=2) / 2
READ = numbers(T, B, H, seed=3)


def loss(weights: Any, xs: Any, reverse: bool = False) -> Any:
    """A sum over s of a function of the state h_s."""

    def cell(h: Any, x: Any) -> Any:
        h = xg.tanh(h @ weights["U"].T + x @ weights["V"].T)
        return h, h

    _, ys = xg.scan(cell, xg.zeros((B, H), device=xs.device), xs, reverse=reverse)
    return xg.sum(xg.sin(ys) * xg.asarray(READ, device=ys.device))


def losses(U_at: Any, V_at: Any, nudge: Any, order: Any) -> Any:
    """L_s for each s by a loop, with weights for each step, and `nudge` added to each state."""
    h: Any = np.zeros((B, H))
    found = np.zeros(T, complex)
    for t in order:
        h = np.tanh(h @ U_at[t].T + XS[t] @ V_at[t].T) + nudge[t]
        found[t] = np.sum(np.sin(h) * READ[t])
    return found


def slopes(order: Any) -> tuple[Any, Any, Any]:
    """The derivatives of each L_s to each h_t, to U as it is used at each t, and to V: complex steps."""
    base = {
        "U": np.tile(U, (T, 1, 1)) + 0j,
        "V": np.tile(V, (T, 1, 1)) + 0j,
        "h": np.zeros((T, B, H), complex),
    }
    found = []
    for name in ("h", "U", "V"):
        slope = np.zeros((T, *base[name].shape))
        for place in np.ndindex(base[name].shape):
            moved = {key: value.copy() for key, value in base.items()}
            moved[name][place] += STEP * 1j
            slope[(slice(None), *place)] = losses(moved["U"], moved["V"], moved["h"], order).imag / STEP
        found.append(slope)
    return found[0], found[1], found[2]


@pytest.mark.parametrize("device", DEVICES[:2])
@pytest.mark.parametrize("reverse", [False, True])
def test_states_and_parts_are_those_of_complex_steps(device: str, reverse: bool) -> None:
    weights = {"U": xg.asarray(U, device=device), "V": xg.asarray(V, device=device)}
    flow = xg.viz.gradient_flow(loss, weights, xg.asarray(XS, device=device), reverse)
    order = range(T)[::-1] if reverse else range(T)
    to_h, to_U, to_V = slopes(order)
    np.testing.assert_allclose(flow.states["h"], np.sqrt((to_h.sum(0) ** 2).sum((1, 2))), rtol=1e-12)
    for name, slope in {"U": to_U, "V": to_V}.items():
        for k in range(T):
            pairs = [(s, s + k if reverse else s - k) for s in range(T)]
            wanted = sum((slope[s, t] for s, t in pairs if 0 <= t < T), np.zeros(slope.shape[2:]))
            np.testing.assert_allclose(flow.parts[name][k], wanted, rtol=1e-12, atol=1e-14)
            np.testing.assert_allclose(flow.weights[name][k], np.sqrt((wanted**2).sum()), rtol=1e-12)
    assert flow.parts["V"].shape == (T, H, I)
    assert not flow.open_ended


def test_the_last_part_has_everything_that_comes_from_further() -> None:
    weights = {"U": U, "V": V}
    whole = xg.viz.gradient_flow(loss, weights, xg.asarray(XS))
    for lags in (1, 3, 5, 9):
        flow = xg.viz.gradient_flow(loss, weights, xg.asarray(XS), lags=lags)
        cut = min(lags, T - 1)
        assert flow.open_ended == (lags < T - 1)
        assert len(flow.parts["U"]) == cut + 1
        np.testing.assert_allclose(flow.parts["U"][:cut], whole.parts["U"][:cut], rtol=1e-13)
        np.testing.assert_allclose(flow.parts["U"][cut], whole.parts["U"][cut:].sum(0), rtol=1e-12)
        np.testing.assert_allclose(flow.states["h"], whole.states["h"], rtol=1e-13)


def test_zeros_are_zeros_and_can_be_drawn() -> None:
    def early(weights: Any, xs: Any) -> Any:
        h = xg.scan(lambda h, x: (xg.tanh(h @ weights["U"] + x), h), xg.zeros(H), xs)[1]
        return xg.sum(h[:3])

    flow = xg.viz.gradient_flow(early, {"U": U, "V": V}, xg.asarray(numbers(T, H)))
    assert flow.weights["U"][0] > 0  # of h_1 = tanh(h_0 @ U + x); h_0 is of zeros @ U
    assert not flow.weights["U"][1:].any()
    assert not flow.open_ended
    assert not flow.states["h"][2:].any()
    assert not flow.weights["V"].any()
    assert flow.png().startswith(b"\x89PNG")


class Stack(xg.nn.Module):
    """Two recurrent layers, of which one runs backwards, with work before, between and after them."""

    def __init__(self) -> None:
        rng = xg.random.default_rng(0)
        self.embed = xg.nn.Embedding(5, I, dtype="float64", rng=rng)
        self.first = xg.nn.GRU(I, H, dtype="float64", rng=rng)
        self.second = xg.nn.GRU(H, H, "after", dtype="float64", rng=rng)
        self.read = xg.nn.Linear(H, 5, dtype="float64", rng=rng)

    def __call__(self, ids: Any) -> Any:
        ys, _ = self.first(xg.flip(self.embed(ids), axis=0))
        ys, h = self.second(xg.flip(ys, axis=0))
        return self.read(ys) + self.read(h)


def of_stack(model: Any, ids: Any) -> Any:
    return xg.nn.cross_entropy(model(ids), ids)


def of_nested(w: Any, xs: Any) -> Any:
    def row(h: Any, x: Any) -> Any:
        h, _ = xg.scan(lambda h, v: (xg.sin(w["a"] * h + v), None), h, x)
        h = h * w["b"]
        return h, h**2

    return xg.sum(xg.scan(row, w["h0"], xs)[1])


def of_delay(w: Any, xs: Any) -> Any:
    def cell(carry: Any, x: Any) -> Any:
        new = xg.tanh(w[0] * carry["before"] + w[1] * carry["last"] + x)
        return {"last": new, "before": carry["last"], "count": carry["count"] + 1}, new

    begin = {"last": xg.zeros(()), "before": xg.ones(()), "count": xg.asarray(0)}
    after, ys = xg.scan(cell, begin, xs)
    return xg.sum(ys**2) + after["last"] * w[0]


def of_lstm(w: Any, xs: Any) -> Any:
    def cell(carry: Any, x: Any) -> Any:
        h, c = carry
        a = xg.concat((h, x), axis=-1)
        i, f, o = (xg.sigmoid(a @ w[k]) for k in "ifo")
        c = f * c + i * xg.tanh(a @ w["c"])
        h = o * xg.tanh(c)
        return (h, c), h

    (h, c), _ = xg.scan(cell, (xg.zeros((B, H)), xg.zeros((B, H))), xs)
    return xg.sum(h * h) + xg.mean(c)


def of_where(w: Any, xs: Any) -> Any:
    """sqrt has an infinite slope where `where` does not choose it."""

    def cell(h: Any, x: Any) -> Any:
        h = xg.where(x > 0, xg.sqrt(xg.maximum(x, 0.0)) * w, h * w)
        return h, h

    return xg.sum(xg.scan(cell, 1.0, xs)[1])


LSTM = {k: numbers(H + I, H, seed=i) for i, k in enumerate("ifoc")}
CASES: dict[str, tuple[Callable[..., Any], Any, Any]] = {
    "stack": (of_stack, Stack(), xg.asarray([[1, 0], [2, 2], [4, 3], [3, 3], [0, 1]])),
    "nested": (of_nested, {"a": 0.7, "b": 1.2, "h0": 0.3}, xg.asarray(numbers(4, 3))),
    "delay": (of_delay, [0.4, 0.6], xg.asarray(numbers(5))),
    "lstm": (of_lstm, LSTM, xg.asarray(XS)),
    "where": (of_where, 0.9, xg.asarray(numbers(6))),
    "outside": (lambda w, xs: loss(w, xs) + xg.sum(w["U"] ** 3), {"U": U, "V": V}, xg.asarray(XS)),
}


@pytest.mark.parametrize("lags", [1, 2, 64])
@pytest.mark.parametrize("name", CASES)
def test_the_parts_sum_to_the_gradient(name: str, lags: int) -> None:
    f, model, data = CASES[name]
    flow = xg.viz.gradient_flow(f, model, data, lags=lags)
    gradients = [g.numpy() for g in xg.core.pytree.flatten(xg.grad(f)(model, data))[0]]
    assert len(gradients) == len(flow.parts)
    for part, gradient in zip(flow.parts.values(), gradients, strict=True):
        assert np.abs(part.sum(0) - gradient).max() <= 1e-12 * max(1, np.abs(gradient).max())
    assert flow.loss == pytest.approx(float(f(model, data)), rel=1e-14)


def test_carries_have_the_names_of_their_variables() -> None:
    flow = xg.viz.gradient_flow(of_lstm, LSTM, xg.asarray(XS))
    assert list(flow.states) == ["h", "c"]
    assert all(norms.shape == (T,) and norms.dtype == np.float64 for norms in flow.states.values())
    assert list(flow.parts) == ["c", "f", "i", "o"]
    assert (flow.states["h"] != flow.states["c"]).all()
    stacked = xg.viz.gradient_flow(*CASES["stack"])
    assert list(stacked.states) == ["h (scan 1)", "h (scan 2)"]
    assert {"embed.weight", "first.W_zh", "second.b_hh", "read.bias"} <= set(stacked.parts)
    delayed = xg.viz.gradient_flow(*CASES["delay"])
    assert len(delayed.states) == 2  # the count is an integer


def test_what_does_not_go_through_time_is_in_the_first_part() -> None:
    flow = xg.viz.gradient_flow(*CASES["stack"])
    assert flow.weights["read.bias"][0] > 0
    assert not flow.weights["read.bias"][1:].any()
    assert (flow.weights["first.W_zh"][:5] > 0).all()


def test_a_state_that_is_read_three_steps_later_is_three_steps_away() -> None:
    def delayed(w: Any) -> Any:
        def cell(carry: Any, _: Any) -> Any:
            a, b, c = carry
            return (b, c, w * a), None

        return xg.scan(cell, (1.0, 2.0, 3.0), length=7)[0][2]

    # h_6 = w * h_3 = w * (w * h_0), with h_0 = w * 1.0
    flow = xg.viz.gradient_flow(delayed, 2.0)
    assert flow.weights["w"].tolist() == [4.0, 0.0, 0.0, 4.0, 0.0, 0.0, 4.0]
    assert xg.viz.gradient_flow(delayed, 2.0, lags=4).weights["w"].tolist() == [4.0, 0.0, 0.0, 4.0, 4.0]


def test_vanishing_and_exploding_gradients_show() -> None:
    def last(w: Any, xs: Any) -> Any:
        return xg.scan(lambda h, x: (w * h + x, None), 0.0, xs)[0]

    xs = xg.asarray(np.ones(20))
    for w in (0.5, 1.5):
        norms = xg.viz.gradient_flow(last, w, xs).states["h"]
        np.testing.assert_allclose(norms, w ** np.arange(19, -1, -1), rtol=1e-12)


def test_time_does_not_change_with_checkpoints() -> None:
    def f(w: Any, xs: Any, every: int | None) -> Any:
        return xg.scan(lambda h, x: (xg.sin(w * h + x), None), 0.0, xs, checkpoint_every=every)[0]

    plain, cut = (xg.viz.gradient_flow(f, 0.9, xg.asarray(numbers(7)), every) for every in (None, 3))
    np.testing.assert_array_equal(plain.states["h"], cut.states["h"])
    np.testing.assert_array_equal(plain.weights["w"], cut.weights["w"])
    with pytest.raises(ValueError, match="checkpoint_every=0"):
        xg.viz.gradient_flow(f, 0.9, xg.asarray(numbers(7)), 0)


def test_float32_stays_float32() -> None:
    gru = xg.nn.GRU(I, H)
    flow = xg.viz.gradient_flow(lambda gru, xs: xg.mean(gru(xs)[0]), gru, XS.astype("float32"))
    assert flow.parts["W_zh"].dtype == np.float32
    assert flow.weights["W_zh"].dtype == np.float64


def test_aux_and_scans_in_python() -> None:
    def with_aux(w: Any, xs: Any) -> Any:
        h, ys = xg.scan(lambda h, x: (w * h + x, h), 0.0, xs, compiled=False)
        return h, ys

    flow = xg.viz.gradient_flow(with_aux, 0.5, xg.ones(3), has_aux=True)
    assert flow.loss == 1.75
    with pytest.raises(TypeError, match="pass has_aux=True"):
        xg.viz.gradient_flow(with_aux, 0.5, xg.ones(3))
    with pytest.raises(TypeError, match="must return"):
        xg.viz.gradient_flow(lambda w, xs: with_aux(w, xs)[0], 0.5, xg.ones(3), has_aux=True)


@pytest.mark.parametrize(
    ("f", "options", "error", "message"),
    [
        (lambda w: w * w, {}, ValueError, "there is no scan in this function"),
        (
            xg.compile(lambda w: xg.scan(lambda h, _: (w * h, None), w, length=3)[0]),
            {},
            ValueError,
            "no scan",
        ),
        (lambda w: w, {"lags": 0}, ValueError, "lags=0"),
        (lambda w: w, {"lags": 1.5}, TypeError, "lags"),
        (lambda w: xg.scan(lambda h, _: (0.5 * h, h), 1.0, length=3)[0], {}, xg.GraphError, "no gradient"),
        (
            lambda w: xg.scan(lambda h, _: (w * h, h), 1.0, length=3)[1],
            {},
            xg.GraphError,
            "only for a scalar",
        ),
        (lambda w: 3, {}, TypeError, "returns a Tensor, not int"),
    ],
)
def test_bad_input(f: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        xg.viz.gradient_flow(f, 2.0, **options)


def test_the_figure_shows_each_carry_and_the_largest_weights(tmp_path: Path) -> None:
    flow = xg.viz.gradient_flow(*CASES["stack"])
    left, right = flow.figure.axes
    for line, (name, norms) in zip(left.get_lines(), flow.states.items(), strict=True):
        assert line.get_label() == name
        np.testing.assert_array_equal(line.get_ydata(), norms)
    labels = [text.get_text() for text in right.get_legend().get_texts()]
    assert labels[-1] == f"{len(flow.weights) - 7} more"
    assert set(labels[:-1]) < set(flow.weights)
    assert flow._repr_png_().startswith(b"\x89PNG")
    assert "norm of dL/dh" in flow.svg()
    for name in ("f.svg", "f.png", "f.pdf"):
        flow.save(tmp_path / name)
        assert (tmp_path / name).stat().st_size > 1000
    with pytest.raises(ValueError, match=r"not as 'f\.xyz'"):
        flow.save(tmp_path / "f.xyz")
    assert repr(xg.viz.gradient_flow(of_nested, *CASES["nested"][1:])) == (
        "GradientFlow(h at 4 time steps; 3 weights; .figure, .save('f.svg'))"
    )


def test_without_matplotlib_there_are_the_arrays() -> None:
    code = """
import sys
import xgrad as xg
assert "xgrad.viz" not in sys.modules
sys.modules["matplotlib"] = None
flow = xg.viz.gradient_flow(lambda w: xg.scan(lambda h, _: (w * h, None), 1.0, length=3)[0], 2.0)
print(flow.weights["w"].tolist())
try:
    flow.figure
except ImportError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == [
        "[4.0, 4.0, 4.0]",
        "the plots of xg.viz need matplotlib, which is not installed: pip install 'xgrad[viz]'",
    ]
