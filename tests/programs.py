"""The programs of functions, for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import xgrad as xg
from xgrad.program.stages import Program
from xgrad.program.tracing import Tracer, tracing


def traced(f: Callable[..., Any], arrays: list[Any]) -> tuple[Program, list[Any]]:
    """The program of `f`, and the values of what it captured."""
    tracer = Tracer()
    with tracing(tracer, grad=True):
        outputs = [tracer.output(xg.asarray(z)) for z in f(*(tracer.input(xg.asarray(a)) for a in arrays))]
    captured = [v.data for _, v in tracer.captured.values()]
    program = tracer.program(outputs)
    tracer.close()
    return program, captured
