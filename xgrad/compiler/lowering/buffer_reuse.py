"""Buffer reuse: one buffer for values that are not live at the same time."""

from __future__ import annotations

from collections.abc import Mapping

from .plan import Plan
from .views import refs, renamed


def shared_memory(plan: Plan, like: Mapping[int, int] | None = None) -> tuple[Plan, dict[int, int]]:
    """Return the plan with scratch buffers shared and unused ones emptied, and which buffer replaces which.

    Two values share a buffer if they are not live at the same time, and have about the same size; with
    `like`, where those of a plan of the same program for another length do.
    """
    found: dict[int, int] = {}
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
        fitting = [b for b in free if buffers[b].dtype == buffers[old].dtype]
        if like is not None:
            fitting = [b for b in fitting if b == like.get(old)]
        else:
            size = buffers[old].size
            fitting = [b for b in fitting if size <= buffers[b].size <= 2 * size]
        if not fitting:
            ends[old] = last[old]
            continue
        new = found[old] = min(fitting, key=lambda b: buffers[b].size)
        buffers[new] = buffers[new]._replace(size=max(buffers[old].size, buffers[new].size))
        free.remove(new)
        ends[new] = last[old]
        for i in range(first[old], last[old] + 1):
            body[i] = renamed(body[i], old, new)
        buffers[old] = buffers[old]._replace(size=0)
    for b, buffer in enumerate(buffers):
        if buffer.kind == "scratch" and b not in first:
            buffers[b] = buffer._replace(size=0)
    return Plan(tuple(buffers), tuple(body)), found
