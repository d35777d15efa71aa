"""Multi-step functions in half precision are computed in float32 and rounded once, as are their gradients."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import xgrad as xg

HALVES = ["float16", "bfloat16"]
half = pytest.mark.parametrize("dtype", HALVES)
rng = np.random.default_rng(3)
norm = xg.linalg.vector_norm
large = rng.normal(size=(40, 50)) * 300
many = rng.normal(size=70_000)
TARGETS = xg.asarray(rng.integers(0, 30, 2000))

#: name -> (function, operand). At these magnitudes, squares, sums or element counts exceed float16.
STEPS: dict[str, tuple[Any, np.ndarray]] = {
    **{
        f"vector_norm {p}": (lambda x, p=p: norm(x, ord=p, axis=0), large)
        for p in (2, 1, 3, -1, np.inf, -np.inf)
    },
    **{
        f"matrix_norm {p}": (lambda x, p=p: xg.linalg.matrix_norm(x, ord=p), large[:5, :6])
        for p in ("fro", "nuc", 1, -1, 2, -2, np.inf)
    },
    "np.linalg.norm": (np.linalg.norm, large),
    "softmax": (xg.softmax, many),
    "logsumexp": (xg.logsumexp, many),
    "mean": (xg.mean, many + 1),
    "the method mean": (lambda x: x.mean(), many + 1),
    "np.nanmean": (np.nanmean, many + 1),
    "var": (xg.var, large / 3),
    "std": (xg.std, large / 3),
    "np.nanvar": (np.nanvar, large / 3),
    "a product": (lambda x: x @ x.mT, rng.normal(size=(8, 3000))),
    "cross_entropy": (lambda x: xg.nn.cross_entropy(x, TARGETS), rng.normal(size=(2000, 30)) * 5),
    "eigvalsh": (lambda x: xg.linalg.eigvalsh(x), large[:4, :4] @ large[:4, :4].T / 100),
    "eigh": (lambda x: xg.linalg.eigh(x)[1], np.diag([1.0, 2, 4, 8]) + 0.25),
    "svd": (lambda x: xg.linalg.svd(x)[0], large[:2, :3]),
}
EPS = {"float16": 2.0**-11, "bfloat16": 2.0**-8}


@pytest.fixture(autouse=True)
def _overflow_is_an_error() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def units(a: Any, b: Any, dtype: str) -> float:
    """Return the difference in half units of the last place of `b`, or of the smallest normal number."""
    a, b = (np.asarray(v.astype("float64").numpy()) for v in (a, b))
    return float(np.max(np.abs(a - b) / np.maximum(np.abs(b), 2.0**-14)) / EPS[dtype])


@pytest.mark.slow
@half
@pytest.mark.parametrize("name", STEPS)
def test_rounded_once(name: str, dtype: str) -> None:
    """Values and tangents are exact to half a unit; gradients, with a rounded dz, to a few."""
    f, values = STEPS[name]
    x = xg.asarray(values, dtype=dtype)
    wide = x.astype("float32")
    z, exact = f(x), f(wide)
    assert z.dtype == dtype
    assert units(z, exact, dtype) <= 1.01
    dz = xg.asarray(rng.uniform(0.5, 1, exact.shape), dtype=dtype)
    pulled = lambda x: xg.vjp(f, x)[1](dz.astype(x.dtype))[0]
    want = pulled(wide).numpy()
    # sums of terms that were rounded before
    cancels = 8 * EPS[dtype] * np.abs(want).max() if name in ("softmax", "eigh", "svd", "a product") else 0

    def close(found: Any) -> None:
        np.testing.assert_allclose(
            found.astype("float64").numpy(), want, rtol=4 * EPS[dtype], atol=2.0**-24 + cancels
        )

    close(pulled(x))
    run = xg.compile(pulled)
    for _ in range(2):
        close(run(x))


def test_of_nine_hundreds() -> None:
    x = xg.full((3, 3), 100.0, dtype="float16")
    assert norm(x).item() == 300
    np.testing.assert_array_equal(xg.grad(norm)(x).numpy(), np.full((3, 3), np.float16(1 / 3)))
    np.testing.assert_array_equal(xg.compile(xg.grad(norm))(x).numpy(), np.full((3, 3), np.float16(1 / 3)))


def test_of_more_elements_than_float16_has_numbers() -> None:
    x = xg.zeros(131072, dtype="float16")
    assert xg.softmax(x)[0].item() == float(np.float16(1 / 131072))
    assert xg.logsumexp(x).item() == float(np.float16(np.log(131072)))
    assert xg.grad(xg.mean)(x)[0].item() == float(np.float16(1 / 131072))


def test_nothing() -> None:
    for f, shape in ((xg.softmax, (0, 2)), (xg.logsumexp, (2,))):
        x = xg.zeros((0, 2))
        run = lambda x, f=f: f(x, axis=0)
        assert run(x).shape == xg.compile(run)(x).shape == shape
        assert xg.grad(lambda x, run=run: xg.sum(run(x)))(x).shape == (0, 2)
    assert (xg.logsumexp(xg.zeros((0, 2)), axis=0).numpy() == -np.inf).all()
