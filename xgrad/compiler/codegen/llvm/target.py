"""The ops and dtypes that have native code on the processor."""

from __future__ import annotations

from typing import Any

from ...lowering.plan import Target
from ..element import COMPLEX, FOLDS, REAL, Value
from .element import FORMS, apply
from .kernels import has_kernel
from .text import Code, Module


def _tried(op: str, args: tuple[Any, ...], dtype: str) -> object:
    given = [Value("%x", a) if type(a) is str else Value(a, None) for a in args]
    return apply(Code(Module(), 1), op, given, dtype)


#: The dtypes in which products, sums and other folds are computed.
_IN_SINGLE = {"float32": "float32", "float64": "float64", "float16": "float32", "bfloat16": "float32"}

CPU = Target(
    frozenset(FORMS),
    REAL,
    COMPLEX,
    _tried,
    folds={kind: {d: _IN_SINGLE.get(d, d) for d in REAL} for kind in FOLDS},
    products=_IN_SINGLE,
    kernel=has_kernel,
)
