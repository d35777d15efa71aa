"""Sorting, searching, sets and indexing: NumPy's values, and gradients for the selected elements."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import xgrad as xg
from tests.helpers.drawn import BACKENDS, EVERY, INTEGER, NUMERIC, REAL, agrees, arrays_of, shapes
from tests.helpers.gradient_cases.sorting import COMPOSED, GRADIENT_CASES

ALL = [(name, i) for name, cases in {**GRADIENT_CASES, **COMPOSED}.items() for i in range(len(cases))]


@pytest.mark.parametrize(("name", "i"), ALL)
def test_gradient(name: str, i: int, device: str) -> None:
    f, args = {**GRADIENT_CASES, **COMPOSED}[name][i]
    xg.check_grads(f, tuple(xg.asarray(a) for a in args), order=2)


@given(arrays_of(INTEGER + REAL, shapes(1, 3)), st.data(), st.booleans())
def test_sorted(x: np.ndarray, data: Any, stable: bool) -> None:
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    agrees(xg.sort, np.sort, x, axis=axis, stable=stable)
    agrees(xg.argsort, np.argsort, x, axis=axis, stable=True)


@given(arrays_of(INTEGER + REAL, shapes(1, 3)), st.data())
def test_descending_sorts_keep_equal_elements_in_their_order(x: np.ndarray, data: Any) -> None:
    """Descending sorts are stable: equal elements keep their order."""
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    ranks = -np.searchsorted(np.sort(x, axis=None), x)
    order = np.argsort(ranks, axis=axis, stable=True)
    agrees(lambda x: xg.argsort(x, axis=axis, descending=True), lambda x: order, x)
    agrees(
        lambda x: xg.sort(x, axis=axis, descending=True), lambda x: np.take_along_axis(x, order, axis=axis), x
    )


def test_what_is_not_a_number_is_the_largest(device: str) -> None:
    x = xg.asarray([xg.nan, 1.0, -xg.inf, xg.inf])
    np.testing.assert_array_equal(xg.sort(x).numpy(), [-np.inf, 1, np.inf, np.nan])
    np.testing.assert_array_equal(xg.sort(x, descending=True).numpy(), [np.nan, np.inf, 1, -np.inf])


@given(
    arrays_of(INTEGER + REAL, shapes(1, 3)), st.data(), st.sampled_from(["argmax", "argmin"]), st.booleans()
)
def test_best(x: np.ndarray, data: Any, name: str, keepdims: bool) -> None:
    agrees(
        getattr(xg, name),
        getattr(np, name),
        x,
        axis=data.draw(st.none() | st.integers(-x.ndim, x.ndim - 1)),
        keepdims=keepdims,
    )


@given(arrays_of(EVERY))
def test_nonzero(x: np.ndarray) -> None:
    agrees(xg.nonzero, np.nonzero, x)


@given(arrays_of(INTEGER + REAL, shapes(1, 1)), arrays_of(INTEGER + REAL), st.sampled_from(["left", "right"]))
def test_searchsorted(x: np.ndarray, y: np.ndarray, side: Any) -> None:
    if {x.dtype.kind, y.dtype.kind} == {"i", "u"} and "uint64" in (x.dtype.name, y.dtype.name):
        return  # their only common dtype is a floating one
    agrees(xg.searchsorted, np.searchsorted, np.sort(x), y, side=side)
    agrees(
        lambda x, y, s: xg.searchsorted(x, y, side=side, sorter=s),
        lambda x, y, s: np.searchsorted(x, y, side, s),
        x,
        y,
        np.argsort(x),
    )


@given(arrays_of(EVERY), st.sampled_from(["unique_all", "unique_counts", "unique_inverse", "unique_values"]))
def test_sets(x: np.ndarray, name: str) -> None:
    if name == "unique_values":
        agrees(xg.unique_values, np.unique, x)
    else:
        agrees(getattr(xg, name), getattr(np, name), x)


def test_results_of_sets_have_names(device: str) -> None:
    x = xg.asarray([3.0, xg.nan, 1.0, 3.0, xg.nan])
    found = xg.unique_all(x)
    assert found._fields == ("values", "indices", "inverse_indices", "counts")
    assert xg.unique_counts(x)._fields == ("values", "counts")
    assert xg.unique_inverse(x)._fields == ("values", "inverse_indices")
    np.testing.assert_array_equal(found.values.numpy(), [1, 3, np.nan, np.nan])
    assert found.counts.numpy().tolist() == [1, 2, 1, 1]
    assert found.indices.numpy().tolist()[:2] == [2, 0]


def test_the_first_of_equal_elements_has_the_gradient(device: str) -> None:
    slope = xg.grad(lambda x: xg.sum(xg.unique_values(x) * xg.asarray([10.0, 20.0])))(
        xg.asarray([2.0, 1.0, 2.0])
    )
    assert slope.numpy().tolist() == [20, 10, 0]


@given(arrays_of(NUMERIC, shapes(1, 3)), st.data())
def test_taking_along_an_axis(x: np.ndarray, data: Any) -> None:
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    n = x.shape[axis]
    length = data.draw(st.integers(0, 3)) if n else 0
    shape = tuple(length if a == axis % x.ndim else m for a, m in enumerate(x.shape))
    i = np.random.default_rng(0).integers(-n, max(n, 1), shape) if n else np.zeros(shape, int)
    agrees(xg.take_along_axis, np.take_along_axis, x, i, axis=axis)
    agrees(xg.take, np.take, x, i.reshape(-1), axis=axis)


def test_indices_along_an_axis_are_integers(device: str) -> None:
    for indices in ([[True], [False]], [[1.0], [0.0]]):
        with pytest.raises(IndexError, match="indices must be integers"):
            xg.take_along_axis(xg.ones((2, 2)), xg.asarray(indices))


def keys(shape: tuple[int, ...]) -> st.SearchStrategy[Any]:
    """Draw an index of the standard for an array of this shape, without index arrays."""

    def part(n: int) -> st.SearchStrategy[Any]:
        whole = st.slices(n).filter(lambda s: s.start is None or -n <= s.start < max(n, 1))
        return whole | (st.integers(-n, n - 1) if n else st.nothing())

    def with_more(parts: tuple[Any, ...]) -> st.SearchStrategy[Any]:
        cut = st.integers(0, len(parts))
        return st.tuples(cut, st.booleans(), st.integers(0, 1)).map(
            lambda t: (*parts[: t[0]], *((None,) * t[2]), *((...,) if t[1] or t[0] < len(parts) else ()))
        )

    return st.tuples(*map(part, shape)).flatmap(with_more)


@given(arrays_of(EVERY), st.data())
def test_elements_by_index(x: np.ndarray, data: Any) -> None:
    key = data.draw(keys(x.shape))
    agrees(lambda x: x[key], lambda x: x[key], x)


@given(arrays_of(REAL), st.data())
def test_elements_put_at_an_index(x: np.ndarray, data: Any) -> None:
    key = tuple(k for k in data.draw(keys(x.shape)) if k is not None)
    value = np.arange(np.asarray(x[key]).size, dtype=x.dtype).reshape(np.shape(x[key]))

    def put(x: Any, v: Any) -> Any:
        y = x * 1
        y[key] = v
        return y

    agrees(put, lambda x, v: put(x.copy().reshape(x.shape), v) if x.ndim else v.astype(x.dtype), x, value)


@given(arrays_of(EVERY, shapes(1, 3)), st.data())
def test_elements_where_a_mask_is_true(x: np.ndarray, data: Any) -> None:
    mask = data.draw(arrays_of(["bool"], st.just(x.shape)))
    agrees(lambda x, m: x[m], lambda x, m: x[m], x, mask)

    def put(x: Any, m: Any) -> Any:
        y = x[...] if isinstance(x, xg.Tensor) else x.copy()
        y[m] = 1
        return y

    agrees(put, put, x, mask)


@given(arrays_of(NUMERIC, st.tuples(st.integers(1, 3), st.integers(1, 3))), st.data())
def test_elements_at_integer_arrays(x: np.ndarray, data: Any) -> None:
    """Index with integer arrays, which broadcast against each other, and integers."""
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    i, j = rng.integers(-x.shape[0], x.shape[0], (2, 1)), rng.integers(-x.shape[1], x.shape[1], 3)
    agrees(lambda x, i, j: x[i, j], lambda x, i, j: x[i, j], x, i, j)
    agrees(lambda x, j: x[-1, j], lambda x, j: x[-1, j], x, j)
    agrees(lambda x, i: x[i, 0], lambda x, i: x[i, 0], x, i)


def test_what_was_assigned_later_has_the_gradient() -> None:
    def f(v: Any) -> Any:
        x = xg.zeros(3)
        x[xg.asarray([0, 0, 2])] = v
        return xg.sum(x * xg.asarray([1.0, 2.0, 3.0]))

    assert xg.grad(f)(xg.ones(3)).numpy().tolist() == [0, 1, 3]
    assert xg.compile(xg.grad(f))(xg.ones(3)).numpy().tolist() == [0, 1, 3]


@pytest.mark.parametrize("f", [xg.unique_all, xg.unique_values, xg.nonzero])
def test_shapes_that_depend_on_values_are_not_for_traces(f: Any) -> None:
    with pytest.raises(xg.TraceError, match="depends on values"):
        xg.compile(lambda x: f(x)[0])(xg.ones(3))


def test_they_are_compiled() -> None:
    def f(x: Any) -> Any:
        return xg.sum(
            xg.sort(x, descending=True) * xg.take_along_axis(x, xg.argsort(x)) * xg.searchsorted(x, x + 0.1)
        )

    x = xg.asarray([3.0, 1.0, 2.0])
    np.testing.assert_allclose(xg.compile(xg.grad(f))(x).numpy(), xg.grad(f)(x).numpy())


def test_errors(device: str) -> None:
    x = xg.ones((2, 3))
    with pytest.raises(xg.ShapeError, match="the same number of axes"):
        xg.take_along_axis(x, xg.asarray([0]))
    with pytest.raises(ValueError, match="side"):
        xg.searchsorted(xg.ones(2), x, side="middle")
    with pytest.raises(ValueError, match="no indices"):
        xg.nonzero(xg.asarray(1.0))
    with pytest.raises(IndexError):
        x[2]
    with pytest.raises(IndexError):
        x[0, 0, 0]
    with pytest.raises(ValueError, match="axis="):
        xg.take(x, xg.asarray([0]))


def test_backends_agree_on_ties() -> None:
    for backend in BACKENDS:
        with xg.device(backend):
            assert xg.argsort(xg.asarray([1, 0, 1, 0]), descending=True).numpy().tolist() == [0, 2, 1, 3]
