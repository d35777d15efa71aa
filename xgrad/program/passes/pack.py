"""Fewer calls, where calls are what costs: one function for all parts of an array, and sums of products with a common factor."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from ..stages import Item, Loop, Names, Program, Stage, Value, everything
from .simplify import simplify, slices

_PACKED = frozenset(("sigmoid", "tanh", "exp"))


def pack(program: Program) -> Program:
    """Apply a function to the whole instead of to each of its parts, and a factor to a sum instead of to each of its terms."""
    names = Names(program)
    uses: dict[Value, int] = {}
    for s in everything(program.stages):
        for v in s.values if isinstance(s, Stage) else [v for v in s.results if type(v) is Value]:
            uses[v] = uses.get(v, 0) + 1
    stages = _factored(tuple(_packed(program.stages, names)), names, uses)
    return simplify(replace(program, stages=tuple(stages)))


def _factored(stages: tuple[Item, ...], names: Names, uses: dict[Value, int]) -> list[Item]:
    """a * b ± a * c = a * (b ± c), and (1 - z) * x + z * y = x + z * (y - x)"""
    made = {s.output: s for s in stages if isinstance(s, Stage) and len(s.outputs) == 1}
    found: list[Item] = []
    for s in stages:
        if isinstance(s, Loop):
            found.append(replace(s, stages=tuple(_factored(s.stages, names, uses))))
            continue
        left, right = (made.get(v) if type(v) is Value else None for v in s.operands) if s.op in ("+", "-") else (None, None)
        alone = left is not None and right is not None and all(p.op == "*" and uses[p.output] == 1 and _alike(p, s) for p in (left, right))
        if not alone or left is None or right is None:
            found.append(s)
            continue
        mixed = _mixture(left, right, made) or _mixture(right, left, made) if s.op == "+" else None
        common = next((v for v in left.values if v in right.operands), None)
        if mixed is not None:
            z, x, y = mixed
            difference, part = (names.new(s.output.shape, s.output.dtype) for _ in range(2))
            found += [Stage("-", (y, x), (difference,)), Stage("*", (z, difference), (part,)), replace(s, operands=(x, part))]
        elif common is not None and len(left.values) == len(right.values) == 2 and left.values != right.values:
            b, c = (next(v for i, v in enumerate(p.values) if i != p.values.index(common)) for p in (left, right))
            inner = names.new(s.output.shape, s.output.dtype)
            found += [replace(s, operands=(b, c), outputs=(inner,)), Stage("*", (common, inner), s.outputs, {}, s.source)]
        else:
            found.append(s)
    return found


def _alike(p: Stage, s: Stage) -> bool:
    """Whether the product and all its factors have the form of the sum."""
    return all((v.shape, v.dtype) == (s.output.shape, s.output.dtype) for v in (p.output, *p.values))


def _mixture(left: Stage, right: Stage, made: dict[Value, Stage]) -> tuple[Value, Value, Value] | None:
    """(z, x, y), where `left` is (1 - z) * x and `right` is z * y."""
    for i in (0, 1):
        rest = made.get(left.values[i]) if len(left.values) == 2 else None
        if rest is not None and rest.op == "-" and rest.operands[0] == 1 and len(right.values) == 2 and rest.operands[1] in right.values:
            z = rest.values[0]
            return z, left.values[1 - i], right.values[1 - right.values.index(z)]
    return None


def _packed(stages: tuple[Item, ...], names: Names) -> list[Item]:
    parts: dict[tuple[Value, str], list[tuple[Stage, Stage]]] = {}
    made = {s.output: s for s in stages if isinstance(s, Stage) and s.op == "getitem" and len(s.operands) == 1}
    for s in stages:
        if isinstance(s, Stage) and s.op in _PACKED and s.operands[0] in made:
            part = made[s.operands[0]]
            parts.setdefault((part.values[0], s.op), []).append((s, part))
    whole: dict[Value, Stage] = {}  # by the output of the first function of a part
    gone: dict[Value, Stage] = {}
    for (source, op), pairs in parts.items():
        ranges = [slices(part.params["key"], source.shape) for _, part in pairs]
        if len(pairs) < 2 or any(r is None or r[:-1] != [(0, n) for n in source.shape[:-1]] for r in ranges):
            continue
        edges = sorted(r[-1] for r in ranges if r is not None)
        if edges[0][0] == 0 and edges[-1][1] == source.shape[-1] and all(a[1] == b[0] for a, b in pairwise(edges)):
            value = names.new(source.shape, pairs[0][0].output.dtype)
            whole[pairs[0][0].output] = Stage(op, (source,), (value,), {}, pairs[0][0].source)
            for s, part in pairs:
                gone[s.output] = Stage("getitem", (value,), s.outputs, part.params, s.source)
    found: list[Item] = []
    for s in stages:
        if isinstance(s, Loop):
            found.append(replace(s, stages=tuple(_packed(s.stages, names))))
            continue
        if s.output in whole:
            found.append(whole[s.output])
        found.append(gone.get(s.output, s))
    return found
