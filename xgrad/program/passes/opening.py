"""Scans become loops whose stages stand in the program itself, so that they can move in and out."""

from __future__ import annotations

from ..stages import Carry, Item, Loop, Names, Operand, Pair, Program, Stage, Value, substitute


def open_scans(program: Program) -> Program:
    """The program with every scan as a `Loop`."""
    names = Names(program)
    return Program(program.inputs, tuple(_opened(s, names) for s in program.stages), program.outputs)


def _opened(stage: Item, names: Names) -> Item:
    if isinstance(stage, Loop) or stage.op != "scan":
        return stage
    body, length = stage.params["body"], stage.params["length"]
    carries, xs = body.carries, body.xs
    new: dict[Value, Operand] = {v: outer for v, outer in zip(body.program.inputs[carries + xs :], stage.operands[carries + xs :])}
    for v in body.program.inputs[: carries + xs]:
        new[v] = names.new(v.shape, v.dtype)
    stages = []
    for s in body.program.stages:
        opened = substitute(s, new)
        assert isinstance(opened, Stage)
        outputs = tuple(names.new(v.shape, v.dtype) for v in s.outputs)
        new.update(zip(s.outputs, outputs))
        stages.append(_opened(Stage(opened.op, opened.operands, outputs, opened.params, opened.source), names))

    def of(v: Operand) -> Operand:
        return new.get(v, v) if type(v) is Value else v

    inner = [new[v] for v in body.program.inputs[: carries + xs]]
    results = [of(v) for v in body.program.outputs]
    carry = tuple(Carry(i, init, n, final) for i, init, n, final in zip(inner, stage.operands, results, stage.outputs[:carries]))  # type: ignore[arg-type]
    pairs = tuple(Pair(i, x) for i, x in zip(inner[carries:], stage.operands[carries : carries + xs]))  # type: ignore[arg-type]
    ys = tuple(Pair(y, outer) for y, outer in zip(results[carries:], stage.outputs[carries:]))  # type: ignore[arg-type]
    return Loop(length, stage.params["reverse"], carry, pairs, ys, tuple(stages))
