"""What kernels for small matrices are written with: functions that work on rows as vectors.

A matrix is copied into scratch memory whose rows are WIDTH elements apart, with zeros behind the last column.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ....lowering.plan import SIZES, Call, Ref
from ..text import TYPES, Code, Module, constant
from .nest import Kernel

#: The largest matrices that kernels take: beyond, LAPACK is as fast.
LONGEST = 32
#: The distance between rows in scratch memory: whole vectors of any size.
WIDTH = 32
#: Half of what 1 and the next number are apart, and the smallest number with all its digits.
EPSILON = {"double": 2.0**-53, "float": 2.0**-24}
TINY = {"double": 2.0**-1022, "float": 2.0**-126}


class Rows:
    """The body of a function on matrices of one floating type, as it is written."""

    def __init__(self, module: Module, type_: str, lanes: int) -> None:
        self.code, self.type, self.lanes = Code(module, lanes), type_, lanes
        self.size = SIZES["float32" if type_ == "float" else "float64"]
        self.zero = self.code.constant(type_, 0)
        self.short = "f32" if type_ == "float" else "f64"

    def number(self, value: float) -> str:
        """A number as a scalar of the type."""
        return constant(self.type, value)

    def at(self, pointer: str, row: str, column: str = "0", distance: str = str(WIDTH)) -> str:
        """The pointer to an element of scratch memory."""
        start = self.code.address(self.type, pointer, self.code.let(f"mul i64 {row}, {distance}"))
        return self.code.address(self.type, start, column)

    def get(self, pointer: str) -> str:
        """One element, as a scalar."""
        return self.code.let(f"load {self.type}, ptr {pointer}, align {self.size}")

    def put(self, x: str, pointer: str) -> None:
        """Put a scalar into memory."""
        self.code.put(f"store {self.type} {x}, ptr {pointer}, align {self.size}")

    def load(self, pointer: str) -> str:
        """A vector from scratch memory."""
        return self.code.load(self.type, pointer, self.size, None)

    def store(self, x: str, pointer: str) -> None:
        """A vector to scratch memory."""
        self.code.store(self.type, x, pointer, self.size, None)

    def read(self, pointer: str, stride: str, mask: str) -> str:
        """A vector from elements `stride` apart, as far as `mask` allows, and 0."""
        if stride == "1":
            return self.code.load(self.type, pointer, self.size, mask)
        return self.code.gather(self.type, pointer, stride, self.size, mask)

    def write(self, x: str, pointer: str, stride: str, mask: str) -> None:
        """A vector to elements `stride` apart, as far as `mask` allows."""
        if stride == "1":
            self.code.store(self.type, x, pointer, self.size, mask)
        else:
            self.code.scatter(self.type, x, pointer, stride, self.size, mask)

    def columns(self, first: str) -> str:
        """The columns from `first` on, as a vector of i64."""
        along = f"<{', '.join(f'i64 {i}' for i in range(self.lanes))}>"
        return self.code.binary("add", "i64", along, self.code.splat("i64", first))

    def compare(self, how: str, columns: str, column: str) -> str:
        """Which of the columns are so in relation to one."""
        return self.code.binary(f"icmp {how}", "i64", columns, self.code.splat("i64", column))

    def mask(self, stop: str, first: str) -> str:
        """Which columns from `first` on are before `stop`."""
        return self.compare("slt", self.columns(first), stop)

    def less(self, x: str, factor: str, y: str) -> str:
        """x - factor * y, for a scalar factor."""
        negative = self.code.let(f"fneg {self.type} {factor}")
        return self.code.intrinsic("fmuladd", self.type, self.code.splat(self.type, negative), y, x)

    def total(self, x: str) -> str:
        """The sum of a vector's lanes."""
        vector = self.code.vector(self.type)
        name = f"@llvm.vector.reduce.fadd.v{self.lanes}{self.short}"
        self.code.module.declared[name] = f"declare {self.type} {name}({self.type}, {vector})"
        return self.code.let(f"call reassoc {self.type} {name}({self.type} {self.number(0)}, {vector} {x})")

    def scalar(self, name: str, x: str) -> str:
        """An intrinsic function of one scalar."""
        full = f"@llvm.{name}.{self.short}"
        self.code.module.declared[full] = f"declare {self.type} {full}({self.type})"
        return self.code.let(f"call {self.type} {full}({self.type} {x})")

    def unless(self, condition: str, result: str) -> None:
        """Return a result where an i1 does not hold."""
        out = f"out.{self.code.name()}"
        on = f"on.{out}"
        self.code.put(f"br i1 {condition}, label %{on}, label %{out}")
        self.code.start(out)
        self.code.put(f"ret {result}")
        self.code.start(on)

    def between(self, x: str, low: str, high: str = "") -> str:
        """Whether low < x < high, which is infinity if it is left out; not where x is NaN."""
        above = self.code.let(f"fcmp ogt {self.type} {x}, {low}")
        below = self.code.let(f"fcmp olt {self.type} {x}, {high or self.number(float('inf'))}")
        return self.code.let(f"and i1 {above}, {below}")


def function(
    kernel: Kernel, name: str, dtype: str, result: str, arguments: str, body: Callable[[Rows], None]
) -> str:
    """The name of a function for a floating dtype, whose `body` is written where it is not there yet."""
    module, type_ = kernel.code.module, TYPES[dtype]
    full = f"@{name}.{type_}"
    if full not in module.functions:
        module.functions[full] = ""
        rows = Rows(module, type_, kernel.writer.vector_bytes // SIZES[dtype])
        body(rows)
        module.functions[full] = "\n".join(
            [f"define internal {result} {full}({arguments}) noinline {{", "entry:", *rows.code.lines, "}"]
        )
    return full


def scratch(kernel: Kernel, type_: str, size: int, name: str) -> str:
    """Memory for a constant number of elements, which all kernels of a program share under its name."""
    found, type_ = kernel.writer.scratch, f"[{size} x {type_}]"
    if (key := f"{name} {type_}") not in found:
        found[key] = kernel.code.outside(f"alloca {type_}, align 64")
    return found[key]


def stack(kernel: Kernel, refs: Sequence[Ref], body: Callable[[list[str]], None]) -> None:
    """`body` with a pointer to each of the views' matrices, for each matrix of a stack."""
    kernel.loops(
        refs[0].shape[:-2],
        [r.strides[:-2] for r in refs],
        [kernel.dtype(r) for r in refs],
        [kernel.base(r) for r in refs],
        body,
    )


def are_small(call: Call, dtypes: tuple[str | None, ...]) -> bool:
    """Whether all operands are of one floating dtype, the first of them small matrices."""
    x = call.args[0]
    return (
        isinstance(x, Ref)
        and all(isinstance(a, Ref) for a in call.args)
        and set(dtypes) in ({"float32"}, {"float64"})
        and max(x.shape[-2:]) <= LONGEST
    )
