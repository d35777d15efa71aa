"""Cumulative ops, argmax, argmin and sorting in native code, compared with NumPy."""

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
