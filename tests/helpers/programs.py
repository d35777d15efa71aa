"""Traced programs, and the names that their listings use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import xgrad as xg
from xgrad.backends import find_device
from xgrad.compiler.ir import Program
from xgrad.compiler.trace import trace_to_ir
from xgrad.compiler.variables import Spec
from xgrad.ops import OPS
from xgrad.ops.indexing import Hole


def traced(f: Callable[..., Any], arrays: list[Any]) -> tuple[Program, list[Any]]:
    """Return the program of `f`, and the values of what it captured."""
    specs = [Spec(x.shape, x.dtype, x.device) for x in map(xg.asarray, arrays)]
    found = trace_to_ir(lambda *x: map(xg.asarray, f(*x)), specs, grad=True)
    program, captured = found.program(), [v.data for v in found.outside]
    found.close()
    return program, captured


def numpy_names() -> dict[str, Any]:
    """Return the names used by the lines of a listing, as functions of plain arrays."""
    xp = find_device("cpu").xp
    names = {**vars(xp), "deriv": xg.deriv, "Hole": Hole}
    for name in ("sigmoid", "softmax", "relu", "logsumexp", "transpose"):
        names[name] = lambda *x, op=OPS[name], **params: op.forward(xp, *x, **{**op.defaults, **params})
    return names
