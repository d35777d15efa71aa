"""Random functions: every way to run one gives what the plainest way gives, values and gradients.

XGRAD_FUZZ=10000 in the environment asks for so many examples of each test.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import xgrad as xg
from xgrad.program.interpreting import interpret
from xgrad.program.verify import verify

from .programs import arguments, loss_and_gradients, problems, traced

try:
    from xgrad.program.passes import PASSES
except ImportError:
    PASSES = ()
try:
    from xgrad.program.source import source
except ImportError:
    source = None

CPU = xg.device("cpu")


def examples(count: int) -> Any:
    return settings(max_examples=int(os.environ.get("XGRAD_FUZZ", count)), deadline=None, derandomize="XGRAD_FUZZ" not in os.environ)


def reference(problem: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The arguments, and what the function gives, op by op and step by step."""
    shapes, seed, instructions = problem
    arrays = arguments(shapes, seed)
    return arrays, numbers(loss_and_gradients(instructions, compiled=False)(*arrays))


def numbers(outputs: Any) -> list[np.ndarray]:
    return [z.detach().numpy() if isinstance(z, xg.Tensor) else np.asarray(z) for z in outputs]


def close(found: Any, expected: list[np.ndarray]) -> None:
    found = numbers(found)
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def run(program: Any, inputs: list[Any]) -> list[Any]:
    return interpret(program, xg.backends.find_device("cpu"), inputs)


@given(problems)
@examples(500)
def test_scans_as_loops_of_programs(problem: Any) -> None:
    arrays, expected = reference(problem)
    close(loss_and_gradients(problem[2])(*arrays), expected)


@given(problems)
@examples(500)
def test_a_trace_interpreted(problem: Any) -> None:
    arrays, expected = reference(problem)
    program, captured = traced(loss_and_gradients(problem[2]), arrays)
    verify(program)
    close(run(program, [*arrays, *captured]), expected)


@pytest.mark.parametrize(("name", "change"), PASSES, ids=[name for name, _ in PASSES])
@given(problem=problems)
@examples(100)
def test_a_pass(name: str, change: Callable[[Any], Any], problem: Any) -> None:
    arrays, expected = reference(problem)
    program, captured = traced(loss_and_gradients(problem[2]), arrays)
    program = change(program)
    verify(program, after=name)
    close(run(program, [*arrays, *captured]), expected)


@pytest.mark.skipif(not PASSES, reason="there are no passes")
@given(problems)
@examples(300)
def test_all_passes(problem: Any) -> None:
    arrays, expected = reference(problem)
    program, captured = traced(loss_and_gradients(problem[2]), arrays)
    for name, change in PASSES:
        program = change(program)
        verify(program, after=name)
    close(run(program, [*arrays, *captured]), expected)
