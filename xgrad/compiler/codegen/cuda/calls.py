"""Kernels for ops that are neither maps nor matrix products: gathers, scatters and others.

`write(call, buffers)` gives the maps and kernels that compute a call, in order. Each op that has some is
named in `KERNELS`, with what says whether they are for such operands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ...lowering.plan import Buffer, Call, Map
from . import along, indexing
from .maps import Kernel


class Entry(NamedTuple):
    """How an op is written, and whether it can be, of a call and the dtypes of its arguments and results."""

    write: Callable[[Call, Sequence[Buffer]], list[Map | Kernel]]
    takes: Callable[[Call, tuple[Any, ...]], bool]


KERNELS: Mapping[str, Entry] = {
    "take": Entry(indexing.gather, indexing.can_gather),
    "getitem": Entry(indexing.gather, indexing.can_gather),
    "untake": Entry(indexing.scatter_add, indexing.can_add),
    "scatter": Entry(indexing.scatter_add, indexing.can_add),
    "setitem": Entry(indexing.assign, indexing.can_assign),
    "cumulative_sum": Entry(along.accumulate, along.can_accumulate),
    "cumulative_prod": Entry(along.accumulate, along.can_accumulate),
    "argmax": Entry(along.choose, along.can_choose),
    "argmin": Entry(along.choose, along.can_choose),
    "sort": Entry(along.sort, along.can_sort),
    "argsort": Entry(along.sort, along.can_sort),
}


def has_kernel(call: Call, dtypes: tuple[Any, ...]) -> bool:
    """Whether there are kernels for a call, given the dtypes of its arguments (None for numbers) and
    results."""
    entry = KERNELS.get(call.op)
    return entry is not None and entry.takes(call, dtypes)
