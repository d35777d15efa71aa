"""The steps of a map as lines of C."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

from ...lowering.plan import Step, Unsupported
from ..element import Language, Value, common_dtype, rounded, write

#: The C types in which values are computed and stored.
COMPUTED = {
    "float16": "float",
    "bfloat16": "float",
    "float32": "float",
    "float64": "double",
    "bool": "bool",
    "int32": "int",
    "int64": "long long",
}
STORED = COMPUTED | {"float16": "unsigned short", "bfloat16": "unsigned short"}
STORED |= {"int8": "signed char", "uint8": "unsigned char", "int16": "short", "uint16": "unsigned short"}
STORED |= {"uint32": "unsigned", "uint64": "unsigned long long"}
_HALF = {"float16": "half", "bfloat16": "bfloat16"}


def is_real(dtype: str) -> bool:
    """Whether a dtype is floating point."""
    return COMPUTED[dtype] in ("float", "double")


def sum_dtype(dtype: str) -> str:
    """Return the dtype in which numbers of this dtype are summed."""
    return "float32" if dtype in _HALF else dtype


def loaded(text: str, dtype: str) -> str:
    """Convert a stored element to a value to compute with."""
    return f"{_HALF[dtype]}_to_float({text})" if dtype in _HALF else text


def stored(text: str, old: str, new: str) -> str:
    """Convert a value of dtype `old` to an element of dtype `new`."""
    return f"float_to_{_HALF[new]}({text})" if new in _HALF else converted(text, old, new)


def converted(text: str, old: str, new: str) -> str:
    """Convert a value to another dtype, rounding it."""
    if new == old:
        return text
    if new in _HALF:
        return f"{_HALF[new]}_to_float(float_to_{_HALF[new]}({text}))"
    return text if COMPUTED[new] == COMPUTED[old] else f"({COMPUTED[new]})({text})"


def literal(value: Any, dtype: str) -> str:
    """Write a number as a C literal of this dtype."""
    if dtype == "bool":
        return "true" if value else "false"
    if not is_real(dtype):
        return f"{int(value)}LL" if dtype == "int64" else str(int(value))
    value = rounded(float(value), dtype)
    if value != value or abs(value) == inf:
        bits = "0x7fc00000u" if value != value else "0x7f800000u" if value > 0 else "0xff800000u"
        return (
            f"__uint_as_float({bits})" if COMPUTED[dtype] == "float" else f"(double)__uint_as_float({bits})"
        )
    suffix = "f" if COMPUTED[dtype] == "float" else ""
    return f"{value!r}{suffix}" if value >= 0 and str(value)[0] != "-" else f"({value!r}{suffix})"


def lines(steps: Sequence[Step], dtypes: Mapping[int, str]) -> list[str]:
    """Write a line or more for each step: `const float v2 = v0 + v1;`.

    Values are named v and their number; `dtypes` maps each number to its dtype.
    """
    found: list[str] = []
    for step in steps:
        language = _C(f"v{step.value}")
        given = [
            Value(a, None) if is_number else Value(f"v{a}", dtypes[int(a)])
            for a, is_number in zip(step.args, step.literal)
        ]
        text = write(language, step.op, given, step.dtype, _computed(step, given))
        found += [*language.lines, f"const {COMPUTED[step.dtype]} v{step.value} = {_bare(text)};"]
        used = set(re.findall(r"v\d+", " ".join([*language.lines, text])))
        found += [
            f"(void){v.name};" for v in dict.fromkeys(given) if isinstance(v.name, str) and v.name not in used
        ]
    return found


def _computed(step: Step, given: Sequence[Value]) -> str:
    """Return the dtype to compute in: the output's, but the operands' if that is bool."""
    if step.dtype != "bool" or step.op == "where":
        return step.dtype
    dtypes = [v.dtype for v in given if v.dtype is not None]
    halves = set(dtypes) & set(_HALF)
    if halves:
        if set(dtypes) <= halves | {"bool"} and len(halves) == 1:
            return halves.pop()  # so that a number is rounded to it
        return "float64" if set(dtypes) - set(_HALF) - {"bool", "float32"} else "float32"
    found = common_dtype(given)
    if found not in COMPUTED:
        raise Unsupported(f"op {step.op!r}: it compares integers of more than 64 bits")
    return found


def _bare(text: str) -> str:
    """Remove the parentheses around an expression."""
    depth = 0
    for i, c in enumerate(text):
        depth += (c == "(") - (c == ")")
        if depth == 0 and i < len(text) - 1:
            return text
    return text[1:-1] if text.startswith("(") else text


_INFIX = {
    "add": "+",
    "subtract": "-",
    "multiply": "*",
    "divide": "/",
    "less": "<",
    "less_equal": "<=",
    "greater": ">",
    "greater_equal": ">=",
    "equal": "==",
    "not_equal": "!=",
    "logical_and": "&&",
    "logical_or": "||",
    "bitwise_and": "&",
    "bitwise_or": "|",
    "bitwise_xor": "^",
}
_INFIX_OF_BOOLS = _INFIX | {
    "multiply": "&&",
    "add": "||",
    "bitwise_and": "&&",
    "bitwise_or": "||",
    "bitwise_xor": "!=",
}
_PREFIX = {"negative": "-", "logical_not": "!", "invert": "~"}
#: Functions of `prelude.py` and of CUDA: for all dtypes, and only for integers or floating point.
_ANY = {"abs": "absolute", "signbit": "negative"}
_OF_WHOLE = {
    "floor_divide": "floor_quotient",
    "remainder": "modulo",
    "left_shift": "left_shift",
    "right_shift": "right_shift",
}
_FUNCTIONS = """floor ceil trunc copysign isnan isfinite hypot nextafter fmod sqrt exp expm1 log log1p
log2 log10 sin cos tan sinh cosh tanh cbrt asin acos atan asinh acosh atanh atan2 pow"""
_OF_FLOATS = {name: name for name in _FUNCTIONS.split()}
_OF_FLOATS |= {"round": "rint", "normal_cdf": "normcdf", "normal_quantile": "normcdfinv"}
#: The primitives available to an op's scalar definition.
PRIMITIVES = frozenset({"where", *_INFIX, *_PREFIX, *_ANY, *_OF_WHOLE, *_OF_FLOATS})
#: For integers: forms that are exact, and that compilers do not warn about.
_EXACT = {
    "isnan": "({0} - {0} != 0)",
    "isfinite": "({0} - {0} == 0)",
    **dict.fromkeys(("floor", "ceil", "trunc", "round"), "{0}"),
}


class _C(Language):
    """C++ for one element. Parts that are used more than once are assigned in lines before."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: list[str] = []

    def number(self, value: float, dtype: str) -> str:
        return literal(value, dtype)

    def cast(self, text: str, old: str, new: str) -> str:
        return f"({text} != 0)" if new == "bool" else converted(text, old, new)

    def part(self, text: str, dtype: str) -> str:
        name = f"{self.name}_{len(self.lines)}"
        self.lines.append(f"const {COMPUTED[dtype]} {name} = {_bare(text)};")
        return name

    def call(self, name: str, args: Sequence[str], dtype: str) -> str:
        infix = _INFIX_OF_BOOLS if dtype == "bool" else _INFIX
        if name in infix and (name != "divide" or is_real(dtype)):
            return f"({args[0]} {infix[name]} {args[1]})"
        if name in _PREFIX:
            return f"({'!' if dtype == 'bool' else _PREFIX[name]}{args[0]})"
        if name == "where":
            return f"({args[0]} ? {args[1]} : {args[2]})"
        if name in _EXACT and not is_real(dtype):
            return _EXACT[name].format(*args)
        if name == "nextafter" and dtype in _HALF:  # half precision rounds the next float back
            raise Unsupported("there is none of half precision")
        function = _ANY.get(name) or (
            _OF_FLOATS if is_real(dtype) else {} if dtype == "bool" else _OF_WHOLE
        ).get(name)
        if function is None:
            raise Unsupported(f"{name} has no CUDA kernel for it")
        return f"{function}({', '.join(map(_bare, args))})"
