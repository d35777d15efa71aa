"""Derivatives at hard points have the values that the docs promise.

Tested in both modes, to second order, on every backend.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import xgrad as xg
from tests.helpers.hard_points import POINTS


@pytest.mark.slow
@pytest.mark.parametrize("what", POINTS)
def test_both_modes_to_second_order(what: str, device: str) -> None:
    f, where, gradient, second = POINTS[what]
    x, ones = xg.asarray(where, dtype=xg.float64), xg.ones(np.shape(where))
    total = lambda x: xg.sum(f(x))
    same = lambda found, expected: np.testing.assert_allclose(
        found.numpy(), np.asarray(expected, float), rtol=1e-12, atol=1e-12
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy warns about divisions by zero
        same(xg.grad(total)(x), gradient)
        same(xg.jvp(total, (x,), (ones,))[1], np.sum(gradient))
        same(xg.grad(lambda x: xg.sum(xg.grad(total)(x)))(x), second)
        same(xg.hvp(total, (x,), (ones,)), second)
        same(xg.grad(lambda x: xg.jvp(total, (x,), (ones,))[1])(x), second)
        if device == "cpu" and x.size:
            # compiled code does not compute limits
            same(xg.compile(xg.grad(total))(x), second if "no choice" in what else gradient)


def test_the_maximum_of_nothing_is_refused() -> None:
    with pytest.raises(xg.ShapeError, match="max"):
        xg.grad(xg.max)(xg.zeros(0))
