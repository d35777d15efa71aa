"""Gradient cases of sorting, searching, sets and indexing."""

from __future__ import annotations

from typing import Any

import numpy as np

import xgrad as xg
from tests.helpers.calls import distinct

GRADIENT_CASES: dict[str, list[tuple[Any, tuple[Any, ...]]]] = {
    "sort": [
        (
            lambda x, axis=axis, descending=descending: xg.sort(x, axis=axis, descending=descending) ** 2,
            (distinct(2, 3, 4),),
        )
        for axis in (0, 1, -1)
        for descending in (False, True)
    ]
    + [(xg.sort, (np.zeros((2, 0)),)), (xg.sort, (distinct(1),))],
}

COMPOSED: dict[str, list[tuple[Any, tuple[Any, ...]]]] = {
    "take_along_axis": [
        (
            lambda x: xg.take_along_axis(x, xg.asarray([[2, 0, 2, 2], [-1, 1, 1, 0]]), axis=1) ** 2,
            (distinct(2, 3),),
        ),
        (lambda x: xg.take_along_axis(x, xg.asarray([[1, 0, 1]]), axis=0), (distinct(2, 3),)),
        (lambda x: xg.take_along_axis(x, xg.argmax(x, axis=1, keepdims=True), axis=1), (distinct(2, 3),)),
    ],
    "unique": [
        (lambda x: xg.unique_values(x) ** 2, (distinct(2, 3),)),
        (
            lambda x: [xg.unique_all(x).values, xg.unique_counts(x).values, xg.unique_inverse(x).values],
            (distinct(3),),
        ),
    ],
    "take": [(lambda x: xg.take(x, xg.asarray([[0, -1], [2, 2]]), axis=1) ** 2, (distinct(2, 3),))],
    "complex": [
        (
            lambda a, b: xg.real(xg.take_along_axis(a + 1j * b, xg.asarray([2, 0, 0]))),
            (distinct(3), distinct(3)),
        )
    ],
}
