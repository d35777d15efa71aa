"""Parallel copy: at the end of a step, all carries take their next values at once.

Whether a next value can be computed in the carry's own memory, so that no copy is needed, is the question of
copy coalescing. The remaining copies are put in an order, with cycles broken by a temporary. Compilers do
both when they leave SSA form.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..ir import Number
from .plan import Map, Ref
from .views import may_overlap, refs

#: A source, which may be a number, and a target.
Move = tuple[Ref | Number, Ref]


def interfere(items: Sequence[Any], new: Ref, old: Ref) -> bool:
    """Whether the value computed at `new` by a loop's body must not be computed at `old`.

    That is so if `old` is still read after parts of it have been overwritten. `new` and `old` are whole
    buffers with the same layout.
    """
    written: list[Ref] = []
    for item in items:
        reads, writes = refs(item)
        if any(w.buffer == old.buffer for w in writes):
            return True
        stored = [r for _, r in item.stores] if isinstance(item, Map) else []
        begun = [w._replace(buffer=old.buffer) for w in writes if w.buffer == new.buffer]
        # a map reads an element before it stores to the same place; any other item may read it again later
        harmless = {
            w._replace(buffer=old.buffer) for w in stored if w.buffer == new.buffer and writes.count(w) == 1
        }
        for r in (r for r in reads if r.buffer == old.buffer):
            if any(may_overlap(r, w) for w in written):
                return True
            if any(may_overlap(r, w) and not (r == w and w in harmless) for w in begun):
                return True
        written += begun
    return not written


def in_order(moves: Sequence[Move], aside: Callable[[Ref], Ref]) -> list[Move]:
    """Order the moves into sequential copies that have the effect of a simultaneous move.

    `aside` allocates memory for a temporary copy of a place.
    """
    pending = [m for m in moves if m[0] != m[1]]
    found: list[Move] = []
    while pending:
        ready = next((m for m in pending if not any(_reads(other, m[1]) for other in pending)), None)
        if ready is not None:
            found.append(ready)
            pending.remove(ready)
            continue
        i, source = next(
            (i, s)
            for i, (s, _) in enumerate(pending)
            if isinstance(s, Ref) and any(may_overlap(s, t) for _, t in pending)
        )
        copy = aside(source)
        found.append((source, copy))
        pending[i] = (copy, pending[i][1])
    return found


def _reads(move: Move, target: Ref) -> bool:
    source, _ = move
    return isinstance(source, Ref) and may_overlap(source, target)
