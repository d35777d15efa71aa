"""Kernels in LLVM IR for ops that are neither maps nor matrix products: gathers, scatters and others.

A kernel is a function `write(kernel)` that takes a `Kernel` and writes loops over its operands. Each op that
has one is named in `KERNELS`, with what says whether it is for such operands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ....lowering.plan import Call
from . import along, cholesky, indexing, lu, qr
from .nest import Kernel
from .rows import are_small


class Entry(NamedTuple):
    """How an op is written, and whether it can be, of a call and the dtypes of its arguments and results."""

    write: Callable[[Kernel], None]
    takes: Callable[[Call, tuple[str | None, ...]], bool]


KERNELS: Mapping[str, Entry] = {
    "take": Entry(indexing.gather, indexing.can_index),
    "getitem": Entry(indexing.gather, indexing.can_index),
    "untake": Entry(indexing.scatter_add, indexing.can_index),
    "scatter": Entry(indexing.scatter_add, indexing.can_index),
    "setitem": Entry(indexing.assign, indexing.can_index),
    "cumulative_sum": Entry(along.accumulate, along.can_accumulate),
    "cumulative_prod": Entry(along.accumulate, along.can_accumulate),
    "argmax": Entry(along.choose, along.can_choose),
    "argmin": Entry(along.choose, along.can_choose),
    "sort": Entry(along.sort, along.can_sort),
    "argsort": Entry(along.argsort, along.can_sort),
    "solve": Entry(lu.solve, are_small),
    "inv": Entry(lu.inv, are_small),
    "det": Entry(lu.det, are_small),
    "slogdet": Entry(lu.slogdet, are_small),
    "cofactor": Entry(lu.cofactor, are_small),
    "cholesky": Entry(cholesky.cholesky, are_small),
    "qr": Entry(qr.qr, are_small),
}


def has_kernel(call: Call, dtypes: tuple[Any, ...]) -> bool:
    """Whether there is a kernel for a call, given the dtypes of its arguments (None for numbers) and
    results."""
    entry = KERNELS.get(call.op)
    return entry is not None and entry.takes(call, dtypes)


__all__ = ["KERNELS", "Kernel", "has_kernel"]
