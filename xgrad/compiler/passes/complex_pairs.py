"""Complex inputs and outputs as pairs of reals along a last axis, which is their layout in memory.

An input of which only the parts are used becomes one of shape (..., 2), and its parts are views of it. An
output that is built from parts is their stack. So neither is copied.
"""

from __future__ import annotations

from dataclasses import replace

from ..ir import PARTS, Item, Loop, Program, Stage, Value, everything, is_complex, rewritten


def complex_pairs(program: Program) -> Program:
    """Replace complex inputs and outputs by pairs, except those that a stage needs whole."""
    if not any(map(is_complex, (*program.inputs, *program.outputs))):
        return program
    whole = {
        v
        for s in everything(program.stages)
        for v in s.values
        if isinstance(s, Stage) and s.op not in ("real", "imag")
    }
    whole |= {v for s in everything(program.stages) if isinstance(s, Loop) for v in _passed(s)}
    packed = {s.outputs[0] for s in program.stages if isinstance(s, Stage) and s.op == "complex"}
    given = {v for v in program.inputs if is_complex(v) and v not in whole and v not in program.outputs}
    made = {v for v in program.outputs if isinstance(v, Value) and v in packed and v not in whole}
    made -= {v for s in everything(program.stages) if isinstance(s, Stage) for v in s.values}
    pairs = {v: Value(v.name, (*v.shape, 2), PARTS[v.dtype]) for v in (*given, *made)}

    def change(s: Item) -> list[Item]:
        if isinstance(s, Loop):
            return [s]
        if s.op in ("real", "imag") and s.operands[0] in given:
            key = (..., 0 if s.op == "real" else 1)
            return [Stage("getitem", (pairs[s.values[0]],), s.outputs, {"key": key}, s.source)]
        if s.op == "complex" and s.output in made:
            return [Stage("stack", s.operands, (pairs[s.output],), {"axis": len(s.output.shape)}, s.source)]
        return [s]

    return replace(
        program,
        inputs=tuple(pairs.get(v, v) for v in program.inputs),
        stages=tuple(rewritten(program.stages, change)),
        outputs=tuple(pairs.get(v, v) if isinstance(v, Value) else v for v in program.outputs),
    )


def _passed(loop: Loop) -> list[Value]:
    """Return the values that a loop carries, slices or passes through."""
    found = [*(c.init for c in loop.carry), *(x.outer for x in loop.xs), *loop.results]
    return [v for v in found if isinstance(v, Value)]
