"""The accuracy of elementary functions in native code, in units in the last place of the exact result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from xgrad.backends.cpu import native

pytestmark = pytest.mark.skipif(native.missing() is not None, reason=native.missing() or "")
COUNT = 200_000
#: The dtype in which NumPy computes what is taken as exact.
WIDER = {"float32": np.float64, "float64": np.longdouble}

Ranges = list[tuple[float, float]]
#: name -> function of (library, x), ranges of x, and the largest errors in float32 and float64. In a range
#: whose ends have one sign, all exponents are equally likely.
FUNCTIONS: dict[str, tuple[Callable[[Any, Any], Any], Ranges, float, float]] = {
    "exp": (lambda lib, x: lib.exp(x), [(-3, 3), (-87, 88), (1e-30, 1)], 1.05, 1.1),
    "expm1": (lambda lib, x: lib.expm1(x), [(-3, 3), (0.3, 1.1), (-1, -1e-30), (-40, 88)], 1.1, 1.6),
    "log": (lambda lib, x: lib.log(x), [(0.5, 2), (1e-44, 3e38)], 0.9, 0.9),
    "log1p": (lambda lib, x: lib.log1p(x), [(-0.9, 3), (0.3, 0.6), (-1, -1e-30), (1e-30, 3e38)], 0.9, 0.9),
    "sin": (lambda lib, x: lib.sin(x), [(-4, 4), (-999_999, 999_999), (1e6, 1e9)], 0.51, 2.4),
    "cos": (lambda lib, x: lib.cos(x), [(-4, 4), (-999_999, 999_999), (1e6, 1e9)], 0.51, 2.4),
    "tanh": (lambda lib, x: lib.tanh(x), [(-4, 4), (-20, 20)], 6, 1.4),
    "x ** 1.75": (lambda lib, x: x**1.75, [(0.5, 2), (1e-21, 1e21)], 0.52, 1.3),
    "x ** x": (lambda lib, x: x**x, [(0, 26), (1e-30, 1)], 0.52, 1.3),
}


def drawn(low: float, high: float, dtype: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    if low * high <= 0:
        return rng.uniform(low, high, COUNT).astype(dtype)
    return np.copysign(np.exp(rng.uniform(*np.sort(np.log(np.abs([low, high]))), COUNT)), low).astype(dtype)


def compiled(f: Callable[[Any, Any], Any], x: np.ndarray) -> np.ndarray:
    by_loop = xg.compile(lambda x: f(xg, x))
    z = by_loop(xg.asarray(x)).numpy()
    assert by_loop.executable(xg.asarray(x)).kind == "native code"
    return z


@pytest.mark.parametrize("dtype", WIDER)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_errors(name: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if np.finfo(WIDER[dtype]).nmant < 60 and dtype == "float64":
        pytest.skip("NumPy has no wider dtype on this machine")
    monkeypatch.setenv("XGRAD_NATIVE", "1")
    f, ranges, *errors = FUNCTIONS[name]
    for low, high in ranges:
        x = drawn(low, high, dtype)
        exact = f(np, x.astype(WIDER[dtype]))
        unit = np.spacing(np.maximum(np.abs(exact.astype(dtype)), np.finfo(dtype).tiny))
        error = np.abs(compiled(f, x).astype(WIDER[dtype]) - exact) / unit
        assert error.max() <= errors[dtype == "float64"], (low, high, x[error.argmax()])


@pytest.mark.parametrize("dtype", WIDER)
def test_ends(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where results become infinite, 0 or NaN, or are x itself, they are exactly that; -0 stays -0."""
    monkeypatch.setenv("XGRAD_NATIVE", "1")
    info = np.finfo(dtype)
    largest, tiny, least = float(info.max), float(info.tiny), float(info.smallest_subnormal)
    end = float(np.log(info.max))
    same = np.array([0.0, -0.0, tiny, -tiny, least, -least, 3 * least, np.inf, np.nan], dtype)
    for f in (np.expm1, np.log1p, np.sin):
        xs = same[:-2] if f is np.sin else same
        found = compiled(lambda lib, x, f=f: getattr(lib, f.__name__)(x), xs)
        np.testing.assert_array_equal(found, xs)
        np.testing.assert_array_equal(np.signbit(found[:-1]), np.signbit(xs[:-1]))
    one_less = np.nextafter(np.ones((), dtype), np.zeros((), dtype))
    ends = {
        "exp": [(end * 1.001, np.inf), (-np.inf, 0), (-largest, 0), (largest, np.inf)],
        "expm1": [(end * 1.001, np.inf), (-np.inf, -1), (-largest, -1), (largest, np.inf), (-50.0, -1)],
        "log": [
            (0.0, -np.inf),
            (-0.0, -np.inf),
            (-least, np.nan),
            (-np.inf, np.nan),
            (np.inf, np.inf),
            (1, 0),
        ],
        "log1p": [(-1.0, -np.inf), (-1.5, np.nan), (-np.inf, np.nan), (largest, np.log(info.max))],
    }
    with np.errstate(all="ignore"):
        for name, pairs in ends.items():
            x, want = np.array(pairs).T.astype(dtype)
            found = compiled(lambda lib, x, name=name: getattr(lib, name)(x), x)
            np.testing.assert_array_equal(found, want, name)
        below = np.array([-one_less, end * 0.99], dtype)
        wider = WIDER[dtype]
        for f, x in ((np.log1p, below[:1]), (np.expm1, below[1:])):
            found = compiled(lambda lib, x, f=f: getattr(lib, f.__name__)(x), x)
            np.testing.assert_allclose(found, f(x.astype(wider)).astype(dtype), rtol=2 * float(info.eps))
