"""NaN, infinities, signed zeros and subnormals: NumPy's values eagerly, and the same in compiled code."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from xgrad.backends.cpu.half import is_half
from xgrad.ops import OPS

DTYPES = ["float16", "float32", "float64", "complex64", "complex128"]
ONE = [op for op in dict.fromkeys(OPS.values()) if op.elementwise and op.arity == 1 and op.listing.doc]
TWO = [op for op in dict.fromkeys(OPS.values()) if op.elementwise and op.arity == 2 and op.listing.doc]
REDUCTIONS = [
    "sum",
    "prod",
    "max",
    "min",
    "mean",
    "var",
    "std",
    "all",
    "any",
    "argmax",
    "argmin",
    "cumulative_sum",
    "cumulative_prod",
    "count_nonzero",
]


def special(dtype: str) -> np.ndarray:
    info = np.finfo(dtype)
    real = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        2.5,
        -2.5,
        0.5,
        3.0,
        np.inf,
        -np.inf,
        np.nan,
        info.max,
        -info.max,
        info.tiny,
        info.smallest_subnormal,
        -info.smallest_subnormal,
    ]
    if np.dtype(dtype).kind == "c":
        few = [0.0, -0.0, 1.0, -2.5, np.inf, -np.inf, np.nan]
        return np.array([complex(a, b) for a in few for b in few], dtype)
    return np.array(real, dtype)


def same(a: Any, b: Any, ulps: float = 0) -> bool:
    """Compare bit for bit, except for the kind of NaN.

    Finite numbers may differ by `ulps`; special values are exact.
    """
    a, b = (np.atleast_1d(np.asarray(v)) for v in (a, b))
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.kind == "c":
        return same(a.real, b.real, ulps) and same(a.imag, b.imag, ulps)
    if a.dtype.kind != "f":
        return bool((a == b).all())
    equal = (a == b) & (np.signbit(a) == np.signbit(b)) | (np.isnan(a) & np.isnan(b))
    with np.errstate(all="ignore"):
        near = (
            np.isfinite(a)
            & np.isfinite(b)
            & (np.abs(a - b) <= ulps * np.spacing(np.maximum(np.abs(a), np.abs(b))))
            & (np.signbit(a) == np.signbit(b))
        )
    return bool((equal | near).all())


def operands(op: Any, dtype: str) -> list[np.ndarray]:
    x = special(dtype)
    return (
        [x]
        if op.arity == 1
        else [np.ascontiguousarray(v) for v in (np.repeat(x, len(x)), np.tile(x, len(x)))]
    )


def called(f: Any, *args: Any) -> Any:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return f(*args)


def function_of(op: Any) -> Any:
    return getattr(xg, op.function, None) or getattr(xg.namespace, op.function)


def takes(op: Any, dtype: str) -> bool:
    """Return whether NumPy's function accepts this dtype, if NumPy has the function."""
    try:
        called(getattr(np, op.listing.numpy[0], function_of(op)), *operands(op, dtype))
    except TypeError:
        return False
    return True


#: Where the array standard, which xgrad follows, differs from NumPy: infinite quotients, and complex numbers
#: that are not finite.
STANDARD = {("//", "float32"), ("//", "float64"), ("expm1", "complex64"), ("expm1", "complex128")}
ELEMENTWISE = [(op, dtype) for op in ONE + TWO for dtype in DTYPES]
named = lambda pair: f"{pair[0].name}-{pair[1]}"


@pytest.mark.parametrize("pair", ELEMENTWISE, ids=named)
def test_element_by_element_as_numpy(pair: Any) -> None:
    op, dtype = pair
    numpys = getattr(np, op.listing.numpy[0], None)
    if numpys is None or is_half(np.dtype(dtype)) or (op.name, dtype) in STANDARD or not takes(op, dtype):
        pytest.skip("NumPy has none, adds up in half precision, or is not as the standard is")
    assert same(
        called(function_of(op), *map(xg.asarray, operands(op, dtype))).numpy(),
        called(numpys, *operands(op, dtype)),
    )


def apart_from_zeros(op: Any, args: list[np.ndarray]) -> list[np.ndarray]:
    """Remove pairs of zeros of opposite signs.

    Which of the two NumPy's maximum returns depends on the position in the array.
    """
    if op.name not in ("maximum", "minimum"):
        return args
    x, y = args
    kept = ~((x == 0) & (y == 0))
    return [x[kept], y[kept]]


def in_parts(found: np.ndarray, want: np.ndarray, args: list[np.ndarray]) -> bool:
    """Compare complex results that were computed in real and imaginary parts.

    Finite operands give the eager results to rounding. At infinities a part may be NaN instead; no result
    that is not finite becomes finite, and no finite result becomes another finite one.
    """
    finite = np.isfinite(want)
    ordinary = finite & np.all([np.isfinite(x) for x in np.broadcast_arrays(*args)], axis=0)
    both = finite & np.isfinite(found)
    bound = 64 * np.finfo(np.float64).eps * np.abs(want[both]) + 4 * np.finfo(np.float64).smallest_subnormal
    return bool(
        found.dtype == want.dtype
        and not np.isfinite(found[~finite]).any()
        and both[ordinary].all()
        and (np.abs(found[both] - want[both]) <= bound).all()
    )


COMPILED = f"""
import sys
from {__name__} import *
for op in ONE + TWO:
    for dtype in ("float32", "float64", "complex128"):
        if takes(op, dtype):
            args = apart_from_zeros(op, operands(op, dtype))
            f, tensors = function_of(op), list(map(xg.asarray, args))
            want, run = called(f, *tensors).numpy(), xg.compile(lambda *a: f(*a))
            for _ in range(2):
                found = called(run, *tensors).numpy()
                if not (in_parts(found, want, args) if want.dtype.kind == "c" else same(found, want, 4)):
                    print(op.name, dtype)
for name in REDUCTIONS:
    for dtype in ("float32", "float64"):
        for x in rows(dtype):
            x = x + 0 if name in ("max", "min") else x  # without zeros of both signs, as above
            if name == "prod":  # what is lost below the smallest normal number depends on the order
                x = x[((x == 0) | ~(np.abs(x) < np.finfo(dtype).tiny)).all(axis=-1)]
            f = lambda x: getattr(xg, name)(x, axis=-1)
            want, run = called(f, xg.asarray(x)).numpy(), xg.compile(lambda x: f(x))
            for _ in range(2):
                if not same(called(run, xg.asarray(x)).numpy(), want, 4):
                    print(name, dtype, x.tolist())
"""


def rows(dtype: str) -> list[np.ndarray]:
    """Return rows of three special numbers each, and longer ones with one among ordinary numbers."""
    x = special(dtype)
    # without the largest: when their sums overflow depends on the order of summation
    x = x[np.isfinite(x) == (np.abs(x) < 1e30)]
    few = x if len(x) < 12 else x[[0, 1, 2, 7, 8, 9, 10, 12]]
    threes = np.array(list(itertools.product(few[:8], repeat=3)), dtype)
    long = np.tile(np.array([1.0, -2.0, 0.5], dtype), (len(x), 7))
    long[:, 9] = x
    return [threes, long]


@pytest.mark.slow
@pytest.mark.parametrize("native", ["0", "1"])
def test_compiled_code_as_eagerly(native: str) -> None:
    """Exact to four units in the last place; signs of zeros, infinities and NaN are exact."""
    done = subprocess.run(
        [sys.executable, "-c", COMPILED],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "XGRAD_NATIVE": native},
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr[-2000:]


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions_as_numpy(name: str, dtype: str) -> None:
    numpys = {"cumulative_sum": np.cumsum, "cumulative_prod": np.cumprod}.get(name) or getattr(np, name)
    if dtype == "complex128" and name in ("max", "min", "argmax", "argmin"):
        pytest.skip("complex numbers have no order")
    for x in rows(dtype):
        axes = {"axis": -1}
        assert same(
            called(lambda x: getattr(xg, name)(x, **axes), xg.asarray(x)).numpy(),
            called(lambda x: numpys(x, **axes), x),
        ), name
