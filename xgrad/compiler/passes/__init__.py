"""Passes: each turns a program into an equivalent, faster one. `PASSES` lists them in order."""

from __future__ import annotations

import os
from collections.abc import Callable

from ..ir import Program
from ..verifier import verify
from .expand import expand
from .hoist import hoist
from .inline import inline_scans
from .outer import outer_products
from .products import accumulate, join, merge, transpose_inside
from .simplify import simplify
from .sink import sink
from .split import split_products
from .split_complex import split_complex
from .stacks import whole_slices, whole_stacks

Pass = Callable[[Program], Program]

PASSES: tuple[tuple[str, Pass], ...] = (
    ("inline", inline_scans),
    ("expand", expand),
    ("simplify", simplify),
    ("complex", split_complex),
    ("simplify", simplify),
    ("split", split_products),
    ("hoist", hoist),
    ("simplify", simplify),
    ("sink", sink),
    ("simplify", simplify),
    ("transpose", transpose_inside),
    ("accumulate", accumulate),
    ("merge", merge),
    ("join", join),
    ("stack", whole_stacks),
    ("hoist", hoist),
    ("simplify", simplify),
    ("merge", merge),
    ("join", join),
    ("stack", whole_stacks),
    ("slices", whole_slices),
    ("hoist", hoist),
    ("simplify", simplify),
    ("outer", outer_products),
)


def optimise(program: Program, *, complex_parts: bool = True) -> Program:
    """Run all passes in order.

    Without `complex_parts`, complex numbers are kept whole, for executors that support them. The program is
    verified after each pass where XGRAD_VERIFY is 1 or "passes".
    """
    verified = os.environ.get("XGRAD_VERIFY") in ("1", "passes")
    for name, apply in PASSES:
        if apply is split_complex and not complex_parts:
            continue
        program = apply(program)
        if verified:
            verify(program, after=name)
    return program


__all__ = ["PASSES", "optimise"]
