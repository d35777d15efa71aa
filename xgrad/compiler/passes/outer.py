"""Outer products: a product over an axis of length 1 becomes a multiplication, which can be fused."""

from __future__ import annotations

from dataclasses import replace

from ..ir import Item, Program, Stage, Value, rewritten
from ..names import Names


def outer_products(program: Program) -> Program:
    """Write `a @ b` as `a * b` where a has one column and b one row; `y + a @ b` likewise.

    Runs last, because earlier passes merge many products into one.
    """
    names = Names.beside(program)
    return replace(program, stages=tuple(rewritten(program.stages, lambda s: _multiplied(s, names))))


def _multiplied(s: Item, names: Names) -> list[Item]:
    if not isinstance(s, Stage) or s.op not in ("@", "@+"):
        return [s]
    *base, a, b = s.operands
    if type(a) is not Value or type(b) is not Value or min(len(a.shape), len(b.shape)) < 2:
        return [s]
    if a.shape[-1] != 1 or a.dtype != s.output.dtype or b.dtype != s.output.dtype:
        return [s]
    if not base:
        return [replace(s, op="*")]
    product = names.new((*s.output.shape[:-2], a.shape[-2], b.shape[-1]), s.output.dtype)
    return [
        replace(s, op="*", operands=(a, b), outputs=(product,)),
        replace(s, op="+", operands=(base[0], product)),
    ]
