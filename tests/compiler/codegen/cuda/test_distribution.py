"""Tests of where the blocks of a loop's kernel wait for each other.

The barriers are checked against a simulation of all reads and writes. Some loops must be refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from benchmarks.cells import equations, libraries
from tests.helpers.cuda_cells import CELLS, MIXING, arguments, loss_of
from tests.helpers.cuda_plans import CHIP, lowered
from xgrad.compiler.codegen.cuda import geometry
from xgrad.compiler.codegen.cuda.distribution import Part, barriers, parts, rows_of
from xgrad.compiler.codegen.cuda.grouping import grouped, split
from xgrad.compiler.lowering.plan import Buffer, Gemm, Loop, Ref, Unsupported

WARPS = 1  # per block in the simulation: rows are assigned to blocks in turn


def loops(f: Callable[..., Any], *args: Any) -> Iterator[tuple[Loop, tuple[Buffer, ...]]]:
    """Yield the loops of a function's plan."""
    plan = split(lowered(f, *args).plan, CHIP.processors * CHIP.threads)
    for item in plan.body:
        if isinstance(item, Loop):
            yield item, plan.buffers


def laid(loop: Loop, buffers: Sequence[Buffer]) -> tuple[list[Part], int]:
    """Return the parts of a loop, and its number of rows."""
    items = grouped(loop.body)
    rows = rows_of(items)
    return parts(items, rows, buffers), rows


# Reads and writes


def elements(ref: Ref, t: int, chosen: Callable[[tuple[int, ...]], bool]) -> set[tuple[int, int]]:
    """Return the elements of a ref at step t whose positions are chosen."""
    start = ref.offset + t * ref.steps[-1]
    return {
        (ref.buffer, start + sum(i * s for i, s in zip(at, ref.strides)))
        for at in product(*map(range, ref.shape))
        if chosen(at)
    }


def touched(
    part: Part, t: int, rows: int, per_group: int, blocks: int, group: int, rank: int
) -> tuple[set[Any], set[Any]]:
    """Return what a block reads and writes in a part, as `persistent` computes it."""
    mine = range(group * per_group, min((group + 1) * per_group, rows))
    if isinstance(part.item, Gemm):
        gemm, columns, begin = part.item, set(), 0
        for n in part.pieces:
            w = geometry.width(n, blocks)
            columns |= {begin + j for j in range(rank * w, min((rank + 1) * w, n))}
            begin += n
        reads = elements(gemm.a, t, lambda at: at[0] in mine)
        writes = elements(gemm.out, t, lambda at: at[0] in mine and at[1] in columns)
        return reads | (writes if gemm.accumulate else set()), writes
    reads, writes = set(), set()
    for m in part.item:
        shape = m.shape if m.shape[:1] == (rows,) else (1, *m.shape)
        added = len(shape) - len(m.shape)
        folded = {
            a
            for r in m.reductions
            for a, (n, s) in enumerate(zip(m.shape, r.out.strides))
            if s == 0 and n != 1
        }
        kept = [a for a in range(len(shape)) if a - added not in folded] if part.by_rows and folded else [0]
        if part.by_rows and len(part.item) > 1:
            kept = list(range(len(max((x.shape for x in part.item), key=len)) - 1 + added))

        def chosen(
            at: tuple[int, ...], shape: tuple[int, ...] = shape, added: int = added, kept: list[int] = kept
        ) -> bool:
            at = (0,) * added + at
            if at[0] not in mine:
                return False
            if not part.by_rows:
                j, n = (at[1], shape[1]) if len(shape) > 1 else (0, 1)
                return j // geometry.width(n, blocks) == rank
            row = 0
            for a in kept:
                row = row * shape[a] + at[a]
            first = mine[0] * prod(shape[a] for a in kept[1:])
            return (row - first) // WARPS % blocks == rank

        for _, r in m.loads:
            reads |= elements(r, t, chosen)
        for r in (*(r for _, r in m.stores), *(f.out for f in m.reductions)):
            writes |= elements(r, t, chosen)
    return reads, writes


def race(
    found: Sequence[Part], placed: Sequence[int], rows: int, per_group: int, blocks: int, turns: Sequence[int]
) -> str | None:
    """Describe a data race between two blocks with no barrier in between, or return None.

    Blocks of different groups never wait for each other.
    """
    groups = -(-rows // per_group)
    readers: dict[Any, set[tuple[int, int]]] = {}
    writers: dict[Any, set[tuple[int, int]]] = {}
    for t in turns:
        for i, part in enumerate(found):
            if i in placed and groups == 1:
                readers.clear()
                writers.clear()
            elif i in placed:  # only this group's blocks have synchronised: only for them is it safe
                for kept in (readers, writers):
                    for key in kept:
                        kept[key] = {(group, -1) for group, _ in kept[key]}
            everybody = [(group, rank) for group in range(groups) for rank in range(blocks)]
            does = {who: touched(part, t, rows, per_group, blocks, *who) for who in everybody}
            for who, (reads, writes) in does.items():
                for key in reads:
                    readers.setdefault(key, set()).add(who)
                for key in writes:
                    writers.setdefault(key, set()).add(who)
            for (group, rank), (reads, writes) in does.items():
                for key in reads | writes:
                    others = writers.get(key, set()) | (readers.get(key, set()) if key in writes else set())
                    for other, its_rank in others:
                        if other != group or (its_rank not in (-1, rank)):
                            return (
                                f"turn {t}, part {i}: {key} by block {rank} of group {group} and block "
                                f"{its_rank} of group {other}"
                            )
    return None


def check(loop: Loop, buffers: Sequence[Buffer], *, needed: bool = True) -> int:
    """Check that the barriers of a loop suffice and, if `needed`, that none is redundant."""
    found, rows = laid(loop, buffers)
    placed = barriers(found, loop.reverse)
    turns = range(4)[:: -1 if loop.reverse else 1]
    for per_group, blocks in ((rows, 2), (rows, 3), (2, 2)):
        assert race(found, placed, rows, per_group, blocks, turns) is None
    if needed:
        for one in placed:
            rest = [i for i in placed if i != one]
            assert any(race(found, rest, rows, rows, blocks, turns) for blocks in (2, 3)), (
                f"the barrier before part {one} is not needed"
            )
    return len(placed)


WIDTH, BATCH = 24, 3  # three tiles of columns
#: Barriers per step, forward and backward.
COUNTS = {
    "GRU, reset before": (3, 2),
    "GRU, reset after": (2, 1),
    "LSTM with peepholes": (2, 1),
    "MGU": (2, 2),
    "residual": (1, 1),
    "coRNN": (1, 2),
    "sLSTM": (2, 1),
    "layer norm": (2, 2),
    "attention": (3, 3),
    "output inside": (2, 1),
}


@pytest.mark.parametrize("name", CELLS)
def test_barriers_of_a_cell_are_enough_and_none_too_many(name: str) -> None:
    with xg.device("cpu"):
        found = list(loops(loss_of(CELLS[name]), *_tensors(arguments(CELLS[name], BATCH, WIDTH, "float64"))))
    assert len(found) == 2
    assert tuple(check(loop, buffers) for loop, buffers in found) == COUNTS[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*equations.CELLS, *equations.SPELLINGS])
def test_barriers_of_other_cells_are_enough(name: str) -> None:
    cell = {**equations.CELLS, **equations.SPELLINGS}[name]
    rng = np.random.default_rng(0)
    W = {key: rng.normal(size=shape) for key, shape in cell.shapes(3, WIDTH).items()}
    first = tuple(rng.normal(size=(BATCH, WIDTH)) for _ in range(cell.states))
    F = libraries.functions(xg)

    def loss(W: Any, xs: Any, states: Any) -> Any:
        _, ys = xg.scan(lambda h, x: cell.step(F, W, x, *h), states, xs)
        return xg.sum(ys * ys)

    with xg.device("cpu"):
        found = list(
            loops(xg.grad(loss, argnums=(0, 1, 2)), *_tensors((W, rng.normal(size=(4, BATCH, 3)), first)))
        )
    assert len(found) >= 2
    for loop, buffers in found:
        if name == "nested":
            with pytest.raises(Unsupported, match="a nested loop"):
                laid(loop, buffers)
        else:
            check(loop, buffers, needed=False)


def _random_step(seed: int) -> Callable[..., Any]:
    """Draw a step of two states that does not mix rows."""

    def step(W: Any, carry: Any, x: Any) -> Any:
        rng = np.random.default_rng(seed)
        values = [*carry, x]

        def some() -> Any:
            return values[int(rng.integers(max(0, len(values) - 4), len(values)))]

        for _ in range(int(rng.integers(3, 8))):
            kind = rng.choice(["@", "@", "*", "+", "softmax", "norm", "parts", "swap"])
            a = some()
            if kind == "@":
                a = xg.tanh(a @ W[int(rng.integers(2))])
            elif kind in "*+":
                a = a * some() if kind == "*" else xg.sin(a) + some()
            elif kind == "softmax":
                a = xg.softmax(a, axis=-1)
            elif kind == "norm":
                a = a - xg.mean(a, axis=-1, keepdims=True)
            elif kind == "parts":
                a = xg.concat([a[..., : WIDTH // 3] * 2, xg.sin(a[..., WIDTH // 3 :])], axis=-1)
            else:
                a = xg.concat([a[..., WIDTH // 2 :], a[..., : WIDTH // 2]], axis=-1)
            values.append(a)
        h = xg.tanh(values[-1] @ W[2])
        return (0.5 * (h + carry[0]), xg.tanh(some() + carry[1])), some()

    return step


@pytest.mark.slow
# with seeds 4 and 7, all products leave the loop
@pytest.mark.parametrize("seed", [0, 1, 2, 3, 5, 6, 8, 9, 10, 11, 12, 13])
def test_barriers_of_random_loops_are_enough(seed: int) -> None:
    rng, step = np.random.default_rng(seed), _random_step(seed)
    W = tuple(rng.normal(size=(WIDTH, WIDTH)) for _ in range(3))
    first = tuple(rng.normal(size=(BATCH, WIDTH)) for _ in range(2))

    def loss(W: Any, xs: Any, states: Any) -> Any:
        last, ys = xg.scan(lambda h, x: step(W, h, x), states, xs, reverse=seed % 2 == 1)
        return xg.sum(ys * ys) + xg.sum(xg.sin(last[1]))

    with xg.device("cpu"):
        found = list(
            loops(xg.grad(loss, argnums=(0, 1, 2)), *_tensors((W, rng.normal(size=(4, BATCH, WIDTH)), first)))
        )
    checked = 0
    for loop, buffers in found:
        # the others keep nothing across all steps
        if any(isinstance(item, Gemm) for item in loop.body):
            check(loop, buffers, needed=False)
            checked += 1
    assert checked


#: Why the loops of cells that mix rows, or whose weights change, do not fit in one launch: forward and
#: backward.
REASONS = {
    "mean of rows": ("rows that depend on each other",) * 2,
    "reversed rows": ("rows that depend on each other",) * 2,
    "from the left": ("an array of shape (24, 3) that does not fit 3 rows", "rows that depend on each other"),
    "fast weights": ("no products with the same number of rows",) * 2,
    "stacks": ("a batched product",) * 2,
}


@pytest.mark.parametrize("name", MIXING)
@pytest.mark.parametrize("batch", [BATCH, WIDTH])
def test_what_mixes_rows_is_refused(name: str, batch: int) -> None:
    """Also when there are as many rows as columns."""
    with xg.device("cpu"):
        found = list(
            loops(loss_of(MIXING[name]), *_tensors(arguments(MIXING[name], batch, WIDTH, "float64")))
        )
    reasons = []
    for loop, buffers in found:
        with pytest.raises(Unsupported) as error:
            laid(loop, buffers)
        reasons.append(str(error.value))
    if batch == BATCH:
        assert tuple(reasons) == REASONS[name]
    assert len(reasons) == 2


def _tensors(given: Any) -> Any:
    if isinstance(given, dict):
        return {k: xg.asarray(v) for k, v in given.items()}
    return tuple(map(_tensors, given)) if isinstance(given, tuple) else xg.asarray(given)
