"""Matrix products in LLVM IR: small ones as vector code, the others as calls of BLAS.

The choice is made at run time.
"""

from __future__ import annotations

from .text import Code, Module

#: M * N * K up to which our code is faster than a call of BLAS, for b as stored and b transposed.
SMALL, SMALL_TRANSPOSED = 8192, 8192

_ARGUMENTS = (
    "ptr %blas, i64 %m, i64 %n, i64 %k, ptr %a, i64 %lda, ptr %b, i64 %ldb, i1 %add, ptr %c, i64 %ldc"
)


def function(module: Module, type_: str, lanes: int, transposed: tuple[bool, bool], long: bool) -> str:
    """Return the name of a matrix product function, which is written at first use.

    Its arguments are a CBLAS gemm, m, n, k, a, lda, b, ldb, whether to add to c, c and ldc. Rows are
    contiguous. `transposed` says whether a and b are stored as (k, m) and (n, k), `long` whether this BLAS
    takes 64-bit integers.
    """
    name = f"@gemm.{type_}.{''.join('nt'[t] for t in transposed)}"
    if name not in module.functions:
        writer = _Gemm(Code(module, lanes), type_, *transposed)
        writer.write(long)
        body = [f"define internal void {name}({_ARGUMENTS}) noinline {{", "entry:", *writer.code.lines, "}"]
        module.functions[name] = "\n".join(body)
    return name


class _Gemm:
    def __init__(self, code: Code, type_: str, a_transposed: bool, b_transposed: bool) -> None:
        self.code, self.type, self.ta, self.tb = code, type_, a_transposed, b_transposed
        self.size = 4 if type_ == "float" else 8
        self.vector = code.vector(type_)
        self.zero = code.constant(type_, 0)

    def write(self, long: bool) -> None:
        code = self.code
        limit = 0 if self.ta and self.tb else SMALL_TRANSPOSED if self.tb else SMALL
        area = code.let("mul i64 %m, %n")
        work = code.let(f"mul i64 {area}, %k")
        small = code.let(f"icmp ule i64 {work}, {limit}")
        code.put(f"br i1 {small}, label %small, label %large")
        code.start("small")
        code.loop("%m", self.row_by_rows if self.tb and not self.ta else self.row)
        code.put("ret void")
        code.start("large")
        self.blas(long)
        code.put("ret void")

    def blas(self, long: bool) -> None:
        """Call CBLAS, where 101 means row-major order, 111 not transposed and 112 transposed."""
        code, t, whole = self.code, self.type, "i64" if long else "i32"
        sizes = {
            n: n if long else code.let(f"trunc i64 {n} to i32")
            for n in ("%m", "%n", "%k", "%lda", "%ldb", "%ldc")
        }
        beta = code.let(f"uitofp i1 %add to {t}")
        first = ", ".join(f"{whole} {sizes[n]}" for n in ("%m", "%n", "%k"))
        matrices = (
            f"ptr %a, {whole} {sizes['%lda']}, ptr %b, {whole} {sizes['%ldb']}, {t} {beta}, ptr %c, "
            f"{whole} {sizes['%ldc']}"
        )
        code.put(
            f"call void %blas(i32 101, i32 {112 if self.ta else 111}, i32 "
            f"{112 if self.tb else 111}, {first}, {t} 1.0, {matrices})"
        )

    def old(self, pointer: str, mask: str | None) -> str:
        """Return the start value of the result: c or 0."""
        return self.code.let(
            f"select i1 %add, {self.vector} {self.code.load(self.type, pointer, self.size, mask)}, "
            f"{self.vector} {self.zero}"
        )

    def at(self, base: str, row: str, stride: str, column: str = "0") -> str:
        """Return the pointer to an element of a matrix."""
        code = self.code
        return code.address(
            self.type, code.address(self.type, base, code.let(f"mul i64 {row}, {stride}")), column
        )

    def row(self, i: str, _: list[str]) -> list[str]:
        """Compute one row of c, some columns at a time: the sum over k of a[i, k] times row k of b."""
        code, lanes = self.code, self.code.lanes
        done = "0"
        for vectors in (4, 2, 1):
            stop = code.let(f"and i64 %n, {-vectors * lanes}")
            code.loop(
                stop,
                lambda j, _, vectors=vectors: self.columns(i, j, vectors, None),  # type: ignore[misc]
                start=done,
                step=vectors * lanes,
            )
            done = stop
        rest = code.let(f"sub i64 %n, {done}")
        code.when(code.let(f"icmp sgt i64 {rest}, 0"), lambda: self.columns(i, done, 1, code.first(rest)))
        return []

    def columns(self, i: str, j: str, vectors: int, mask: str | None) -> list[str]:
        """Compute `vectors` adjacent vectors of row i, from column j on.

        Four independent sums hide the latency of the additions.
        """
        code, t, lanes = self.code, self.type, self.code.lanes
        places = [self.at("%c", i, "%ldc", code.let(f"add i64 {j}, {v * lanes}")) for v in range(vectors)]
        apart = 4 // vectors

        def terms(k: str, sums: list[str], count: int) -> list[str]:
            sums = list(sums)
            for u in range(count):
                ku = code.let(f"add i64 {k}, {u}")
                scalar = code.let(
                    f"load {t}, ptr "
                    f"{self.at('%a', ku, '%lda', i) if self.ta else self.at('%a', i, '%lda', ku)}"
                )
                x, row = code.splat(t, scalar), self.at("%b", ku, "%ldb", j)
                for v in range(vectors):
                    y = code.load(t, code.address(t, row, str(v * lanes)), self.size, mask)
                    sums[u * vectors + v] = code.intrinsic("fmuladd", t, x, y, sums[u * vectors + v])
            return sums

        sums = [self.old(p, mask) for p in places] + [self.zero] * (4 - vectors)
        even = code.let(f"and i64 %k, {-apart}")
        sums = code.loop(
            even, lambda k, s: terms(k, s, apart), step=apart, carried=[(self.vector, x) for x in sums]
        )
        for u in range(1, apart):
            sums = [
                code.binary("fadd", t, x, sums[u * vectors + v]) if v < vectors else x
                for v, x in enumerate(sums)
            ]
        if apart > 1:
            sums = code.loop(
                "%k",
                lambda k, s: terms(k, s, 1),
                start=even,
                carried=[(self.vector, x) for x in sums[:vectors]],
            )
        for x, place in zip(sums, places):
            code.store(t, x, place, self.size, mask)
        return []

    def row_by_rows(self, i: str, _: list[str]) -> list[str]:
        """Compute one row of c for a transposed b.

        Multiplies a row of a with as many rows of b at a time as a vector has lanes.
        """
        code, t, lanes = self.code, self.type, self.code.lanes
        a = self.at("%a", i, "%lda")
        last, whole = code.let("sub i64 %n, 1"), code.let(f"and i64 %k, {-lanes}")
        rest = code.let(f"sub i64 %k, {whole}")
        some = code.let(f"icmp sgt i64 {rest}, 0")

        def block(j: str, _: list[str]) -> list[str]:
            rows = []
            for v in range(lanes):  # beyond the end, repeat the last row; its products are not stored
                r = code.let(f"add i64 {j}, {v}")
                r = code.let(f"select i1 {code.let(f'icmp slt i64 {r}, {last}')}, i64 {r}, i64 {last}")
                rows.append(self.at("%b", r, "%ldb"))

            def terms(k: str, sums: list[str], mask: str | None) -> list[str]:
                x = code.load(t, code.address(t, a, k), self.size, mask)
                return [
                    code.intrinsic("fmuladd", t, x, code.load(t, code.address(t, r, k), self.size, mask), s)
                    for r, s in zip(rows, sums)
                ]

            sums = code.loop(
                whole, lambda k, s: terms(k, s, None), step=lanes, carried=[(self.vector, self.zero)] * lanes
            )
            sums = code.when(
                some, lambda: terms(whole, sums, code.first(rest)), [(self.vector, x) for x in sums]
            )
            left = code.let(f"sub i64 %n, {j}")
            count = code.let(
                f"select i1 {code.let(f'icmp slt i64 {left}, {lanes}')}, i64 {left}, i64 {lanes}"
            )
            mask, place = code.first(count), self.at("%c", i, "%ldc", j)
            code.store(
                t, code.binary("fadd", t, self.totals(sums), self.old(place, mask)), place, self.size, mask
            )
            return []

        code.loop("%n", block, step=lanes)
        return []

    def totals(self, sums: list[str]) -> str:
        """Return the vector of the sums of each vector's lanes.

        Pairs of vectors are halved and joined until one is left.
        """
        code, lanes, group = self.code, self.code.lanes, self.code.lanes
        while group > 1:
            half = group // 2
            low = [s + i for s in range(0, 2 * lanes, group) for i in range(half)]
            high = [i + half for i in low]
            pairs = list(zip(sums[::2], sums[1::2]))
            sums = [
                code.binary(
                    "fadd", self.type, code.shuffle(self.type, x, y, low), code.shuffle(self.type, x, y, high)
                )
                for x, y in pairs
            ]
            group = half
        return sums[0]
