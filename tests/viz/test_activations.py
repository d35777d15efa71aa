"""Values of variables in the body of a scan, against a plain NumPy loop, and their heat maps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import xgrad as xg
from tests.helpers.devices import DEVICES

T, B, I, H = 5, 2, 3, 4
XS = np.random.default_rng(0).normal(size=(T, B, I))


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def by_hand(gru: Any, xs: Any) -> dict[str, Any]:
    """The gates of a GRU by a loop in NumPy."""
    W = {name: value.to("cpu").numpy() for name, value in gru.state_dict().items()}
    h = np.zeros((xs.shape[1], H))
    found: dict[str, list[Any]] = {"z_t": [], "r_t": [], "h_tilde": [], "h": []}
    for x in xs:
        z = sigmoid(h @ W["W_zh"].T + x @ W["W_zx"].T + W["b_z"])
        r = sigmoid(h @ W["W_rh"].T + x @ W["W_rx"].T + W["b_r"])
        new = np.tanh((r * h) @ W["W_h"].T + x @ W["W_x"].T + W["b_h"])
        h = (1 - z) * h + z * new
        for series, value in zip(found.values(), (z, r, new, h), strict=True):
            series.append(value)
    return {name: np.stack(series) for name, series in found.items()}


@pytest.mark.parametrize("device", DEVICES[:2])
def test_the_gates_of_a_gru(device: str) -> None:
    gru = xg.nn.GRU(I, H, dtype="float64", device=device)
    seen = xg.viz.activations(gru, xg.asarray(XS, device=device))
    wanted = by_hand(gru, XS)
    assert set(seen.values) == set(wanted)
    for name, array in wanted.items():
        np.testing.assert_allclose(seen.values[name], array, rtol=1e-12)
    chosen = xg.viz.activations(gru, xg.asarray(XS, device=device), names=["r_t", "z_t"])
    assert list(chosen.values) == ["r_t", "z_t"]
    assert list(xg.viz.activations(gru, xg.asarray(XS, device=device), names="r_t").values) == ["r_t"]


def test_rows_of_a_reverse_scan_are_in_the_order_of_time() -> None:
    def f(xs: Any) -> Any:
        def cell(h: Any, x: Any) -> Any:
            gate = h + x
            return gate * 2, gate

        return xg.scan(cell, xg.zeros(2), xs, reverse=True)

    seen = xg.viz.activations(f, xg.asarray([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), names=["gate"])
    assert seen.values["gate"].tolist() == [[5.0, 6.0], [2.0, 3.0], [1.0, 1.0]]


def test_names_that_occur_again_are_numbered() -> None:
    first, second = xg.nn.GRU(I, H, dtype="float64"), xg.nn.GRU(H, H, dtype="float64")
    seen = xg.viz.activations(lambda xs: second(first(xs)[0]), XS)
    np.testing.assert_allclose(seen.values["z_t"], by_hand(first, XS)["z_t"])
    np.testing.assert_allclose(seen.values["z_t 2"], by_hand(second, by_hand(first, XS)["h"])["z_t"])

    def twice(xs: Any) -> Any:
        def cell(h: Any, x: Any) -> Any:
            for _ in range(2):
                h = gate(h, x)
            return h, h

        def gate(h: Any, x: Any) -> Any:
            a = xg.tanh(h + x)
            return a * 1.0

        return xg.scan(cell, xg.zeros((B, I)), xs)

    seen = xg.viz.activations(twice, XS)
    h = np.zeros((B, I))
    for t in range(T):
        for name in ("a", "a 2"):
            h = np.tanh(h + XS[t])
            np.testing.assert_allclose(seen.values[name][t], h)


def test_of_nested_scans_the_outermost_counts() -> None:
    def f(xs: Any) -> Any:
        def row(h: Any, x: Any) -> Any:
            def inner_step(h: Any, v: Any) -> Any:
                inside = h + v
                return inside, None

            total = 1.0 * xg.scan(inner_step, h, x)[0]
            return total, total

        return xg.scan(row, xg.zeros(2), xs)

    seen = xg.viz.activations(f, xg.ones((3, 4, 2)), names=["total"])
    assert seen.values["total"].tolist() == [[4.0, 4.0], [8.0, 8.0], [12.0, 12.0]]
    with pytest.raises(KeyError, match="inside"):
        xg.viz.activations(f, xg.ones((3, 4, 2)), names=["inside"])


def test_the_figure_shows_one_sequence_with_units_in_order() -> None:
    gru = xg.nn.GRU(I, H, dtype="float64")
    seen = xg.viz.activations(gru, XS, names=["z_t", "h_tilde"], labels=["a", " ", "$", "\n", "$"], batch=1)
    axes = [each for each in seen.figure.axes if each.get_images()]
    for one, name in zip(axes[:2], ("z_t", "h_tilde"), strict=True):
        values = seen.values[name][:, 1]
        assert (np.diff(values.mean(0)[seen.orders[name]]) >= 0).all()
        np.testing.assert_array_equal(one.get_images()[0].get_array(), values[:, seen.orders[name]].T)
        assert [text.get_text() for text in one.get_xticklabels()] == ["a", "␣", "$", "⏎", "$"]
    assert axes[0].get_images()[0].get_clim() == (0, 1)
    low, high = axes[1].get_images()[0].get_clim()
    assert low == -high
    assert seen.png().startswith(b"\x89PNG")
    unsorted = xg.viz.activations(gru, XS, names=["z_t"], sort=False)
    assert unsorted.orders["z_t"].tolist() == [0, 1, 2, 3]


def test_scalars_and_rows_without_a_batch() -> None:
    def f(xs: Any) -> Any:
        def cell(h: Any, x: Any) -> Any:
            s = h * 0.5 + x
            return s, s

        return xg.scan(cell, 0.0, xs)

    seen = xg.viz.activations(f, xg.asarray([1.0, 2.0]), names=["s"])
    assert seen.values["s"].tolist() == [1.0, 2.5]
    assert seen.svg().startswith("<?xml")
    with pytest.raises(ValueError, match="pass names="):
        xg.viz.activations(f, xg.asarray([1.0, 2.0]))


def test_bad_input() -> None:
    gru = xg.nn.GRU(I, H, dtype="float64")
    with pytest.raises(KeyError, match=r"no variable u_t .*; there are .*z_t"):
        xg.viz.activations(gru, XS, names=["z_t", "u_t"])
    with pytest.raises(ValueError, match="5 time steps, but there are 3 labels"):
        xg.viz.activations(gru, XS, labels="abc")
    with pytest.raises(IndexError, match="batch=2, but z_t has 2 sequences"):
        xg.viz.activations(gru, XS, names=["z_t"], batch=2)
    with pytest.raises(ValueError, match="comes from no scan"):
        xg.viz.activations(lambda x: x * 2, XS)
    with pytest.raises(ValueError, match="comes from no scan"):
        xg.viz.activations(xg.compile(gru), xg.asarray(XS))
