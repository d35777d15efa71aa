"""Loop-invariant code motion.

Stages that do not depend on the carries are computed before the loop, once or for all steps at once.
"""

from __future__ import annotations

from dataclasses import replace

from ..ir import Item, Loop, Operand, Pair, Program, Stage, Value, rewritten
from ..names import Names
from .vectorise import batched


def hoist(program: Program, small: int = 0) -> Program:
    """Move stages out of loops, innermost loops first.

    With `small`, elementwise stages move too, if their array over all steps has at most so many elements.
    """
    names = Names.beside(program)

    def change(item: Item) -> list[Item]:
        return _out_of(item, names, small) if isinstance(item, Loop) else [item]

    return replace(program, stages=tuple(rewritten(program.stages, change)))


def _out_of(loop: Loop, names: Names, small: int) -> list[Item]:
    """Return the hoisted stages, followed by the loop."""
    same, loop = invariant(loop)
    slices, loop = _over_time(loop, names, small)
    if not small:
        return [*same, *slices, loop]
    outer = {x.inner: x.outer for x in loop.xs}  # stacks of slices, which are there already
    stacks = [
        Stage("none", (outer[y.inner],), (y.outer,))
        for y in loop.ys
        if type(y.inner) is Value and y.inner in outer
    ]
    ys = tuple(y for y in loop.ys if type(y.inner) is not Value or y.inner not in outer)
    return [*same, *slices, replace(loop, ys=ys), *stacks]


def invariant(loop: Loop) -> tuple[list[Item], Loop]:
    """Return the stages that are the same at every step, and the loop without them."""
    before: list[Item] = []
    bound = set(loop.inner)
    inside: list[Item] = []
    for item in loop.stages:
        if bound.isdisjoint(item.values):
            before.append(item)
        else:
            bound.update(item.outputs)
            inside.append(item)
    return before, replace(loop, stages=tuple(inside))


def is_at_once(stage: Stage) -> bool:
    """Whether a stage is worth an array over all steps; others move only if such a stage needs them."""
    return stage.entry is not None and stage.entry.kernel.at_once


def _is_pointwise(stage: Stage) -> bool:
    return stage.entry is not None and stage.entry.kernel.pointwise


def _over_time(loop: Loop, names: Names, small: int) -> tuple[list[Stage], Loop]:
    """Compute stages that depend only on slices for all steps at once.

    Those worth an array over all steps are moved, with the stages they depend on.
    """
    outer: dict[Value, Value] = {x.inner: x.outer for x in loop.xs}
    bound = {*loop.inner, *(v for s in loop.stages for v in s.outputs)}

    def outside(v: Operand) -> tuple[Operand, bool]:
        return (outer[v], True) if type(v) is Value and v in outer else (v, False)

    made: dict[Value, list[Stage]] = {}
    for item in loop.stages:
        if isinstance(item, Loop) or not all(v in outer or v not in bound for v in item.values):
            continue
        found = batched(item, loop.length, outside, names)
        if found is not None and (not small or found[-1].output.size <= small):
            made[item.output] = found
            outer[item.output] = found[-1].output
    needed: set[Value] = set()
    for item in reversed(loop.stages):
        if (
            isinstance(item, Stage)
            and item.outputs[0] in made
            and (is_at_once(item) or (small and _is_pointwise(item)) or item.output in needed)
        ):
            needed.update((item.output, *item.values))
    moved = [s for s in loop.stages if isinstance(s, Stage) and s.outputs[0] in made and s.output in needed]
    stages = tuple(s for s in loop.stages if s not in moved)
    read = {v for s in stages for v in s.values} | {v for v in loop.results if type(v) is Value}
    xs = tuple(Pair(s.output, outer[s.output]) for s in moved if s.output in read)
    return [s for m in moved for s in made[m.output]], replace(loop, xs=loop.xs + xs, stages=stages)
