"""xgrad beside its peers, in one run: `make bench`, or `python benchmarks [SUITE ...] [--turns N] [--peers
...] [--cases ...]`.

    ops      the cost of one op                          import   the cost of `import xgrad`
    gru      one GRU, also by hand, and in peers         chain    a graph of a million nodes
    cells    cells from papers, in several spellings     memory   bytes in use, beside the loop by hand
    train    a training step of examples/train.py    derivatives   f, grad, jvp, hvp
    aux      2,000 outputs beside the value

Each peer runs in a process of its own, and the processes take turns, since idle thread pools slow their
neighbours down inside one process and a shared machine changes its speed from minute to minute. A figure is
the median over the turns of each turn's best run. OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE are taken out of the
environment: with them a machine measures kernels that are not its own. All suites together take about half an
hour.

`python benchmarks gpu --help` is about a GPU.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any

import cells
import derivatives
import gru
import memory
import ops
import startup
import training
from machine import describe
from turns import serve, table

SUITES: dict[str, Any] = {
    "ops": ops,
    "gru": gru,
    "cells": cells,
    "derivatives": derivatives,
    "train": training,
}
COSTS: dict[str, Callable[[Any], None]] = {
    "import": lambda options: startup.import_cost(options.turns),
    "chain": lambda options: startup.chain_cost(),
    "aux": lambda options: startup.aux_cost(),
    "memory": lambda options: memory.memory_cost(options.cases),
}


def main() -> None:
    """Run the suites that were asked for, or serve as the worker of one peer."""
    if sys.argv[1:] and sys.argv[1].partition("-")[0] == "gpu":
        import gpu

        sys.exit(gpu.main(sys.argv[1:]))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    every = [*SUITES, *COSTS]
    parser.add_argument(
        "what", nargs="*", metavar="SUITE", default=every, help=f"{', '.join(every)} (default: all)"
    )
    parser.add_argument("--turns", type=int, default=5, help="default %(default)s")
    parser.add_argument("--peers", nargs="*", help="only these")
    parser.add_argument("--cases", nargs="*", help="only the cases whose names contain one of these")
    parser.add_argument("--worker", nargs=3, metavar=("SUITE", "PEER", "CASE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if [os.environ.pop(name) for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE") if name in os.environ]:
        os.execv(sys.executable, sys.orig_argv)  # NumPy has read them by now
    if options.worker:
        suite, peer, case = options.worker
        serve(SUITES[suite].PEERS[peer](case))
        return
    print(describe(), flush=True)
    for name in options.what:
        if name in SUITES:
            table(name, SUITES[name], options)
        elif name in COSTS:
            COSTS[name](options)
        else:
            parser.error(f"nothing is called {name!r}; there are {', '.join(every)}")


if __name__ == "__main__":
    main()
