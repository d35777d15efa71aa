"""Matrix products with packed weights, in LLVM IR.

In a loop, the weights stay the same and the rows are few. So the weights are packed once, before the loop, in
the order in which the product reads them: in panels of three vectors of columns, then of one vector, each
panel row after row. A tile of the result, up to eight rows by three vectors, stays in registers for the whole
sum over k. BLAS would pack the weights again at every step.

Each element is summed in the order of k, so its bits do not depend on how rows are split among threads.
"""

from __future__ import annotations

from functools import cache

from .text import Code, Module

#: Vectors of columns in a wide panel.
WIDE = 3

#: The module's functions, in the order in which its `run(table)` stores their addresses.
FUNCTIONS = ("multiply.float", "multiply.double", "pack.float", "pack.double")

_MULTIPLY = "i64 %m, i64 %n, i64 %k, ptr %a, i64 %lda, ptr %b, i1 %add, ptr %c, i64 %ldc"
_TILE = "i64 %k, ptr %a, i64 %lda, ptr %b, i1 %add, ptr %c, i64 %ldc, i64 %count"
_PACK = "i64 %k, i64 %n, ptr %b, i64 %down, i64 %right, ptr %out"


@cache
def module_text(vector_bytes: int) -> str:
    """Return the module of all FUNCTIONS for vectors of this size."""
    module = Module()
    for type_, size in (("float", 4), ("double", 8)):
        # rows of a tile: as many as leave registers for a row of the panel
        rows = 8 if vector_bytes == 64 else 4
        lanes = vector_bytes // size
        for vectors in (1, WIDE):
            for r in range(1, rows + 1):
                _tile(Code(module, lanes), type_, size, r, vectors)
            entries = ", ".join(f"ptr @tile.{type_}.{r}.{vectors}" for r in range(1, rows + 1))
            module.declared[f"tiles.{type_}.{vectors}"] = (
                f"@tiles.{type_}.{vectors} = internal constant [{rows} x ptr] [{entries}]"
            )
        _multiply(Code(module, lanes), type_, rows)
        _pack(Code(module, lanes), type_, size)
    code = Code(module, 1)
    for i, name in enumerate(FUNCTIONS):
        code.put(f"store ptr @{name}, ptr {code.address('ptr', '%table', str(i))}, align 8")
    _function(code, "run", "ptr %table")
    return module.text()


def _function(code: Code, name: str, arguments: str, linkage: str = "") -> None:
    code.put("ret void")
    code.module.functions[f"@{name}"] = "\n".join(
        [f"define {linkage}void @{name}({arguments}) nounwind {{", "entry:", *code.lines, "}"]
    )


def _tile(code: Code, type_: str, size: int, rows: int, vectors: int) -> None:
    """Write the product of `rows` rows of a and one panel of b.

    In the last panel, only `count` columns are stored.
    """
    lanes, vector, zero = code.lanes, code.vector(type_), code.constant(type_, 0)
    mask = code.first("%count") if vectors == 1 else None

    def row(base: str, r: int, stride: str) -> str:
        return code.address(type_, base, code.let(f"mul i64 {stride}, {r}") if r else "0")

    left = [row("%a", r, "%lda") for r in range(rows)]
    places = [
        code.address(type_, start, str(v * lanes))
        for start in [row("%c", r, "%ldc") for r in range(rows)]
        for v in range(vectors)
    ]
    # before the sum over k: the old result, or 0
    before = code.block
    code.put("br i1 %add, label %old, label %start")
    code.start("old")
    old = [code.load(type_, p, size, mask) for p in places]
    code.put("br label %start")
    code.start("start")
    sums = [code.let(f"phi {vector} [ {x}, %old ], [ {zero}, %{before} ]") for x in old]

    def term(k: str, sums: list[str]) -> list[str]:
        panel = code.address(type_, "%b", code.let(f"mul i64 {k}, {vectors * lanes}"))
        right = [
            code.load(type_, code.address(type_, panel, str(v * lanes)), size, None) for v in range(vectors)
        ]
        found = []
        for r in range(rows):
            x = code.splat(type_, code.let(f"load {type_}, ptr {code.address(type_, left[r], k)}"))
            found += [code.intrinsic("fma", type_, x, y, sums[r * vectors + v]) for v, y in enumerate(right)]
        return found

    sums = code.loop("%k", term, carried=[(vector, x) for x in sums])
    for x, place in zip(sums, places):
        code.store(type_, x, place, size, mask)
    _function(code, f"tile.{type_}.{rows}.{vectors}", _TILE, "internal ")


def _multiply(code: Code, type_: str, rows: int) -> None:
    """Write c = a @ b, or c += a @ b: for each panel, tiles of nearly equal height."""
    lanes = code.lanes
    tiles = code.let(f"udiv i64 {code.let(f'add i64 %m, {rows - 1}')}, {rows}")

    def panel(vectors: int, j: str, count: str) -> None:
        b = code.address(type_, "%b", code.let(f"mul i64 {j}, %k"))
        c = code.address(type_, "%c", j)

        def tile(t: str, carried: list[str]) -> list[str]:
            (i,) = carried
            left, more = code.let(f"sub i64 %m, {i}"), code.let(f"sub i64 {tiles}, {t}")
            padded = code.let(f"sub i64 {code.let(f'add i64 {left}, {more}')}, 1")
            height = code.let(f"udiv i64 {padded}, {more}")
            slot = code.address("ptr", f"@tiles.{type_}.{vectors}", code.let(f"sub i64 {height}, 1"))
            a = code.address(type_, "%a", code.let(f"mul i64 {i}, %lda"))
            out = code.address(type_, c, code.let(f"mul i64 {i}, %ldc"))
            code.put(
                f"call void {code.let(f'load ptr, ptr {slot}')}(i64 %k, ptr {a}, i64 %lda, ptr {b}, i1 %add, "
                f"ptr {out}, i64 %ldc, i64 {count})"
            )
            return [code.let(f"add i64 {i}, {height}")]

        code.loop(tiles, tile, carried=[("i64", "0")])

    whole = code.let(f"mul i64 {code.let(f'udiv i64 %n, {WIDE * lanes}')}, {WIDE * lanes}")

    def wide(j: str, _: list[str]) -> list[str]:
        panel(WIDE, j, str(lanes))
        return []

    def narrow(j: str, _: list[str]) -> list[str]:
        left = code.let(f"sub i64 %n, {j}")
        fits = code.let(f"icmp slt i64 {left}, {lanes}")
        panel(1, j, code.let(f"select i1 {fits}, i64 {left}, i64 {lanes}"))
        return []

    code.loop(whole, wide, step=WIDE * lanes)
    code.loop("%n", narrow, start=whole, step=lanes)
    _function(code, f"multiply.{type_}", _MULTIPLY, "internal ")


def _pack(code: Code, type_: str, size: int) -> None:
    """Write the packing of a k x n matrix with these strides, 0 beyond its last column."""
    lanes = code.lanes

    def panel(vectors: int, j: str, mask: str | None) -> None:
        out = code.address(type_, "%out", code.let(f"mul i64 {j}, %k"))
        first = code.address(type_, "%b", code.let(f"mul i64 {j}, %right"))

        def row(k: str, _: list[str]) -> list[str]:
            source = code.address(type_, first, code.let(f"mul i64 {k}, %down"))
            target = code.address(type_, out, code.let(f"mul i64 {k}, {vectors * lanes}"))
            for v in range(vectors):
                at = code.address(type_, source, code.let(f"mul i64 %right, {v * lanes}"))
                x = code.gather(type_, at, "%right", size, mask)
                code.store(type_, x, code.address(type_, target, str(v * lanes)), size, None)
            return []

        code.loop("%k", row)

    whole = code.let(f"mul i64 {code.let(f'udiv i64 %n, {WIDE * lanes}')}, {WIDE * lanes}")

    def wide(j: str, _: list[str]) -> list[str]:
        panel(WIDE, j, None)
        return []

    def narrow(j: str, _: list[str]) -> list[str]:
        left = code.let(f"sub i64 %n, {j}")
        fits = code.let(f"icmp slt i64 {left}, {lanes}")
        panel(1, j, code.first(code.let(f"select i1 {fits}, i64 {left}, i64 {lanes}")))
        return []

    code.loop(whole, wide, step=WIDE * lanes)
    code.loop("%n", narrow, start=whole, step=lanes)
    _function(code, f"pack.{type_}", _PACK, "internal ")
