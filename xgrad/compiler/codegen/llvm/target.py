"""What there is native code for on the processor."""

from __future__ import annotations

from typing import Any

from ...lowering.plan import Target
from ..element import Value
from .element import FORMS, apply
from .kernels import has_kernel
from .text import Code, Module


def _tried(op: str, args: tuple[Any, ...], dtype: str) -> object:
    given = [Value("%x", a) if type(a) is str else Value(a, None) for a in args]
    return apply(Code(Module(), 1), op, given, dtype)


CPU = Target(
    frozenset(FORMS),
    frozenset(("float32", "float64", "bool", "int32", "int64")),
    frozenset(("float16", "complex64", "complex128", "int8", "int16", "uint8", "uint16", "uint32", "uint64")),
    _tried,
    has_kernel,
)
