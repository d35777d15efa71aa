"""One element of an op, written with what a code generator has for each primitive, and with the casts in
between."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ...ops import OPS
from ...ops.scalars import PRIMITIVES, Call, Scalar, calls, power, substitute
from ..lowering.plan import Unsupported

FLOATS = frozenset(("float16", "bfloat16", "float32", "float64"))
_ORDER = ("bool", "int32", "int64", "float32", "float64")


class Value(NamedTuple):
    """A value by its name in the text, or a number; its dtype, None for a number, which takes that of its
    company."""

    name: str | float
    dtype: str | None


class Language(ABC):
    """What a code generator has: numbers, casts and primitives, as text for one element or for a vector of
    them."""

    @abstractmethod
    def number(self, value: float, dtype: str) -> str:
        """A number of that dtype."""

    @abstractmethod
    def cast(self, text: str, old: str, new: str) -> str:
        """A value of dtype `old` in another."""

    @abstractmethod
    def call(self, name: str, args: Sequence[str], dtype: str) -> str:
        """A primitive of values of that dtype, but for its conditions, which are bools.

        Raises Unsupported where there is no form for it.
        """

    def part(self, text: str, dtype: str) -> str:
        """A value of that dtype that is read more than once, as what it is called."""
        return text


def common_dtype(args: Sequence[Value]) -> str:
    """The dtype in which NumPy compares these values."""
    dtypes = [a.dtype for a in args if a.dtype is not None]
    if all(d == "bool" for d in dtypes) and all(
        a.dtype is not None or isinstance(a.name, bool) for a in args
    ):
        return "bool"
    largest = max(dtypes, key=_ORDER.index, default="float64")
    if largest == "float32" and any(d in ("int32", "int64") for d in dtypes):
        return "float64"
    if largest not in FLOATS and any(a.dtype is None and isinstance(a.name, float) for a in args):
        return "float64"
    return "int32" if largest == "bool" else largest


def write(language: Language, op: str, args: Sequence[Value], dtype: str, computed: str) -> str:
    """The value in `dtype` of an op whose operands are taken in the dtype `computed`.

    Raises Unsupported for an op that is no function of single elements, and for one that the language has no
    form for.
    """
    entry = OPS.get(op)
    scalar = None if entry is None else entry.kernel.scalar if computed in FLOATS else entry.kernel.integers
    if entry is None or scalar is None:
        raise Unsupported(f"op {op!r} of dtype {dtype} has no expression for single elements")
    given = dict(zip(entry.operands, args, strict=True))
    scalar = substitute(scalar, {name: v.name for name, v in given.items() if not isinstance(v.name, str)})
    try:
        text, found = _Element(language, given, computed).of(scalar)
    except Unsupported as error:
        raise Unsupported(f"op {op!r} of dtype {computed}: {error}") from None
    return text if found == dtype else language.cast(text, found, dtype)


class _Element:
    """The parts of one expression, each written once."""

    def __init__(self, language: Language, given: Mapping[str, Value], dtype: str) -> None:
        self.language, self.given, self.dtype = language, given, dtype
        self.made: dict[object, tuple[str, str]] = {}

    def of(self, scalar: Scalar) -> tuple[str, str]:
        """The text of an expression, and its dtype."""
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
        """A primitive of what is written already."""
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
        """x ** y: by products for small whole constants."""
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
        """A part in a dtype."""
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
