"""Tools for writing kernels for small matrices: functions on rows as vectors.

A matrix is copied into scratch memory whose rows are WIDTH elements apart, padded with zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ....lowering.plan import SIZES, Call, Ref
from ..text import TYPES, Code, Module, constant
from .nest import Kernel

#: The largest matrices that kernels take; beyond this, LAPACK is as fast.
LONGEST = 64
#: The distance between rows in scratch memory: whole vectors of any size.
WIDTH = 64
#: Half the distance from 1 to the next number, and the smallest normal number.
EPSILON = {"double": 2.0**-53, "float": 2.0**-24}
TINY = {"double": 2.0**-1022, "float": 2.0**-126}


class Rows:
    """The body of a function on matrices of one floating type, while it is written."""

    def __init__(self, module: Module, type_: str, lanes: int) -> None:
        self.code, self.type, self.lanes = Code(module, lanes), type_, lanes
        self.size = SIZES["float32" if type_ == "float" else "float64"]
        self.zero = self.code.constant(type_, 0)
        self.short = "f32" if type_ == "float" else "f64"

    def number(self, value: float) -> str:
        """Write a number as a scalar of the type."""
        return constant(self.type, value)

    def at(self, pointer: str, row: str, column: str = "0", distance: str = str(WIDTH)) -> str:
        """Return the pointer to an element of scratch memory."""
        start = self.code.address(self.type, pointer, self.code.let(f"mul i64 {row}, {distance}"))
        return self.code.address(self.type, start, column)

    def get(self, pointer: str) -> str:
        """Load one element as a scalar."""
        return self.code.let(f"load {self.type}, ptr {pointer}, align {self.size}")

    def put(self, x: str, pointer: str) -> None:
        """Store a scalar."""
        self.code.put(f"store {self.type} {x}, ptr {pointer}, align {self.size}")

    def load(self, pointer: str) -> str:
        """Load a vector from scratch memory."""
        return self.code.load(self.type, pointer, self.size, None)

    def store(self, x: str, pointer: str) -> None:
        """Store a vector to scratch memory."""
        self.code.store(self.type, x, pointer, self.size, None)

    def read(self, pointer: str, stride: str, mask: str) -> str:
        """Load a vector from elements `stride` apart where `mask` is set, and 0 elsewhere."""
        if stride == "1":
            return self.code.load(self.type, pointer, self.size, mask)
        return self.code.gather(self.type, pointer, stride, self.size, mask)

    def write(self, x: str, pointer: str, stride: str, mask: str) -> None:
        """Store a vector to elements `stride` apart where `mask` is set."""
        if stride == "1":
            self.code.store(self.type, x, pointer, self.size, mask)
        else:
            self.code.scatter(self.type, x, pointer, stride, self.size, mask)

    def columns(self, first: str) -> str:
        """Return the indices of the columns from `first` on, as a vector of i64."""
        along = f"<{', '.join(f'i64 {i}' for i in range(self.lanes))}>"
        return self.code.binary("add", "i64", along, self.code.splat("i64", first))

    def compare(self, how: str, columns: str, column: str) -> str:
        """Compare a vector of columns with one column."""
        return self.code.binary(f"icmp {how}", "i64", columns, self.code.splat("i64", column))

    def mask(self, stop: str, first: str) -> str:
        """Return the mask of the columns from `first` on that are before `stop`."""
        return self.compare("slt", self.columns(first), stop)

    def less(self, x: str, factor: str, y: str) -> str:
        """x - factor * y, for a scalar factor."""
        negative = self.code.let(f"fneg {self.type} {factor}")
        return self.code.intrinsic("fmuladd", self.type, self.code.splat(self.type, negative), y, x)

    def total(self, x: str) -> str:
        """Sum a vector's lanes."""
        vector = self.code.vector(self.type)
        name = f"@llvm.vector.reduce.fadd.v{self.lanes}{self.short}"
        self.code.module.declared[name] = f"declare {self.type} {name}({self.type}, {vector})"
        return self.code.let(f"call reassoc {self.type} {name}({self.type} {self.number(0)}, {vector} {x})")

    def scalar(self, name: str, x: str) -> str:
        """Apply an intrinsic function to one scalar."""
        full = f"@llvm.{name}.{self.short}"
        self.code.module.declared[full] = f"declare {self.type} {full}({self.type})"
        return self.code.let(f"call {self.type} {full}({self.type} {x})")

    def unless(self, condition: str, result: str) -> None:
        """Return a result unless an i1 holds."""
        out = f"out.{self.code.name()}"
        on = f"on.{out}"
        self.code.put(f"br i1 {condition}, label %{on}, label %{out}")
        self.code.start(out)
        self.code.put(f"ret {result}")
        self.code.start(on)

    def between(self, x: str, low: str, high: str = "") -> str:
        """Whether low < x < high, with high infinity by default; false if x is NaN."""
        above = self.code.let(f"fcmp ogt {self.type} {x}, {low}")
        below = self.code.let(f"fcmp olt {self.type} {x}, {high or self.number(float('inf'))}")
        return self.code.let(f"and i1 {above}, {below}")


def function(
    kernel: Kernel, name: str, dtype: str, result: str, arguments: str, body: Callable[[Rows], None]
) -> str:
    """Return the name of a function for a floating dtype; its `body` is written at first use."""
    module, type_ = kernel.code.module, TYPES[dtype]
    full = f"@{name}.{type_}"
    if full not in module.functions:
        module.functions[full] = ""
        rows = Rows(module, type_, kernel.writer.vector_bytes // SIZES[dtype])
        body(rows)
        module.functions[full] = "\n".join(
            [
                f"define internal {result} {full}({arguments}) noinline {{",
                "entry:",
                *rows.code.head,
                *rows.code.lines,
                "}",
            ]
        )
    return full


def scratch(kernel: Kernel, type_: str, size: int, name: str) -> str:
    """Return memory for a fixed number of elements, shared under its name by all kernels of a program."""
    found, type_ = kernel.writer.scratch, f"[{size} x {type_}]"
    if (key := f"{name} {type_}") not in found:
        found[key] = kernel.code.outside(f"alloca {type_}, align 64")
    return found[key]


def stack(kernel: Kernel, refs: Sequence[Ref], body: Callable[[list[str]], None]) -> None:
    """Run `body` with a pointer to each view's matrix, for each matrix of a stack."""
    kernel.loops(
        refs[0].shape[:-2],
        [r.strides[:-2] for r in refs],
        [kernel.dtype(r) for r in refs],
        [kernel.base(r) for r in refs],
        body,
    )


def are_small(call: Call, dtypes: tuple[str | None, ...]) -> bool:
    """Whether all operands have the same floating dtype, and the first holds small matrices."""
    x = call.args[0]
    return (
        isinstance(x, Ref)
        and all(isinstance(a, Ref) for a in call.args)
        and set(dtypes) in ({"float32"}, {"float64"})
        and max(x.shape[-2:]) <= LONGEST
    )
