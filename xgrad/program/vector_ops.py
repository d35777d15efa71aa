"""The elementwise ops of the table on vectors, in LLVM IR, with the values that NumPy gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from . import vector_math
from .llvm_text import TYPES, Code
from .plans import Target, Unsupported

_FLOATS = ("float32", "float64")
_ORDER = ("bool", "int32", "int64", "float32", "float64")


class Value(NamedTuple):
    """A vector by its name in the text, or a number; its dtype, None for a number that takes that of its company."""

    name: str | float
    dtype: str | None


def convert(code: Code, value: Value, dtype: str) -> str:
    """A value in another dtype."""
    if not isinstance(value.name, str):
        return code.constant(TYPES[dtype], value.name)
    old, new, name = TYPES[value.dtype or dtype], TYPES[dtype], value.name
    if old == new:
        return name
    if value.dtype in _FLOATS:
        if dtype in _FLOATS:
            return code.cast("fpext" if new == "double" else "fptrunc", old, name, new)
        if dtype == "bool":
            return code.binary("fcmp une", old, name, code.constant(old, 0))
        # what a number out of range becomes is the processor's choice, as it is NumPy's; freeze makes it some number
        return code.let(f"freeze {code.vector(new)} {code.cast('fptosi', old, name, new)}")
    if dtype in _FLOATS:
        return code.cast("uitofp" if value.dtype == "bool" else "sitofp", old, name, new)
    if dtype == "bool":
        return code.binary("icmp ne", old, name, code.constant(old, 0))
    if value.dtype == "bool":
        return code.cast("zext", old, name, new)
    return code.cast("sext" if new == "i64" else "trunc", old, name, new)


def common_dtype(args: list[Value]) -> str:
    """The dtype in which NumPy compares these values."""
    dtypes = [a.dtype for a in args if a.dtype is not None]
    largest = max(dtypes, key=_ORDER.index, default="float64")
    if largest == "float32" and any(d in ("int32", "int64") for d in dtypes):
        return "float64"
    if largest not in _FLOATS and any(a.dtype is None and isinstance(a.name, float) for a in args):
        return "float64"
    if largest == "bool":
        return "int32"
    return largest


def _arithmetic(floating: str, whole: str, logical: str) -> Callable[[Code, str, list[str]], str]:
    """An instruction for each kind of dtype."""

    def write(code: Code, dtype: str, args: list[str]) -> str:
        return code.binary(floating if dtype in _FLOATS else logical if dtype == "bool" else whole, TYPES[dtype], *args)

    return write


def _extreme(beyond: str, logical: str) -> Callable[[Code, str, list[str]], str]:
    """The greater or the smaller of two; the one that is NaN, if one is."""

    def write(code: Code, dtype: str, args: list[str]) -> str:
        (x, y), type_ = args, TYPES[dtype]
        if dtype == "bool":
            return code.binary(logical, type_, x, y)
        if dtype not in _FLOATS:
            return code.select(type_, code.binary(f"icmp s{beyond}", type_, x, y), x, y)
        keep = code.binary("or", "i1", code.binary(f"fcmp o{beyond}", type_, x, y), code.binary("fcmp uno", type_, x, x))
        return code.select(type_, keep, x, y)

    return write


maximum, minimum, plus = _extreme("ge", "or"), _extreme("le", "and"), _arithmetic("fadd contract", "add", "or")


def _negative(code: Code, dtype: str, args: list[str]) -> str:
    type_ = TYPES[dtype]
    if dtype in _FLOATS:
        return code.let(f"fneg contract {code.vector(type_)} {args[0]}")
    return code.binary("sub", type_, code.constant(type_, 0), args[0])


def _absolute(code: Code, dtype: str, args: list[str]) -> str:
    type_ = TYPES[dtype]
    if dtype in _FLOATS:
        return code.intrinsic("fabs", type_, args[0])
    if dtype == "bool":
        return args[0]
    return code.select(type_, code.binary("icmp slt", type_, args[0], code.constant(type_, 0)), _negative(code, dtype, args), args[0])


def _sign(code: Code, dtype: str, args: list[str]) -> str:
    (x,), type_ = args, TYPES[dtype]
    if dtype == "bool":
        return x
    zero, one, compare = code.constant(type_, 0), code.constant(type_, 1), "fcmp o" if dtype in _FLOATS else "icmp s"
    equal = "fcmp oeq" if dtype in _FLOATS else "icmp eq"
    rest = code.select(type_, code.binary(equal, type_, x, zero), zero, x)  # NaN stays, -0 becomes 0
    rest = code.select(type_, code.binary(f"{compare}lt", type_, x, zero), code.constant(type_, -1), rest)
    return code.select(type_, code.binary(f"{compare}gt", type_, x, zero), one, rest)


def _relu(code: Code, dtype: str, args: list[str]) -> str:
    (x,), type_ = args, TYPES[dtype]
    if dtype == "bool":
        return x
    below = code.binary("fcmp olt" if dtype in _FLOATS else "icmp slt", type_, x, code.constant(type_, 0))
    return code.select(type_, below, code.constant(type_, 0), x)


def _floor(code: Code, dtype: str, args: list[str]) -> str:
    return code.intrinsic("floor", TYPES[dtype], args[0]) if dtype in _FLOATS else args[0]


def _floating(name: str) -> Callable[[Code, str, list[str]], str]:
    """A function whose values are floating point."""

    def write(code: Code, dtype: str, args: list[str]) -> str:
        if dtype not in _FLOATS:
            raise Unsupported(f"op {name!r} of dtype {dtype} has no native form; cast its operands to a floating dtype first")
        if name == "/":
            return code.binary("fdiv contract", TYPES[dtype], *args)
        if name == "sqrt":
            return code.intrinsic("sqrt", TYPES[dtype], args[0])
        return vector_math.call(code, name, TYPES[dtype], args[0])

    return write


def _copy(code: Code, dtype: str, args: list[str]) -> str:
    return args[0]


_SAME_DTYPE: dict[str, Callable[[Code, str, list[str]], str]] = {
    "+": plus,
    "-": _arithmetic("fsub contract", "sub", "xor"),
    "*": _arithmetic("fmul contract", "mul", "and"),
    "neg": _negative,
    "maximum": maximum,
    "minimum": minimum,
    "abs": _absolute,
    "sign": _sign,
    "relu": _relu,
    "floor": _floor,
    **{name: _floating(name) for name in ("/", "sqrt", *vector_math.NAMES)},
    **dict.fromkeys(("none", "conj", "real", "astype", "round_to"), _copy),
}
_COMPARISONS = {"<": ("olt", "slt"), "<=": ("ole", "sle"), ">": ("ogt", "sgt"), ">=": ("oge", "sge"), "==": ("oeq", "eq"), "!=": ("une", "ne")}

#: The ops that `apply` knows. "**" is for floating dtypes.
SUPPORTED = frozenset({*_SAME_DTYPE, *_COMPARISONS, "**", "where", "isnan", "isfinite"})
#: What there are kernels for on the processor.
CPU = Target(SUPPORTED, frozenset(("float32", "float64", "bool", "int32", "int64")))
#: The ops that take more than a few instructions.
HEAVY = vector_math.NAMES | {"**", "/", "sqrt"}


def apply(code: Code, op: str, args: list[Value], dtype: str) -> str:
    """The value of an op in `dtype`. Raises Unsupported for what has no native form."""
    if op in _SAME_DTYPE:
        return _SAME_DTYPE[op](code, dtype, [convert(code, a, dtype) for a in args])
    if op in _COMPARISONS:
        common = common_dtype(args)
        floating, whole = _COMPARISONS[op]
        x, y = (convert(code, a, common) for a in args)
        return code.binary(f"fcmp {floating}" if common in _FLOATS else f"icmp {whole}", TYPES[common], x, y)
    if op == "where":
        condition, x, y = convert(code, args[0], "bool"), convert(code, args[1], dtype), convert(code, args[2], dtype)
        return code.select(TYPES[dtype], condition, x, y)
    if op in ("isnan", "isfinite"):
        old = args[0].dtype or "float64"
        if old not in _FLOATS:
            return code.constant("i1", op == "isfinite")
        x, type_ = convert(code, args[0], old), TYPES[old]
        if op == "isnan":
            return code.binary("fcmp uno", type_, x, x)
        return code.binary("fcmp olt", type_, code.intrinsic("fabs", type_, x), code.constant(type_, float("inf")))
    if op == "**" and dtype in _FLOATS:
        return _power(code, args, dtype)
    raise Unsupported(f"op {op!r} of dtype {dtype} has no native form; run it through the array library")


def _power(code: Code, args: list[Value], dtype: str) -> str:
    """x ** y: by products for small whole constants, by the C library in general."""
    x, y, type_ = convert(code, args[0], dtype), args[1].name, TYPES[dtype]
    if y == 0.5:  # of -inf and of -0 no root is meant
        infinite = code.binary("fcmp oeq", type_, x, code.constant(type_, float("-inf")))
        root = code.intrinsic("sqrt", type_, code.select(type_, infinite, code.constant(type_, float("inf")), x))
        return code.binary("fadd", type_, root, code.constant(type_, 0))
    if isinstance(y, str) or not abs(y) <= 8 or y != int(y):
        return code.intrinsic("pow", type_, x, convert(code, args[1], dtype))
    total: str | None = None
    n = abs(int(y))
    while n:
        if n & 1:
            total = x if total is None else code.binary("fmul", type_, total, x)
        n >>= 1
        x = code.binary("fmul", type_, x, x) if n else x
    one = code.constant(type_, 1)
    return one if total is None else total if y > 0 else code.binary("fdiv", type_, one, total)
