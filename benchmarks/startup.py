"""What it costs to begin, and what a very long graph costs."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

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


def _seconds(code: str) -> float:
    """A whole process, which may keep its bytecode as an installed one does."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    return time.perf_counter() - start


def import_cost(turns: int) -> None:
    """What `import xgrad` adds to `import numpy`, whole processes in turn."""
    _seconds("import numpy, xgrad")
    pairs = [(_seconds("import numpy"), _seconds("import numpy, xgrad")) for _ in range(2 * turns)]
    added = statistics.median(b - a for a, b in pairs)
    print(f"\nimport xgrad adds {added:.3f} s to import numpy, which takes {statistics.median(a for a, _ in pairs):.3f} s", flush=True)


def chain_cost() -> None:
    """A chain of a million additions."""
    n = 1_000_000
    result = subprocess.run([sys.executable, "-c", CHAIN.format(n=n)], check=True, capture_output=True, text=True)
    forward, backward, kilobytes = map(float, result.stdout.split())
    print(f"\na chain of {n:,} nodes: {forward:.1f} s forward, {backward:.1f} s backward, {kilobytes * 1024 / n:.0f} bytes a node", flush=True)
