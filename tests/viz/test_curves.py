"""Curves of the loss: means, points, axes, and bad input."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest

import xgrad as xg


@pytest.mark.parametrize("smoothing", [1, 3, 50])
def test_means_are_over_the_last_steps(smoothing: int) -> None:
    losses = np.random.default_rng(0).normal(size=20)
    seen = xg.viz.curves(losses, smoothing=smoothing)
    wanted = [np.mean(losses[max(0, i - smoothing + 1) : i + 1]) for i in range(20)]
    np.testing.assert_allclose(seen.smooth, wanted, rtol=1e-12)
    np.testing.assert_array_equal(seen.training, losses)
    assert seen.held_out.shape == (0, 2)


def test_the_figure() -> None:
    seen = xg.viz.curves(
        [4.0, 3.0, 2.0], [(1, 3.5), (3, 2.5)], smoothing=2, lines={"gzip": 1.0}, ylabel="bits", log=True
    )
    (axes,) = seen.figure.axes
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert list(lines) == ["training, each step", "training, mean of 2 steps", "held out", "gzip"]
    np.testing.assert_array_equal(
        lines["training, mean of 2 steps"].get_xydata(), [[1, 4], [2, 3.5], [3, 2.5]]
    )
    np.testing.assert_array_equal(lines["held out"].get_xydata(), [[1, 3.5], [3, 2.5]])
    assert set(lines["gzip"].get_ydata()) == {1.0}
    assert (axes.get_ylabel(), axes.get_yscale()) == ("bits", "log")
    assert xg.viz.curves([1.0]).figure.axes[0].get_ylim()[0] == 0
    assert xg.viz.curves([]).png().startswith(b"\x89PNG")
    assert xg.viz.curves([float("nan"), 1.0]).png().startswith(b"\x89PNG")
    assert seen._repr_html_().startswith('<img alt="Curves(3 steps, last 2;')
    assert ET.fromstring(seen.svg()).tag == "{http://www.w3.org/2000/svg}svg"


def test_losses_that_are_tensors() -> None:
    seen = xg.viz.curves([xg.asarray(2.0, dtype="float32"), xg.asarray(1.0)], [(2, xg.asarray(1.5))])
    assert seen.training.tolist() == [2.0, 1.0]
    assert seen.held_out.tolist() == [[2.0, 1.5]]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"smoothing": 0}, ValueError, "smoothing=0"),
        ({"smoothing": 1.5}, TypeError, "smoothing"),
        ({"held_out": [(1, 2, 3)]}, ValueError, "pairs of a step and a loss"),
    ],
)
def test_bad_input(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        xg.viz.curves([1.0], **options)
