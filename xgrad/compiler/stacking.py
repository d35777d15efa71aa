"""Products of neighbouring rows as one product, such as the weight gradients of all gates of a cell."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from .lowering.plan import Buffer, Gemm, Plan, Ref
from .lowering.views import is_contiguous, product_can_read, refs, renamed


def stacked(plan: Plan, outputs: Sequence[Ref]) -> tuple[Plan, tuple[Ref, ...]]:
    """Rewrite a @ c and b @ c as [a; b] @ c where a and b are adjacent in memory.

    Returns the plan and where its outputs are.
    """
    buffers, found = list(plan.buffers), list(outputs)
    body: list[Any] = list(plan.body)
    i = 0
    while i < len(body):
        j = next((j for j in range(i + 1, len(body)) if _follows(body, i, j, buffers)), None)
        if j is None:
            i += 1
            continue
        first, second = body[i], body.pop(j)
        upper, lower = sorted((first, second), key=lambda g: g.a.offset)
        size = prod(upper.out.shape)
        kind = "output" if "output" in {buffers[g.out.buffer].kind for g in (upper, lower)} else "scratch"
        buffers.append(Buffer(kind, size + prod(lower.out.shape), buffers[upper.out.buffer].dtype))
        whole = len(buffers) - 1
        shape = (upper.out.shape[0] + lower.out.shape[0], upper.out.shape[1])
        out = upper.out._replace(buffer=whole, shape=shape, strides=(shape[1], 1))
        body[i] = upper._replace(out=out, a=upper.a._replace(shape=(shape[0], upper.a.shape[1])))
        for gemm, offset in ((upper, 0), (lower, size)):
            old = gemm.out.buffer
            buffers[old] = Buffer("scratch", 0, buffers[old].dtype)
            body = [renamed(item, old, whole, offset) for item in body]
            found = [
                r._replace(buffer=whole, offset=r.offset + offset) if r.buffer == old else r for r in found
            ]
    return Plan(tuple(buffers), tuple(body)), tuple(found)


def _follows(body: Sequence[Any], i: int, j: int, buffers: Sequence[Buffer]) -> bool:
    """Whether two items are products that can be merged, and the second may run with the first."""
    a, b = body[i], body[j]
    if not (_is_plain(a, buffers) and _is_plain(b, buffers)) or a.b != b.b or a.out.buffer == b.out.buffer:
        return False
    upper, lower = sorted((a, b), key=lambda g: g.a.offset)
    beside = lower.a.buffer == upper.a.buffer and lower.a.strides == upper.a.strides
    rows = upper.a.shape[0]
    if not beside or lower.a.offset != upper.a.offset + rows * upper.a.strides[0]:
        return False
    # a single row may have any stride
    if not product_can_read(upper.a._replace(shape=(rows + lower.a.shape[0], upper.a.shape[1]))):
        return False
    between = [refs(item) for item in body[i + 1 : j]]
    mine = {b.a.buffer, b.b.buffer}
    return not any(
        {w.buffer for w in writes} & mine or b.out.buffer in {r.buffer for r in (*reads, *writes)}
        for reads, writes in between
    )


def _is_plain(item: Any, buffers: Sequence[Buffer]) -> bool:
    """Whether this is a product of two matrices that fills a buffer of its own."""
    if not isinstance(item, Gemm) or item.accumulate or len(item.out.shape) != 2:
        return False
    out = item.out
    return (
        buffers[out.buffer].kind != "input"
        and out.offset == 0
        and buffers[out.buffer].size == prod(out.shape)
        and is_contiguous(out)
    )
