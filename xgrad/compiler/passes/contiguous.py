"""Contiguous arrays in loops, where rows of a wider array cost more: a NumPy call then loops over rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import accumulate, pairwise
from math import prod

from ..ir import Item, Loop, Pair, Program, Stage, Value, rewritten
from ..names import Names
from .simplify import simplify, slices

#: The length of rows from which on a call on rows of a wider array takes no longer, per element.
LONG = 256


def contiguous(program: Program) -> Program:
    """Give the stages of loops contiguous operands. Runs last, as `simplify` would remove the copies."""
    program = simplify(_split(program))
    names = Names.beside(program)
    stages = rewritten(program.stages, lambda s: _stacked(s, names) if isinstance(s, Loop) else [s])
    return replace(program, stages=tuple(_with_weights(stages, names)))


# Products


def _split(program: Program) -> Program:
    """Compute the parts of a product by joined weights separately, where a loop reads rows of the parts."""
    names = Names.beside(program)
    made = {s.output: s for s in program.stages if isinstance(s, Stage) and len(s.outputs) == 1}
    readers: dict[Value, list[Item | None]] = {}
    for item in program.stages:
        for v in dict.fromkeys(item.values):
            readers.setdefault(v, []).append(item)
    for output in program.outputs:
        if type(output) is Value:
            readers.setdefault(output, []).append(None)
    sliced = {x.outer for item in program.stages if isinstance(item, Loop) for x in item.xs}
    split: dict[Value, list[Stage]] = {}  # a part, and the stages that compute it
    for s in made.values():
        if s.op != "@":
            continue
        read = readers.get(s.output, [])
        joined = made.get(s.values[1])
        parts = [r for r in read if isinstance(r, Stage) and r.op == "getitem" and len(r.operands) == 1]
        if joined is None or joined.op != "concat" or len(parts) != len(read):
            continue
        if len(joined.output.shape) != 2 or joined.params["axis"] % 2 != 1:
            continue
        if not any(p.output in sliced for p in parts):
            continue
        found = [_part(s, joined, p, names) for p in parts]
        ends = sorted(slices(p.params["key"], s.output.shape)[-1] for p, f in zip(parts, found) if f)  # type: ignore[index]
        if all(found) and all(a[1] <= b[0] for a, b in pairwise(ends)):
            split.update((p.output, f) for p, f in zip(parts, found))
    stages = [
        new for s in program.stages for new in (split.get(s.outputs[0], [s]) if isinstance(s, Stage) else [s])
    ]
    return replace(program, stages=tuple(stages))


def _part(product: Stage, joined: Stage, part: Stage, names: Names) -> list[Stage]:
    """Return the stages that compute a part of a product; none if it is not that by some of the weights."""
    a, _ = product.values
    ranges = slices(part.params["key"], product.output.shape)
    if ranges is None or ranges[:-1] != [(0, n) for n in product.output.shape[:-1]] or len(a.shape) < 2:
        return []
    edges = [0, *accumulate(v.shape[1] for v in joined.values)]
    start, stop = ranges[-1]
    if start not in edges or stop not in edges or not start < stop or a.dtype != joined.output.dtype:
        return []
    weights = joined.values[edges.index(start) : edges.index(stop)]
    if len(weights) == 1:
        return [Stage("@", (a, weights[0]), part.outputs, product.params, product.source)]
    some = names.new((joined.output.shape[0], stop - start), joined.output.dtype)
    return [
        Stage("concat", weights, (some,), joined.params, joined.source),
        Stage("@", (a, some), part.outputs, product.params, product.source),
    ]


# Stacked parts


def _stacked(loop: Loop, names: Names) -> list[Item]:
    """Avoid reading parts of short rows: copy those that are stacked anyway before they are read.

    If their rows are long, the whole array is stacked instead, which needs no copies.
    """
    stacked = {y.inner for y in loop.ys}
    bound = {v for s in loop.stages for v in s.outputs}
    parts: dict[Value, list[Stage]] = {}
    for s in loop.stages:
        if isinstance(s, Stage) and s.op == "getitem" and s.is_view and s.output in stacked:
            (x,) = s.values
            ranges = slices(s.params["key"], x.shape)
            if ranges and ranges[:-1] == [(0, n) for n in x.shape[:-1]] and x in bound:
                parts.setdefault(x, []).append(s)
    copied: set[Stage] = set()
    whole: dict[Value, tuple[Value, Stage]] = {}  # the stack of the array of a part, and the part
    for x, found in parts.items():
        if prod(x.shape[:-1]) > 1 and min(s.output.shape[-1] for s in found) < LONG:
            copied.update(s for s in found if s.output.shape != x.shape)
        elif sum(s.output.shape[-1] for s in found) == x.shape[-1]:
            stack = names.new((loop.length, *x.shape), x.dtype)
            whole.update((s.output, (stack, s)) for s in found)
    stages: list[Item] = []
    for item in loop.stages:
        if isinstance(item, Stage) and item in copied:
            part = names.new(item.output.shape, item.output.dtype)
            stages += [
                replace(item, outputs=(part,)),
                Stage("none", (part,), item.outputs, {}, item.source),
            ]
        else:
            stages.append(item)
    ys: dict[Pair, None] = {}
    after: list[Item] = []
    for y in loop.ys:
        if type(y.inner) is Value and y.inner in whole:
            stack, s = whole[y.inner]
            (x,) = s.values
            ranges = slices(s.params["key"], x.shape)
            assert ranges is not None
            key = (*(slice(None) for _ in x.shape), slice(*ranges[-1]))
            ys[Pair(x, stack)] = None
            after.append(Stage("getitem", (stack,), (y.outer,), {"key": key}, s.source))
        else:
            ys[y] = None
    return [replace(loop, stages=tuple(stages), ys=tuple(ys)), *after]


# Weights


def _with_weights(stages: Iterable[Item], names: Names) -> Iterator[Item]:
    """Copy transposed weights before a loop that multiplies by them."""
    turned: set[Value] = set()
    copies: dict[Value, Value] = {}
    for item in stages:
        if isinstance(item, Loop):
            for v in _weights(item):
                if v in turned and v not in copies:
                    copies[v] = names.new(v.shape, v.dtype)
                    yield Stage("none", (v,), (copies[v],))
            (item,) = rewritten([item], lambda s: [_multiplied(s, copies)])
        elif item.op == "transpose" and len(item.output.shape) == 2:
            turned.add(item.output)
        yield item


def _weights(loop: Loop) -> Iterator[Value]:
    """Yield the matrices that the stages of a loop multiply by."""
    for s in loop.stages:
        if isinstance(s, Loop):
            yield from _weights(s)
        elif s.op in ("@", "@+"):
            yield s.values[-1]


def _multiplied(s: Item, copies: dict[Value, Value]) -> Item:
    if not isinstance(s, Stage) or s.op not in ("@", "@+") or s.operands[-1] not in copies:
        return s
    return replace(s, operands=(*s.operands[:-1], copies[s.values[-1]]))
