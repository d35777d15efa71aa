"""Kernels in LLVM IR for ops that are neither maps nor matrix products: gathers, scatters and others.

A kernel is a function `write(kernel)` that takes a `Kernel` and writes loops over its operands. `KERNELS`
lists each op that has one, with the condition on its operands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ....lowering.along import LONGEST as LONGEST_ROW
from ....lowering.plan import Call
from . import along, cholesky, determinants, indexing, lu, qr
from .nest import Kernel
from .rows import LONGEST, are_small


class Entry(NamedTuple):
    """How to write a call, and whether its argument and result dtypes allow it.

    `condition` describes in words the operands that have a kernel.
    """

    write: Callable[[Kernel], None]
    takes: Callable[[Call, tuple[str | None, ...]], bool]
    condition: str = ""


_INDEXED, _ALONG = "index arrays of integers", "along one axis"
_SHORT = f"rows up to {LONGEST_ROW}"
_SMALL = f"matrices up to {LONGEST} x {LONGEST}"

KERNELS: Mapping[str, Entry] = {
    "take": Entry(indexing.gather, indexing.can_index, _INDEXED),
    "getitem": Entry(indexing.gather, indexing.can_index, _INDEXED),
    "untake": Entry(indexing.scatter_add, indexing.can_index, _INDEXED),
    "scatter": Entry(indexing.scatter_add, indexing.can_index, _INDEXED),
    "setitem": Entry(indexing.assign, indexing.can_index, _INDEXED),
    "cumulative_sum": Entry(along.accumulate, along.can_accumulate, _ALONG),
    "cumulative_prod": Entry(along.accumulate, along.can_accumulate, _ALONG),
    "sort": Entry(along.sort, along.can_sort, _SHORT),
    "argsort": Entry(along.argsort, along.can_sort, _SHORT),
    "searchsorted": Entry(along.search, along.can_search, "elements of one dtype"),
    "solve": Entry(lu.solve, are_small, _SMALL),
    "inv": Entry(lu.inv, are_small, _SMALL),
    "det": Entry(determinants.det, are_small, _SMALL),
    "slogdet": Entry(determinants.slogdet, are_small, _SMALL),
    "cofactor": Entry(determinants.cofactor, are_small, _SMALL),
    "cholesky": Entry(cholesky.cholesky, are_small, _SMALL),
    "qr": Entry(qr.qr, are_small, _SMALL),
}


def has_kernel(call: Call, dtypes: tuple[Any, ...]) -> bool:
    """Whether a call has a kernel, given the dtypes of its arguments (None for numbers) and results."""
    entry = KERNELS.get(call.op)
    return entry is not None and entry.takes(call, dtypes)


__all__ = ["KERNELS", "Kernel", "has_kernel"]
