"""Algebraic simplification, common-subexpression elimination and dead-code elimination."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import copysign
from typing import Any

from ...ops import OPS
from ...ops.axes import normal_axes
from ..ir import Carry, Item, Loop, Operand, Program, Stage, Value, substitute
from ..keys import exact

Lookup = dict[Value, Stage]


def simplify(program: Program) -> Program:
    """Run algebraic simplification, CSE and dead-code elimination until nothing changes."""
    while True:
        made: Lookup = {}
        seen: dict[Any, Value] = {}
        new: dict[Value, Operand] = {}
        stages = _simplified(program.stages, made, seen, new)
        outputs = tuple(new.get(v, v) if type(v) is Value else v for v in program.outputs)
        after = Program(program.inputs, tuple(live(stages, outputs)), outputs)
        if after == program:
            return after
        program = after


def _simplified(
    stages: Iterable[Item], made: Lookup, seen: dict[Any, Value], new: dict[Value, Operand]
) -> list[Item]:
    found: list[Item] = []
    for item in stages:
        if isinstance(item, Loop):
            item = substitute(item, new)
            assert isinstance(item, Loop)
            found.append(_loop(item, made, seen, new))
            continue
        stage = substitute(item, new)
        assert isinstance(stage, Stage)
        if len(stage.outputs) == 1:
            stage = _difference(_literals(stage, made), made)
            same = _same(stage, made)
            if same is None:
                key = (
                    stage.op,
                    tuple(v if type(v) is Value else exact(v) for v in stage.operands),
                    exact(stage.params),
                    stage.output.dtype,
                )
                same = seen.setdefault(key, stage.output)
            if same != stage.output:
                new[stage.output] = same
                continue
            made[stage.output] = stage
        found.append(stage)
    return found


def _loop(loop: Loop, made: Lookup, seen: dict[Any, Value], new: dict[Value, Operand]) -> Loop:
    """Simplify a loop's body; read equal slices once, and unchanging carries from outside."""
    inner: dict[Value, Operand] = {}
    xs = []
    first: dict[Value, Value] = {}
    for x in loop.xs:
        if x.outer in first:
            inner[x.inner] = first[x.outer]
        else:
            first[x.outer] = x.inner
            xs.append(x)
    carry = []
    for c in loop.carry:
        if c.next == c.inner and type(c.init) is Value:
            inner[c.inner] = c.init
            if c.final is not None:
                new[c.final] = c.init
        else:
            carry.append(c)
    stages = _simplified(loop.stages, dict(made), dict(seen), inner)
    result = substitute(replace(loop, carry=tuple(carry), xs=tuple(xs), stages=()), inner)
    assert isinstance(result, Loop)
    added = {s.output: s.operands for s in stages if isinstance(s, Stage) and s.op == "+"}
    unchanged = (c._replace(next=c.inner) if _stays_zero(c, made, added) else c for c in result.carry)
    return replace(result, carry=tuple(unchanged), stages=tuple(stages))


def _stays_zero(c: Carry, made: Lookup, added: dict[Value, tuple[Operand, ...]]) -> bool:
    """Whether a carry starts at 0 and only has 0 added: the gradient of a value that no step uses."""
    first = made[c.init].filling if type(c.init) is Value and c.init in made else c.init
    terms = added.get(c.next, ()) if type(c.next) is Value else ()
    return (
        type(first) in (int, float)
        and str(first) in ("0", "0.0")
        and c.inner in terms
        and any(type(v) is not Value and v == 0 for v in terms)
    )


def _literals(stage: Stage, made: Lookup) -> Stage:
    """Replace arrays of one repeated number by the number, where other operands fix the shape and dtype."""
    op = OPS.get(stage.op)
    if op is None or not op.elementwise or len(stage.operands) != 2:
        return stage
    for i, j in ((0, 1), (1, 0)):
        v, other = stage.operands[i], stage.operands[j]
        number = made[v].filling if type(v) is Value and v in made else None
        if number is not None and type(other) is Value and other[1:] == stage.output[1:]:
            operands = (number, other) if i == 0 else (other, number)
            return replace(stage, operands=operands)
    return stage


def _difference(stage: Stage, made: Lookup) -> Stage:
    """x + -y = x - y"""
    if stage.op != "+":
        return stage
    for x, y in (stage.operands, stage.operands[::-1]):
        inner = made.get(y) if type(y) is Value else None
        if (
            inner is not None
            and inner.op == "neg"
            and inner.output.shape == stage.output.shape
            and inner.output.dtype == stage.output.dtype
        ):
            return replace(stage, op="-", operands=(x, inner.operands[0]))
    return stage


def _same(stage: Stage, made: Lookup) -> Operand | None:
    """Return the existing value that this stage would only repeat."""
    out, args = stage.output, stage.operands
    first = args[0] if args else None
    if type(first) is Value and (first.shape, first.dtype) == (out.shape, out.dtype):
        if stage.op in ("none", "reshape", "broadcast_to", "astype", "real", "conj"):
            return first if not out.dtype.startswith("complex") or stage.op not in ("real", "conj") else None
        if stage.op in ("sum", "max", "min", "mean") and all(
            first.shape[a] == 1 for a in normal_axes(stage.params["axis"], len(first.shape))
        ):
            return first
        if stage.op == "transpose" and _axes(stage) == tuple(range(len(out.shape))):
            return first
        if stage.op == "getitem" and len(args) == 1 and _is_whole(stage.params["key"], first.shape):
            return first
        if (
            len(args) == 2
            and type(args[1]) is not Value
            and stage.op in _NEUTRAL
            and _changes_nothing(stage.op, args[1], out.dtype)
        ):
            return first
    if (
        len(args) == 2
        and type(first) is not Value
        and stage.op in ("+", "*")
        and _changes_nothing(stage.op, first, out.dtype)
    ):
        other = args[1]
        if type(other) is Value and other[1:] == out[1:]:
            return other
    inner = made.get(first) if type(first) is Value else None
    if inner is None:
        return None
    if stage.op == "neg" and inner.op == "neg":
        return inner.operands[0]
    if stage.op == "transpose" and inner.op == "transpose":
        outer_axes, inner_axes = _axes(stage), _axes(inner)
        if tuple(inner_axes[a] for a in outer_axes) == tuple(range(len(outer_axes))):
            return inner.operands[0]
    if stage.op == "concat":
        return _rejoined(stage, made)
    if stage.op == "getitem" and len(args) == 1 and inner.op == "concat":
        return _part(stage, inner)
    return None


_NEUTRAL = {"+": 0, "-": 0, "*": 1, "/": 1, "**": 1}


def _changes_nothing(op: str, number: Any, dtype: str) -> bool:
    """Whether `x op number` equals x.

    Of the floating zeros only -0 may be added, and only 0 subtracted: -0 + 0 is 0.
    """
    if number != _NEUTRAL[op] or dtype.startswith("complex"):  # infinity * 0 is NaN in one of the parts
        return False
    if number == 1 or dtype.startswith(("int", "uint", "bool")):
        return True
    below = not isinstance(number, complex) and copysign(1, number) < 0
    return not below if op == "-" else below


def _axes(stage: Stage) -> tuple[int, ...]:
    rank = len(stage.output.shape)
    axes = stage.params.get("axes")
    return tuple(reversed(range(rank))) if axes is None else normal_axes(tuple(axes), rank)


def _is_whole(key: Any, shape: tuple[int, ...]) -> bool:
    ranges = slices(key, shape)
    return ranges is not None and all(r == (0, n) for r, n in zip(ranges, shape))


def slices(key: Any, shape: tuple[int, ...]) -> list[tuple[int, int]] | None:
    """Return `key` as a start and a stop for every axis; None unless it consists of slices of step 1."""
    key = key if isinstance(key, tuple) else (key,)
    if not all(k is Ellipsis or isinstance(k, slice) for k in key):
        return None
    if Ellipsis in key:
        at = key.index(Ellipsis)
        key = (*key[:at], *(slice(None),) * (len(shape) - len(key) + 1), *key[at + 1 :])
    key = (*key, *(slice(None),) * (len(shape) - len(key)))
    found = [k.indices(n) for k, n in zip(key, shape)]
    return (
        [(start, max(start, stop)) for start, stop, step in found]
        if all(step == 1 for _, _, step in found)
        else None
    )


def _rejoined(stage: Stage, made: Lookup) -> Operand | None:
    """Return `x` for a concat of all its adjacent slices."""
    axis = stage.params["axis"] % len(stage.output.shape)
    whole, at = None, 0
    for v in stage.operands:
        part = made.get(v) if type(v) is Value else None
        if part is None or part.op != "getitem" or len(part.operands) != 1:
            return None
        source = part.operands[0]
        assert type(source) is Value
        ranges = slices(part.params["key"], source.shape)
        if ranges is None or len(ranges) != len(part.output.shape) or (whole is not None and source != whole):
            return None
        if (
            any(r != (0, n) for a, (r, n) in enumerate(zip(ranges, source.shape)) if a != axis)
            or ranges[axis][0] != at
        ):
            return None
        whole, at = source, ranges[axis][1]
    return (
        whole if whole is not None and at == whole.shape[axis] and whole.shape == stage.output.shape else None
    )


def _part(stage: Stage, joined: Stage) -> Operand | None:
    """Return the operand of a concat that `stage` slices out."""
    axis, shape = joined.params["axis"] % len(joined.output.shape), joined.output.shape
    ranges = slices(stage.params["key"], shape)
    if ranges is None or any(r != (0, n) for a, (r, n) in enumerate(zip(ranges, shape)) if a != axis):
        return None
    at = 0
    for v in joined.operands:
        assert type(v) is Value
        if ranges[axis] == (at, at + v.shape[axis]) and v.dtype == stage.output.dtype:
            return v
        at += v.shape[axis]
    return None


def live(stages: Iterable[Item], outputs: Iterable[Operand]) -> list[Item]:
    """Return the stages that `outputs` depend on."""
    needed = {v for v in outputs if type(v) is Value}
    kept: list[Item] = []
    for item in reversed(list(stages)):
        if isinstance(item, Loop):
            found = _live_loop(item, needed)
            if found is None:
                continue
            item = found
        elif needed.isdisjoint(item.outputs):
            continue
        needed.update(item.values)
        kept.append(item)
    return kept[::-1]


def _live_loop(loop: Loop, needed: set[Value]) -> Loop | None:
    """Remove the unused ys of a loop, and carries that only feed themselves."""
    ys = tuple(y for y in loop.ys if y.outer in needed)
    carry = {c for c in loop.carry if c.final in needed}
    if not ys and not carry:
        return None
    while True:
        stages = live(loop.stages, [*(y.inner for y in ys), *(c.next for c in carry)])
        used = {v for s in stages for v in s.values} | {y.inner for y in ys} | {c.next for c in carry}
        more = {c for c in loop.carry if c.inner in used} - carry
        if not more:
            break
        carry |= more
    kept = tuple(c if c.final in needed else c._replace(final=None) for c in loop.carry if c in carry)
    return replace(
        loop, carry=kept, xs=tuple(x for x in loop.xs if x.inner in used), ys=ys, stages=tuple(stages)
    )
