"""Gradient cases of functions that move elements."""

from __future__ import annotations

from typing import Any

import numpy as np

import xgrad as xg

rng = np.random.default_rng(4)
x, X, v = rng.standard_normal((2, 3)), rng.standard_normal((2, 3, 4)), rng.standard_normal(3)

GRADIENT_CASES: dict[str, list[tuple[Any, tuple[Any, ...]]]] = {
    "tril": [(lambda x, k=k: xg.tril(x, k=k) ** 2, (X,)) for k in (-1, 0, 2)]
    + [(xg.tril, (np.zeros((0, 2)),))],
    "triu": [(lambda x, k=k: xg.triu(x, k=k) ** 2, (X,)) for k in (-1, 0, 2)],
}

COMPOSED: dict[str, list[tuple[Any, tuple[Any, ...]]]] = {
    "flip": [(lambda x, axis=axis: xg.flip(x, axis=axis) ** 2, (X,)) for axis in (None, 1, (0, -1))],
    "roll": [
        (lambda x: xg.roll(x, 2) ** 2, (X,)),
        (lambda x: xg.roll(x, (1, -5), axis=(0, 2)) ** 2, (X,)),
        (lambda x: xg.roll(x, 0), (x,)),
    ],
    "repeat": [
        (lambda x: xg.repeat(x, 3) ** 2, (x,)),
        (lambda x: xg.repeat(x, 0, axis=0), (x,)),
        (lambda x: xg.repeat(x, xg.asarray([2, 0, 1]), axis=1) ** 2, (x,)),
    ],
    "tile": [(lambda x, r=r: xg.tile(x, r) ** 2, (x,)) for r in ((2,), (2, 1, 3), (0, 2), ())],
    "moveaxis": [
        (lambda x: xg.moveaxis(x, 0, -1) ** 2, (X,)),
        (lambda x: xg.moveaxis(x, (0, 1), (-1, 0)), (X,)),
    ],
    "broadcast_arrays": [(lambda a, b: [p * q for p, q in [xg.broadcast_arrays(a, b)]], (x, v))],
    "expand_dims": [(lambda x: xg.squeeze(xg.expand_dims(x, axis=1), axis=1) ** 2, (x,))],
    "concat": [(lambda a, b: xg.real(xg.concat([a, b * (1 + 2j)])) ** 2, (v, v[:2]))],
}
