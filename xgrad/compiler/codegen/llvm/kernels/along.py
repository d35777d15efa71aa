"""Ops along one axis, element by element: cumulative sums and products, sorting and searching."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ....lowering import along
from ....lowering.along import Lines, lines
from ....lowering.plan import Call, Ref
from ...element import FLOATS, HALVES, RANGES
from ..text import TYPES
from .nest import Kernel

#: The dtypes that elements are moved and compared in.
_MOVED = FLOATS | (RANGES.keys() - {"int128"})


def _lines(kernel: Kernel, of: Lines, body: Callable[[str, str], None]) -> None:
    """Run `body` with pointers to the first element of each line and of its result."""
    kernel.loops(
        of.shape,
        of.strides(),
        [kernel.dtype(of.x), kernel.dtype(of.out)],
        [kernel.base(of.x), kernel.base(of.out)],
        lambda pointers: body(*pointers),
    )


# Cumulative sums and products


def can_accumulate(call: Call, dtypes: tuple[Any, ...]) -> bool:
    """Whether a cumulative op accumulates in the dtype of its result; half precision uses a wider one."""
    return along.can_accumulate(call, dtypes, _MOVED - HALVES)


def accumulate(kernel: Kernel) -> None:
    """out[i] = out[i - 1] op x[i], starting with the initial 0 or 1 if that is included."""
    of, code = lines(kernel.call), kernel.code
    x, out, axis = of
    op, first = ("+", 0) if kernel.call.op == "cumulative_sum" else ("*", 1)
    dtype, old = kernel.dtype(out), kernel.dtype(x)
    initial = out.shape[axis] == x.shape[axis] + 1
    stride, step = (kernel.writer.number(r.strides[axis]) for r in (x, out))

    def line(source: str, target: str) -> None:
        # a sum starts at -0.0, to which a first -0.0 may be added without losing its sign
        start = kernel.constant(dtype, first or -0.0)
        if initial:
            kernel.store(dtype, kernel.constant(dtype, first), target)
            target = kernel.at(target, dtype, "1", step) if step != "0" else target

        def turn(i: str, total: list[str]) -> list[str]:
            v = kernel.cast(kernel.load(old, kernel.at(source, old, i, stride)), old, dtype)
            sofar = kernel.apply(op, dtype, total[0], v)
            kernel.store(dtype, sofar, kernel.at(target, dtype, i, step))
            return [sofar]

        length = kernel.writer.read(x.shape[axis])
        code.loop(length, turn, carried=[(code.vector(TYPES[dtype]), start)])

    _lines(kernel, of, line)


# Sorting


def can_sort(call: Call, dtypes: tuple[Any, ...]) -> bool:
    """Whether rows are short enough to be sorted by insertion."""
    return along.can_sort(call, dtypes, _MOVED)


def sort(kernel: Kernel) -> None:
    """Sort the elements of each line."""
    of = lines(kernel.call)
    x, out, axis = of
    dtype = kernel.dtype(x)
    stride, step = (kernel.writer.number(r.strides[axis]) for r in (x, out))

    def line(source: str, target: str) -> None:
        def given(i: str) -> list[str]:
            return [kernel.load(dtype, kernel.at(source, dtype, i, stride))]

        def there(j: str) -> list[str]:
            return [kernel.load(dtype, kernel.at(target, dtype, j, step))]

        def put(j: str, entry: list[str]) -> None:
            kernel.store(dtype, entry[0], kernel.at(target, dtype, j, step))

        _insertion(kernel, x.shape[axis], [dtype], given, there, put)

    _lines(kernel, of, line)


def argsort(kernel: Kernel) -> None:
    """Return the indices that sort each line."""
    of = lines(kernel.call)
    x, out, axis = of
    dtype = kernel.dtype(x)
    stride, step = (kernel.writer.number(r.strides[axis]) for r in (x, out))

    def line(source: str, target: str) -> None:
        def given(i: str) -> list[str]:
            value = kernel.load(dtype, kernel.at(source, dtype, i, stride))
            return [value, kernel.code.splat("i64", i)]

        def there(j: str) -> list[str]:
            index = kernel.load("int64", kernel.at(target, "int64", j, step))
            return [given(kernel.scalar("int64", index))[0], index]

        def put(j: str, entry: list[str]) -> None:
            kernel.store("int64", entry[1], kernel.at(target, "int64", j, step))

        _insertion(kernel, x.shape[axis], [dtype, "int64"], given, there, put)

    _lines(kernel, of, line)


def _insertion(
    kernel: Kernel,
    length: int,
    dtypes: Sequence[str],
    given: Callable[[str], list[str]],
    there: Callable[[str], list[str]],
    put: Callable[[str, list[str]], None],
) -> None:
    """Stable insertion sort of entries, which start with their value.

    `given(i)` returns the i-th entry to be sorted, `there(j)` the j-th sorted entry, and `put(j, entry)`
    stores one there.
    """
    code, types = kernel.code, [TYPES[d] for d in dtypes]
    vectors = [code.vector(t) for t in types]

    def insert(i: str, _: Sequence[str]) -> list[str]:
        def pass_by(j: str, carried: list[str]) -> list[str]:
            """Store one entry at j and carry the next: all entries after the new one move up."""
            *entry, moving = carried
            old = there(j)
            first = kernel.apply(
                "logical_or", "bool", moving, _comes_first(kernel, dtypes[0], entry[0], old[0])
            )
            put(j, [code.select(t, first, a, b) for t, a, b in zip(types, entry, old)])
            return [*(code.select(t, first, b, a) for t, a, b in zip(types, entry, old)), first]

        start = [*zip(vectors, given(i)), (code.vector("i1"), kernel.constant("bool", False))]
        put(i, code.loop(i, pass_by, carried=start)[:-1])
        return []

    code.loop(kernel.writer.read(length), insert)


def _comes_first(kernel: Kernel, dtype: str, x: str, y: str) -> str:
    """Whether `x`, now after `y`, belongs before it. NaN is the largest."""
    if kernel.call.params["descending"]:
        return _before(kernel, ">", dtype, x, y)
    return _less(kernel, dtype, x, y)


def _before(kernel: Kernel, better: str, dtype: str, x: str, y: str) -> str:
    """Whether x is better than y: NaN is better than any number, and nothing is better than NaN."""
    wins = kernel.apply(better, "bool", x, y, of=dtype)
    if dtype not in FLOATS:
        return wins
    nan = kernel.apply("isnan", "bool", x, of=dtype)
    number = kernel.apply("logical_not", "bool", kernel.apply("isnan", "bool", y, of=dtype))
    return kernel.apply("logical_or", "bool", wins, kernel.apply("logical_and", "bool", nan, number))


def _less(kernel: Kernel, dtype: str, x: str, y: str) -> str:
    """Whether x < y, where NaN is the largest."""
    wins = kernel.apply("<", "bool", x, y, of=dtype)
    if dtype not in FLOATS:
        return wins
    nan = kernel.apply("isnan", "bool", y, of=dtype)
    number = kernel.apply("logical_not", "bool", kernel.apply("isnan", "bool", x, of=dtype))
    return kernel.apply("logical_or", "bool", wins, kernel.apply("logical_and", "bool", nan, number))


# Searching


def can_search(call: Call, dtypes: tuple[Any, ...]) -> bool:
    """Whether elements of one dtype are searched for in an array that is not empty."""
    x, y = call.args
    alike = dtypes[0] == dtypes[1] and dtypes[0] in _MOVED and dtypes[2] == "int64"
    return alike and isinstance(x, Ref) and isinstance(y, Ref) and x.shape[0] > 0


def search(kernel: Kernel) -> None:
    """Binary search without branches, for the first element not less than y, or the first greater."""
    x, y = kernel.call.args
    (out,) = kernel.call.outs
    assert isinstance(x, Ref)
    assert isinstance(y, Ref)
    code, dtype, start = kernel.code, kernel.dtype(x), kernel.base(x)
    stride, length = kernel.writer.number(x.strides[0]), kernel.writer.read(x.shape[0])
    halvings = kernel.writer.read(x.shape[0].bit_length())

    def one(pointers: list[str]) -> None:
        wanted = kernel.load(dtype, pointers[0])

        def halve(_: str, found: list[str]) -> list[str]:
            """The place is among the `left + 1` from `low` on; once `left` is 0, nothing changes."""
            low, left = found
            some, half = code.let(f"icmp ne i64 {left}, 0"), code.let(f"lshr i64 {left}, 1")
            middle = code.let(f"add i64 {low}, {half}")
            read = code.let(f"select i1 {some}, i64 {middle}, i64 0")
            v = kernel.load(dtype, kernel.at(start, dtype, read, stride))
            if kernel.call.params["side"] == "left":
                before = _less(kernel, dtype, v, wanted)
            else:
                before = kernel.apply("logical_not", "bool", _less(kernel, dtype, wanted, v))
            after = code.let(f"and i1 {kernel.scalar('bool', before)}, {some}")
            rest = code.let(f"sub i64 {code.let(f'sub i64 {left}, {half}')}, 1")
            return [
                code.let(f"select i1 {after}, i64 {code.let(f'add i64 {middle}, 1')}, i64 {low}"),
                code.let(f"select i1 {after}, i64 {rest}, i64 {half}"),
            ]

        place, _ = code.loop(halvings, halve, carried=[("i64", "0"), ("i64", length)])
        kernel.store("int64", code.splat("i64", place), pointers[1])

    kernel.loops(y.shape, [y.strides, out.strides], [dtype, "int64"], [kernel.base(y), kernel.base(out)], one)
