"""Dropout: what is kept, its scale, its gradient, and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import xgrad as xg


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_expected_value_stays(dtype: str) -> None:
    x = xg.full((200, 100), 3.0, dtype=dtype)
    y = xg.nn.dropout(x, 0.25, xg.random.philox(0))
    assert y.dtype == dtype
    values, counts = np.unique(y.numpy(), return_counts=True)
    np.testing.assert_allclose(values, [0.0, 4.0])
    assert counts[0] / x.size == pytest.approx(0.25, abs=0.01)


def test_its_gradient_has_the_same_mask(device: str) -> None:
    x = xg.tensor(np.linspace(1.0, 2.0, 50), requires_grad=True)
    y = xg.nn.dropout(x, 0.4, xg.random.philox(1))
    xg.sum(y).backward()
    np.testing.assert_allclose(x.grad.numpy(), np.where(y.numpy() == 0, 0.0, 1 / 0.6))


def test_without_dropping(device: str) -> None:
    rng = xg.random.philox(1)
    x = xg.ones(3)
    assert xg.nn.dropout(x, 0, rng) is x
    assert rng.position.item() == 0


@pytest.mark.parametrize(
    ("x", "p", "rng", "message"),
    [
        (np.ones(3), 1.0, 0, "at least 0 and less than 1, not 1.0"),
        (np.ones(3), -0.1, 0, "at least 0 and less than 1"),
        (np.ones(3), float("nan"), 0, "not nan"),
        (np.ones(3, dtype=int), 0.5, 0, "not int64"),
        (np.ones(3), 0.5, None, "rng must be a generator, as xg.random.philox"),
    ],
)
def test_refusals(x: Any, p: float, rng: int | None, message: str) -> None:
    generator: Any = rng if rng is None else xg.random.philox(rng)
    with pytest.raises((ValueError, TypeError), match=message):
        xg.nn.dropout(x, p, generator)
