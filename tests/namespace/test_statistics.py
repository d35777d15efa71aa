"""Sums, products, variances and cumulative functions: NumPy's values, and derivatives also at zeros."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import xgrad as xg
from tests.helpers.drawn import INTEGER, NUMERIC, REAL, agrees, arrays_of, shapes
from tests.helpers.gradient_cases.statistics import COMPOSED, GRADIENT_CASES, x, zero

ALL = [(name, i) for name, cases in {**GRADIENT_CASES, **COMPOSED}.items() for i in range(len(cases))]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "i"), ALL)
def test_gradient(name: str, i: int, device: str) -> None:
    f, args = {**GRADIENT_CASES, **COMPOSED}[name][i]
    xg.check_grads(f, tuple(xg.asarray(a) for a in args), order=2)


def axes(data: Any, ndim: int) -> Any:
    """Draw an axis, several, or None."""
    some = st.lists(st.integers(0, ndim - 1), unique=True).map(tuple) if ndim else st.just(())
    return data.draw(st.none() | some | (st.integers(-ndim, ndim - 1) if ndim else st.nothing()))


@given(arrays_of(NUMERIC), st.data(), st.sampled_from(["sum", "prod"]), st.booleans())
def test_sums_and_products(x: np.ndarray, data: Any, name: str, keepdims: bool) -> None:
    agrees(getattr(xg, name), getattr(np, name), x, axis=axes(data, x.ndim), keepdims=keepdims)


@given(arrays_of(INTEGER + REAL), st.data(), st.sampled_from(["float64", "complex128"]))
def test_sums_in_another_dtype(x: np.ndarray, data: Any, dtype: str) -> None:
    for name in ("sum", "prod"):
        agrees(getattr(xg, name), getattr(np, name), x, axis=axes(data, x.ndim), dtype=np.dtype(dtype))


@given(arrays_of(REAL, shapes(0, 3)), st.data(), st.sampled_from(["mean", "var", "std"]), st.booleans())
def test_moments(x: np.ndarray, data: Any, name: str, keepdims: bool) -> None:
    axis = axes(data, x.ndim)
    agrees(getattr(xg, name), getattr(np, name), x, axis=axis, keepdims=keepdims)


@given(arrays_of(REAL, shapes(1, 2)), st.sampled_from([0, 1, 0.5, 5]))
def test_corrections(x: np.ndarray, correction: float) -> None:
    for name in ("var", "std"):
        agrees(getattr(xg, name), getattr(np, name), x, correction=correction)


@given(arrays_of(INTEGER + REAL, shapes(0, 3)), st.data(), st.sampled_from(["max", "min"]), st.booleans())
def test_extremes(x: np.ndarray, data: Any, name: str, keepdims: bool) -> None:
    agrees(getattr(xg, name), getattr(np, name), x, axis=axes(data, x.ndim), keepdims=keepdims)


@given(
    arrays_of(NUMERIC, shapes(1, 3)),
    st.data(),
    st.sampled_from(["cumulative_sum", "cumulative_prod"]),
    st.booleans(),
)
def test_what_accumulates(x: np.ndarray, data: Any, name: str, include_initial: bool) -> None:
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1) | st.none())
    agrees(getattr(xg, name), getattr(np, name), x, axis=axis, include_initial=include_initial)


@given(arrays_of(NUMERIC, shapes(1, 3)), st.data(), st.integers(0, 3))
def test_differences(x: np.ndarray, data: Any, n: int) -> None:
    agrees(xg.diff, np.diff, x, axis=data.draw(st.integers(-x.ndim, x.ndim - 1)), n=n)


def test_dtypes_of_sums(device: str) -> None:
    for dtype, expected in {
        "int8": "int64",
        "uint8": "uint64",
        "int64": "int64",
        "float32": "float32",
        "complex64": "complex64",
    }.items():
        ones = xg.ones(3, dtype=dtype)
        assert xg.sum(ones).dtype == xg.prod(ones).dtype == xg.cumulative_sum(ones).dtype == expected
    assert xg.sum(xg.ones(3, dtype="float32"), dtype=xg.float64).dtype == xg.float64
    assert xg.sum(xg.asarray([True, True])).item() == 2


def test_no_variance_gives_no_gradient(device: str) -> None:
    flat = xg.ones(3)
    assert xg.grad(xg.std)(flat).numpy().tolist() == [0, 0, 0]
    assert xg.grad(xg.var)(flat).numpy().tolist() == [0, 0, 0]
    assert np.isfinite(xg.grad(lambda x: xg.sum(xg.grad(xg.std)(x) ** 2))(flat).numpy()).all()


def test_products_with_zeros(device: str) -> None:
    slope = xg.grad(xg.prod)
    assert slope(xg.asarray([2.0, 0.0, 3.0])).numpy().tolist() == [0, 6, 0]
    assert slope(xg.asarray([0.0, 0.0, 3.0])).numpy().tolist() == [0, 0, 0]
    mixed = xg.grad(lambda x: slope(x)[0])(xg.asarray([0.0, 0.0, 3.0]))
    assert mixed.numpy().tolist() == [0, 3, 0]


def test_variances_of_complex_numbers() -> None:
    z = x + 1j * x[::-1]
    for ours, numpys in ((xg.var, np.var), (xg.std, np.std)):
        np.testing.assert_allclose(ours(xg.asarray(z), axis=1).numpy(), numpys(z, axis=1))
        xg.check_grads(lambda a, b, f=ours: f(a + 1j * b, axis=1), (x, x[::-1].copy()), order=2)


def test_errors_say_what_is_missing(device: str) -> None:
    with pytest.raises(xg.ShapeError, match="needs axis="):
        xg.cumulative_sum(xg.ones((2, 2)))
    with pytest.raises(IndexError, match="axis 2"):
        xg.sum(xg.ones((2, 2)), axis=2)
    with pytest.raises(ValueError, match="n must be an integer of at least 0, not -1"):
        xg.diff(xg.ones(3), n=-1)


def test_they_are_compiled() -> None:
    def f(x: Any) -> Any:
        return xg.sum(xg.cumulative_prod(x) * xg.std(x) + xg.prod(x) * xg.diff(x, append=x[:1]))

    np.testing.assert_allclose(
        xg.compile(xg.grad(f))(xg.asarray(zero)).numpy(), xg.grad(f)(xg.asarray(zero)).numpy()
    )
