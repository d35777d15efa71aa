"""Fewer launches: maps that share a kernel, and reductions split to use the whole chip."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from ...lowering.plan import Buffer, Loop, Map, Plan, Reduction, Ref
from ...lowering.views import contiguous, may_overlap, refs, with_refs
from .elements import folded_axes
from .expressions import sum_dtype

#: The number of elements that one thread may fold before a reduction is split.
_ENOUGH = 64
_MOST_PARTS = 128


def split(plan: Plan, threads: int) -> Plan:
    """Split each large reduction with few results into two maps.

    The first computes partial results with `threads` threads, the second folds these.
    """
    buffers = list(plan.buffers)

    def divided(m: Map) -> list[Map]:
        if len(m.reductions) != 1:
            return [m]
        (r,) = m.reductions
        axis = next((a for a, (n, s) in enumerate(zip(m.shape, r.out.strides)) if s == 0 and n != 1), None)
        if axis is None:
            return [m]
        kept = tuple(a for a, (n, s) in enumerate(zip(m.shape, r.out.strides)) if s != 0 or n == 1)
        results = prod(m.shape[a] for a in kept)
        folded = prod(m.shape) // max(results, 1)
        goal = min(_MOST_PARTS, threads // max(results, 1), folded // _ENOUGH)
        parts = max((d for d in range(1, min(goal, m.shape[axis]) + 1) if m.shape[axis] % d == 0), default=1)
        if parts < 2:
            return [m]
        dtype = buffers[r.out.buffer].dtype
        buffers.append(Buffer("scratch", parts * results, sum_dtype(dtype)))
        whole = contiguous(len(buffers) - 1, (parts, *(m.shape[a] for a in kept)), len(r.out.steps))
        along = dict(zip(kept, whole.strides[1:]))
        strides = [
            s
            for a in range(len(m.shape))
            for s in ([whole.strides[0], 0] if a == axis else [along.get(a, 0)])
        ]
        apart = _reshaped(m, axis, parts)
        first = apart._replace(
            reductions=(r._replace(out=whole._replace(shape=apart.shape, strides=tuple(strides))),)
        )
        out = r.out._replace(shape=whole.shape, strides=(0, *(r.out.strides[a] for a in kept)))
        return [first, Map(whole.shape, ((0, whole),), (), (), (Reduction(0, r.kind, out),))]

    def items(body: Sequence[Any]) -> tuple[Any, ...]:
        found: list[Any] = []
        for item in body:
            found += (
                divided(item)
                if isinstance(item, Map)
                else [item._replace(body=items(item.body))]
                if isinstance(item, Loop)
                else [item]
            )
        return tuple(found)

    body = items(plan.body)
    return Plan(tuple(buffers), body)


def _reshaped(m: Map, axis: int, parts: int) -> Map:
    """Split one axis of the map in two, the outer one of length `parts`."""
    length = m.shape[axis] // parts

    def of(ref: Ref) -> Ref:
        s = ref.strides[axis]
        return ref._replace(
            shape=shape, strides=(*ref.strides[:axis], s * length, s, *ref.strides[axis + 1 :])
        )

    shape = (*m.shape[:axis], parts, length, *m.shape[axis + 1 :])
    return with_refs(m, of)._replace(shape=shape)


def grouped(body: Sequence[Any]) -> list[Any]:
    """Group the items of a plan: maps that share a kernel become a list."""
    found: list[Any] = []
    for item in _maps_early([_plain(item) if isinstance(item, Map) else item for item in body]):
        group = found[-1] if found and isinstance(found[-1], list) else None
        if isinstance(item, Map) and group is not None and (merged := _merged(group[-1], item)) is not None:
            group[-1] = merged
        elif isinstance(item, Map) and group is not None and _same_rows([*group, item]):
            group.append(item)
        else:
            found.append([item] if isinstance(item, Map) else item)
    return [list(map(_live, item)) if isinstance(item, list) else item for item in found]


def _plain(m: Map) -> Map:
    """Replace reductions that fold nothing by stores."""
    stores = tuple((r.value, r.out) for r in m.reductions if not folded_axes(r.out, m.shape))
    return m._replace(
        stores=(*m.stores, *stores), reductions=tuple(r for r in m.reductions if folded_axes(r.out, m.shape))
    )


def _live(m: Map) -> Map:
    """Remove a map's dead loads and steps."""
    needed = {v for v, _ in m.stores} | {r.value for r in m.reductions}
    steps = []
    for s in reversed(m.steps):
        if s.value in needed:
            steps.append(s)
            needed.update(int(a) for a, is_number in zip(s.args, s.literal) if not is_number)
    return m._replace(loads=tuple((v, r) for v, r in m.loads if v in needed), steps=tuple(reversed(steps)))


def _maps_early(body: Sequence[Any]) -> list[Any]:
    """Move each map as early as its reads and writes allow, to follow another map."""
    found: list[Any] = []
    for item in body:
        at = len(found)
        if isinstance(item, Map):
            for i in range(at - 1, -1, -1):
                if isinstance(found[i], Map) and found[i].shape == item.shape:
                    at = i + 1
                if _touch(found[i], item):
                    break
        found.insert(at, item)
    return found


def _touch(a: Any, b: Any) -> bool:
    """Whether one of two items writes a buffer that the other reads or writes."""
    (reads, writes), (others, written) = refs(a), refs(b)
    mine, theirs = {r.buffer for r in writes}, {r.buffer for r in written}
    return bool(mine & (theirs | {r.buffer for r in others}) or theirs & {r.buffer for r in reads})


def _merged(a: Map, b: Map) -> Map | None:
    """Merge two maps, if each element of the second only needs the first at the same index."""
    if a.shape != b.shape or a.reductions or b.reductions:
        return None
    written: dict[Ref, int] = {r: v for v, r in a.stores}
    touched = [*(r for _, r in b.loads), *(r for _, r in b.stores)]
    if any(_meet(r, w) for r in touched for w in written) or any(
        _meet(r, w) for _, r in a.loads for _, w in b.stores
    ):
        return None
    number = 1 + max([v for v, _ in a.loads] + [s.value for s in a.steps], default=-1)
    known = {r: v for v, r in a.loads} | written
    names: dict[int, int] = {}
    loads = list(a.loads)
    for v, r in b.loads:
        if r in known:
            names[v] = known[r]
        else:
            names[v], number = number, number + 1
            loads.append((names[v], r))
    steps = list(a.steps)
    same = {s[1:]: s.value for s in steps}
    for s in b.steps:
        moved = s._replace(
            args=tuple(x if is_number else names[int(x)] for x, is_number in zip(s.args, s.literal))
        )
        if moved[1:] in same:
            names[s.value] = same[moved[1:]]
        else:
            names[s.value], number = number, number + 1
            steps.append(moved._replace(value=names[s.value]))
            same[moved[1:]] = names[s.value]
    again = {r for _, r in b.stores}
    stores = [(v, r) for v, r in a.stores if r not in again] + [(names[v], r) for v, r in b.stores]
    return Map(a.shape, tuple(loads), tuple(steps), tuple(stores))


def _meet(a: Ref, b: Ref) -> bool:
    """Whether two refs may share an element at different indices of a map."""
    return a != b and may_overlap(a, b)


def _same_rows(maps: Sequence[Map]) -> bool:
    """Whether a team of threads can run all maps on one row at a time; one of them folds its rows."""
    rows = max((m.shape for m in maps), key=len)[:-1]
    folds = False
    for m in maps:
        if m.shape[:-1] != rows and m.shape != rows:
            return False
        for r in m.reductions:
            if folded_axes(r.out, m.shape) != [len(rows)] or m.shape == rows:
                return False
            folds = True
    last = maps[-1]
    mine = [r for _, r in last.loads], [*(r for _, r in last.stores), *(r.out for r in last.reductions)]
    for m in maps[:-1]:
        theirs = [r for _, r in m.loads], [*(r for _, r in m.stores), *(r.out for r in m.reductions)]
        pairs = [(a, b) for a in theirs[1] for b in (*mine[0], *mine[1])] + [
            (a, b) for a in theirs[0] for b in mine[1]
        ]
        if any(a.buffer == b.buffer and not _row_by_row(a, b, rows) for a, b in pairs):
            return False
    return folds


def _row_by_row(a: Ref, b: Ref, rows: tuple[int, ...]) -> bool:
    """Whether both refs use the same memory for each row, so that no row needs another row's data."""
    strides = [tuple(s for s, n in zip(r.strides, rows) if n != 1) for r in (a, b)]
    return strides[0] == strides[1] and 0 not in strides[0] and (a.offset, a.steps) == (b.offset, b.steps)
