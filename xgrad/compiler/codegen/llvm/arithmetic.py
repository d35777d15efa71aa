"""Floating-point arithmetic on vectors, and on their bits, in LLVM IR."""

from __future__ import annotations

from .text import Code

#: Bits of the mantissa, the exponent's bias, and 1.5 * 2**mantissa: adding it to a number rounds that to an
#: integer, in the low bits.
_LAYOUT = {"float": (23, 127, 12582912.0, "i32"), "double": (52, 1023, 6755399441055744.0, "i64")}


class Arithmetic:
    """Arithmetic on vectors of one floating type; a Python number is broadcast to every lane."""

    def __init__(self, code: Code, type_: str) -> None:
        self.code, self.type = code, type_
        self.bits, self.bias, self.magic, self.whole = _LAYOUT[type_]

    def of(self, x: str | float) -> str:
        return x if isinstance(x, str) else self.code.constant(self.type, x)

    def add(self, x: str | float, y: str | float) -> str:
        return self.code.binary("fadd", self.type, self.of(x), self.of(y))

    def sub(self, x: str | float, y: str | float) -> str:
        return self.code.binary("fsub", self.type, self.of(x), self.of(y))

    def mul(self, x: str | float, y: str | float) -> str:
        return self.code.binary("fmul", self.type, self.of(x), self.of(y))

    def div(self, x: str | float, y: str | float) -> str:
        return self.code.binary("fdiv", self.type, self.of(x), self.of(y))

    def mad(self, x: str | float, y: str | float, z: str | float) -> str:
        """x * y + z, fused if the processor supports it."""
        return self.code.intrinsic("fmuladd", self.type, self.of(x), self.of(y), self.of(z))

    def poly(self, x: str, coefficients: tuple[float, ...]) -> str:
        """Evaluate the polynomial with these coefficients, highest power first."""
        total: str | float = coefficients[0]
        for c in coefficients[1:]:
            total = self.mad(total, x, c)
        return self.of(total)

    def compare(self, how: str, x: str | float, y: str | float) -> str:
        return self.code.binary(f"fcmp {how}", self.type, self.of(x), self.of(y))

    def select(self, condition: str, x: str | float, y: str | float) -> str:
        return self.code.select(self.type, condition, self.of(x), self.of(y))

    def clamp(self, x: str, low: float, high: float) -> str:
        """Clamp x to bounds; NaN stays, because it compares as neither below nor above."""
        x = self.select(self.compare("olt", x, low), low, x)
        return self.select(self.compare("ogt", x, high), high, x)

    def integer(self, instruction: str, x: int | str, y: int | str) -> str:
        """Apply an instruction to integers as wide as the floating type."""
        x, y = (v if isinstance(v, str) else self.code.constant(self.whole, v) for v in (x, y))
        return self.code.binary(instruction, self.whole, x, y)

    def as_bits(self, x: str) -> str:
        return self.code.cast("bitcast", self.type, x, self.whole)

    def from_bits(self, x: str) -> str:
        return self.code.cast("bitcast", self.whole, x, self.type)

    def power_of_two(self, n: str) -> str:
        """2**n for an integer n within the range of exponents."""
        return self.from_bits(self.integer("shl", self.integer("add", n, self.bias), self.bits))

    def rounded(self, x: str, factor: float) -> tuple[str, str]:
        """Round x * factor to an integer; return it as floating point and as an integer.

        The integer is taken from the bits, so that NaN cannot give poison.
        """
        shifted = self.mad(x, factor, self.magic)
        n = self.integer("sub", self.as_bits(shifted), self.as_bits(self.of(self.magic)))
        return self.sub(shifted, self.magic), n

    def fma(self, x: str, y: str, z: str) -> str:
        """x * y + z, rounded once."""
        return self.code.intrinsic("fma", self.type, x, y, z)

    def negative(self, x: str) -> str:
        return self.code.let(f"fneg {self.code.vector(self.type)} {x}")

    def sum(self, x: str, y: str) -> tuple[str, str]:
        """Return x + y and its rounding error."""
        z = self.add(x, y)
        of_y = self.sub(z, x)
        return z, self.add(self.sub(x, self.sub(z, of_y)), self.sub(y, of_y))

    def product(self, x: str, y: str) -> tuple[str, str]:
        """Return x * y and its rounding error."""
        z = self.mul(x, y)
        return z, self.fma(x, y, self.negative(z))
