"""Random programs, and every way to run them: see `programs` for what they are, `ways` for how they are run,
`python -m tests.fuzz` for many.

`plain` is the reference with nothing of xgrad in it, `templates` and `loops` are what a program can have,
`kinds` what is asked of it.
"""

from __future__ import annotations

import random


def numbers_of(seed: int, count: int) -> list[int]:
    """The numbers of the programs of a run."""
    r = random.Random(seed)
    return [r.getrandbits(31) for _ in range(count)]
