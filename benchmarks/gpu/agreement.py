"""Relative errors of a cell's outputs and gradients, compared with float64 on the CPU."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import numpy as np

from ..suites.functions import through_time, xgrad_functions
from ..suites.peers import host, xgrad_arrays, xgrad_precision
from ..suites.problems import Case, Problem

#: Error tolerance by precision.
TOLERANCES = {"float32": 1e-5, "tf32": 1e-3, "bfloat16": 2e-2}


def errors(case: Case, device: str) -> dict[str, float]:
    """|ours - exact| / |exact| of the outputs and of each gradient.

    Both use the same input data, in the case's precision. A gradient that is 0 up to rounding is compared
    with the largest one; an example is that of sLSTM's b_i, as c / n does not change when both grow by the
    same factor.
    """
    import xgrad as xg

    p = Problem(case)
    with ExitStack() as held, xg.device(device):
        found = _everything(p, xgrad_precision(case.precision, held))
    with xg.device("cpu"):
        exact = _everything(p, xg.float64)
    return relative(found, exact)


def relative(found: dict[str, Any], exact: dict[str, Any]) -> dict[str, float]:
    """Relative errors in norms."""
    sizes = {name: np.linalg.norm(z) for name, z in exact.items()}
    largest = max(sizes.values())
    return {
        name: float(
            np.linalg.norm(found[name] - z) / (sizes[name] if sizes[name] > 1e-9 * largest else largest)
        )
        for name, z in exact.items()
    }


def agrees(found: dict[str, float], precision: str) -> bool:
    """Whether all errors are within the tolerance of the precision; NaN is not."""
    return bool(found) and all(e <= TOLERANCES[precision] for e in found.values())


def _everything(p: Problem, dtype: Any) -> dict[str, Any]:
    """Compute outputs and gradients, by name, on the host."""
    import xgrad as xg

    W, x, dy, zero = xgrad_arrays(p, dtype)
    run = through_time(p.cell, xgrad_functions(), zero)

    def both(W: Any, x: Any, dy: Any) -> Any:
        ys, back = xg.vjp(run, W, x)
        return ys, *back(dy)

    ys, dW, dx = xg.compile(both)(W, x, dy)
    return {"outputs": host(ys), "x": host(dx), **{name: host(dW[name]) for name in W}}
