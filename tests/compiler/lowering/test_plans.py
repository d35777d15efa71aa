"""Tests of memory plans: carries as a parallel copy, and the plan verifier.

The verifier refuses a plan that does not compute its program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import xgrad as xg
from tests.helpers.programs import traced
from xgrad.compiler.ir import Program
from xgrad.compiler.lowering import loops, parallel_copy
from xgrad.compiler.lowering.lower import Lowered, lower
from xgrad.compiler.lowering.plan import Gemm, Loop, Map, Plan, Ref, Unsupported
from xgrad.compiler.lowering.views import (
    contiguous,
    index,
    is_contiguous,
    may_overlap,
    reshaped,
    sliced,
    slots,
    transposed,
    viewed,
)
from xgrad.compiler.passes import optimise
from xgrad.compiler.plan_verifier import PlanError, verify_plan

Body = Callable[[Any, Any], Any]


def swapped(c: Any, x: Any) -> Any:
    return (c[1], c[0]), None


def fibonacci(c: Any, x: Any) -> Any:
    return (c[1], c[0] + c[1]), None


def lagged(c: Any, x: Any) -> Any:
    return (xg.tanh(c[0] + 0.5 * c[1] + x), c[0], c[1]), c[2]


def equal(c: Any, x: Any) -> Any:
    return (2.0 * c[0] * x, 2.0 * c[0] * x), c[1]


def transposed_state(c: Any, x: Any) -> Any:
    return (c[0].T, c[1]), None


def flipped(c: Any, x: Any) -> Any:
    return (xg.flip(c[0]), c[0] * x), None


def ring(c: Any, x: Any) -> Any:
    return (c[1] * x, c[2], c[0]), c[0]


def part_of_a_concat(c: Any, x: Any) -> Any:
    a, m = c
    a = xg.tanh(0.5 * a + m)
    return (a, 0.5 * m + xg.max(xg.concat([a, 1.5 * a, xg.ones(2)]))), m


def both_halves(c: Any, x: Any) -> Any:
    z = xg.tanh(xg.concat([c[0] + x, c[1]]))
    return (z[3:], z[:3]), z


def constant(c: Any, x: Any) -> Any:
    return (0.0 * xg.ones(3) + 1.0, c[0] + x), c[1]


def views_of_one(c: Any, x: Any) -> Any:
    z = xg.tanh(c[0] * x)
    return (z, z[::-1], c[1][::-1]), c[2]


def matrix_and_its_transpose(c: Any, x: Any) -> Any:
    return (c[0] @ c[1], c[0].T), xg.sum(c[1], axis=0)


def old_value_read_late(c: Any, x: Any) -> Any:
    z = xg.tanh(c[0] * x)
    return (z, c[0] * xg.sum(z)), None


S, V, M = np.float64(0.3), np.array([0.1, -0.2, 0.3]), np.arange(9.0).reshape(3, 3) / 9
LOOPS: dict[str, tuple[Body, tuple[Any, ...]]] = {
    "swapped": (swapped, (V, V + 1)),
    "fibonacci": (fibonacci, (S, S + 1)),
    "lagged": (lagged, (V, V + 1, V - 1)),
    "equal": (equal, (V, V + 1)),
    "transposed state": (transposed_state, (M, S)),
    "flipped": (flipped, (V, V + 1)),
    "ring": (ring, (V, V + 1, V - 1)),
    "part of a concat": (part_of_a_concat, (V, S)),
    "both halves": (both_halves, (V, V + 1)),
    "constant": (constant, (V, V)),
    "views of one": (views_of_one, (V, V + 1, V - 1)),
    "old value read late": (old_value_read_late, (V, V + 1)),
    "matrix and its transpose": (matrix_and_its_transpose, (M, M.T)),
}
XS = np.array([0.5, -1.0, 2.0, 0.25])


def by_hand(body: Body, init: tuple[Any, ...], reverse: bool = False) -> list[np.ndarray]:
    """Run the loop in Python, op by op."""
    c, ys = tuple(map(xg.asarray, init)), []
    for x in XS[::-1] if reverse else XS:
        c, y = body(c, xg.asarray(x))
        ys.append(y)
    found = [*c, *([xg.stack(ys[::-1] if reverse else ys)] if ys[0] is not None else [])]
    return [z.numpy() for z in found]


@pytest.fixture(autouse=True)
def verified(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XGRAD_VERIFY", "1")


@pytest.mark.parametrize("native", ["0", "1"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", LOOPS)
def test_carries_that_take_each_others_values(
    name: str, reverse: bool, native: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XGRAD_NATIVE", native)
    body, init = LOOPS[name]

    def run(*init: Any) -> Any:
        c, y = xg.scan(body, init, xg.asarray(XS), reverse=reverse)
        return (*c, y) if y is not None else c

    for _ in range(2):
        for found, expected in zip(
            xg.compile(run)(*map(xg.asarray, init)), by_hand(body, init, reverse), strict=True
        ):
            np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


def program_of(name: str) -> Program:
    body, init = LOOPS[name]

    def run(*init: Any) -> tuple[Any, ...]:
        c, y = xg.scan(body, init, xg.asarray(XS))
        return (*c, y) if y is not None else c

    return optimise(traced(run, list(init))[0])


def naive(moves: Sequence[Any], aside: Any) -> list[Any]:
    return [m for m in moves if m[0] != m[1]]


FAULTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "nothing interferes": lambda patch: patch.setattr(loops, "interfere", lambda items, new, old: False),
    "copies in any order": lambda patch: patch.setattr(loops, "in_order", naive),
    "views never overlap": lambda patch: patch.setattr(parallel_copy, "may_overlap", lambda a, b: a == b),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_verifier_refuses_plans_of_a_compiler_without_these_checks(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = []
    FAULTS[fault](monkeypatch)
    for name in LOOPS:
        try:
            lower(program_of(name))
        except PlanError:
            refused.append(name)
    assert refused


def test_what_was_overwritten_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    FAULTS["copies in any order"](monkeypatch)
    with pytest.raises(PlanError, match=r"at step \d.*no stage computes"):
        lower(program_of("lagged"))


def plan_of(name: str = "lagged") -> tuple[Program, Lowered]:
    program = program_of(name)
    return program, lower(program)


def changed(plan: Plan, change: Callable[[Any], Any], kind: type) -> Plan:
    """Return the plan with its first item of a kind changed, looking inside loops too."""
    done = False

    def items(body: Sequence[Any]) -> tuple[Any, ...]:
        nonlocal done
        found = []
        for item in body:
            if isinstance(item, Loop) and kind is not Loop:
                item = item._replace(body=items(item.body))
            elif isinstance(item, kind) and not done:
                item, done = change(item), True
            found.append(item)
        return tuple(found)

    return plan._replace(body=items(plan.body))


def moved(ref: Ref, by: int) -> Ref:
    return ref._replace(offset=ref.offset + by)


CHANGES: dict[str, tuple[str, type, Callable[[Any], Any], str]] = {
    "an operand read one element on": (
        "matrix and its transpose",
        Gemm,
        lambda g: g._replace(a=moved(g.a, 1)),
        "elements|computes|never|output",
    ),
    "a product that is not transposed": (
        "matrix and its transpose",
        Gemm,
        lambda g: g._replace(b=transposed(g.b, (1, 0))),
        "computes|output",
    ),
    "swapped operands": (
        "matrix and its transpose",
        Gemm,
        lambda g: g._replace(a=g.b, b=g.a),
        "computes|output",
    ),
    "a product added to what was there": (
        "matrix and its transpose",
        Gemm,
        lambda g: g._replace(accumulate=True),
        "never written|computes",
    ),
    "a step too few": ("lagged", Loop, lambda p: p._replace(length=p.length - 1), "never written|output"),
    "the steps against time": (
        "lagged",
        Loop,
        lambda p: p._replace(reverse=True),
        "never written|computes|output",
    ),
    "a step too many": ("lagged", Loop, lambda p: p._replace(length=p.length + 1), "elements"),
    "a store beyond the end": (
        "fibonacci",
        Map,
        lambda m: m._replace(stores=tuple((v, moved(r, 1)) for v, r in m.stores)),
        "elements",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_verifier_refuses_a_changed_plan(change: str) -> None:
    name, kind, how, message = CHANGES[change]
    program, (plan, outputs, constants, _) = plan_of(name)
    verify_plan(program, plan, outputs, constants)
    with pytest.raises(PlanError, match=message):
        verify_plan(program, changed(plan, how, kind), outputs, constants)


def elements(ref: Ref) -> set[int]:
    return {ref.offset + sum(i * s for i, s in zip(at, ref.strides)) for at in np.ndindex(ref.shape)}


@st.composite
def views(draw: Any) -> Ref:
    """Draw a view of one of a few buffers, made by the usual view operations."""
    ref = contiguous(0, draw(st.sampled_from([(4, 6), (2, 3, 4), (12,), (5, 5)])))
    ref = moved(ref, draw(st.integers(0, 9)))
    for _ in range(draw(st.integers(0, 3))):
        how = draw(st.integers(0, 4))
        if how == 0:
            ref = transposed(ref, draw(st.permutations(range(len(ref.shape)))))
        elif how == 1:
            starts = [(draw(st.integers(0, n)), n) for n in ref.shape]
            ref = sliced(ref, [(a, draw(st.integers(a, n))) for a, n in starts])
        elif how == 2 and ref.shape and ref.shape[0]:
            ref = index(ref, 0, draw(st.integers(0, ref.shape[0] - 1)))
        elif how == 3:
            ref = reshaped(ref, (int(np.prod(ref.shape)),)) or ref
        else:
            ref = (
                viewed(ref, tuple(slice(None, None, draw(st.sampled_from([1, 2, -1]))) for _ in ref.shape))
                or ref
            )
    return ref


@given(views(), views())
def test_views_that_overlap(a: Ref, b: Ref) -> None:
    if elements(a) & elements(b):
        assert may_overlap(a, b)
        assert may_overlap(b, a)


def test_views_that_are_known_to_be_apart() -> None:
    matrix = contiguous(0, (4, 6))
    left, right = sliced(matrix, [(0, 4), (0, 3)]), sliced(matrix, [(0, 4), (3, 6)])
    upper, lower_ = slots(matrix, 0, 2), slots(matrix, 2, 4)
    for a, b in (
        (left, right),
        (upper, lower_),
        (transposed(left, (1, 0)), right),
        (viewed(matrix, (slice(None, None, 2),)), index(matrix, 0, 1)),
    ):
        assert a is not None
        assert b is not None
        assert not may_overlap(a, b)
    assert is_contiguous(upper)


MOVES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=6, unique_by=lambda m: m[1])


@given(MOVES)
def test_copies_in_order_do_what_moves_do_at_once(moves: list[tuple[int, int]]) -> None:
    places = [contiguous(i, ()) for i in range(20)]
    spare = iter(places[6:])
    memory = {p: p.buffer for p in places}
    for source, target in parallel_copy.in_order(
        [(places[a], places[b]) for a, b in moves], lambda r: next(spare)
    ):
        memory[target] = memory[source]  # type: ignore[index]
    for a, b in moves:
        assert memory[places[b]] == a


def test_a_cycle_needs_one_temporary() -> None:
    places = [contiguous(i, ()) for i in range(5)]
    asked: list[Ref] = []
    found = parallel_copy.in_order(
        [(places[(i + 1) % 4], places[i]) for i in range(4)], lambda r: asked.append(r) or places[4]
    )  # type: ignore[func-returns-value]
    assert len(asked) == 1
    assert len(found) == 5


def test_a_carry_that_becomes_a_number_is_compiled() -> None:
    f = xg.compile(lambda h: xg.scan(lambda c, x: ((xg.zeros(3), c[0] + x), c[0]), (h, h), xg.asarray(XS)))
    (a, b), ys = f(xg.asarray(V))
    np.testing.assert_array_equal(a.numpy(), np.zeros(3))
    np.testing.assert_array_equal(b.numpy(), np.full(3, XS[-1]))
    np.testing.assert_array_equal(ys.numpy(), [V, *np.zeros((3, 3))])


def test_memory_that_an_outer_loop_reads_again_is_not_overwritten() -> None:
    """A product must not accumulate into a slice that an outer loop's next step reads again."""
    W = np.full((3, 3), 0.1)

    def inner(h: Any, x: Any) -> Any:
        return xg.tanh(x + h @ W), None

    def run(h: Any, xs: Any, compiled: bool = True) -> Any:
        xs = xg.sin(xs)
        return xg.scan(
            lambda h, _: (xg.scan(inner, h, xs, compiled=compiled)[0], None),
            h,
            None,
            length=3,
            compiled=compiled,
        )[0]

    h, xs = xg.ones((2, 3)), xg.asarray(np.linspace(-1, 1, 24).reshape(4, 2, 3))
    np.testing.assert_allclose(xg.compile(run)(h, xs).numpy(), run(h, xs, compiled=False).numpy(), rtol=1e-12)


@pytest.mark.slow
def test_a_long_chain_of_stages_needs_no_deep_stack() -> None:
    def chain(h: Any) -> Any:
        for i in range(3000):
            h = xg.flip(h) if i % 3 == 0 else h * 1.0001 + 0.001
        return h

    program, _ = traced(lambda h: (chain(h),), [V])
    try:
        lower(optimise(program))
    except Unsupported as error:
        pytest.fail(str(error))


def read_after_the_loop(h: Any, xs: Any) -> tuple[Any, ...]:
    """Each step adds a product to its slice of `u`, and a view of `u` is read after the loop."""
    u, W = xg.sin(xs), np.full((3, 3), 0.1)
    last, _ = xg.scan(lambda h, x: (xg.tanh(x + h @ W), None), h, u)
    return last, xg.reshape(u, (-1,)) @ np.ones(24)


def test_slices_that_are_read_after_the_loop_are_not_added_to(monkeypatch: pytest.MonkeyPatch) -> None:
    h, xs = np.ones((2, 3)), np.linspace(-1, 1, 24).reshape(4, 2, 3)
    program, _ = traced(read_after_the_loop, [h, xs])
    lower(optimise(program))
    monkeypatch.setattr(loops._LoopLowering, "_is_last_reader", lambda self, v: True)
    with pytest.raises(PlanError):
        lower(optimise(program))
