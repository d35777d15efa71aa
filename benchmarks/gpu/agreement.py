"""How far a cell's outputs and gradients are from those of float64 on the CPU, in relative norms."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import numpy as np

from ..suites.functions import through_time, xgrad_functions
from ..suites.peers import host, xgrad_arrays, xgrad_precision
from ..suites.problems import Case, Problem

#: The largest error that a precision may have.
TOLERANCES = {"float32": 1e-5, "tf32": 1e-3, "bfloat16": 2e-2}


def errors(case: Case, device: str) -> dict[str, float]:
    """|ours - exact| / |exact| of the outputs and of each gradient; both begin from the same numbers, which
    are of the case's precision.

    A gradient that is 0 up to rounding, as that of sLSTM's b_i (c / n is what it was where both grow alike),
    counts beside the largest.
    """
    import xgrad as xg

    p = Problem(case)
    with ExitStack() as held, xg.device(device):
        found = _everything(p, xgrad_precision(case.precision, held))
    with xg.device("cpu"):
        exact = _everything(p, xg.float64)
    return relative(found, exact)


def relative(found: dict[str, Any], exact: dict[str, Any]) -> dict[str, float]:
    """The errors, in norms."""
    sizes = {name: np.linalg.norm(z) for name, z in exact.items()}
    largest = max(sizes.values())
    return {
        name: float(
            np.linalg.norm(found[name] - z) / (sizes[name] if sizes[name] > 1e-9 * largest else largest)
        )
        for name, z in exact.items()
    }


def agrees(found: dict[str, float], precision: str) -> bool:
    """Whether all errors are within what the precision may be off by; NaN is not."""
    return bool(found) and all(e <= TOLERANCES[precision] for e in found.values())


def _everything(p: Problem, dtype: Any) -> dict[str, Any]:
    """Outputs and gradients, by name, on the host."""
    import xgrad as xg

    W, x, dy, zero = xgrad_arrays(p, dtype)
    run = through_time(p.cell, xgrad_functions(), zero)

    def both(W: Any, x: Any, dy: Any) -> Any:
        ys, back = xg.vjp(run, W, x)
        return ys, *back(dy)

    ys, dW, dx = xg.compile(both)(W, x, dy)
    return {"outputs": host(ys), "x": host(dx), **{name: host(dW[name]) for name in W}}
