"""Maps in LLVM IR: loops over the outer axes, and vectors along one axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ....ops import OPS
from ....ops.scalars import power
from ...lowering.plan import SIZES, Map, Ref, Step, Unsupported, start
from ...lowering.views import loop_axes, place_of_first
from ...templates import has_hole
from ..element import Value
from . import element
from .text import TYPES, stored

if TYPE_CHECKING:
    from .plan import Writer


class _View(NamedTuple):
    """A ref within a map: its dtype, and its stride for each of the map's loop axes."""

    ref: Ref
    dtype: str
    strides: tuple[int, ...]


class _Fold(NamedTuple):
    """A reduction within a map: over the innermost axis, over outer axes, or both."""

    value: int
    kind: str
    view: _View
    inner: bool
    outer: bool


class MapWriter:
    """Writes one map: loops over its outer axes, and vectors along one axis."""

    def __init__(self, writer: Writer, m: Map, turns: list[str]) -> None:
        self.writer, self.map, self.turns, self.code = writer, m, turns, writer.code
        buffers = writer.plan.buffers
        refs = [*(r for _, r in m.loads), *(r for _, r in m.stores), *(r.out for r in m.reductions)]
        self.sizes, strides = loop_axes(m.shape, [r.strides for r in refs])
        self.along_rows = place_of_first(m.shape, [r.strides for r in refs])
        views = [_View(r, buffers[r.buffer].dtype, s) for r, s in zip(refs, strides)]
        loads, stores = len(m.loads), len(m.loads) + len(m.stores)
        self.loads = [(v, view) for (v, _), view in zip(m.loads, views)]
        self.stores = [(v, view) for (v, _), view in zip(m.stores, views[loads:])]
        self.folds = []
        for r, view in zip(m.reductions, views[stores:]):
            reduced = [s == 0 and n != 1 for n, s in zip(self.sizes, view.strides)]
            if any(reduced[:-1]) and any(ref == r.out for _, ref in m.loads):
                raise Unsupported(
                    f"a {r.kind} over outer axes is initialised before the map reads its inputs; give it "
                    f"memory of its own"
                )
            if any(reduced):
                self.folds.append(_Fold(r.value, r.kind, view, reduced[-1], any(reduced[:-1])))
            else:
                self.stores.append((r.value, view))
        widest = max((SIZES[d] for d in [*(v.dtype for v in views), *(s.dtype for s in m.steps)]), default=4)
        # sums along the innermost axis use four independent vectors, unless the map computes heavy ops
        heavy = any(OPS[s.op].kernel.heavy for s in m.steps if s.op in OPS)
        wide = any(f.inner for f in self.folds) and not heavy
        # a power is one long dependency chain: two vectors of them run in parallel
        count = 4 if wide else 2 if any(map(_is_power, m.steps)) else 1
        one, n = writer.vector_bytes // max(widest, 4), self.sizes[-1]
        # short vectors for a short axis: a whole one takes half the time of a long one under a mask. Length 1
        # is a scalar: LLVM 22 stores the upper half of a vector of one int64 that is truncated to an int32
        self.lanes = one * count if n > one // 2 else 1 << max(n - 1, 0).bit_length()
        shared = writer.rows is not None and self.along_rows == len(self.sizes) - 1
        #: whether a short axis is exactly one vector, which needs neither a loop nor a remainder
        self.is_one_vector = n == self.lanes < one * count and not shared
        self.dtypes = {**{v: view.dtype for v, view in self.loads}, **{s.value: s.dtype for s in m.steps}}
        self.literals: dict[tuple[int, float], str] = {}  # of a step, read from the table

    def write(self) -> None:
        before, self.code.lanes = self.code.lanes, self.lanes
        for fold in self.folds:
            if fold.outer:
                self.clear(fold)
        views = (
            [view for _, view in self.loads]
            + [view for _, view in self.stores]
            + [f.view for f in self.folds]
        )
        axis = next((i for i, n in enumerate(self.map.shape) if n != 1), 0)
        pointers = [
            self.writer.from_first_row(self.writer.pointer(view.ref, self.turns), view.ref, axis)
            for view in views
        ]
        stops = [self.writer.length(n, i == self.along_rows) for i, n in enumerate(self.sizes)]
        for step in self.map.steps:
            for a, literal in zip(step.args, step.literal):
                if literal and _may_be_a_size(step, a):
                    self.literals[step.value, a] = self.writer.literal(a, step.dtype)
        self.outer(0, stops, views, pointers)
        self.code.lanes = before

    def clear(self, fold: _Fold) -> None:
        """Set a reduction's result to the fold of no elements."""
        ref, first = fold.view.ref, start(fold.kind, fold.view.dtype)
        shape = tuple(1 if s == 0 else n for n, s in zip(ref.shape, ref.strides))
        step = Step(0, "none", (first,), (True,), fold.view.dtype)
        MapWriter(self.writer, Map(shape, (), (step,), ((0, ref._replace(shape=shape)),)), self.turns).write()

    def outer(self, axis: int, stops: list[str], views: list[_View], pointers: list[str]) -> None:
        """Write the loops from `axis` inwards."""
        if axis == len(stops) - 1:
            self.inner(stops[-1], views, pointers)
            return
        code = self.code
        strides = [self.writer.number(view.strides[axis]) for view in views]

        def turn(i: str, _: list[str]) -> list[str]:
            moved = []
            for pointer, stride, view in zip(pointers, strides, views):
                index = "0" if stride == "0" else i if stride == "1" else code.let(f"mul i64 {i}, {stride}")
                moved.append(code.address(stored(view.dtype), pointer, index))
            self.outer(axis + 1, stops, views, moved)
            return []

        code.loop(stops[axis], turn)

    def inner(self, stop: str, views: list[_View], pointers: list[str]) -> None:
        """Write the innermost axis: whole vectors, then a masked remainder."""
        code = self.code
        self.strides = [self.writer.number(view.strides[-1]) for view in views]
        once = {}  # loads shared by all elements
        for i, (value, view) in enumerate(self.loads):
            if view.strides[-1] == 0:
                type_ = stored(view.dtype)
                scalar = code.let(f"load {type_}, ptr {pointers[i]}, align {SIZES[view.dtype]}")
                once[value] = element.from_memory(code, code.splat(type_, scalar), view.dtype)
        folds = [f for f in self.folds if f.inner]
        carried = [
            (
                code.vector(TYPES[f.view.dtype]),
                code.constant(TYPES[f.view.dtype], start(f.kind, f.view.dtype)),
            )
            for f in folds
        ]
        if self.is_one_vector:
            sums = self.chunk("0", [x for _, x in carried], once, pointers, None)
        else:
            whole = code.let(f"and i64 {stop}, {-self.lanes}")
            sums = code.loop(
                whole, lambda i, s: self.chunk(i, s, once, pointers, None), step=self.lanes, carried=carried
            )
            rest = code.let(f"sub i64 {stop}, {whole}")
            some = code.let(f"icmp sgt i64 {rest}, 0")
            otherwise = [(type_, x) for (type_, _), x in zip(carried, sums)]
            sums = code.when(
                some, lambda: self.chunk(whole, sums, once, pointers, code.first(rest)), otherwise
            )
        for fold, total in zip(folds, sums):
            self.finish(fold, total, pointers[len(self.loads) + len(self.stores) + self.folds.index(fold)])

    def chunk(
        self, index: str, sums: list[str], once: dict[int, str], pointers: list[str], mask: str | None
    ) -> list[str]:
        """Write one vector of elements from `index` on. Returns the reductions' updated totals."""
        code, values = self.code, dict(once)

        def place(i: int, view: _View) -> str:
            stride = self.strides[i]
            at = index if stride == "1" or index == "0" else code.let(f"mul i64 {index}, {stride}")
            return code.address(stored(view.dtype), pointers[i], at)

        def put(i: int, view: _View, x: str) -> None:
            type_ = stored(view.dtype)
            x = element.to_memory(code, x, view.dtype)
            if view.strides[-1] == 1:
                code.store(type_, x, place(i, view), SIZES[view.dtype], mask)
            else:
                code.scatter(type_, x, place(i, view), self.strides[i], SIZES[view.dtype], mask)

        for i, (value, view) in enumerate(self.loads):
            if value not in values:
                type_, size = stored(view.dtype), SIZES[view.dtype]
                at = place(i, view)
                x = (
                    code.load(type_, at, size, mask)
                    if view.strides[-1] == 1
                    else code.gather(type_, at, self.strides[i], size, mask)
                )
                values[value] = element.from_memory(code, x, view.dtype)
        for step in self.map.steps:
            args = [
                self.literal(step, a) if literal else Value(values[int(a)], self.dtypes[int(a)])
                for a, literal in zip(step.args, step.literal)
            ]
            values[step.value] = element.apply(code, step.op, args, step.dtype)
        for i, (value, view) in enumerate(self.stores):
            put(len(self.loads) + i, view, element.cast(code, values[value], self.dtypes[value], view.dtype))
        totals = iter(sums)
        results = []
        for i, fold in enumerate(self.folds, len(self.loads) + len(self.stores)):
            dtype, type_ = fold.view.dtype, TYPES[fold.view.dtype]
            x = element.cast(code, values[fold.value], self.dtypes[fold.value], dtype)
            if fold.inner:
                if mask is not None:
                    x = code.select(type_, mask, x, code.constant(type_, start(fold.kind, dtype)))
                results.append(_FOLDS[fold.kind](code, dtype, [next(totals), x]))
            else:
                at = place(i, fold.view)
                stride = self.strides[i]
                size = SIZES[dtype]
                old = (
                    code.load(stored(dtype), at, size, mask)
                    if stride == "1"
                    else code.gather(stored(dtype), at, stride, size, mask)
                )
                old = element.from_memory(code, old, dtype)
                put(i, fold.view, _FOLDS[fold.kind](code, dtype, [old, x]))
        return results

    def literal(self, step: Step, number: float) -> Value:
        """Return a literal operand of a step: a number of the text, or one read from the table."""
        read = self.literals.get((step.value, number))
        return Value(number, None) if read is None else Value(read, step.dtype)

    def finish(self, fold: _Fold, total: str, pointer: str) -> None:
        """Fold the lanes of a total into one number, and fold that into the result."""
        code, dtype, lanes = self.code, fold.view.dtype, self.lanes
        type_ = TYPES[dtype]
        half = lanes // 2
        while half:
            moved = code.shuffle(type_, total, total, [(i + half) % lanes for i in range(lanes)])
            total = _FOLDS[fold.kind](code, dtype, [total, moved])
            half //= 2
        mask, size = code.first("1"), SIZES[dtype]
        if fold.outer:
            old = element.from_memory(code, code.load(stored(dtype), pointer, size, mask), dtype)
            total = _FOLDS[fold.kind](code, dtype, [old, total])
        code.store(stored(dtype), element.to_memory(code, total, dtype), pointer, size, mask)


def _may_be_a_size(step: Step, number: float) -> bool:
    """Whether a literal may be the size of an array, or its reciprocal, as in a mean."""
    return step.op in ("+", "-", "*", "/") and step.dtype in ("float32", "float64") and has_hole(number)


def _is_power(step: Step) -> bool:
    """Whether this is a power that is not written as products."""
    known = step.op == "**" and step.literal[1] and power("x", step.args[1], whole=False) is not None
    return step.op == "**" and not known


def _folding(op: str) -> element.Form:
    return lambda code, dtype, args: element.apply(code, op, [Value(x, dtype) for x in args], dtype)


_FOLDS = {
    kind: _folding(op) for kind, op in zip(("sum", "prod", "max", "min"), ("+", "*", "maximum", "minimum"))
}
