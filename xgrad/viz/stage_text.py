"""The stages of a graph as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..compiler.printing.listing import Text, expression, number
from ..compiler.printing.spelling import called, shown
from ..transforms import GraphNode

#: An operand that a graph does not know: no gradient flows to it.
UNKNOWN = object()

#: The most operands that are all named.
FEW = 6


def written(stage: GraphNode, operands: Sequence[Any]) -> str:
    """The stage as an expression, as listings of programs write it."""
    names = [literal(v) for v in operands]
    if len(names) > FEW:
        return f"{called(stage.op)}({few(names)})"
    try:
        return expression(stage.op, [Text(name) for name in names], written_params(stage.params)).text
    except Exception:  # an op whose parameters have no text
        return f"{called(stage.op)}({', '.join(names)})"


def written_params(params: dict[str, Any]) -> dict[str, Any]:
    """The parameters that have a text: programs and gates have none."""
    return {k: v for k, v in params.items() if k not in ("body", "derivative", "use")}


def few(names: list[str]) -> str:
    """Names in a row, without those in the middle if they are many."""
    return ", ".join(names if len(names) <= FEW else [*names[:2], "…", names[-1]])


def literal(v: Any) -> str:
    """An operand as text: its name, a number, or an array by its shape."""
    if isinstance(v, GraphNode):
        return shown(v.name)
    try:
        return number(v).text
    except TypeError:
        return "…" if v is UNKNOWN else f"array{tuple(getattr(v, 'shape', ()))}"
