"""How a loop's kernel distributes work over blocks, and where blocks synchronise."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Any, NamedTuple

from ...lowering.plan import Buffer, Call, Gemm, Loop, Map, Ref, Unsupported
from ...lowering.views import refs

#: The number of steps that show all the synchronisation a loop needs.
_TURNS = 4


class Access(NamedTuple):
    """An item's read or write of a buffer that the loop writes.

    In each row it touches `columns` elements, `apart` from each other. They lie among the `span` elements
    from `column` on, not always in this order. `slot` is the index of the first row, which advances by
    `per_turn` with each step. `owned` says that each block touches only its own columns; otherwise any block
    may touch any of them.
    """

    buffer: int
    slot: int
    per_turn: int
    column: int
    span: int
    columns: int
    apart: int
    owned: bool

    def at(self, t: int) -> Access:
        """Return the access at step `t`."""
        return self._replace(slot=self.slot + t * self.per_turn, per_turn=0)


class Part(NamedTuple):
    """Items of a loop that run without synchronisation in between: one product, or maps over the same rows.

    If `by_rows`, a warp computes a whole row; otherwise a block computes its own columns. `reads` and
    `writes` only cover buffers that the loop writes; `foreign` are the reads of what another block may have
    written.
    """

    item: Gemm | list[Map]
    by_rows: bool
    pieces: tuple[int, ...]  # for a product: the number of columns of each of its pieces
    reads: tuple[Access, ...]
    writes: tuple[Access, ...]
    foreign: frozenset[Ref] = frozenset()


def parts(items: Sequence[Any], rows: int, buffers: Sequence[Buffer]) -> list[Part]:
    """Group the items of a loop, as they are launched, into parts of its kernel.

    Raises Unsupported if its rows are not independent.
    """
    return _Parts(items, rows, buffers).found


def rows_of(items: Sequence[Any]) -> int:
    """Return the number of rows that all items share. Raises Unsupported if they differ."""
    found: set[int] = set()
    for item in items:
        if isinstance(item, Loop):
            raise Unsupported("a nested loop")
        if isinstance(item, Call):
            whose = "has kernels of its own" if item.kernel else "the array library computes"
            raise Unsupported(f"{item.op!r}, which {whose}")
        if isinstance(item, Gemm):
            if len(item.out.shape) != 2:
                raise Unsupported("a batched product")
            found.add(item.out.shape[0])
    if len(found) != 1:
        raise Unsupported("no products with the same number of rows")
    return found.pop()


class _Parts:
    def __init__(self, items: Sequence[Any], rows: int, buffers: Sequence[Buffer]) -> None:
        self.rows = rows
        flat = [single for item in items for single in (item if isinstance(item, list) else [item])]
        self.written = {r.buffer for item in flat for r in refs(item)[1]}
        self.strides: dict[int, int] = {}  # between the rows of written buffers
        self.steps: dict[int, int] = {}  # from step to step, for a single row
        self.edges: dict[int, set[int]] = {}  # columns of each buffer at which an access begins or ends
        for item in flat:
            for ref in (r for part in refs(item) for r in part):
                if ref.buffer in self.written:
                    self._note(self._by_rows(ref))
        found = [self._product(item) if isinstance(item, Gemm) else self._maps(item) for item in items]
        writes = [w for part in found for w in part.writes]
        self.found = [
            part._replace(foreign=frozenset(r for r in _read(part) if self._is_foreign(r, part, writes)))
            for part in found
        ]

    def _is_foreign(self, ref: Ref, part: Part, writes: Sequence[Access]) -> bool:
        """Whether a part's read at `ref` may, at some step, touch what another block has written."""
        if ref.buffer not in self.written:
            return False
        reads = (
            [a for a in part.writes if a.buffer == ref.buffer]
            if isinstance(part.item, Gemm)
            else self._touched([ref], not part.by_rows)
        )
        return any(
            clash(w._replace(slot=0, per_turn=0), a._replace(slot=0, per_turn=0))
            for w in writes
            for a in reads
        )

    def _by_rows(self, ref: Ref) -> Ref:
        """Return the ref with rows as its first axis."""
        if ref.shape[:1] == (self.rows,):
            return ref
        if self.rows == 1:
            return ref._replace(shape=(1, *ref.shape), strides=(0, *ref.strides))
        raise Unsupported(f"an array of shape {ref.shape} that does not fit {self.rows} rows")

    def shape(self, m: Map) -> tuple[int, ...]:
        """Return the shape of a map with rows as its first axis."""
        return m.shape if m.shape[:1] == (self.rows,) else (1, *m.shape)

    def _note(self, ref: Ref) -> None:
        """Record the memory layout of a buffer that the loop writes."""
        row = ref.strides[0]
        if self.rows == 1:
            row = 0
            if self.steps.setdefault(ref.buffer, ref.steps[-1]) != ref.steps[-1]:
                raise Unsupported(
                    "rows that change with the time step, and rows that do not, in the same memory"
                )
        elif row <= 0 or self.strides.setdefault(ref.buffer, row) != row:
            raise Unsupported("rows that depend on each other")
        column, span = self._columns(ref)
        if row and column + span > row:
            raise Unsupported("rows that overlap")
        self.edges.setdefault(ref.buffer, set()).update((column, column + span))

    def _columns(self, ref: Ref) -> tuple[int, int]:
        """Return the column at which the elements of each row begin, and their span."""
        first = ref.offset + sum((n - 1) * s for n, s in zip(ref.shape[1:], ref.strides[1:]) if s < 0)
        span = sum((n - 1) * abs(s) for n, s in zip(ref.shape[1:], ref.strides[1:])) + 1
        return (first % ref.strides[0] if self.rows > 1 else first), span

    def access(self, ref: Ref, owned: bool) -> Access:
        """Return the access of a ref, if the loop writes its buffer."""
        ref = self._by_rows(ref)
        step, (column, span) = ref.steps[-1], self._columns(ref)
        slot, per_turn = 0, 0
        if self.rows > 1:
            row = ref.strides[0]
            slot, per_turn = (ref.offset - column) // row, step // row
            if step % row or slot % self.rows or per_turn % self.rows:
                raise Unsupported("rows that depend on each other")
        elif step:  # any slot may be touched: a ref that moves with the steps keeps the same column
            slot, per_turn, column = column // step, 1, column % step
            if not 0 <= column <= abs(step) - span:
                raise Unsupported("rows that overlap")
        return Access(ref.buffer, slot, per_turn, column, span, prod(ref.shape[1:]), _apart(ref), owned)

    def _touched(self, found: Sequence[Ref], owned: bool) -> tuple[Access, ...]:
        mine = [self._by_rows(r) for r in found if r.buffer in self.written]
        return tuple(self.access(r, owned and len(r.shape) == 2 and _apart(r) != 0) for r in mine)

    def _product(self, gemm: Gemm) -> Part:
        if gemm.b.buffer in self.written or (gemm.b.steps and gemm.b.steps[-1]):
            raise Unsupported("a product with weights that change from step to step")
        if gemm.a.strides[-1] != 1 and gemm.a.shape[-1] != 1:
            raise Unsupported("a transposed left operand")
        out = gemm.out
        if out.strides[1] != 1 and out.shape[1] != 1:
            raise Unsupported("a product with a transposed result")
        begin, _ = self._columns(self._by_rows(out))
        edges = [
            begin,
            *sorted(e for e in self.edges[out.buffer] if begin < e < begin + out.shape[1]),
            begin + out.shape[1],
        ]
        pieces = tuple(b - a for a, b in pairwise(edges))
        writes = []
        for at, n in zip(edges, pieces):
            piece = out._replace(offset=out.offset + at - begin, shape=(out.shape[0], n))
            writes.append(self.access(piece, True))
        reads = self._touched([gemm.a], False)
        return Part(gemm, False, pieces, reads + (tuple(writes) if gemm.accumulate else ()), tuple(writes))

    def _maps(self, maps: list[Map]) -> Part:
        by_rows = len(maps) > 1 or bool(maps[0].reductions) or len(self.shape(maps[0])) > 2
        for m in maps:
            if m.shape[:1] != (self.rows,) and self.rows != 1:
                raise Unsupported(f"an elementwise map of shape {m.shape} that does not fit {self.rows} rows")
            for r in m.reductions:
                if self._by_rows(r.out).strides[0] == 0 and self.rows != 1:
                    raise Unsupported("a reduction over the rows")
        loads = [r for m in maps for _, r in m.loads]
        stores = [r for m in maps for r in [*(r for _, r in m.stores), *(f.out for f in m.reductions)]]
        return Part(maps, by_rows, (), self._touched(loads, not by_rows), self._touched(stores, not by_rows))


def _read(part: Part) -> list[Ref]:
    """Return the loads of a part's maps, or a product's addend; all blocks read its left operand anyway."""
    if isinstance(part.item, Gemm):
        return [part.item.out] if part.item.accumulate else []
    return [r for m in part.item for _, r in m.loads]


def _apart(ref: Ref) -> int:
    """Return the distance between adjacent elements of a row."""
    return ref.strides[-1] if len(ref.shape) > 1 and ref.shape[-1] != 1 else 1


def overlap(a: Access, b: Access) -> bool:
    """Whether two accesses at fixed steps may touch the same element."""
    if a.buffer != b.buffer or a.slot != b.slot:
        return False
    return a.column < b.column + b.span and b.column < a.column + a.span


def clash(a: Access, b: Access) -> bool:
    """Whether different blocks may touch the same element through these two accesses."""
    return overlap(a, b) and not (
        a.owned and b.owned and (a.column, a.columns, a.apart) == (b.column, b.columns, b.apart)
    )


def barriers(found: Sequence[Part], reverse: bool = False) -> tuple[int, ...]:
    """Return the parts before which all blocks of a group synchronise.

    A barrier is needed between two parts, in any steps, if one writes something that another block touches in
    the other. The barriers repeat with the steps; a few steps show them all, because a value lives for one
    step.
    """
    placed: set[int] = set()
    turns = range(_TURNS - 1, -1, -1) if reverse else range(_TURNS)
    while True:
        since: list[tuple[tuple[Access, ...], tuple[Access, ...]]] = []
        missing = None
        for t in turns:
            for i, part in enumerate(found):
                if i in placed:
                    since = []
                reads, writes = (tuple(a.at(t) for a in accesses) for accesses in (part.reads, part.writes))
                if any(
                    any(clash(w, x) for w in earlier_writes for x in (*reads, *writes))
                    or any(clash(r, w) for r in earlier_reads for w in writes)
                    for earlier_reads, earlier_writes in since
                ):
                    missing = i
                    break
                since.append((reads, writes))
            if missing is not None:
                break
        if missing is None:
            return tuple(sorted(placed))
        placed.add(missing)
