"""Calls of NumPy's functions for arrays and Tensors, used by the tests of NumPy's functions."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

rng = np.random.default_rng(11)


def distinct(*shape: int) -> np.ndarray:
    """Return an array with no two equal elements, none near zero, so that no choice is near a tie."""
    n = int(np.prod(shape))
    return (rng.permutation(n) - n / 2 + 0.3).reshape(shape) / max(n, 1) * 2


x, y, v, w = distinct(2, 3), distinct(2, 3) + 0.07, distinct(3), distinct(4)
X, Y, Z = distinct(2, 3, 4), distinct(4, 2), distinct(4, 4)
A, B = distinct(3, 3) + 2 * np.eye(3), distinct(3, 2)
S = A @ A.T + np.eye(3)
C, D = distinct(2, 4) + 1j * distinct(2, 4), distinct(2, 4) - 1j * distinct(2, 4)
positive = np.abs(x) + 0.2
integers = np.array([[3, -1, 2], [4, 0, -5]])
mask = np.array([[True, False, True], [False, False, True]])
holes = np.where(np.arange(12).reshape(3, 4) % 5 == 2, np.nan, distinct(3, 4))

Call = tuple[Callable[..., Any], tuple[np.ndarray, ...]]


def on(*args: np.ndarray) -> Callable[..., list[Call]]:
    """Return calls of several functions on `args`."""
    return lambda *fs: [(f, args) for f in fs]


def each(names: str, made: Callable[[Any], list[Call]]) -> dict[str, list[Call]]:
    """Return the same calls for several functions."""
    return {name: made(reduce(getattr, name.split("."), np)) for name in names.split()}


def binary(f: Any) -> list[Call]:
    return [(f, (x, y)), (f, (x, v)), (lambda a: f(a, 0.6), (x,)), (lambda b: f(0.6, b), (x,))]


#: Calls through which a gradient flows, by NumPy's name.
SMOOTH: dict[str, list[Call]] = {
    # elementwise
    **{
        n: [(getattr(np, n), (x * 0.8,))]
        for n in "sin cos tan sinh cosh tanh arcsin arctan arcsinh arctanh exp expm1 exp2 sinc square".split()
    },
    **{n: [(getattr(np, n), (positive,))] for n in "log log1p log2 log10 sqrt reciprocal".split()},
    "arccos": on(x * 0.4)(np.arccos),
    "arccosh": on(positive + 1)(np.arccosh),
    "cbrt": on(x)(np.cbrt),
    **{
        n: [(getattr(np, n), (x,))]
        for n in "negative positive absolute fabs deg2rad radians rad2deg degrees".split()
    },
    **{
        n: binary(getattr(np, n))
        for n in """add subtract multiply divide maximum minimum fmax fmin logaddexp logaddexp2 hypot
            arctan2""".split()
    },
    "power": on(positive, y)(np.power, lambda a, b: np.power(a, 3), lambda a, b: np.power(2.0, b)),
    "float_power": on(positive, y)(np.float_power, lambda a, b: np.float_power(a, 2)),
    "remainder": on(x, positive)(np.remainder, np.mod),
    "fmod": on(x, positive)(np.fmod, lambda a, b: np.fmod(a, 0.7)),
    "copysign": on(x, y)(np.copysign),
    "modf": on(x)(lambda a: np.modf(a)[0]),
    "divmod": on(x, positive)(lambda a, b: np.divmod(a, b)[1]),
    "heaviside": on(v)(lambda a: np.heaviside([0, 0, 0], a), lambda a: np.heaviside(0.0, a)),
    "clip": on(x)(
        lambda a: np.clip(a, -0.4, 0.5),
        lambda a: np.clip(a, None, 0.5),
        lambda a: np.clip(a, a_min=-0.2, a_max=None),
        lambda a: np.clip(a, min=0.15),
    ),
    "nan_to_num": on(holes)(np.nan_to_num)
    + on(np.array([np.inf, -np.inf, np.nan, 1.0]))(
        lambda a: np.nan_to_num(a, nan=2.0, posinf=3.0, neginf=4.0)
    ),
    "where": on(x, y)(lambda a, b: np.where(mask.tolist(), a, b), lambda a, b: np.where(a > 0, a, 3.0)),
    "select": on(x, y)(lambda a, b: np.select([a > 0.5, a > 0], [a, b * b], default=2.0)),
    "choose": on(x, y)(
        lambda a, b: np.choose([[0, 1, 0], [1, 1, 0]], [a, b]),
        lambda a, b: np.choose([0, 3, -1], [a, b], mode="wrap"),
        lambda a, b: np.choose([0, 3, -1], [a, 2.0], mode="clip"),
    ),
    "piecewise": on(x)(
        lambda a: np.piecewise(a, [a < 0, a > 0.5], [lambda t: t * t, np.sqrt]),
        lambda a: np.piecewise(a, [a < 0], [3.0, np.sqrt]),
        lambda a: np.piecewise(a[0], a[0] < 0, [np.negative, 1.0]),
    ),
    "conjugate": on(C)(np.conjugate, np.conj),
    "real": on(C)(np.real) + on(x)(np.real),
    "imag": on(C)(np.imag),
    "angle": on(C)(np.angle, lambda a: np.angle(a, deg=True)),
    "real_if_close": on(C)(np.real_if_close) + on(x)(np.real_if_close, lambda a: np.real_if_close(a + 0j)),
    "astype": on(x)(lambda a: np.astype(a, np.complex128), lambda a: np.astype(a, np.float64)),
    # shapes
    "reshape": on(X)(
        lambda a: np.reshape(a, (4, -1)), lambda a: np.reshape(a, 24), lambda a: np.reshape(a, shape=(6, 4))
    ),
    "ravel": on(X)(np.ravel),
    "squeeze": on(X[:, :1, :, None])(
        np.squeeze, lambda a: np.squeeze(a, 1), lambda a: np.squeeze(a, axis=(1, -1))
    ),
    "expand_dims": on(x)(
        lambda a: np.expand_dims(a, 0),
        lambda a: np.expand_dims(a, axis=(0, -1)),
        lambda a: np.expand_dims(a, -1),
    ),
    "transpose": on(X)(
        np.transpose, lambda a: np.transpose(a, (1, 2, 0)), lambda a: np.permute_dims(a, axes=(2, 0, 1))
    ),
    "matrix_transpose": on(X)(np.matrix_transpose),
    "swapaxes": on(X)(lambda a: np.swapaxes(a, 0, -1)),
    "moveaxis": on(X)(lambda a: np.moveaxis(a, 0, -1), lambda a: np.moveaxis(a, (0, 1), (-1, 0))),
    "rollaxis": on(X)(
        lambda a: np.rollaxis(a, 2), lambda a: np.rollaxis(a, 0, 3), lambda a: np.rollaxis(a, 1, -1)
    ),
    "broadcast_to": on(v)(lambda a: np.broadcast_to(a, (2, 3))),
    "broadcast_arrays": on(x, v)(np.broadcast_arrays),
    "meshgrid": on(v, w)(np.meshgrid, lambda a, b: np.meshgrid(a, b, indexing="ij")),
    "concatenate": on(x, y)(
        lambda a, b: np.concatenate([a, b]),
        lambda a, b: np.concatenate((a, b), axis=-1),
        lambda a, b: np.concatenate([a, b], axis=None),
    ),
    "stack": on(x, y)(lambda a, b: np.stack([a, b]), lambda a, b: np.stack([a, b], axis=-1)),
    "unstack": on(x)(lambda a: np.unstack(a, axis=1)),
    "vstack": on(v, x)(lambda a, b: np.vstack([a, b])),
    "hstack": on(v, w)(lambda a, b: np.hstack([a, b])) + on(x, y)(lambda a, b: np.hstack((a, b))),
    "dstack": on(x, y)(lambda a, b: np.dstack([a, b])) + on(v, v)(lambda a, b: np.dstack([a, b])),
    "column_stack": on(v, A)(lambda a, b: np.column_stack([a, b])),
    "block": on(A, B, v)(
        lambda a, b, c: np.block([[a, b], [b.T, b[:2]]]),
        lambda a, b, c: np.block([c, c]),
        lambda a, b, c: np.block(c),
        lambda a, b, c: np.block([[[a]], [[a]]]),
    ),
    "delete": on(X)(
        lambda a: np.delete(a, 1),
        lambda a: np.delete(a, [0, -1], axis=2),
        lambda a: np.delete(a, slice(0, 2), 1),
    ),
    "insert": on(X, v)(
        lambda a, b: np.insert(a, 1, b[0]),
        lambda a, b: np.insert(a, [2, 0, 2], b),
        lambda a, b: np.insert(a, 1, b[:2, None], axis=1),
        lambda a, b: np.insert(b, 1, b),
        lambda a, b: np.insert(a, [0, 3], b[:, None, None][:1], axis=1),
        lambda a, b: np.insert(a, -1, 2.0, axis=2),
        lambda a, b: np.insert(b, slice(0, 2), 5.0),
    ),
    "append": on(x, y)(np.append, lambda a, b: np.append(a, b, axis=1)),
    "split": on(X)(lambda a: np.split(a, 2, axis=2), lambda a: np.split(a, [1], 1)),
    "array_split": on(X)(lambda a: np.array_split(a, 3, axis=2), lambda a: np.array_split(a, [1, 2, 5], 1)),
    "hsplit": on(Z)(lambda a: np.hsplit(a, 2)) + on(w)(lambda a: np.hsplit(a, 2)),
    "vsplit": on(Z)(lambda a: np.vsplit(a, [1, 3])),
    "dsplit": on(X)(lambda a: np.dsplit(a, 2)),
    "atleast_1d": on(v[0], x)(np.atleast_1d, lambda a, b: np.atleast_1d(a)),
    "atleast_2d": on(v, v[0])(np.atleast_2d, lambda a, b: np.atleast_2d(b)),
    "atleast_3d": on(v, x)(np.atleast_3d, lambda a, b: np.atleast_3d(b)),
    "pad": on(x)(
        lambda a: np.pad(a, 1),
        lambda a: np.pad(a, (1, 2), constant_values=3.0),
        lambda a: np.pad(a, ((0, 1), (2, 0)), "edge"),
        lambda a: np.pad(a, ((1, 1), (4, 5)), mode="reflect"),
        lambda a: np.pad(a, [(5, 1), (7, 2)], mode="symmetric"),
        lambda a: np.pad(a, ((2, 1), (4, 5)), mode="wrap"),
        lambda a: np.pad(a, ((1, 0), (0, 1)), constant_values=((1, 2), (3, 4))),
    ),
    "tile": on(x)(lambda a: np.tile(a, 2), lambda a: np.tile(a, (2, 1, 2))),
    "repeat": on(x)(
        lambda a: np.repeat(a, 2),
        lambda a: np.repeat(a, 3, axis=1),
        lambda a: np.repeat(a, [1, 0, 2], axis=-1),
    ),
    "resize": on(x)(lambda a: np.resize(a, (2, 5)), lambda a: np.resize(a, 4)),
    "roll": on(X)(
        lambda a: np.roll(a, 2), lambda a: np.roll(a, -1, axis=1), lambda a: np.roll(a, (1, 2), axis=(0, 2))
    ),
    "flip": on(X)(np.flip, lambda a: np.flip(a, 1), lambda a: np.flip(a, axis=(0, -1))),
    "flipud": on(x)(np.flipud),
    "fliplr": on(x)(np.fliplr),
    "rot90": on(X)(
        np.rot90, lambda a: np.rot90(a, 2), lambda a: np.rot90(a, -1, axes=(1, 2)), lambda a: np.rot90(a, 4)
    ),
    "copy": on(x)(np.copy),
    "take": on(X)(
        lambda a: np.take(a, [2, 0]),
        lambda a: np.take(a, [[1, 0], [2, 2]], axis=1),
        lambda a: np.take(a, 1, axis=-1),
        lambda a: np.take(a, [7, -9], axis=2, mode="wrap"),
        lambda a: np.take(a, [7, -9], axis=2, mode="clip"),
    ),
    "take_along_axis": on(x, np.array([[2, 0], [1, 1]]))(
        lambda a, i: np.take_along_axis(a, i, axis=1), lambda a, i: np.take_along_axis(a, i[0], axis=None)
    ),
    "compress": on(x)(lambda a: np.compress([True, False, True], a, axis=1)),
    "extract": on(x)(lambda a: np.extract(mask.tolist(), a)),
    "tril": on(Z)(np.tril, lambda a: np.tril(a, -1), lambda a: np.tril(a, k=1)),
    "triu": on(X)(np.triu, lambda a: np.triu(a, 1)),
    "diag": on(Z, v)(
        lambda a, b: np.diag(a),
        lambda a, b: np.diag(a, -1),
        lambda a, b: np.diag(b),
        lambda a, b: np.diag(b, 2),
        lambda a, b: np.diag(b, k=-1),
    ),
    "diagflat": on(x)(np.diagflat, lambda a: np.diagflat(a, 1)),
    "diagonal": on(X)(
        np.diagonal, lambda a: np.diagonal(a, 1, 2, 0), lambda a: np.diagonal(a, offset=-1, axis1=1, axis2=2)
    ),
    "trace": on(X)(np.trace, lambda a: np.trace(a, 1, 1, 2)),
    "full_like": on(x, v)(lambda a, b: np.full_like(a, b)),
    "linspace": on(v, v * 2 + 1)(
        lambda a, b: np.linspace(a, b, 4),
        lambda a, b: np.linspace(a, 1.0, 3),
        lambda a, b: np.linspace(a, b, num=3, endpoint=False, axis=-1),
        lambda a, b: np.linspace(a[0], 3, retstep=True),
    ),
    "logspace": on(v, v + 1)(
        lambda a, b: np.logspace(a, b, 4),
        lambda a, b: np.logspace(a, 2.0, num=3, base=2.0, endpoint=False, axis=-1),
    ),
    "geomspace": on(positive, positive + 1)(
        lambda a, b: np.geomspace(a, b, 4), lambda a, b: np.geomspace(-a, -3.0, 3, axis=1)
    ),
    "vander": on(v)(np.vander, lambda a: np.vander(a, 4, increasing=True)),
    "apply_along_axis": on(X)(
        lambda a: np.apply_along_axis(lambda row: row * row, 1, a),
        lambda a: np.apply_along_axis(lambda row: row.sum(), 0, a),
    ),
    # reductions
    "sum": on(X)(
        np.sum,
        lambda a: np.sum(a, 1),
        lambda a: np.sum(a, axis=(0, -1), keepdims=True),
        lambda a: np.sum(a, initial=2.0),
        lambda a: np.sum(a, 0, where=(X[0] > 0).tolist()),
        lambda a: np.sum(a, 0, np.float64, None, True),
    ),
    "prod": on(x)(
        np.prod, lambda a: np.prod(a, 1), lambda a: np.prod(a, axis=0, initial=3.0, where=mask.tolist())
    ),
    **each(
        "max min amax amin",
        lambda f: on(X)(
            f,
            lambda a: f(a, 1),
            lambda a: f(a, axis=(0, 2), keepdims=True),
            lambda a: f(a, axis=0, initial=0.1),
            lambda a: f(a, axis=-1, initial=0.1, where=a > 0),
        ),
    ),
    "mean": on(X)(
        np.mean,
        lambda a: np.mean(a, 1),
        lambda a: np.mean(a, axis=(0, 2), keepdims=True),
        lambda a: np.mean(a, 0, where=(X > -0.8).tolist()),
    )
    + on(C)(np.mean),
    **each(
        "var std",
        lambda f: (
            on(X)(
                f,
                lambda a: f(a, 1),
                lambda a: f(a, axis=(0, 2), ddof=1, keepdims=True),
                lambda a: f(a, axis=-1, correction=1),
                lambda a: f(a, where=(X > 0).tolist()),
            )
            + on(C)(f)
        ),
    ),
    "ptp": on(X)(np.ptp, lambda a: np.ptp(a, axis=1)),
    "average": on(x, positive)(
        lambda a, b: np.average(a),
        lambda a, b: np.average(a, weights=b),
        lambda a, b: np.average(a, 1, b, keepdims=True),
        lambda a, b: np.average(a, axis=1, weights=b[0], returned=True),
    ),
    "median": on(X)(
        np.median, lambda a: np.median(a, axis=1), lambda a: np.median(a, axis=(0, 2), keepdims=True)
    ),
    "quantile": on(X)(
        lambda a: np.quantile(a, 0.3),
        lambda a: np.quantile(a, [0.1, 0.75], axis=2),
        lambda a: np.quantile(a, 0.4, axis=(0, 1), keepdims=True),
    )
    + [
        (lambda a, m=m: np.quantile(a, 0.37, axis=-1, method=m), (X,))
        for m in ("lower", "higher", "midpoint", "nearest")
    ],
    "nanmedian": on(holes)(
        np.nanmedian, lambda a: np.nanmedian(a, axis=0), lambda a: np.nanmedian(a, axis=1, keepdims=True)
    ),
    "nanquantile": on(holes)(
        lambda a: np.nanquantile(a, 0.3), lambda a: np.nanquantile(a, [0.0, 0.6], axis=1)
    ),
    "nanpercentile": on(holes)(lambda a: np.nanpercentile(a, 30, axis=0)),
    "percentile": on(X)(lambda a: np.percentile(a, 30), lambda a: np.percentile(a, [10, 60], axis=0)),
    **each(
        "nansum nanprod nanmean nanvar nanstd nanmax nanmin",
        lambda f: on(holes)(f, lambda a: f(a, 0), lambda a: f(a, axis=1, keepdims=True)),
    ),
    **each(
        "cumsum cumprod nancumsum nancumprod", lambda f: on(x)(f, lambda a: f(a, 1), lambda a: f(a, axis=0))
    ),
    "cumulative_sum": on(x)(lambda a: np.cumulative_sum(a, axis=1, include_initial=True)),
    "cumulative_prod": on(x)(lambda a: np.cumulative_prod(a, axis=0)),
    "diff": on(X)(
        np.diff,
        lambda a: np.diff(a, 2, 1),
        lambda a: np.diff(a, axis=0, prepend=0.5),
        lambda a: np.diff(a, append=a[..., :2]),
    ),
    "ediff1d": on(x)(np.ediff1d, lambda a: np.ediff1d(a, to_begin=1.0, to_end=[2.0, 3.0])),
    "gradient": on(X)(
        np.gradient,
        lambda a: np.gradient(a, 2.0, axis=1),
        lambda a: np.gradient(a, 2.0, [0.0, 1.0, 3.0, 3.5], axis=(0, 2)),
        lambda a: np.gradient(a, 1.0, axis=2, edge_order=2),
        lambda a: np.gradient(a, [0.0, 1.0, 3.0, 3.5], axis=-1, edge_order=2),
    ),
    "unwrap": on(X * 5)(np.unwrap, lambda a: np.unwrap(a, axis=1, period=3.0), lambda a: np.unwrap(a, 4.0)),
    "trapezoid": on(X)(
        np.trapezoid,
        lambda a: np.trapezoid(a, dx=0.5, axis=1),
        lambda a: np.trapezoid(a, [0.0, 1.0, 1.5], axis=1),
    ),
    "interp": on(x, np.array([-0.8, -0.1, 0.35, 0.9]), w)(
        np.interp,
        lambda a, b, c: np.interp(a, b, c, left=-1.0, right=5.0),
        lambda a, b, c: np.interp(a, b, c, period=2.5),
    ),
    "cov": on(X[0], X[1])(
        np.cov,
        lambda a, b: np.cov(a, rowvar=False),
        lambda a, b: np.cov(a[0], b[0], ddof=0),
        lambda a, b: np.cov(a[0], bias=True),
    )
    + on(C)(np.cov),
    "corrcoef": on(X[0])(np.corrcoef),
    # sorting
    "sort": on(X)(np.sort, lambda a: np.sort(a, 0), lambda a: np.sort(a, axis=None)),
    "partition": on(np.sort(w))(lambda a: np.partition(a, 2)),
    "unique": on(x)(np.unique, lambda a: np.unique(a, return_index=True)),
    # products
    "matmul": on(A, B)(np.matmul),
    "dot": on(A, B)(np.dot)
    + on(v, v)(np.dot)
    + on(X, Y)(np.dot)
    + on(X, X.transpose(0, 2, 1))(np.dot)
    + on(x, v[0])(np.dot),
    "inner": on(x, A)(np.inner) + on(v, v)(np.inner) + on(X, Z)(np.inner),
    "vdot": on(x, y)(np.vdot) + on(C, D)(np.vdot),
    "outer": on(v, x)(np.outer),
    "kron": on(x, B)(np.kron) + on(v, x)(np.kron) + on(X, v)(np.kron),
    "tensordot": on(X, Y)(
        lambda a, b: np.tensordot(a, b, 1),
        lambda a, b: np.tensordot(a, b, axes=([2, 0], [0, 1])),
        lambda a, b: np.tensordot(a, b, axes=(-1, 0)),
        lambda a, b: np.tensordot(a, b, 0),
    ),
    "cross": on(x, y)(np.cross, lambda a, b: np.cross(a, b[0]))
    + on(B, B * 2 + 1)(lambda a, b: np.cross(a, b, axis=0), lambda a, b: np.cross(a, b.T, 0, 1, 0)),
    "vecdot": on(x, v)(np.vecdot) + on(C, D)(np.vecdot),
    "matvec": on(X, w)(np.matvec),
    "vecmat": on(x, A)(np.vecmat),
    "einsum": on(x, A)(
        lambda a, b: np.einsum("ij,jk->ik", a, b),
        lambda a, b: np.einsum("...j,kj", a, b),
        lambda a, b: np.einsum(a, [0, 1], b, [1, 1]),
        lambda a, b: np.einsum("ij,jj,ij->i", a, b, a, optimize=True),
    ),
    "convolve": on(v, w)(*(lambda a, b, m=m: np.convolve(a, b, m) for m in ("full", "same", "valid")))
    + on(w, v)(lambda a, b: np.convolve(a, b, mode="same")),
    "correlate": on(v, w)(*(lambda a, b, m=m: np.correlate(a, b, m) for m in ("full", "same", "valid")))
    + on(w, v)(np.correlate, lambda a, b: np.correlate(a, b, mode="same"))
    + on(C[0], D[1, :3])(lambda a, b: np.correlate(a, b, "full")),
    "polyval": on(v, x)(np.polyval),
    "polyadd": on(v, w)(np.polyadd),
    "polysub": on(v, w)(np.polysub),
    "polymul": on(v, w)(np.polymul),
    "polyder": on(w)(np.polyder, lambda a: np.polyder(a, 2)),
    "polyint": on(w)(np.polyint, lambda a: np.polyint(a, 2, [1.0, 2.0])),
    "polyfit": on(w, w * w + 1, np.abs(w) + 1)(
        lambda a, b, c: np.polyfit(a, b, 2), lambda a, b, c: np.polyfit(a, b, 1, w=c)
    ),
    # linear algebra
    "linalg.norm": on(A, v)(
        lambda a, b: np.linalg.norm(a),
        lambda a, b: np.linalg.norm(b),
        lambda a, b: np.linalg.norm(a, axis=0),
        lambda a, b: np.linalg.norm(a, 3, 1, True),
        lambda a, b: np.linalg.norm(b, np.inf),
        *(lambda a, b, o=o: np.linalg.norm(a, o) for o in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)),
        lambda a, b: np.linalg.norm(b, 1),
    )
    + on(X)(
        lambda a: np.linalg.norm(a, axis=(0, 2), keepdims=True),
        np.linalg.norm,
        lambda a: np.linalg.norm(a, "nuc", axis=(2, 0)),
    ),
    "linalg.matrix_norm": on(A)(np.linalg.matrix_norm),
    "linalg.vector_norm": on(A)(np.linalg.vector_norm),
    "linalg.det": on(A)(np.linalg.det),
    "linalg.slogdet": on(A)(lambda a: np.linalg.slogdet(a)[1]),
    "linalg.inv": on(A)(np.linalg.inv),
    "linalg.pinv": on(B)(np.linalg.pinv),
    "linalg.solve": on(A, B)(np.linalg.solve) + on(A, v)(np.linalg.solve),
    "linalg.lstsq": on(distinct(4, 2), Y)(lambda a, b: np.linalg.lstsq(a, b)[0])
    + on(distinct(4, 2), w)(lambda a, b: np.linalg.lstsq(a, b)[:2]),
    "linalg.cholesky": on(A)(
        lambda a: np.linalg.cholesky(a @ a.T), lambda a: np.linalg.cholesky(a @ a.T, upper=True)
    ),
    "linalg.eigh": on(S)(
        np.linalg.eigvalsh,
        lambda s: (lambda e, q: (q * e) @ q.T)(*np.linalg.eigh(s)),
        lambda s: np.linalg.eigh(s, UPLO="U")[0],
    ),
    "linalg.svd": on(B)(
        lambda b: np.linalg.svd(b, compute_uv=False),
        lambda b: (lambda u, s, vt: (u * s) @ vt)(*np.linalg.svd(b, full_matrices=False)),
        np.linalg.svdvals,
    ),
    "linalg.qr": on(B)(
        lambda b: (lambda q, r: q @ r)(*np.linalg.qr(b)), lambda b: abs(np.linalg.qr(b, mode="r"))
    ),
    "linalg.multi_dot": on(x, A, B, v[:2])(
        lambda a, b, c, d: np.linalg.multi_dot([a, b, c]),
        lambda a, b, c, d: np.linalg.multi_dot([a[0], b, c, d]),
    ),
    "linalg.matrix_power": on(A)(lambda a: np.linalg.matrix_power(a, 3)),
    "linalg.cond": on(A)(np.linalg.cond, lambda a: np.linalg.cond(a, 1), lambda a: np.linalg.cond(a, -2)),
    **{
        f"linalg.{n}": c
        for n, c in {
            "cross": on(x, y)(np.linalg.cross),
            "diagonal": on(X)(lambda a: np.linalg.diagonal(a, offset=1)),
            "trace": on(X)(np.linalg.trace),
            "outer": on(v, w)(np.linalg.outer),
            "matmul": on(A, B)(np.linalg.matmul),
            "tensordot": on(X, Y)(lambda a, b: np.linalg.tensordot(a, b, axes=1)),
            "vecdot": on(x, v)(np.linalg.vecdot),
            "matrix_transpose": on(X)(np.linalg.matrix_transpose),
        }.items()
    },
    # Fourier transforms
    **each(
        "fft.fft fft.ifft fft.irfft fft.hfft",
        lambda f: on(C)(f, lambda c: f(c, 5, axis=0), lambda c: f(c, n=3, norm="ortho")),
    ),
    **each("fft.rfft fft.ihfft", lambda f: on(X)(f, lambda c: f(c, 5, axis=0))),
    **each(
        "fft.fft2 fft.ifft2 fft.fftn fft.ifftn fft.irfft2 fft.irfftn",
        lambda f: on(C)(f, lambda c: f(c, s=(2, 6), axes=(0, 1)), lambda c: f(c, norm="forward")),
    ),
    **each("fft.rfft2 fft.rfftn", lambda f: on(X)(f, lambda c: f(c, axes=(0, 1)))),
    "fft.fftshift": on(X)(np.fft.fftshift, lambda a: np.fft.fftshift(a, axes=1)),
    "fft.ifftshift": on(X)(np.fft.ifftshift),
    # the methods of ufuncs
    "add.reduce": on(X)(
        np.add.reduce,
        lambda a: np.add.reduce(a, axis=None),
        lambda a: np.add.reduce(a, axis=(0, 1), keepdims=True),
        lambda a: np.add.reduce(a, 1, initial=2.0),
    ),
    "multiply.reduce": on(x)(np.multiply.reduce, lambda a: np.multiply.reduce(a, axis=1)),
    "maximum.reduce": on(X)(np.maximum.reduce, lambda a: np.maximum.reduce(a, axis=2, keepdims=True)),
    "minimum.reduce": on(X)(np.minimum.reduce, lambda a: np.minimum.reduce(a, axis=(0, 1))),
    "logaddexp.reduce": on(X)(np.logaddexp.reduce),
    **each(
        "add.accumulate multiply.accumulate maximum.accumulate minimum.accumulate logaddexp.accumulate",
        lambda f: on(X)(f, lambda a: f(a, axis=-1)),
    ),
    **{f"{n}.outer": on(v, x)(getattr(np, n).outer) for n in "add subtract multiply maximum hypot".split()},
}

#: Calls whose results have no gradient, by NumPy's name.
FLAT: dict[str, list[Call]] = {
    **{
        n: [(getattr(np, n), (x,))]
        for n in """floor ceil trunc rint round around fix sign isfinite isnan isinf isposinf isneginf
            signbit""".split()
    },
    **{
        n: [(getattr(np, n), (x, y))]
        for n in (
            "equal not_equal less less_equal greater greater_equal logical_and logical_or logical_xor "
            "floor_divide"
        ).split()
    },
    "round": on(x * 10)(lambda a: np.round(a, 1), lambda a: np.round(a, decimals=-1)),
    "logical_not": on(x)(np.logical_not),
    **each(
        "all any",
        lambda f: on(mask)(
            f,
            lambda a: f(a, 1),
            lambda a: f(a, axis=0, keepdims=True),
            lambda a: f(a, where=(~mask).tolist()),
        ),
    ),
    "count_nonzero": on(integers)(np.count_nonzero, lambda a: np.count_nonzero(a, axis=0)),
    **each("argmax argmin", lambda f: on(X)(f, lambda a: f(a, 1), lambda a: f(a, axis=0, keepdims=True))),
    "argsort": on(X)(np.argsort, lambda a: np.argsort(a, axis=None), lambda a: np.argsort(a, 0)),
    **each(
        "nanargmax nanargmin",
        lambda f: on(holes)(f, lambda a: f(a, 1), lambda a: f(a, axis=0, keepdims=True)) + on(integers)(f),
    ),
    "lexsort": on(np.array([3, 1, 3, 2]), np.array([1.0, 0.0, 1.0, 0.0]))(
        lambda a, b: np.lexsort((a, b)), lambda a, b: np.lexsort((b, a), axis=0)
    ),
    "bincount": on(np.array([3, 1, 3, 2]))(np.bincount, lambda a: np.bincount(a, minlength=6)),
    **each("histogram histogram_bin_edges", lambda f: on(integers)(f, lambda a: f(a, 3, range=(-1.0, 4.0)))),
    "argpartition": on(np.sort(w))(lambda a: np.argpartition(a, 1)),
    "isin": on(integers)(lambda a: np.isin(a, [3, 0]), lambda a: np.isin(a, [3, 0], invert=True)),
    "digitize": on(x)(
        lambda a: np.digitize(a, [-0.5, 0.0, 0.7]),
        lambda a: np.digitize(a, [-0.5, 0.3], right=True),
        lambda a: np.digitize(a, [0.7, 0.0, -0.5]),
        lambda a: np.digitize(a, [0.3, -0.5], right=True),
    ),
    "argwhere": on(integers)(np.argwhere),
    "flatnonzero": on(integers)(np.flatnonzero),
    "nonzero": on(integers)(np.nonzero),
    "where": on(integers)(lambda a: np.where(a)),
    "searchsorted": on(np.sort(w), x)(
        np.searchsorted,
        lambda a, b: np.searchsorted(a, b, side="right"),
        lambda a, b: np.searchsorted(a, b[0, 0]),
    ),
    "isclose": on(x, x + 1e-9)(np.isclose, lambda a, b: np.isclose(a, b, rtol=0, atol=1e-12))
    + on(np.array([np.nan, np.inf, 1.0]), np.array([np.nan, np.inf, np.inf]))(
        np.isclose, lambda a, b: np.isclose(a, b, equal_nan=True)
    ),
    "allclose": on(x, x + 1e-9)(np.allclose, lambda a, b: np.allclose(a, 2 * b)),
    "array_equal": on(x, x)(np.array_equal, lambda a, b: np.array_equal(a, b[0]))
    + on(holes, holes)(np.array_equal, lambda a, b: np.array_equal(a, b, equal_nan=True)),
    "array_equiv": on(x, x)(np.array_equiv, lambda a, b: np.array_equiv(a, b[0])) + on(x, w)(np.array_equiv),
    "iscomplex": on(C)(np.iscomplex) + on(x)(np.iscomplex),
    "isreal": on(C)(np.isreal),
    "iscomplexobj": on(C)(np.iscomplexobj) + on(x)(np.iscomplexobj),
    "isrealobj": on(C)(np.isrealobj) + on(x)(np.isrealobj),
    "shape": on(X)(np.shape),
    "ndim": on(X)(np.ndim),
    "size": on(X)(np.size, lambda a: np.size(a, 1)),
    "result_type": on(x)(lambda a: np.result_type(a, np.complex64)),
    **each("zeros_like ones_like", lambda f: on(X)(f, lambda a: f(a, dtype=np.float32, shape=(2,)))),
    "empty_like": on(X)(lambda a: np.empty_like(a).shape),
    "full_like": on(X)(lambda a: np.full_like(a, 2)),
    "linalg.matrix_rank": on(A)(np.linalg.matrix_rank, lambda a: np.linalg.matrix_rank(a, tol=1e3)),
    "logical_and.reduce": on(mask)(np.logical_and.reduce, lambda a: np.logical_and.reduce(a, axis=None)),
    "logical_or.reduce": on(mask)(np.logical_or.reduce),
    "bitwise_and": on(integers, integers[::-1])(
        np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.left_shift, lambda a, b: np.invert(a)
    ),
    "may_share_memory": on(x, y)(np.may_share_memory),
    "unique": on(np.array([3, 1, 3, 2]))(
        np.unique, lambda a: np.unique(a, return_index=True, return_inverse=True, return_counts=True)
    ),
}

#: Calls at points where derivatives are not tested, by NumPy's name.
AT_THE_EDGE: dict[str, list[Call]] = {
    "unique": on(np.array([np.nan, 1.0, np.nan]))(
        lambda a: np.unique(a, return_inverse=True, return_counts=True),
        lambda a: np.unique(a, equal_nan=False),
    ),
    "astype": on(x)(lambda a: np.astype(a, np.float32)),
    "maximum": on(np.array([1.0, np.nan]), np.array([1.0, 2.0]))(np.maximum, np.fmax, np.fmin),
    "fmod": on(np.array([-5.0, 5.0, -6.0]), np.array([3.0, -3.0, 3.0]))(np.fmod)
    + on(integers, integers[::-1])(np.fmod),
    "nanvar": on(np.array([[np.nan, np.nan], [1.0, np.nan]]))(
        lambda a: np.nanvar(a, axis=1), lambda a: np.nanmax(a, axis=1), lambda a: np.nansum(a, axis=1)
    ),
    "var": on(np.array([1.0]))(lambda a: np.var(a, ddof=1), lambda a: np.std(a, ddof=2))
    + on(integers)(np.var),
    "max": on(np.zeros((0, 2)))(lambda a: np.max(a, axis=0, initial=1.0), lambda a: np.max(a, axis=1)),
    "median": on(holes)(np.median, lambda a: np.median(a, axis=1)) + on(integers)(np.median),
    "sinc": on(np.array([0.0, 1e-9, 0.009, 0.0096, 3.0]))(np.sinc),
    "modf": on(np.array([-1.5, np.inf, -np.inf, 2.0]))(np.modf),
    "round": on(integers)(np.round, lambda a: np.round(a, -1)),
    "nan_to_num": on(np.array([1j * np.inf, np.nan, 2.0]))(np.nan_to_num),
}
