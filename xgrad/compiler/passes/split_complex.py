"""Complex lowering: each complex value becomes two real ones, its real and its imaginary part.

    z = x * y      re_z = re_x * re_y - im_x * im_y,  im_z = re_x * im_y + im_x * re_y
    z = x @ y      four real products, two where one of them is real
    z = x[key]     re_z = re_x[key],  im_z = im_x[key]

So executors only need real numbers. Elementwise ops are split according to their scalar definitions (see
`ops/complex_scalars.py`, which also covers infinities). Ops that move or add up elements are applied to each
part, and loops carry both parts.

Complex values remain at the edges of a program, and around stages that cannot be split, such as a Fourier
transform: "real" and "imag" take such a value apart, and "complex" builds it from its parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...backends import find_device
from ...backends.dtypes import canonical
from ...ops import OPS
from ...ops.complex_scalars import LIMITS, NoComplexMeaning, Parts, parts_of
from ...ops.scalars import PRIMITIVES, Call, Scalar, calls
from ...ops.shaping import broadcast_shapes
from ..ir import PARTS, Carry, Item, Loop, Operand, Pair, Program, Stage, Value, everything, is_complex
from ..names import Names
from .fourier import is_short, transformed

#: A part of a value: another value, or a number that stands for an array filled with it.
Part = Value | float
#: Ops that move elements, or add them up with real weights, and how many of their operands hold elements
#: rather than indices; None means all.
_EACH_PART: dict[str, int | None] = {
    "reshape": 1,
    "transpose": 1,
    "broadcast_to": 1,
    "getitem": 1,
    "scatter": 1,
    "setitem": 2,
    "take": 1,
    "untake": 1,
    "concat": None,
    "stack": None,
    "tril": 1,
    "triu": 1,
    "sum": 1,
    "mean": 1,
    "cumulative_sum": 1,
}
#: Ops whose scalar definition only holds for real numbers, with the one for complex numbers.
_SCALARS: dict[str, Scalar] = {
    "sign": Call("sign", ("x",)),
    "complex_sign": Call("sign", ("x",)),
    "isinf": Call("isinf", ("x",)),
    "astype": Call("not_equal", ("x", 0)),  # to bool: other casts are applied to each part
    "round_to": Call("not_equal", ("x", 0)),
}
#: The op that computes each primitive.
_OP_OF = {
    op.kernel.scalar.name: op.name
    for op in OPS.values()
    if op.kernel.pointwise and isinstance(op.kernel.scalar, Call) and op.kernel.scalar.args == op.operands
}


def has_complex(program: Program) -> bool:
    """Whether a program has complex values, or transforms of real ones that stand for complex ones."""
    given = (*program.inputs, *program.outputs)
    return any(map(is_complex, given)) or any(
        is_complex(v) or is_short(s)
        for s in everything(program.stages)
        for v in (*s.values, *s.outputs, *(s.inner if isinstance(s, Loop) else s.operands))
    )


def split_complex(program: Program) -> Program:
    """Split complex values, except at the program's edges and around stages that need them whole."""
    if not has_complex(program):
        return program
    splitting = _Splitting(Names.beside(program))
    for v in program.inputs:
        if is_complex(v):
            splitting.take_apart(v)
            splitting.whole[v] = v
    splitting.items(program.stages)
    outputs = tuple(splitting.packed(v) for v in program.outputs)
    return replace(program, stages=tuple(splitting.stages), outputs=outputs)


def _number(name: str, args: Sequence[Any]) -> float:
    """Apply a primitive to numbers."""
    xp, function = find_device("cpu").xp, PRIMITIVES[name].numpy
    assert function is not None
    with xp.errstate(all="ignore"):
        return getattr(xp, function)(*map(float, args)).item()  # type: ignore[no-any-return]


class _Splitting:
    """A program being split: its stages so far, the parts of complex values, and those that exist whole."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.stages: list[Item] = []
        self.parts: dict[Value, tuple[Part, Part]] = {}
        self.whole: dict[Value, Value] = {}
        self.source = ""

    def items(self, items: Iterable[Item]) -> None:
        """Add stages, split into parts."""
        for item in items:
            if isinstance(item, Loop):
                self.loop(item)
            elif is_short(item) or any(map(is_complex, (*item.operands, *item.outputs))):
                self.source = item.source
                self.stage(item)
            else:
                self.stages.append(item)

    # Values and their parts

    def add(
        self,
        op: str,
        operands: Sequence[Operand],
        shape: tuple[int, ...],
        dtype: str,
        params: Mapping[str, Any] | None = None,
    ) -> Value:
        """Add a stage and return its output."""
        value = self.names.new(shape, dtype)
        self.stages.append(Stage(op, tuple(operands), (value,), params or {}, self.source))
        return value

    def take_apart(self, v: Value) -> None:
        """Split a complex value that exists whole."""
        real, imag = (self.add(op, (v,), v.shape, PARTS[v.dtype]) for op in ("real", "imag"))
        self.parts[v] = real, imag

    def packed(self, v: Operand) -> Operand:
        """Return an operand as a whole, if it is complex."""
        if not isinstance(v, Value) or not is_complex(v):
            return v
        if v not in self.whole:
            parts = [self.value(part, v.shape, PARTS[v.dtype]) for part in self.parts[v]]
            self.whole[v] = self.add("complex", parts, v.shape, v.dtype)
        return self.whole[v]

    def value(self, part: Part, shape: tuple[int, ...], dtype: str) -> Value:
        """Return a part as an array; a number becomes an array filled with it."""
        if isinstance(part, Value):
            return part
        made = {"function": "full", "args": (shape, part), "dtype": canonical(dtype), "options": {}}
        return self.add("new", (), shape, dtype, made)

    def cast(self, v: Operand, dtype: str) -> Part:
        """Cast a real operand to the dtype of the parts."""
        if not isinstance(v, Value):
            return v.real if isinstance(v, complex) else float(v)
        return (
            v if v.dtype == dtype else self.add("astype", (v,), v.shape, dtype, {"dtype": canonical(dtype)})
        )

    def parts_of(self, v: Operand, dtype: str) -> tuple[Part, Part]:
        """Return an operand's parts in a dtype. The parts of a number are numbers."""
        if not isinstance(v, Value):
            return float(v.real), float(v.imag)
        if is_complex(v):
            real, imag = self.parts[v]
            return self.cast(real, dtype), self.cast(imag, dtype)
        return self.cast(v, dtype), 0.0

    # Stages

    def stage(self, s: Stage) -> None:
        """Add one stage that takes or returns complex numbers."""
        if s.op in _EACH_PART:
            self.each_part(s)
        elif is_short(s):
            self.transform(s)
        elif s.op == "@":
            self.product(s)
        elif s.op in ("conj", "real", "imag"):
            real, imag = self.parts_of(s.operands[0], PARTS.get(s.output.dtype, s.output.dtype))
            if s.op == "conj":
                negative = self.add("neg", (imag,), *imag[1:]) if isinstance(imag, Value) else -imag
                self.give(s, real, negative)
            else:
                self.give(s, real if s.op == "real" else imag)
        elif s.op in ("astype", "round_to") and s.output.dtype != "bool":
            dtype = PARTS.get(s.output.dtype, s.output.dtype)
            self.give(s, *self.parts_of(s.operands[0], dtype)[: 1 + is_complex(s.output)])
        elif s.op == "after":
            self.after(s)
        elif s.op == "new" and s.filling is not None:
            number = complex(s.filling)
            self.parts[s.output] = number.real, number.imag
        elif not self.is_elementwise(s) or not self.elementwise(s):
            self.opaque(s)

    def give(self, s: Stage, real: Part, imag: Part | None = None) -> None:
        """Set the output of a stage: its two parts, or its value if it is real."""
        if imag is not None:
            self.parts[s.output] = real, imag
        else:
            value = self.value(real, s.output.shape, s.output.dtype)
            self.stages.append(Stage("none", (value,), s.outputs, {}, s.source))

    def opaque(self, s: Stage) -> None:
        """Add a stage that takes complex operands whole, and split its complex outputs again."""
        self.stages.append(replace(s, operands=tuple(map(self.packed, s.operands))))
        for v in s.outputs:
            if is_complex(v):
                self.take_apart(v)
                self.whole[v] = v

    def each_part(self, s: Stage) -> None:
        """Apply the op to the real parts, and to the imaginary parts."""
        count, (shape, dtype) = _EACH_PART[s.op] or len(s.operands), (s.output.shape, PARTS[s.output.dtype])
        pairs = [self.parts_of(v, dtype) for v in s.operands[:count]]

        def of(number: int) -> Value:
            parts = [
                self.value(pair[number], v.shape, dtype) if isinstance(v, Value) else pair[number]
                for v, pair in zip(s.operands, pairs)
            ]
            return self.add(s.op, (*parts, *s.operands[count:]), shape, dtype, s.params)

        self.give(s, of(0), of(1))

    def after(self, s: Stage) -> None:
        """Return `x`, ordered after `y`: after its real part is computed."""
        x, y = s.operands
        then = self.parts[y][0] if isinstance(y, Value) and is_complex(y) else y
        if not is_complex(x):
            self.stages.append(replace(s, operands=(x, then)))
            return

        def late(part: Part) -> Part:
            return self.add("after", (part, then), *part[1:]) if isinstance(part, Value) else part

        real, imag = self.parts_of(x, PARTS[s.output.dtype])
        self.give(s, late(real), late(imag))

    def product(self, s: Stage) -> None:
        """(a + bi)(c + di) for matrices, leaving out products with parts that are 0."""
        shape, dtype = s.output.shape, PARTS[s.output.dtype]
        (a, b), (c, d) = (self.matrices(v, dtype) for v in s.operands)

        def times(x: Value | None, y: Value | None) -> Value | None:
            return None if x is None or y is None else self.add("@", (x, y), shape, dtype)

        def added(x: Value | None, y: Value | None, op: str) -> Part:
            if x is not None and y is not None:
                return self.add(op, (x, y), shape, dtype)
            if y is not None:
                return y if op == "+" else self.add("neg", (y,), shape, dtype)
            return 0.0 if x is None else x

        self.give(s, added(times(a, c), times(b, d), "-"), added(times(a, d), times(b, c), "+"))

    def transform(self, s: Stage) -> None:
        """A Fourier transform as products of its operand's parts."""
        parts = self.matrices(s.operands[0], PARTS.get(s.output.dtype, s.output.dtype))
        self.give(s, *(transformed(s, parts, self.add) if any(parts) else [0.0] * (1 + is_complex(s.output))))

    def matrices(self, v: Operand, dtype: str) -> list[Value | None]:
        """Return an operand's parts as arrays; None for a part that is 0."""
        assert isinstance(v, Value)
        return [None if part == 0.0 else self.value(part, v.shape, dtype) for part in self.parts_of(v, dtype)]

    def is_elementwise(self, s: Stage) -> bool:
        """Whether its op has a scalar definition."""
        op = s.entry
        return (
            op is not None and op.kernel.pointwise and (op.kernel.scalar is not None or op.name in _SCALARS)
        )

    def elementwise(self, s: Stage) -> bool:
        """Add an elementwise op by its scalar definition; return False if it has no complex meaning."""
        dtype = PARTS.get(s.output.dtype) or self.compared(s)
        entry = OPS[s.op]
        known: dict[str, Part] = {}
        operands: dict[str, Parts] = {}
        before = len(self.stages)

        def named(name: str, part: Part) -> Scalar:
            """Return a part as a leaf of an expression: a value's name, or a number."""
            if not isinstance(part, Value):
                return part
            known[name] = part
            return name

        for name, v in zip(entry.operands, s.operands, strict=True):
            if name == "condition" and isinstance(v, Value) and not is_complex(v):
                operands[name] = Parts(named(name, v))
                continue
            real, imag = self.parts_of(v, dtype)
            operands[name] = Parts(named(f"{name}.real", real), named(f"{name}.imag", imag))
        scalar = _SCALARS.get(entry.name, entry.kernel.scalar)
        assert scalar is not None
        try:
            found = parts_of(scalar, operands, LIMITS[dtype])
        except NoComplexMeaning:
            del self.stages[before:]
            return False
        written: dict[int, Part] = {}
        real = self.spread(self.written(found.real, known, dtype, written), s.output)
        if not is_complex(s.output):
            self.give(s, real)
        elif found.imag is None:
            self.give(s, real, 0.0)
        else:
            self.give(s, real, self.spread(self.written(found.imag, known, dtype, written), s.output))
        return True

    def compared(self, s: Stage) -> str:
        """Return the dtype of the parts in which operands are compared or measured."""
        xp: Any = find_device("cpu").xp
        dtypes = [canonical(v.dtype) for v in s.values]
        return PARTS[canonical(xp.result_type(*dtypes, canonical("complex64"))).name]

    def spread(self, part: Part, like: Value) -> Part:
        """Broadcast a part to the shape of its value, since it may not depend on every operand."""
        if type(part) is not Value or part.shape == like.shape:
            return part
        return self.add("broadcast_to", (part,), like.shape, part.dtype, {"shape": like.shape})

    def written(
        self, scalar: Scalar, known: Mapping[str, Part], dtype: str, written: dict[int, Part]
    ) -> Part:
        """Add the stages of a real expression, reusing those already `written`."""

        def of(part: Scalar) -> Part:
            if isinstance(part, Call):
                return written[id(part)]
            return known[part] if isinstance(part, str) else part

        for call in calls(scalar):
            if id(call) not in written:
                written[id(call)] = self.primitive(call.name, [of(a) for a in call.args], dtype)
        return of(scalar)

    def primitive(self, name: str, args: list[Part], dtype: str) -> Part:
        """Add one primitive of real numbers; on numbers alone, compute it."""
        if name == "where" and not isinstance(args[0], Value):
            return args[1] if args[0] else args[2]
        shapes = [a.shape for a in args if isinstance(a, Value)]
        if not shapes:
            return _number(name, args)
        if name == "where" and not isinstance(args[1], Value) and not isinstance(args[2], Value):
            args[1] = self.value(args[1], (), dtype)  # two numbers alone would not have the dtype
        truth = PRIMITIVES[name].truth
        return self.add(_OP_OF[name], args, broadcast_shapes(*shapes), "bool" if truth else dtype)

    # Loops

    def loop(self, loop: Loop) -> None:
        """Add a loop that carries, reads and writes both parts."""
        inits = {c: self.parts_of(c.init, PARTS[c.inner.dtype]) for c in loop.carry if is_complex(c.inner)}
        for c in inits:
            self.parts[c.inner] = self.two(c.inner)
        xs = [pair for x in loop.xs for pair in self.slices(x)]
        outside = self.stages, self.whole
        self.stages, self.whole = [], dict(self.whole)
        self.items(loop.stages)
        carry: list[Carry] = []
        for c in loop.carry:
            carry += self.carried(c, *inits[c]) if c in inits else [c]
        ys = [pair for y in loop.ys for pair in self.stacks(y)]
        stages = tuple(self.stages)
        self.stages, self.whole = outside
        self.stages.append(replace(loop, carry=tuple(carry), xs=tuple(xs), ys=tuple(ys), stages=stages))

    def carried(self, c: Carry, real: Part, imag: Part) -> list[Carry]:
        """Return two carries for one, starting at these parts."""
        first, second = (v for v in self.parts[c.inner] if isinstance(v, Value))
        after = self.parts_of(c.next, PARTS[c.inner.dtype])
        if c.final is None:
            return [Carry(first, real, after[0], None), Carry(second, imag, after[1], None)]
        last = self.parts[c.final] = self.two(c.final)
        return [Carry(first, real, after[0], last[0]), Carry(second, imag, after[1], last[1])]

    def slices(self, x: Pair) -> list[Pair]:
        """Return the slices of both parts, leaving out a part that is the same number everywhere."""
        if not is_complex(x.inner):
            return [x]
        inner: list[Part] = []
        found: list[Pair] = []
        for part in self.parts[x.outer]:
            if isinstance(part, Value):
                found.append(Pair(self.names.new(x.inner.shape, part.dtype), part))
                inner.append(found[-1].inner)
            else:
                inner.append(part)
        self.parts[x.inner] = inner[0], inner[1]
        return found

    def stacks(self, y: Pair) -> list[Pair]:
        """Return the stacked outputs for a complex one."""
        if not is_complex(y.outer):
            return [y]
        self.parts[y.outer] = outer = self.two(y.outer)
        inner = self.parts_of(y.inner, PARTS[y.outer.dtype])
        return [Pair(part, whole) for part, whole in zip(inner, outer)]  # type: ignore[arg-type]

    def two(self, v: Value) -> tuple[Value, Value]:
        """Return new values for the parts of another."""
        return self.names.new(v.shape, PARTS[v.dtype]), self.names.new(v.shape, PARTS[v.dtype])
