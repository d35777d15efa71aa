"""Tests of memory sharing in hand-written plans.

Scratch buffers are reused, and next values are computed in the memory of the old ones.
"""

from __future__ import annotations

from typing import Any

import pytest

from xgrad.compiler.lowering.buffer_reuse import shared_memory
from xgrad.compiler.lowering.parallel_copy import interfere
from xgrad.compiler.lowering.plan import Buffer, Gemm, Map, Plan, Reduction, Ref, Step
from xgrad.compiler.lowering.views import contiguous, refs


def item(reads: Ref, *writes: Ref, reductions: tuple[Ref, ...] = ()) -> Map:
    """Return a map that reads one ref and stores the same values, or their sum, to others."""
    folds = tuple(Reduction(1, "sum", r) for r in reductions)
    return Map(
        reads.shape,
        ((0, reads),),
        (Step(1, "neg", (0,), (False,), "float64"),),
        tuple((1, w) for w in writes),
        folds,
    )


def chain(sizes: list[int], order: list[tuple[int, int]], dtypes: list[str] | None = None) -> Plan:
    """A plan in which an item reads the first buffer of each pair and writes the second.

    The first buffer is an input, the last an output.
    """
    kinds = ["input", *["scratch"] * (len(sizes) - 2), "output"]
    buffers = tuple(Buffer(k, n, d) for k, n, d in zip(kinds, sizes, dtypes or ["float64"] * len(sizes)))
    return Plan(buffers, tuple(item(contiguous(a, (4,)), contiguous(b, (4,))) for a, b in order))


def used(plan: Plan) -> list[tuple[int, int]]:
    """Return the buffers that each item reads and writes."""
    return [(reads[0].buffer, writes[0].buffer) for reads, writes in map(refs, plan.body)]


STRAIGHT = [(0, 1), (1, 2), (2, 3), (3, 4)]


def test_memory_is_used_again_after_its_last_use() -> None:
    plan, _ = shared_memory(chain([4, 8, 8, 8, 4], STRAIGHT))
    assert used(plan) == [(0, 1), (1, 2), (2, 1), (1, 4)]
    assert [b.size for b in plan.buffers] == [4, 8, 8, 0, 4]


def test_memory_is_used_again_and_again() -> None:
    plan, _ = shared_memory(chain([4, 8, 8, 8, 8, 8, 4], [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6)]))
    assert used(plan) == [(0, 1), (1, 2), (2, 1), (1, 2), (2, 1), (1, 6)]


@pytest.mark.parametrize(
    ("free", "wanted", "shares"), [(8, 8, True), (16, 8, True), (17, 8, False), (8, 9, False), (10, 8, True)]
)
def test_memory_fits(free: int, wanted: int, shares: bool) -> None:
    """Memory is reused if it is large enough, and at most twice as large."""
    plan, _ = shared_memory(chain([4, free, 99, wanted, 4], STRAIGHT))
    assert used(plan)[2] == ((2, 1) if shares else (2, 3))
    assert plan.buffers[3].size == (0 if shares else wanted)


def test_memory_of_another_dtype_is_not_used() -> None:
    plan, _ = shared_memory(
        chain([4, 8, 8, 8, 4], STRAIGHT, ["float64", "float32", "float64", "float64", "float64"])
    )
    assert used(plan) == STRAIGHT


def test_the_smallest_that_fits_is_used() -> None:
    plan, _ = shared_memory(chain([4, 16, 12, 99, 10, 4], [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]))
    assert used(plan)[3] == (3, 2)


def test_memory_is_free_by_time_and_not_by_number() -> None:
    """Buffer 3 starts while 1 is live, although buffer 2, with a lower number, starts long after that."""
    order = [(0, 1), (1, 3), (1, 3), (3, 5), (0, 2), (2, 5)]
    assert used(shared_memory(chain([4, 8, 99, 8, 8, 4], order))[0])[:4] == order[:4]


def test_memory_that_nothing_uses_is_not_there() -> None:
    assert shared_memory(chain([4, 8, 8, 4], [(0, 1), (1, 3)]))[0].buffers[2].size == 0


# Next values in the memory of the old ones: buffer 0 is the old value, 1 the next, 2 something else

OLD, NEW, OTHER = (contiguous(b, (4,)) for b in range(3))
LOW, HIGH = (lambda r: r._replace(shape=(2,))), (lambda r: r._replace(shape=(2,), offset=2))
BACK = OLD._replace(offset=3, strides=(-1,))
SQUARE = [contiguous(b, (2, 2)) for b in range(3)]


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        pytest.param([item(OLD, NEW)], False, id="element by element"),
        pytest.param([item(OLD, OTHER), item(OTHER, NEW)], False, id="read before"),
        pytest.param([item(BACK, NEW)], True, id="backwards"),
        pytest.param([item(OTHER, NEW), item(OLD, OTHER)], True, id="read after"),
        pytest.param([item(LOW(OTHER), LOW(NEW)), item(HIGH(OLD), HIGH(NEW))], False, id="the other half"),
        pytest.param(
            [
                item(LOW(OTHER), LOW(NEW)),
                item(HIGH(OTHER), HIGH(NEW)),
                item(LOW(OLD), LOW(OTHER)),
                item(HIGH(OTHER), HIGH(NEW)),
            ],
            True,
            id="the first half, late",
        ),
        pytest.param(
            [item(LOW(OLD), HIGH(NEW)), item(HIGH(OLD), LOW(NEW))], True, id="halves that change places"
        ),
        pytest.param([item(OTHER, NEW), item(OTHER, OLD)], True, id="the old value is written"),
        pytest.param([item(OLD, OTHER)], True, id="the next value is not computed"),
        pytest.param([Gemm(SQUARE[1], SQUARE[0], SQUARE[2], False)], True, id="a product"),
        pytest.param(
            [Gemm(SQUARE[2], SQUARE[0], SQUARE[0], False), item(OTHER, NEW)], False, id="a product before"
        ),
        pytest.param([item(OLD, reductions=(NEW,))], True, id="a reduction"),
        pytest.param([item(OLD, NEW, reductions=(NEW,))], True, id="stored and reduced"),
    ],
)
def test_a_next_value_in_the_place_of_the_old_one(items: list[Any], expected: bool) -> None:
    assert interfere(items, NEW, OLD) is expected


def test_another_length_shares_the_same_memory() -> None:
    """Where one length shares memory, others do, whatever the sizes; the larger value decides."""
    order = [(0, 1), (1, 2), (2, 3), (3, 4)]
    plan, reused = shared_memory(chain([4, 8, 8, 8, 4], order))
    other, found = shared_memory(chain([4, 2, 8, 30, 4], order), reused)
    assert found == reused == {3: 1}
    assert used(other) == used(plan)
    assert other.buffers[1].size == 30
