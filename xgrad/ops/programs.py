"""Ops that run programs.

What they do is said where programs are known; of what the programs are made of, it is linear.
"""

from __future__ import annotations

from typing import NoReturn

from ..backends.types import Array, Namespace
from .scalars import HEAVY
from .table import op


def _declared(xp: Namespace, *x: Array) -> NoReturn:
    raise RuntimeError("this op runs programs: import xgrad, whose compiler says what it does")


# A body that is repeated through time.
SCAN = op("scan", _declared, variadic=True, linear="jointly", internal=True)

# A function that is computed again in the backward pass.
CHECKPOINT = op("checkpoint", _declared, variadic=True, linear="jointly", internal=True)

# A gate of the user's own, with its rules.
CUSTOM = op("custom", _declared, variadic=True, linear="jointly", internal=True)

# x, once y is there. In the backward pass it marks what is computed again: that is not kept from the forward
# pass. It takes no work, but is never computed again itself: it would wait for what comes after.
AFTER = op("after", lambda xp, x, y: x, dx=lambda dz: dz, analytic=True, view=True, cost=HEAVY, internal=True)
