"""Scalar expressions for complex numbers: their real and imaginary parts, as real expressions.

The scalar of an op is written for real numbers. Here each of its primitives gets a complex meaning: a pair of
expressions in the parts of its operands, a + bi and c + di. So every op with a scalar has a complex function
too. The formulas avoid overflow and cancellation where the result is finite: for finite numbers they agree
with NumPy up to rounding, on both sides of every branch cut.

At infinities they guarantee less than the C standard. If a part of an operand is infinite, a part of the
result that should be infinite, 0 or a multiple of π/4 may be NaN instead. A quotient by 0 may have another
sign, or be infinite where NumPy gives NaN. NaN stays NaN.

The inverse functions follow W. Kahan, Branch cuts for complex elementary functions, 1987.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from .scalars import PRIMITIVES, Call, Calls, Scalar, calls, parse_several, substitute


class Parts(NamedTuple):
    """The real and imaginary parts of a number; `imag` is None for a real number."""

    real: Scalar
    imag: Scalar | None = None


class Limits(NamedTuple):
    """Constants of the parts' dtype that formulas use.

    They are the largest number; the smallest normal number; and how far beyond 80 an exponent of e may go
    before the smallest number times that power is infinite.
    """

    largest: float
    tiny: float
    span: float


LIMITS = {
    "float32": Limits(3.4028234663852886e38, 1.1754943508222875e-38, 170.0),
    "float64": Limits(1.7976931348623157e308, 2.2250738585072014e-308, 1400.0),
}


class NoComplexMeaning(ValueError):
    """Raised for a primitive that is defined for real numbers only. The message names it."""


_OPERANDS = ("a", "b", "c", "d", *Limits._fields)
_FUNCTIONS: dict[str, tuple[tuple[str, ...], Scalar]] = {}
#: The rules of complex primitives: two parts, or one where the result is real or a truth value.
_RULES: dict[str, tuple[Scalar, ...]] = {}


def _known(name: str) -> tuple[tuple[str, ...], Scalar] | None:
    return _FUNCTIONS.get(name)


def _function(name: str, text: str) -> None:
    """Define a real function of a and b for later formulas."""
    (scalar,) = parse_several(text, _OPERANDS, 1, _known)
    _FUNCTIONS[name] = (("a", "b"), scalar)


def _complex(name: str, text: str) -> None:
    """Define a complex primitive: the last two lines are its real and imaginary parts.

    Later formulas can use them as `real_name(a, b)` and `imag_name(a, b)`.
    """
    parts = _RULES[name] = parse_several(text, _OPERANDS, 2, _known)
    _FUNCTIONS[f"real_{name}"], _FUNCTIONS[f"imag_{name}"] = ((("a", "b"), part) for part in parts)


def _real(name: str, text: str) -> None:
    """Define a primitive with a real number or a truth value as result."""
    _RULES[name] = parse_several(text, _OPERANDS, 1, _known)


def _turned(name: str, hyperbolic: str) -> None:
    """Define f(z) = -i h(iz), as in sin(z) = -i sinh(iz)."""
    _complex(name, f"imag_{hyperbolic}(-b, a)\n-real_{hyperbolic}(-b, a)")


# Arithmetic

_complex("add", "a + c\nb + d")
_complex("subtract", "a - c\nb - d")
_complex("negative", "-a\n-b")
_complex("multiply", "a * c - b * d\na * d + b * c")
# R. L. Smith, Algorithm 116: complex division, 1962.
_complex(
    "divide",
    """
swap = abs(c) < abs(d)
large = where(swap, d, c)
ratio = where(swap, c, d) / where(large == 0, 1, large)
scale = 1 / (large + where(swap, c, d) * ratio)
(where(swap, b, a) + where(swap, a, b) * ratio) * scale
where(swap, b * ratio - a, b - a * ratio) * scale
""",
)
_complex("round", "round(a)\nround(b)")
_real("abs", "hypot(a, b)")
_real("isnan", "isnan(a) or isnan(b)")
_real("isinf", "abs(a) == inf or abs(b) == inf")
_real("isfinite", "isfinite(a) and isfinite(b)")
_real("equal", "a == c and b == d")
_real("not_equal", "a != c or b != d")
# lexicographic order, as in NumPy
for _name, _sign in {"less": "<", "less_equal": "<=", "greater": ">", "greater_equal": ">="}.items():
    _real(_name, f"a {_sign[0]} c and b == b and d == d or (a == c and b {_sign} d)")

#: z / |z|, and 0 for z = 0.
_complex(
    "sign",
    """
size = where(abs(a) < abs(b), abs(b), abs(a))
size = where(size == 0, 1, size)
length = hypot(a / size, b / size)
length = where(length == 0, 1, length)
a / size / length + (b * 0.0 - 0.0)
b / size / length + 0.0
""",
)
_complex(
    "cbrt",
    """
r = cbrt(hypot(a, b))
x = real_sign(a, b)
y = imag_sign(a, b)
x * r - y * 0.0
x * 0.0 + y * r
""",
)

# Roots and logarithms

# √z = t + bi / 2t with t = √((|a| + |z|) / 2), with the parts swapped where a is negative; scaled, so that
# |z| neither overflows nor underflows.
_complex(
    "sqrt",
    f"""
small = abs(a) + abs(b) < tiny * {2.0**60}
p = where(small, a * {2.0**79}, a * 0.125)
q = where(small, b * {2.0**79}, b * 0.125)
r = sqrt(abs(p) + hypot(p, q))
t = where(small, r * {2.0**-40}, r * 2)
u = abs(b) / where(t == 0, 1, 2 * t)
where(a >= 0, t, u)
copysign(where(a >= 0, u, t), b)
""",
)
# log|z|: for |z| near 1 from |z|² - 1, written without cancellation.
_function(
    "log_abs",
    """
high = where(abs(a) < abs(b), abs(b), abs(a))
low = where(abs(a) < abs(b), abs(a), abs(b))
r = hypot(a, b)
near = r > 0.5 and r < 2
large = high > largest / 4
small = high < tiny
p = where(large, a / 4, where(small, a * 6.044629098073146e+23, a))
q = where(large, b / 4, where(small, b * 6.044629098073146e+23, b))
far = log(where(near, 1, hypot(p, q)))
far = where(large, far + 1.3862943611198906, where(small, far - 54.75862726423568, far))
where(near, 0.5 * log1p(where(near, (high - 1) * (high + 1) + low * low, 0)), far)
""",
)
_complex("log", "log_abs(a, b)\natan2(b, a)")
_complex("log2", "log_abs(a, b) * 1.4426950408889634\natan2(b, a) * 1.4426950408889634")
_complex("log10", "log_abs(a, b) * 0.4342944819032518\natan2(b, a) * 0.4342944819032518")
_complex(
    "log1p",
    """
small = abs(a) < 0.5 and abs(b) < 0.5
where(small, 0.5 * log1p(where(small, a * (2 + a) + b * b, 0)), log_abs(1 + a, b))
atan2(b, 1 + a)
""",
)

# Powers of e, as two factors where a single power would overflow although the result does not

_complex(
    "exp",
    """
r = exp(a * 0.5)
y = where(r == 0 and not isfinite(b), 0, b)
r * cos(y) * r
where(b == 0, b, r * sin(y) * r)
""",
)
_complex(
    "expm1",
    """
h = sin(b * 0.5)
expm1(a) * cos(b) - 2 * h * h + 0.0
where(b == 0, b, exp(a) * sin(b))
""",
)
_beyond = """
t = where(abs(a) > 80, copysign(80, a), a)
more = abs(a) - abs(t)
e = exp(where(more > span, span, more) * 0.5)
"""
_complex("sinh", f"{_beyond}\nsinh(t) * cos(b) * e * e\ncosh(t) * sin(b) * e * e")
_complex("cosh", f"{_beyond}\ncosh(t) * cos(b) * e * e\nsinh(t) * sin(b) * e * e")
# beyond |a| = 20 the real part is ±1, and the imaginary part is of order e^(-2|a|)
_complex(
    "tanh",
    """
t = where(abs(a) > 20, copysign(20, a), a)
s = sinh(t)
r = s * s + cos(b) * cos(b)
s * cosh(t) / r
sin(b) * cos(b) / r * exp(2 * (abs(t) - abs(a)))
""",
)
_turned("sin", "sinh")
_complex("cos", "real_cosh(-b, a)\nimag_cosh(-b, a)")
_turned("tan", "tanh")

# Their inverses

# by the roots of 1 - z and 1 + z
_roots = """
p = real_sqrt(1 - a, -b)
q = imag_sqrt(1 - a, -b)
r = real_sqrt(1 + a, b)
s = imag_sqrt(1 + a, b)
"""
_complex("asin", f"{_roots}\natan2(a, p * r - q * s)\nasinh(p * s - q * r)")
_complex("acos", f"{_roots}\n2 * atan2(p, r)\nasinh(r * q - s * p)")
_complex(
    "acosh",
    """
p = real_sqrt(a - 1, b)
q = imag_sqrt(a - 1, b)
r = real_sqrt(a + 1, b)
asinh(p * r + q * imag_sqrt(a + 1, b))
2 * atan2(q, r)
""",
)
_complex("asinh", "imag_asin(-b, a)\n-real_asin(-b, a)")
_complex(
    "atanh",
    """
x = abs(a)
h = hypot(1 - x, b)
close = h * h < tiny
from_log = 0.5 * (0.6931471805599453 - log(where(close and h > 0, h, tiny)))
r = where(close, 1, h)
size = where(x < abs(b), abs(b), x)
size = where(size < 1, 1, size)
copysign(where(h == 0, inf, where(close, from_log, 0.25 * log1p(4 * (x / r) / r))), a)
0.5 * atan2(2 * (b / size), (1 - x) * ((1 + x) / size) - b * (b / size))
""",
)
_turned("atan", "atanh")

#: x ** y for any numbers; 0 to a power whose real part is not positive is NaN, as in NumPy.
_POWER = parse_several(
    """
p = log_abs(where(a == 0 and b == 0, 1, a), b)
q = atan2(b, a)
zero = a == 0 and b == 0
flat = c == 0 and d == 0
x = c * p - d * q
y = c * q + d * p
of_zero = where(c > 0, 0 * c, nan)
where(flat, 1, where(zero, of_zero, real_exp(x, y)))
where(flat, 0, where(zero, of_zero, imag_exp(x, y)))
""",
    _OPERANDS,
    2,
    _known,
)
#: Powers with integer exponents up to this size are products, as in NumPy.
PRODUCTS = 99


def parts_of(scalar: Scalar, operands: Mapping[str, Parts], limits: Limits) -> Parts:
    """The parts of an expression, given those of its operands.

    Raises NoComplexMeaning for a primitive that is not defined for complex numbers.
    """
    expansion = _Expansion(limits)
    found: dict[int, Parts] = {}

    def of(part: Scalar) -> Parts:
        if isinstance(part, Call):
            return found[id(part)]
        return operands[part] if isinstance(part, str) else Parts(part)

    for call in calls(scalar):
        found[id(call)] = expansion.called(call.name, [of(a) for a in call.args])
    return of(scalar)


class _Expansion:
    """Builds the parts of one expression, sharing common subexpressions."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.made = Calls()

    def called(self, name: str, args: list[Parts]) -> Parts:
        """Apply a primitive to numbers that may be complex."""
        call, conditions = self.made.call, PRIMITIVES[name].condition if name in PRIMITIVES else 0
        args = [self.truth(x) if i < conditions else x for i, x in enumerate(args)]
        if all(x.imag is None for x in args):
            return Parts(call(name, tuple(x.real for x in args)))
        if name == "where":
            condition, x, y = args
            return Parts(
                call("where", (condition.real, x.real, y.real)),
                call("where", (condition.real, _imag(x), _imag(y))),
            )
        if name == "pow":
            return self.power(*args)
        if name == "divide":
            return self.quotient(*args)
        if name not in _RULES:
            raise NoComplexMeaning(f"{name} is a function of real numbers")
        return self.applied(_RULES[name], *args)

    def applied(self, rule: tuple[Scalar, ...], *args: Parts) -> Parts:
        """Apply a rule to the parts of its operands; a real operand has imaginary part 0, as in NumPy."""
        values = [part for x in args for part in (x.real, _imag(x))]
        new: dict[str, Scalar] = {**dict(zip(("a", "b", "c", "d"), values)), **self.limits._asdict()}
        return Parts(*(substitute(part, new, self.made) for part in rule))

    def truth(self, x: Parts) -> Parts:
        """Whether a number is nonzero."""
        if x.imag is None:
            return x
        call = self.made.call
        return Parts(call("logical_or", (call("not_equal", (x.real, 0)), call("not_equal", (x.imag, 0)))))

    def quotient(self, x: Parts, y: Parts) -> Parts:
        """x / y. A real x gets the imaginary part -0, so that y determines the sign of the result's."""
        return self.applied(_RULES["divide"], Parts(x.real, -0.0) if x.imag is None else x, y)

    def power(self, x: Parts, y: Parts) -> Parts:
        """x ** y: by products or a square root where y is a suitable number."""
        n = y.real
        if isinstance(n, int | float) and (y.imag is None or y.imag == 0):
            if n == 0.5:
                return self.applied(_RULES["sqrt"], x)
            if n == n and abs(n) <= PRODUCTS and n == int(n):
                return self.whole_power(x, int(n))
        return self.applied(_POWER, x, y)

    def whole_power(self, x: Parts, n: int) -> Parts:
        """x ** n by repeated multiplication."""
        product: Parts | None = None
        count = abs(n)
        while count:
            if count & 1:
                product = x if product is None else self.applied(_RULES["multiply"], product, x)
            count >>= 1
            x = self.applied(_RULES["multiply"], x, x) if count else x
        if product is None:
            return Parts(1.0, 0.0)
        return product if n > 0 else self.quotient(Parts(1.0), product)


def _imag(x: Parts) -> Scalar:
    return 0.0 if x.imag is None else x.imag
