"""What kernels are written with: nests of loops over views, element by element."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ....lowering.plan import SIZES, Call, Map, Ref
from ...element import Value
from .. import element
from ..text import TYPES, Code, stored

if TYPE_CHECKING:
    from ..plan import _Writer


class Kernel:
    """A call that is being written: its operands, and a way out to the array library.

    `turns` are the steps of the loops around it, `bail(condition)` leaves the kernel where an i1 holds: the
    array library then computes the call from the start, or raises its error.
    """

    def __init__(self, writer: _Writer, call: Call, turns: list[str], bail: Callable[[str], None]) -> None:
        self.writer, self.call, self.turns, self.bail = writer, call, turns, bail
        self.code: Code = writer.code

    def dtype(self, ref: Ref) -> str:
        """The dtype of what lies at a ref."""
        return self.writer.plan.buffers[ref.buffer].dtype

    def base(self, ref: Ref) -> str:
        """The pointer to the first element of a ref at this step."""
        return self.writer.pointer(ref, self.turns)

    def loops(
        self,
        shape: Sequence[int],
        strides: Sequence[Sequence[int]],
        dtypes: Sequence[str],
        pointers: Sequence[str],
        body: Callable[[list[str]], None],
    ) -> None:
        """`body(pointers)` for each index of `shape`, with pointers that move by their strides, in
        elements."""
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
        """The pointer to an element `index` strides on."""
        if stride == "0":
            return pointer
        place = index if stride == "1" else self.code.let(f"mul i64 {index}, {stride}")
        return self.code.address(stored(dtype), pointer, place)

    def load(self, dtype: str, pointer: str) -> str:
        """One element, as `apply` takes it."""
        code, type_ = self.code, stored(dtype)
        return element.from_memory(code, code.load(type_, pointer, SIZES[dtype], None), dtype)

    def store(self, dtype: str, x: str, pointer: str) -> None:
        """Put one element into memory."""
        self.code.store(stored(dtype), element.to_memory(self.code, x, dtype), pointer, SIZES[dtype], None)

    def apply(self, op: str, dtype: str, *args: str | float, of: str = "") -> str:
        """An elementwise op with a result of `dtype`, of elements of the dtype `of`, or of `dtype`; Python
        numbers are numbers."""
        given = [Value(a, (of or dtype) if isinstance(a, str) else None) for a in args]
        return element.apply(self.code, op, given, dtype)

    def constant(self, dtype: str, value: float) -> str:
        """A number as an element. Raises Unsupported for one that the dtype does not have."""
        return self.apply("none", dtype, value)

    def cast(self, x: str, old: str, new: str) -> str:
        """An element in another dtype."""
        return element.cast(self.code, x, old, new)

    def scalar(self, dtype: str, x: str) -> str:
        """An element as LLVM's scalar, for conditions and addresses."""
        return self.code.let(f"extractelement <1 x {TYPES[dtype]}> {x}, i64 0")

    def map(self, item: Map) -> None:
        """Write a map as part of the kernel."""
        self.writer.map(item, self.turns)

    def index(self, dtype: str, pointer: str, length: int) -> str:
        """An index that lies at `pointer` as a scalar i64 from 0 on, for an axis of that length: from the end
        where it is negative. Bails out where it is out of bounds."""
        code = self.code
        i = self.scalar("int64", self.cast(self.load(dtype, pointer), dtype, "int64"))
        size = self.writer.read(length)
        negative = code.let(f"icmp slt i64 {i}, 0")
        i = code.let(f"add i64 {i}, {code.let(f'select i1 {negative}, i64 {size}, i64 0')}")
        self.bail(code.let(f"icmp uge i64 {i}, {size}"))
        return i


def refs_of(call: Call) -> list[Any]:
    """The arguments of a call that are views, and its results."""
    return [*(a for a in call.args if isinstance(a, Ref)), *call.outs]
