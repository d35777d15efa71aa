"""Inlining: scans become loops whose stages stand in the program itself, so that they can move in and out."""

from __future__ import annotations

from collections.abc import Sequence

from ..ir import Carry, Item, Loop, Names, Operand, Pair, Program, Stage, Value, substitute


def inline_scans(program: Program) -> Program:
    """The program with every scan as a `Loop`, and every checkpoint and gate of the user's own as the stages
    inside it."""
    names = Names(program)
    new: dict[Value, Operand] = {}
    stages = _opened(program.stages, new, names, fresh=False)
    return Program(
        program.inputs,
        tuple(stages),
        tuple(new.get(v, v) if type(v) is Value else v for v in program.outputs),
    )


def inline(program: Program, operands: Sequence[Operand], names: Names) -> tuple[list[Item], list[Operand]]:
    """The stages of `program` on these operands, under fresh names and opened, and what its outputs are
    there."""
    new: dict[Value, Operand] = dict(zip(program.inputs, operands, strict=True))
    stages = _opened(program.stages, new, names, fresh=True)
    return stages, [new.get(v, v) if type(v) is Value else v for v in program.outputs]


def _opened(stages: Sequence[Item], new: dict[Value, Operand], names: Names, *, fresh: bool) -> list[Item]:
    """The stages opened, with values replaced as `new` says; it learns where the outputs are.

    `fresh` gives them new names.
    """
    found: list[Item] = []
    for item in stages:
        stage = substitute(item, new)
        if isinstance(stage, Loop):
            found.append(stage)
            continue
        if stage.op in ("checkpoint", "custom"):
            inner, results = inline(stage.params["program"], stage.values, names)
            found += inner
            new.update(zip(stage.outputs, results))
            continue
        # what is not differentiated any more needs no stop
        if stage.op == "stop_gradient" and type(stage.operands[0]) is Value:
            new[stage.output] = stage.operands[0]
            continue
        # a body is either of the forward or of the backward pass: there is nothing to keep apart
        if stage.op == "after" and fresh:
            new[stage.output] = stage.operands[0]
            continue
        outputs = stage.outputs
        if fresh:
            outputs = tuple(names.new(v.shape, v.dtype) for v in outputs)
            new.update(zip(stage.outputs, outputs))
        if stage.op == "scan":
            found.append(_loop(stage, outputs, names))
        else:
            found.append(Stage(stage.op, stage.operands, outputs, stage.params, stage.source))
    return found


def _loop(stage: Stage, outputs: tuple[Value, ...], names: Names) -> Loop:
    body, carries, xs = stage.params["body"], stage.params["body"].carries, stage.params["body"].xs
    inner = [names.new(v.shape, v.dtype) for v in body.program.inputs[: carries + xs]]
    stages, results = inline(body.program, [*inner, *stage.operands[carries + xs :]], names)
    carry = tuple(Carry(*c) for c in zip(inner, stage.operands, results, outputs[:carries]))
    pairs = tuple(
        Pair(i, x)
        for i, x in zip(inner[carries:], stage.operands[carries : carries + xs])
        if type(x) is Value
    )
    ys = tuple(Pair(y, outer) for y, outer in zip(results[carries:], outputs[carries:]))  # type: ignore[arg-type]
    return Loop(stage.params["length"], stage.params["reverse"], carry, pairs, ys, tuple(stages))
