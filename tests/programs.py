"""The programs of functions, for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import xgrad as xg
from xgrad.compiler.ir import Program
from xgrad.compiler.trace import Spec, trace_to_ir


def traced(f: Callable[..., Any], arrays: list[Any]) -> tuple[Program, list[Any]]:
    """The program of `f`, and the values of what it captured."""
    specs = [Spec(x.shape, x.dtype, x.device) for x in map(xg.asarray, arrays)]
    found = trace_to_ir(lambda *x: map(xg.asarray, f(*x)), specs, grad=True)
    program, captured = found.program(), [v.data for v in found.outside]
    found.close()
    return program, captured
