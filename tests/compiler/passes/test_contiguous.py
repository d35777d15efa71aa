"""Contiguous operands for NumPy calls in loops: parts that are stacked, and transposed weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import xgrad as xg
from tests.helpers.programs import traced
from xgrad.backends import find_device
from xgrad.compiler.interpreter import interpret
from xgrad.compiler.ir import Item, Loop, Program, Stage, everything
from xgrad.compiler.passes import optimise
from xgrad.compiler.passes.contiguous import LONG, contiguous
from xgrad.compiler.verifier import verify

rng = np.random.default_rng(0)


def ready(f: Any, *args: Any) -> Program:
    """Return a program after the pass, with its values checked."""
    program, captured = traced(f, list(args))
    program, device, inputs = optimise(program), find_device("cpu"), [*args, *captured]
    after = contiguous(program)
    verify(after, after="contiguous")
    for z, w in zip(interpret(after, device, inputs), interpret(program, device, inputs), strict=True):
        np.testing.assert_allclose(z, w, rtol=1e-12)
    return after


def the_loop(program: Program) -> Loop:
    (loop,) = (s for s in program.stages if isinstance(s, Loop))
    return loop


def ops(items: Any) -> list[str]:
    return [s.op for s in everything(items) if isinstance(s, Stage)]


def stacking(*keys: Any, bound: bool = True) -> Any:
    """A loop that stacks parts of an array that it computes, or that it reads."""

    def f(xs: Any) -> Any:
        def step(c: Any, x: Any) -> Any:
            z = xg.tanh(x * c) if bound else x
            return c * 0.5 + xg.sum(z), tuple(z[key] for key in keys)

        carry, ys = xg.scan(step, 1.0, xs)
        return [carry, *ys]

    return f


ALL = slice(None)


@pytest.mark.parametrize("rows", [(2,), (1, 2), (3, 2)], ids=str)
@pytest.mark.parametrize(("first", "second"), [(2, 3), (LONG - 1, LONG), (LONG, LONG - 1)])
def test_parts_of_short_rows_are_copied(rows: tuple[int, ...], first: int, second: int) -> None:
    f = stacking((..., slice(0, first)), (..., slice(first, None)))
    program = ready(f, rng.normal(size=(4, *rows, first + second)))
    loop = the_loop(program)
    copies = [s for s in loop.stages if isinstance(s, Stage) and s.op == "none"]
    assert [y.inner for y in loop.ys] == [s.output for s in copies]
    assert sorted(s.output.shape[-1] for s in copies) == sorted((first, second))
    assert {s.source for s in copies} <= {s.source for s in loop.stages if s not in copies}
    assert all(s.source for s in copies)


@pytest.mark.parametrize("shape", [(2, 2 * LONG), (1, 5), (1, 1, 5), (5,), (3, 2, 2 * LONG)], ids=str)
def test_an_array_of_long_rows_is_stacked_as_a_whole(shape: tuple[int, ...]) -> None:
    middle = shape[-1] // 2
    program = ready(
        stacking((..., slice(0, middle)), (..., slice(middle, None))), rng.normal(size=(4, *shape))
    )
    loop = the_loop(program)
    assert "none" not in ops(loop.stages)
    assert [y.outer.shape for y in loop.ys] == [(4, *shape)]
    parts = [s for s in program.stages if isinstance(s, Stage) and s.op == "getitem"]
    assert {s.output.shape[-1] for s in parts} == {middle, shape[-1] - middle}
    assert all(s.source for s in parts)


@pytest.mark.parametrize(
    ("shape", "keys", "bound"),
    [
        ((2, 6), [(ALL, slice(0, 3)), (ALL, slice(3, 6))], False),
        ((3, 6), [(slice(1, 3), slice(0, 6))], True),
        ((3, 6), [(slice(0, 2), slice(0, 3)), (slice(0, 2), slice(3, 6))], True),
        ((2, 2 * LONG + 1), [(ALL, slice(0, LONG)), (ALL, slice(LONG, 2 * LONG))], True),
        ((1, 6), [(ALL, slice(0, 3)), (ALL, slice(3, 5))], True),
        ((3, 6), [(ALL, slice(0, 6, 2))], True),
    ],
)
def test_what_is_stacked_as_it_is(shape: tuple[int, ...], keys: list[Any], bound: bool) -> None:
    """Arrays that the loop reads, parts of some rows, and some of the long columns."""
    program = ready(stacking(*keys, bound=bound), rng.normal(size=(4, *shape)))
    loop = the_loop(program)
    assert "none" not in ops(loop.stages)
    assert [y.outer.shape for y in loop.ys] == [(4, *np.zeros(shape)[key].shape) for key in keys]


def multiplied(h: Any, W: Any) -> Any:
    return xg.tanh(h @ W.T)


def added(h: Any, W: Any) -> Any:
    return h * h + h @ W.T


def twice(h: Any, W: Any) -> Any:
    return xg.tanh(xg.sin(h @ W.T) @ W.T)


def nested(h: Any, W: Any) -> Any:
    return xg.scan(lambda h, _: (xg.tanh(h @ W.T), None), h, None, length=3)[0]


def from_the_left(h: Any, W: Any) -> Any:
    return xg.tanh(W.T @ h)


def untransposed(h: Any, W: Any) -> Any:
    return xg.tanh(h @ W)


def no_product(h: Any, W: Any) -> Any:
    return xg.tanh(h + W.T)


def products(items: Any) -> list[Stage]:
    return [s for s in everything(items) if isinstance(s, Stage) and s.op in ("@", "@+")]


@pytest.mark.parametrize("cell", [multiplied, added, twice, nested])
def test_transposed_weights_are_copied_once_before_the_loop(cell: Any) -> None:
    program = ready(
        lambda h, W: [xg.scan(lambda h, _: (cell(h, W), None), h, None, length=4)[0]],
        *(rng.normal(size=(5, 5)) / 5 for _ in range(2)),
    )
    before = _before(program)
    (copy,) = (s for s in before if isinstance(s, Stage) and s.op == "none")
    found = products(the_loop(program).stages)
    assert found
    assert all(s.operands[-1] == copy.output for s in found)


@pytest.mark.parametrize("cell", [from_the_left, untransposed, no_product])
def test_other_arrays_are_not_copied(cell: Any) -> None:
    program = ready(
        lambda h, W: [xg.scan(lambda h, _: (cell(h, W), None), h, None, length=4)[0]],
        *(rng.normal(size=(5, 5)) / 5 for _ in range(2)),
    )
    assert "none" not in ops(_before(program))


def _before(program: Program) -> list[Item]:
    return list(program.stages[: program.stages.index(the_loop(program))])
