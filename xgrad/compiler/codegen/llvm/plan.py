"""A `Plan` as LLVM IR: one function `void run(ptr buffers, ptr numbers, ptr functions, ptr host)`.

Sizes, offsets and strides are read from the table `numbers`, and so are literals that may be sizes, as in a
mean. So the text is the same for other sizes of the same structure, and compiled code can be cached by its
text. The structure is: which axes have length 1, which strides are 0 or 1, which adjacent axes are
contiguous, and how many lanes of a vector fit a short axis. Vector code is written explicitly rather than
left to the auto-vectoriser.

`functions` is a table of the functions that the code calls: those of BLAS, the sharing of rows among threads
(`backends/cpu/threads.py`), and the products with packed weights (`packed.py`).
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

from ...calls import calls
from ...lowering.plan import SIZES, Call, Gemm, Loop, Map, Pack, Plan, Ref, Rows, Unsupported
from ...lowering.views import leading, refs
from . import gemm as llvm_gemm
from . import packed
from .gemm import SMALL
from .kernels import KERNELS, Kernel
from .map import MapWriter
from .text import TYPES, Code, Module, stored

_ARGUMENTS = "(ptr noalias %buffers, ptr noalias readonly %numbers, ptr %functions, ptr %host)"
#: The table of functions: those of BLAS, the thread pool and its function, then those of `packed.py`.
_FUNCTIONS = ("sgemm", "dgemm", "pool", "share", "enter", "leave", *packed.FUNCTIONS)


#: M * N * K from which a product in a loop that is not shared is worth BLAS's own threads. They wait for each
#: other at every product, which takes long where other processes are busy.
LARGE = 2**22


class Written(NamedTuple):
    """Native code: its text, the numbers that it reads, and the module of kernels that it calls, or ""."""

    text: str
    numbers: tuple[float, ...]
    kernels: str


def write(
    plan: Plan,
    *,
    vector_bytes: int = 64,
    long_blas: bool = True,
    half: bool = True,
    one_blas_thread: bool = False,
) -> Written:
    """Write `plan` as native code.

    `vector_bytes` is the size of the processor's vectors, `long_blas` whether BLAS takes 64-bit integers,
    `half` whether the processor converts float16. With `one_blas_thread` BLAS uses one thread, but for what
    is large and not shared by rows. Raises Unsupported for an op or a dtype without a native form.
    """
    writer = Writer(plan, vector_bytes, long_blas, half)
    writer.one_blas_thread = one_blas_thread and any(map(_is_told, plan.body))
    writer.outermost(plan.body)
    code = writer.code
    code.put("ret void")
    if writer.calls:
        code.start("failed")
        code.put("ret void")
    name, linkage = "@run", ""
    if writer.one_blas_thread:
        code.module.functions[name] = _between_enter_and_leave()
        name, linkage = "@main", "internal "
    code.module.functions[name] = "\n".join(
        [f"define {linkage}void {name}{_ARGUMENTS} nounwind {{", "entry:", *code.head, *code.lines, "}"]
    )
    shared = writer.one_blas_thread or any(isinstance(i, Rows) for i in plan.body)
    return Written(
        code.module.text(), tuple(writer.numbers), packed.module_text(vector_bytes) if shared else ""
    )


def _is_told(item: Any) -> bool:
    """Whether BLAS is to use one thread for an item of a plan: it is shared, or a loop that may call BLAS."""
    return isinstance(item, Rows) or (isinstance(item, Loop) and _largest_product(item) > SMALL)


def _largest_product(loop: Loop) -> float:
    """Return the largest M * N * K of the products in a loop; calls of the array library count as large."""
    found: list[float] = [0]
    for item in loop.body:
        if isinstance(item, Loop):
            found.append(_largest_product(item))
        elif isinstance(item, Gemm):
            found.append(prod(item.out.shape[-2:]) * item.a.shape[-1])
        elif isinstance(item, Call):
            found.append(SMALL + 1)
    return max(found)


def _between_enter_and_leave() -> str:
    """Return a function `run` that calls `main` while BLAS uses one thread."""
    code = Code(Module(), 1)
    writer = Writer(Plan((), ()), 16, True, True)
    writer.code = code
    writer.tell("enter")
    code.put("call void @main(ptr %buffers, ptr %numbers, ptr %functions, ptr %host)")
    writer.tell("leave")
    code.put("ret void")
    return "\n".join([f"define void @run{_ARGUMENTS} nounwind {{", "entry:", *code.lines, "}"])


def _is_column(gemm: Gemm) -> bool:
    """Whether the product is one column, of a column without gaps."""
    (m, n), k = gemm.out.shape[-2:], gemm.a.shape[-1]
    return n == 1 and m > 1 and gemm.out.strides[-2] == 1 and (gemm.b.strides[-2] == 1 or k == 1)


def _transposed(gemm: Gemm) -> Gemm:
    """Return the same product as (bᵀ aᵀ)ᵀ: of a column this fills vectors."""
    out, a, b = (
        r._replace(shape=(*r.shape[:-2], *r.shape[:-3:-1]), strides=(*r.strides[:-2], *r.strides[:-3:-1]))
        for r in (gemm.out, gemm.a, gemm.b)
    )
    return gemm._replace(out=out, a=b, b=a)


class _RowRange(NamedTuple):
    """A range of rows known at run time, its first row and its number, `of` so many in all.

    With `columns`, they are the columns of a product.
    """

    first: str
    number: str
    of: int
    columns: bool


class Writer:
    def __init__(self, plan: Plan, vector_bytes: int, long_blas: bool, half: bool) -> None:
        self.plan, self.vector_bytes, self.long_blas = plan, vector_bytes, long_blas
        self.numbers: list[float] = []
        self.code = Code(Module(half), 1)
        self.calls = 0  # how many have been written
        self.scratch: dict[str, str] = {}  # workspaces that kernels use one after the other, by type
        self.rows: _RowRange | None = None  # the rows that this code is to compute
        self.one_blas_thread = False
        self.changing: set[int] = set()  # the buffers that the outermost of the enclosing loops writes to

    def number(self, value: int) -> str:
        """Read a number of the table into a register; 0 and 1 are structure, and are written as literals."""
        return str(value) if value in (0, 1) else self.read(value)

    def read(self, value: float) -> str:
        """Read a number of the table into a register."""
        self.numbers.append(value)
        place = self.code.address("i64", "%numbers", str(len(self.numbers) - 1))
        return self.code.let(f"load i64, ptr {place}, align 8, !invariant.load !0")

    def literal(self, value: float, dtype: str) -> str:
        """Read a floating number of the table into a vector."""
        code, type_ = self.code, TYPES[dtype]
        double = code.let(f"bitcast i64 {self.read(float(value))} to double")
        return code.splat(
            type_, double if type_ == "double" else code.let(f"fptrunc double {double} to float")
        )

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

        If BLAS uses one thread, it uses all that it has in loops with large products.
        """
        for part in parts:
            threads = (
                self.one_blas_thread
                and isinstance(part, Loop)
                and _largest_product(part) >= LARGE
                and not any(calls((part,)))  # one that fails leaves the function
            )
            if threads:
                self.tell("leave")
            self.body((part,), [])
            if threads:
                self.tell("enter")

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
        MapWriter(self, m, turns).write()

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
        if self.one_blas_thread and not turns:
            self.tell("leave")
        failed = code.let(f"call i32 %host(i64 {number}, ptr %buffers, ptr {steps})")
        if self.one_blas_thread and not turns:
            self.tell("enter")
        code.put(f"br i1 {code.let(f'icmp ne i32 {failed}, 0')}, label %failed, label %{done}")
        code.start(done)

    def loop(self, loop: Loop, turns: list[str]) -> None:
        if not turns:
            self.changing = {r.buffer for r in refs(loop)[1]}
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
        if gemm.packed is None and (self.rows is None or len(gemm.out.shape) > 2) and _is_column(gemm):
            gemm = _transposed(gemm)
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
