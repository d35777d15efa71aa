"""Declarations of the ops that run programs.

The compiler, which knows programs, implements them.
"""

from __future__ import annotations

from typing import NoReturn

from ..backends.types import Array, Namespace
from .scalars import HEAVY
from .table import op


def _declared(xp: Namespace, *x: Array) -> NoReturn:
    raise RuntimeError("this op runs a program, and the compiler implements it: import xgrad first")


# Repeats a body through time.
SCAN = op("scan", _declared, variadic=True, linear="jointly", internal=True)

# Runs a function that is computed again in the backward pass.
CHECKPOINT = op("checkpoint", _declared, variadic=True, linear="jointly", internal=True)

# Runs a user's gate, with its rules.
CUSTOM = op("custom", _declared, variadic=True, linear="jointly", internal=True)

# x, after y has been computed. In the backward pass it marks values that are recomputed instead of kept from
# the forward pass. It takes no work, but its cost is HEAVY so that it is never recomputed itself: it would
# then wait for a later value.
AFTER = op("after", lambda xp, x, y: x, dx=lambda dz: dz, analytic=True, view=True, cost=HEAVY, internal=True)
