"""Functions that move elements: NumPy's positions, and gradients that return to the sources."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import xgrad as xg
from tests.helpers.drawn import EVERY, NUMERIC, agrees, arrays_of, shapes
from tests.helpers.gradient_cases.manipulation import COMPOSED, GRADIENT_CASES, v, x

ALL = [(name, i) for name, cases in {**GRADIENT_CASES, **COMPOSED}.items() for i in range(len(cases))]


@pytest.mark.parametrize(("name", "i"), ALL)
def test_gradient(name: str, i: int, device: str) -> None:
    f, args = {**GRADIENT_CASES, **COMPOSED}[name][i]
    xg.check_grads(f, tuple(xg.asarray(a) for a in args), order=2)


def some_axes(data: Any, ndim: int) -> tuple[int, ...]:
    """Draw different axes, some of them negative."""
    found = data.draw(st.lists(st.integers(0, ndim - 1), unique=True)) if ndim else []
    return tuple(a - ndim if data.draw(st.booleans()) else a for a in found)


@given(arrays_of(EVERY), st.data())
def test_flip(x: np.ndarray, data: Any) -> None:
    axes = some_axes(data, x.ndim)
    agrees(xg.flip, np.flip, x, axis=data.draw(st.sampled_from([None, axes, *axes[:1]])))


@given(arrays_of(EVERY), st.data())
def test_roll(x: np.ndarray, data: Any) -> None:
    axes = some_axes(data, x.ndim)
    shifts = tuple(data.draw(st.integers(-7, 7)) for _ in axes)
    shift = data.draw(st.integers(-7, 7))
    agrees(lambda x: xg.roll(x, shift), lambda x: np.roll(x, shift), x)
    if axes:
        agrees(lambda x: xg.roll(x, shifts, axis=axes), lambda x: np.roll(x, shifts, axis=axes), x)
        agrees(lambda x: xg.roll(x, shift, axis=axes), lambda x: np.roll(x, shift, axis=axes), x)


@given(arrays_of(EVERY), st.data())
def test_repeat(x: np.ndarray, data: Any) -> None:
    times = data.draw(st.integers(0, 3))
    agrees(lambda x: xg.repeat(x, times), lambda x: np.repeat(x, times), x)
    if x.ndim:
        axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
        agrees(lambda x: xg.repeat(x, times, axis=axis), lambda x: np.repeat(x, times, axis=axis), x)
        counts = np.array([data.draw(st.integers(0, 3)) for _ in range(x.shape[axis])], int)
        agrees(lambda x, n: xg.repeat(x, n, axis=axis), lambda x, n: np.repeat(x, n, axis=axis), x, counts)


@given(arrays_of(EVERY), st.lists(st.integers(0, 3), max_size=4).map(tuple))
def test_tile(x: np.ndarray, repetitions: tuple[int, ...]) -> None:
    agrees(lambda x: xg.tile(x, repetitions), lambda x: np.tile(x, repetitions), x)


@given(arrays_of(EVERY), st.data())
def test_axes_in_another_order(x: np.ndarray, data: Any) -> None:
    order = tuple(data.draw(st.permutations(range(x.ndim))))
    agrees(lambda x: xg.permute_dims(x, order), lambda x: np.transpose(x, order), x)
    source = some_axes(data, x.ndim)
    places = tuple(data.draw(st.permutations(range(x.ndim))))[: len(source)]
    agrees(lambda x: xg.moveaxis(x, source, places), lambda x: np.moveaxis(x, source, places), x)


@given(arrays_of(EVERY), st.data())
def test_axes_of_length_1(x: np.ndarray, data: Any) -> None:
    axis = data.draw(st.integers(-x.ndim - 2, x.ndim + 1))
    agrees(lambda x: xg.expand_dims(x, axis=axis), lambda x: np.expand_dims(x, axis), x)
    if x.ndim:
        agrees(lambda x: xg.squeeze(x, axis), lambda x: np.squeeze(x, axis), x)


@given(arrays_of(EVERY), st.data())
def test_reshape(x: np.ndarray, data: Any) -> None:
    shape = data.draw(
        st.sampled_from([(-1,), (x.size,), (1, x.size, 1), x.shape[::-1], (*x.shape, 1), (2, -1)])
    )
    agrees(lambda x: xg.reshape(x, shape), lambda x: np.reshape(x, shape), x)
    agrees(lambda x: xg.reshape(x, shape, copy=True), lambda x: np.reshape(x, shape), x)


def test_reshape_says_what_has_to_be_copied(device: str) -> None:
    t = xg.permute_dims(xg.asarray(x), (1, 0))
    with pytest.raises(ValueError, match="without a copy"):
        xg.reshape(t, (6,), copy=False)
    assert xg.reshape(t, (3, 2, 1), copy=False).shape == (3, 2, 1)
    own = np.zeros(4)
    assert not np.shares_memory(xg.reshape(xg.asarray(own, device="cpu"), (2, 2), copy=True).numpy(), own)
    assert np.shares_memory(xg.reshape(xg.asarray(own, device="cpu"), (2, 2), copy=False).numpy(), own)


@given(st.lists(arrays_of(NUMERIC, shapes(1, 1)), min_size=1, max_size=3))
def test_concat_promotes(parts: list[np.ndarray]) -> None:
    agrees(lambda *a: xg.concat(a), lambda *a: np.concatenate(a), *parts)
    agrees(lambda *a: xg.concat(a, axis=None), lambda *a: np.concatenate(a, axis=None), *parts)


@given(arrays_of(NUMERIC, shapes(1, 3)), st.data())
def test_side_by_side_and_apart(x: np.ndarray, data: Any) -> None:
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    y = (x.real if x.dtype.kind == "c" else x).astype(data.draw(st.sampled_from(NUMERIC)))
    agrees(lambda *a: xg.stack(a, axis=axis), lambda *a: np.stack(a, axis=axis), x, y)
    agrees(lambda *a: xg.concat(a, axis=axis), lambda *a: np.concatenate(a, axis=axis), x, y)
    agrees(lambda a: xg.unstack(a, axis=axis), lambda a: np.unstack(a, axis=axis), x)


@given(arrays_of(EVERY), arrays_of(EVERY))
def test_broadcasting(x: np.ndarray, y: np.ndarray) -> None:
    agrees(xg.broadcast_arrays, np.broadcast_arrays, x, y)
    agrees(lambda x: xg.broadcast_to(x, (3, *y.shape)), lambda x: np.broadcast_to(x, (3, *y.shape)), x)


@given(arrays_of(EVERY, shapes(2, 4)), st.integers(-3, 3))
def test_triangles(x: np.ndarray, k: int) -> None:
    agrees(xg.tril, np.tril, x, k=k)
    agrees(xg.triu, np.triu, x, k=k)


def test_a_result_is_another_handle(device: str) -> None:
    """Changing the result in place leaves the operand alone."""
    for f in (
        lambda a: xg.roll(a, 0),
        lambda a: xg.tile(a, (1,)),
        lambda a: xg.repeat(a, 1),
        lambda a: xg.diff(a, n=0),
        lambda a: xg.broadcast_arrays(a, a)[0],
        lambda a: xg.reshape(a, (3,)),
        lambda a: xg.concat([a]),
        lambda a: xg.astype(a, a.dtype),
    ):
        a = xg.asarray(v)
        b = f(a)
        b += 1
        np.testing.assert_array_equal(a.numpy(), v)


def test_they_are_compiled() -> None:
    def f(x: Any) -> Any:
        y = xg.roll(xg.flip(x, axis=0), (1, 2), axis=(0, 1)) * xg.tril(x, k=1)
        return xg.sum(
            xg.tile(y, (2, 1)) * xg.repeat(xg.moveaxis(xg.broadcast_arrays(x, y)[0], 0, 0), 2, axis=0)
        )

    np.testing.assert_allclose(
        xg.compile(xg.grad(f))(xg.asarray(x)).numpy(), xg.grad(f)(xg.asarray(x)).numpy()
    )
    with pytest.raises(xg.TraceError, match="depends on values"):
        xg.compile(lambda x: xg.repeat(x, xg.asarray([1, 2, 3])))(xg.ones(3))


def test_errors_name_shapes(device: str) -> None:
    t = xg.asarray(x)
    with pytest.raises(xg.ShapeError, match=r"\(2, 3\)"):
        xg.reshape(t, (4, 2))
    with pytest.raises(xg.ShapeError, match="broadcast"):
        xg.broadcast_arrays(t, xg.ones((3, 2)))
    with pytest.raises(xg.ShapeError, match=r"\(2, 3\)"):
        xg.broadcast_to(t, (2, 2))
    with pytest.raises(xg.ShapeError):
        xg.concat([t, xg.ones((2, 2))], axis=0)
    with pytest.raises(xg.ShapeError):
        xg.stack([t, xg.ones((2, 2))])
    with pytest.raises(ValueError, match="must have length 1"):
        xg.squeeze(t, 0)
    with pytest.raises(ValueError, match="at least one"):
        xg.concat([])
    with pytest.raises(xg.ShapeError, match="length 3"):
        xg.repeat(t, xg.asarray([1, 2]), axis=1)
    with pytest.raises(ValueError, match="at least 0, not -1"):
        xg.repeat(t, -1)
    with pytest.raises(IndexError, match="axis 2"):
        xg.flip(t, axis=2)
    with pytest.raises(ValueError, match="moveaxis"):
        xg.moveaxis(t, (0, 1), 0)
    with pytest.raises(ValueError, match="shifts"):
        xg.roll(t, (1, 2, 3), axis=(0, 1))
    for repeats in (2.5, xg.asarray([1.0, 2.0, 3.0]), [1.0, 2.0, 3.0]):
        with pytest.raises(TypeError, match="integers, not float64"):
            xg.repeat(t, repeats, axis=1)
    for f in (xg.squeeze, lambda x, axis: xg.flip(x, axis=axis)):
        with pytest.raises(ValueError, match="twice"):
            f(t[None, :1], (0, -3))
