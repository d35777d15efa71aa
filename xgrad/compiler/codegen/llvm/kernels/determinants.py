"""Determinants of small matrices, and cofactors, from their LU factors."""

from __future__ import annotations

from collections.abc import Callable

from ....lowering.plan import SIZES, Ref
from ..text import TYPES
from .lu import Factors, block_memory, factor, memory, substitute
from .nest import Kernel
from .rows import TINY, WIDTH, Rows, scratch, stack


def determinant(kernel: Kernel, x: Ref, factors: Factors, swaps: str) -> str:
    """Return the product of the pivots, with its sign.

    Bails out if a partial product comes too near to 0 or to infinity.
    """
    code, dtype = kernel.code, kernel.dtype(x)
    t, size = TYPES[dtype], SIZES[dtype]
    odd = code.let(f"trunc i64 {swaps} to i1")
    rows = Rows(code.module, t, 1)
    rows.code = code

    def turn(i: str, found: list[str]) -> list[str]:
        place = code.let(f"mul i64 {i}, {WIDTH + 1}")
        pivot = code.let(f"load {t}, ptr {code.address(t, factors.lu, place)}, align {size}")
        z = code.let(f"fmul {t} {found[0]}, {pivot}")
        kernel.bail(code.let(f"xor i1 {rows.between(rows.scalar('fabs', z), rows.number(TINY[t]))}, true"))
        return [z]

    one = code.let(f"select i1 {odd}, {t} {rows.number(-1)}, {t} {rows.number(1)}")
    return code.loop(kernel.writer.read(x.shape[-1]), turn, carried=[(t, one)])[0]


def det(kernel: Kernel) -> None:
    """The determinant."""
    (x,), (z,) = kernel.call.args, kernel.call.outs
    assert isinstance(x, Ref)
    factors, dtype = memory(kernel, kernel.dtype(z)), kernel.dtype(z)

    def matrix(pointers: list[str]) -> None:
        found = determinant(kernel, x, factors, factor(kernel, x, pointers[0], factors))
        kernel.store(dtype, kernel.code.splat(TYPES[dtype], found), pointers[1])

    stack(kernel, (x, _as_matrices(z)), matrix)


def _as_matrices(ref: Ref) -> Ref:
    """View one number per matrix as matrices, with two axes of length 1."""
    return ref._replace(shape=(*ref.shape, 1, 1), strides=(*ref.strides, 0, 0))


def slogdet(kernel: Kernel) -> None:
    """The sign and the logarithm of the absolute value of the determinant."""
    (x,), (sign, log), code = kernel.call.args, kernel.call.outs, kernel.code
    assert isinstance(x, Ref)
    dtype = kernel.dtype(log)
    t, vector = TYPES[dtype], code.vector(TYPES[dtype])
    factors = memory(kernel, dtype)

    def matrix(pointers: list[str]) -> None:
        swaps = factor(kernel, x, pointers[0], factors)
        odd = code.let(f"trunc i64 {swaps} to i1")
        one = code.let(f"select i1 {odd}, {vector} {code.constant(t, -1)}, {vector} {code.constant(t, 1)}")

        def turn(i: str, found: list[str]) -> list[str]:
            pivot = kernel.load(dtype, kernel.at(factors.lu, dtype, i, str(WIDTH + 1)))
            size = kernel.apply("abs", dtype, pivot)
            negative = kernel.apply("<", "bool", pivot, 0.0, of=dtype)
            return [
                code.select(t, negative, kernel.apply("negative", dtype, found[0]), found[0]),
                kernel.apply("+", dtype, found[1], kernel.apply("log", dtype, size)),
            ]

        first = [(vector, one), (vector, code.constant(t, 0))]
        for pointer, v in zip(pointers[1:], code.loop(kernel.writer.read(x.shape[-1]), turn, carried=first)):
            kernel.store(dtype, v, pointer)

    stack(kernel, (x, _as_matrices(sign), _as_matrices(log)), matrix)


def cofactor(kernel: Kernel) -> None:
    """det(x) x⁻ᵀ, where x is far from singular.

    Otherwise the array library computes it from singular values, which also works for singular matrices.
    """
    (x,), (z,), code = kernel.call.args, kernel.call.outs, kernel.code
    assert isinstance(x, Ref)
    dtype, n = kernel.dtype(z), x.shape[-1]
    t = TYPES[dtype]
    factors, block = memory(kernel, dtype), block_memory(kernel, dtype)
    total = scratch(kernel, t, 1, "total")
    turned = z._replace(strides=(*z.strides[:-2], z.strides[-1], z.strides[-2]))

    def elements(pointer: str, body: Callable[[list[str]], None]) -> None:
        kernel.loops(z.shape[-2:], [z.strides[-2:]], [dtype], [pointer], body)

    def matrix(pointers: list[str]) -> None:
        swaps = factor(kernel, x, pointers[0], factors)
        det = code.splat(t, determinant(kernel, x, factors, swaps))
        substitute(kernel, factors, block, None, turned, ["null", pointers[1]])
        kernel.store(dtype, kernel.constant(dtype, 0), total)

        def add(found: list[str]) -> None:
            size = kernel.apply("abs", dtype, kernel.load(dtype, found[0]))
            kernel.store(dtype, kernel.apply("+", dtype, kernel.load(dtype, total), size), total)

        elements(pointers[1], add)
        size = kernel.load(dtype, kernel.at(factors.reciprocals, dtype, kernel.writer.read(n), "1"))
        condition = kernel.apply("*", dtype, size, kernel.load(dtype, total))
        good = kernel.apply("<", "bool", condition, 100.0 * n * n + 1, of=dtype)
        kernel.bail(code.let(f"xor i1 {kernel.scalar('bool', good)}, true"))
        elements(
            pointers[1],
            lambda found: kernel.store(
                dtype, kernel.apply("*", dtype, kernel.load(dtype, found[0]), det), found[0]
            ),
        )

    stack(kernel, (x, z), matrix)
