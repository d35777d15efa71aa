"""Integers of every length in compiled programs: arithmetic, reductions and loops, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xgrad as xg
from xgrad.backends.cpu import native
from xgrad.compiler.calls import calls

pytestmark = pytest.mark.skipif(native.missing() is not None, reason=native.missing() or "")

INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
integers = pytest.mark.parametrize("dtype", INTEGERS)
REDUCTIONS = ("sum", "prod", "max", "min", "any", "all", "count_nonzero")


def arithmetic(xp: Any, x: Any, y: Any) -> tuple[Any, ...]:
    shift = xp.abs(y % 80)
    return (
        x + y,
        x - y,
        x * y,
        x // y,
        x % y,
        -x,
        xp.abs(x),
        ~x,
        x & y,
        x ^ y,
        x << shift,
        x >> shift,
        x < y,
        x == y,
        xp.maximum(x, y),
        xp.minimum(x, y),
        xp.where(x > y, x, y),
        xp.square(x),
        x * x * x,
    )


COMPILED = xg.compile(lambda x, y: arithmetic(xg, x, y))


@settings(max_examples=30)
@given(st.sampled_from(INTEGERS), st.data())
def test_arithmetic_wraps_around_as_in_numpy(dtype: str, data: st.DataObject) -> None:
    ends = np.iinfo(dtype)
    some = st.one_of(
        st.integers(int(ends.min), int(ends.max)),
        st.sampled_from([int(ends.min), int(ends.max), 0, 1]),
        st.integers(max(int(ends.min), -9), 9),
    )
    x, y = (np.array(data.draw(st.lists(some, min_size=19, max_size=19)), dtype) for _ in range(2))
    with np.errstate(all="ignore"):
        expected = arithmetic(np, x, y)
        found = COMPILED(x, y)
    for z, w in zip(found, expected, strict=True):
        assert z.dtype == w.dtype
        np.testing.assert_array_equal(z.numpy(), w)
    assert list(calls(COMPILED.executable(x, y).lowered.plan.body)) == []


@pytest.mark.parametrize("dtype", [*INTEGERS, "bool", "float16", "float32"])
@pytest.mark.parametrize("axis", [None, 0, 2, (0, 1), (1, 2), ()])
def test_reductions(dtype: str, axis: Any) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (3, 5, 37)).astype(dtype)
    if dtype in INTEGERS:
        ends = np.iinfo(dtype)
        x = rng.integers(ends.min, ends.max, x.shape, dtype, endpoint=True) * x
    names = [name for name in REDUCTIONS if dtype != "bool" or name not in ("max", "min")]
    f = xg.compile(lambda x: tuple(getattr(xg, name)(x, axis=axis) for name in names))
    for name, z in zip(names, f(x), strict=True):
        expected = np.asarray(getattr(np, name)(x, axis=axis))
        assert z.dtype == expected.dtype
        np.testing.assert_array_equal(z.numpy(), expected, name)
    assert list(calls(f.executable(x).lowered.plan.body)) == []


def test_truths_of_what_is_no_number() -> None:
    x = np.array([[0.0, -0.0, np.nan], [np.inf, 0.0, 0.25], [0.0, 0.0, 0.0]])
    f = xg.compile(
        lambda x: (xg.any(x, axis=1), xg.all(x, axis=0), xg.count_nonzero(x), xg.any(x[:, :0], axis=1))
    )
    for z, w in zip(
        f(x), (np.any(x, axis=1), np.all(x, axis=0), np.count_nonzero(x), [False] * 3), strict=True
    ):
        np.testing.assert_array_equal(z.numpy(), w)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_products_of_floats(dtype: str) -> None:
    x = np.random.default_rng(0).normal(size=(4, 30, 6)).astype(dtype)
    for axis in (None, 0, 1, 2, (0, 2)):
        f = xg.compile(lambda x, axis=axis: xg.prod(x, axis=axis))
        expected = np.prod(x.astype("float64"), axis=axis)
        np.testing.assert_allclose(
            f(x).numpy().astype("float64"), expected, rtol=20 * np.finfo(dtype).eps, atol=1e-7
        )
        assert "call of" not in f.explain(x)


@integers
def test_a_loop_with_a_short_carry(dtype: str) -> None:
    xs = np.arange(40).astype(dtype)

    def cell(h: Any, x: Any) -> Any:
        h = h * 3 + x
        return h, h ^ (x << 1)

    f = xg.compile(lambda xs: xg.scan(cell, xs[:1], xs[:, None]))
    h, ys = xs[:1], []
    with np.errstate(all="ignore"):
        for x in xs[:, None]:
            h, y = cell(h, x)
            ys.append(y)
    last, stack = f(xs)
    assert (last.dtype, stack.dtype) == (dtype, dtype)
    np.testing.assert_array_equal(last.numpy(), h)
    np.testing.assert_array_equal(stack.numpy(), np.stack(ys))
    assert "call of" not in f.explain(xs)


def test_a_number_that_a_dtype_has_not_is_refused_as_it_is_eagerly() -> None:
    for number in (300, -1):
        with pytest.raises(OverflowError):
            xg.compile(lambda x, n=number: x + n)(np.array([1, 2], "uint8"))


@integers
def test_what_is_compared_is_compared_exactly(dtype: str) -> None:
    ends = np.iinfo(dtype)
    x = np.array([ends.min, ends.min + 1, 0, ends.max - 1, ends.max], dtype)
    f = xg.compile(lambda x, y: (x < y, x == y, x >= y))
    for other in INTEGERS:
        ends = np.iinfo(other)
        y = np.array([ends.max, ends.max - 1, ends.min, 1, ends.min + 1], other)
        for z, w in zip(f(x, y), (x < y, x == y, x >= y), strict=True):
            np.testing.assert_array_equal(z.numpy(), w)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_powers(dtype: str) -> None:
    rng = np.random.default_rng(0)
    x = np.exp(rng.normal(size=4000) * 5).astype(dtype)
    y = (rng.uniform(-80, 80, 4000) / np.log(x)).astype(dtype)
    special = np.array([0, -0.0, 1, -1, 2, -2.5, 0.5, np.inf, -np.inf, np.nan, 3, 1e-310, 1e30, -1e30], dtype)
    x = np.concatenate([x, np.repeat(special, special.size)])
    y = np.concatenate([y, np.tile(special, special.size)])
    with np.errstate(all="ignore"):
        found, exact = xg.compile(lambda x, y: x**y)(x, y).numpy(), np.power(x.astype(np.longdouble), y)
        alone = xg.compile(lambda x, y: x**y)(x[:4000], y[:4000]).numpy()
        exact = exact.astype(dtype)
    np.testing.assert_array_equal(found[:4000], alone)
    np.testing.assert_allclose(found, exact, rtol=2 * np.finfo(dtype).eps, atol=0)
    zeros = exact == 0
    np.testing.assert_array_equal(np.signbit(found[zeros]), np.signbit(exact[zeros]))


def test_sines_near_multiples_of_pi_keep_their_digits() -> None:
    k = np.random.default_rng(0).integers(-600_000, 600_000, 2000)
    x = np.concatenate([k * (np.pi / 2), np.random.default_rng(1).uniform(-20, 20, 500)])
    found = xg.compile(lambda x: (xg.sin(x), xg.cos(x)))(x)
    for z, f in zip(found, (np.sin, np.cos), strict=True):
        np.testing.assert_allclose(z.numpy(), f(x.astype(np.longdouble)), rtol=3 * 2.0**-52, atol=0)
