"""The inliner: replaces a scan, checkpoint or custom gate by the stages inside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from .ir import Carry, Item, Loop, Operand, Pair, Program, Stage, Value, substitute
from .names import Names


class Inliner:
    """Inlines scans, and stages that hold a program.

    Subclasses may override which stages are inlined, and how the values inside are named.
    """

    def __init__(self, names: Names) -> None:
        self.names = names

    def opened(self, program: Program) -> Program:
        """Return the program inlined, its own values keeping their names."""
        new: dict[Value, Operand] = {}
        stages = self._stages(program.stages, new, fresh=False)
        outputs = tuple(_renamed(program.outputs, new))
        return replace(program, stages=tuple(stages), outputs=outputs)

    def inside(self, program: Program, operands: Sequence[Operand]) -> tuple[list[Item], list[Operand]]:
        """Return the stages of another program on these operands, under fresh names, and its outputs."""
        new: dict[Value, Operand] = dict(zip(program.inputs, operands, strict=True))
        stages = self._stages(program.stages, new, fresh=True)
        return stages, _renamed(program.outputs, new)

    def program_of(self, stage: Stage) -> Program | None:
        """Return the program to inline in place of this stage; None to keep the stage."""
        return stage.params["program"] if stage.op in ("checkpoint", "custom") else None

    def passes_on(self, stage: Stage, fresh: bool) -> bool:
        """Whether the stage is replaced by its first operand."""
        # no more derivatives are taken, so stop_gradient has no effect; a body belongs to either the forward
        # or the backward pass, so there is nothing to keep apart
        return (stage.op == "stop_gradient" and type(stage.operands[0]) is Value) or (
            stage.op == "after" and fresh
        )

    def fresh(self, v: Value) -> Value:
        """Return a value of the same form under an unused name."""
        return self.names.new(v.shape, v.dtype)

    def _stages(self, stages: Iterable[Item], new: dict[Value, Operand], *, fresh: bool) -> list[Item]:
        """Inline the stages, replacing values as `new` says; record the outputs in `new`."""
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
