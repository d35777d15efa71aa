"""Buffer reuse: one buffer for values that are not live at the same time."""

from __future__ import annotations

from .plan import Plan
from .views import refs, renamed


def shared_memory(plan: Plan) -> Plan:
    """Return the plan with scratch buffers shared, and unused ones emptied.

    Two values share a buffer if they are not live at the same time.
    """
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for i, item in enumerate(plan.body):
        reads, writes = refs(item)
        for ref in (*reads, *writes):
            first.setdefault(ref.buffer, i)
            last[ref.buffer] = i
    body, buffers = list(plan.body), list(plan.buffers)
    free: list[int] = []
    ends: dict[int, int] = {}
    for old in sorted((b for b in first if buffers[b].kind == "scratch"), key=first.__getitem__):
        for kept in [b for b, end in ends.items() if end < first[old]]:
            free.append(kept)
            del ends[kept]
        fitting = [
            b
            for b in free
            if buffers[b].dtype == buffers[old].dtype
            and buffers[old].size <= buffers[b].size <= 2 * buffers[old].size
        ]
        if not fitting:
            ends[old] = last[old]
            continue
        new = min(fitting, key=lambda b: buffers[b].size)
        free.remove(new)
        ends[new] = last[old]
        for i in range(first[old], last[old] + 1):
            body[i] = renamed(body[i], old, new)
        buffers[old] = buffers[old]._replace(size=0)
    for b, buffer in enumerate(buffers):
        if buffer.kind == "scratch" and b not in first:
            buffers[b] = buffer._replace(size=0)
    return Plan(tuple(buffers), tuple(body))
