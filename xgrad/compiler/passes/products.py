"""Fewer and larger matrix products.

(a @ b)ᵀ              = bᵀ @ aᵀ                      so that the result need not be moved
y + a @ b             = `@+`(y, a, b)                added to its target as it is computed
a @ b, a @ c          = parts of a @ [b | c]         one product for all gates that read the same state
a @ b + c @ d         = [a | c] @ [b ; d]            one product for what all gates give to the same gradient
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any

from ...ops import OPS
from ..ir import Item, Loop, Operand, Program, Stage, Value, everything
from ..names import Names
from .simplify import slices


def transpose_inside(program: Program) -> Program:
    """(a @ b)ᵀ = bᵀ @ aᵀ"""
    names = Names.beside(program)

    def on(stages: Sequence[Item], uses: dict[Value, int], outside: set[Value]) -> list[Item]:
        made = makers(stages)
        found: list[Item] = []
        for s in stages:
            inner = made.get(s.values[0]) if isinstance(s, Stage) and s.op == "transpose" else None
            turned_product = isinstance(s, Stage) and inner is not None and _is_turned_product(s, inner)
            if isinstance(s, Stage) and inner is not None and turned_product and uses[inner.output] == 1:
                a, b = inner.values
                turned = [names.new(v.shape[::-1], v.dtype) for v in (b, a)]
                found += [Stage("transpose", (v,), (t,), {"axes": None}) for v, t in zip((b, a), turned)]
                found.append(Stage("@", tuple(turned), s.outputs, {}, inner.source))
            else:
                found.append(s)
        return found

    return everywhere(program, on)


def _is_turned_product(s: Stage, inner: Stage) -> bool:
    """Whether `s` is the transpose of a product of two matrices."""
    matrices = inner.op == "@" and all(len(v.shape) == 2 for v in inner.values)
    return matrices and s.params.get("axes") in (None, (1, 0), (-1, -2))


def accumulate(program: Program) -> Program:
    """Write y + a @ b as one product that is added to y.

    In loops, y - a @ b becomes y + a @ (-b) if b comes from outside, where it is negated once.
    """
    names = Names.beside(program)
    loops = [s for s in everything(program.stages) if isinstance(s, Loop)]
    repeated = {v for loop in loops for s in loop.stages for v in s.outputs}

    def on(stages: Sequence[Item], uses: dict[Value, int], outside: set[Value]) -> list[Item]:
        made = makers(stages)
        found: list[Item] = []
        dropped: set[Value] = set()
        for s in stages:
            m = _subtracted(s, made) if isinstance(s, Stage) and s.outputs[0] in repeated else None
            if isinstance(s, Stage) and m is not None and uses[m.output] == 1 and m.values[1] in outside:
                (y, _), (a, b) = s.values, m.values
                negative = names.new(*b[1:])
                found.append(Stage("neg", (b,), (negative,), {}, s.source))
                s = Stage("@+", (y, a, negative), s.outputs, {}, m.source)
                dropped.add(m.output)
            if isinstance(s, Stage) and s.op == "+" and s.output.dtype.startswith("float"):
                for base, product in (s.operands, s.operands[::-1]):
                    m = made.get(product) if type(product) is Value else None
                    if (
                        m is None
                        or m.op != "@"
                        or uses[m.output] != 1
                        or m.output.shape != s.output.shape
                        or product == base
                    ):
                        continue
                    fits = type(base) is Value and base.shape == s.output.shape
                    if fits and all(v.dtype == s.output.dtype for v in (base, *m.values)):  # type: ignore[union-attr]
                        s = Stage("@+", (base, *m.operands), s.outputs, {}, m.source)
                        dropped.add(m.output)
                        break
            found.append(s)
            if isinstance(s, Stage):
                made.update((v, s) for v in s.outputs)
        return [s for s in found if isinstance(s, Loop) or dropped.isdisjoint(s.outputs)]

    return everywhere(program, on)


def _subtracted(s: Stage, made: dict[Value, Stage]) -> Stage | None:
    """Return the product that a stage subtracts from an array of the same shape and dtype."""
    if s.op != "-" or len(s.values) != 2 or not s.output.dtype.startswith("float"):
        return None
    m = made.get(s.values[1])
    if m is None or m.op != "@" or any(v[1:] != s.output[1:] for v in s.values):
        return None
    return m if all(v.dtype == s.output.dtype for v in m.values) and len(m.values) == 2 else None


def merge(program: Program) -> Program:
    """Merge products of the same matrix with several others into one."""
    names = Names.beside(program)

    def on(stages: Sequence[Item], uses: dict[Value, int], outside: set[Value]) -> list[Item]:
        groups: dict[Any, list[Stage]] = {}
        for s in stages:
            if isinstance(s, Stage) and s.op in ("@", "@+") and all(len(v.shape) >= 2 for v in s.values[-2:]):
                *base, a, b = s.values
                if len(b.shape) == 2 and b in outside and a.dtype == b.dtype == s.output.dtype:
                    groups.setdefault((a, bool(base)), []).append(s)
        found = list(stages)
        for (a, _), group in groups.items():
            made = makers(found)
            # so that adjacent slices, to which products are added, are rejoined
            group.sort(key=lambda s: _first_column(s, made))
            group = _independent(group, found)  # recheck: another merged product may have come between them
            if len(group) > 1 and _worth(a, group, outside):
                found = _merged(found, group, names)
        return found

    return everywhere(program, on)


def _first_column(s: Stage, made: dict[Value, Stage]) -> int:
    """Return where the base of a product begins in the array of which it is a slice; 0 for any other."""
    base = made.get(s.values[0])
    if base is None or base.op != "getitem" or len(base.operands) != 1:
        return 0
    ranges = slices(base.params["key"], base.values[0].shape)
    return ranges[-1][0] if ranges is not None and s.op == "@+" else 0


def _merged(stages: list[Item], group: list[Stage], names: Names) -> list[Item]:
    """Replace the products of a group by one product and slices of it."""
    *_, a, b = group[0].values
    widths = [s.values[-1].shape[1] for s in group]
    weight = names.new((b.shape[0], sum(widths)), b.dtype)
    added: list[Item] = [Stage("concat", tuple(s.values[-1] for s in group), (weight,), {"axis": 1})]
    whole = names.new((*a.shape[:-1], sum(widths)), b.dtype)
    operands: tuple[Operand, ...] = (a, weight)
    if group[0].op == "@+":
        bases = names.new(whole.shape, b.dtype)
        axis = len(bases.shape) - 1
        added.append(Stage("concat", tuple(s.operands[0] for s in group), (bases,), {"axis": axis}))
        operands = (bases, *operands)
    added.append(Stage(group[0].op, operands, (whole,), {}, group[0].source))
    at = 0
    for s, width in zip(group, widths):
        added.append(Stage("getitem", (whole,), s.outputs, {"key": (..., slice(at, at + width))}, s.source))
        at += width
    gone = {s.output for s in group}
    last = max(i for i, s in enumerate(stages) if not gone.isdisjoint(s.outputs))
    found: list[Item] = []
    for i, item in enumerate(stages):
        found += added if i == last else [item] if gone.isdisjoint(item.outputs) else []
    return _ordered(found)


def join(program: Program) -> Program:
    """Write a sum of products of several matrices as one product of the matrices side by side."""
    names = Names.beside(program)

    def on(stages: Sequence[Item], uses: dict[Value, int], outside: set[Value]) -> list[Item]:
        made = makers(stages)
        found: list[Item] = []
        for s in stages:
            inner = (
                made.get(s.operands[0])
                if isinstance(s, Stage) and s.op == "@+" and type(s.operands[0]) is Value
                else None
            )
            if (
                isinstance(s, Stage)
                and inner is not None
                and inner.op in ("@", "@+")
                and uses[inner.output] == 1
            ):
                *base, a, b = inner.operands
                c, d = s.operands[1:]
                assert type(a) is Value
                assert type(b) is Value
                assert type(c) is Value
                assert type(d) is Value
                fits = (
                    len(b.shape) == len(d.shape) == 2
                    and len(a.shape) == len(c.shape) > 1
                    and a.shape[:-1] == c.shape[:-1]
                )
                if (
                    fits
                    and {b, d} <= outside
                    and _computed_here(a, made)
                    and _computed_here(c, made)
                    and a != c
                ):
                    left = names.new((*a.shape[:-1], a.shape[-1] + c.shape[-1]), a.dtype)
                    right = names.new((b.shape[0] + d.shape[0], b.shape[1]), b.dtype)
                    found.append(Stage("concat", (a, c), (left,), {"axis": len(left.shape) - 1}))
                    found.append(Stage("concat", (b, d), (right,), {"axis": 0}))
                    s = Stage("@+" if base else "@", (*base, left, right), s.outputs, {}, s.source)
                    made[s.output] = s
            found.append(s)
        return found

    return everywhere(program, on)


On = Callable[[Sequence[Item], dict[Value, int], set[Value]], list[Item]]


def everywhere(program: Program, on: On) -> Program:
    """Rewrite every list of stages: the program's and those of its loops."""
    uses: dict[Value, int] = {}
    _count(program.stages, program.outputs, uses)
    return replace(program, stages=tuple(_rewritten(program.stages, _inputs(program), on, uses)))


def _count(stages: Sequence[Item], results: Sequence[Any], uses: dict[Value, int]) -> None:
    """Count in `uses` how often each value is read. A result counts twice, since it must exist itself."""
    for s in stages:
        read = s.values if isinstance(s, Stage) else [*(c.init for c in s.carry), *(x.outer for x in s.xs)]
        for v in read:
            if type(v) is Value:
                uses[v] = uses.get(v, 0) + 1
        if isinstance(s, Loop):
            _count(s.stages, s.results, uses)
    for v in results:
        if type(v) is Value:
            uses[v] = uses.get(v, 0) + 2


def _rewritten(stages: Sequence[Item], outside: set[Value], on: On, uses: dict[Value, int]) -> list[Item]:
    """Apply `on` to these stages, after doing so inside their loops."""
    known = set(outside)
    inner: list[Item] = []
    for s in stages:
        if isinstance(s, Loop):
            s = replace(s, stages=tuple(_rewritten(s.stages, known, on, uses)))
        inner.append(s)
        known.update(s.outputs)
    return on(inner, uses, outside)


def _inputs(program: Program) -> set[Value]:
    """Return the values that exist before the program runs, and views or parts of these."""
    known = set(program.inputs)
    for s in program.stages:
        if (
            isinstance(s, Stage)
            and s.op in ("transpose", "getitem", "concat", "reshape")
            and all(v in known for v in s.values)
        ):
            known.update(s.outputs)
    return known


def makers(stages: Sequence[Item]) -> dict[Value, Stage]:
    """Map each value to the stage that computes it."""
    return {v: s for s in stages if isinstance(s, Stage) for v in s.outputs}


def _computed_here(v: Value, made: dict[Value, Stage]) -> bool:
    """Whether `v` can be computed directly in a part of a larger array, or is such a part already."""
    stage = made.get(v)
    if stage is None:
        return False
    if stage.op == "getitem" and len(stage.operands) == 1:
        source = stage.operands[0]
        return type(source) is Value and slices(stage.params["key"], source.shape) is not None
    stage_op = OPS.get(stage.op)
    return stage.op in ("concat", "where") or (stage_op is not None and stage_op.elementwise)


def _independent(group: list[Stage], stages: Sequence[Item]) -> list[Stage]:
    """Return the members of the group whose inputs do not depend on other members."""
    outputs = {s.output for s in group}
    reached: set[Value] = set()
    after: set[Value] = set()
    for s in stages:
        if not reached.isdisjoint(s.values):
            reached.update(s.outputs)
            after.update(v for v in s.outputs if v in outputs)
        reached.update(v for v in s.outputs if v in outputs)
    return [s for s in group if s.output not in after]


def _worth(a: Value, group: list[Stage], outside: set[Value]) -> bool:
    """Whether the matrices to concatenate are small beside the rows they multiply, or loop-invariant."""
    return a not in outside or 4 * prod(a.shape[:-1]) >= sum(s.values[-1].shape[1] for s in group)


def _ordered(stages: list[Item]) -> list[Item]:
    """Sort the stages so that each comes after those that it reads, otherwise keeping their order."""
    local = {v for s in stages for v in s.outputs}
    known: set[Value] = set()
    found: list[Item] = []
    waiting = stages
    while waiting:
        later: list[Item] = []
        for s in waiting:
            if any(v in local and v not in known for v in s.values):
                later.append(s)
            else:
                found.append(s)
                known.update(s.outputs)
        if len(later) == len(waiting):
            raise AssertionError("stages that need each other")
        waiting = later
    return found
