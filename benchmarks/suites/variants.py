"""The variants of the LSTM and the GRU in `cells/equations.py` through time, forward and backward."""

from __future__ import annotations

from collections.abc import Callable

from ..cells.equations import CELLS, SPELLINGS
from ..harness.measure import Job
from ..harness.suite import Suite
from . import peers
from .problems import Case

SIZES = ["64,1,32,32", "64,16,64,64", "100,32,128,256"]


def on_cpu(peer: Callable[[Case, str], Job]) -> Callable[[str], Job]:
    """Adapt a peer to take a cell and its sizes, in float32 on the CPU."""

    def job(case: str) -> Job:
        cell, _, sizes = case.rpartition(" ")
        return peer(Case.parse(f"{cell} float32 {sizes}"), "cpu")

    return job


SUITE = Suite(
    title="Variants of the LSTM and the GRU, and ways to write them, forward + backward with gradients for "
    "weights and inputs, float32, milliseconds",
    case="cell T,B,I,H",
    cases=[f"{name} {size}" for name in CELLS for size in SIZES]
    + [f"{name} {size}" for name in SPELLINGS for size in SIZES[1:]],
    unit=1e3,
    peers={
        "xgrad": on_cpu(peers.xgrad),
        "JAX scan": on_cpu(peers.jax),
        "torch loop": on_cpu(peers.torch_loop),
    },
)
