"""Gradient cases of the ops that belong to no family."""

from __future__ import annotations

from typing import Any

import numpy as np

import xgrad as xg

rng = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return rng.standard_normal(shape)


def positive(*shape: int) -> np.ndarray:
    return rng.uniform(0.5, 2.0, shape)


def distinct(*shape: int) -> np.ndarray:
    """Return an array with no two equal elements, none near zero, so that no choice is near a tie."""
    n = int(np.prod(shape))
    return (rng.permutation(n) - n / 2 + 0.25).reshape(shape) / max(n, 1)


mask = np.array([True, False, True])
#: op -> cases of (function, arguments). Elementwise ops also get shapes from `SHAPES`.
CASES: dict[str, list[tuple[Any, tuple[Any, ...]]]] = {
    "none": [(lambda x: xg.asarray(x, copy=True), (normal(3),))],
    "+": [
        (lambda x, y: x + y, (normal(3), normal(3))),
        (lambda x: x + 2.0, (normal(3),)),
        (lambda x: 2 + x + x, (normal(3),)),
    ],
    "-": [(lambda x, y: x - y, (normal(3), normal(3))), (lambda x: 1 - x, (normal(3),))],
    "*": [
        (lambda x, y: x * y, (normal(3), normal(3))),
        (lambda x: x * x, (normal(3),)),
        (lambda x: 3.0 * x, (normal(3),)),
    ],
    "/": [
        (lambda x, y: x / y, (normal(3), positive(3))),
        (lambda x: 1 / x, (positive(3),)),
        (lambda x: x / 4, (normal(3),)),
    ],
    "**": [
        (lambda x, y: x**y, (positive(3), normal(3))),
        (lambda x: x**3, (normal(3),)),
        (lambda x: x**0, (normal(3),)),
        (lambda x: x**1, (normal(3),)),
        (lambda x: 2.0**x, (normal(3),)),
        (lambda x: x**-1.5, (positive(3),)),
    ],
    "@": [
        (lambda x, y: x @ y, (normal(*a), normal(*b)))
        for a, b in [
            ((2, 3), (3, 4)),
            ((3,), (3,)),
            ((2, 3), (3,)),
            ((3,), (3, 4)),
            ((5, 2, 3), (3, 4)),
            ((2, 3), (5, 3, 4)),
            ((5, 2, 3), (5, 3, 4)),
            ((1, 2, 3), (5, 3, 4)),
            ((6, 5, 2, 3), (5, 3, 4)),
            ((3,), (5, 3, 4)),
            ((5, 2, 3), (3,)),
            ((0, 3), (3, 4)),
            ((2, 0), (0, 4)),
            ((5, 0, 3), (3, 4)),
        ]
    ],
    "neg": [(lambda x: -x, (normal(3),))],
    "abs": [(lambda x: abs(x), (distinct(4),))],
    "exp": [(xg.exp, (normal(3),))],
    "expm1": [(xg.expm1, (normal(3),))],
    "log": [(xg.log, (positive(3),))],
    "log1p": [(xg.log1p, (positive(3),))],
    "sqrt": [(xg.sqrt, (positive(3),))],
    "sin": [(xg.sin, (normal(3),))],
    "cos": [(xg.cos, (normal(3),))],
    "tanh": [(xg.tanh, (normal(3),))],
    "sigmoid": [(xg.sigmoid, (normal(3),))],
    "relu": [(xg.relu, (distinct(6),))],
    "maximum": [
        (xg.maximum, (distinct(6), distinct(6) + 0.01)),
        (lambda x: xg.maximum(x, 0.0), (distinct(6),)),
    ],
    "minimum": [
        (xg.minimum, (distinct(6), distinct(6) + 0.01)),
        (lambda x: xg.minimum(0.0, x), (distinct(6),)),
    ],
    "max": [
        (lambda x, axis=axis, k=k: xg.max(x, axis=axis, keepdims=k), (distinct(2, 3, 4),))
        for axis in (None, 0, -1, (0, 2))
        for k in (False, True)
    ],
    "min": [
        (lambda x, axis=axis, k=k: xg.min(x, axis=axis, keepdims=k), (distinct(2, 3, 4),))
        for axis in (None, 1, (0, 1, 2))
        for k in (False, True)
    ],
    "sum": [
        (lambda x, axis=axis, k=k: xg.sum(x, axis=axis, keepdims=k), (normal(2, 3, 4),))
        for axis in (None, 0, -1, (0, 2), ())
        for k in (False, True)
    ]
    + [
        (lambda x: xg.sum(x), (normal(0, 3),)),
        (lambda x: xg.sum(x, axis=1), (normal(0, 3),)),
        (lambda x: xg.sum(x), (normal(),)),
    ],
    "mean": [
        (lambda x, axis=axis, k=k: xg.mean(x, axis=axis, keepdims=k), (normal(2, 3, 4),))
        for axis in (None, 0, -1, (0, 2))
        for k in (False, True)
    ],
    "logsumexp": [
        (lambda x, axis=axis, k=k: xg.logsumexp(x, axis=axis, keepdims=k), (normal(2, 3, 4),))
        for axis in (None, 0, -1, (0, 2))
        for k in (False, True)
    ],
    "softmax": [(lambda x, axis=axis: xg.softmax(x, axis=axis), (normal(2, 3),)) for axis in (-1, 0, (0, 1))],
    "where": [
        (lambda x, y: xg.where(xg.asarray(mask), x, y), (normal(3), normal(2, 3))),
        (lambda x: xg.where(x > 0, x, 2.0), (distinct(4),)),
    ],
    "reshape": [
        (lambda x: xg.reshape(x, (3, 2)), (normal(2, 3),)),
        (lambda x: x.reshape(-1), (normal(2, 3),)),
        (lambda x: xg.reshape(x, ()), (normal(1),)),
    ],
    "transpose": [
        (lambda x: x.T, (normal(2, 3),)),
        (lambda x: xg.permute_dims(x, (2, 0, 1)), (normal(2, 3, 4),)),
        (lambda x: x.mT, (normal(2, 3, 4),)),
    ],
    "broadcast_to": [
        (lambda x: xg.broadcast_to(x, (4, 2, 3)), (normal(2, 1),)),
        (lambda x: xg.broadcast_to(x, (2, 3)), (normal(),)),
    ],
    "concat": [
        (lambda x, y: xg.concat([x, y], axis=1), (normal(2, 3), normal(2, 1))),
        (lambda x, y: xg.concat([x, y, x], axis=None), (normal(2), normal(3, 1))),
        (lambda x, y: xg.concat([x, y]), (normal(0, 2), normal(3, 2))),
    ],
    "stack": [(lambda x, y: xg.stack([x, y], axis=axis), (normal(2, 3), normal(2, 3))) for axis in (0, -1)],
    "unstack": [
        (lambda x: [a * b for a, b in zip(xg.unstack(x, axis=1), [1.0, 2.0, 3.0])], (normal(2, 3),)),
        (lambda x: xg.unstack(x)[1], (normal(3),)),
    ],
    "item": [(lambda x: list(x), (normal(2, 3),))],
    "take": [
        (lambda x: xg.take(x, xg.asarray([2, 0, 2]), axis=0), (normal(3, 2),)),
        (lambda x: xg.take(x, xg.asarray([[1, 0], [1, 1]]), axis=-1), (normal(3, 2),)),
    ],
    "getitem": [
        (lambda x: x[1], (normal(3, 2),)),
        (lambda x: x[..., ::-2], (normal(3, 4),)),
        (lambda x: x[None, 1:, 0], (normal(3, 4),)),
        (lambda x: x[xg.asarray([0, 2, 0]), xg.asarray([1, 1, 1])], (normal(3, 2),)),
        (lambda x: x[xg.asarray(mask)], (normal(3),)),
    ],
    "setitem": [
        (lambda x, v: _set(x, 1, v), (normal(3, 2), normal(2))),
        (lambda x, v: _set(x, (slice(None), 0), v), (normal(3, 2), normal())),
        (lambda x: _set(x, slice(1, None), 7.0), (normal(3),)),
        (lambda x: _set(x, 0, x[2] * x[1]), (normal(3),)),
    ],
    "scatter": [(lambda x: xg.grad(lambda a: xg.sum(a[xg.asarray([0, 0, 2])] ** 2))(x), (normal(3),))],
    "untake": [
        (
            lambda x: xg.grad(lambda a: xg.sum(xg.take(a, xg.asarray([0, 0, 2]), axis=0) ** 2))(x),
            (normal(3, 2),),
        )
    ],
    "astype": [(lambda x: x.astype(xg.float64), (rng.standard_normal(3).astype("f"),))],
    "to_device": [(lambda x: x.to(x.device) * 2, (normal(3),))],
    "conj": [(lambda x: xg.real(xg.conj(x.astype(xg.complex128) * 1j) * (2 + 3j)), (normal(3),))],
    "real": [(lambda x: xg.real(x.astype(xg.complex128) * (2 + 1j)), (normal(3),))],
    "complex_sign": [(lambda x: xg.real(xg.sign(x.astype(xg.complex128) * (2 + 1j) + 1j)), (normal(3),))],
    "imag": [(lambda x: xg.imag(x.astype(xg.complex128) * (2 + 1j)), (normal(3),))],
}


def _set(x: xg.Tensor, key: Any, v: Any) -> xg.Tensor:
    y = x * 1.0
    y[key] = v
    return y


def placed(args: tuple[Any, ...]) -> tuple[xg.Tensor, ...]:
    return tuple(xg.asarray(a) for a in args)
