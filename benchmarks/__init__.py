"""Benchmarks: `python benchmarks --help`.

harness/   measurement: clocks, alternating processes, the machine, tables
suites/    CPU benchmarks: ops, a GRU, cells, derivatives, memory, start-up, training
cells/     cells and recurrences from papers, as equations that run in xgrad and in JAX
gpu/       the parts of `make gpu`, which evaluate xgrad on a GPU
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
