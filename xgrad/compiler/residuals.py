"""Residuals: the forward values that the backward pass keeps, and those that it recomputes."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any, NamedTuple

from .trace import Traced
from .variables import Var

#: The longest chain of cheap ops that the backward pass recomputes from available operands instead of keeping
#: the result.
LONGEST = 4


class Joint(NamedTuple):
    """One trace of a body and of a sweep through it.

    A reverse sweep goes from outputs to inputs, a forward sweep from inputs to outputs.

    Attributes:
        traced: both of them. Its outputs are those of the sweep.
        last: the index of the last variable of the body; later ones are the sweep's.
        outputs: those of the body.
        given: the cotangents or tangents that the sweep begins with, by position.
        found: those that it ends with, by position.
        sums: by position, for a gradient accumulated over the steps: the sum before this step and after it.
    """

    traced: Traced
    last: int
    outputs: list[Any]
    given: dict[int, Var]
    found: dict[int, Var]
    sums: dict[int, tuple[Var, Var]]


def residuals(joint: Joint, carries: int, xs: int) -> list[Var]:
    """Return the residuals: forward values that the reverse sweep needs and cannot cheaply recompute.

    It recomputes from slices of the loop's inputs and from values that are the same at every step; a carry
    has to be kept like any other value.
    """
    tracer, inputs = joint.traced.tracer, joint.traced.inputs
    written = {out: (op, operands) for op, operands, _, outputs, _ in tracer.written for out in outputs}
    useful = tracer.ancestors(joint.found.values())
    back = set(joint.given.values())
    for out, (_, operands) in written.items():
        if not back.isdisjoint(v for v in operands if type(v) is Var):
            back.add(out)
    needed: dict[Var, None] = {}
    for out, (_, operands) in reversed(written.items()):
        # ops of the sweep on forward values alone are recomputed there: what has to be kept is their operands
        if out in useful and (out in back or (out in needed and out.index > joint.last)):
            needed.update((v, None) for v in operands if type(v) is Var and v not in back)
    needed = {v: None for v in sorted(needed, key=lambda v: v.index) if v.index <= joint.last}
    starts = set(inputs[:carries])
    steady = set(inputs) - set(inputs[: carries + xs])
    for out, (_, operands) in written.items():
        if all(v in steady for v in operands if type(v) is Var):
            steady.add(out)
    kept = {v for v in needed if v in written and v not in steady and not written[v][0].kernel.cheap}
    at_hand = kept | steady
    for v in needed:
        found = _recomputed(v, written, at_hand, starts)
        at_hand |= {v} if found is None else found
        kept |= {v} if found is None else found
    kept |= starts & tracer.ancestors(joint.found.values(), kept)
    return sorted(kept, key=lambda v: v.index)


def _recomputed(
    v: Any, written: Mapping[Var, Any], at_hand: Set[Var], starts: Set[Var], depth: int = 0
) -> set[Var] | None:
    """Return the carries that recomputing `v` needs; None if it cannot be recomputed."""
    if type(v) is not Var or v in at_hand or v not in written:
        return {v} & starts
    op, operands = written[v]
    if not op.kernel.cheap or depth == LONGEST:
        return None
    parts = [_recomputed(u, written, at_hand, starts, depth + 1) for u in operands]
    return None if None in parts else set().union(*(p for p in parts if p))
