"""One element of an op, written with a code generator's primitives and the casts in between."""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import inf
from typing import NamedTuple

from ...backends.dtypes import canonical, promoted
from ...ops import OPS
from ...ops.scalars import PRIMITIVES, Call, Scalar, calls, power, substitute
from ..lowering.plan import Unsupported

HALVES = frozenset(("float16", "bfloat16"))
FLOATS = HALVES | {"float32", "float64"}
#: The range of each integer dtype. "int128" is not an array dtype: integers are compared in it when no other
#: dtype holds them all.
RANGES = {
    **{f"int{n}": (-(2 ** (n - 1)), 2 ** (n - 1) - 1) for n in (8, 16, 32, 64, 128)},
    **{f"uint{n}": (0, 2**n - 1) for n in (8, 16, 32, 64)},
}
#: The dtypes of real arrays, and those of complex arrays.
REAL = FLOATS | {"bool"} | (RANGES.keys() - {"int128"})
COMPLEX = frozenset(("complex64", "complex128"))
#: The reductions that a map may end in.
FOLDS = ("sum", "prod", "max", "min")


class Value(NamedTuple):
    """A value by its name in the text, or a number.

    Its dtype is None for a number, which takes the dtype of the other operands.
    """

    name: str | float
    dtype: str | None


class Language(ABC):
    """A code generator's language: numbers, casts and primitives, for one element or a vector."""

    @abstractmethod
    def number(self, value: float, dtype: str) -> str:
        """Write a number of that dtype."""

    @abstractmethod
    def cast(self, text: str, old: str, new: str) -> str:
        """Cast a value of dtype `old` to another."""

    @abstractmethod
    def call(self, name: str, args: Sequence[str], dtype: str) -> str:
        """Apply a primitive to values of that dtype; conditions are bools.

        Raises Unsupported if there is no form for it.
        """

    def part(self, text: str, dtype: str) -> str:
        """Name a value of that dtype that is used more than once."""
        return text


def common_dtype(args: Sequence[Value]) -> str:
    """Return the dtype in which NumPy compares these values.

    It holds all the integers compared, whatever their dtypes. Raises Unsupported if no dtype is large enough.
    """
    dtypes = frozenset(a.dtype for a in args if a.dtype is not None)
    numbers = [a.name for a in args if a.dtype is None]
    if dtypes <= {"bool"} and all(isinstance(n, bool) for n in numbers):
        return "bool"
    if not dtypes or dtypes & FLOATS:
        return _promoted(dtypes) if dtypes else "float64"
    if any(isinstance(n, float) for n in numbers):
        return "float64"
    ends = [end for d in dtypes for end in RANGES.get(d, (0, 1))] + [int(n) for n in numbers]
    for dtype in (_promoted(dtypes), "int32", "int64", "int128"):
        least, greatest = RANGES.get(dtype, (0, 0))
        if least <= min(ends) and max(ends) <= greatest:
            return dtype
    raise Unsupported("an integer of more than 128 bits")


@lru_cache(1024)
def _promoted(dtypes: frozenset[str]) -> str:
    return str(promoted(*map(canonical, sorted(dtypes))))


def rounded(value: float, dtype: str) -> float:
    """Round a number to a floating dtype; it is infinite if out of range."""
    if dtype == "float64" or value != value:
        return value
    if dtype == "bfloat16":  # the upper half of a float32, rounded to even
        (bits,) = struct.unpack("I", struct.pack("f", rounded(value, "float32")))
        return float(struct.unpack("f", struct.pack("I", (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000))[0])
    form = "e" if dtype == "float16" else "f"
    try:
        return float(struct.unpack(form, struct.pack(form, value))[0])
    except OverflowError:
        return inf if value > 0 else -inf


def write(language: Language, op: str, args: Sequence[Value], dtype: str, computed: str) -> str:
    """Write an op with a result in `dtype` and operands in the dtype `computed`.

    Raises Unsupported for an op that is not elementwise, or for which the language has no form.
    """
    entry = OPS.get(op)
    scalar = None if entry is None else entry.kernel.scalar if computed in FLOATS else entry.kernel.integers
    if entry is None or scalar is None:
        raise Unsupported(f"op {op!r} of dtype {dtype} has no expression for single elements")
    if any(_outside(v, computed) for v in args):
        raise Unsupported(f"op {op!r} of dtype {computed}: that dtype does not have one of its numbers")
    given = dict(zip(entry.operands, args, strict=True))
    scalar = substitute(scalar, {name: v.name for name, v in given.items() if not isinstance(v.name, str)})
    try:
        text, found = _Element(language, given, computed).of(scalar)
    except Unsupported as error:
        raise Unsupported(f"op {op!r} of dtype {computed}: {error}") from None
    return text if found == dtype else language.cast(text, found, dtype)


def _outside(v: Value, dtype: str) -> bool:
    """Whether this is an integer out of the range of an integer dtype, which NumPy refuses."""
    least, greatest = RANGES.get(dtype, (-inf, inf))
    return isinstance(v.name, int) and not least <= v.name <= greatest


class _Element:
    """Writes the parts of one expression, each of them once."""

    def __init__(self, language: Language, given: Mapping[str, Value], dtype: str) -> None:
        self.language, self.given, self.dtype = language, given, dtype
        self.made: dict[object, tuple[str, str]] = {}

    def of(self, scalar: Scalar) -> tuple[str, str]:
        """Return the text of an expression, and its dtype."""
        uses: dict[int, int] = {}
        for call in calls(scalar):
            for a in call.args:
                uses[id(a)] = uses.get(id(a), 0) + 1
        for call in calls(scalar):
            text, dtype = self.call(call)
            self.made[call] = (self.language.part(text, dtype) if uses.get(id(call), 0) > 1 else text, dtype)
        return (
            self.made[scalar] if isinstance(scalar, Call) else (self.as_dtype(scalar, self.dtype), self.dtype)
        )

    def call(self, call: Call) -> tuple[str, str]:
        """Write a primitive whose arguments are written already."""
        primitive = PRIMITIVES[call.name]
        if call.name == "pow":
            return self.power(*call.args)
        args = [
            self.as_dtype(a, "bool" if i < primitive.condition else self.dtype)
            for i, a in enumerate(call.args)
        ]
        dtype = "bool" if primitive.truth else self.dtype
        return self.language.call(call.name, args, self.dtype), dtype

    def power(self, x: Scalar, y: Scalar) -> tuple[str, str]:
        """x ** y: as products for small integer constants."""
        whole = self.dtype not in FLOATS
        products = power(x, y, whole) if isinstance(y, int | float) else None
        if products is not None:
            return (
                self.of(products)
                if isinstance(products, Call)
                else (self.as_dtype(products, self.dtype), self.dtype)
            )
        if whole:
            raise Unsupported("a power of integers needs a known exponent that is not negative")
        return self.language.call(
            "pow", [self.as_dtype(x, self.dtype), self.as_dtype(y, self.dtype)], self.dtype
        ), self.dtype

    def as_dtype(self, scalar: Scalar, dtype: str) -> str:
        """Write a part in a dtype."""
        if isinstance(scalar, Call):
            text, old = self.made[scalar]
        elif isinstance(scalar, str):
            v = self.given[scalar]
            text, old = str(v.name), v.dtype or dtype
        else:
            if dtype not in FLOATS and scalar != scalar // 1:
                raise Unsupported(f"{scalar} is not of dtype {dtype}")
            return self.language.number(scalar, dtype)
        key = (text, old, dtype)
        if old != dtype and key not in self.made:
            self.made[key] = (self.language.cast(text, old, dtype), dtype)
        return text if old == dtype else self.made[key][0]
