"""Fewer calls, where calls dominate the cost: one function call for all parts of an array."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from ..ir import Item, Loop, Program, Stage, Value
from ..names import Names
from .hoist import hoist
from .simplify import simplify, slices

#: The most elements of an array over all steps of a loop that is computed before it, to save calls. Larger
#: ones do not fit the cache, so that reading them again costs more than the calls.
SMALL = 2**17


def pack(program: Program) -> Program:
    """Apply a function to the whole array instead of to each of its parts, or to the slice of each step."""
    packed = replace(program, stages=tuple(_packed(program.stages, Names.beside(program))))
    return simplify(hoist(simplify(packed), small=SMALL))


def _is_function(stage: Stage) -> bool:
    """Whether it is an elementwise function of one operand that takes more than a few instructions."""
    op = stage.entry
    return op is not None and op.elementwise and op.arity == 1 and op.kernel.heavy and not stage.params


def _packed(stages: tuple[Item, ...], names: Names) -> list[Item]:
    parts: dict[tuple[Value, str], list[tuple[Stage, Stage]]] = {}
    made = {
        s.output: s for s in stages if isinstance(s, Stage) and s.op == "getitem" and len(s.operands) == 1
    }
    for s in stages:
        if isinstance(s, Stage) and _is_function(s) and s.operands[0] in made:
            part = made[s.operands[0]]
            parts.setdefault((part.values[0], s.op), []).append((s, part))
    whole: dict[Value, Stage] = {}  # keyed by the output of the first function of a part
    gone: dict[Value, Stage] = {}
    for (source, op), pairs in parts.items():
        ranges = [slices(part.params["key"], source.shape) for _, part in pairs]
        if len(pairs) < 2 or any(r is None or r[:-1] != [(0, n) for n in source.shape[:-1]] for r in ranges):
            continue
        edges = sorted(r[-1] for r in ranges if r is not None)
        if (
            edges[0][0] == 0
            and edges[-1][1] == source.shape[-1]
            and all(a[1] == b[0] for a, b in pairwise(edges))
        ):
            value = names.new(source.shape, pairs[0][0].output.dtype)
            whole[pairs[0][0].output] = Stage(op, (source,), (value,), {}, pairs[0][0].source)
            for s, part in pairs:
                gone[s.output] = Stage("getitem", (value,), s.outputs, part.params, s.source)
    found: list[Item] = []
    for s in stages:
        if isinstance(s, Loop):
            found.append(replace(s, stages=tuple(_packed(s.stages, names))))
            continue
        first = s.outputs[0]
        if first in whole:
            found.append(whole[first])
        found.append(gone.get(first, s))
    return found
