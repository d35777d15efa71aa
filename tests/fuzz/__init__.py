"""Random programs, and every way to run them.

`programs` writes them, `ways` runs them, and `python -m tests.fuzz` runs many. `plain` is the reference
without xgrad. `templates` and `loops` define the contents of a program, `kinds` the values and derivatives
that are computed.
"""

from __future__ import annotations

import random

#: From this number on, programs are full of ops that are neither maps nor plain products: gathers,
#: assignments by index arrays, sorts, einsum, decompositions.
CALLS = 2**31


def numbers_of(seed: int, count: int) -> list[int]:
    """Return the program numbers of a run: every second one is from CALLS on."""
    r = random.Random(seed)
    return [r.getrandbits(31) + i % 2 * CALLS for i in range(count)]
