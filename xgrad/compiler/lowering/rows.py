"""Work whose rows are independent: shared among threads.

Rows, such as the examples of a batch, are independent if each element that is written belongs to one row, and
only that row's part of each item touches it. That is so if every view of a written buffer has the same stride
from row to row, if the elements of a row lie within that stride, and if everything else (time steps, past
states) moves by whole sets of rows: the element at address a belongs to row (a // stride) % rows.

A loop is shared as a whole: a thread runs all steps of its rows and waits for no other until the loop ends.
The weights that a loop multiplies by are packed once, before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

from ...ops import OPS
from ..codegen.llvm.gemm import SMALL
from .plan import SIZES, Buffer, Call, Gemm, Loop, Map, Pack, Plan, Ref, Rows
from .views import refs

#: What is shared or packed does not depend on the number of steps or rows, so that other numbers of them run
#: the same code: K * N from which weights are packed, the product of the two least of M, N and K from which a
#: product outside of loops is shared, and elements of a row from which a map of two axes is.
PACKED, PRODUCT, MAP = 256, 4096, 512
#: Floating-point operations of an elementwise op that takes one instruction, in terms of those of a product;
#: and of one that takes many, such as exp.
LIGHT, HEAVY = 4, 40
#: Bytes of weights that a core keeps in its cache. Beyond them every piece of the rows reads the weights from
#: memory at each step, so there is one piece a thread.
CACHE = 2**20


def shared_by_rows(plan: Plan, vector_bytes: int, *, products: bool) -> Plan:
    """Return the plan with those of its outermost items that are worth it shared by rows.

    `vector_bytes` is the size of the processor's vectors, which the order of packed weights depends on.
    `products` says whether to share what BLAS computes, which is then told to use one thread.
    """
    buffers, body = list(plan.buffers), list[Any]()
    live = _live(plan)
    item: Any
    for at, item in enumerate(plan.body):
        if not _is_worth_it(item, products):
            body.append(item)
            continue
        if isinstance(item, Gemm) and _has_many_columns(item):
            # each thread copies all of the other operand: let that be the smaller one
            body.append(Rows(item.out.shape[1], _work(item), 1, (item,), columns=True))
            continue
        count = independent_rows(item, plan.buffers)
        if count is None:
            body.append(item)
            continue
        packing = _Packing(buffers, live, at, vector_bytes)
        shared = packing.packed(item) if isinstance(item, Loop) else item
        packs = packing.packs.values()
        weights = sum(buffers[p.packed].size * SIZES[buffers[p.packed].dtype] for p in packs)
        pieces = 1 if weights > CACHE or isinstance(item, Gemm) else 2
        body += [*packs, Rows(count, _work(item), pieces, (shared,))]
    return plan._replace(buffers=tuple(buffers), body=tuple(body))


def _live(plan: Plan) -> dict[int, list[tuple[int, int]]]:
    """Return the first and the last item that use each buffer; an output is in use to the end."""
    found: dict[int, list[tuple[int, int]]] = {}
    for at, item in enumerate(plan.body):
        for ref in (r for part in refs(item) for r in part):
            kind = plan.buffers[ref.buffer].kind
            if kind != "input":
                first = found[ref.buffer][0][0] if ref.buffer in found else at
                found[ref.buffer] = [(first, len(plan.body) if kind == "output" else at)]
    return found


def _has_many_columns(gemm: Gemm) -> bool:
    """Whether a product is to be shared by columns: it has more of them than rows."""
    if len(gemm.out.shape) != 2 or gemm.out.buffer in (gemm.a.buffer, gemm.b.buffer):
        return False
    m, n = gemm.out.shape
    return m < n


def _is_worth_it(item: Any, products: bool) -> bool:
    if isinstance(item, Gemm):
        least, less, *_ = sorted((*item.out.shape[-2:], item.a.shape[-1]))
        return products and least * less >= PRODUCT
    if isinstance(item, Map):
        # one element may be many of all steps and rows: the pool decides at run time
        rows, axes = _rows(item) or 1, sum(n != 1 for n in item.shape)
        return axes > 2 or prod(item.shape) >= MAP * rows
    return isinstance(item, Loop)


def independent_rows(item: Any, buffers: Sequence[Buffer]) -> int | None:
    """Return the number of rows of an item, if they are independent and there is more than one."""
    items = list(_items(item))
    counts = {_rows(i) for i in items}
    rows = counts.pop() if len(counts) == 1 else None
    if rows is None or rows < 2:
        return None
    written = {r.buffer for i in items for r in refs(i)[1]}
    strides: dict[int, int] = {}
    for i in items:
        if isinstance(i, Call) or (
            isinstance(i, Gemm) and not _shares(i, written, buffers, inside=isinstance(item, Loop))
        ):
            return None
        axis = _axis(i)
        for ref in _by_rows(i):
            if ref.buffer in written and not _keeps_to_its_row(ref, axis, rows, strides):
                return None
    return rows


def _items(item: Any) -> Iterator[Any]:
    """Yield an item; if it is a loop, the items inside."""
    if isinstance(item, Loop):
        for i in item.body:
            yield from _items(i)
    else:
        yield item


def _shape(item: Any) -> tuple[int, ...]:
    return item.shape if isinstance(item, Map) else item.out.shape if isinstance(item, Gemm) else ()


def _axis(item: Any) -> int:
    """Return the first axis that is longer than 1."""
    return next(i for i, n in enumerate(_shape(item)) if n != 1)


def _rows(item: Any) -> int | None:
    """Return the number of rows of an item: the length of its first axis that is longer than 1."""
    return next((n for n in _shape(item) if n != 1), None)


def _by_rows(item: Any) -> list[Ref]:
    """Return the refs of an item that have its rows: all but the weights of a product."""
    if isinstance(item, Gemm) and len(item.out.shape) == 2:
        return [item.a, item.out]
    reads, writes = refs(item)
    return reads + writes


def _shares(gemm: Gemm, written: set[int], buffers: Sequence[Buffer], *, inside: bool) -> bool:
    """Whether a product's rows, or the matrices of a stack, can be shared.

    Inside a loop it must not need BLAS, which would pack the same weights in each thread and at every step.
    """
    *stack, m, n = gemm.out.shape
    if stack:
        return stack[0] != 1 and (not inside or m * n * gemm.a.shape[-1] <= SMALL)
    if m == 1 or gemm.b.buffer in written:
        return False
    return not inside or not _is_large(gemm) or _packs(gemm, buffers)


def _is_large(gemm: Gemm) -> bool:
    """Whether to pack the weights of a product in a loop."""
    return prod(gemm.b.shape) >= PACKED or prod(gemm.out.shape) * gemm.a.shape[-1] > SMALL


def _packs(gemm: Gemm, buffers: Sequence[Buffer]) -> bool:
    """Whether the code for packed weights can compute a product."""
    return (
        len(gemm.out.shape) == 2
        and buffers[gemm.out.buffer].dtype in ("float32", "float64")
        and (gemm.a.strides[-1] == 1 or gemm.a.shape[-1] == 1)
        and not any(gemm.b.steps)
    )


def _keeps_to_its_row(ref: Ref, axis: int, rows: int, strides: dict[int, int]) -> bool:
    """Whether each row of a view touches only elements of that row; see the top of this file.

    `strides` has the stride between the rows of each buffer seen so far.
    """
    stride = ref.strides[axis]
    if stride <= 0 or strides.setdefault(ref.buffer, stride) != stride:
        return False
    low, span = ref.offset, 1
    for a, (n, s) in enumerate(zip(ref.shape, ref.strides)):
        if a != axis and n != 1 and s % (rows * stride):
            low += (n - 1) * min(s, 0)
            span += (n - 1) * abs(s)
    column, row = low % stride, low // stride
    return column + span <= stride and row % rows == 0 and not any(s % (rows * stride) for s in ref.steps)


class _Packing:
    """The buffers with the packed weights of one loop, the item `at` of its plan.

    `live` has the items of the plan during which each buffer is in use, as pairs of the first and the last.
    """

    def __init__(
        self, buffers: list[Buffer], live: dict[int, list[tuple[int, int]]], at: int, vector_bytes: int
    ) -> None:
        self.buffers, self.live, self.at, self.vector_bytes = buffers, live, at, vector_bytes
        self.packs: dict[Ref, Pack] = {}

    def packed(self, loop: Loop) -> Loop:
        """Return the loop with products that read packed weights."""
        return loop._replace(
            body=tuple(self.packed(i) if isinstance(i, Loop) else self._item(i) for i in loop.body)
        )

    def _item(self, item: Any) -> Any:
        if not isinstance(item, Gemm) or not _packs(item, self.buffers):
            return item
        if not _is_large(item):
            return item
        b = item.b._replace(steps=())
        if b not in self.packs:
            dtype = self.buffers[b.buffer].dtype
            lanes = self.vector_bytes // SIZES[dtype]
            k, n = b.shape
            padded = -(-n // lanes) * lanes  # whole vectors of columns
            self.packs[b] = Pack(self._buffer(Buffer("scratch", k * padded, dtype)), b)
        return item._replace(packed=self.packs[b].packed)

    def _buffer(self, wanted: Buffer) -> int:
        """Return the number of a buffer of this size that is not live during the loop.

        It is a new one, or one of the plan's: also an output, until it is written.
        """
        for i, live in self.live.items():
            fits = self.buffers[i]._replace(kind="scratch") == wanted
            if fits and not any(first <= self.at <= last for first, last in live):
                live.append((self.at, self.at))
                return i
        self.buffers.append(wanted)
        self.live[len(self.buffers) - 1] = [(self.at, self.at)]
        return len(self.buffers) - 1


def _work(item: Any) -> int:
    """Estimate the floating-point operations of an item."""
    if isinstance(item, Loop):
        return item.length * sum(map(_work, item.body))
    if isinstance(item, Gemm):
        return 2 * prod(item.out.shape) * item.a.shape[-1]
    assert isinstance(item, Map)
    each = sum(HEAVY if s.op in OPS and OPS[s.op].kernel.heavy else LIGHT for s in item.steps)
    return prod(item.shape) * (each + LIGHT)
