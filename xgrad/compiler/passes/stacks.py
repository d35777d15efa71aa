"""Adjacent parts that a loop writes or reads become one array.

These are the operands and results of merged products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..ir import Item, Loop, Pair, Program, Stage, Value, rewritten
from ..names import Names
from .products import everywhere, makers
from .simplify import slices


def whole_stacks(program: Program) -> Program:
    """Let a loop that writes all parts of a concat write the concat; the parts become slices of it."""
    names = Names.beside(program)

    def change(item: Item) -> list[Item]:
        return _stacked(item, names) if isinstance(item, Loop) else [item]

    return replace(program, stages=tuple(rewritten(program.stages, change)))


def _stacked(loop: Loop, names: Names) -> list[Item]:
    after: list[Item] = []
    for c in _concats(loop):
        parts = {y.inner: y for y in loop.ys if y.inner in c.operands}
        alike = all(v.dtype == c.output.dtype for v in c.values)
        if len(parts) < 2 or len(parts) != len(c.operands) or not alike:
            continue
        axis = c.params["axis"] % len(c.output.shape)
        stack = names.new((loop.length, *c.output.shape), c.output.dtype)
        at = 0
        for v in c.values:
            key = (*(slice(None),) * (axis + 1), slice(at, at + v.shape[axis]), ...)
            after.append(Stage("getitem", (stack,), (parts[v].outer,), {"key": key}))
            at += v.shape[axis]
        loop = replace(loop, ys=(*(y for y in loop.ys if y not in parts.values()), Pair(c.output, stack)))
    return [loop, *after]


def whole_slices(program: Program) -> Program:
    """Let a loop that reads adjacent parts of an array and joins them read them as one."""
    names = Names.beside(program)

    def on(stages: Sequence[Item], uses: dict[Value, int], outside: set[Value]) -> list[Item]:
        made = makers(stages)
        found: list[Item] = []
        for s in stages:
            found += _sliced(s, made, names) if isinstance(s, Loop) else [s]
        return found

    return everywhere(program, on)


def _sliced(loop: Loop, made: dict[Value, Stage], names: Names) -> list[Item]:
    before: list[Item] = []
    outer = {x.inner: x.outer for x in loop.xs}
    for c in _concats(loop):
        if not all(v in outer for v in c.values):
            continue
        axis = c.params["axis"] % len(c.output.shape) + 1
        run = _neighbours([made.get(outer[v]) for v in c.values], axis)
        if run is None:
            continue
        source, start, stop = run
        part, inner = (
            names.new((loop.length, *c.output.shape), c.output.dtype),
            names.new(c.output.shape, c.output.dtype),
        )
        before.append(
            Stage("getitem", (source,), (part,), {"key": (*(slice(None),) * axis, slice(start, stop), ...)})
        )
        read = tuple(Stage("none", (inner,), c.outputs) if s is c else s for s in loop.stages)
        loop = replace(loop, xs=(*loop.xs, Pair(inner, part)), stages=read)
    return [*before, loop]


def _concats(loop: Loop) -> list[Stage]:
    return [s for s in loop.stages if isinstance(s, Stage) and s.op == "concat"]


def _neighbours(parts: Sequence[Stage | None], axis: int) -> tuple[Value, int, int] | None:
    """Return the array of which `parts` are adjacent slices along `axis`, and their start and stop."""
    source, first, at = None, 0, 0
    for part in parts:
        if (
            part is None
            or part.op != "getitem"
            or len(part.operands) != 1
            or type(part.operands[0]) is not Value
        ):
            return None
        whole = part.operands[0]
        ranges = slices(part.params["key"], whole.shape)
        if ranges is None or any(
            r != (0, n) for a, (r, n) in enumerate(zip(ranges, whole.shape)) if a != axis
        ):
            return None
        if source is None:
            source, first = whole, ranges[axis][0]
        elif source != whole or ranges[axis][0] != at:
            return None
        at = ranges[axis][1]
    return None if source is None else (source, first, at)
