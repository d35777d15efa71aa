"""The primitives of elementwise ops on vectors, in LLVM IR, with the same values as in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...lowering.plan import Unsupported
from ..element import FLOATS, HALVES, Language, Value, common_dtype, write
from ..element import rounded as rounded_number
from . import math
from .text import TYPES, Code

#: A form of a primitive: its value for operands of one dtype.
Form = Callable[[Code, str, Sequence[str]], str]


def cast(code: Code, text: str, old: str, new: str) -> str:
    """Cast a vector of dtype `old` to another."""
    if old == new:
        return text
    before, after = TYPES[old], TYPES[new]
    if new in HALVES:
        return _half(code, text, old, new)
    if old in FLOATS:
        if new in FLOATS:
            short = "fpext" if after == "double" else "fptrunc"
            return text if before == after else code.cast(short, before, text, after)
        if new == "bool":
            return code.binary("fcmp une", before, text, code.constant(before, 0))
        return _whole(code, text, before, new)
    if new in FLOATS:
        return code.cast("uitofp" if _unsigned(old) else "sitofp", before, text, after)
    if new == "bool":
        return code.binary("icmp ne", before, text, code.constant(before, 0))
    if before == after:
        return text
    longer = "zext" if _unsigned(old) else "sext"
    return code.cast(longer if int(after[1:]) > int(before[1:]) else "trunc", before, text, after)


def _unsigned(dtype: str) -> bool:
    return dtype == "bool" or dtype.startswith("uint")


def _whole(code: Code, x: str, type_: str, dtype: str) -> str:
    """Truncate a floating-point number to an integer.

    The result for a number out of range is the processor's choice, as in NumPy; freeze makes it an arbitrary
    but fixed number. Short integers are truncated from 32-bit ones, and unsigned ones from the next width, so
    that negative numbers wrap around.
    """
    wide = "i64" if dtype in ("int64", "uint64", "uint32") else "i32"
    if dtype == "uint64":  # from half of its range on, convert the part above that
        half = code.constant(type_, 2.0**63)
        large = code.binary("fcmp oge", type_, x, half)
        x = code.select(type_, large, code.binary("fsub", type_, x, half), x)
        found = code.let(f"freeze {code.vector(wide)} {code.cast('fptosi', type_, x, wide)}")
        top = code.select(wide, large, code.constant(wide, 2**63), code.constant(wide, 0))
        return code.binary("xor", wide, found, top)
    found = code.let(f"freeze {code.vector(wide)} {code.cast('fptosi', type_, x, wide)}")
    return found if TYPES[dtype] == wide else code.cast("trunc", wide, found, TYPES[dtype])


def _half(code: Code, x: str, old: str, new: str) -> str:
    """Round a value to half precision, kept as a float."""
    before = TYPES[old]
    if old not in FLOATS:
        x = code.cast("uitofp" if _unsigned(old) else "sitofp", before, x, "float")
    elif before == "double":
        if new == "float16":
            # avoids double rounding: the last bit of the float stands for all bits after it
            bits, mask = code.cast("bitcast", "double", x, "i64"), 2**29 - 1
            rest = code.binary("and", "i64", bits, code.constant("i64", mask))
            last = code.select(
                "i64",
                code.binary("icmp ne", "i64", rest, code.constant("i64", 0)),
                code.constant("i64", mask + 1),
                code.constant("i64", 0),
            )
            bits = code.binary(
                "or", "i64", code.binary("and", "i64", bits, code.constant("i64", ~mask)), last
            )
            x = code.cast("bitcast", "i64", bits, "double")
        x = code.cast("fptrunc", "double", x, "float")
    return rounded(code, x, new)


def rounded(code: Code, x: str, dtype: str) -> str:
    """Round a float to half precision."""
    if dtype == "float16":
        if not code.module.half:
            raise Unsupported("this processor has no instruction for float16; use float32")
        return code.cast("fpext", "half", code.cast("fptrunc", "float", x, "half"), "float")
    bits = code.cast("bitcast", "float", x, "i32")
    odd = code.binary(
        "and", "i32", code.binary("lshr", "i32", bits, code.constant("i32", 16)), code.constant("i32", 1)
    )
    up = code.binary("add", "i32", bits, code.binary("add", "i32", odd, code.constant("i32", 0x7FFF)))
    nan = code.binary("fcmp uno", "float", x, x)
    up = code.select("i32", nan, code.binary("or", "i32", bits, code.constant("i32", 0x400000)), up)
    return code.cast(
        "bitcast", "i32", code.binary("and", "i32", up, code.constant("i32", 0xFFFF0000)), "float"
    )


def from_memory(code: Code, x: str, dtype: str) -> str:
    """Convert a vector just loaded from memory to a vector of values."""
    if dtype == "bool":
        return code.binary("icmp ne", "i8", x, "zeroinitializer")
    if dtype == "float16":
        if not code.module.half:
            raise Unsupported("this processor has no instruction for float16; use float32")
        return code.cast("fpext", "half", code.cast("bitcast", "i16", x, "half"), "float")
    if dtype == "bfloat16":
        bits = code.binary("shl", "i32", code.cast("zext", "i16", x, "i32"), code.constant("i32", 16))
        return code.cast("bitcast", "i32", bits, "float")
    return x


def to_memory(code: Code, x: str, dtype: str) -> str:
    """Convert a vector of values to its form in memory."""
    if dtype == "bool":
        return code.cast("zext", "i1", x, "i8")
    if dtype == "float16":
        return code.cast("bitcast", "half", code.cast("fptrunc", "float", x, "half"), "i16")
    if dtype == "bfloat16":
        bits = code.cast("bitcast", "float", x, "i32")
        return code.cast("trunc", "i32", code.binary("lshr", "i32", bits, code.constant("i32", 16)), "i16")
    return x


def _instruction(floating: str, whole: str, logical: str = "", unsigned: str = "") -> Form:
    """An instruction for each kind of dtype, "" where there is none.

    `unsigned` is given where it differs from `whole`.
    """

    def form(code: Code, dtype: str, args: Sequence[str]) -> str:
        of_integers = unsigned if unsigned and _unsigned(dtype) else whole
        instruction = floating if dtype in FLOATS else logical if dtype == "bool" else of_integers
        if not instruction:
            raise Unsupported("it has no native form; cast its operands to another dtype first")
        return code.binary(instruction, TYPES[dtype], *args)

    return form


def _compared(floating: str, whole: str) -> Form:
    """A comparison; bools are compared as unsigned one-bit numbers."""
    unsigned = whole if whole in ("eq", "ne") else whole.replace("s", "u")
    return _instruction(f"fcmp {floating}", f"icmp {whole}", f"icmp {unsigned}", f"icmp {unsigned}")


def _negative(code: Code, dtype: str, args: Sequence[str]) -> str:
    if dtype in FLOATS:
        return code.let(f"fneg contract {code.vector(TYPES[dtype])} {args[0]}")
    return code.binary("sub", TYPES[dtype], code.constant(TYPES[dtype], 0), args[0])


def _absolute(code: Code, dtype: str, args: Sequence[str]) -> str:
    type_ = TYPES[dtype]
    if dtype in FLOATS:
        return code.intrinsic("fabs", type_, args[0])
    if _unsigned(dtype):
        return args[0]
    return code.select(type_, _below_zero(code, dtype, args), _negative(code, dtype, args), args[0])


def _below_zero(code: Code, dtype: str, args: Sequence[str]) -> str:
    """Whether the sign is set; bools and unsigned integers have none."""
    if _unsigned(dtype):
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
    """A shift. By a negative amount, or beyond the width, only the sign remains, as in NumPy."""

    def form(code: Code, dtype: str, args: Sequence[str]) -> str:
        (x, y), type_ = args, TYPES[dtype]
        if dtype == "bool":
            raise Unsupported("it has no native form")
        most = code.constant(type_, int(type_[1:]) - 1)
        inside = code.binary("icmp ule", type_, y, most)
        if instruction == "ashr" and not _unsigned(dtype):
            return code.binary("ashr", type_, x, code.select(type_, inside, y, most))
        shifted = code.binary("lshr" if instruction == "ashr" else "shl", type_, x, y)
        return code.select(type_, inside, shifted, code.constant(type_, 0))

    return form


def _divided(quotient: bool) -> Form:
    """Floor division of integers, or its remainder.

    Division by zero gives 0, as in NumPy, and overflow wraps around.
    """

    def form(code: Code, dtype: str, args: Sequence[str]) -> str:
        (x, y), type_ = args, TYPES[dtype]
        if dtype == "bool" or dtype in FLOATS:
            raise Unsupported("it has no native form")
        zero, one, minus = (code.constant(type_, n) for n in (0, 1, -1))
        if _unsigned(dtype):
            by_zero = code.binary("icmp eq", type_, y, zero)
            by = code.select(type_, by_zero, one, y)
            if not quotient:
                return code.binary("urem", type_, x, by)
            return code.select(type_, by_zero, zero, code.binary("udiv", type_, x, by))
        by_zero, by_minus = code.binary("icmp eq", type_, y, zero), code.binary("icmp eq", type_, y, minus)
        # the divisor that the processor uses
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
    """An LLVM intrinsic; where it is `exact`, integers are returned unchanged."""

    def form(code: Code, dtype: str, args: Sequence[str]) -> str:
        if dtype in FLOATS:
            return code.intrinsic(name, TYPES[dtype], *args)
        if exact:
            return args[0]
        raise Unsupported("it has no native form; cast its operands to a floating dtype first")

    return form


def _function(name: str) -> Form:
    """A function of `math.py`."""

    def form(code: Code, dtype: str, args: Sequence[str]) -> str:
        if dtype not in FLOATS:
            raise Unsupported("it has no native form; cast its operands to a floating dtype first")
        if name == "nextafter" and dtype in HALVES:  # half precision rounds the next float back
            raise Unsupported("there is none of half precision")
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
    **{name: _intrinsic(name) for name in ("sqrt", "copysign")},
    **{name: _function(name) for name in math.NAMES},
}


class _Vectors(Language):
    """LLVM IR for vectors of elements."""

    def __init__(self, code: Code) -> None:
        self.code = code

    def number(self, value: float, dtype: str) -> str:
        if dtype in HALVES and isinstance(value, float):
            value = rounded_number(value, dtype)
        return self.code.constant(TYPES[dtype], value)

    def cast(self, text: str, old: str, new: str) -> str:
        return cast(self.code, text, old, new)

    def call(self, name: str, args: Sequence[str], dtype: str) -> str:
        if name not in FORMS:
            raise Unsupported(f"{name} has no native form; run it through the array library")
        return FORMS[name](self.code, dtype, args)


def apply(code: Code, op: str, args: Sequence[Value], dtype: str) -> str:
    """Return the value of an op in `dtype`. Raises Unsupported if it has no native form."""
    computed = common_dtype(args) if dtype == "bool" and op != "where" else dtype
    z = write(_Vectors(code), op, args, dtype, computed)
    return rounded(code, z, dtype) if dtype in HALVES else z
