"""Compare xgrad with its peers.

Run `make bench`, or `python benchmarks [SUITE ...] [--turns N] [--peers ...] [--cases ...] [--busy]`.

    ops          the cost of one op                      import   the cost of `import xgrad`
    gru          one GRU, also by hand, and in peers     chain    a graph of a million nodes
    variants     variants of LSTM and GRU, in peers      memory   bytes in use, and of the loop by hand
    cells        a hundred cells from papers, and JAX    aux      2,000 auxiliary outputs
    derivatives  f, grad, jvp, hvp                       train    a training step of examples/train.py
    lengths      a GRU over batches of unequal lengths

Words after a suite select the cases whose names contain one of them: `python benchmarks cells lstm kalman`.

Each peer runs in its own process, since idle thread pools slow down others in the same process. The processes
take turns, since the speed of a shared machine changes from minute to minute. A figure is the median over
turns of the best run in each turn; with `--busy`, of the median run, first on the machine as it is, then
while as many other processes run as there are cores. OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE are removed from
the environment, as they would select kernels made for another machine. All suites together take more than an
hour, most of it for the cells.

For GPU benchmarks see `python benchmarks gpu --help`.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from .gpu import command as gpu
from .gpu.requests import server
from .harness.machine import cpu, describe
from .harness.server import Server, serve
from .harness.suite import compare
from .suites import COSTS, PEERS, SUITES


def main(arguments: list[str]) -> int:
    """Run the given suites or GPU part, or serve as the worker of a peer; return the exit status."""
    first = arguments[0] if arguments else ""
    if first == "worker":
        worker(*arguments[1:])
        return 0
    if first.partition("-")[0] == "gpu":
        return gpu.main(arguments)
    options = parse(arguments)
    if [os.environ.pop(name) for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE") if name in os.environ]:
        os.execv(sys.executable, sys.orig_argv)  # NumPy has already read them
    if options.cores:  # inherited by the peers' processes before their libraries start threads
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-options.cores :])
    print(describe(cpu()), flush=True)
    for name in options.suites:
        if name in SUITES:
            compare(name, SUITES[name], options.turns, options.peers, options.cases, options.busy)
        else:
            COSTS[name](options.turns, options.cases)
    return 0


def worker(suite: str, peer: str, device: str) -> None:
    """Serve requests for a peer of a CPU suite, or of any GPU part if the suite is "gpu"."""
    serve(server(peer, device) if suite == "gpu" else Server(PEERS[suite][peer]))


def parse(arguments: list[str]) -> Any:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    every = [*SUITES, *COSTS]
    parser.add_argument(
        "suites", nargs="*", metavar="SUITE", default=every, help=f"{', '.join(every)} (default: all)"
    )
    parser.add_argument("--turns", type=int, default=5, help="default %(default)s")
    parser.add_argument("--peers", nargs="*", help="only these")
    parser.add_argument("--cases", nargs="*", help="only the cases whose names contain one of these")
    parser.add_argument("--busy", action="store_true", help="also while other processes occupy all cores")
    parser.add_argument("--cores", type=int, help="only so many of the machine's cores, where it is busy")
    options = parser.parse_args(arguments)
    first, *others = options.suites
    parts = others if first in SUITES and not {*others} & {*every} else []
    if parts:
        options.suites, options.cases = [first], [*(options.cases or []), *parts]
    for name in options.suites:
        if name not in every:
            parser.error(f"nothing is called {name!r}; there are {', '.join(every)}")
    for part in parts:
        if not SUITES[first].chosen([part]):
            parser.error(f"no case of {first} is called {part!r}")
    return options
