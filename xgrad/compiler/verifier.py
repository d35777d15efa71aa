"""Verifier: checks that a program is well formed.

Runs after every pass in tests of the passes, and where a user sets XGRAD_VERIFY=1. It takes about as long as
the passes themselves, so it is off otherwise. XGRAD_VERIFY=passes runs it without the check of plans
(`plan_verifier.py`), which takes longer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..backends.dtypes import canonical
from ..ops import OPS
from .abstract_eval import form_of
from .ir import Body, Item, Loop, Operand, Program, Stage, Value

ShapeDtype = tuple[tuple[int, ...], str]


class ProgramError(AssertionError):
    """A program that is not well formed. The message names the pass it came from, the stage and the fault."""


def verify(program: Program, after: str = "") -> None:
    """Check that every value is computed once, before its use, with the shape and dtype that its op gives.

    Raises ProgramError, which names the pass `after` which the fault was found.
    """
    try:
        _program(program)
    except ProgramError as error:
        raise ProgramError(f"after {after}: {error}" if after else str(error)) from error.__cause__


def _program(program: Program) -> None:
    names: set[str] = set()
    known: set[Value] = set()
    _define(program.inputs, known, names, "the inputs")
    _stages(program.stages, known, names)
    _defined(program.outputs, known, "the outputs")


def _stages(stages: Iterable[Item], known: set[Value], names: set[str]) -> None:
    for item in stages:
        where = _title(item)
        if isinstance(item, Loop):
            _loop(item, known, names, where)
        else:
            _defined(item.operands, known, where)
            _stage(item, where)
        _define(item.outputs, known, names, where)


def _stage(stage: Stage, where: str) -> None:
    if stage.op == "scan":
        _scan(stage, where)
    for program in stage.params.values():
        if isinstance(program, Program):
            _inner(program, where)
    expected = _forms(stage, where)
    if expected is None:
        return
    _equal(len(stage.outputs), len(expected), where, "the number of outputs")
    for z, form in zip(stage.outputs, expected):
        _equal((z.shape, z.dtype), form, where, f"the form of {z.name}")


def _forms(stage: Stage, where: str) -> Sequence[ShapeDtype] | None:
    """Return the forms that the outputs must have; None for an op without shape inference."""
    if stage.op == "@+":  # base + a @ b
        if len(stage.operands) != 3:
            raise ProgramError(f"{where}: it takes three operands")
        base, *factors = stage.operands
        (product,) = _asked("@", factors, {}, where)
        if not isinstance(base, Value) or base.shape != product[0]:
            raise ProgramError(f"{where}: {base} cannot be added to in the form {product}")
        return _asked("+", [base, Value("", *product)], {}, where)
    return _asked(stage.op, stage.operands, stage.params, where) if stage.op in OPS else None


def _asked(op: str, operands: Sequence[Operand], params: Any, where: str) -> Sequence[ShapeDtype]:
    try:
        z = form_of(OPS[op], tuple(operands), dict(params))
    except Exception as error:
        raise ProgramError(f"{where}: {error}") from error
    return [(tuple(form.shape), canonical(form.dtype).name) for form in (z if type(z) is tuple else (z,))]


def _scan(stage: Stage, where: str) -> None:
    body: Body = stage.params["body"]
    length = stage.params["length"]
    inputs, outputs = body.program.inputs, body.program.outputs
    _inner(body.program, where)
    _equal(len(stage.operands), len(inputs), where, "the number of operands")
    for i, (given, inner) in enumerate(zip(stage.operands, inputs)):
        read = body.carries <= i < body.carries + body.xs
        _like(
            given,
            ((length, *inner.shape) if read else inner.shape, inner.dtype),
            where,
            f"the operand for {inner.name}",
        )
    for inner, after in zip(inputs[: body.carries], outputs):
        _like(after, (inner.shape, inner.dtype), where, f"what follows the carry {inner.name}")


def _inner(program: Program, where: str) -> None:
    try:
        _program(program)
    except ProgramError as error:
        raise ProgramError(f"{where}: in its body: {error}") from error.__cause__


def _loop(loop: Loop, known: set[Value], names: set[str], where: str) -> None:
    _defined([*(c.init for c in loop.carry), *(x.outer for x in loop.xs)], known, where)
    inside = set(known)
    _define(loop.inner, inside, names, where)
    _stages(loop.stages, inside, names)
    _defined(loop.results, inside, where)
    for c in loop.carry:
        form = (c.inner.shape, c.inner.dtype)
        for operand, what in ((c.init, "init"), (c.next, "next"), (c.final, "final")):
            if operand is not None:
                _like(operand, form, where, f"{what} of the carry {c.inner.name}")
    for x in loop.xs:
        _like(
            x.outer,
            ((loop.length, *x.inner.shape), x.inner.dtype),
            where,
            f"what {x.inner.name} is a slice of",
        )
    for y in loop.ys:
        _equal(y.outer.shape[:1], (loop.length,), where, f"the length of {y.outer.name}")
        _like(y.inner, (y.outer.shape[1:], y.outer.dtype), where, f"the slice of {y.outer.name}")


def _define(values: Iterable[Value], known: set[Value], names: set[str], where: str) -> None:
    for v in values:
        if v.name in names:
            raise ProgramError(f"{where}: {v.name} is defined twice")
        names.add(v.name)
        known.add(v)


def _defined(operands: Iterable[Operand], known: set[Value], where: str) -> None:
    for v in operands:
        if type(v) is Value and v not in known:
            raise ProgramError(f"{where}: {v} is used, and not defined before")


def _like(operand: Operand, form: ShapeDtype, where: str, what: str) -> None:
    """Check an operand's form; a number stands for an array filled with it."""
    if type(operand) is Value:
        _equal((operand.shape, operand.dtype), form, where, what)


def _equal(found: Any, expected: Any, where: str, what: str) -> None:
    if found != expected:
        raise ProgramError(f"{where}: {what} is {found}, and should be {expected}")


def _title(item: Item) -> str:
    if isinstance(item, Loop):
        return f"the loop that computes {', '.join(v.name for v in item.outputs)}"
    operands = ", ".join(v.name if isinstance(v, Value) else repr(v) for v in item.operands)
    return f"{', '.join(v.name for v in item.outputs)} = {item.op}({operands})"
