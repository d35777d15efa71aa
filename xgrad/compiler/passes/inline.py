"""Inlining: scans become loops whose stages stand in the program itself, so that they can move in and out."""

from __future__ import annotations

from collections.abc import Sequence

from ..inliner import Inliner
from ..ir import Item, Operand, Program
from ..names import Names


def inline_scans(program: Program) -> Program:
    """The program with every scan as a `Loop`, and every checkpoint and gate of the user's own as the stages
    inside it."""
    return Inliner(Names.beside(program)).opened(program)


def inline(program: Program, operands: Sequence[Operand], names: Names) -> tuple[list[Item], list[Operand]]:
    """The stages of `program` on these operands, under fresh names and opened, and what its outputs are
    there."""
    return Inliner(names).inside(program, operands)
