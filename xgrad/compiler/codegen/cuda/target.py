"""The ops and dtypes that have CUDA kernels."""

from __future__ import annotations

from typing import Any

from ...lowering.plan import Step, Target
from ..element import FLOATS
from .calls import has_kernel
from .expressions import COMPUTED, PRIMITIVES, lines


def _tried(op: str, args: tuple[Any, ...], dtype: str) -> object:
    literal = tuple(type(a) is not str for a in args)
    numbers = tuple(a if is_number else i for i, (a, is_number) in enumerate(zip(args, literal)))
    step = Step(len(args), op, numbers, literal, dtype)
    return lines([step], {i: a for i, a in enumerate(args) if type(a) is str})


CUDA = Target(
    PRIMITIVES,
    frozenset(COMPUTED),
    frozenset(("complex64", "complex128", "int8", "int16", "uint8", "uint16", "uint32", "uint64")),
    _tried,
    folds={kind: {d: d for d in FLOATS} for kind in ("sum", "max", "min")},
    products={d: d for d in FLOATS},
    kernel=has_kernel,
)
