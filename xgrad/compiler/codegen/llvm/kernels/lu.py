"""LU factors of small matrices, as in LAPACK, solutions of equations, and inverses.

Matrices that are singular up to rounding, or not finite, are left to the array library, whose errors and
values the user sees.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ....lowering.plan import SIZES, Ref
from ....lowering.views import broadcast
from ..text import TYPES
from .nest import Kernel
from .rows import EPSILON, LONGEST, TINY, WIDTH, Rows, function, scratch, stack

#: Rows beyond which substitution for one column multiplies vectors: each sum over lanes takes some time.
COLUMN = 16


class Factors(NamedTuple):
    """Scratch memory of a factorisation.

    `lu` has L below the diagonal and U, `order` the row of x that each row was, and `reciprocals` those of
    the pivots, followed by the sum of |x|.
    """

    lu: str
    order: str
    reciprocals: str


def memory(kernel: Kernel, dtype: str, own: str = "") -> Factors:
    """Return memory that all kernels share, or that has a name of its `own`."""
    type_ = TYPES[dtype]
    return Factors(
        scratch(kernel, type_, LONGEST * WIDTH, f"matrix{own}"),
        scratch(kernel, "i64", LONGEST, f"order{own}"),
        scratch(kernel, type_, LONGEST + 1, f"factors{own}"),
    )


def _strides(kernel: Kernel, ref: Ref) -> tuple[str, str]:
    """Return the strides between rows and between columns."""
    down, right = (0 if n == 1 else s for n, s in zip(ref.shape[-2:], ref.strides[-2:]))
    return kernel.writer.number(down), "1" if ref.shape[-1] == 1 else kernel.writer.number(right)


def factor(kernel: Kernel, x: Ref, pointer: str, into: Factors) -> str:
    """Factor a matrix. Returns the number of row swaps."""
    code, n = kernel.code, kernel.writer.read(x.shape[-1])
    down, right = _strides(kernel, x)
    plain = right == "1"
    name = function(
        kernel,
        f"lu.{'rows' if plain else 'strided'}",
        kernel.dtype(x),
        "i64",
        "ptr %x, i64 %n, i64 %down, i64 %right, ptr %lu, ptr %order, ptr %reciprocals",
        lambda rows: _write_lu(rows, "1" if plain else "%right"),
    )
    swaps = code.let(
        f"call i64 {name}(ptr {pointer}, i64 {n}, i64 {down}, i64 {right}, ptr {into.lu}, "
        f"ptr {into.order}, ptr {into.reciprocals})"
    )
    kernel.bail(code.let(f"icmp slt i64 {swaps}, 0"))
    return swaps


def _write_lu(rows: Rows, right: str) -> None:
    """Gaussian elimination with partial pivoting: returns the number of swaps, or -1."""
    code, t, lanes = rows.code, rows.type, rows.lanes
    pivots = code.outside(f"alloca [{WIDTH} x {t}], align 64")  # the row of the pivot, and 0 up to the pivot

    def copy(i: str, sums: list[str]) -> list[str]:
        code.put(f"store i64 {i}, ptr {code.address('i64', '%order', i)}, align 8")
        start = rows.at("%x", i, distance="%down")

        def part(c: str, sums: list[str]) -> list[str]:
            place = code.address(t, start, code.let(f"mul i64 {c}, {right}"))
            v = rows.read(place, right, rows.mask("%n", c))
            rows.store(v, rows.at("%lu", i, c))
            return [code.binary("fadd", t, sums[0], code.intrinsic("fabs", t, v))]

        return code.loop("%n", part, step=lanes, carried=[(code.vector(t), sums[0])])

    total = rows.total(code.loop("%n", copy, carried=[(code.vector(t), rows.zero)])[0])
    rows.put(total, code.address(t, "%reciprocals", "%n"))
    rounding = code.let(f"fmul {t} {total}, {rows.number(8 * EPSILON[t])}")
    least = rows.number(TINY[t])
    above = code.let(f"fcmp ogt {t} {rounding}, {least}")
    limit = code.let(f"select i1 {above}, {t} {rounding}, {t} {least}")

    def column(j: str, swaps: list[str]) -> list[str]:
        below = code.let(f"add i64 {j}, 1")
        whole = code.let(f"and i64 {j}, {-lanes}")

        def larger(i: str, best: list[str]) -> list[str]:
            size = rows.scalar("fabs", rows.get(rows.at("%lu", i, j)))
            wins = code.let(f"fcmp ogt {t} {size}, {best[0]}")
            return [
                code.let(f"select i1 {wins}, {t} {size}, {t} {best[0]}"),
                code.let(f"select i1 {wins}, i64 {i}, i64 {best[1]}"),
            ]

        first = rows.scalar("fabs", rows.get(rows.at("%lu", j, j)))
        size, pivot = code.loop("%n", larger, start=below, carried=[(t, first), ("i64", j)])
        rows.unless(rows.between(size, limit), "i64 -1")
        moves = code.let(f"icmp ne i64 {pivot}, {j}")

        def swap() -> list[str]:
            def part(c: str, _: list[str]) -> list[str]:
                one, other = rows.at("%lu", j, c), rows.at("%lu", pivot, c)
                x, y = rows.load(one), rows.load(other)
                rows.store(y, one)
                rows.store(x, other)
                return []

            code.loop("%n", part, step=lanes)
            places = [code.address("i64", "%order", i) for i in (j, pivot)]
            x, y = (code.let(f"load i64, ptr {p}, align 8") for p in places)
            code.put(f"store i64 {y}, ptr {places[0]}, align 8")
            code.put(f"store i64 {x}, ptr {places[1]}, align 8")
            return []

        code.when(moves, swap)
        reciprocal = code.let(f"fdiv {t} {rows.number(1)}, {rows.get(rows.at('%lu', j, j))}")
        rows.put(reciprocal, code.address(t, "%reciprocals", j))

        def right_of_pivot(c: str, _: list[str]) -> list[str]:
            u = code.select(
                t, rows.compare("sgt", rows.columns(c), j), rows.load(rows.at("%lu", j, c)), rows.zero
            )
            rows.store(u, code.address(t, pivots, c))
            return []

        code.loop("%n", right_of_pivot, start=whole, step=lanes)

        def eliminate(i: str, _: list[str]) -> list[str]:
            left = rows.at("%lu", i, j)
            factor = code.let(f"fmul {t} {rows.get(left)}, {reciprocal}")

            def part(c: str, _: list[str]) -> list[str]:
                place = rows.at("%lu", i, c)
                u = rows.load(code.address(t, pivots, c))
                rows.store(rows.less(rows.load(place), factor, u), place)
                return []

            code.loop("%n", part, start=whole, step=lanes)
            rows.put(factor, left)
            return []

        code.loop("%n", eliminate, start=below)
        return [code.let(f"add i64 {swaps[0]}, {code.let(f'zext i1 {moves} to i64')}")]

    swaps = code.loop("%n", column, carried=[("i64", "0")])
    code.put(f"ret i64 {swaps[0]}")


#: The arguments of the functions that substitute.
_SUBSTITUTION = (
    "ptr %lu, ptr %order, ptr %reciprocals, i64 %n, i64 %k, ptr %y, i64 %y.down, i64 %y.right, ptr %z, "
    "i64 %z.down, i64 %z.right, ptr %block"
)


def substitute(kernel: Kernel, factors: Factors, block: str, y: Ref | None, z: Ref, at: list[str]) -> None:
    """z = x⁻¹ y, with the identity for y if that is None; `at` has pointers to y and z."""
    code, (n, k) = kernel.code, (kernel.writer.read(v) for v in z.shape[-2:])
    given = ("0", "1") if y is None else _strides(kernel, y)
    strides = (*given, *_strides(kernel, z))
    kinds = ["rows" if s == "1" else "strided" for s in (strides[1], strides[3])]
    kinds[0] = "identity" if y is None else kinds[0]
    if y is not None and z.shape[-1] == 1 and z.shape[-2] > COLUMN:
        name = function(kernel, "lu.solve.column", kernel.dtype(z), "i1", _SUBSTITUTION, _write_column)
    else:
        name = function(
            kernel,
            f"lu.solve.{'.'.join(kinds)}",
            kernel.dtype(z),
            "i1",
            _SUBSTITUTION,
            lambda rows: _write_substitution(
                rows,
                "" if y is None else "1" if kinds[0] == "rows" else "%y.right",
                "1" if kinds[1] == "rows" else "%z.right",
            ),
        )
    views = [f"ptr {p}, i64 {d}, i64 {r}" for p, d, r in zip(at, strides[::2], strides[1::2], strict=True)]
    failed = code.let(
        f"call i1 {name}(ptr {factors.lu}, ptr {factors.order}, ptr {factors.reciprocals}, i64 {n}, "
        f"i64 {k}, {', '.join(views)}, ptr {block})"
    )
    kernel.bail(failed)


def _write_substitution(rows: Rows, right: str, z_right: str) -> None:
    """Forward and back substitution, for as many columns at a time as a vector has lanes.

    Returns whether z is not finite.
    """
    code, t, lanes = rows.code, rows.type, rows.lanes
    last = code.let("sub i64 %n, 1")

    def columns(c: str, total: list[str]) -> list[str]:
        mask = rows.mask("%k", c)

        def known(i: str, start: str, first: str, stop: str) -> str:
            """Subtract the known terms of a row's sum."""

            def term(r: str, sums: list[str]) -> list[str]:
                factor = rows.get(rows.at("%lu", i, r))
                return [rows.less(sums[0], factor, rows.load(rows.at("%block", r, distance=str(lanes))))]

            return code.loop(stop, term, start=first, carried=[(code.vector(t), start)])[0]

        def forward(i: str, _: list[str]) -> list[str]:
            row = code.let(f"load i64, ptr {code.address('i64', '%order', i)}, align 8")
            if right:
                start = rows.at("%y", row, distance="%y.down")
                y = rows.read(code.address(t, start, code.let(f"mul i64 {c}, {right}")), right, mask)
            else:
                here = rows.compare("eq", rows.columns(c), row)
                y = code.select(t, here, code.constant(t, 1), rows.zero)
            rows.store(known(i, y, "0", i), rows.at("%block", i, distance=str(lanes)))
            return []

        def back(step: str, sums: list[str]) -> list[str]:
            i = code.let(f"sub i64 {last}, {step}")
            place = rows.at("%block", i, distance=str(lanes))
            z = known(i, rows.load(place), code.let(f"add i64 {i}, 1"), "%n")
            reciprocal = rows.get(code.address(t, "%reciprocals", i))
            z = code.binary("fmul", t, z, code.splat(t, reciprocal))
            rows.store(z, place)
            start = rows.at("%z", i, distance="%z.down")
            rows.write(z, code.address(t, start, code.let(f"mul i64 {c}, {z_right}")), z_right, mask)
            return [code.binary("fadd", t, sums[0], code.intrinsic("fabs", t, z))]

        code.loop("%n", forward)
        sums = code.loop("%n", back, carried=[(code.vector(t), total[0])])
        return list(sums)

    sums = code.loop("%k", columns, step=lanes, carried=[(code.vector(t), rows.zero)])
    finite = rows.between(rows.total(sums[0]), rows.number(-1))
    code.put(f"ret i1 {code.let(f'xor i1 {finite}, true')}")


def _write_column(rows: Rows) -> None:
    """Forward and back substitution for one column, a product of vectors for each row.

    Returns whether z is not finite.
    """
    code, t, lanes = rows.code, rows.type, rows.lanes
    last = code.let("sub i64 %n, 1")

    def known(i: str, start: str, stop: str, here: str) -> str:
        """Return the sum of the terms of a row whose columns are before or after `i`."""

        def part(c: str, sums: list[str]) -> list[str]:
            x = code.select(
                t, rows.compare(here, rows.columns(c), i), rows.load(rows.at("%lu", i, c)), rows.zero
            )
            return [code.intrinsic("fmuladd", t, x, rows.load(code.address(t, "%block", c)), sums[0])]

        return rows.total(
            code.loop(stop, part, start=start, step=lanes, carried=[(code.vector(t), rows.zero)])[0]
        )

    def clear(c: str, _: list[str]) -> list[str]:
        rows.store(rows.zero, code.address(t, "%block", c))
        return []

    def forward(i: str, _: list[str]) -> list[str]:
        row = code.let(f"load i64, ptr {code.address('i64', '%order', i)}, align 8")
        y = rows.get(rows.at("%y", row, distance="%y.down"))
        rows.put(code.let(f"fsub {t} {y}, {known(i, '0', i, 'slt')}"), code.address(t, "%block", i))
        return []

    def back(step: str, sizes: list[str]) -> list[str]:
        i = code.let(f"sub i64 {last}, {step}")
        place, whole = code.address(t, "%block", i), code.let(f"and i64 {i}, {-lanes}")
        left = code.let(f"fsub {t} {rows.get(place)}, {known(i, whole, '%n', 'sgt')}")
        z = code.let(f"fmul {t} {left}, {rows.get(code.address(t, '%reciprocals', i))}")
        rows.put(z, place)
        rows.put(z, rows.at("%z", i, distance="%z.down"))
        return [code.let(f"fadd {t} {sizes[0]}, {rows.scalar('fabs', z)}")]

    code.loop("%n", clear, step=lanes)
    code.loop("%n", forward)
    size = code.loop("%n", back, carried=[(t, rows.number(0))])[0]
    finite = rows.between(size, rows.number(-1))
    code.put(f"ret i1 {code.let(f'xor i1 {finite}, true')}")


def block_memory(kernel: Kernel, dtype: str) -> str:
    """Return memory for a vector of each row."""
    return scratch(kernel, TYPES[dtype], LONGEST * kernel.writer.vector_bytes // SIZES[dtype], "block")


def solve(kernel: Kernel) -> None:
    """z = x⁻¹ y: each matrix of x is factored once, for all of its right-hand sides y.

    If x is one matrix that the enclosing loops do not change, it is factored at the first step only.
    """
    x, y = kernel.call.args
    (z,) = kernel.call.outs
    assert isinstance(x, Ref)
    assert isinstance(y, Ref)
    dtype, stacked = kernel.dtype(z), z.shape[:-2]
    block, fixed = block_memory(kernel, dtype), kernel.is_fixed(x)
    x, y = broadcast(x, (*stacked, *x.shape[-2:])), broadcast(y, (*stacked, *y.shape[-2:]))
    own = [a for a, (n, s) in enumerate(zip(stacked, x.strides)) if s and n != 1]
    shared = [a for a in range(len(stacked)) if a not in own]
    once = fixed and not own
    factors = memory(kernel, dtype, f".{kernel.writer.calls}" if once else "")

    def loops(
        axes: list[int], refs: tuple[Ref, ...], pointers: list[str], body: Callable[[list[str]], None]
    ) -> None:
        shape, strides = [stacked[a] for a in axes], [[r.strides[a] for a in axes] for r in refs]
        kernel.loops(shape, strides, [dtype] * len(refs), pointers, body)

    def matrix(pointers: list[str]) -> None:
        if once:
            kernel.once(lambda: factor(kernel, x, pointers[0], factors))
        else:
            factor(kernel, x, pointers[0], factors)
        loops(shared, (y, z), pointers[1:], lambda found: substitute(kernel, factors, block, y, z, found))

    loops(own, (x, y, z), [kernel.base(r) for r in (x, y, z)], matrix)


def inv(kernel: Kernel) -> None:
    """x⁻¹"""
    (x,), (z,) = kernel.call.args, kernel.call.outs
    assert isinstance(x, Ref)
    factors, block = memory(kernel, kernel.dtype(z)), block_memory(kernel, kernel.dtype(z))

    def matrix(pointers: list[str]) -> None:
        factor(kernel, x, pointers[0], factors)
        substitute(kernel, factors, block, None, z, ["null", pointers[1]])

    stack(kernel, (x, z), matrix)
