"""Benchmarks: `python benchmarks --help`.

harness/   how anything is measured: clocks, processes that take turns, the machine, tables
suites/    what is measured: ops, a GRU, cells, derivatives, memory, start-up, training
cells/     cells and recurrences from papers, as equations that run in xgrad and in JAX
gpu/       the parts of `make gpu`, which judge xgrad on a GPU
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
