"""Cholesky factors of small matrices.

Matrices that are not positive definite up to rounding are left to the array library, which raises the error.
"""

from __future__ import annotations

from ....lowering.plan import Ref
from ..text import TYPES
from .nest import Kernel
from .rows import EPSILON, LONGEST, TINY, WIDTH, Rows, function, scratch, stack


def cholesky(kernel: Kernel) -> None:
    """L with x = L Lᵀ from the lower triangle; or with `upper`, U with x = Uᵀ U from the upper triangle."""
    (x,), (z,), code = kernel.call.args, kernel.call.outs, kernel.code
    assert isinstance(x, Ref)
    dtype, n = kernel.dtype(z), x.shape[-1]
    memory = scratch(kernel, TYPES[dtype], LONGEST * WIDTH, "matrix")

    def strides(ref: Ref) -> list[str]:
        """Return the strides between rows and between columns, of the upper triangle."""
        down, right = ref.strides[-2:] if kernel.call.params["upper"] else ref.strides[-1:-3:-1]
        return ["1" if n == 1 else kernel.writer.number(s) for s in (down, right)]

    kinds = ["1" if strides_[1] == "1" else "" for strides_ in (strides(x), strides(z))]
    name = function(
        kernel,
        f"cholesky.{'.'.join('rows' if k else 'strided' for k in kinds)}",
        dtype,
        "i1",
        "ptr %x, i64 %x.down, i64 %x.right, ptr %z, i64 %z.down, i64 %z.right, i64 %n, ptr %u",
        lambda rows: _write(rows, kinds[0] or "%x.right", kinds[1] or "%z.right"),
    )

    def matrix(pointers: list[str]) -> None:
        views = [
            f"ptr {p}, i64 {down}, i64 {right}"
            for p, (down, right) in zip(pointers, map(strides, (x, z)), strict=True)
        ]
        size = kernel.writer.read(n)
        failed = code.let(f"call i1 {name}({', '.join(views)}, i64 {size}, ptr {memory})")
        kernel.bail(failed)

    stack(kernel, (x, z), matrix)


def _write(rows: Rows, right: str, z_right: str) -> None:
    """Compute U row by row: divide by the root of the pivot, and update the rows below."""
    code, t, lanes = rows.code, rows.type, rows.lanes

    def place(start: str, column: str, stride: str) -> str:
        return code.address(t, start, code.let(f"mul i64 {column}, {stride}"))

    def copy(i: str, _: list[str]) -> list[str]:
        start = rows.at("%x", i, distance="%x.down")

        def part(c: str, _: list[str]) -> list[str]:
            columns = rows.columns(c)
            inside = rows.compare("slt", columns, "%n")
            mask = code.binary("and", "i1", inside, rows.compare("sge", columns, i))
            rows.store(rows.read(place(start, c, right), right, mask), rows.at("%u", i, c))
            return []

        code.loop("%n", part, start=code.let(f"and i64 {i}, {-lanes}"), step=lanes)
        return []

    code.loop("%n", copy)

    def pivot(j: str, _: list[str]) -> list[str]:
        square = rows.get(rows.at("%u", j, j))
        diagonal = rows.get(place(rows.at("%x", j, distance="%x.down"), j, right))
        rounding = code.let(f"fmul {t} {diagonal}, {rows.number(4 * LONGEST * EPSILON[t])}")
        good = code.let(
            f"and i1 {rows.between(square, rounding)}, {rows.between(square, rows.number(TINY[t]))}"
        )
        rows.unless(good, "i1 true")
        reciprocal = code.let(f"fdiv {t} {rows.number(1)}, {rows.scalar('sqrt', square)}")
        target = rows.at("%z", j, distance="%z.down")

        def scale(c: str, _: list[str]) -> list[str]:
            columns, at = rows.columns(c), rows.at("%u", j, c)
            row = code.binary("fmul", t, rows.load(at), code.splat(t, reciprocal))
            row = code.select(t, rows.compare("sge", columns, j), row, rows.zero)
            rows.store(row, at)
            rows.write(row, place(target, c, z_right), z_right, rows.compare("slt", columns, "%n"))
            return []

        whole = code.let(f"and i64 {j}, {-lanes}")

        def clear(c: str, _: list[str]) -> list[str]:
            rows.write(rows.zero, place(target, c, z_right), z_right, code.constant("i1", True))
            return []

        code.loop(whole, clear, step=lanes)
        code.loop("%n", scale, start=whole, step=lanes)

        def below(i: str, _: list[str]) -> list[str]:
            factor = rows.get(rows.at("%u", j, i))

            def part(c: str, _: list[str]) -> list[str]:
                at = rows.at("%u", i, c)
                rows.store(rows.less(rows.load(at), factor, rows.load(rows.at("%u", j, c))), at)
                return []

            code.loop("%n", part, start=code.let(f"and i64 {i}, {-lanes}"), step=lanes)
            return []

        code.loop("%n", below, start=code.let(f"add i64 {j}, 1"))
        return []

    code.loop("%n", pivot)
    code.put("ret i1 false")
