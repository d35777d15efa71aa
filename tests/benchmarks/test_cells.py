"""Cells from papers: their values and gradients equal those of JAX, in float64."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from benchmarks.cells import CELLS, libraries
from benchmarks.cells.cell import SMALL, Problem
from xgrad.core.pytree import flatten

Results = tuple[list[Any], dict[str, Any]]  # the last carry and all outputs; gradients by name


def both(problem: Problem, xp: Any, grad: Any) -> Any:
    """Return a function that gives the last carry, the outputs and the gradients."""

    def run(moving: Any, xs: Any) -> Any:
        carry, ys = problem.loop(xp, moving, xs)
        return carry, ys, grad(lambda moving: problem.loss(xp, moving, xs))(moving)

    return run


def of_xgrad(problem: Problem, transform: Callable[[Any], Any]) -> Results:
    """Return the results of xgrad, with `transform` applied to the whole function."""
    moving = {name: xg.asarray(v) for name, v in problem.moving().items()}
    xs = problem.xs and tuple(map(xg.asarray, problem.xs))
    carry, ys, gradients = transform(both(problem, libraries.xgrad(), xg.grad))(moving, xs)
    return [v.numpy() for v in flatten((carry, ys))[0]], {name: v.numpy() for name, v in gradients.items()}


def of_jax(problem: Problem) -> Results:
    """Return the results of JAX, whose complex gradients are the conjugates of xgrad's."""
    import jax

    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_disable_most_optimizations", True)  # for faster compilation
    carry, ys, gradients = jax.jit(both(problem, libraries.jax(), jax.grad))(problem.moving(), problem.xs)
    values = [np.asarray(v) for v in jax.tree.leaves((carry, ys))]
    return values, {name: np.conj(np.asarray(v)) for name, v in gradients.items()}


def assert_close(found: Any, expected: Any, tolerance: float, what: str) -> None:
    """Check dtype and shape, and that the difference is small relative to the largest number, or to 1."""
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape), what
    if found.dtype.kind in "biu":
        assert np.array_equal(found, expected), what
        return
    wide = "D" if found.dtype.kind == "c" else "d"
    found, expected = found.astype(wide), expected.astype(wide)
    scale = max(1.0, np.max(np.abs(expected), initial=0))
    assert np.max(np.abs(found - expected), initial=0) <= tolerance * scale, what


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs JAX")
@pytest.mark.parametrize("name", CELLS)
def test_values_and_gradients_are_those_of_jax(name: str) -> None:
    problem = Problem(CELLS[name], SMALL, "float64")
    expected_values, expected_gradients = of_jax(problem)
    for how, transform in (("scan alone", lambda f: f), ("compiled", xg.compile)):
        values, gradients = of_xgrad(problem, transform)
        for i, (a, b) in enumerate(zip(values, expected_values, strict=True)):
            assert_close(a, b, problem.cell.tolerance, f"{how}: value {i}")
        assert gradients.keys() == expected_gradients.keys()
        for key, b in expected_gradients.items():
            assert_close(gradients[key], b, problem.cell.tolerance, f"{how}: gradient of {key}")


def test_every_cell_has_a_gradient_to_take_and_says_where_it_is_from() -> None:
    for name, cell in CELLS.items():
        assert Problem(cell, SMALL, "float64").moving(), name
        assert cell.step.__doc__, name
