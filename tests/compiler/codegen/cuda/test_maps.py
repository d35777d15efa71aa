"""Tests of map kernels against the meaning of plans, many kernels per text.

They cover elements, rows and columns, split reductions, fused maps, and maps that share rows.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from tests.helpers.cuda_maps import REDUCED, ROWS, drawn_map, drawn_reduction, filling
from tests.helpers.cuda_plans import (
    CHIP,
    Drawing,
    emulator,
    interpreted,
    kernel_text,
    launches_of,
    lowered,
    outputs_of,
    run,
    together,
)
from xgrad.compiler.codegen.cuda.chips import CHIPS
from xgrad.compiler.codegen.cuda.grouping import grouped, split
from xgrad.compiler.codegen.cuda.schedule import schedule
from xgrad.compiler.lowering.plan import Map, Plan, Reduction, Ref, Step, Unsupported
from xgrad.compiler.lowering.views import contiguous, row_major, transposed

TOLERANCE = {"float64": 1e-13, "float32": 2e-6, "float16": 2e-3}


def _check(plan: Plan, inputs: list[np.ndarray], seed: int = 0) -> None:
    found, _ = run(plan, inputs, seed=seed)
    for i, (z, want) in enumerate(zip(found, interpreted(plan, inputs), strict=True)):
        assert z.dtype == want.dtype
        if z.dtype.kind in "bi":
            np.testing.assert_array_equal(z, want, f"output {i}")
        else:
            scale = np.max(np.abs(want[np.isfinite(want)]), initial=1)
            np.testing.assert_allclose(
                z, want, TOLERANCE[z.dtype.name], TOLERANCE[z.dtype.name] * scale, err_msg=f"output {i}"
            )


@emulator
@pytest.mark.parametrize("seed", range(2))
def test_maps_mean_what_the_plan_says(seed: int) -> None:
    rng, plan = np.random.default_rng(seed), Drawing()
    for _ in range(60):
        drawn_map(rng, plan)
    _check(plan.plan, plan.inputs, seed)


@emulator
@pytest.mark.parametrize("seed", range(2))
def test_reductions_over_any_axes(seed: int) -> None:
    rng, plan = np.random.default_rng(seed), Drawing()
    for shape in REDUCED:
        for count in range(1, len(shape) + 1):
            for axes in combinations(range(len(shape)), count):
                dtype = str(rng.choice(["float32", "float64", "float16"]))
                kind = "max" if dtype == "float16" else str(rng.choice(["sum", "sum", "max", "min"]))
                drawn_reduction(rng, plan, shape, axes, dtype, kind)
    _check(plan.plan, plan.inputs, seed)


@emulator
def test_a_fold_of_what_is_not_a_number_is_none_wherever_it_is() -> None:
    plan = Drawing()
    for kind in ("sum", "max", "min"):
        for shape, axes in (((6, 70), (1,)), ((70, 6), (0,)), ((2500,), (0,)), ((3, 2500), (1,))):
            x = np.random.default_rng(1).normal(size=shape)
            x[tuple(n // 2 for n in shape)] = np.nan
            x.reshape(-1)[-1], x.reshape(-1)[0] = np.inf, -np.inf
            ref = contiguous(plan.input(x), shape)
            kept = tuple(1 if a in axes else n for a, n in enumerate(shape))
            out = plan.output(kept, "float64")._replace(
                shape=shape, strides=tuple(0 if a in axes else s for a, s in enumerate(row_major(kept)))
            )
            plan.body.append(Map(shape, ((0, ref),), (), (), (Reduction(0, kind, out),)))
    found, _ = run(plan.plan, plan.inputs)
    for z, want in zip(found, interpreted(plan.plan, plan.inputs)):
        np.testing.assert_allclose(z, want, 1e-13)
        assert np.isnan(z).any()


# Split reductions


@emulator
def test_large_reductions_to_few_results_are_split() -> None:
    rng, plan = np.random.default_rng(0), Drawing()
    for shape, axes in (
        ((600, 7), (0,)),
        ((3, 600), (1,)),
        ((5000,), (0,)),
        ((4, 300, 6), (0, 1)),
        ((300, 2, 4), (0, 2)),
        ((64, 12, 12), (0, 1, 2)),
    ):
        for dtype, kind in (("float64", "sum"), ("float32", "max"), ("float16", "min")):
            drawn_reduction(rng, plan, shape, axes, dtype, kind)
    before = plan.plan
    parts = split(before, CHIP.processors * CHIP.threads)
    assert len(parts.body) == len(before.body) + 18
    for z, want in zip(interpreted(parts, plan.inputs), interpreted(before, plan.inputs)):
        np.testing.assert_allclose(z, want, 1e-3 if z.dtype == "float16" else 1e-6, 1e-6)
    _check(before, plan.inputs)


@pytest.mark.parametrize("length", [1, 63, 127, 128, 192, 4096, 4099])
def test_parts_divide_the_axis_and_are_not_too_short(length: int) -> None:
    plan = Drawing()
    ref = contiguous(plan.input(np.ones(length)), (length,))
    plan.body.append(
        Map(
            (length,),
            ((0, ref),),
            (),
            (),
            (Reduction(0, "sum", plan.output((1,), "float64")._replace(shape=(length,), strides=(0,))),),
        )
    )
    found = split(plan.plan, 10**6)
    if length in (128, 192, 4096):
        first, second = found.body
        assert second.shape[0] * first.shape[1] == length
        assert 2 <= second.shape[0] <= 128
        assert first.shape[1] >= 64
    else:
        assert found == plan.plan


# Maps that share rows, and maps that are fused


@emulator
@pytest.mark.parametrize("seed", range(3))
def test_rows_that_one_team_does(seed: int) -> None:
    rng = np.random.default_rng(seed)
    found, inputs, wanted = [], [], []
    for f in ROWS.values():
        for shape in ((5,), (3, 33), (40, 8), (2, 3, 16), (2, 2500)):
            x = rng.normal(size=shape).astype("float32" if seed else "float64")
            with xg.device("cpu"):
                wanted.append(np.asarray(f(xg.asarray(x))))
                found.append(lowered(f, xg.asarray(x)))
            inputs.append(x)
    flat = iter(run(together([f.plan for f in found]), inputs, seed=seed)[0])
    for f, want in zip(found, wanted):
        (z,) = outputs_of(f, [next(flat) for b in f.plan.buffers if b.kind == "output"])
        np.testing.assert_allclose(z, want, 3e-6 if seed else 1e-12, 3e-6 if seed else 1e-12)


@pytest.mark.parametrize("name", ROWS)
def test_rows_that_one_team_does_are_one_launch(name: str) -> None:
    with xg.device("cpu"):
        found = lowered(ROWS[name], xg.asarray(np.ones((40, 33))))
    assert len(launches_of(schedule(found.plan, CHIP))) == 1
    assert len(found.plan.body) > 1


def _unary(plan: Drawing, x: Ref, dtype: str = "float32", op: str = "tanh", out: Ref | None = None) -> Ref:
    out = plan.output(x.shape, dtype) if out is None else out
    plan.body.append(Map(x.shape, ((0, x),), (Step(1, op, (0,), (False,), dtype),), ((1, out),)))
    return out


def test_maps_are_merged_where_each_element_needs_its_own_alone() -> None:
    plan = Drawing()
    x = contiguous(plan.input(np.ones((4, 8), "float32")), (4, 8))
    y = _unary(plan, x)
    _unary(plan, y)
    assert len(grouped(plan.body)) == 1
    assert len(grouped(plan.body)[0]) == 1
    _unary(plan, transposed(contiguous(y.buffer, (8, 4)), (1, 0)))  # other elements of y
    assert [len(group) for group in grouped(plan.body)] == [1, 1]


def test_maps_are_not_merged_where_one_overwrites_what_the_other_reads_elsewhere() -> None:
    plan = Drawing()
    buffer = plan.buffer(16, "float32", "scratch")
    first, second = contiguous(buffer, (8,)), contiguous(buffer, (8,))._replace(offset=4)
    plan.body.append(filling(contiguous(buffer, (16,)), "float32"))
    _unary(plan, second)
    _unary(plan, contiguous(plan.input(np.ones(8, "float32")), (8,)), out=first)
    assert len(grouped(plan.body)) == 3


@emulator
def test_merged_maps_mean_the_same() -> None:
    rng, plan = np.random.default_rng(0), Drawing()
    refs = [contiguous(plan.input(rng.normal(size=(6, 8)).astype("float32")), (6, 8)) for _ in range(2)]
    for i in range(30):
        x, y = (refs[int(k)] for k in rng.integers(0, len(refs), 2))
        out = refs[-1] if i % 5 == 4 else plan.output((6, 8), "float32")  # sometimes in place
        steps = (Step(2, "+", (0, 1), (False, False), "float32"), Step(3, "tanh", (2,), (False,), "float32"))
        plan.body.append(Map((6, 8), ((0, x), (1, y)), steps, ((3, out),)))
        refs.append(out)
    assert len(grouped(plan.body)) < 10
    _check(plan.plan, plan.inputs)


# The generated text


def _of_copy(x: Ref, plan: Drawing, dtype: str = "float32") -> str:
    _unary(plan, x, dtype)
    made = schedule(Plan(tuple(plan.buffers), (plan.body[-1],)), CHIP)
    return kernel_text(made, made.body[0].name)  # type: ignore[union-attr]


@pytest.mark.parametrize(("dtype", "width"), [("float64", 2), ("float32", 4), ("float16", 8)])
def test_contiguous_elements_are_loaded_as_wide_as_a_thread_can(dtype: str, width: int) -> None:
    plan = Drawing()
    x = contiguous(plan.input(np.ones(64, dtype)), (8, 8))
    assert f"load<{width}>" in _of_copy(x, plan, dtype)
    assert "store(" in _of_copy(x, plan, dtype)


@pytest.mark.parametrize("misaligned", ["offset", "length", "row", "step", "transposed"])
def test_misaligned_elements_are_loaded_one_by_one(misaligned: str) -> None:
    plan = Drawing()
    ref = contiguous(plan.input(np.ones(8 * 9, "float32")), (8, 8))
    refs = {
        "offset": ref._replace(offset=1),
        "length": contiguous(ref.buffer, (7, 9)),
        "row": ref._replace(strides=(9, 1)),
        "step": ref._replace(shape=(4, 4), strides=(16, 2)),
        "transposed": transposed(ref, (1, 0)),
    }
    assert "Pack<" not in _of_copy(refs[misaligned], plan)


def test_kernels_of_the_same_text_are_one() -> None:
    plan = Drawing()
    for n in (8, 16, 24):  # the length is a run-time argument
        _unary(plan, contiguous(plan.input(np.ones(n, "float32")), (n,)))
    made = schedule(plan.plan, CHIP)
    assert len(launches_of(made)) == 3
    assert made.source.count("__global__") == 1


@pytest.mark.parametrize("chip", CHIPS.values(), ids=lambda c: c.name)
def test_a_launch_has_no_more_blocks_than_the_chip_holds(chip: Any) -> None:
    for n in (1, 1000, 10**8):
        plan = Drawing()
        plan.buffers = [*plan.buffers]
        x = contiguous(plan.buffer(n, "float32", "scratch"), (n,))
        _unary(plan, x)
        (launch,) = launches_of(schedule(plan.plan, chip))
        assert 1 <= launch.grid <= chip.processors * (chip.threads // 256)
        assert launch.grid == min(
            -(-(n // 4 if n % 4 == 0 else n) // 256), chip.processors * (chip.threads // 256)
        )


def test_what_cannot_be_folded_is_refused() -> None:
    plan = Drawing()
    x = contiguous(plan.input(np.ones((3, 4))), (3, 4))
    over = [
        plan.output((3, 1), "float64")._replace(shape=(3, 4), strides=(1, 0)),
        plan.output((1, 4), "float64")._replace(shape=(3, 4), strides=(0, 1)),
    ]
    plan.body.append(Map((3, 4), ((0, x),), (), (), tuple(Reduction(0, "sum", r) for r in over)))
    with pytest.raises(Unsupported, match="different axes"):
        schedule(plan.plan, CHIP)
