"""The table of docs/27-order-and-cost.md: `python docs/cost.py` measures fprop and bprop of random graphs."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

import numpy as np

import xgrad as xg

NODES = (10, 100, 1_000, 10_000, 100_000)


def random_graph(nodes: int, seed: int = 0) -> Callable[[xg.Tensor, xg.Tensor], xg.Tensor]:
    """Return a function of x and y with this many gates, each fed by the last value and one of the 8 before.

    The gates are tanh, * and maximum, so that all values stay between -1 and 1.
    """
    rng = np.random.default_rng(seed)
    gates = list(
        zip(rng.integers(3, size=nodes).tolist(), rng.integers(2, 10, size=nodes).tolist(), strict=True)
    )

    def f(x: xg.Tensor, y: xg.Tensor) -> xg.Tensor:
        values = [x, y]
        for gate, back in gates:
            last, earlier = values[-1], values[max(-back, -len(values))]
            if gate == 0:
                values.append(xg.tanh(last))
            elif gate == 1:
                values.append(last * earlier)
            else:
                values.append(xg.maximum(last, earlier))
        return values[-1]

    return f


def milliseconds(nodes: int) -> tuple[float, float]:
    """Return the CPU time of fprop, and of fprop and bprop together: the best of several runs.

    Python's garbage collector is off, as in `timeit`: its passes over all living objects cost more the more
    nodes there are.
    """
    f = random_graph(nodes)
    x, y = (xg.tensor(v, requires_grad=True) for v in (0.5, -0.3))
    times = []
    gc.collect()
    gc.disable()
    for _ in range(max(5, 20_000 // nodes)):
        start = time.process_time_ns()
        z = f(x, y)
        middle = time.process_time_ns()
        z.backward()
        times.append((middle - start, time.process_time_ns() - start))
    gc.enable()
    fprop, both = (min(column) / 1e6 for column in zip(*times, strict=True))
    return fprop, both


def main() -> None:
    """Print the table in Markdown."""
    print("| nodes | fprop, ms | fprop and bprop, ms | ratio |\n|---|---|---|---|")
    for nodes in NODES:
        fprop, both = milliseconds(nodes)
        print(f"| {nodes:,} | {fprop:,.3g} | {both:,.3g} | {both / fprop:.1f} |")


if __name__ == "__main__":
    main()
