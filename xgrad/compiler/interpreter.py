"""Interpreter, the simplest executor: runs a program stage by stage in the array library of any device."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from ..backends import Array, Device
from ..backends.promotion import promote
from ..core.context import mode
from ..core.dispatch import NUMBERS
from ..ops import OPS
from ..ops.shaping import creator
from .ir import Body, Loop, Operand, Program, Stage, Value


def interpret(program: Program, device: Device, inputs: Sequence[Array], scan: Any = None) -> list[Array]:
    """Run `program` on arrays of `device`; `scan(*operands, body=, length=, reverse=)` runs its scans.

    Each array is freed after the last stage that reads it.
    """
    values: dict[Operand, Any] = dict(zip(program.inputs, inputs, strict=True))
    with device.guard or nullcontext(), mode(grad=False, record=False, trace=None):
        _run(program, values, device, scan)
    return [values[v] if type(v) is Value else _filled(device, v, (), "float64") for v in program.outputs]


def interpret_scan(
    device: Device, operands: Sequence[Any], *, body: Body, length: int, reverse: bool
) -> tuple[Array, ...]:
    """Run a scan, one step after the other."""
    inner, carries = body.program.inputs, body.carries
    state = [
        _filled(device, v, inner[i].shape, inner[i].dtype) if type(v) in NUMBERS else v
        for i, v in enumerate(operands[:carries])
    ]
    xs, rest = operands[carries : carries + body.xs], operands[carries + body.xs :]
    xs = [
        _filled(device, v, (length, *inner[carries + i].shape), inner[carries + i].dtype)
        if type(v) in NUMBERS
        else v
        for i, v in enumerate(xs)
    ]
    written: list[list[Array]] = [[] for _ in body.program.outputs[carries:]]
    for t in reversed(range(length)) if reverse else range(length):
        found = interpret(body.program, device, [*state, *(x[t, ...] for x in xs), *rest])
        state = found[:carries]
        for series, y in zip(written, found[carries:], strict=True):
            series.append(y)
    if reverse:
        for series in written:
            series.reverse()
    return (
        *state,
        *(
            _stacked(device, series, form)
            for series, form in zip(written, body.forms(length)[carries:], strict=True)
        ),
    )


def _stacked(device: Device, series: list[Array], form: Any) -> Array:
    return device.xp.stack(series) if series else _filled(device, 0, *form)


def _run(block: Program | Loop, values: dict[Operand, Any], device: Device, scan: Any = None) -> None:
    """Compute the stages of a block, freeing values after their last use."""
    for stage, dead in zip(block.stages, block.dead):
        if isinstance(stage, Loop):
            _loop(stage, values, device)
        elif isinstance(z := _computed(stage, values, device, scan), tuple):
            values.update(zip(stage.outputs, z, strict=True))
        else:
            values[stage.output] = z
        for v in dead:
            del values[v]


def _computed(stage: Stage, values: dict[Operand, Any], device: Device, scan: Any) -> Any:
    """Compute one stage: its output, or a tuple of them."""
    operands: list[Any] = [values[v] if type(v) is Value else v for v in stage.operands]
    if stage.op == "scan":
        return scan(*operands, **stage.params) if scan else interpret_scan(device, operands, **stage.params)
    return evaluate(stage.op, operands, stage.params, device)


def evaluate(name: str, operands: Sequence[Any], params: Mapping[str, Any], device: Device) -> Any:
    """Compute an op of arrays and numbers with the array library: its output, or a tuple of several."""
    if name == "new":
        return _new(device, **params)
    op = OPS[name]
    if not device.promotes and op.promotion:
        operands = promote(device, op.promotion, list(operands))
    return op.forward(device.xp, *operands, **params)


def _loop(loop: Loop, values: dict[Operand, Any], device: Device) -> None:
    """Run a loop. Values from outside are kept for the next step."""

    def now(v: Operand, shape: tuple[int, ...], dtype: str) -> Any:
        return inside[v] if type(v) is Value else _filled(device, v, shape, dtype)

    inside = dict(values)
    forms = [(c.inner.shape, c.inner.dtype) for c in loop.carry]
    carries = [now(c.init, *form) for c, form in zip(loop.carry, forms)]
    rows = [(y.outer.shape[1:], y.outer.dtype) for y in loop.ys]
    written: list[list[Array]] = [[] for _ in loop.ys]
    for t in reversed(range(loop.length)) if loop.reverse else range(loop.length):
        for c, z in zip(loop.carry, carries):
            inside[c.inner] = z
        for x in loop.xs:
            inside[x.inner] = values[x.outer][t, ...]
        _run(loop, inside, device)
        for series, y, row in zip(written, loop.ys, rows):
            series.append(now(y.inner, *row))
        carries = [now(c.next, *form) for c, form in zip(loop.carry, forms)]
    values.update((c.final, z) for c, z in zip(loop.carry, carries) if c.final is not None)
    for series, y in zip(written, loop.ys, strict=True):
        values[y.outer] = _stacked(device, series[::-1] if loop.reverse else series, y.outer[1:])


def _filled(device: Device, number: Any, shape: tuple[int, ...], dtype: Any) -> Array:
    return device.xp.full(shape, number, dtype=device.backend.native_dtype(dtype), device=device.handle)


def _new(
    device: Device,
    *,
    function: str | Callable[..., Array],
    args: tuple[Any, ...],
    dtype: Any,
    options: dict[str, Any],
) -> Array:
    raw = None if dtype is None else device.backend.native_dtype(dtype)
    return creator(device.xp, function)(*args, dtype=raw, device=device.handle, **options)
