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
from xgrad.program.stages import Carry, Loop, Pair, Program, Stage, Value
from xgrad.program.verify import ProgramError, verify

from .programs import arguments, loss_and_gradients, loss_of, problems, traced

try:
    from xgrad.program.passes import PASSES
except ImportError:
    PASSES = ()
try:
    from xgrad.program.source import source
except ImportError:
    source = None


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


@pytest.mark.parametrize(("name", "change"), dict(PASSES).items(), ids=list(dict(PASSES)))
@given(problem=problems)
@examples(50)
def test_a_pass(name: str, change: Callable[[Any], Any], problem: Any) -> None:
    arrays, expected = reference(problem)
    program, captured = traced(loss_and_gradients(problem[2]), arrays)
    if name != "open":
        program = dict(PASSES).get("open", lambda p: p)(program)  # the others see loops
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


@pytest.mark.skipif(source is None, reason="programs are not written as Python yet")
@given(problems)
@examples(100)
def test_python_text(problem: Any) -> None:
    arrays, expected = reference(problem)
    program, captured = traced(loss_and_gradients(problem[2]), arrays)
    module: dict[str, Any] = {}
    exec(source(program), module)
    outputs, _ = module["forward"](*arrays, *captured)
    close(outputs if isinstance(outputs, tuple) else (outputs,), expected)


@pytest.mark.skipif(source is None, reason="programs are not written as Python yet")
@given(problems)
@examples(50)
def test_gradients_in_python_text(problem: Any) -> None:
    arrays, expected = reference(problem)
    loss = loss_of(problem[2])
    program, captured = traced(lambda *a: (loss(*a)[0],), arrays)
    module: dict[str, Any] = {}
    exec(source(program), module)
    if "backward" not in module:
        return
    _, saved = module["forward"](*arrays, *captured)
    close(module["backward"](saved, np.ones(()))[: len(arrays)], expected[1 : 1 + len(arrays)])


@pytest.mark.parametrize("how", ["loop", "scan", "compile"])
@given(problem=problems)
@examples(60)
def test_tangents_are_gradients_along_a_direction(how: str, problem: Any) -> None:
    arrays, expected = reference(problem)
    moves = arguments(problem[0], problem[1] + 1)
    loss = loss_of(problem[2], compiled=how != "loop")
    tangent = lambda values, moves: xg.jvp(lambda *a: loss(*a)[0], values, moves)
    run = xg.compile(tangent) if how == "compile" else tangent
    z, t = numbers(run([xg.asarray(a) for a in arrays], [xg.asarray(a) for a in moves]))
    along = [np.sum(g * m) for g, m in zip(expected[1:], moves)]
    np.testing.assert_allclose(z, expected[0], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(t, np.sum(along), rtol=1e-8, atol=1e-10 * (1 + np.sum(np.abs(along))))


def compiled(problem: Any, native: str, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays, expected = reference(problem)
    with monkeypatch.context() as patch:
        patch.setenv("XGRAD_NATIVE", native)
        f = xg.compile(loss_and_gradients(problem[2]))
        for _ in range(2):  # memory is used again
            close(f(*map(xg.asarray, arrays)), expected)


@pytest.mark.skipif(not hasattr(xg, "compile"), reason="nothing is compiled yet")
@given(problem=problems)
@examples(100)
def test_compiled_for_numpy(problem: Any) -> None:
    compiled(problem, "0", pytest.MonkeyPatch())


@pytest.mark.skipif(not hasattr(xg, "compile"), reason="nothing is compiled yet")
@given(problem=problems)
@examples(30)
def test_compiled_to_native_code(problem: Any) -> None:
    compiled(problem, "1", pytest.MonkeyPatch())


def v(name: str, *shape: int) -> Value:
    return Value(name, shape, "float64")


FAULTS = {
    r"after fuse: y = tanh\(x\).*form of y": Program((v("x", 3),), (Stage("tanh", (v("x", 3),), (v("y", 2),)),), ()),
    "x is defined twice": Program((v("x", 3),), (Stage("tanh", (v("x", 3),), (v("x", 3),)),), ()),
    "used, and not defined": Program((v("x", 3),), (Stage("tanh", (v("y", 3),), (v("z", 3),)),), ()),
    "the outputs: .*not defined": Program((v("x", 3),), (), (v("z", 3),)),
    "no matrix product": Program((v("x", 3), v("y", 4)), (Stage("@", (v("x", 3), v("y", 4)), (v("z"),)),), ()),
    "cannot be added to": Program((v("x", 3), v("y", 3, 2)), (Stage("@+", (v("x", 3), v("x", 3), v("y", 3, 2)), (v("z", 3),)),), ()),
    "next of the carry h": Program((v("x", 3),), (Loop(2, False, (Carry(v("h", 3), 0.0, v("k", 2), None),), (), (), (Stage("getitem", (v("h", 3),), (v("k", 2),), {"key": slice(2)}),)),), ()),
    "a slice of": Program((v("x", 3),), (Loop(2, False, (), (Pair(v("t"), v("x", 3)),), (), ()),), ()),
    "length of ys": Program((v("x", 3),), (Loop(2, False, (), (), (Pair(v("x", 3), v("ys", 5, 3)),), ()),), ()),
}


@pytest.mark.parametrize("message", FAULTS)
def test_verify_names_the_fault(message: str) -> None:
    with pytest.raises(ProgramError, match=message):
        verify(FAULTS[message], after="fuse")


def test_what_is_inside_a_loop_is_not_known_outside() -> None:
    loop = Loop(3, False, (Carry(v("h"), 0.0, v("k"), v("last")),), (Pair(v("t"), v("x", 3)),), (), (Stage("+", (v("h"), v("t")), (v("k"),)),))
    verify(Program((v("x", 3),), (loop,), (v("last"),)))
    with pytest.raises(ProgramError, match=r"k.*not defined"):
        verify(Program((v("x", 3),), (loop,), (v("k"),)))
