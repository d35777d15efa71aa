"""Gradient cases of linear algebra."""

from __future__ import annotations

from typing import Any

import numpy as np

import xgrad as xg
from xgrad.namespace.factors import cofactor

rng = np.random.default_rng(3)


def normal(*shape: int) -> np.ndarray:
    return rng.standard_normal(shape)


def cnormal(*shape: int) -> np.ndarray:
    return normal(*shape) + 1j * normal(*shape)


def regular(a: np.ndarray) -> np.ndarray:
    """Return a matrix far from singular, with well separated singular values."""
    n, m = a.shape[-2:]
    u, _, vh = np.linalg.svd(a, full_matrices=False)
    return (u * np.arange(1.0, min(n, m) + 1)) @ vh


def H(x: Any) -> Any:
    return xg.conj(x).mT


def definite(x: Any) -> Any:
    """Return a positive definite matrix that stays hermitian however x moves."""
    return x @ H(x) + xg.eye(x.shape[-2])


def hermitian(x: Any) -> Any:
    return x + H(x)


def spectral(x: Any) -> Any:
    """Return a function of eigenvectors that does not depend on their phases."""
    w, v = xg.linalg.eigh(hermitian(x))
    return w, (v * xg.sin(w)[..., None, :]) @ H(v)


def of_any_matrix(x: Any) -> Any:
    """Return a function of a general matrix's eigenvectors that does not depend on their order and phases."""
    w, v = xg.linalg.eig(x)
    order = xg.argsort(xg.real(w) + 0.01 * xg.imag(w))
    squares = xg.take_along_axis(abs(v) ** 2, xg.broadcast_to(order[..., None, :], v.shape), axis=-1)
    return xg.sum(w**3), (v * xg.sin(w)[..., None, :]) @ xg.linalg.inv(v), squares


def projections(x: Any, full: bool) -> Any:
    """Return a function of singular vectors that does not depend on their phases."""
    u, s, vh = xg.linalg.svd(x, full_matrices=full)
    k = s.shape[-1]
    rest = ((u[..., k:], H(u[..., k:])), (H(vh[..., k:, :]), vh[..., k:, :]))
    weights = xg.arange(1.0, k + 1)
    first = u[..., :k] * weights
    return [
        s,
        first @ H(u[..., :k]),
        first @ vh[..., :k, :],
        H(vh[..., :k, :]) @ (weights[:, None] * vh[..., :k, :]),
        *(a @ b for a, b in rest),
    ]


def triangular(x: Any, mode: str) -> Any:
    """Return a function of the factors that does not depend on their signs.

    Nor does it depend on the columns that complete them.
    """
    q, r = xg.linalg.qr(x, mode=mode)
    k = min(x.shape[-2:])
    rest = q[..., k:]
    return [q[..., :k], r, rest @ H(rest)]


SQUARE = [(3, 3), (1, 1), (0, 0), (2, 3, 3), (2, 1, 2, 2), (0, 2, 2)]
WIDE = [(3, 3), (4, 2), (2, 4), (1, 3), (3, 1), (2, 4, 3), (2, 2, 3), (0, 3, 2)]


def both(shapes: list[tuple[int, ...]], make: Any) -> list[tuple[np.ndarray]]:
    return [(make(kind(*shape)),) for shape in shapes for kind in (normal, cnormal)]


#: op -> cases of (function, arguments), at least one for each op with a derivative.
GRADIENT_CASES: dict[str, list[tuple[Any, tuple[Any, ...]]]] = {
    "inv": [(xg.linalg.inv, a) for a in both(SQUARE, regular)],
    "solve": [
        (xg.linalg.solve, (regular(kind(*a)), other(*b)))
        for a, b in [
            ((3, 3), (3,)),
            ((3, 3), (3, 2)),
            ((2, 3, 3), (3, 2)),
            ((2, 2), (4, 2, 3)),
            ((2, 1, 2, 2), (3, 2, 1)),
            ((3, 3), (3, 0)),
            ((0, 0), (0, 2)),
        ]
        for kind, other in ((normal, normal), (cnormal, cnormal), (normal, cnormal))
    ],
    "pinv": [(lambda x: xg.linalg.pinv(x), a) for a in both(WIDE, regular)]
    + [(lambda x, y: xg.linalg.pinv(x @ y), (regular(normal(3, 2)), regular(normal(2, 4))))],
    "det": [(xg.linalg.det, a) for a in both(SQUARE, regular)]
    + [(xg.linalg.det, (np.outer([1.0, 2, 3], [2.0, 1, 1]) + np.diag([1.0, 0, 0]),))],
    "cofactor": [(cofactor, a) for a in both([(3, 3), (1, 1), (2, 3, 3)], regular)],
    "slogdet": [(lambda x: tuple(xg.linalg.slogdet(x)), a) for a in both(SQUARE, regular)]
    + [(lambda x: xg.linalg.slogdet(x)[0] * 2.0, (cnormal(2, 2),))],
    "cholesky": [
        (lambda x, upper=upper: xg.linalg.cholesky(definite(x), upper=upper), a)
        for a in both(SQUARE, regular)
        for upper in (False, True)
    ],
    "eigh": [(spectral, a) for a in both(SQUARE, regular)]
    + [(lambda x: xg.linalg.eigh(hermitian(x))[0], (normal(3, 3),))],
    "eig": [(of_any_matrix, a) for a in both([(3, 3), (1, 1), (2, 3, 3)], regular)]
    + [(lambda x: xg.linalg.eigvals(x) ** 2, (cnormal(2, 2),))],
    "eigvalsh": [(lambda x: xg.linalg.eigvalsh(hermitian(x)), a) for a in both(SQUARE, regular)],
    "svd": [
        (lambda x, full=full: projections(x, full), a) for a in both(WIDE, regular) for full in (False, True)
    ]
    + [
        (lambda x: xg.linalg.svd(x, full_matrices=False)[0] ** 2, (normal(3, 2),)),
        (lambda x: xg.linalg.svd(x)[1], (normal(3, 2),)),
    ],
    "svdvals": [(xg.linalg.svdvals, a) for a in both(WIDE, regular)],
    "qr": [
        (lambda x, mode=mode: triangular(x, mode), a)
        for a in both(WIDE, regular)
        for mode in ("reduced", "complete")
    ]
    + [(lambda x, i=i: xg.linalg.qr(x)[i], (normal(2, 3),)) for i in (0, 1)],
}

#: Functions composed of others.
COMPOSED = {
    "vecdot": [
        (lambda x, y, axis=axis: xg.vecdot(x, y, axis=axis), (k(3, 4), k(*s)))
        for k in (normal, cnormal)
        for s, axis in [((3, 4), -2), ((4,), -1)]
    ],
    "tensordot": [
        (lambda x, y: xg.tensordot(x, y, axes=((2, 0), (0, 1))), (cnormal(2, 3, 4), normal(4, 2, 2)))
    ],
    "outer": [(xg.linalg.outer, (cnormal(2), normal(3)))],
    "cross": [(xg.linalg.cross, (cnormal(2, 3), normal(3)))],
    "matrix_power": [
        (lambda x, n=n: xg.linalg.matrix_power(x, n), (regular(cnormal(2, 2, 2)),)) for n in (-3, 1, 5)
    ],
    "diagonal": [
        (lambda x, k=k: xg.linalg.diagonal(x, offset=k), (normal(2, 3, 4),)) for k in (-5, -2, 0, 1, 3)
    ],
    "trace": [(lambda x, k=k: xg.linalg.trace(x, offset=k), (cnormal(2, 3, 4),)) for k in (0, -1)],
    "vector_norm": [
        (lambda x, p=p, axis=axis: xg.linalg.vector_norm(x, ord=p, axis=axis), (k(3, 4),))
        for p in (2, 1, 3, 0.5, -1, -2.5, np.inf, -np.inf, 0)
        for axis in (None, 1)
        for k in (normal, cnormal)
    ],
    "matrix_norm": [
        (lambda x, p=p: xg.linalg.matrix_norm(x, ord=p), (k(2, 3, 4),))
        for p in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)
        for k in (normal, cnormal)
    ],
}
