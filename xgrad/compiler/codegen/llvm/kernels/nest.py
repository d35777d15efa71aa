"""Tools for writing kernels: nests of loops over views, element by element."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ....lowering.plan import SIZES, Call, Map, Ref
from ...element import Value
from .. import element
from ..text import TYPES, Code, stored

if TYPE_CHECKING:
    from ..plan import Writer


class Kernel:
    """A call being written: its operands, and an exit to the array library.

    `turns` are the steps of the enclosing loops. `bail(condition)` leaves the kernel if an i1 holds: the
    array library then computes the call from the start, or raises its error.
    """

    def __init__(self, writer: Writer, call: Call, turns: list[str], bail: Callable[[str], None]) -> None:
        self.writer, self.call, self.turns, self.bail = writer, call, turns, bail
        self.code: Code = writer.code

    def dtype(self, ref: Ref) -> str:
        """Return the dtype of a ref's elements."""
        return self.writer.plan.buffers[ref.buffer].dtype

    def base(self, ref: Ref) -> str:
        """Return the pointer to the first element of a ref at this step."""
        return self.writer.pointer(ref, self.turns)

    def is_fixed(self, ref: Ref) -> bool:
        """Whether the call is in a loop, at whose steps a ref always has the same elements."""
        return bool(self.turns) and not any(ref.steps) and ref.buffer not in self.writer.changing

    def once(self, body: Callable[[], object]) -> None:
        """Run `body` at the first step of the enclosing loops, and at each following one if it bailed out."""
        code = self.code
        done = code.outside("alloca i1")
        code.head.append(f"  store i1 false, ptr {done}")

        def first() -> list[str]:
            body()
            code.put(f"store i1 true, ptr {done}")
            return []

        code.when(code.let(f"xor i1 {code.let(f'load i1, ptr {done}')}, true"), first)

    def loops(
        self,
        shape: Sequence[int],
        strides: Sequence[Sequence[int]],
        dtypes: Sequence[str],
        pointers: Sequence[str],
        body: Callable[[list[str]], None],
    ) -> None:
        """Run `body(pointers)` for each index of `shape`.

        The pointers move by their strides, which are in elements.
        """
        code = self.code
        if not shape:
            body(list(pointers))
            return
        along = [self.writer.number(s[0]) for s in strides]

        def turn(i: str, _: list[str]) -> list[str]:
            moved = [self.at(p, d, i, s) for p, d, s in zip(pointers, dtypes, along)]
            self.loops(shape[1:], [s[1:] for s in strides], dtypes, moved, body)
            return []

        code.loop(self.writer.read(shape[0]), turn)

    def at(self, pointer: str, dtype: str, index: str, stride: str) -> str:
        """Return the pointer to the element `index` strides further."""
        if stride == "0":
            return pointer
        place = index if stride == "1" else self.code.let(f"mul i64 {index}, {stride}")
        return self.code.address(stored(dtype), pointer, place)

    def load(self, dtype: str, pointer: str) -> str:
        """Load one element, in the form that `apply` takes."""
        code, type_ = self.code, stored(dtype)
        return element.from_memory(code, code.load(type_, pointer, SIZES[dtype], None), dtype)

    def store(self, dtype: str, x: str, pointer: str) -> None:
        """Store one element."""
        self.code.store(stored(dtype), element.to_memory(self.code, x, dtype), pointer, SIZES[dtype], None)

    def apply(self, op: str, dtype: str, *args: str | float, of: str = "") -> str:
        """Apply an elementwise op with a result of `dtype`.

        Its operands have the dtype `of`, or else `dtype`; Python numbers are literals.
        """
        given = [Value(a, (of or dtype) if isinstance(a, str) else None) for a in args]
        return element.apply(self.code, op, given, dtype)

    def constant(self, dtype: str, value: float) -> str:
        """Return a number as an element. Raises Unsupported if the dtype does not have it."""
        return self.apply("none", dtype, value)

    def cast(self, x: str, old: str, new: str) -> str:
        """Cast an element to another dtype."""
        return element.cast(self.code, x, old, new)

    def scalar(self, dtype: str, x: str) -> str:
        """Return an element as an LLVM scalar, for conditions and addresses."""
        return self.code.let(f"extractelement <1 x {TYPES[dtype]}> {x}, i64 0")

    def map(self, item: Map) -> None:
        """Write a map as part of the kernel."""
        self.writer.map(item, self.turns)

    def index(self, dtype: str, pointer: str, length: int) -> str:
        """Load an index as a non-negative i64, for an axis of that length.

        A negative index counts from the end. Bails out if the index is out of bounds.
        """
        code = self.code
        i = self.scalar("int64", self.cast(self.load(dtype, pointer), dtype, "int64"))
        size = self.writer.read(length)
        negative = code.let(f"icmp slt i64 {i}, 0")
        i = code.let(f"add i64 {i}, {code.let(f'select i1 {negative}, i64 {size}, i64 0')}")
        self.bail(code.let(f"icmp uge i64 {i}, {size}"))
        return i


def refs_of(call: Call) -> list[Any]:
    """Return the arguments of a call that are views, and its results."""
    return [*(a for a in call.args if isinstance(a, Ref)), *call.outs]
