"""Gathers, scatters and assignments by index arrays in native code, compared with NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import xgrad as xg

rng = np.random.default_rng(0)
x = rng.normal(size=(5, 4, 3))
ids, pairs = np.array([0, -2, 4, 4]), np.array([[0, 1], [3, 2]])

CASES = {
    "take": lambda x: xg.take(x, xg.asarray(ids), axis=0),
    "take along another axis": lambda x: xg.take(x, xg.asarray(pairs.ravel()), axis=1),
    "rows": lambda x: x[ids],
    "two arrays apart": lambda x: x[ids, :, np.array([0, 1, 2, 0])],
    "two arrays side by side": lambda x: x[1:, pairs, np.array([0, 1])],
    "an ellipsis of no axes between two arrays": lambda x: x[:, pairs[0], ..., ids[:2] % 3],
    "an array of two axes": lambda x: x[..., pairs % 3],
    "behind a slice from the end": lambda x: x[::-1, ids[:2]],
    "small integers": lambda x: x[ids.astype("int32")],
    "one at each place": lambda x: xg.take_along_axis(x, np.array([[[1], [0], [3], [3]]] * 5) % 3, axis=2),
}


def native(f: Any, *args: Any) -> Any:
    """Return the result of native code, which must make no library call."""
    compiled = xg.compile(f)
    assert "calls of the array library" not in compiled.explain(*args)
    return compiled(*args)


def total(f: Any) -> Any:
    return lambda x: xg.sum(xg.sin(1.3 * f(x)))


@pytest.mark.parametrize("name", CASES)
def test_a_gather_and_its_derivatives(name: str) -> None:
    f = CASES[name]
    slope = xg.grad(total(f))
    for g in (f, slope, xg.grad(lambda x: xg.sum(xg.sin(slope(x)))), lambda x: xg.jvp(f, (x,), (x * x,))[1]):
        np.testing.assert_allclose(native(g, x).numpy(), g(xg.asarray(x)).numpy(), rtol=1e-12, atol=1e-14)
    xg.check_grads(xg.compile(f), (x,), order=1)


def test_a_gather_is_numpys() -> None:
    for key in (
        (ids,),
        (slice(1, 4), pairs, np.array([0, 1])),
        (..., pairs % 3),
        (ids, slice(None), ids % 3),
    ):
        np.testing.assert_array_equal(native(lambda x, key=key: x[key], x).numpy(), x[key])


def test_assignment_keeps_the_last_of_several() -> None:
    def f(x: Any, v: Any) -> Any:
        y = x * 1.0
        y[ids] = v
        y[:, pairs[0]] = 2.0
        return y

    v = rng.normal(size=(4, 4, 3))
    expected = x.copy()
    expected[ids] = v
    expected[:, pairs[0]] = 2.0
    np.testing.assert_array_equal(native(f, x, v).numpy(), expected)


@pytest.mark.parametrize("bad", [5, -6])
def test_an_index_out_of_bounds_is_numpys_error(bad: int) -> None:
    f = xg.compile(lambda x, i: x[i] * 2)
    assert f(x, np.array([4])).shape == (1, 4, 3)
    with pytest.raises(IndexError, match=f"index {bad} is out of bounds for axis 0 with size 5"):
        f(x, np.array([0, bad]))
    np.testing.assert_array_equal(f(x, np.array([-5])).numpy(), 2 * x[:1])


def test_in_a_loop_with_integers_that_go_from_step_to_step() -> None:
    table, moves = rng.normal(size=(6, 3)), rng.integers(0, 6, size=6)

    def step(at: Any, _: Any) -> Any:
        return xg.take(xg.asarray(moves), at, axis=0), xg.take(table, at, axis=0)

    at = np.array([0, 3])
    last, rows = xg.compile(lambda at: xg.scan(step, at, length=4))(at)
    for t in range(4):
        np.testing.assert_array_equal(rows[t].numpy(), table[at])
        at = moves[at]
    np.testing.assert_array_equal(last.numpy(), at)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_indices(data: st.DataObject) -> None:
    shape = data.draw(hnp.array_shapes(max_dims=3, max_side=4))
    array = np.arange(np.prod(shape), dtype=float).reshape(shape)
    key = data.draw(
        hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(min_dims=0, max_dims=2, max_side=3))
    )
    v = np.sin(np.arange(array[key].size)).reshape(array[key].shape)
    expected = np.zeros(shape)
    np.add.at(expected, key, v)
    f = lambda x: xg.sum(x[key] * v)
    np.testing.assert_array_equal(xg.compile(lambda x: x[key] * 1.0)(array).numpy(), array[key])
    np.testing.assert_allclose(xg.compile(xg.grad(f))(array).numpy(), expected, atol=1e-15)
