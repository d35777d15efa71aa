"""xgrad beside its peers, in one run: `make bench`, or `python benchmarks [ops] [gru] [import] [chain] [--turns N] [--peers ...]`.

Each peer runs in a process of its own, and the processes take turns, since idle thread pools slow their neighbours down
inside one process and a shared machine changes its speed from minute to minute. A figure is the median over the turns of
each turn's best run. OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE are taken out of the environment: with them a machine measures
kernels that are not its own.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

import gru
import ops
import startup
from machine import describe
from turns import serve, table

SUITES: dict[str, Any] = {"ops": ops, "gru": gru}


def main() -> None:
    """Run the suites that were asked for, or serve as the worker of one peer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=["ops", "gru", "import", "chain"], help="ops, gru, import, chain (default: all)")
    parser.add_argument("--turns", type=int, default=5, help="default %(default)s")
    parser.add_argument("--peers", nargs="*", help="only these")
    parser.add_argument("--cases", nargs="*", help="only the cases whose names contain one of these")
    parser.add_argument("--worker", nargs=3, metavar=("SUITE", "PEER", "CASE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        os.environ.pop(name, None)
    if options.worker:
        suite, peer, case = options.worker
        serve(SUITES[suite].PEERS[peer](case))
        return
    print(describe(), flush=True)
    for name in options.what:
        if name in SUITES:
            table(name, SUITES[name], options)
        elif name in ("import", "chain"):
            getattr(startup, f"{name}_cost")(options.turns)
        else:
            parser.error(f"nothing is called {name!r}; there are ops, gru, import, chain")


if __name__ == "__main__":
    main()
