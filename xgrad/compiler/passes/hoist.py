"""Loop-invariant code motion.

Stages that do not depend on the carries are computed before the loop, once or for all steps at once.
"""

from __future__ import annotations

from dataclasses import replace

from ..ir import Item, Loop, Operand, Pair, Program, Stage, Value, rewritten
from ..names import Names
from .vectorise import batched


def hoist(program: Program) -> Program:
    """Move stages out of loops, innermost loops first."""
    names = Names.beside(program)

    def change(item: Item) -> list[Item]:
        return _out_of(item, names) if isinstance(item, Loop) else [item]

    return replace(program, stages=tuple(rewritten(program.stages, change)))


def _out_of(loop: Loop, names: Names) -> list[Item]:
    """Return the hoisted stages, followed by the loop."""
    same, loop = invariant(loop)
    slices, loop = _over_time(loop, names)
    return [*same, *slices, loop]


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


def _over_time(loop: Loop, names: Names) -> tuple[list[Stage], Loop]:
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
        if found is not None:
            made[item.output] = found
            outer[item.output] = found[-1].output
    needed: set[Value] = set()
    for item in reversed(loop.stages):
        if (
            isinstance(item, Stage)
            and item.outputs[0] in made
            and (is_at_once(item) or item.output in needed)
        ):
            needed.update((item.output, *item.values))
    moved = [s for s in loop.stages if isinstance(s, Stage) and s.outputs[0] in made and s.output in needed]
    stages = tuple(s for s in loop.stages if s not in moved)
    read = {v for s in stages for v in s.values} | {v for v in loop.results if type(v) is Value}
    xs = tuple(Pair(s.output, outer[s.output]) for s in moved if s.output in read)
    return [s for m in moved for s in made[m.output]], replace(loop, xs=loop.xs + xs, stages=stages)
