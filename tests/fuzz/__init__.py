"""Random programs, and every way to run them: see `programs` for what they are, `ways` for how they are run,
`python -m tests.fuzz` for many.

`plain` is the reference with nothing of xgrad in it, `templates` and `loops` are what a program can have,
`kinds` what is asked of it.
"""

from __future__ import annotations

import random

#: Programs of numbers from this one on are full of ops that are neither maps nor plain products: gathers,
#: assignments by index arrays, sorts, einsum, decompositions.
CALLS = 2**31


def numbers_of(seed: int, count: int) -> list[int]:
    """The numbers of the programs of a run: every second one is of the second sort."""
    r = random.Random(seed)
    return [r.getrandbits(31) + i % 2 * CALLS for i in range(count)]
