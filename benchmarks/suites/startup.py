"""Cost of the import, of a very long graph, and of very many outputs."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from ..harness.worker import environment

CHAIN = """
import time, resource, xgrad as xg
x = xg.tensor(1.0, requires_grad=True)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.perf_counter()
z = x
for _ in range({n}):
    z = z + 1.0
middle = time.perf_counter()
z.backward()
end = time.perf_counter()
print(middle - start, end - middle, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""

AUX = """
import time, xgrad as xg

def loss(x):
    kept = []
    for _ in range({n}):
        x = x * 0.999 + 0.001
        kept.append(x)
    return xg.sum(x), kept

alone, beside = xg.grad(lambda x: loss(x)[0]), xg.grad(loss, has_aux=True)

def seconds(f):
    start = time.perf_counter()
    f(xg.ones(16))
    return time.perf_counter() - start

pairs = [(seconds(alone), seconds(beside)) for _ in range(20)]
print(*map(min, zip(*pairs)))
"""


def _seconds(code: str) -> float:
    """Time of a whole process, with cached bytecode as in an installed package."""
    env = environment("cpu")
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    start = time.perf_counter()
    subprocess.run([sys.executable, "-P", "-c", code], check=True, env=env)
    return time.perf_counter() - start


def _printed(code: str) -> list[float]:
    """The numbers printed by a separate process."""
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment("cpu"))
    return [float(word) for word in done.stdout.split()]


def import_cost(turns: int) -> None:
    """Cost of `import xgrad` beyond `import numpy`, from alternating whole processes."""
    _seconds("import numpy, xgrad")
    pairs = [(_seconds("import numpy"), _seconds("import numpy, xgrad")) for _ in range(2 * turns)]
    added = statistics.median(b - a for a, b in pairs)
    print(
        f"\nimport xgrad adds {added:.3f} s to import numpy, which takes "
        f"{statistics.median(a for a, _ in pairs):.3f} s",
        flush=True,
    )


def chain_cost() -> None:
    """Cost of a chain of a million additions."""
    n = 1_000_000
    forward, backward, kilobytes = _printed(CHAIN.format(n=n))
    print(
        f"\na chain of {n:,} nodes: {forward:.1f} s forward, {backward:.1f} s backward, "
        f"{kilobytes * 1024 / n:.0f} bytes a node",
        flush=True,
    )


def aux_cost() -> None:
    """Cost of a gradient with and without many auxiliary outputs."""
    n = 2_000
    alone, beside = _printed(AUX.format(n=n))
    print(
        f"\na gradient of {2 * n:,} ops: {1e3 * alone:.1f} ms, {beside / alone:.2f} times that with "
        f"{n:,} outputs in has_aux",
        flush=True,
    )
