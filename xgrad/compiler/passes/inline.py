"""Inlining: scans become loops whose stages are part of the program, so that they can move in and out."""

from __future__ import annotations

from collections.abc import Sequence

from ..inliner import Inliner
from ..ir import Item, Operand, Program
from ..names import Names


def inline_scans(program: Program) -> Program:
    """Inline every scan as a `Loop`, and every checkpoint and custom gate as the stages inside it."""
    return Inliner(Names.beside(program)).opened(program)


def inline(program: Program, operands: Sequence[Operand], names: Names) -> tuple[list[Item], list[Operand]]:
    """Inline `program` on these operands, under fresh names.

    Returns its stages, all inlined, and its outputs.
    """
    return Inliner(names).inside(program, operands)
