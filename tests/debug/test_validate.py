"""Tests of debug.validate.

It is silent where all is well. If a pass, an executor or a derivative is broken, it reports which, where and
when.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from xgrad.compiler import bodies, passes, scan
from xgrad.compiler.caches import Cache
from xgrad.compiler.ir import Item, Program, Stage, Value, rewritten
from xgrad.compiler.lowering import lower as lowering
from xgrad.compiler.lowering.plan import Loop as PlanLoop
from xgrad.compiler.lowering.plan import Map
from xgrad.debug.comparing import wrong

rng = np.random.default_rng(0)
W, XS, H = rng.normal(size=(4, 4)) / 2, rng.normal(size=(20, 3, 4)), np.zeros((3, 4))


@pytest.fixture(autouse=True)
def afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the programs that earlier tests prepared, whether or not something was broken then."""
    monkeypatch.setattr(bodies, "BODIES", Cache(64))


@pytest.fixture(params=["native", "NumPy"])
def executor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    if request.param == "native":
        pytest.importorskip("llvmlite")
    monkeypatch.setenv("XGRAD_NATIVE", "1" if request.param == "native" else "0")
    return request.param


def cell(w: Any) -> Callable[[Any, Any], Any]:
    def step(h: Any, x: Any) -> Any:
        z = h @ w
        h_new = xg.tanh(z + x)
        doubled = 2 * h_new
        return h_new, doubled

    return step


def loss(w: Any, h: Any, xs: Any, **options: Any) -> Any:
    h, ys = xg.scan(cell(w), h, xs, **options)
    return xg.sum(h * h) + xg.mean(ys)


def line_of(text: str) -> str:
    """Return file and line of the one line in this file that begins with a text."""
    (number,) = [
        i
        for i, line in enumerate(Path(__file__).read_text().splitlines(), 1)
        if line.strip().startswith(text)
    ]
    return f"{__file__}:{number}"


# Where all is well


HEALTHY: dict[str, Callable[[Any], Any]] = {
    "scan": lambda s: loss(W, H, s),
    "gradient": lambda s: xg.grad(loss, argnums=(0, 1, 2))(W, H, s),
    "compiled gradient": lambda s: xg.compile(xg.value_and_grad(loss, argnums=(0, 1, 2)))(W, H, s),
    "gradient of a compiled function": lambda s: xg.grad(xg.compile(loss), argnums=(0, 2))(W, H, s),
    "tangent": lambda s: xg.jvp(loss, (W, H, s), (W, H + 1, s)),
    "hvp": lambda s: xg.hvp(lambda w: loss(w, H, s), (W,), (W,)),
    "compiled hvp": lambda s: xg.compile(lambda w: xg.hvp(lambda w: loss(w, H, s), (w,), (w,)))(W),
    "checkpoints": lambda s: xg.grad(lambda w: loss(w, H, s, checkpoint_every=3))(W),
    "reverse": lambda s: xg.grad(lambda w: loss(w, H, s, reverse=True))(W),
    "float32": lambda s: xg.grad(lambda w: loss(w, H.astype("f"), s.astype("f")))(W.astype("f")),
    "integers": lambda s: xg.scan(
        lambda n, x: (n + xg.astype(x > 0, xg.int64), n), xg.zeros(4, dtype=xg.int64), s[:, 0]
    ),
    "complex": lambda s: xg.scan(lambda z, x: (z * xg.exp(1j * x), z), (1 + 1j) * np.ones(4), s[:, 0]),
    "no steps": lambda s: xg.scan(cell(W), xg.asarray(H), s[:0]),
    "NaN and infinity": lambda s: xg.scan(
        lambda h, x: (h * x, h / x), xg.asarray([np.nan, np.inf, -np.inf, 0.0]), np.ones((9, 4))
    ),
    "nested": lambda s: xg.grad(
        lambda w: xg.sum(xg.scan(lambda h, x: (xg.scan(cell(w), h, x[None])[0], None), H, s)[0])
    )(W),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HEALTHY)
def test_nothing_is_said_where_all_is_well(name: str, executor: str) -> None:
    with np.errstate(all="ignore"):
        expected = HEALTHY[name](XS)
        with xg.debug.validate():
            found = HEALTHY[name](XS)
    leaves: list[Any] = []
    xg.tree_map(lambda a, b: leaves.append((a, b)), found, expected)
    assert leaves
    for a, b in leaves:
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4 if name == "float32" else 1e-11)


def test_on_every_backend(device: str) -> None:
    with xg.debug.validate():
        g = xg.grad(lambda w: loss(w, xg.asarray(H), xg.asarray(XS)))(xg.asarray(W))
    np.testing.assert_allclose(
        g.numpy(),
        xg.grad(lambda w: loss(w, xg.asarray(H), xg.asarray(XS), compiled=False))(xg.asarray(W)).numpy(),
        rtol=1e-9,
    )


def test_backward_through_leaves_still_works() -> None:
    w = xg.tensor(W, requires_grad=True)
    with xg.debug.validate():
        loss(w, xg.asarray(H), xg.asarray(XS)).backward()
    assert w.grad is not None
    np.testing.assert_allclose(
        w.grad.numpy(), xg.grad(lambda w: loss(w, H, XS, compiled=False))(W).numpy(), rtol=1e-10
    )


def test_each_program_is_compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from xgrad.debug import checking

    ran: list[Any] = []
    old = checking.interpret
    monkeypatch.setattr(checking, "interpret", lambda *args: ran.append(1) or old(*args))
    calls: list[Any] = []
    f = xg.compile(lambda x: calls.append(1) or xg.sum(xg.tanh(x)))  # type: ignore[func-returns-value]
    with xg.debug.validate():
        for _ in range(3):
            f(np.ones(3))
    assert (len(ran), len(calls)) == (1, 2)  # traced once, and run once by the engine
    f(np.ones(3))
    assert len(ran) == 1


# A broken pass


@pytest.fixture
def broken_pass(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Item], Any]], None]:
    def break_it(change: Callable[[Item], Any]) -> None:
        def broken(program: Program) -> Program:
            return replace(program, stages=tuple(rewritten(program.stages, lambda s: [change(s)])))

        monkeypatch.setattr(passes, "PASSES", (*passes.PASSES[:4], ("broken", broken), *passes.PASSES[4:]))

    return break_it


@pytest.mark.parametrize(
    "run",
    [
        lambda: loss(W, H, XS),
        lambda: xg.grad(loss)(W, H, XS),
        lambda: xg.compile(loss)(W, H, XS),
        lambda: xg.compile(xg.grad(loss))(W, H, XS),
        lambda: xg.jvp(loss, (W, H, XS), (W, H, XS)),
    ],
    ids=["scan", "gradient", "compiled", "compiled gradient", "tangent"],
)
def test_a_broken_pass_is_named_with_the_stage_the_step_and_the_line(
    run: Callable[[], Any], broken_pass: Any
) -> None:
    broken_pass(lambda s: replace(s, op="sin") if isinstance(s, Stage) and s.op == "tanh" else s)
    with (
        pytest.raises(
            xg.ValidationError, match=r"the pass 'broken' \(5 of \d+\) gives other values"
        ) as caught,
        xg.debug.validate(),
    ):
        run()
    error = caught.value
    assert error.culprit.startswith("the pass 'broken'")
    assert error.stage is not None
    assert "= sin(" in error.stage
    assert error.steps == (0,)
    assert error.source == line_of("h_new = xg.tanh(")
    assert "stage 'h_new', in `h_new = xg.tanh(z + x)`" in str(error)
    assert "at step t=0" in str(error)


def test_the_first_step_that_differs_is_named(broken_pass: Any) -> None:
    """The sign is wrong for negative values, which occur at some steps only."""
    broken_pass(lambda s: replace(s, op="none") if isinstance(s, Stage) and s.op == "abs" else s)
    xs = np.ones((12, 3))
    xs[7, 2] = xs[9] = -1.0

    def step(h: Any, x: Any) -> Any:
        size = abs(x * h)
        return 0.5 * h + 1.0, size

    for reverse, first in ((False, 7), (True, 9)):
        with pytest.raises(xg.ValidationError) as caught, xg.debug.validate():
            xg.scan(step, xg.ones(3), xs, reverse=reverse)
        assert caught.value.steps == (first,)
        assert caught.value.source == line_of("size = abs(")


def test_a_pass_that_breaks_the_backward_loop_alone(broken_pass: Any) -> None:
    """The derivative of tanh is dz * (1 - z * z); a stage of it has the line of the tanh."""
    broken_pass(
        lambda s: (
            replace(s, operands=(2, *s.operands[1:]))
            if isinstance(s, Stage) and s.op == "-" and s.operands[0] == 1
            else s
        )
    )
    with pytest.raises(xg.ValidationError) as caught, xg.debug.validate():
        xg.grad(loss)(W, H, XS)
    assert caught.value.stage is not None
    assert "-(2," in caught.value.stage
    assert caught.value.steps in ((19,), ())  # it starts at the last step, or all steps are one stage
    assert caught.value.source == line_of("h_new = xg.tanh(")


def test_outside_nothing_is_compared(broken_pass: Any) -> None:
    broken_pass(lambda s: replace(s, op="sin") if isinstance(s, Stage) and s.op == "tanh" else s)
    xg.scan(cell(W), xg.asarray(H), XS[:11])


# A broken executor


def in_plan(items: Any, change: Callable[[Any], Any]) -> tuple[Any, ...]:
    return tuple(
        item._replace(body=in_plan(item.body, change)) if isinstance(item, PlanLoop) else change(item)
        for item in items
    )


@pytest.fixture
def broken_executor(
    executor: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[Any, Any], Any]], None]:
    """Change each item of a plan on its way to the executor, given also the program's number of outputs."""

    def break_it(change: Callable[[Any, Any], Any]) -> None:
        old = lowering.lower

        def lower(*args: Any, **options: Any) -> Any:
            lowered = old(*args, **options)
            plan = lowered.plan
            return lowered._replace(
                plan=plan._replace(body=in_plan(plan.body, lambda item: change(item, len(lowered.outputs))))
            )

        monkeypatch.setattr(lowering, "lower", lower)
        monkeypatch.setattr(lowering, "verify", lambda *args: None)  # it would find the fault before a run

    return break_it


def sine_for_tanh(item: Any) -> Any:
    return (
        item._replace(steps=tuple(s._replace(op="sin") if s.op == "tanh" else s for s in item.steps))
        if isinstance(item, Map)
        else item
    )


@pytest.mark.parametrize("compiled", [False, True])
def test_a_broken_executor_is_named(compiled: bool, broken_executor: Any, executor: str) -> None:
    broken_executor(lambda item, outputs: sine_for_tanh(item))
    run = xg.compile(xg.grad(loss)) if compiled else loss
    with pytest.raises(xg.ValidationError) as caught, xg.debug.validate():
        run(W, H, XS)
    error = caught.value
    assert error.culprit == ("native code" if executor == "native" else "NumPy")
    assert error.stage is not None
    assert "= tanh(" in error.stage
    assert error.steps == (0,)
    assert error.source == line_of("h_new = xg.tanh(")


@pytest.mark.parametrize(("most", "found"), [(3, True), (2, False)])
def test_a_fault_that_is_gone_when_all_is_looked_at(most: int, found: bool, broken_executor: Any) -> None:
    """A fault that disappears when all stages are outputs is searched for with one stage at a time.

    If that finds nothing, the message says so.
    """
    broken_executor(lambda item, outputs: sine_for_tanh(item) if outputs <= most else item)
    with pytest.raises(xg.ValidationError) as caught, xg.debug.validate():
        loss(W, H, XS)
    assert (caught.value.stage is not None) == found
    assert caught.value.source == line_of("h_new = xg.tanh(")
    if not found:
        assert "the error is in how they are combined. This output is computed by stage 'h_new'" in str(
            caught.value
        )


def test_code_that_changes_its_input_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from xgrad.compiler import executors

    old = executors.compiled

    def writes(*args: Any) -> Any:
        ready = old(*args)

        def run(inputs: Any) -> Any:
            found = ready.run(inputs)
            inputs[0][0] = 7.0
            return found

        return ready._replace(run=run)

    monkeypatch.setattr(executors, "compiled", writes)
    with (
        pytest.raises(
            xg.ValidationError, match=r"changed its input 'x': element 0 is 7.0, but should be 1.0"
        ),
        xg.debug.validate(),
    ):
        xg.compile(lambda x: x + 1)(xg.ones(3))


# A broken trace, or a broken derivative of one


def test_a_derivative_that_is_broken_is_found_by_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    old = scan.Derivative._back

    def doubled(self: Any, given: Any) -> Any:
        loop = old(self, given)
        program = loop.body.program
        first, *rest = program.outputs
        stage = Stage("*", (first, 2), (Value("twice", *first[1:]),))
        return loop._replace(
            body=replace(
                loop.body, program=Program(program.inputs, (*program.stages, stage), (stage.output, *rest))
            )
        )

    monkeypatch.setattr(scan.Derivative, "_back", doubled)
    with (
        pytest.raises(
            xg.ValidationError,
            match=r"scan gives other values than its Python code.*\n.*the gradient of operand 1 of",
        ) as caught,
        xg.debug.validate(),
    ):
        xg.grad(lambda h: xg.sum(xg.scan(lambda h, x: (0.5 * h + x, None), h, XS)[0]))(H)
    assert caught.value.culprit == "the trace"


def test_a_function_that_counts_its_runs_is_found_by_the_engine() -> None:
    """The compiled function runs a side effect only once; comparing with the engine reveals it."""
    count = 0

    def step(h: Any, x: Any) -> Any:
        nonlocal count
        count += 1
        return h + count, None

    with (
        pytest.raises(
            xg.ValidationError,
            match=(
                r"scan gives other values than its Python code, run op by op\n.*output 1 of 1 \(\): it "
                r"is 4.0, but should be 14.0"
            ),
        ),
        xg.debug.validate(),
    ):
        xg.scan(step, 0.0, np.zeros(4))
    count = 0
    with pytest.raises(xg.ValidationError, match=r"the compiled function 'step'"), xg.debug.validate():
        xg.compile(step)(xg.ones(2), None)


# What counts as different


@pytest.mark.parametrize(
    ("found", "expected", "differs"),
    [
        ([1.0, np.nan], [1.0, np.nan], False),
        ([1.0, np.nan], [1.0, 2.0], True),
        ([np.inf], [np.inf], False),
        ([-np.inf], [np.inf], True),
        ([np.inf], [1e308], True),
        ([1.0 + 1e-9], [1.0], False),
        ([1.0 + 1e-6], [1.0], True),
        ([1e-17], [0.0], False),
        ([0.0, 1e17], [1.0, 1e17], False),  # relative to 1e17, 1 is rounding
        ([0.0], [1.0], True),
        ([3], [4], True),
        ([2**53], [2**53 + 1], True),
        ([True], [False], True),
        ([complex(1, np.nan)], [complex(1, np.nan)], False),
        ([complex(1, np.inf)], [complex(2, np.inf)], True),
        (np.float32([1.0001]), np.float32([1.0]), False),
        (np.float32([1.01]), np.float32([1.0]), True),
        (np.float16([1.01]), np.float16([1.0]), False),
    ],
)
def test_what_counts_as_different(found: Any, expected: Any, differs: bool) -> None:
    assert bool(wrong(np.asarray(found), np.asarray(expected)).any()) == differs


def test_the_tolerance_can_be_given() -> None:
    assert wrong(np.asarray([1.01]), np.asarray([1.0])).any()
    assert not wrong(np.asarray([1.01]), np.asarray([1.0]), 0.1).any()
