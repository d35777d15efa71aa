"""A `Plan` as LLVM IR: one function `void run(ptr buffers, ptr numbers, ptr functions, ptr host)`.

Sizes, offsets and strides are read from the table `numbers`. So the text is the same for other sizes of the
same structure, and compiled code can be cached by its text. The structure is: which axes have length 1, which
strides are 0 or 1, and which adjacent axes are contiguous. Vector code is written explicitly rather than left
to the auto-vectoriser.

`functions` is a table of the functions that the code calls: those of BLAS, the sharing of rows among threads
(`backends/cpu/threads.py`), and the products with packed weights (`packed.py`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ....ops import OPS
from ....ops.scalars import power
from ...calls import calls
from ...lowering.plan import SIZES, Call, Gemm, Loop, Map, Pack, Plan, Ref, Rows, Step, Unsupported, start
from ...lowering.views import leading, loop_axes, place_of_first
from ..element import Value
from . import element, packed
from . import gemm as llvm_gemm
from .kernels import KERNELS, Kernel
from .text import TYPES, Code, Module, stored

_SIGNATURE = "void @run(ptr noalias %buffers, ptr noalias readonly %numbers, ptr %functions, ptr %host)"
#: The table of functions: those of BLAS, the thread pool and its function, then those of `packed.py`.
_FUNCTIONS = ("sgemm", "dgemm", "pool", "share", "enter", "leave", *packed.FUNCTIONS)


class Written(NamedTuple):
    """Native code: its text, the numbers that it reads, and the module of kernels that it calls, or ""."""

    text: str
    numbers: tuple[int, ...]
    kernels: str


def write(plan: Plan, *, vector_bytes: int = 64, long_blas: bool = True, half: bool = True) -> Written:
    """Write `plan` as native code.

    `vector_bytes` is the size of the processor's vectors, `long_blas` whether BLAS takes 64-bit integers,
    `half` whether the processor converts float16. Raises Unsupported for an op or a dtype without a native
    form.
    """
    writer = _Writer(plan, vector_bytes, long_blas, half)
    writer.outermost(plan.body)
    code = writer.code
    code.put("ret void")
    if writer.calls:
        code.start("failed")
        code.put("ret void")
    code.module.functions["@run"] = "\n".join(
        [f"define {_SIGNATURE} nounwind {{", "entry:", *code.head, *code.lines, "}"]
    )
    kernels = packed.module_text(vector_bytes) if any(isinstance(i, Rows) for i in plan.body) else ""
    return Written(code.module.text(), tuple(writer.numbers), kernels)


class _RowRange(NamedTuple):
    """A range of rows known at run time, its first row and its number, `of` so many in all.

    With `columns`, they are the columns of a product.
    """

    first: str
    number: str
    of: int
    columns: bool


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


class _Writer:
    def __init__(self, plan: Plan, vector_bytes: int, long_blas: bool, half: bool) -> None:
        self.plan, self.vector_bytes, self.long_blas = plan, vector_bytes, long_blas
        self.numbers: list[int] = []
        self.code = Code(Module(half), 1)
        self.calls = 0  # how many have been written
        self.scratch: dict[str, str] = {}  # workspaces that kernels use one after the other, by type
        self.rows: _RowRange | None = None  # the rows that this code is to compute

    def number(self, value: int) -> str:
        """Read a number of the table into a register; 0 and 1 are structure, and are written as literals."""
        return str(value) if value in (0, 1) else self.read(value)

    def read(self, value: int) -> str:
        """Read a number of the table into a register."""
        self.numbers.append(value)
        place = self.code.address("i64", "%numbers", str(len(self.numbers) - 1))
        return self.code.let(f"load i64, ptr {place}, align 8, !invariant.load !0")

    def times(self, index: str, stride: int) -> str:
        """index * stride."""
        if stride == 0 or index == "0":
            return "0"
        return index if stride == 1 else self.code.let(f"mul i64 {index}, {self.read(stride)}")

    def pointer(self, ref: Ref, turns: list[str]) -> str:
        """Return the pointer to a ref's first element at these steps of the enclosing loops."""
        code, type_ = self.code, stored(self.plan.buffers[ref.buffer].dtype)
        base = code.let(
            f"load ptr, ptr {code.address('ptr', '%buffers', str(ref.buffer))}, align 8, !invariant.load !0"
        )
        base = code.address(type_, base, self.number(ref.offset))
        for turn, step in zip(turns, ref.steps):
            base = code.address(type_, base, self.times(turn, step))
        return base

    def from_first_row(self, pointer: str, ref: Ref, axis: int) -> str:
        """Move a pointer to the first of the rows that this code is to compute."""
        if self.rows is None:
            return pointer
        type_ = stored(self.plan.buffers[ref.buffer].dtype)
        return self.code.address(type_, pointer, self.times(self.rows.first, ref.strides[axis]))

    def length(self, n: int, along_rows: bool) -> str:
        """Read the length of an axis; of one along the rows, the part that this code is to compute."""
        if self.rows is None or not along_rows:
            return self.read(n)
        return self.times(self.rows.number, n // self.rows.of)

    def function(self, name: str) -> str:
        """Load a pointer from the table of functions."""
        place = self.code.address("ptr", "%functions", str(_FUNCTIONS.index(name)))
        return self.code.let(f"load ptr, ptr {place}, align 8, !invariant.load !0")

    def outermost(self, parts: tuple[Any, ...]) -> None:
        """Write a plan's body.

        While rows are shared, BLAS uses one thread; in other loops, all that it has.
        """
        alone = any(isinstance(i, Rows) for i in parts) and not any(calls(parts))
        if alone:
            self.tell("enter")
        for part in parts:
            if alone and isinstance(part, Loop):
                self.tell("leave")
                self.body((part,), [])
                self.tell("enter")
            else:
                self.body((part,), [])
        if alone:
            self.tell("leave")

    def tell(self, function: str) -> None:
        """Call one of the thread pool's functions."""
        self.code.put(f"call void {self.function(function)}(ptr {self.function('pool')})")

    def body(self, parts: tuple[Any, ...], turns: list[str]) -> None:
        """Write maps, products, calls and loops in order."""
        for part in parts:
            if isinstance(part, Rows):
                self.shared(part)
            elif isinstance(part, Pack):
                self.pack(part)
            elif isinstance(part, Loop):
                self.loop(part, turns)
            elif isinstance(part, Gemm):
                self.gemm(part, turns)
            elif isinstance(part, Call):
                self.call(part, turns)
            else:
                self.map(part, turns)

    def map(self, m: Map, turns: list[str]) -> None:
        _MapWriter(self, m, turns).write()

    def call(self, call: Call, turns: list[str]) -> None:
        """Write a call's kernel, with the host as fallback.

        The host computes the call if it has no kernel, or if the kernel bails out. It is passed the call's
        number and the step of each loop.
        """
        code, number, done = self.code, self.calls, f"done.{self.calls}"
        self.calls += 1
        steps = code.outside(f"alloca [{max(len(turns), 1)} x i64], align 8")
        for d, t in enumerate(turns):
            code.put(f"store i64 {t}, ptr {code.address('i64', steps, str(d))}, align 8")
        host = f"host.{number}"
        if call.kernel:
            KERNELS[call.op].write(Kernel(self, call, turns, lambda condition: code.leave(condition, host)))
            code.put(f"br label %{done}")
        else:
            code.put(f"br label %{host}")
        code.start(host)
        failed = code.let(f"call i32 %host(i64 {number}, ptr %buffers, ptr {steps})")
        code.put(f"br i1 {code.let(f'icmp ne i32 {failed}, 0')}, label %failed, label %{done}")
        code.start(done)

    def loop(self, loop: Loop, turns: list[str]) -> None:
        code, length = self.code, self.read(loop.length)
        last = code.let(f"sub i64 {length}, 1")

        def turn(i: str, _: list[str]) -> list[str]:
            self.body(loop.body, [*turns, code.let(f"sub i64 {last}, {i}") if loop.reverse else i])
            return []

        code.loop(length, turn)

    def shared(self, rows: Rows) -> None:
        """Write loops as a function of a range of rows, and the call that shares the rows among threads."""
        outer, pointers = self.code, ("%buffers", "%numbers", "%functions")
        closure = outer.outside(f"alloca [{len(pointers)} x ptr], align 8")
        for i, x in enumerate(pointers):
            outer.put(f"store ptr {x}, ptr {outer.address('ptr', closure, str(i))}, align 8")
        name = f"@rows.{len(outer.module.functions)}"
        work, share, pool = self.read(rows.work), self.function("share"), self.function("pool")
        count, pieces = self.read(rows.number), self.read(rows.pieces)
        outer.put(
            f"call void {share}(ptr {pool}, ptr {name}, ptr {closure}, i64 {count}, i64 {work}, i64 {pieces})"
        )
        code = self.code = Code(outer.module, 1)
        for i, x in enumerate(pointers):
            code.head.append(f"  {x}.at = getelementptr ptr, ptr %closure, i64 {i}")
            code.head.append(f"  {x} = load ptr, ptr {x}.at, align 8, !invariant.load !0")
        self.rows = _RowRange("%first", "%count", rows.number, rows.columns)
        outer.module.functions[name] = ""  # the name is taken
        self.body(rows.body, [])
        head = (
            f"define internal void {name}(ptr noalias readonly %closure, i64 %first, i64 %count) nounwind {{"
        )
        outer.module.functions[name] = "\n".join([head, "entry:", *code.head, *code.lines, "  ret void", "}"])
        self.code, self.rows = outer, None

    def pack(self, pack: Pack) -> None:
        """Write the packing of a matrix."""
        (k, n), (down, right) = pack.b.shape, pack.b.strides
        dtype = self.plan.buffers[pack.packed].dtype
        out = self.pointer(Ref(pack.packed, 0, (), ()), [])
        function = self.function(f"pack.{TYPES[dtype]}")
        sizes, strides = (f"i64 {self.read(a)}, i64 {self.read(b)}" for a, b in ((k, n), (down, right)))
        self.code.put(f"call void {function}({sizes}, ptr {self.pointer(pack.b, [])}, {strides}, ptr {out})")

    def gemm(self, gemm: Gemm, turns: list[str]) -> None:
        code = self.code
        dtype = self.plan.buffers[gemm.out.buffer].dtype
        if dtype not in ("float32", "float64"):
            raise Unsupported(
                f"a matrix product of dtype {dtype} has no native form; cast its operands to a "
                f"floating dtype first"
            )
        (*stack, m, n), k = gemm.out.shape, gemm.a.shape[-1]
        (ta, lda), (tb, ldb) = leading(gemm.a), leading(gemm.b)
        ldc = max(1, n, gemm.out.strides[-2] if m > 1 else 0)
        module, type_ = code.module, TYPES[dtype]
        add = "true" if gemm.accumulate else "false"
        refs = (gemm.a, gemm.b, gemm.out)
        bases = [self.pointer(r, turns) for r in refs]
        columns = self.rows is not None and self.rows.columns
        for i, r in enumerate(refs):
            if stack or i != (0 if columns else 1):  # the operand that all rows, or columns, share
                bases[i] = self.from_first_row(bases[i], r, 1 if columns else 0)
        m_, n_ = self.length(m, not stack and not columns), self.length(n, columns)
        k_, lda_, ldb_, ldc_ = (self.read(v) for v in (k, lda, ldb, ldc))
        if gemm.packed is not None:
            a, _, c = bases
            b = self.pointer(Ref(gemm.packed, 0, (), ()), [])
            code.put(
                f"call void {self.function(f'multiply.{type_}')}(i64 {m_}, i64 {n_}, i64 {k_}, ptr {a}, "
                f"i64 {lda_}, ptr {b}, i1 {add}, ptr {c}, i64 {ldc_})"
            )
            return
        name = llvm_gemm.function(module, type_, self.vector_bytes // SIZES[dtype], (ta, tb), self.long_blas)
        blas = self.function("sgemm" if dtype == "float32" else "dgemm")

        def one(i: str, _: list[str]) -> list[str]:
            a, b, c = (
                code.address(type_, base, self.times(i, r.strides[0]) if stack else "0")
                for base, r in zip(bases, refs)
            )
            matrices = f"ptr {a}, i64 {lda_}, ptr {b}, i64 {ldb_}, i1 {add}, ptr {c}, i64 {ldc_}"
            code.put(f"call void {name}(ptr {blas}, i64 {m_}, i64 {n_}, i64 {k_}, {matrices})")
            return []

        if stack:
            code.loop(self.length(stack[0], True), one)
        else:
            one("0", [])


class _MapWriter:
    """Writes one map: loops over its outer axes, and vectors along one axis."""

    def __init__(self, writer: _Writer, m: Map, turns: list[str]) -> None:
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
        self.lanes = writer.vector_bytes // max(widest, 4) * count
        if self.sizes[-1] == 1:
            # a scalar, not a vector of one lane: LLVM 22 stores the upper half of such an int64 where it is
            # truncated to an int32
            self.lanes = 1
        self.dtypes = {**{v: view.dtype for v, view in self.loads}, **{s.value: s.dtype for s in m.steps}}

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
        self.outer(0, stops, views, pointers)
        self.code.lanes = before

    def clear(self, fold: _Fold) -> None:
        """Set a reduction's result to the fold of no elements."""
        ref, first = fold.view.ref, start(fold.kind, fold.view.dtype)
        shape = tuple(1 if s == 0 else n for n, s in zip(ref.shape, ref.strides))
        step = Step(0, "none", (first,), (True,), fold.view.dtype)
        _MapWriter(
            self.writer, Map(shape, (), (step,), ((0, ref._replace(shape=shape)),)), self.turns
        ).write()

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
        if self.sizes[-1] == 1:
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
                Value(a, None) if literal else Value(values[int(a)], self.dtypes[int(a)])
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


def _is_power(step: Step) -> bool:
    """Whether this is a power that is not written as products."""
    known = step.op == "**" and step.literal[1] and power("x", step.args[1], whole=False) is not None
    return step.op == "**" and not known


def _folding(op: str) -> element.Form:
    return lambda code, dtype, args: element.apply(code, op, [Value(x, dtype) for x in args], dtype)


_FOLDS = {
    kind: _folding(op) for kind, op in zip(("sum", "prod", "max", "min"), ("+", "*", "maximum", "minimum"))
}
