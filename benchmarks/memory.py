"""Bytes that one GRU, forward and backward, has in use: inputs, weights, outputs, and what is kept
between."""

from __future__ import annotations

import gc
import re
import tracemalloc

import numpy as np
from by_hand import NumpyLoop
from gru import CASE, CASES, Problem, equations
from ours import gradient_step


def reported(explained: str) -> float | None:
    """The bytes of the line "peak memory" of what a compiled function says of itself; None where it has no
    such line."""
    found = re.search(r"^peak memory +([\d.]+) ([kMG]?)B$", explained, re.MULTILINE)
    return found and float(found[1]) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[found[2]]


def measured(case: str) -> tuple[int, float | None]:
    """The most bytes that one compiled xgrad step has in use, arrays that it keeps from step to step
    included; and what its own report says."""
    import xgrad as xg

    tracemalloc.start()
    p = Problem(case)
    step = gradient_step(equations(p))
    given = {name: xg.asarray(w) for name, w in p.W.items()}, xg.asarray(p.x), xg.asarray(p.dy)
    step(*given)
    gc.collect()
    arrays = tracemalloc.take_snapshot().filter_traces(
        [tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)]
    )
    kept = sum(trace.size for trace in arrays.traces)
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    step(*given)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return kept + peak - before, reported(step.explain(*given))


def memory_cost(cases: list[str] | None = None) -> None:
    """The hand-written NumPy loop beside xgrad, at the last two sizes of the suite "gru" unless `cases` says
    otherwise."""
    print("\nMegabytes in use for one GRU step, forward + backward, inputs and gradients included")
    print(
        f"| {CASE} | xgrad, as it reports | xgrad, as measured | hand NumPy | over hand NumPy |\n"
        + "|---" * 5
        + "|"
    )
    for case in cases or CASES[-2:]:
        p = Problem(case)
        hand = NumpyLoop(p.W, p.x, p.dy).held()
        peak, said = measured(case)
        figures = [f"{n / 1e6:.1f}" if n else "-" for n in (said, peak, hand)]
        print(f"| {case} | {' | '.join(figures)} | {peak / hand:.2f} |", flush=True)
