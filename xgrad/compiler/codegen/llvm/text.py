"""Writing LLVM IR as text: types, constants, instructions in SSA form, blocks and loops."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

#: LLVM's type for a value of each dtype in a register. Half precision is computed in float. "int128" is not
#: an array dtype: integers are compared in it when no other dtype holds them all.
TYPES = {
    "bool": "i1",
    **{f"{sign}int{bits}": f"i{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
    "int128": "i128",
    "float16": "float",
    "bfloat16": "float",
    "float32": "float",
    "float64": "double",
}
_STORED = TYPES | {"bool": "i8", "float16": "i16", "bfloat16": "i16"}
_SHORT = {"float": "f32", "double": "f64"}


def stored(dtype: str) -> str:
    """Return the type of an element in memory: a bool is a byte, and half precision is stored as bits."""
    return _STORED[dtype]


def constant(type_: str, value: float) -> str:
    """Write a number as a constant of a scalar type.

    Floating constants are written by their bits, so none is rounded twice.
    """
    if type_ == "i1":
        return "true" if value else "false"
    if type_.startswith("i"):
        bits = int(type_[1:])
        return str((int(value) + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1))  # wrapped around
    if type_ == "float" and abs(value) != float("inf"):
        value = (
            struct.unpack("<f", struct.pack("<f", value))[0]
            if abs(value) < 3.4028235677973366e38
            else value * float("inf")
        )
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


class Module:
    """The functions written so far, and the declarations that they need.

    `half` says whether the processor converts float16.
    """

    def __init__(self, half: bool = True) -> None:
        self.half = half
        self.functions: dict[str, str] = {}
        self.declared: dict[str, str] = {}

    def text(self) -> str:
        """Return the module as text."""
        return "\n".join([*self.declared.values(), *self.functions.values(), "!0 = !{}", ""])


class Code:
    """The body of one function while it is written, for vectors of `lanes` elements.

    A value is represented by its name in the text, such as "%v3".
    """

    def __init__(self, module: Module, lanes: int) -> None:
        self.module = module
        self.lanes = lanes
        self.head: list[str] = []  # instructions placed before all lines
        self.lines: list[str] = []
        self.block = "entry"
        self._names = 0

    def name(self) -> str:
        """Return an unused name."""
        self._names += 1
        return f"v{self._names}"

    def put(self, line: str) -> None:
        """Write an instruction without a result."""
        self.lines.append(f"  {line}")

    def let(self, instruction: str) -> str:
        """Write an instruction and return its result."""
        name = f"%{self.name()}"
        self.lines.append(f"  {name} = {instruction}")
        return name

    def start(self, block: str) -> None:
        """Begin a block; the previous one must have ended with a branch."""
        self.lines.append(f"{block}:")
        self.block = block

    def outside(self, instruction: str) -> str:
        """Write an instruction at the beginning of the function and return its result."""
        name = f"%{self.name()}"
        self.head.append(f"  {name} = {instruction}")
        return name

    def leave(self, condition: str, block: str) -> None:
        """Branch to another block if an i1 holds, else continue."""
        on = self.name()
        self.put(f"br i1 {condition}, label %{block}, label %{on}")
        self.start(on)

    def vector(self, type_: str) -> str:
        """Return the vector type of a scalar type."""
        return f"<{self.lanes} x {type_}>"

    def constant(self, type_: str, value: float) -> str:
        """Return a vector with `value` in every lane."""
        element = f"{type_} {constant(type_, value)}"
        return f"<{', '.join([element] * self.lanes)}>"

    def splat(self, type_: str, scalar: str) -> str:
        """Return a vector with `scalar` in every lane."""
        first = self.let(f"insertelement {self.vector(type_)} poison, {type_} {scalar}, i64 0")
        return self.let(
            f"shufflevector {self.vector(type_)} {first}, {self.vector(type_)} poison, "
            f"{self.vector('i32')} zeroinitializer"
        )

    def shuffle(self, type_: str, x: str, y: str, lanes: Sequence[int]) -> str:
        """Select lanes of the concatenation of `x` and `y`."""
        mask = ", ".join(f"i32 {i}" for i in lanes)
        return self.let(
            f"shufflevector {self.vector(type_)} {x}, {self.vector(type_)} {y}, <{len(lanes)} x i32> <{mask}>"
        )

    def binary(self, instruction: str, type_: str, x: str, y: str) -> str:
        """Apply an instruction to two vectors of one type."""
        return self.let(f"{instruction} {self.vector(type_)} {x}, {y}")

    def select(self, type_: str, condition: str, x: str, y: str) -> str:
        """Return x where `condition` holds, and y elsewhere."""
        return self.let(
            f"select {self.vector('i1')} {condition}, {self.vector(type_)} {x}, {self.vector(type_)} {y}"
        )

    def cast(self, instruction: str, old: str, x: str, new: str) -> str:
        """Convert a vector to another type."""
        return self.let(f"{instruction} {self.vector(old)} {x} to {self.vector(new)}")

    def intrinsic(self, name: str, type_: str, *args: str) -> str:
        """Call an LLVM intrinsic on vectors of one floating type, with a result of that type."""
        full, vector = f"@llvm.{name}.v{self.lanes}{_SHORT[type_]}", self.vector(type_)
        self.module.declared[full] = f"declare {vector} {full}({', '.join([vector] * len(args))})"
        return self.let(f"call contract {vector} {full}({', '.join(f'{vector} {x}' for x in args)})")

    def load(self, type_: str, pointer: str, size: int, mask: str | None) -> str:
        """Load `lanes` contiguous elements; with a mask, those that it sets, and 0 elsewhere."""
        vector = self.vector(type_)
        if mask is None:
            return self.let(f"load {vector}, ptr {pointer}, align {size}")
        full = f"@llvm.masked.load.v{self.lanes}{_SHORT.get(type_, type_)}.p0"
        self.module.declared[full] = f"declare {vector} {full}(ptr, i32, {self.vector('i1')}, {vector})"
        return self.let(
            f"call {vector} {full}(ptr {pointer}, i32 {size}, {self.vector('i1')} {mask}, {vector} "
            f"zeroinitializer)"
        )

    def store(self, type_: str, x: str, pointer: str, size: int, mask: str | None) -> None:
        """Store a vector to contiguous memory; with a mask, the lanes that it sets."""
        vector = self.vector(type_)
        if mask is None:
            self.put(f"store {vector} {x}, ptr {pointer}, align {size}")
            return
        full = f"@llvm.masked.store.v{self.lanes}{_SHORT.get(type_, type_)}.p0"
        self.module.declared[full] = f"declare void {full}({vector}, ptr, i32, {self.vector('i1')})"
        self.put(f"call void {full}({vector} {x}, ptr {pointer}, i32 {size}, {self.vector('i1')} {mask})")

    def _apart(self, type_: str, pointer: str, stride: str) -> str:
        """Return pointers to elements `stride` apart."""
        steps = self.binary(
            "mul", "i64", f"<{', '.join(f'i64 {i}' for i in range(self.lanes))}>", self.splat("i64", stride)
        )
        return self.let(f"getelementptr {type_}, ptr {pointer}, {self.vector('i64')} {steps}")

    def gather(self, type_: str, pointer: str, stride: str, size: int, mask: str | None) -> str:
        """Like `load`, for elements `stride` apart."""
        vector, ones = self.vector(type_), self.constant("i1", True)
        full = f"@llvm.masked.gather.v{self.lanes}{_SHORT.get(type_, type_)}.v{self.lanes}p0"
        self.module.declared[full] = (
            f"declare {vector} {full}({self.vector('ptr')}, i32, {self.vector('i1')}, {vector})"
        )
        pointers = f"{self.vector('ptr')} {self._apart(type_, pointer, stride)}"
        return self.let(
            f"call {vector} {full}({pointers}, i32 {size}, {self.vector('i1')} {mask or ones}, "
            f"{vector} zeroinitializer)"
        )

    def scatter(self, type_: str, x: str, pointer: str, stride: str, size: int, mask: str | None) -> None:
        """Like `store`, for elements `stride` apart."""
        vector, ones = self.vector(type_), self.constant("i1", True)
        full = f"@llvm.masked.scatter.v{self.lanes}{_SHORT.get(type_, type_)}.v{self.lanes}p0"
        self.module.declared[full] = (
            f"declare void {full}({vector}, {self.vector('ptr')}, i32, {self.vector('i1')})"
        )
        pointers = self._apart(type_, pointer, stride)
        self.put(
            f"call void {full}({vector} {x}, {self.vector('ptr')} {pointers}, i32 {size}, "
            f"{self.vector('i1')} {mask or ones})"
        )

    def first(self, count: str) -> str:
        """Return the mask of the first `count` lanes, an i64 of at most the number of lanes."""
        short = self.let(f"trunc i64 {count} to i32")
        return self.binary(
            "icmp ult",
            "i32",
            f"<{', '.join(f'i32 {i}' for i in range(self.lanes))}>",
            self.splat("i32", short),
        )

    def address(self, type_: str, pointer: str, index: str) -> str:
        """Return the pointer to the element `index` places further."""
        return pointer if index == "0" else self.let(f"getelementptr {type_}, ptr {pointer}, i64 {index}")

    def loop(
        self,
        stop: str,
        body: Callable[[str, list[str]], Sequence[str]],
        start: str = "0",
        step: int = 1,
        carried: Sequence[tuple[str, str]] = (),
    ) -> list[str]:
        """Write a loop: `body(i, values)` for i = start, start + step, ... below `stop`.

        `carried` has the type and initial value of each loop-carried value; `body` returns the next values.
        Returns the final ones.
        """
        before, index = self.block, self.name()
        head, inside, after = f"head.{index}", f"body.{index}", f"exit.{index}"
        self.put(f"br label %{head}")
        self.start(head)
        values = [f"%{self.name()}" for _ in carried]
        at = len(self.lines)
        self.lines += [""] * (1 + len(values))
        more = self.let(f"icmp slt i64 %{index}, {stop}")
        self.put(f"br i1 {more}, label %{inside}, label %{after}")
        self.start(inside)
        results = body(f"%{index}", values)
        following = self.let(f"add nsw i64 %{index}, {step}")
        self.put(f"br label %{head}")
        self.lines[at] = f"  %{index} = phi i64 [ {start}, %{before} ], [ {following}, %{self.block} ]"
        for i, ((type_, first), value, result) in enumerate(zip(carried, values, results, strict=True)):
            self.lines[at + 1 + i] = (
                f"  {value} = phi {type_} [ {first}, %{before} ], [ {result}, %{self.block} ]"
            )
        self.start(after)
        return values

    def when(
        self, condition: str, body: Callable[[], Sequence[str]], otherwise: Sequence[tuple[str, str]] = ()
    ) -> list[str]:
        """Write a branch: `body()` if an i1 holds.

        `otherwise` has the types and values of its results if it does not.
        """
        before, name = self.block, self.name()
        self.put(f"br i1 {condition}, label %then.{name}, label %after.{name}")
        self.start(f"then.{name}")
        results = body()
        last = self.block
        self.put(f"br label %after.{name}")
        self.start(f"after.{name}")
        return [
            self.let(f"phi {type_} [ {x}, %{last} ], [ {value}, %{before} ]")
            for (type_, value), x in zip(otherwise, results, strict=True)
        ]
