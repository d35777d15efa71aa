"""The CPU benchmarks, by name.

A suite compares the times of peers. A cost is a figure of xgrad alone, or compared with one other thing: a
function of the number of turns and the selected cases, which prints it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..harness.measure import Job
from ..harness.suite import Suite
from . import cells, derivatives, gru, lengths, memory, ops, startup, training, variants

SUITES: dict[str, Suite] = {
    "ops": ops.SUITE,
    "gru": gru.SUITE,
    "cells": cells.SUITE,
    "variants": variants.SUITE,
    "derivatives": derivatives.SUITE,
    "train": training.SUITE,
}
COSTS: dict[str, Callable[[int, list[str] | None], None]] = {
    "import": lambda turns, cases: startup.import_cost(turns),
    "chain": lambda turns, cases: startup.chain_cost(),
    "aux": lambda turns, cases: startup.aux_cost(),
    "memory": lambda turns, cases: memory.memory_cost(cases),
    "lengths": lengths.lengths_cost,
}
#: What runs in a process of its own: a peer's function, by suite or cost and by peer.
PEERS: dict[str, Mapping[str, Callable[[str], Job]]] = {
    **{name: suite.peers for name, suite in SUITES.items()},
    "lengths": lengths.PEERS,
}
