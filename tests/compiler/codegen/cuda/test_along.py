"""Cumulative ops, argmax, argmin and sorting in CUDA kernels, compared with NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import xgrad as xg
from tests.helpers.cuda_calls import OPS, drawn_lines
from tests.helpers.cuda_plans import all_together, emulator, lowered
from xgrad.compiler.calls import calls

pytestmark = emulator


@pytest.mark.parametrize("seed", [0, 1])
def test_values_are_numpys(seed: int) -> None:
    cases = drawn_lines(np.random.default_rng(seed))
    for (_, given, want), (found,) in zip(cases, all_together([case[:2] for case in cases], seed)):
        np.testing.assert_array_equal(found, want, str(given))
        assert found.dtype == want.dtype


def test_long_lines() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 50, size=(3, 3000)).astype("float32")
    y = x.copy()
    y[1, [700, 2900]] = np.nan
    sums = rng.normal(size=(2, 1000))
    cases = [(lambda x: xg.argmax(x, axis=1), (x,)), (lambda x: xg.argmin(x, axis=1), (y,))]
    cases += [(lambda x: xg.argmin(x), (x,)), (lambda x: xg.cumulative_sum(x, axis=1), (sums,))]
    wanted = [np.argmax(x, 1), np.argmin(y, 1), np.argmin(x), np.cumsum(sums, 1)]
    for want, (found,) in zip(wanted, all_together(cases)):
        np.testing.assert_array_equal(found, want)


def test_integers_that_overflow_wrap_around() -> None:
    x = np.full((2, 70), 3, "int32")
    ((found,), (total,)) = all_together(
        [
            (lambda x: xg.cumulative_prod(x.astype("int64"), axis=1), (x,)),
            (lambda x: xg.cumulative_sum(x, axis=1), (np.full((2, 3), 2**62),)),
        ]
    )
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(found, np.cumprod(x.astype("int64"), 1))
        np.testing.assert_array_equal(total, np.cumsum(np.full((2, 3), 2**62), 1))


@pytest.mark.parametrize("name", ["cumulative_sum", "cumulative_prod", "sort", "sort down"])
def test_derivatives_in_a_loop(name: str) -> None:
    ours, _ = OPS[name]
    rng = np.random.default_rng(0)

    def step(h: Any, x: Any) -> Any:
        h = xg.tanh(ours(h * x[::-1], -1))
        return h, h

    h, xs = rng.normal(size=(2, 4)), rng.uniform(0.5, 1.5, size=(3, 2, 4))
    loss = lambda h, xs: xg.sum(xg.scan(step, h, xs)[1] ** 2)
    slope = xg.grad(loss, argnums=(0, 1))
    (found,) = all_together([(slope, (h, xs))])
    for a, b in zip(found, slope(xg.asarray(h), xg.asarray(xs)), strict=True):
        np.testing.assert_allclose(a, b.numpy(), rtol=1e-10)


def test_what_the_array_library_does() -> None:
    def left(f: Any, *arrays: Any) -> list[str]:
        with xg.device("cpu"):
            return [c.op for c, _ in calls(lowered(f, *map(xg.asarray, arrays)).plan.body) if not c.kernel]

    assert left(lambda x: xg.sort(x), np.ones((2, 33))) == ["sort"]
    assert left(lambda x: xg.cumulative_sum(x, axis=1), np.ones((2, 1025))) == ["cumulative_sum"]
    assert left(lambda x: xg.argmax(x, axis=1), np.ones((2, 65537))) == ["argmax"]
