"""Variants of a step of the backward pass: wrong values, and rules applied to other values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from ..compiler.printing.spelling import shown
from ..core.rules import deriv
from .backward_stages import BackwardStage, Contribution

#: The kinds of slips; where several give the same numbers, they are named in this order.
KINDS = (
    "overwritten",
    "sign",
    "broadcast",
    "transpose",
    "shape",
    "formula",
    "point",
    "factor",
    "name",
    "operand",
)

#: Ops that move or add up elements, which have no local slope.
MOVING = frozenset(
    ("+", "-", "neg", "none", "reshape", "transpose", "broadcast_to", "getitem", "concat", "stack")
)


class Variant(NamedTuple):
    """A wrong value: the kind of slip, what it says, and how the value is computed."""

    kind: str
    text: str
    value: Callable[[], Any]

    def attempt(self) -> Any:
        """The value; None where the shapes do not fit."""
        try:
            return self.value()
        except (ValueError, TypeError, IndexError, ZeroDivisionError):
            return None


def name_of(v: Any) -> str:
    """The name of a stage; a number as it is."""
    return shown(getattr(v, "name", v))


def gradient_of(v: Any) -> str:
    """The name of the gradient of a stage."""
    return f"d{name_of(v)}"


def operands(step: BackwardStage) -> list[Any]:
    """The values of the operands: Tensors and numbers."""
    return [getattr(v, "value", v) for v in step.stage.operands]


def rule(step: BackwardStage, dz: Any, values: Sequence[Any], z: Any = None) -> tuple[Any, ...]:
    """The rule of a step, with other values."""
    entry, params = step.stage.node.op, step.stage.params
    if entry.variadic:
        return deriv(dz, tuple(values), None, entry, z=z, **params)
    return deriv(dz, values[0], values[1] if len(values) > 1 else None, entry, z=z, **params)


def with_dz(step: BackwardStage, dz: Any) -> BackwardStage:
    """The step with another gradient of its output."""
    found = rule(step, dz, operands(step), step.stage.value)
    made = tuple(replace(c, value=found[c.operand]) for c in step.contributions)
    return replace(step, dz=dz, contributions=made)


def value_read(step: BackwardStage, c: Contribution) -> Any:
    """The operand that the contribution `c` is computed from: the other one, or the only one."""
    return step.stage.operands[1 - c.operand if len(step.stage.operands) == 2 else 0]


def output_read(step: BackwardStage, c: Contribution) -> Any:
    """The stage itself, for rules in terms of the output."""
    return step.stage


def with_value(step: BackwardStage, c: Contribution, v: Any) -> Any:
    """The contribution `c` with another value of the operand that it is computed from."""
    values = operands(step)
    values[1 - c.operand if len(values) == 2 else 0] = v
    return rule(step, step.dz, values)[c.operand]


def with_output(step: BackwardStage, c: Contribution, v: Any) -> Any:
    """The contribution `c` with another value of the output."""
    return rule(step, step.dz, operands(step), v)[c.operand]
