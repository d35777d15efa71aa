"""The steps of a map as lines of C."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

from ...ops import OPS
from ..plans import Step, Target, Unsupported
from ..vector_ops import Value, common_dtype

#: How a value is held while it is computed with, and how it is stored.
COMPUTED = {"float16": "float", "bfloat16": "float", "float32": "float", "float64": "double", "bool": "bool", "int32": "int", "int64": "long long"}
STORED = COMPUTED | {"float16": "unsigned short", "bfloat16": "unsigned short"}
_HALF = {"float16": "half", "bfloat16": "bfloat16"}
_CASTS = frozenset(("astype", "round_to"))
#: The same for bools, and for whole numbers: what is exact, and what no compiler warns of.
_OF_BOOLS = {"*": "x && y", "square": "x"}
_OF_WHOLE = {"isnan": "x - x != 0", "isinf": "x - x != 0", **dict.fromkeys(("floor", "ceil", "trunc", "round"), "x")}

#: What there are CUDA kernels for.
CUDA = Target(frozenset({name for name, op in OPS.items() if op.kernel is not None} | _CASTS), frozenset(COMPUTED))


def is_real(dtype: str) -> bool:
    """Whether values of this dtype are floating point."""
    return COMPUTED[dtype] in ("float", "double")


def sum_dtype(dtype: str) -> str:
    """The dtype in which numbers of this dtype are added up."""
    return "float32" if dtype in _HALF else dtype


def loaded(text: str, dtype: str) -> str:
    """A stored element, as a value to compute with."""
    return f"{_HALF[dtype]}_to_float({text})" if dtype in _HALF else text


def stored(text: str, old: str, new: str) -> str:
    """A value of dtype `old` as an element of dtype `new`."""
    return f"float_to_{_HALF[new]}({text})" if new in _HALF else converted(text, old, new)


def converted(text: str, old: str, new: str) -> str:
    """A value in another dtype, rounded to it."""
    if new == old:
        return text
    if new in _HALF:
        return f"{_HALF[new]}_to_float(float_to_{_HALF[new]}({text}))"
    return text if COMPUTED[new] == COMPUTED[old] else f"({COMPUTED[new]})({text})"


def literal(value: Any, dtype: str) -> str:
    """A number as C writes one of this dtype."""
    if dtype == "bool":
        return "true" if value else "false"
    if not is_real(dtype):
        return f"{int(value)}LL" if dtype == "int64" else str(int(value))
    value = _rounded(float(value), dtype)
    if value != value or abs(value) == inf:
        bits = "0x7fc00000u" if value != value else "0x7f800000u" if value > 0 else "0xff800000u"
        return f"__uint_as_float({bits})" if COMPUTED[dtype] == "float" else f"(double)__uint_as_float({bits})"
    suffix = "f" if COMPUTED[dtype] == "float" else ""
    return f"{value!r}{suffix}" if value >= 0 and str(value)[0] != "-" else f"({value!r}{suffix})"


def _rounded(value: float, dtype: str) -> float:
    """A number as one of this dtype, which is infinite where the dtype has none so large."""
    if dtype == "float64" or value != value:
        return value
    if dtype == "bfloat16":  # the upper half of a single, rounded to even
        (bits,) = struct.unpack("I", struct.pack("f", _rounded(value, "float32")))
        return float(struct.unpack("f", struct.pack("I", (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000))[0])
    form = "e" if dtype == "float16" else "f"
    try:
        return float(struct.unpack(form, struct.pack(form, value))[0])
    except OverflowError:
        return inf if value > 0 else -inf


def lines(steps: Sequence[Step], dtypes: Mapping[int, str]) -> list[str]:
    """One line for each step: `const float v2 = v0 + v1;`. Values are called v and their number; `dtypes` are theirs."""
    return [f"const {COMPUTED[s.dtype]} v{s.value} = {_value(s, dtypes)};" for s in steps]


def _value(step: Step, dtypes: Mapping[int, str]) -> str:
    given = [Value(a, None) if is_number else Value(f"v{a}", dtypes[int(a)]) for a, is_number in zip(step.args, step.literal)]
    if step.op in _CASTS:
        return _as(given[0], step.dtype, step.dtype)
    op = OPS[step.op]
    if op.kernel is None:
        raise Unsupported(f"{step.op!r} has no kernel")
    wanted = _operand_dtype(step, given)
    if step.op == "**":
        return _power(_as(given[0], wanted, wanted), given[1], wanted)
    args = [_as(v, wanted, "bool" if step.op == "where" and i == 0 else wanted) for i, v in enumerate(given)]
    if step.op == "nextafter" and wanted in _HALF:  # the next number of single precision is rounded back
        raise Unsupported(f"'nextafter' of {wanted}")
    kernel = op.kernel if is_real(wanted) else _OF_WHOLE.get(step.op, op.kernel)
    text = _typed(_OF_BOOLS.get(step.op, kernel) if wanted == "bool" else kernel, wanted)
    names = dict(zip(op.operands, args))
    text = re.sub(r"[A-Za-z_]\w*", lambda name: names.get(name[0], name[0]), text)
    return text if COMPUTED[wanted] == COMPUTED[step.dtype] or step.op == "where" else f"({COMPUTED[step.dtype]})({text})"


def _operand_dtype(step: Step, given: Sequence[Value]) -> str:
    """In what the operands are computed with: the output's dtype, but of a comparison the operands' own."""
    if step.dtype != "bool" or step.op == "where":
        return step.dtype
    dtypes = [v.dtype for v in given if v.dtype is not None]
    halves = set(dtypes) & set(_HALF)
    if halves:
        if set(dtypes) <= halves | {"bool"} and len(halves) == 1:
            return halves.pop()  # so that a number is rounded to it
        return "float64" if set(dtypes) - set(_HALF) - {"bool", "float32"} else "float32"
    return common_dtype(list(given)) if dtypes != ["bool"] * len(given) else "bool"


def _as(v: Value, wanted: str, dtype: str) -> str:
    """An operand in the dtype of its company, where a number of the half dtypes is computed with in single precision."""
    if not isinstance(v.name, str):
        return literal(v.name, dtype)
    if dtype == "bool" and v.dtype != "bool":
        return f"({v.name} != 0)"
    return converted(v.name, v.dtype or dtype, dtype)


def _typed(kernel: str, dtype: str) -> str:
    """A kernel with its numbers in the precision of `dtype`."""
    return re.sub(r"\d+\.\d+", lambda n: literal(float(n[0]), dtype), kernel) if is_real(dtype) else kernel


def _power(x: str, y: Value, dtype: str) -> str:
    """x ** y: by products for small whole constants. Of -inf and -0 no root is meant where y is 0.5."""
    if not is_real(dtype):
        raise Unsupported(f"'**' of dtype {dtype}")
    if isinstance(y.name, str):
        return f"pow({x}, {_as(y, dtype, dtype)})"
    if y.name == 0.5:
        return f"(sqrt({x} == {literal(-inf, dtype)} ? {literal(inf, dtype)} : {x}) + {literal(0.0, dtype)})"
    if not 0 < abs(y.name) <= 4 or y.name != int(y.name):
        return f"pow({x}, {literal(y.name, dtype)})"
    product = " * ".join([x] * abs(int(y.name)))
    return product if y.name >= 0 else f"{literal(1.0, dtype)} / ({product})"
