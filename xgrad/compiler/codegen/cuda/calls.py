"""Kernels for ops that are neither maps nor matrix products: gathers, scatters and others.

`write(call, buffers)` returns the maps and kernels that compute a call, in order. `KERNELS` lists each op
that has some, with the condition on its operands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ...lowering.plan import Buffer, Call, Map
from . import along, indexing
from .maps import Kernel


class Entry(NamedTuple):
    """How to write a call, and whether its argument and result dtypes allow it."""

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
    """Whether a call has kernels, given the dtypes of its arguments (None for numbers) and results."""
    entry = KERNELS.get(call.op)
    return entry is not None and entry.takes(call, dtypes)
