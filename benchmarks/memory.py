"""Bytes that one GRU, forward and backward, has in use: inputs, weights, outputs, and what is kept between."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from typing import Any

from by_hand import NumpyLoop
from gru import CASE, CASES, Problem, equations
from ours import gradient_step


def reported(step: Callable[..., Any]) -> int | None:
    """What a compiled function says of its own memory; None where it does not say."""
    explain = getattr(step, "explain", None)
    peak = getattr(explain() if explain else None, "peak_bytes", None)
    return None if peak is None else int(peak)


def measured(case: str) -> tuple[int, int | None]:
    """The most that Python's allocators held during one compiled xgrad step, and what its own report says."""
    import xgrad as xg

    p = Problem(case)
    step = gradient_step(equations(p))

    def once() -> Any:
        return step({name: xg.asarray(w) for name, w in p.W.items()}, xg.asarray(p.x), xg.asarray(p.dy))

    for _ in range(3):  # what is compiled, is compiled now
        once()
    gc.collect()
    inputs = p.x.nbytes + p.dy.nbytes + sum(w.nbytes for w in p.W.values())
    tracemalloc.start()
    once()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak + inputs, reported(step)


def memory_cost(cases: list[str] | None = None) -> None:
    """The hand-written NumPy loop beside xgrad, at the last two sizes of the suite "gru" unless `cases` says otherwise."""
    print("\nMegabytes in use for one GRU step, forward + backward, inputs and gradients included")
    print(f"| {CASE} | xgrad, as it reports | xgrad, as tracemalloc sees it | hand NumPy | over hand NumPy |\n" + "|---" * 5 + "|")
    for case in cases or CASES[-2:]:
        p = Problem(case)
        hand = NumpyLoop(p.W, p.x, p.dy).held()
        peak, said = measured(case)
        figures = [f"{n / 1e6:.1f}" if n else "-" for n in (said, peak, hand)]
        print(f"| {case} | {' | '.join(figures)} | {(said or peak) / hand:.2f} |", flush=True)
