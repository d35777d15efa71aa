"""Expose all intermediate values of a program as outputs, and find the first wrong one in execution order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from ..backends import find_device
from ..backends.types import HostArray
from ..compiler.ir import Item, Loop, Pair, Program, Stage, Value
from ..compiler.names import Names


class Place(NamedTuple):
    """A stage's output in a program: the value, its stage, the positions that lead to it, and its loops."""

    value: Value
    stage: Stage
    path: tuple[int, ...]
    loops: tuple[Loop, ...]


class First(NamedTuple):
    """The first wrong value: its place, and the time step of each loop around it."""

    place: Place
    steps: tuple[int, ...]
    key: tuple[int, ...]


def exposed(
    program: Program, only: Callable[[Place], bool] = lambda place: True
) -> tuple[Program, list[Place]]:
    """The program with every stage's outputs as further outputs, and their places.

    An output inside a loop has one slice for each step.
    """
    names = Names.beside(program)
    stages, found = _exposed(program.stages, (), (), names, only)
    return Program(program.inputs, tuple(stages), (*program.outputs, *(outer for _, outer in found))), [
        place for place, _ in found
    ]


def _exposed(
    stages: Sequence[Item],
    path: tuple[int, ...],
    loops: tuple[Loop, ...],
    names: Names,
    only: Callable[[Place], bool],
) -> tuple[list[Item], list[tuple[Place, Value]]]:
    kept: list[Item] = []
    found: list[tuple[Place, Value]] = []
    for i, item in enumerate(stages):
        here = (*path, i)
        if isinstance(item, Loop):
            inside, values = _exposed(item.stages, here, (*loops, item), names, only)
            outer = [names.new((item.length, *v.shape), v.dtype) for _, v in values]
            pairs = tuple(Pair(v, o) for (_, v), o in zip(values, outer))
            kept.append(replace(item, stages=tuple(inside), ys=(*item.ys, *pairs)))
            found += [(place, o) for (place, _), o in zip(values, outer)]
        else:
            kept.append(item)
            places = [Place(v, item, (*here, k), loops) for k, v in enumerate(item.outputs)]
            found += [(place, place.value) for place in places if only(place)]
    return kept, found


def first_wrong(places: Sequence[Place], masks: Sequence[HostArray | None]) -> First | None:
    """The place that is wrong first in execution order, from a mask of wrong elements for each place.

    A mask of None stands for unknown values.
    """
    xp: Any = find_device("cpu").xp
    found: list[First] = []
    for place, mask in zip(places, masks, strict=True):
        if mask is None or not bool(xp.any(mask)):
            continue
        depth = len(place.loops)
        by_step = xp.any(mask, axis=tuple(range(depth, mask.ndim))) if mask.ndim > depth else mask
        # in execution order
        turned = by_step[tuple(slice(None, None, -1 if loop.reverse else 1) for loop in place.loops)]
        order = tuple(int(i[0]) for i in xp.nonzero(turned)) if depth else ()
        steps = tuple(loop.length - 1 - t if loop.reverse else t for loop, t in zip(place.loops, order))
        key = (*(n for pair in zip(place.path, order) for n in pair), *place.path[depth:])
        found.append(First(place, steps, key))
    return min(found, key=lambda first: first.key, default=None)


def written(stage: Stage) -> str:
    """Format a stage as one line."""
    operands = ", ".join(v.name if isinstance(v, Value) else repr(v) for v in stage.operands)
    return f"{', '.join(v.name for v in stage.outputs)} = {stage.op}({operands})"


def origin(program: Program, values: Sequence[Value]) -> str:
    """The source line that computes one of the values or, if unknown, their nearest ancestor with a line."""
    makers: dict[Any, Stage] = {}
    same: dict[Any, Any] = {}
    _makers(program.stages, makers, same)
    seen: set[Any] = set()
    row = list(values)
    while row:
        after: list[Value] = []
        for v in row:
            passed = set()
            while v in same and v not in passed:  # a carry may be passed on unchanged
                passed.add(v)
                v = same[v]
            maker = makers.get(v)
            if maker is None or v in seen:
                continue
            seen.add(v)
            if maker.source:
                return maker.source
            after += maker.values
        row = after
    return ""


def _makers(items: Sequence[Item], makers: dict[Any, Stage], same: dict[Any, Any]) -> None:
    """Collect the stage that computes each value, and the value that each loop variable stands for."""
    for item in items:
        if isinstance(item, Loop):
            same.update((x.inner, x.outer) for x in item.xs)
            same.update((y.outer, y.inner) for y in item.ys)
            for c in item.carry:
                same.update({c.inner: c.next} if c.final is None else {c.inner: c.next, c.final: c.next})
            _makers(item.stages, makers, same)
        else:
            makers.update((v, item) for v in item.outputs)
