"""Scans: running one on arrays, with code that serves many lengths.

A body does not depend on the number of steps, so a scan is planned for a few lengths only (see `sizes.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..backends import Array, Device, current_device, current_matmul_precision, device_of
from ..core.dispatch import NUMBERS
from .caches import ROOM, Cache
from .executors import Executable, plan_of
from .ir import Body, Program, Stage, Value
from .keys import exact
from .sizes import Boxes, Code, Planned, Sizes
from .templates import template

#: How many lengths of a scan are cached whatever their memory.
LENGTHS = 16


def run_scan(body: Body, length: int, reverse: bool, operands: Sequence[Any]) -> tuple[Array, ...]:
    """Run a scan on arrays and numbers."""
    device = next((d for d in map(device_of, operands) if d is not None), None) or current_device()
    numbers = [(i, v) for i, v in enumerate(operands) if type(v) in NUMBERS]
    runs: Cache = body.once("runs", lambda: Cache(LENGTHS, weigh=lambda ready: ready.bytes, room=ROOM))
    key = (device, current_matmul_precision(), length, reverse, tuple([(i, exact(v)) for i, v in numbers]))
    ready = runs.get(key, lambda: _scan(body, length, reverse, numbers, device))
    return tuple(ready([v for v in operands if type(v) not in NUMBERS] if numbers else operands))


def _scan(
    body: Body, length: int, reverse: bool, numbers: Sequence[tuple[int, Any]], device: Device
) -> Executable:
    """Prepare a scan for one length, with code that serves others too where possible."""

    def plan(sizes: Sizes, like: Planned | None) -> Planned | None:
        return plan_of(_alone(body, sizes[0], reverse, numbers), device, whole, like)

    def shared() -> Code | None:
        if body.families is not None:
            return body.families.code(program, device)  # type: ignore[no-any-return]
        key = ("boxes", device, reverse, tuple([(i, exact(v)) for i, v in numbers]))
        boxes: Boxes = body.once(key, lambda: Boxes(template(body)[1]))
        return boxes.at((length,), plan)

    program, whole = _alone(body, length, reverse, numbers), body.families is not None
    return Executable(program, device, whole=False, wanted=whole, shared=shared)


def _alone(body: Body, length: int, reverse: bool, numbers: Sequence[tuple[int, Any]]) -> Program:
    """Build a program that consists of one scan."""
    fixed = dict(numbers)
    operands: list[Any] = []
    for i, v in enumerate(body.program.inputs):
        shape = (length, *v.shape) if body.carries <= i < body.carries + body.xs else v.shape
        operands.append(fixed.get(i, Value(f"x{i}", shape, v.dtype)))
    outputs = tuple(Value(f"y{i}", shape, dtype) for i, (shape, dtype) in enumerate(body.forms(length)))
    stage = Stage("scan", tuple(operands), outputs, {"body": body, "length": length, "reverse": reverse})
    return Program(tuple(v for v in operands if type(v) is Value), (stage,), outputs)
