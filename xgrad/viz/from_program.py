"""Pictures of programs: stages without values; the body of a scan is a group with the carry's way back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..compiler.ir import Body, Item, Loop, Program, Stage, Value
from ..compiler.printing.listing import expression, opened, operand, steps_of
from ..compiler.printing.spelling import shown
from .model import Box, Picture
from .rules import local_rule, sign


def from_program(program: Program) -> Picture:
    """The picture of a program."""
    picture = Picture("program")
    boxes: dict[Value, Box] = {}
    program = opened(program)
    for v in program.inputs:
        boxes[v] = picture.add(_box(v, kind="input"))
    _add(picture, program.stages, boxes, 0)
    return picture.finish()


def add_body(picture: Picture, body: Body, group: int, operands: Sequence[Box | None]) -> None:
    """Add the stages of a time step or a compiled function to a group; `operands` come from outside."""
    boxes: dict[Value, Box] = {}
    program = opened(body.program)
    for v, source in zip(program.inputs, operands, strict=False):
        boxes[v] = picture.add(
            _box(
                v,
                kind="port",
                group=group,
                inputs=() if source is None else (source,),
                expression="" if source is None else source.name,
            )
        )
    _add(picture, program.stages, boxes, group)
    for v, after in zip(program.inputs[: body.carries], program.outputs, strict=False):
        if type(after) is Value and after in boxes:
            picture.back.append((boxes[after], boxes[v]))


def _box(v: Value, **known: Any) -> Box:
    return Box(shown(v.name), shape=v.shape, dtype=v.dtype, **known)


def _sources(operands: Any, boxes: dict[Value, Box]) -> tuple[Box, ...]:
    return tuple(boxes[v] for v in operands if type(v) is Value and v in boxes)


def _add(picture: Picture, stages: tuple[Item, ...], boxes: dict[Value, Box], group: int) -> None:
    for stage in stages:
        if isinstance(stage, Loop):
            _add_loop(picture, stage, boxes, group)
        else:
            _add_stage(picture, stage, boxes, group)


def _add_stage(picture: Picture, stage: Stage, boxes: dict[Value, Box], group: int) -> None:
    text = expression(stage.op, [operand(v) for v in stage.operands], stage.params).text
    for v in stage.outputs:
        boxes[v] = picture.add(
            _box(
                v,
                op=stage.op,
                expression=text,
                sign=sign(stage.op, stage.operands),
                group=group,
                inputs=_sources(stage.operands, boxes),
                rule=() if stage.entry is None else local_rule(stage.entry),
                source=stage.source,
            )
        )


def _add_loop(picture: Picture, loop: Loop, boxes: dict[Value, Box], group: int) -> None:
    number = picture.open_group(f"scan over {steps_of(loop)}", "scan", group)
    for c in loop.carry:
        boxes[c.inner] = picture.add(
            _box(
                c.inner,
                kind="port",
                group=number,
                inputs=_sources([c.init], boxes),
                expression=f"{operand(c.init).text} at first, then {operand(c.next).text}",
            )
        )
    for x in loop.xs:
        boxes[x.inner] = picture.add(
            _box(
                x.inner,
                kind="port",
                group=number,
                inputs=_sources([x.outer], boxes),
                expression=f"{operand(x.outer).text}[t]",
            )
        )
    _add(picture, loop.stages, boxes, number)
    for c in loop.carry:
        if type(c.next) is Value and c.next in boxes:
            picture.back.append((boxes[c.next], boxes[c.inner]))
    for y in loop.ys:
        if type(y.inner) is Value and y.inner in boxes:
            boxes[y.outer] = picture.add(
                _box(
                    y.outer,
                    kind="gate",
                    op="stack",
                    sign="stack",
                    group=number,
                    inputs=(boxes[y.inner],),
                    expression=f"{operand(y.inner).text} of every step",
                )
            )
    for c in loop.carry:
        if c.final is not None and type(c.next) is Value and c.next in boxes:
            boxes[c.final] = boxes[c.next]
