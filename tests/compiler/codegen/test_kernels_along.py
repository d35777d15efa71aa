"""Cumulative ops, argmax, argmin, sorting and searching in native code, compared with NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import xgrad as xg
from tests.helpers.cuda_calls import OPS

rng = np.random.default_rng(0)


def native(f: Any, *args: Any) -> Any:
    """Return the result of native code, which must make no library call."""
    compiled = xg.compile(f)
    assert "calls of the array library" not in compiled.explain(*args)
    return compiled(*args)


@pytest.mark.parametrize("name", OPS)
@settings(max_examples=40, deadline=None)
@given(st.data())
def test_values_are_numpys(name: str, data: st.DataObject) -> None:
    """The arrays have many equal elements, NaN, infinities and both zeros."""
    ours, theirs = OPS[name]
    adds = name.startswith("cumulative") or name == "with the initial one"
    half = [] if adds else ["float16"]  # native code adds float16 in float32
    dtype = data.draw(
        st.sampled_from(["float64", "float32", "int64", "int32", "int8", "uint8", "uint64", *half])
    )
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=5))
    some = (
        [0, 1, 2, 7 if "uint" in dtype else -1]
        if "int" in dtype
        else [0.0, -0.0, 1.0, 2.0, -1.0, np.nan, np.inf, -np.inf]
    )
    x = data.draw(hnp.arrays(dtype, shape, elements=st.sampled_from(some)))
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    with np.errstate(all="ignore"):
        found, expected = native(lambda x: ours(x, axis), x).numpy(), theirs(x, axis)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == ours(xg.asarray(x), axis).dtype


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "int8", "uint16"])
@pytest.mark.parametrize("n", [1, 2, 3, 8, 9, 100])
def test_a_search_finds_what_numpys_does(n: int, dtype: str, side: Any) -> None:
    """Also of NaN, infinities and both zeros, and in every second element of an array."""
    some = [0, 1, 2, 3, 7] if "int" in dtype else [0.0, -0.0, 1.0, 2.0, -1.0, np.nan, np.inf, -np.inf]
    x, y = np.sort(rng.choice(some, n)).astype(dtype), rng.choice(some, (3, 2, 20)).astype(dtype)
    f = lambda x, y: xg.scan(lambda h, y: (h, xg.searchsorted(x[::2], y.T, side=side)), 0.0, y)[1]
    expected = np.searchsorted(x[::2], np.swapaxes(y, -1, -2), side=side)
    np.testing.assert_array_equal(native(f, x, y).numpy(), expected)


@pytest.mark.parametrize("axis", [0, 1, 2, None])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 2), (2, 5, 40), (3, 17, 4)])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "int8", "uint8", "bool"])
def test_the_first_extremum(dtype: str, shape: tuple[int, ...], axis: Any) -> None:
    """Of arrays with ties, NaN, infinities and both zeros; with the reduced axes and without."""
    some = [0, 1] if "int" in dtype or dtype == "bool" else [0.0, -0.0, 1.0, np.nan, np.inf, -np.inf]
    for weights in (None, [0.9, *[0.1 / (len(some) - 1)] * (len(some) - 1)]):
        x = rng.choice(some, shape, p=weights).astype(dtype)
        for ours, theirs in ((xg.argmax, np.argmax), (xg.argmin, np.argmin)):
            for keepdims in (False, True):
                found = native(lambda x: ours(x, axis=axis, keepdims=keepdims), x).numpy()
                np.testing.assert_array_equal(found, theirs(x, axis=axis, keepdims=keepdims), strict=True)


@pytest.mark.parametrize("axis", [0, 1, -1, None, (0, 2)])
@pytest.mark.parametrize(("reduce", "first"), [(xg.max, np.argmax), (xg.min, np.argmin)])
def test_the_gradient_of_an_extremum_goes_to_the_first(reduce: Any, first: Any, axis: Any) -> None:
    x = rng.choice([0.0, -0.0, 1.0, 2.0, -1.0], (3, 2, 4))
    axes = tuple(range(3)) if axis is None else (axis % 3,) if isinstance(axis, int) else axis
    kept = tuple(a for a in range(3) if a not in axes)
    rows = x.transpose(*kept, *axes).reshape(*(x.shape[a] for a in kept), -1)
    expected = np.zeros_like(rows)
    np.put_along_axis(expected, first(rows, axis=-1)[..., None], 1.0, axis=-1)
    expected = expected.reshape(*(x.shape[a] for a in (*kept, *axes))).transpose(np.argsort((*kept, *axes)))
    f = xg.grad(lambda x: xg.sum(reduce(x, axis=axis)))
    np.testing.assert_array_equal(f(x).numpy(), expected)
    np.testing.assert_array_equal(native(f, x).numpy(), expected)


@pytest.mark.parametrize("name", ["cumulative_sum", "cumulative_prod", "sort", "sort down"])
def test_derivatives_in_a_loop(name: str) -> None:
    ours, _ = OPS[name]

    def step(h: Any, x: Any) -> Any:
        h = xg.tanh(ours(h * x[::-1], -1))
        return h, h

    h, xs = rng.normal(size=(2, 4)), rng.uniform(0.5, 1.5, size=(3, 2, 4))

    def plain(h: Any, xs: Any) -> Any:
        ys = []
        for t in range(len(xs)):
            h, y = step(h, xs[t])
            ys.append(y)
        return xg.sum(xg.stack(ys) ** 2)

    loop = lambda h, xs: xg.sum(xg.scan(step, h, xs)[1] ** 2)
    np.testing.assert_allclose(xg.compile(loop)(h, xs).item(), plain(xg.asarray(h), xg.asarray(xs)).item())
    slope = xg.grad(loop, argnums=(0, 1))
    for a, b in zip(native(slope, h, xs), xg.grad(plain, argnums=(0, 1))(h, xs), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-10)
    along = lambda f: lambda h, xs: xg.jvp(f, (h, xs), (h, xs))[1]
    np.testing.assert_allclose(native(along(loop), h, xs).item(), along(plain)(h, xs).item(), rtol=1e-10)


def test_long_rows_are_sorted_by_the_array_library() -> None:
    x = rng.normal(size=(2, 100))
    f = xg.compile(lambda x: xg.sort(x * 2))
    np.testing.assert_array_equal(f(x).numpy(), np.sort(x * 2))
    assert "1 call of 'sort' of (2, 100)" in f.explain(x)
