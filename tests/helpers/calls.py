"""At least one call of every function of the namespace.

The tests of all functions and the table in the docs use these calls. A call is a function of a namespace and
arrays; it works with NumPy's namespace and with ours. `CALLS` has them by name. If a result is not unique
(the signs of singular vectors), the call returns a quantity that is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from xgrad.ops import OPS

rng = np.random.default_rng(7)


class Call(NamedTuple):
    """`f(xp, *arrays)`, where `xp` is a namespace and `arrays` are its arrays."""

    f: Callable[..., Any]
    arrays: tuple[np.ndarray, ...]


def distinct(*shape: int) -> np.ndarray:
    """Return an array with no two equal elements, none near zero or one, so that no choice is near a tie."""
    n = int(np.prod(shape))
    return (rng.permutation(n) - n / 2 + 0.25).reshape(shape) / max(n, 1)


def calls(*made: Any) -> list[Call]:
    """Collect calls from functions, each followed by the arrays that it is called on."""
    found: list[Call] = []
    for part in made:
        if callable(part):
            found.append(Call(part, ()))
        else:
            found[-1] = Call(found[-1].f, (*found[-1].arrays, part))
    return found


x, y, v, w = distinct(2, 3), distinct(2, 3) + 0.05, distinct(3), distinct(4)
X, Y = distinct(2, 3, 4), distinct(4, 2)
A, B = distinct(3, 3) + 2 * np.eye(3), distinct(3, 2)
S = A @ A.T + np.eye(3)
C, c = distinct(3) + 1j * distinct(3), distinct(2, 4) + 1j * distinct(2, 4)
i = np.array([2, 0, 2])
mask = np.array([[True, False, True], [False, False, True]])
whole = np.array([3, 1, 2, 3, 1])


def _elementwise(name: str, op: Any) -> list[Call]:
    low, high = DOMAIN.get(name, (-2.0, 2.0))
    if name.startswith("logical"):
        args: tuple[np.ndarray, ...] = (mask, ~mask)
    elif name.startswith("bitwise"):
        args = (whole, whole[::-1].copy())
    else:
        args = (low + (high - low) * (x + 0.51) / 1.05, low + (high - low) * (y + 0.51) / 1.15)
    if name in ("real", "imag", "conj"):
        args = (C,)
    if name == "remainder":
        args = (args[0], args[1] + 3.5)
    return [Call(lambda xp, *a: getattr(xp, name)(*a), args[: op.arity])]


#: Intervals on which a real function is defined and smooth, unless it is so everywhere.
DOMAIN = {
    **dict.fromkeys(["acos", "asin", "atanh"], (-0.9, 0.9)),
    **dict.fromkeys(
        ["log", "log2", "log10", "sqrt", "pow", "reciprocal", "divide", "relu", "abs", "remainder"],
        (0.3, 3.0),
    ),
    "acosh": (1.2, 3.0),
    "log1p": (-0.5, 3.0),
    "tan": (-1.2, 1.2),
}

#: Functions that NumPy lacks, written with NumPy.
NOT_IN_NUMPY: dict[str, Callable[..., Any]] = {
    "relu": lambda x: np.where(x < 0, 0, x),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softmax": lambda x, axis=-1: np.exp(x) / np.sum(np.exp(x), axis=axis, keepdims=True),
    "logsumexp": lambda x, axis=None, keepdims=False: np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims)),
    "tensor": np.array,
}

CALLS: dict[str, list[Call]] = {
    **{
        op.function: _elementwise(op.function, op) for op in OPS.values() if op.elementwise and op.listing.doc
    },
    "sign": calls(lambda xp, x: xp.sign(x), x),
    "clip": calls(
        lambda xp, x: xp.clip(x, -0.2, 0.3), x, lambda xp, x, y: xp.clip(x, y, y + 0.1), x, x + 0.01
    ),
    # creation
    "arange": calls(
        lambda xp: xp.arange(5),
        lambda xp: xp.arange(1.0, 2.0, 0.25),
        lambda xp: xp.arange(5, 1, -2, dtype=xp.float32),
    ),
    "asarray": calls(
        lambda xp: xp.asarray([[1, 2], [3, 4]]),
        lambda xp, x: xp.asarray(x),
        x,
        lambda xp, x: xp.asarray(x, dtype=xp.float32, copy=True),
        x,
    ),
    "tensor": calls(lambda xp, x: xp.tensor(x), x),
    "empty": calls(lambda xp: xp.empty((2, 3), dtype=xp.int8).shape),
    "empty_like": calls(lambda xp, x: xp.empty_like(x).shape, x),
    "eye": calls(lambda xp: xp.eye(3), lambda xp: xp.eye(2, 4, k=1, dtype=xp.complex64)),
    "from_dlpack": calls(lambda xp, x: xp.from_dlpack(x), x),
    "full": calls(lambda xp: xp.full((2,), 7), lambda xp: xp.full((), 1.5, dtype=xp.float32)),
    "full_like": calls(lambda xp, x: xp.full_like(x, 3), x),
    "linspace": calls(
        lambda xp: xp.linspace(0.0, 1.0, 5), lambda xp: xp.linspace(2, 3, num=4, endpoint=False)
    ),
    "meshgrid": calls(
        lambda xp, a, b: xp.meshgrid(a, b), v, w, lambda xp, a, b: xp.meshgrid(a, b, indexing="ij"), v, w
    ),
    "ones": calls(lambda xp: xp.ones(3)),
    "ones_like": calls(lambda xp, x: xp.ones_like(x), x),
    "tril": calls(lambda xp, x: xp.tril(x), X, lambda xp, x: xp.tril(x, k=-1), x),
    "triu": calls(lambda xp, x: xp.triu(x), X, lambda xp, x: xp.triu(x, k=1), x),
    "zeros": calls(lambda xp: xp.zeros((2, 0))),
    "zeros_like": calls(lambda xp, x: xp.zeros_like(x, dtype=xp.int64), x),
    # dtypes
    "__array_namespace_info__": calls(
        lambda xp: xp.__array_namespace_info__().capabilities()["boolean indexing"]
    ),
    "astype": calls(lambda xp, x: xp.astype(x, xp.float32), x, lambda xp, x: xp.astype(x, xp.int64), x),
    "broadcast_arrays": calls(lambda xp, x, v: xp.broadcast_arrays(x, v), x, v),
    "broadcast_to": calls(lambda xp, v: xp.broadcast_to(v, (2, 3)), v),
    "can_cast": calls(
        lambda xp: xp.can_cast(xp.int8, xp.int16), lambda xp: xp.can_cast(xp.float64, xp.float32)
    ),
    "finfo": calls(lambda xp: xp.finfo(xp.float32).eps, lambda xp: xp.finfo(xp.complex128).bits),
    "iinfo": calls(lambda xp: xp.iinfo(xp.int8).max),
    "isdtype": calls(
        lambda xp: xp.isdtype(xp.float32, "real floating"), lambda xp: xp.isdtype(xp.int8, ("bool", xp.int16))
    ),
    "result_type": calls(
        lambda xp, x: xp.result_type(x, xp.complex64), x, lambda xp: xp.result_type(xp.int8, xp.uint8)
    ),
    # linear algebra
    "matmul": calls(lambda xp, a, b: xp.matmul(a, b), A, B),
    "matrix_transpose": calls(lambda xp, x: xp.matrix_transpose(x), X),
    "tensordot": calls(
        lambda xp, a, b: xp.tensordot(a, b, axes=1),
        X,
        Y,
        lambda xp, a, b: xp.tensordot(a, b, axes=((2, 0), (0, 1))),
        X,
        Y,
    ),
    "vecdot": calls(lambda xp, a, b: xp.vecdot(a, b), x, v, lambda xp, a, b: xp.vecdot(a, b, axis=0), A, S),
    # indexing, searching, sorting, sets
    "take": calls(lambda xp, x, i: xp.take(x, i, axis=1), x, i),
    "take_along_axis": calls(
        lambda xp, x, i: xp.take_along_axis(x, i, axis=1), x, np.array([[2, 0], [1, 1]])
    ),
    "argmax": calls(lambda xp, x: xp.argmax(x, axis=1), x),
    "argmin": calls(lambda xp, x: xp.argmin(x, axis=0, keepdims=True), x),
    "count_nonzero": calls(lambda xp, x: xp.count_nonzero(x, axis=1), whole.reshape(1, 5)),
    "nonzero": calls(lambda xp, m: xp.nonzero(m), mask),
    "searchsorted": calls(
        lambda xp, a, b: xp.searchsorted(a, b),
        np.sort(w),
        v,
        lambda xp, a, b: xp.searchsorted(a, b, side="right"),
        np.sort(w),
        w,
    ),
    "where": calls(
        lambda xp, m, a, b: xp.where(m, a, b), mask, x, v, lambda xp, m, a: xp.where(m, a, 2.0), mask, x
    ),
    "argsort": calls(lambda xp, x: xp.argsort(x, axis=0), x),
    "sort": calls(lambda xp, x: xp.sort(x), x, lambda xp, x: xp.sort(x, axis=0), X),
    "unique_all": calls(lambda xp, a: tuple(xp.unique_all(a)), whole),
    "unique_counts": calls(lambda xp, a: tuple(xp.unique_counts(a)), whole),
    "unique_inverse": calls(lambda xp, a: tuple(xp.unique_inverse(a)), whole),
    "unique_values": calls(lambda xp, a: xp.sort(xp.unique_values(a)), v),
    # manipulation
    "concat": calls(
        lambda xp, a, b: xp.concat([a, b], axis=1), x, y, lambda xp, a, b: xp.concat((a, b), axis=None), x, v
    ),
    "expand_dims": calls(lambda xp, x: xp.expand_dims(x, axis=1), x),
    "flip": calls(lambda xp, x: xp.flip(x), x, lambda xp, x: xp.flip(x, axis=(0, 2)), X),
    "moveaxis": calls(
        lambda xp, x: xp.moveaxis(x, 0, -1), X, lambda xp, x: xp.moveaxis(x, (0, 1), (2, 0)), X
    ),
    "permute_dims": calls(lambda xp, x: xp.permute_dims(x, (2, 0, 1)), X),
    "repeat": calls(
        lambda xp, x: xp.repeat(x, 2), x, lambda xp, x, n: xp.repeat(x, n, axis=1), x, np.array([1, 0, 2])
    ),
    "reshape": calls(lambda xp, x: xp.reshape(x, (3, -1)), x),
    "roll": calls(lambda xp, x: xp.roll(x, 1), x, lambda xp, x: xp.roll(x, (1, -2), axis=(0, 1)), x),
    "squeeze": calls(lambda xp, x: xp.squeeze(x, axis=1), x.reshape(2, 1, 3)),
    "stack": calls(lambda xp, a, b: xp.stack([a, b], axis=-1), x, y),
    "tile": calls(lambda xp, x: xp.tile(x, (2, 1, 2)), x),
    "transpose": calls(lambda xp, x: xp.transpose(x), X),
    "unstack": calls(lambda xp, x: xp.unstack(x, axis=1), x),
    # statistics, utility
    "cumulative_prod": calls(
        lambda xp, x: xp.cumulative_prod(x, axis=1),
        x,
        lambda xp, v: xp.cumulative_prod(v, include_initial=True),
        v,
    ),
    "cumulative_sum": calls(
        lambda xp, x: xp.cumulative_sum(x, axis=0),
        x,
        lambda xp, v: xp.cumulative_sum(v, include_initial=True),
        v,
    ),
    **{
        name: calls(
            lambda xp, x, name=name: getattr(xp, name)(x),
            x,
            lambda xp, x, name=name: getattr(xp, name)(x, axis=(0, 2), keepdims=True),
            X,
        )
        for name in ("max", "mean", "min", "prod", "std", "sum", "var", "logsumexp")
    },
    "softmax": calls(lambda xp, x: xp.softmax(x), x, lambda xp, x: xp.softmax(x, axis=0), x),
    "all": calls(lambda xp, m: xp.all(m, axis=1), mask),
    "any": calls(lambda xp, m: xp.any(m), mask),
    "diff": calls(
        lambda xp, x: xp.diff(x), x, lambda xp, x, v: xp.diff(x, axis=0, n=2, append=v), x, v.reshape(1, 3)
    ),
    "einsum": calls(
        lambda xp, a, b: xp.einsum("ij,jk->ik", a, b),
        A,
        B,
        lambda xp, a, b: xp.einsum("...ij,ij", a, b),
        X[:, :, :2],
        B,
    ),
    # the linalg extension
    "linalg.cholesky": calls(
        lambda xp, s: xp.linalg.cholesky((s + s.T) / 2),
        S,
        lambda xp, s: xp.linalg.cholesky((s + s.T) / 2, upper=True),
        S,
    ),
    "linalg.cross": calls(lambda xp, a, b: xp.linalg.cross(a, b), x, v),
    "linalg.det": calls(lambda xp, a: xp.linalg.det(a), A),
    "linalg.diagonal": calls(lambda xp, x: xp.linalg.diagonal(x, offset=1), X),
    "linalg.eigh": calls(
        lambda xp, s: (lambda e, q: (e, (q * e) @ xp.matrix_transpose(q)))(*xp.linalg.eigh((s + s.T) / 2)), S
    ),
    "linalg.eig": calls(
        lambda xp, a: (lambda e, q: (xp.sum(e**3), (q * e**2) @ xp.linalg.inv(q)))(
            *xp.linalg.eig(xp.astype(a, xp.complex128))
        ),
        A,
    ),
    "linalg.eigvals": calls(lambda xp, a: xp.sum(xp.linalg.eigvals(xp.astype(a, xp.complex128)) ** 2), A),
    "linalg.eigvalsh": calls(lambda xp, s: xp.linalg.eigvalsh((s + s.T) / 2), S),
    "linalg.inv": calls(lambda xp, a: xp.linalg.inv(a), A),
    "linalg.matmul": calls(lambda xp, a, b: xp.linalg.matmul(a, b), A, B),
    "linalg.matrix_norm": calls(
        lambda xp, a: xp.linalg.matrix_norm(a),
        X,
        lambda xp, a: xp.linalg.matrix_norm(a, ord=1),
        A,
        lambda xp, a: xp.linalg.matrix_norm(a, ord="nuc"),
        A,
    ),
    "linalg.matrix_power": calls(
        lambda xp, a: xp.linalg.matrix_power(a, 3), A, lambda xp, a: xp.linalg.matrix_power(a, -2), A
    ),
    "linalg.matrix_rank": calls(lambda xp, a: xp.linalg.matrix_rank(a), A),
    "linalg.matrix_transpose": calls(lambda xp, x: xp.linalg.matrix_transpose(x), X),
    "linalg.outer": calls(lambda xp, a, b: xp.linalg.outer(a, b), v, w),
    "linalg.pinv": calls(lambda xp, b: xp.linalg.pinv(b), B),
    "linalg.qr": calls(lambda xp, b: (lambda q, r: (q @ r, abs(r)))(*xp.linalg.qr(b)), B),
    "linalg.slogdet": calls(lambda xp, a: xp.linalg.slogdet(a)[1], A),
    "linalg.solve": calls(
        lambda xp, a, b: xp.linalg.solve(a, b), A, B, lambda xp, a, b: xp.linalg.solve(a, b), A, v
    ),
    "linalg.svd": calls(
        lambda xp, b: (lambda u, s, vh: ((u * s) @ vh, s))(*xp.linalg.svd(b, full_matrices=False)), B
    ),
    "linalg.svdvals": calls(lambda xp, b: xp.linalg.svdvals(b), B),
    "linalg.tensordot": calls(lambda xp, a, b: xp.linalg.tensordot(a, b, axes=1), X, Y),
    "linalg.trace": calls(lambda xp, a: xp.linalg.trace(a, offset=-1), A),
    "linalg.vecdot": calls(lambda xp, a, b: xp.linalg.vecdot(a, b), x, v),
    "linalg.vector_norm": calls(
        lambda xp, x: xp.linalg.vector_norm(x),
        x,
        lambda xp, x: xp.linalg.vector_norm(x, axis=1, ord=3, keepdims=True),
        x,
    ),
    # the fft extension
    **{
        f"fft.{name}": calls(lambda xp, c, name=name: getattr(xp.fft, name)(c), c)
        for name in ("fft", "ifft", "fftn", "ifftn", "irfft", "irfftn", "hfft")
    },
    **{
        f"fft.{name}": calls(lambda xp, x, name=name: getattr(xp.fft, name)(x), X)
        for name in ("rfft", "rfftn", "ihfft")
    },
    "fft.fftfreq": calls(lambda xp: xp.fft.fftfreq(5, d=0.5)),
    "fft.rfftfreq": calls(lambda xp: xp.fft.rfftfreq(6)),
    "fft.fftshift": calls(lambda xp, x: xp.fft.fftshift(x), X),
    "fft.ifftshift": calls(lambda xp, x: xp.fft.ifftshift(x, axes=0), X),
}

#: Functions without a derivative, or with one that is zero wherever it exists.
FLAT = """
    __array_namespace_info__ all any arange argmax argmin argsort bitwise_and bitwise_invert
    bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor can_cast ceil count_nonzero empty empty_like
    equal eye fft.fftfreq fft.rfftfreq finfo floor floor_divide from_dlpack full full_like greater
    greater_equal iinfo isdtype isfinite isinf isnan less less_equal linalg.matrix_rank linspace logical_and
    logical_not logical_or logical_xor nonzero not_equal ones ones_like result_type round searchsorted sign
    signbit tensor trunc unique_all unique_counts unique_inverse zeros zeros_like
""".split()

#: How often each function is differentiated in the tests of all functions, and in which modes.
ORDER, MODES = 2, ("rev", "fwd")

#: Functions of real numbers only.
REAL = """
    atan2 clip copysign fft.ihfft fft.rfft fft.rfftn hypot logaddexp logsumexp max maximum min minimum
    nextafter relu remainder softmax sort std unique_values var
""".split()


def complexified(call: Call) -> Call:
    """Return the same call with complex numbers in place of real ones."""
    turned = np.random.default_rng(5)
    parts = [
        a + 0.3j * turned.permutation(a.reshape(-1)).reshape(a.shape) if a.dtype.kind == "f" else a
        for a in call.arrays
    ]
    return Call(call.f, tuple(parts))
