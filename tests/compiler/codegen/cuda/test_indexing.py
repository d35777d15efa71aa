"""Gathers, sums and assignments by index arrays in CUDA kernels, compared with NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import xgrad as xg
from tests.helpers.cuda_calls import drawn_indexing
from tests.helpers.cuda_plans import all_together, emulator, lowered
from xgrad.compiler.calls import calls

pytestmark = emulator


@pytest.mark.parametrize("seed", [0, 1])
def test_any_indices(seed: int) -> None:
    """Results are bit-identical: sums in NumPy's order, and the last of several assignments wins."""
    cases = drawn_indexing(np.random.default_rng(seed), 40)
    for (_, given, want), (found,) in zip(cases, all_together([case[:2] for case in cases], seed)):
        np.testing.assert_array_equal(found, want, str(given))


def test_many_indices_of_few_places_and_few_of_many() -> None:
    rng = np.random.default_rng(0)
    cases, expected = [], []
    for places, count, columns in ((3, 200, 40), (500, 70, 33), (40, 40, 1)):
        i, v = rng.integers(0, places, count), rng.normal(size=(count, columns)).astype("float32")
        x = np.zeros((places, columns), "float32")
        cases.append((xg.grad(lambda x, v, i: xg.sum(xg.take(x, i, axis=0) * v)), (x, v, i)))
        expected.append(x.copy())
        np.add.at(expected[-1], i, v)

        def assigned(x: Any, v: Any, i: Any) -> Any:
            y = x + 1
            y[i] = v
            return y

        cases.append((assigned, (x, v, i)))
        expected.append(x + 1)
        expected[-1][i] = v
    for want, (found,) in zip(expected, all_together(cases)):
        np.testing.assert_array_equal(found, want)


def test_derivatives_of_a_gather() -> None:
    rng = np.random.default_rng(0)
    x, i = rng.normal(size=(5, 4, 3)), np.array([0, -2, 4, 4])
    f = lambda x, i: xg.sum(xg.sin(1.3 * x[i, :, i % 3]))
    slope = xg.grad(f)
    functions = (
        slope,
        xg.grad(lambda x, i: xg.sum(xg.sin(slope(x, i)))),
        lambda x, i: xg.jvp(lambda x: f(x, i), (x,), (x * x,))[1],
    )
    for g, (found,) in zip(functions, all_together([(g, (x, i)) for g in functions])):
        np.testing.assert_allclose(found, g(xg.asarray(x), xg.asarray(i)).numpy(), rtol=1e-12, atol=1e-14)


def test_other_dtypes() -> None:
    i = np.array([[2, 0], [2, 2]])
    x = np.arange(12).reshape(4, 3)
    kinds = ("bool", "int8", "int32", "int64", "uint64", "float16")
    cases = [(lambda x, i: x[i], (x.astype(kind), i)) for kind in kinds]
    for (_, (given, _)), (found,) in zip(cases, all_together(cases)):
        np.testing.assert_array_equal(found, given[i])
        assert found.dtype == given.dtype


def test_in_a_loop_with_integers_that_go_from_step_to_step() -> None:
    rng = np.random.default_rng(0)
    table, moves, at = rng.normal(size=(6, 3)), rng.integers(0, 6, size=6), np.array([0, 3])

    def walk(table: Any, moves: Any, at: Any) -> Any:
        def step(at: Any, _: Any) -> Any:
            return xg.take(moves, at, axis=0), xg.take(table, at, axis=0)

        return xg.scan(step, at, length=4)

    slope = xg.grad(lambda table, *rest: xg.sum(walk(table, *rest)[1] ** 2))
    given = (table, moves, at)
    (last, rows), (gradient,) = all_together([(walk, given), (slope, given)])
    expected = np.zeros_like(table)
    for t in range(4):
        np.testing.assert_array_equal(rows[t], table[at])
        np.add.at(expected, at, 2 * table[at])
        at = moves[at]
    np.testing.assert_array_equal(last, at)
    np.testing.assert_allclose(gradient, expected, rtol=1e-14)


def test_what_the_array_library_does() -> None:
    """The library handles an axis of length 0, which must raise an error, and too many summed indices."""

    def left(f: Any, *arrays: Any) -> list[str]:
        with xg.device("cpu"):
            return [c.op for c, _ in calls(lowered(f, *map(xg.asarray, arrays)).plan.body) if not c.kernel]

    take = lambda x, i: xg.sum(xg.take(x, i, axis=0) ** 2)
    i = np.zeros(5000, int)
    assert left(xg.grad(take), np.ones((5000, 1)), i) == ["untake"]
    assert left(xg.grad(take), np.ones((3000, 1)), i) == []
    assert left(take, np.ones((5000, 1)), i) == []
