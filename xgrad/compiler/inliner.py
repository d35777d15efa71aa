"""The inliner: the stages of a scan, a checkpoint or a gate of the user's own take the place of the
stage that runs them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from .ir import Carry, Item, Loop, Operand, Pair, Program, Stage, Value, substitute
from .names import Names


class Inliner:
    """Opens scans, and stages that have a program inside. Another one may override what is opened, and what
    the values inside are called."""

    def __init__(self, names: Names) -> None:
        self.names = names

    def opened(self, program: Program) -> Program:
        """The program opened, its own values under their names."""
        new: dict[Value, Operand] = {}
        stages = self._stages(program.stages, new, fresh=False)
        return Program(program.inputs, tuple(stages), tuple(_renamed(program.outputs, new)))

    def inside(self, program: Program, operands: Sequence[Operand]) -> tuple[list[Item], list[Operand]]:
        """The stages of another program on these operands, under fresh names, and its outputs."""
        new: dict[Value, Operand] = dict(zip(program.inputs, operands, strict=True))
        stages = self._stages(program.stages, new, fresh=True)
        return stages, _renamed(program.outputs, new)

    def program_of(self, stage: Stage) -> Program | None:
        """The program whose stages take the place of this stage; None where it stays."""
        return stage.params["program"] if stage.op in ("checkpoint", "custom") else None

    def passes_on(self, stage: Stage, fresh: bool) -> bool:
        """Whether the stage's first operand takes its place."""
        # what is not differentiated any more needs no stop; a body is either of the forward or of the
        # backward pass: there is nothing to keep apart
        return (stage.op == "stop_gradient" and type(stage.operands[0]) is Value) or (
            stage.op == "after" and fresh
        )

    def fresh(self, v: Value) -> Value:
        """A value of the same form under a name that nothing has."""
        return self.names.new(v.shape, v.dtype)

    def _stages(self, stages: Iterable[Item], new: dict[Value, Operand], *, fresh: bool) -> list[Item]:
        """The stages opened, with values replaced as `new` says; it learns where the outputs are."""
        found: list[Item] = []
        for item in stages:
            stage = substitute(item, new)
            if isinstance(stage, Loop):
                stage = replace(stage, stages=tuple(self._stages(stage.stages, new, fresh=False)))
                found.append(substitute(stage, new))
            elif self.passes_on(stage, fresh):
                new[stage.output] = stage.operands[0]
            elif stage.op != "scan" and (inner := self.program_of(stage)) is not None:
                inside, results = self.inside(inner, stage.values)
                found += inside
                new.update(zip(stage.outputs, results))
            else:
                outputs = tuple(map(self.fresh, stage.outputs)) if fresh else stage.outputs
                new.update(zip(stage.outputs, outputs) if fresh else ())
                stage = replace(stage, outputs=outputs)
                found.append(self._loop(stage) if stage.op == "scan" else stage)
        return found

    def _loop(self, scan: Stage) -> Loop:
        body = scan.params["body"]
        carries, given = body.carries, body.carries + body.xs
        inner = [self.fresh(v) for v in body.program.inputs[:given]]
        stages, results = self.inside(body.program, [*inner, *scan.operands[given:]])
        slices = zip(inner[carries:], scan.operands[carries:given])
        return Loop(
            scan.params["length"],
            scan.params["reverse"],
            tuple(Carry(*c) for c in zip(inner, scan.operands, results, scan.outputs[:carries])),
            tuple(Pair(i, x) for i, x in slices if type(x) is Value),
            tuple(Pair(*y) for y in zip(results[carries:], scan.outputs[carries:])),  # type: ignore[arg-type]
            tuple(stages),
        )


def _renamed(values: Iterable[Operand], new: dict[Value, Operand]) -> list[Operand]:
    return [new.get(v, v) if type(v) is Value else v for v in values]
