"""Memory of one GRU, forward and backward: inputs, weights, outputs and residuals.

Python's tracemalloc counts NumPy's arrays. The reference is the hand-written loop.
"""

from __future__ import annotations

import gc
import re
import tracemalloc

import numpy as np

from ..harness.tables import line, rule
from .by_hand import NumpyLoop
from .functions import through_time, xgrad_functions
from .gru import CASES
from .peers import gradient_step, xgrad_arrays
from .problems import Case, Problem


def reported(explained: str) -> float | None:
    """Bytes in the line "peak memory" of a compiled function's `explain`; None without such a line."""
    found = re.search(r"^peak memory +([\d.]+) ([kMG]?)B$", explained, re.MULTILINE)
    return found and float(found[1]) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[found[2]]


def measured(case: Case) -> tuple[int, float | None]:
    """Peak bytes of one compiled xgrad step, measured and as reported by itself.

    Arrays kept from step to step are included.
    """
    import xgrad as xg

    tracemalloc.start()
    p = Problem(case)
    W, x, dy, zero = xgrad_arrays(p, xg.float32)
    step = gradient_step(through_time(p.cell, xgrad_functions(), zero))
    step(W, x, dy)
    gc.collect()
    arrays = tracemalloc.take_snapshot().filter_traces(
        [tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)]
    )
    kept = sum(trace.size for trace in arrays.traces)
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    step(W, x, dy)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return kept + peak - before, reported(step.explain(W, x, dy))


def memory_cost(cases: list[str] | None = None) -> None:
    """Compare the memory of xgrad with that of the hand-written NumPy loop.

    Sizes are the last two of the suite "gru", or those that contain one of `cases`.
    """
    print("\nMegabytes in use for one GRU step, forward + backward, inputs and gradients included")
    head = ["T,B,I,H", "xgrad, as it reports", "xgrad, as measured", "hand NumPy", "over hand NumPy"]
    print(line(head), rule(len(head)), sep="\n")
    for sizes in [c for c in CASES if any(part in c for part in cases)] if cases else CASES[-2:]:
        case = Case.parse(f"GRU float32 {sizes}")
        p = Problem(case)
        hand = NumpyLoop(p.W, p.x, p.dy).held()
        peak, said = measured(case)
        figures = [f"{n / 1e6:.1f}" if n else "-" for n in (said, peak, hand)]
        print(line([sizes, *figures, f"{peak / hand:.2f}"]), flush=True)
