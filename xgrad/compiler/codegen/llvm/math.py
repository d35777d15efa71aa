"""exp, log, tanh and other functions on vectors, in LLVM IR.

They have no branches, and handle NaN, infinities and subnormal numbers. Errors in units in the last place: at
most 6 for tanh and 1 for exp in float32, about 2 for all in float64, about 1 for powers and hypot. The other
float32 forms compute in float64 and round. Methods and constants follow fdlibm and Cephes. Functions without
a form here are computed lane by lane by the C library.
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi

from .text import Code

_INF = float("inf")
_LOG2E = 1.4426950408889634

#: (exp(r) - 1 - r) / r**2 for |r| <= log(2) / 2, highest power first.
_EXP = {
    "float": (
        1.9875691500e-4,
        1.3981999507e-3,
        8.3334519073e-3,
        4.1665795894e-2,
        1.6666665459e-1,
        5.0000001201e-1,
    ),
    "double": (
        2.5100472505694996e-08,
        2.7620201591031547e-07,
        2.7557268276905696e-06,
        2.4801521057868204e-05,
        0.00019841269863171557,
        0.0013888888917367081,
        0.008333333333330039,
        0.041666666666623824,
        0.16666666666666669,
        0.5000000000000001,
    ),
}
#: log(2) split into a number with trailing zeros, so that its small multiples are exact, and the rest.
_LN2 = {
    "float": (0.693359375, -2.12194440e-4),
    "double": (6.93147180369123816490e-01, 1.90821492927058770002e-10),
}
#: Bits of the mantissa, the exponent's bias, and 1.5 * 2**mantissa: adding it to a number rounds that to an
#: integer, in the low bits.
_LAYOUT = {"float": (23, 127, 12582912.0, "i32"), "double": (52, 1023, 6755399441055744.0, "i64")}

_LOG = (
    1.479819860511658591e-01,
    1.531383769920937332e-01,
    1.818357216161805012e-01,
    2.222219843214978396e-01,
    2.857142874366239149e-01,
    3.999999999940941908e-01,
    6.666666666666735130e-01,
)
#: (sin(r) - r) / r**3 in powers of r**2 for |r| <= pi / 2.
_SIN = (
    -8.005963972487298e-18,
    2.8104677973875436e-15,
    -7.647139085285064e-13,
    1.6059043478707294e-10,
    -2.5052108382383806e-08,
    2.7557319223971218e-06,
    -0.00019841269841269806,
    0.008333333333333333,
    -0.16666666666666666,
)
#: pi in parts of 33 bits, so that their products with multiples of 1/2 below 2**20 are exact.
_PI = (3.14159265346825122833e00, 1.21542010126079319532e-10, 4.04453249759190126308e-21)
#: (log((1 + s) / (1 - s)) / s - 2) / s**2 - 2/3 over s**2, in powers of that, for |s| <= 3 - sqrt(8).
_ATANH = (
    0.11724327060846747,
    0.11706126464563398,
    0.1333480879881234,
    0.1538459488700718,
    0.18181818336099848,
    0.22222222221652765,
    0.2857142857142937,
    0.4,
)
_TWO_THIRDS = (0.6666666666666666, 3.700743415417188e-17)

_TANH32_P = (
    -2.76076847742355e-16,
    2.00018790482477e-13,
    -8.60467152213735e-11,
    5.12229709037114e-08,
    1.48572235717979e-05,
    6.37261928875436e-04,
    4.89352455891786e-03,
)
_TANH32_Q = (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)
_TANH64_P = (-9.64399179425052238628e-1, -9.92877231001918586564e1, -1.61468768441708447952e3)
_TANH64_Q = (1.0, 1.12811678491632931402e2, 2.23548839060100448583e3, 4.84406305325125486048e3)


class _Math:
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

    def integer(self, instruction: str, x: str, y: int | str) -> str:
        """Apply an instruction to integers as wide as the floating type."""
        return self.code.binary(
            instruction, self.whole, x, y if isinstance(y, str) else self.code.constant(self.whole, y)
        )

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

    def exp_parts(self, x: str, rest: str | None = None) -> tuple[str, str]:
        """Return n and exp(r) - 1 with x + rest = n * log(2) + r, where |r| <= log(2) / 2."""
        k, n = self.rounded(x, _LOG2E)
        high, low = _LN2[self.type]
        r = self.mad(k, -high, x)
        r = self.mad(k, -low, r if rest is None else self.add(r, rest))
        return n, self.mad(self.mul(r, r), self.poly(r, _EXP[self.type]), r)

    def exp(self, x: str, rest: str | None = None) -> str:
        """exp(x + rest), where `rest` is much smaller than x."""
        ends = (-104.0, 89.0) if self.type == "float" else (-746.0, 710.0)
        n, p = self.exp_parts(self.clamp(x, *ends), rest)
        # as two factors, since 2**n alone may be subnormal or infinite where the product is not
        half = self.integer("ashr", n, 1)
        scaled = self.mul(self.add(p, 1.0), self.power_of_two(half))
        return self.mul(scaled, self.power_of_two(self.integer("sub", n, half)))

    def small_kept(self, x: str, z: str) -> str:
        """Return z, or x where x is so small that z rounds to it: this keeps subnormal numbers and -0."""
        return self.select(self.compare("olt", self.code.intrinsic("fabs", self.type, x), 1e-20), x, z)

    def expm1(self, x: str) -> str:
        n, p = self.exp_parts(self.clamp(x, -40.0, 709.9))
        half = self.power_of_two(self.integer("sub", n, 1))  # half of 2**n, which may be infinite
        return self.small_kept(x, self.mul(self.mad(p, half, self.sub(half, 0.5)), 2.0))

    def tanh(self, x: str) -> str:
        if self.type == "float":
            x = self.clamp(x, -7.99881172, 7.99881172)  # beyond this the quotient is 1
            y = self.mul(x, x)
            return self.mul(x, self.div(self.poly(y, _TANH32_P), self.poly(y, _TANH32_Q)))
        size = self.code.intrinsic("fabs", self.type, x)
        y, small = self.mul(x, x), self.compare("olt", size, 0.625)
        n, p = self.exp_parts(self.clamp(self.mul(size, 2.0), 0.0, 40.0))
        e = self.mul(self.add(p, 1.0), self.power_of_two(n))
        # |x| + |x|**3 * P/Q near 0 and 1 - 2 / (exp(2|x|) + 1) elsewhere, with one division for both
        above = self.select(small, self.mul(self.mul(size, y), self.poly(y, _TANH64_P)), -2.0)
        below = self.select(small, self.poly(y, _TANH64_Q), self.add(e, 1.0))
        z = self.add(self.select(small, size, 1.0), self.div(above, below))
        return self.code.intrinsic("copysign", self.type, z, x)

    def log_parts(self, x: str) -> tuple[str, str]:
        """Return k and f with x = 2**k * (1 + f), where 1 + f is between the square roots of 1/2 and 2.

        For doubles; k is a double too.
        """
        bits = self.integer("add", self.as_bits(x), 0x3FF0000000000000 - 0x3FE6A09E667F3BCD)
        k = self.integer("sub", self.integer("lshr", bits, 52), 1023)
        m = self.from_bits(
            self.integer("add", self.integer("and", bits, 0xFFFFFFFFFFFFF), 0x3FE6A09E667F3BCD)
        )
        return self.code.cast("sitofp", "i32", self.code.cast("trunc", "i64", k, "i32"), "double"), self.sub(
            m, 1.0
        )

    def log_sum(self, k: str, f: str, rest: str | float) -> str:
        """k * log(2) + log(1 + f) + rest."""
        high, low = _LN2["double"]
        s = self.div(f, self.add(f, 2.0))
        z = self.mul(s, s)
        square = self.mul(self.mul(f, f), 0.5)
        r = self.mul(z, self.poly(z, _LOG))
        tail = self.mad(s, self.add(square, r), self.mad(k, low, rest))
        return self.mad(k, high, self.sub(f, self.sub(square, tail)))

    def log_edges(self, z: str, x: str, zero: float) -> str:
        """Fix the logarithm z of a number that is 0 at x = `zero`.

        It is minus infinity there, NaN below, and x itself if x is infinite or NaN.
        """
        z = self.select(self.compare("olt", x, _INF), z, x)
        z = self.select(self.compare("oeq", x, zero), -_INF, z)
        return self.select(self.compare("olt", x, zero), float("nan"), z)

    def log(self, x: str) -> str:
        tiny = self.compare("olt", x, 2.2250738585072014e-308)
        k, f = self.log_parts(self.select(tiny, self.mul(x, 2.0**54), x))
        return self.log_edges(self.log_sum(self.sub(k, self.select(tiny, 54.0, 0.0)), f, 0.0), x, 0.0)

    def log1p(self, x: str) -> str:
        u = self.add(x, 1.0)
        k, f = self.log_parts(u)
        near = self.compare("oeq", k, 0.0)
        # the rounding error of u
        lost = self.select(
            self.compare("oge", k, 2.0), self.sub(1.0, self.sub(u, x)), self.sub(x, self.sub(u, 1.0))
        )
        rest = self.select(near, 0.0, self.div(lost, u))
        return self.small_kept(x, self.log_edges(self.log_sum(k, self.select(near, x, f), rest), x, -1.0))

    def turn(self, x: str, quarters: int) -> str:
        """sin(x + quarters * pi / 2) for |x| below 2**20 and quarters 0 or 1. For doubles.

        With x = (k - quarters / 2) * pi + r it is sin(r), negated where k is odd.
        """
        turns = self.mad(x, 1 / pi, 0.5) if quarters else self.mul(x, 1 / pi)
        shifted = self.add(turns, self.magic)
        k = self.sub(self.sub(shifted, self.magic), quarters / 2)
        r = x
        for part in _PI:
            r = self.mad(k, -part, r)
        z = self.mul(r, r)
        sin = self.mad(self.mul(z, r), self.poly(z, _SIN), r)
        flip = self.integer("shl", self.as_bits(shifted), 63)
        z = self.from_bits(self.integer("xor", self.as_bits(sin), flip))
        return z if quarters else self.small_kept(x, z)

    def power(self, x: str, y: str) -> str:
        """x ** y for a positive normal x or 0, and a finite y, by exp(y * log x). For doubles.

        The logarithm is a sum of two doubles, accurate to about 2**-64; the second is the rounding error of
        the first. Its error times y is the relative error of the result.
        """
        k, f = self.log_parts(x)
        # s = f / (2 + f)
        g = self.add(f, 2.0)
        lost = self.sub(f, self.sub(g, 2.0))
        inverse = self.div(1.0, g)
        s = self.mul(f, inverse)
        rest = self.fma(self.negative(s), lost, self.fma(self.negative(s), g, f))
        s1 = self.mul(rest, inverse)
        # z = s * s, p = 2/3 + z * (...), w = s * z * p
        z, z1 = self.product(s, s)
        z1 = self.fma(self.add(s, s), s1, z1)
        tail = self.mul(z, self.poly(z, _ATANH))
        p = self.add(tail, _TWO_THIRDS[0])
        p1 = self.add(self.add(self.sub(_TWO_THIRDS[0], p), tail), _TWO_THIRDS[1])
        u, u1 = self.product(s, z)
        u1 = self.fma(s, z1, self.fma(s1, z, u1))
        w, w1 = self.product(u, p)
        w1 = self.fma(u, p1, self.fma(u1, p, w1))
        # k * log(2) + 2 * s + w
        high, low = _LN2["double"]
        a, b = self.mul(k, high), self.add(s, s)
        t = self.add(a, b)
        t1 = self.add(self.sub(a, t), b)
        log = self.add(t, w)
        log1 = self.add(self.sub(t, log), w)
        for part in (t1, w1, self.add(s1, s1)):
            log1 = self.add(log1, part)
        log1 = self.mad(k, low, log1)
        v, v1 = self.product(y, log)
        v1 = self.fma(y, log1, v1)
        inside = self.compare("olt", self.code.intrinsic("fabs", self.type, v), 740.0)
        z = self.exp(v, self.select(inside, v1, 0.0))
        return self.of_zero(x, y, z)

    def of_zero(self, x: str, y: str, z: str) -> str:
        """Return z = x ** y, or the right value where x is 0."""
        at_zero = self.select(
            self.compare("oeq", y, 0.0), 1.0, self.select(self.compare("ogt", y, 0.0), 0.0, _INF)
        )
        return self.select(self.compare("oeq", x, 0.0), at_zero, z)

    def rough_power(self, x: str, y: str) -> str:
        """x ** y for floats, as `power`, but computed in plain doubles, which are accurate enough."""
        k, f = self.log_parts(x)
        return self.of_zero(x, y, self.exp(self.mul(y, self.log_sum(k, f, 0.0))))

    def hypot(self, x: str, y: str) -> str:
        """The square root of x² + y², with its rounding error corrected. For doubles.

        C. Borges, An improved algorithm for hypot(a,b), 2019: the version with fused operations.
        """
        x, y = (self.code.intrinsic("fabs", self.type, v) for v in (x, y))
        less = self.compare("olt", x, y)
        big, small = self.select(less, y, x), self.select(less, x, y)
        # by a power of two, so that squares neither overflow nor vanish
        huge, tiny = self.compare("ogt", big, 2.0**500), self.compare("olt", big, 2.0**-500)
        scale = self.select(huge, 2.0**-600, self.select(tiny, 2.0**600, 1.0))
        back = self.select(huge, 2.0**600, self.select(tiny, 2.0**-600, 1.0))
        a, b = self.mul(big, scale), self.mul(small, scale)
        h = self.code.intrinsic("sqrt", self.type, self.fma(a, a, self.mul(b, b)))
        (h2, h_rest), (a2, a_rest) = self.product(h, h), self.product(a, a)
        excess = self.add(self.fma(self.negative(b), b, self.sub(h2, a2)), self.sub(h_rest, a_rest))
        z = self.sub(h, self.div(excess, self.add(h, h)))
        return self.infinite_kept(x, y, self.mul(self.select(self.compare("oeq", h, 0.0), h, z), back))

    def rough_hypot(self, x: str, y: str) -> str:
        """The square root of x² + y² for floats: doubles neither overflow nor lose anything."""
        z = self.code.intrinsic("sqrt", self.type, self.mad(x, x, self.mul(y, y)))
        return self.infinite_kept(x, y, z)

    def infinite_kept(self, x: str, y: str, z: str) -> str:
        """Return z, or infinity where x or y is infinite, even if the other is NaN."""
        for v in (x, y):
            size = self.code.intrinsic("fabs", self.type, v)
            z = self.select(self.compare("oeq", size, _INF), _INF, z)
        return z

    def fma(self, x: str, y: str, z: str) -> str:
        """x * y + z, rounded once."""
        return self.code.intrinsic("fma", self.type, x, y, z)

    def negative(self, x: str) -> str:
        return self.code.let(f"fneg {self.code.vector(self.type)} {x}")

    def product(self, x: str, y: str) -> tuple[str, str]:
        """Return x * y and its rounding error."""
        z = self.mul(x, y)
        return z, self.fma(x, y, self.negative(z))


_FUNCTIONS: dict[str, Callable[[_Math, str], str]] = {
    "exp": _Math.exp,
    "expm1": _Math.expm1,
    "log": _Math.log,
    "log1p": _Math.log1p,
    "tanh": _Math.tanh,
    "sin": lambda m, x: m.turn(x, 0),
    "cos": lambda m, x: m.turn(x, 1),
}
#: Functions of the C library with one and with two double arguments.
_C = dict.fromkeys(("tan", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh"), 1)
_C |= dict.fromkeys(("log2", "log10", "cbrt", "erfc"), 1)
_C |= dict.fromkeys(("atan2", "fmod", "nextafter"), 2)
NAMES = (_FUNCTIONS.keys() | _C.keys() | {"hypot", "normal_cdf", "pow"}) - {"erfc"}
_IN_FLOAT32 = {"exp", "tanh", "nextafter"}
_INLINED = {"exp", "tanh"}


def call(code: Code, name: str, type_: str, *args: str) -> str:
    """Call `name` on vectors of `type_`, "float" or "double"; its function is written at first use."""
    vector = code.vector(type_)
    full = f"@{name}.{code.lanes}.{type_}"
    if full not in code.module.functions:
        inner, names = Code(code.module, code.lanes), ("%x", "%y")[: len(args)]
        if name == "pow":
            z = _power(inner, type_)
        elif name == "hypot":
            z = _hypot(inner, type_)
        elif type_ == "float" and name not in _IN_FLOAT32:
            wide = call(inner, name, "double", *(inner.cast("fpext", "float", x, "double") for x in names))
            z = inner.cast("fptrunc", "double", wide, "float")
        elif name in ("sin", "cos"):
            z = _within(inner, name)
        elif name == "normal_cdf":
            math = _Math(inner, type_)
            z = math.mul(call(inner, "erfc", type_, math.div(inner.let(f"fneg {vector} %x"), 2**0.5)), 0.5)
        elif name in _C:
            z = _lane_by_lane(inner, name if type_ == "double" else f"{name}f", type_, names)
        else:
            z = _FUNCTIONS[name](_Math(inner, type_), "%x")
        inner.put(f"ret {vector} {z}")
        inlined = " alwaysinline" if name in _INLINED else ""
        parameters = ", ".join(f"{vector} {x}" for x in names)
        code.module.functions[full] = "\n".join(
            [f"define internal {vector} {full}({parameters}){inlined} {{", "entry:", *inner.lines, "}"]
        )
    return code.let(f"call {vector} {full}({', '.join(f'{vector} {x}' for x in args)})")


def _lane_by_lane(code: Code, name: str, type_: str, args: tuple[str, ...]) -> str:
    """Write a function that calls the C library for each lane."""
    vector, z = code.vector(type_), "poison"
    code.module.declared[f"@{name}"] = (
        f"declare {type_} @{name}({', '.join([type_] * len(args))}) nounwind willreturn memory(none)"
    )
    for lane in range(code.lanes):
        given = [code.let(f"extractelement {vector} {x}, i64 {lane}") for x in args]
        one = code.let(f"call {type_} @{name}({', '.join(f'{type_} {x}' for x in given)})")
        z = code.let(f"insertelement {vector} {z}, {type_} {one}, i64 {lane}")
    return z


def _within(code: Code, name: str) -> str:
    """Write sin or cos; if any lane is too large, the C library computes all lanes, one by one."""
    math, vector = _Math(code, "double"), code.vector("double")
    fast = _FUNCTIONS[name](math, "%x")
    large = math.compare("oge", code.intrinsic("fabs", "double", "%x"), 1e6)
    lanes = code.let(f"bitcast {code.vector('i1')} {large} to i{code.lanes}")
    any_large = code.let(f"icmp ne i{code.lanes} {lanes}, 0")
    return code.when(any_large, lambda: [code.intrinsic(name, "double", "%x")], [(vector, fast)])[0]


def _hypot(code: Code, type_: str) -> str:
    """Write hypot."""
    math = _Math(code, "double")
    if type_ == "double":
        return math.hypot("%x", "%y")
    x, y = (code.cast("fpext", "float", v, "double") for v in ("%x", "%y"))
    return code.cast("fptrunc", "double", math.rough_hypot(x, y), "float")


def _power(code: Code, type_: str) -> str:
    """Write a power.

    If any lane is outside the domain of `_Math.power`, the C library computes all lanes, one by one.
    """
    vector, whole = code.vector(type_), "i32" if type_ == "float" else "i64"
    bits = code.cast("bitcast", type_, "%x", whole)
    least, above = (0x00800000, 0x7F800000) if whole == "i32" else (1 << 52, 0x7FF << 52)
    normal = code.binary(
        "icmp ult",
        whole,
        code.binary("sub", whole, bits, code.constant(whole, least)),
        code.constant(whole, above - least),
    )
    taken = code.binary("or", "i1", normal, code.binary("icmp eq", whole, bits, code.constant(whole, 0)))
    size = code.intrinsic("fabs", type_, "%y")
    finite = code.binary(
        "fcmp olt", type_, size, code.constant(type_, float("inf") if whole == "i32" else 1e300)
    )
    lanes = code.let(
        f"bitcast {code.vector('i1')} {code.binary('and', 'i1', taken, finite)} to i{code.lanes}"
    )
    others = code.let(f"icmp ne i{code.lanes} {lanes}, -1")
    if type_ == "float":
        x, y = (code.cast("fpext", "float", v, "double") for v in ("%x", "%y"))
        fast = code.cast("fptrunc", "double", _Math(code, "double").rough_power(x, y), "float")
    else:
        fast = _Math(code, type_).power("%x", "%y")
    return code.when(others, lambda: [code.intrinsic("pow", type_, "%x", "%y")], [(vector, fast)])[0]
