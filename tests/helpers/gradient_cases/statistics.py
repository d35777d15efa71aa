"""Gradient cases of sums, products, variances, and cumulative functions."""

from __future__ import annotations

from typing import Any

import numpy as np

import xgrad as xg

rng = np.random.default_rng(3)
# well apart
x, X, v = (
    rng.permutation(n).reshape(shape) / 4 - 1.3 for n, shape in ((6, (2, 3)), (24, (2, 3, 4)), (5, (5,)))
)

zero, zeros_, all_zero = np.array([2.0, 0.0, -1.5, 3.0]), np.array([0.0, 2.0, 0.0, 3.0]), np.zeros(3)
rows = np.array([[1.0, 0.0, 2.0], [0.0, 0.0, 3.0], [4.0, 5.0, 6.0]])

GRADIENT_CASES: dict[str, list[tuple[Any, tuple[Any, ...]]]] = {
    "prod": [
        (lambda x, axis=axis, k=k: xg.prod(x, axis=axis, keepdims=k), (X,))
        for axis in (None, 0, -1, (0, 2), ())
        for k in (False, True)
    ]
    + [(xg.prod, (a,)) for a in (zero, zeros_, all_zero, np.float64(2.0), np.zeros((0, 3)))]
    + [(lambda x, axis=axis: xg.prod(x, axis=axis), (rows,)) for axis in (0, 1)],
    "cumulative_sum": [
        (lambda x, axis=axis, first=first: xg.cumulative_sum(x, axis=axis, include_initial=first), (X,))
        for axis in (0, -1)
        for first in (False, True)
    ]
    + [(xg.cumulative_sum, (np.zeros(0),))],
    "cumulative_prod": [
        (lambda x, axis=axis, first=first: xg.cumulative_prod(x, axis=axis, include_initial=first), (a,))
        for a, axis in [
            (X, 0),
            (X, -1),
            (v, 0),
            (zero, 0),
            (zeros_, 0),
            (all_zero, 0),
            (rows, 0),
            (rows, 1),
            (np.zeros(0), 0),
            (np.ones(1), 0),
        ]
        for first in (False, True)
    ],
    "var": [
        (lambda x, axis=axis, k=k: xg.var(x, axis=axis, keepdims=k), (X,))
        for axis in (None, 1, (0, 2))
        for k in (False, True)
    ]
    + [(lambda x: xg.var(x, correction=1), (v,)), (lambda x: xg.var(x, correction=0.5), (v,))],
    "std": [
        (lambda x, axis=axis, k=k: xg.std(x, axis=axis, keepdims=k), (X,))
        for axis in (None, 1, (0, 2))
        for k in (False, True)
    ]
    + [(lambda x: xg.std(x, correction=1), (v,))],
}

COMPOSED: dict[str, list[tuple[Any, tuple[Any, ...]]]] = {
    "diff": [
        (lambda x, n=n, axis=axis: xg.diff(x, n=n, axis=axis), (X,)) for n in (0, 1, 2, 4) for axis in (0, -1)
    ]
    + [
        (
            lambda x, a, b: xg.diff(x, prepend=a, append=b),
            (x, rng.standard_normal((2, 1)), rng.standard_normal()),
        )
    ],
    "complex": [
        (lambda a, b, f=f: [xg.real(f(a + 1j * b)), xg.imag(f(a + 1j * b))], (v, v[::-1].copy()))
        for f in (xg.prod, xg.cumulative_prod, xg.cumulative_sum, xg.diff, lambda z: xg.sum(z) + xg.mean(z))
    ],
}
