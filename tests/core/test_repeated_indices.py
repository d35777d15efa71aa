"""Assignment at repeated indices: the last one wins, in the order of the indices, whatever their memory."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import xgrad as xg

rng = np.random.default_rng(0)


def layouts(x: np.ndarray) -> list[np.ndarray]:
    """The same array, with its axes in any order in memory, and backwards."""
    axes = range(x.ndim)
    found = []
    for order in itertools.permutations(axes):
        stored = np.ascontiguousarray(np.transpose(x, order))
        found += [np.transpose(stored, np.argsort(order)), np.flip(np.flip(x).copy())]
    return found


@pytest.mark.parametrize("several", [False, True])
def test_the_last_of_the_indices_wins(several: bool) -> None:
    shape = (3, 2, 4)
    rows, columns = rng.integers(0, 3, shape), rng.integers(0, 2, shape)
    values = rng.normal(size=shape)
    expected = np.zeros((3, 2) if several else 3)
    for at in np.ndindex(*shape):
        expected[(rows[at], columns[at]) if several else rows[at]] = values[at]

    def put(x: Any, i: Any, j: Any, v: Any) -> Any:
        x = +x
        x[(i, j) if several else i] = v
        return x

    compiled = xg.compile(put)
    for i, v in itertools.product(layouts(rows), layouts(values)):
        for f in (put, compiled):
            found = f(xg.zeros(expected.shape), xg.asarray(i), xg.asarray(columns.T.copy().T), xg.asarray(v))
            np.testing.assert_array_equal(found.numpy(), expected)
