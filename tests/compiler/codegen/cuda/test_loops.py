"""Cells through time as CUDA kernels, forward and backward, compared with the CPU.

Both as one launch and step by step.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.helpers.cuda_cells import CELLS, MIXING, SOME, STEPS, problem
from tests.helpers.cuda_plans import (
    ONCE,
    STEPWISE,
    emulator,
    kernel_text,
    launched,
    loops_of,
    outputs_of,
    together,
)
from xgrad.compiler.codegen.cuda.chips import Chip
from xgrad.compiler.codegen.cuda.schedule import schedule
from xgrad.compiler.lowering.lower import Lowered


def error_of(found: Any, want: np.ndarray) -> float:
    """Return the error relative to the norm."""
    return float(np.linalg.norm(found.astype(np.float64) - want) / max(np.linalg.norm(want), 1e-12))


#: Chips on which a kernel's step uses a few of the processors, synchronised by counters in memory or as a
#: cluster.
COUNTERS = Chip("counters", 80, 6, 65536, 1024)
CLUSTERS = Chip("clusters", 90, 16, 65536, 1024)
#: A chip with so little memory that the weights need many blocks, and the left operand is loaded in parts.
LITTLE = Chip("little", 80, 24, 24576, 1024)


class Case(NamedTuple):
    dtype: str
    precision: str
    chip: Chip
    batch: int | None
    width: int
    cells: tuple[str, ...]
    tolerance: float


CASES = {
    "counters, float64": Case("float64", "highest", COUNTERS, 17, 8, tuple(CELLS), 1e-12),
    "clusters, float32": Case("float32", "highest", CLUSTERS, 40, 48, tuple(CELLS), 1e-5),
    "odd widths": Case(
        "float64", "highest", CLUSTERS, 1, 45, ("GRU, reset after", "LSTM with peepholes", "attention"), 1e-12
    ),
    "unbatched": Case(
        "float64", "highest", COUNTERS, None, 48, ("GRU, reset before", "layer norm", "output inside"), 1e-12
    ),
    "little memory": Case("float64", "highest", LITTLE, 16, 48, ("residual", "coRNN"), 1e-12),
    "tf32": Case("float32", "tf32", COUNTERS, 17, 48, SOME, 1e-3),
    "bf16": Case("float32", "bf16", CLUSTERS, 16, 48, SOME, 5e-3),
    "float16": Case("float16", "highest", COUNTERS, 40, 48, ("GRU, reset before", "MGU", "attention"), 2e-2),
}


@cache
def made(name: str) -> tuple[Any, list[Lowered], list[np.ndarray], list[list[np.ndarray]]]:
    """Return a schedule with all cells of a case, its plans, its inputs, and the expected outputs of each."""
    case = CASES[name]
    found = [problem(cell, case.batch, case.width, case.dtype, case.precision) for cell in case.cells]
    plans, inputs, wanted = (
        [f for f, _, _ in found],
        [x for _, given, _ in found for x in given],
        [w for _, _, w in found],
    )
    return schedule(together([f.plan for f in plans]), case.chip, case.precision), plans, inputs, wanted


def check(name: str, way: str, seed: int = 0) -> None:
    case, (text, plans, inputs, wanted) = CASES[name], made(name)
    flat, loops = launched(text, inputs, case.chip, way, seed)
    assert {loop.way for loop in loops} == {way}
    outputs = iter(flat)
    for cell, plan, wants in zip(case.cells, plans, wanted):
        found = outputs_of(plan, [next(outputs) for b in plan.plan.buffers if b.kind == "output"])
        for i, (z, want) in enumerate(zip(found, wants, strict=True)):
            assert error_of(z, want) < case.tolerance, f"output {i} of {cell}"


@pytest.mark.slow
@emulator
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("way", [ONCE, STEPWISE])
def test_a_cell_is_what_it_is_on_the_cpu(name: str, way: str) -> None:
    check(name, way)


@pytest.mark.slow
@emulator
@pytest.mark.parametrize("name", ["unbatched", "little memory", "float16"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_order_of_threads_does_not_matter(name: str, seed: int) -> None:
    check(name, ONCE, seed)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_every_cell_is_one_launch_each_way(name: str) -> None:
    case, (text, *_) = CASES[name], made(name)
    assert [(repeat.why, repeat.reverse) for repeat in loops_of(text)] == [("", False), ("", True)] * len(
        case.cells
    )
    for repeat in loops_of(text):
        *before, launch = repeat.once
        assert launch.shared <= case.chip.shared
        assert bool(before) == launch.cooperative  # the counters, if any, are set to 0
        assert not (launch.cooperative and launch.cluster > 1)


@pytest.mark.slow
def test_cases_have_groups_and_blocks_of_each_kind() -> None:
    """The cases above cover what their names say."""
    kinds = set()
    for name in CASES:
        for repeat in loops_of(made(name)[0]):
            kinds.add(
                (
                    repeat.once[-1].cooperative,
                    repeat.once[-1].cluster > 1,
                    repeat.once[-1].grid > repeat.once[-1].cluster,
                )
            )
    assert {(True, False, True), (False, True, True), (False, True, False), (False, False, False)} <= kinds
    assert "k += " in made("little memory")[0].source  # the left operand is loaded in parts


#: Cells that do not fit in one launch, and the reasons: forward, backward.
STEP_BY_STEP = {
    "mean of rows": ("rows that depend on each other",) * 2,
    "reversed rows": ("rows that depend on each other",) * 2,
    "from the left": (
        "an array of shape (8, 17) that does not fit 17 rows",
        "rows that depend on each other",
    ),
    "fast weights": ("no products with the same number of rows",) * 2,
    "stacks": ("a batched product",) * 2,
}


@emulator
@pytest.mark.parametrize("name", MIXING)
def test_what_is_no_launch_is_right_step_by_step(name: str) -> None:
    plan, inputs, wanted = problem(name, 17, 8, "float64")
    text = schedule(plan.plan, COUNTERS)
    assert tuple(repeat.why for repeat in loops_of(text)) == STEP_BY_STEP[name]
    flat, loops = launched(text, inputs, COUNTERS)
    assert {loop.way for loop in loops} == {STEPWISE}
    for z, want in zip(outputs_of(plan, flat), wanted, strict=True):
        assert error_of(z, want) < 1e-12


def test_blocks_count_as_often_as_they_wait() -> None:
    for name in ("counters, float64", "tf32", "little memory"):
        for repeat in loops_of(made(name)[0]):
            launch = repeat.once[-1]
            if launch.cooperative:
                text = kernel_text(made(name)[0], launch.name)
                goals = re.findall(r"group_barrier\(counters \+ group \* 32, goal \+= (\d+)\);", text)
                groups = -(-(CASES[name].batch or 1) // int(re.search(r"first = group \* (\d+);", text)[1]))  # type: ignore[index]
                assert {int(goal) * groups for goal in goals} == {launch.grid}
                assert launch.numbers == (STEPS,)
