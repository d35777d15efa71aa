"""The primitives of elementwise ops on vectors, in LLVM IR, with the values that NumPy gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...lowering.plan import Unsupported
from ..element import FLOATS, Language, Value, common_dtype, write
from . import math
from .text import TYPES, Code

#: A form of a primitive: its value for operands of one dtype.
Form = Callable[[Code, str, Sequence[str]], str]


def cast(code: Code, text: str, old: str, new: str) -> str:
    """A vector of dtype `old` in another."""
    before, after = TYPES[old], TYPES[new]
    if before == after:
        return text
    if old in FLOATS:
        if new in FLOATS:
            return code.cast("fpext" if after == "double" else "fptrunc", before, text, after)
        if new == "bool":
            return code.binary("fcmp une", before, text, code.constant(before, 0))
        # what a number out of range becomes is the processor's choice, as it is NumPy's; freeze makes it some
        # number
        return code.let(f"freeze {code.vector(after)} {code.cast('fptosi', before, text, after)}")
    if new in FLOATS:
        return code.cast("uitofp" if old == "bool" else "sitofp", before, text, after)
    if new == "bool":
        return code.binary("icmp ne", before, text, code.constant(before, 0))
    if old == "bool":
        return code.cast("zext", before, text, after)
    return code.cast("sext" if after == "i64" else "trunc", before, text, after)


def _instruction(floating: str, whole: str, logical: str = "") -> Form:
    """An instruction for each kind of dtype, "" where there is none."""

    def form(code: Code, dtype: str, args: Sequence[str]) -> str:
        instruction = floating if dtype in FLOATS else logical if dtype == "bool" else whole
        if not instruction:
            raise Unsupported("it has no native form; cast its operands to another dtype first")
        return code.binary(instruction, TYPES[dtype], *args)

    return form


def _compared(floating: str, whole: str) -> Form:
    """A comparison; of bools, which are numbers of one bit, without a sign."""
    unsigned = whole if whole in ("eq", "ne") else whole.replace("s", "u")
    return _instruction(f"fcmp {floating}", f"icmp {whole}", f"icmp {unsigned}")


def _negative(code: Code, dtype: str, args: Sequence[str]) -> str:
    if dtype in FLOATS:
        return code.let(f"fneg contract {code.vector(TYPES[dtype])} {args[0]}")
    return code.binary("sub", TYPES[dtype], code.constant(TYPES[dtype], 0), args[0])


def _absolute(code: Code, dtype: str, args: Sequence[str]) -> str:
    type_ = TYPES[dtype]
    if dtype in FLOATS:
        return code.intrinsic("fabs", type_, args[0])
    if dtype == "bool":
        return args[0]
    return code.select(type_, _below_zero(code, dtype, args), _negative(code, dtype, args), args[0])


def _below_zero(code: Code, dtype: str, args: Sequence[str]) -> str:
    """Whether the sign is set; no bool has one."""
    if dtype == "bool":
        return code.constant("i1", False)
    whole = {"float": "i32", "double": "i64"}.get(TYPES[dtype], TYPES[dtype])
    bits = code.cast("bitcast", TYPES[dtype], args[0], whole) if dtype in FLOATS else args[0]
    return code.binary("icmp slt", whole, bits, code.constant(whole, 0))


def _isnan(code: Code, dtype: str, args: Sequence[str]) -> str:
    return (
        code.binary("fcmp uno", TYPES[dtype], args[0], args[0])
        if dtype in FLOATS
        else code.constant("i1", False)
    )


def _isfinite(code: Code, dtype: str, args: Sequence[str]) -> str:
    type_ = TYPES[dtype]
    if dtype not in FLOATS:
        return code.constant("i1", True)
    return code.binary(
        "fcmp olt", type_, code.intrinsic("fabs", type_, args[0]), code.constant(type_, float("inf"))
    )


def _where(code: Code, dtype: str, args: Sequence[str]) -> str:
    return code.select(TYPES[dtype], *args)


def _logical(instruction: str) -> Form:
    return lambda code, dtype, args: code.binary(instruction, "i1", *args)


def _not(code: Code, dtype: str, args: Sequence[str]) -> str:
    return code.binary("xor", "i1", args[0], code.constant("i1", True))


def _invert(code: Code, dtype: str, args: Sequence[str]) -> str:
    return code.binary(
        "xor", TYPES[dtype], args[0], code.constant(TYPES[dtype], True if dtype == "bool" else -1)
    )


def _shift(instruction: str) -> Form:
    """A shift; beyond the width, or by what is negative, it leaves nothing but the sign, as in NumPy."""

    def form(code: Code, dtype: str, args: Sequence[str]) -> str:
        (x, y), type_ = args, TYPES[dtype]
        if dtype == "bool":
            raise Unsupported("it has no native form")
        most = code.constant(type_, int(type_[1:]) - 1)
        inside = code.binary("icmp ule", type_, y, most)
        if instruction == "ashr":
            return code.binary("ashr", type_, x, code.select(type_, inside, y, most))
        return code.select(type_, inside, code.binary("shl", type_, x, y), code.constant(type_, 0))

    return form


def _divided(quotient: bool) -> Form:
    """Floor division of integers, or its remainder: 0 by zero, as in NumPy, and what overflows wraps
    around."""

    def form(code: Code, dtype: str, args: Sequence[str]) -> str:
        (x, y), type_ = args, TYPES[dtype]
        if dtype == "bool" or dtype in FLOATS:
            raise Unsupported("it has no native form")
        zero, one, minus = (code.constant(type_, n) for n in (0, 1, -1))
        by_zero, by_minus = code.binary("icmp eq", type_, y, zero), code.binary("icmp eq", type_, y, minus)
        # which the processor divides by
        by = code.select(type_, code.binary("or", "i1", by_zero, by_minus), one, y)
        found = code.binary("sdiv", type_, x, by)
        rest = code.binary("sub", type_, x, code.binary("mul", type_, found, by))
        signs = code.binary("icmp slt", type_, code.binary("xor", type_, rest, by), zero)
        across = code.binary("and", "i1", code.binary("icmp ne", type_, rest, zero), signs)
        if not quotient:
            return code.binary("add", type_, rest, code.select(type_, across, by, zero))
        found = code.binary("add", type_, found, code.select(type_, across, minus, zero))
        found = code.select(type_, by_minus, code.binary("sub", type_, zero, x), found)
        return code.select(type_, by_zero, zero, found)

    return form


def _intrinsic(name: str, exact: bool = False) -> Form:
    """A function that LLVM has; of integers it gives these, where it is `exact`."""

    def form(code: Code, dtype: str, args: Sequence[str]) -> str:
        if dtype in FLOATS:
            return code.intrinsic(name, TYPES[dtype], *args)
        if exact:
            return args[0]
        raise Unsupported("it has no native form; cast its operands to a floating dtype first")

    return form


def _function(name: str) -> Form:
    """A function of `vector_math`."""

    def form(code: Code, dtype: str, args: Sequence[str]) -> str:
        if dtype not in FLOATS:
            raise Unsupported("it has no native form; cast its operands to a floating dtype first")
        return math.call(code, name, TYPES[dtype], *args)

    return form


FORMS: dict[str, Form] = {
    "add": _instruction("fadd contract", "add", "or"),
    "subtract": _instruction("fsub contract", "sub", "xor"),
    "multiply": _instruction("fmul contract", "mul", "and"),
    "divide": _instruction("fdiv contract", ""),
    "negative": _negative,
    "less": _compared("olt", "slt"),
    "less_equal": _compared("ole", "sle"),
    "greater": _compared("ogt", "sgt"),
    "greater_equal": _compared("oge", "sge"),
    "equal": _compared("oeq", "eq"),
    "not_equal": _compared("une", "ne"),
    "logical_and": _logical("and"),
    "logical_or": _logical("or"),
    "logical_not": _not,
    "bitwise_and": _instruction("", "and", "and"),
    "bitwise_or": _instruction("", "or", "or"),
    "bitwise_xor": _instruction("", "xor", "xor"),
    "invert": _invert,
    "left_shift": _shift("shl"),
    "right_shift": _shift("ashr"),
    "floor_divide": _divided(True),
    "remainder": _divided(False),
    "where": _where,
    "abs": _absolute,
    "signbit": _below_zero,
    "isnan": _isnan,
    "isfinite": _isfinite,
    **{name: _intrinsic(name, exact=True) for name in ("floor", "ceil", "trunc")},
    "round": _intrinsic("rint", exact=True),
    **{name: _intrinsic(name) for name in ("sqrt", "copysign", "pow")},
    **{name: _function(name) for name in math.NAMES},
}


class _Vectors(Language):
    """LLVM IR for a vector of elements."""

    def __init__(self, code: Code) -> None:
        self.code = code

    def number(self, value: float, dtype: str) -> str:
        return self.code.constant(TYPES[dtype], value)

    def cast(self, text: str, old: str, new: str) -> str:
        return cast(self.code, text, old, new)

    def call(self, name: str, args: Sequence[str], dtype: str) -> str:
        if name not in FORMS:
            raise Unsupported(f"{name} has no native form; run it through the array library")
        return FORMS[name](self.code, dtype, args)


def apply(code: Code, op: str, args: Sequence[Value], dtype: str) -> str:
    """The value of an op in `dtype`. Raises Unsupported for what has no native form."""
    computed = common_dtype(args) if dtype == "bool" and op != "where" else dtype
    return write(_Vectors(code), op, args, dtype, computed)
