"""Ops along one axis: which ones kernels can compute line by line, and where the lines are.

`known` holds the dtypes that a code generator can add and compare.
"""

from __future__ import annotations

from collections.abc import Collection
from math import prod
from typing import Any, NamedTuple

from .plan import Call, Ref
from .views import reshaped

#: The longest rows that kernels sort. They use insertion sort, whose work grows with the square.
LONGEST = 32


class Lines(NamedTuple):
    """The lines of `x` along `axis`, and their results in `out`: one per line, or one per element."""

    x: Ref
    out: Ref
    axis: int

    @property
    def length(self) -> int:
        """The number of elements in a line."""
        return self.x.shape[self.axis]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape without the axis."""
        return _without(self.x.shape, self.axis)

    def strides(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The strides of lines, and of their results, along the other axes."""
        x, out = self.x, self.out
        theirs = _without(out.strides, self.axis) if len(out.shape) == len(x.shape) else out.strides
        return _without(x.strides, self.axis), theirs


def _without(of: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return (*of[:axis], *of[axis + 1 :])


def lines(call: Call) -> Lines:
    """Return the lines that a call goes along. Without an axis all elements are one line."""
    (x,), (out,) = call.args, call.outs
    assert isinstance(x, Ref)
    if call.params["axis"] is None:
        flat = reshaped(x, (prod(x.shape),))
        assert flat is not None
        return Lines(flat, out._replace(shape=(), strides=()), 0)
    return Lines(x, out, call.params["axis"] % len(x.shape))


def _one(call: Call) -> bool:
    """Whether the call takes one array and returns one."""
    return len(call.args) == 1 and len(call.outs) == 1 and isinstance(call.args[0], Ref)


def can_accumulate(call: Call, dtypes: tuple[Any, ...], known: Collection[str]) -> bool:
    """Whether a cumulative op accumulates in the dtype of its result."""
    return _one(call) and {*dtypes} <= {*known} and call.params.get("axis") is not None


def can_choose(call: Call, dtypes: tuple[Any, ...], known: Collection[str]) -> bool:
    """Whether an argmax or argmin is along one axis, or over all elements of a contiguous array."""
    if not _one(call) or dtypes[0] not in known or dtypes[1] != "int64":
        return False
    x = call.args[0]
    assert isinstance(x, Ref)
    return prod(x.shape) > 0 and (
        call.params["axis"] is not None or reshaped(x, (prod(x.shape),)) is not None
    )


def can_sort(call: Call, dtypes: tuple[Any, ...], known: Collection[str]) -> bool:
    """Whether rows are short enough to be sorted by insertion."""
    if not _one(call) or dtypes[0] not in known:
        return False
    x = call.args[0]
    assert isinstance(x, Ref)
    return len(x.shape) > 0 and lines(call).length <= LONGEST
