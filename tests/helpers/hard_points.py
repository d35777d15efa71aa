"""Points where a derivative is not obvious: functions, points, and the values that the docs promise."""

from __future__ import annotations

from typing import Any

import numpy as np

import xgrad as xg

inf, nan = np.inf, np.nan
A = xg.asarray
norm = xg.linalg.vector_norm
square = np.array([[1.0, 2.0], [3.0, 4.0]])


def rebuilt(x: Any) -> Any:
    u, s, vh = xg.linalg.svd(x, full_matrices=False)
    return (u * s) @ vh


def spectral(x: Any) -> Any:
    w, v = xg.linalg.eigh(x)
    return (v * w) @ v.mT


lower = [[nan, 0], [nan, nan]]


def full(value: float) -> Any:
    return np.full((2, 2), value)


def assigned(x: Any) -> Any:
    y = xg.zeros(3)
    y[[0, 0, 2]] = x
    return y**2


#: name -> (function, point, gradient there, row sums of the second derivatives).
POINTS: dict[str, tuple[Any, Any, Any, Any]] = {
    # a root, a norm, a quotient at zero
    "sqrt at 0": (xg.sqrt, 0.0, inf, -inf),
    "x ** 0.5 at 0": (lambda x: x**0.5, 0.0, inf, -inf),
    "cbrt at 0": (np.cbrt, 0.0, inf, nan),
    "log at 0": (xg.log, 0.0, inf, -inf),
    "1 / x at 0": (lambda x: 1 / x, 0.0, -inf, inf),
    "norm at 0": (norm, [0.0, 0.0], [0, 0], [0, 0]),
    "np.linalg.norm at 0": (np.linalg.norm, [0.0, 0.0], [0, 0], [0, 0]),
    "Frobenius norm at 0": (xg.linalg.matrix_norm, [[0.0, 0.0]], [[0, 0]], [[0, 0]]),
    **{f"{p}-norm at 0": (lambda x, p=p: norm(x, ord=p), [0.0, 0.0], [0, 0], [0, 0]) for p in (1, 3, inf)},
    "hypot at 0": (lambda x: xg.hypot(x, x), 0.0, 0, 0),
    "abs at 0": (xg.abs, 0.0, 0, 0),
    "abs of a complex 0": (lambda x: xg.abs(x * (1 + 1j)), 0.0, 0, 0),
    "std of a constant array": (xg.std, [1.0, 1.0], [0, 0], [0, 0]),
    "sinc at 0": (np.sinc, 0.0, 0, -(np.pi**2) / 3),
    "atan2 at (0, 0)": (lambda x: xg.atan2(x, 2 * x), 0.0, nan, nan),
    # powers
    "x ** 0 at 0": (lambda x: x**0, 0.0, 0, 0),
    "x ** 1 at 0": (lambda x: x**1, 0.0, 1, 0),
    "x ** 2 at 0": (lambda x: x**2, 0.0, 0, 2),
    "x ** 2 at 0, with an array as exponent": (lambda x: x ** A(2.0), 0.0, 0, 2),
    "x ** 0 at 0, with an array as exponent": (lambda x: x ** A(0.0), 0.0, 0, 0),
    "0 ** y at 2": (lambda y: A(0.0) ** y, 2.0, 0, 0),
    "0 ** y at 0": (lambda y: A(0.0) ** y, 0.0, 0, 0),
    "x ** 2 below 0": (lambda x: x**2, -3.0, -6, 2),
    # a tie: the first element gets the gradient
    "max": (xg.max, [1.0, 1.0], [1, 0], [0, 0]),
    "min": (xg.min, [1.0, 1.0], [1, 0], [0, 0]),
    "maximum of equal values": (lambda x: xg.maximum(x, x * 1), 1.0, 1, 0),
    "clip at its bounds": (lambda x: xg.clip(x, 1.0, 2.0), [1.0, 2.0, 0.5, 3.0], [1, 1, 0, 0], [0, 0, 0, 0]),
    "sort": (lambda x: xg.sort(x) * A([1.0, 2.0]), [1.0, 1.0], [1, 2], [0, 0]),
    "descending sort": (lambda x: xg.sort(x, descending=True) * A([1.0, 2.0]), [1.0, 1.0], [1, 2], [0, 0]),
    "relu at 0": (xg.relu, 0.0, 0, 0),
    # products and determinants with zeros
    "prod with a zero": (xg.prod, [0.0, 2.0, 3.0], [6, 0, 0], [5, 3, 2]),
    "prod with two zeros": (xg.prod, [0.0, 0.0, 3.0], [0, 0, 0], [3, 3, 0]),
    "cumulative_prod with two zeros": (
        lambda x: xg.cumulative_prod(x)[-1],
        [0.0, 0.0, 3.0],
        [0, 0, 0],
        [3, 3, 0],
    ),
    "det of a singular matrix": (
        xg.linalg.det,
        [[1.0, 2.0], [2.0, 4.0]],
        [[4, -2], [-2, 1]],
        [[1, -1], [-1, 1]],
    ),
    # repeated eigenvalues or singular values
    "eigvalsh": (xg.linalg.eigvalsh, np.eye(2), np.eye(2), np.zeros((2, 2))),
    "svdvals": (xg.linalg.svdvals, np.eye(2), np.eye(2), np.zeros((2, 2))),
    "the nuclear norm at 0": (
        lambda x: xg.linalg.matrix_norm(x, ord="nuc"),
        np.zeros((2, 2)),
        np.zeros((2, 2)),
        np.zeros((2, 2)),
    ),
    "a smooth function of equal eigenvalues": (
        lambda x: xg.linalg.eigvalsh(x) ** 2,
        np.eye(2),
        2 * np.eye(2),
        [[2, 0], [4, 2]],
    ),
    "a single one of equal eigenvalues": (lambda x: xg.linalg.eigvalsh(x)[0], np.eye(2), lower, lower),
    "a smooth function of equal singular values": (
        lambda x: xg.linalg.svdvals(x) ** 2,
        np.eye(2),
        2 * np.eye(2),
        full(2),
    ),
    "a single one of equal singular values": (
        lambda x: xg.linalg.svdvals(x)[0],
        np.eye(2),
        full(nan),
        full(nan),
    ),
    "eigenvectors of equal eigenvalues, where no choice of them matters": (
        lambda x: spectral(x) * A(square + square.T),
        np.eye(2),
        [[2, 0], [10, 8]],
        lower,
    ),
    "an eigenvector of equal eigenvalues": (lambda x: xg.linalg.eigh(x)[1][0], np.eye(2), lower, lower),
    "an eigenvector of a distinct eigenvalue beside equal ones": (
        lambda x: xg.linalg.eigh(x)[1][0, 0] ** 2,
        np.diag([1.0, 2.0, 2.0]),
        np.zeros((3, 3)),
        [[0, 0, 0], [-2, 0, 0], [-2, 0, 0]],
    ),
    "singular vectors of equal singular values, where no choice of them matters": (
        lambda x: rebuilt(x) * A(square),
        np.eye(2),
        square,
        full(nan),
    ),
    # sums of exponentials that are all 0
    "logsumexp of -inf": (xg.logsumexp, [-inf, -inf], [0, 0], [0, 0]),
    "logsumexp with a -inf": (xg.logsumexp, [-inf, 1.0], [0, 1], [0, 0]),
    "logaddexp of -inf": (lambda x: xg.logaddexp(x, x), -inf, 0, 0),
    "softmax with a -inf": (lambda x: xg.softmax(x) * A([2.0, 3.0]), [0.0, -inf], [0, 0], [0, 0]),
    # an element that is not chosen contributes 0, whatever its value
    "where and sqrt": (
        lambda x: xg.where(x > 0, xg.sqrt(x), 0.0),
        [-1.0, 0.0, 4.0],
        [0, 0, 0.25],
        [0, 0, -1 / 32],
    ),
    "where and x log x": (
        lambda x: xg.where(x > 0, x * xg.log(x), 0.0),
        [-1.0, 0.0, 1.0],
        [0, 0, 1],
        [0, 0, 1],
    ),
    "where and a division by 0": (
        lambda x: xg.where(x != 0, xg.sin(x) / x, 1.0),
        [0.0, np.pi],
        [0, -1 / np.pi],
        [0, 2 / np.pi**2],
    ),
    "where and an overflow": (lambda x: xg.where(x < 100, xg.exp(x), x), [0.0, 1e4], [1, 1], [1, 0]),
    "where and a NaN factor": (
        lambda x: xg.where(A([True, False]), x, x * A([nan, 3.0])),
        [1.0, 2.0],
        [1, 3],
        [0, 0],
    ),
    "where and a mask of NaN": (
        lambda x: xg.where(xg.isnan(A([nan, 3.0])), 0.0, xg.tanh(x * A([nan, 3.0]))),
        [1.0, 0.0],
        [0, 3],
        [0, 0],
    ),
    # no elements, one element
    "sum of an empty array": (xg.sum, np.zeros((0, 2)), np.zeros((0, 2)), np.zeros((0, 2))),
    "prod of an empty array": (xg.prod, np.zeros((0, 2)), np.zeros((0, 2)), np.zeros((0, 2))),
    "matrix product of empty arrays": (
        lambda x: x @ xg.zeros((0, 3)),
        np.zeros((2, 0)),
        np.zeros((2, 0)),
        np.zeros((2, 0)),
    ),
    "std over an empty stack": (
        lambda x: xg.std(x, axis=0),
        np.zeros((3, 0)),
        np.zeros((3, 0)),
        np.zeros((3, 0)),
    ),
    "var along an axis of length 1": (
        lambda x: xg.var(x, axis=1),
        np.ones((2, 1)),
        np.zeros((2, 1)),
        np.zeros((2, 1)),
    ),
    "softmax of one element": (xg.softmax, [[3.0]], [[0]], [[0]]),
    "cumulative_sum of a number": (lambda x: xg.cumulative_sum(x * xg.ones(1)), 2.0, 1, 0),
    # indices
    "negative steps": (lambda x: x[::-2] ** 2, [1.0, 2.0, 3.0], [2, 0, 6], [2, 0, 2]),
    "an element taken twice": (lambda x: x[A([0, 0])] ** 2, [3.0, 1.0], [12, 0], [4, 0]),
    "an element assigned twice: the last one wins": (assigned, [1.0, 2.0, 3.0], [0, 4, 6], [0, 2, 2]),
    # operands of other types, and the same operand twice
    "integer and boolean operands": (lambda x: A([2, 3]) * x * A([True, False]), [1.0, 2.0], [2, 0], [0, 0]),
    "an integer power": (lambda x: x ** A([2, 3]), [1.0, 2.0], [2, 12], [2, 12]),
    "x - x": (lambda x: x - x, 1.0, 0, 0),
    "x * x": (lambda x: x * x, 3.0, 6, 2),
    "x / x": (lambda x: x / x, 3.0, 0, 0),
    "x @ x": (lambda x: x @ x, [1.0, 2.0], [2, 4], [2, 2]),
    "x broadcast against itself": (lambda x: x[:, None] * x, [1.0, 2.0], [6, 6], [4, 4]),
    "where with the same Tensor twice": (lambda x: xg.where(x > 1, x, x), [1.0, 2.0], [1, 1], [0, 0]),
    "einsum with the same Tensor twice": (lambda x: xg.einsum("i,i->", x, x), [1.0, 2.0], [2, 4], [2, 2]),
    # piecewise constant
    **{
        name: (f, 1.5, 0, 0)
        for name, f in {
            "floor": xg.floor,
            "ceil": xg.ceil,
            "trunc": xg.trunc,
            "round": xg.round,
            "sign": xg.sign,
        }.items()
    },
    "//": (lambda x: x // 2, 5.0, 0, 0),
    "%": (lambda x: x % 2, 5.0, 1, 0),
    "a comparison": (lambda x: (x > 0) * x, [1.5, -1.0], [1, 0], [0, 0]),
    "searchsorted": (lambda x: xg.searchsorted(A([1.0, 2.0]), x) * x, [1.5], [1], [0]),
}
