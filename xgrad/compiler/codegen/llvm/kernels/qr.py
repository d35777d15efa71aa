"""QR factors of small matrices by Householder reflections, as in LAPACK.

Where columns are linearly dependent up to rounding, the array library decides which Q to return.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ....lowering.plan import Ref
from ..text import TYPES
from .nest import Kernel
from .rows import EPSILON, LONGEST, TINY, WIDTH, Rows, function, scratch, stack


def qr(kernel: Kernel) -> None:
    """x = Q R, where the columns of Q are orthonormal and R is upper triangular."""
    (x,), (q, r), code = kernel.call.args, kernel.call.outs, kernel.code
    assert isinstance(x, Ref)
    dtype = kernel.dtype(q)
    type_ = TYPES[dtype]
    columns = scratch(kernel, type_, LONGEST * WIDTH, "matrix")
    column, factors = scratch(kernel, type_, WIDTH, "column"), scratch(kernel, type_, LONGEST + 1, "factors")
    arguments = [f"ptr %{v}, i64 %{v}.down, i64 %{v}.right" for v in ("x", "q", "r")]
    sizes = ("m", "n", "q.columns", "r.rows")
    name = function(
        kernel,
        "qr",
        dtype,
        "i1",
        ", ".join([*arguments, *(f"i64 %{s}" for s in sizes), "ptr %a, ptr %column, ptr %factors"]),
        _write,
    )
    strides = [[kernel.writer.number(s) for s in v.strides[-2:]] for v in (x, q, r)]

    def matrix(pointers: list[str]) -> None:
        views = [f"ptr {p}, i64 {s[0]}, i64 {s[1]}" for p, s in zip(pointers, strides, strict=True)]
        lengths = [kernel.writer.read(n) for n in (*x.shape[-2:], q.shape[-1], r.shape[-2])]
        given = ", ".join([*views, *(f"i64 {n}" for n in lengths)])
        kernel.bail(code.let(f"call i1 {name}({given}, ptr {columns}, ptr {column}, ptr {factors})"))

    stack(kernel, (x, q, r), matrix)


def _write(rows: Rows) -> None:
    """Factor a matrix in scratch memory, where each row holds a column of x.

    It ends as a column of R and, below the diagonal, the rest of the Householder vector v, which is 1 at the
    diagonal: H = 1 - factor v vᵀ.
    """
    code, t, lanes = rows.code, rows.type, rows.lanes
    one, zero = rows.number(1), rows.number(0)
    vector = code.vector(t)
    wide = code.let("icmp slt i64 %m, %n")
    count = code.let(f"select i1 {wide}, i64 %m, i64 %n")

    def parts(start: str, sums: int, body: Callable[[str, list[str]], Sequence[str]]) -> list[str]:
        """Run `body` for each vector of a column, from the one with row `start` on."""
        first = code.let(f"and i64 {start}, {-lanes}")
        return code.loop("%m", body, start=first, step=lanes, carried=[(vector, rows.zero)] * sums)

    def absolute(x: str) -> str:
        return code.intrinsic("fabs", t, x)

    def added(x: str, y: str) -> str:
        return code.binary("fadd", t, x, y)

    def reflection(j: str, at: str) -> str:
        """Return the elements of the j-th v from row `at` on."""
        here = rows.columns(at)
        below = code.select(t, rows.compare("sgt", here, j), rows.load(rows.at("%a", j, at)), rows.zero)
        return code.select(t, rows.compare("eq", here, j), code.constant(t, 1), below)

    def reflect(j: str, column: str) -> None:
        """Apply H to the column at a pointer."""

        def product(at: str, sums: list[str]) -> list[str]:
            x = rows.load(code.address(t, column, at))
            return [code.intrinsic("fmuladd", t, reflection(j, at), x, sums[0])]

        dot = rows.total(parts(j, 1, product)[0])
        factor = code.let(f"fmul {t} {dot}, {rows.get(code.address(t, '%factors', j))}")

        def move(at: str, _: list[str]) -> list[str]:
            place = code.address(t, column, at)
            rows.store(rows.less(rows.load(place), factor, reflection(j, at)), place)
            return []

        parts(j, 0, move)

    def read(c: str, total: list[str]) -> list[str]:
        start = rows.at("%x", c, distance="%x.right")

        def part(at: str, sums: list[str]) -> list[str]:
            place = code.address(t, start, code.let(f"mul i64 {at}, %x.down"))
            x = rows.read(place, "%x.down", rows.mask("%m", at))
            rows.store(x, rows.at("%a", c, at))
            return [added(sums[0], absolute(x))]

        return [added(total[0], parts("0", 1, part)[0])]

    def pivot(j: str, _: list[str]) -> list[str]:
        def measure(at: str, sums: list[str]) -> list[str]:
            x = rows.load(rows.at("%a", j, at))
            tail = code.select(t, rows.compare("sgt", rows.columns(at), j), x, rows.zero)
            return [
                added(sums[0], absolute(x)),
                added(sums[1], absolute(tail)),
                code.intrinsic("fmuladd", t, tail, tail, sums[2]),
            ]

        whole, tail, squares = (rows.total(v) for v in parts("0", 3, measure))
        place = rows.at("%a", j, j)
        diagonal = rows.get(place)
        straight = code.let(f"fcmp oeq {t} {tail}, {zero}")
        square = code.let(f"fadd {t} {squares}, {code.let(f'fmul {t} {diagonal}, {diagonal}')}")
        # bail if squares would underflow or overflow, or if the column depends linearly on the others
        seen = rows.between(squares, rows.number(TINY[t] / EPSILON[t] ** 2))
        rounding = code.let(f"fmul {t} {whole}, {rows.number(4 * LONGEST * EPSILON[t])}")
        length = rows.scalar("sqrt", square)
        fine = code.let(f"and i1 {rows.between(length, rounding)}, {code.let(f'or i1 {straight}, {seen}')}")
        rows.unless(fine, "i1 true")
        back = code.let(f"fcmp olt {t} {diagonal}, {zero}")
        other = code.let(f"select i1 {back}, {t} {length}, {t} {code.let(f'fneg {t} {length}')}")
        turned = code.let(f"select i1 {straight}, {t} {diagonal}, {t} {other}")
        apart = code.let(f"fsub {t} {diagonal}, {turned}")
        factor = code.let(f"fdiv {t} {code.let(f'fneg {t} {apart}')}, {turned}")
        rows.put(factor, code.address(t, "%factors", j))
        quotient = code.let(f"fdiv {t} {one}, {apart}")
        by = code.splat(t, code.let(f"select i1 {straight}, {t} {one}, {t} {quotient}"))

        def scale(at: str, _: list[str]) -> list[str]:
            x = rows.load(rows.at("%a", j, at))
            below = rows.compare("sgt", rows.columns(at), j)
            rows.store(code.select(t, below, code.binary("fmul", t, x, by), x), rows.at("%a", j, at))
            return []

        parts(j, 0, scale)
        rows.put(turned, place)

        def other_column(c: str, _: list[str]) -> list[str]:
            reflect(j, rows.at("%a", c))
            return []

        code.loop("%n", other_column, start=code.let(f"add i64 {j}, 1"))
        return []

    def write_r(c: str, _: list[str]) -> list[str]:
        start = rows.at("%r", c, distance="%r.right")

        def part(at: str, _: list[str]) -> list[str]:
            x = rows.load(rows.at("%a", c, at))
            upper = rows.compare("sle", rows.columns(at), c)
            place = code.address(t, start, code.let(f"mul i64 {at}, %r.down"))
            rows.write(code.select(t, upper, x, rows.zero), place, "%r.down", rows.mask("%r.rows", at))
            return []

        parts("0", 0, part)
        return []

    def write_q(c: str, _: list[str]) -> list[str]:
        def unit(at: str, _: list[str]) -> list[str]:
            here = rows.compare("eq", rows.columns(at), c)
            x = code.select(t, here, code.constant(t, 1), rows.zero)
            rows.store(x, code.address(t, "%column", at))
            return []

        parts("0", 0, unit)
        last = code.let(f"sub i64 {count}, 1")

        def turn(step: str, _: list[str]) -> list[str]:
            reflect(code.let(f"sub i64 {last}, {step}"), "%column")
            return []

        code.loop(count, turn)
        start = rows.at("%q", c, distance="%q.right")

        def part(at: str, _: list[str]) -> list[str]:
            place = code.address(t, start, code.let(f"mul i64 {at}, %q.down"))
            x = rows.load(code.address(t, "%column", at))
            rows.write(x, place, "%q.down", rows.mask("%m", at))
            return []

        parts("0", 0, part)
        return []

    total = code.loop("%n", read, carried=[(vector, rows.zero)])[0]
    rows.unless(rows.between(rows.total(total), rows.number(-1)), "i1 true")
    code.loop(count, pivot)
    code.loop("%n", write_r)
    code.loop("%q.columns", write_q)
    code.put("ret i1 false")
