"""Treescope shows modules as trees, and Tensors as arrays with a heat map."""

from __future__ import annotations

import re
import sys
from typing import Any

import numpy as np
import pytest

import xgrad as xg

from .computations import neuron


def html(treescope: Any, drawn: Any) -> str:
    """The text of a page, without the random name of its element."""
    text = treescope.render_to_html(drawn, compressed=False)
    return re.sub(r"(?<=treescope_out_)\w+", "", text)


def test_modules_are_trees() -> None:
    treescope = pytest.importorskip("treescope")
    text = treescope.render_to_text(xg.nn.Linear(2, 3))
    assert text.startswith("Linear(")
    assert "np.ndarray float32(3, 2)" in text


@pytest.mark.parametrize("shape", [(3, 4), (200, 50), ()])
def test_tensors_are_drawn_as_numpy_arrays_are(shape: tuple[int, ...]) -> None:
    treescope = pytest.importorskip("treescope")
    array = np.random.default_rng(0).normal(size=shape)
    for x in (xg.asarray(array), xg.tensor(array, requires_grad=True)):
        drawn, expected = treescope.render_array(x), treescope.render_array(array)
        assert html(treescope, drawn) == html(treescope, expected)


def test_a_mask_hides_elements() -> None:
    treescope = pytest.importorskip("treescope")
    x, mask = np.arange(6.0).reshape(2, 3), np.array([[True], [False]])
    drawn = treescope.render_array(xg.asarray(x), valid_mask=xg.asarray(mask))
    expected = treescope.render_array(x, valid_mask=mask)
    assert html(treescope, drawn) == html(treescope, expected)


def test_a_drawn_module_is_shown_by_treescope() -> None:
    treescope = pytest.importorskip("treescope")
    layer = xg.nn.Linear(2, 3)
    shown = xg.draw(layer)._repr_html_()
    assert "treescope" in shown
    assert "http://" not in shown.replace("http://www.w3.org", "")
    xg.sum(layer(np.ones((1, 2), dtype="float32"))).backward()
    assert "treescope" in xg.draw(layer)._repr_html_()
    assert xg.draw(neuron, [1.0, 2.0, 3.0], [1.0, 2.0])._repr_html_().startswith("<div")
    assert treescope.active_autovisualizer.get() is None  # the reader's own setting is kept


def test_without_treescope_the_picture_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "treescope", None)
    assert "<svg" in xg.draw(xg.nn.Linear(2, 3))._repr_html_()
