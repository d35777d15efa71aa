"""exp, log, tanh and other functions on vectors, in LLVM IR.

They have no branches, and handle NaN, infinities and subnormal numbers. Errors in units in the last place: at
most 6 for tanh and about 1 for exp, expm1, log and log1p in float32, about 2 for all in float64, and about 1
for powers and hypot. The other float32 forms compute in float64 and round. Methods and constants follow
fdlibm and Cephes. Functions without a form here are computed lane by lane by the C library.
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi

from .arithmetic import Arithmetic
from .coefficients import (
    ATANH,
    EXP,
    LN2,
    LOG,
    LOG2,
    LOG2E,
    NARROW_LOG,
    PI,
    SIN,
    TANH32_P,
    TANH32_Q,
    TANH64_P,
    TANH64_Q,
    TWO_THIRDS,
)
from .text import Code

_INF = float("inf")
#: The bits of 1 and of the square root of 1/2.
_ONE_AND_ROOT = {"float": (0x3F800000, 0x3F3504F3), "double": (0x3FF0000000000000, 0x3FE6A09E667F3BCD)}


class _Math(Arithmetic):
    """Functions of vectors.

    `narrow` is for doubles that hold floats, and whose results will be rounded to floats.
    """

    def __init__(self, code: Code, type_: str, narrow: bool = False) -> None:
        super().__init__(code, type_)
        self.narrow = narrow
        self.table = "narrow" if narrow else type_

    def exp_reduced(self, x: str, rest: str | None = None) -> tuple[str, str, str]:
        """Return n, r and the rounding error of r with x + rest = n * log(2) + r, |r| <= log(2) / 2."""
        k, n = self.rounded(x, LOG2E)
        high, low = LN2[self.type]
        first = self.mad(k, -high, x)
        first = first if rest is None else self.add(first, rest)
        r = self.mad(k, -low, first)
        return n, r, self.mad(k, -low, self.sub(first, r))

    def exp_parts(self, x: str, rest: str | None = None) -> tuple[str, str]:
        """Return n and exp(r) - 1 with x + rest = n * log(2) + r, where |r| <= log(2) / 2."""
        n, r, _ = self.exp_reduced(x, rest)
        return n, self.mad(self.mul(r, r), self.poly(r, EXP[self.table]), r)

    def exp(self, x: str, rest: str | None = None) -> str:
        """exp(x + rest), where `rest` is much smaller than x."""
        ends = (-746.0, 710.0) if self.table == "double" else (-104.0, 89.0)
        n, p = self.exp_parts(self.clamp(x, *ends), rest)
        if self.narrow:
            return self.mul(self.add(p, 1.0), self.power_of_two(n))
        # as two factors, since 2**n alone may be subnormal or infinite where the product is not
        half = self.integer("ashr", n, 1)
        scaled = self.mul(self.add(p, 1.0), self.power_of_two(half))
        return self.mul(scaled, self.power_of_two(self.integer("sub", n, half)))

    def expm1(self, x: str) -> str:
        n, r, lost = self.exp_reduced(self.clamp(x, -40.0, 709.9 if self.type == "double" else 89.0))
        rest = self.mad(self.mul(r, r), self.poly(r, EXP[self.type]), lost)
        half = self.power_of_two(self.integer("sub", n, 1))  # half of 2**n, which may be infinite
        base = self.sub(half, 0.5)
        z = self.mad(r, half, base)
        lost = self.mad(r, half, self.sub(base, z))  # as base is 0 or larger than r * half
        return self.mul(self.add(z, self.mad(rest, half, lost)), 2.0)

    def tanh(self, x: str) -> str:
        if self.type == "float":
            x = self.clamp(x, -7.99881172, 7.99881172)  # beyond this the quotient is 1
            y = self.mul(x, x)
            return self.mul(x, self.div(self.poly(y, TANH32_P), self.poly(y, TANH32_Q)))
        size = self.code.intrinsic("fabs", self.type, x)
        y, small = self.mul(x, x), self.compare("olt", size, 0.625)
        n, p = self.exp_parts(self.clamp(self.mul(size, 2.0), 0.0, 40.0))
        e = self.mul(self.add(p, 1.0), self.power_of_two(n))
        # |x| + |x|**3 * P/Q near 0 and 1 - 2 / (exp(2|x|) + 1) elsewhere, with one division for both
        above = self.select(small, self.mul(self.mul(size, y), self.poly(y, TANH64_P)), -2.0)
        below = self.select(small, self.poly(y, TANH64_Q), self.add(e, 1.0))
        z = self.add(self.select(small, size, 1.0), self.div(above, below))
        return self.code.intrinsic("copysign", self.type, z, x)

    def exponent(self, x: str) -> str:
        """Return the integer k with x / 2**k between the square roots of 1/2 and 2."""
        one, root = _ONE_AND_ROOT[self.type]
        bits = self.integer("add", self.as_bits(x), one - root)
        return self.integer("sub", self.integer("lshr", bits, self.bits), self.bias)

    def from_integer(self, k: str) -> str:
        """Convert a small integer to floating point."""
        short = k if self.whole == "i32" else self.code.cast("trunc", self.whole, k, "i32")
        return self.code.cast("sitofp", "i32", short, self.type)

    def log_parts(self, x: str) -> tuple[str, str]:
        """Return k and f with x = 2**k * (1 + f), where k is the `exponent`, as floating point."""
        k = self.exponent(x)
        m = self.from_bits(self.integer("sub", self.as_bits(x), self.integer("shl", k, self.bits)))
        return self.from_integer(k), self.sub(m, 1.0)

    def log_sum(self, k: str, f: str, rest: str | float = 0.0) -> str:
        """k * log(2) + log(1 + f) + rest, where `rest` is much smaller than f."""
        high, low = LN2[self.type]
        s = self.div(f, self.add(f, 2.0))
        z = self.mul(s, s)
        square = self.mul(self.mul(f, f), 0.5)
        r = self.mul(z, self.poly(z, LOG[self.type]))
        tail = self.mad(s, self.add(square, r), self.mad(k, low, rest))
        return self.mad(k, high, self.sub(f, self.sub(square, tail)))

    def log(self, x: str) -> str:
        tiny = self.compare("olt", x, 2.0 ** (1 - self.bias))
        k, f = self.log_parts(self.select(tiny, self.mul(x, 2.0**54), x))
        return self.log_sum(self.sub(k, self.select(tiny, 54.0, 0.0)), f)

    def log1p(self, x: str) -> str:
        """With 1 + x = 2**k * (1 + f), f is x / 2**k + (1 / 2**k - 1): the sum 1 + x only gives k."""
        k = self.exponent(self.add(x, 1.0))
        scale = self.power_of_two(self.integer("sub", 2, k))  # 4 / 2**k is never subnormal
        f, lost = self.sum(self.mul(self.mul(x, 0.25), scale), self.mad(scale, 0.25, -1.0))
        return self.log_sum(self.from_integer(k), f, self.sub(lost, self.mul(lost, f)))

    def turn(self, x: str, quarters: int) -> str:
        """sin(x + quarters * pi / 2) for |x| below 2**20 and quarters 0 or 1. For doubles.

        With x = (k - quarters / 2) * pi + r it is sin(r), negated where k is odd.
        """
        if quarters:
            shifted = self.add(self.mad(x, 1 / pi, 0.5), self.magic)
        else:
            shifted = self.mad(x, 1 / pi, self.magic)
        k = self.sub(self.sub(shifted, self.magic), quarters / 2)
        r = x
        for part in PI[self.table]:
            r = self.mad(k, -part, r)
        z = self.mul(r, r)
        sin = self.mad(self.mul(z, r), self.poly(z, SIN[self.table]), r)
        flip = self.integer("shl", self.as_bits(shifted), 63)
        return self.from_bits(self.integer("xor", self.as_bits(sin), flip))

    def power(self, x: str, y: str) -> str:
        """x ** y for a positive normal x and a finite y, by exp(y * log x). For doubles.

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
        tail = self.mul(z, self.poly(z, ATANH))
        p = self.add(tail, TWO_THIRDS[0])
        p1 = self.add(self.add(self.sub(TWO_THIRDS[0], p), tail), TWO_THIRDS[1])
        u, u1 = self.product(s, z)
        u1 = self.fma(s, z1, self.fma(s1, z, u1))
        w, w1 = self.product(u, p)
        w1 = self.fma(u, p1, self.fma(u1, p, w1))
        # k * log(2) + 2 * s + w
        high, low = LN2["double"]
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
        return self.exp(v, self.select(inside, v1, 0.0))

    def small_kept(self, x: str, z: str) -> str:
        """Return z, or x where x is so small that z rounds to it: this keeps subnormal numbers and -0."""
        return self.select(self.compare("olt", self.code.intrinsic("fabs", self.type, x), 1e-20), x, z)

    def log_edges(self, x: str, z: str, zero: float = 0.0) -> str:
        """Fix the logarithm z of a number that is 0 at x = `zero`.

        It is minus infinity there, NaN below, and x itself if x is infinite or NaN.
        """
        z = self.select(self.compare("olt", x, _INF), z, x)
        z = self.select(self.compare("oeq", x, zero), -_INF, z)
        return self.select(self.compare("olt", x, zero), float("nan"), z)

    def log1p_edges(self, x: str, z: str) -> str:
        return self.small_kept(x, self.log_edges(x, z, -1.0))

    def of_zero(self, x: str, y: str, z: str) -> str:
        """Return z = x ** y, or the right value where x is 0."""
        at_zero = self.select(
            self.compare("oeq", y, 0.0), 1.0, self.select(self.compare("ogt", y, 0.0), 0.0, _INF)
        )
        return self.select(self.compare("oeq", x, 0.0), at_zero, z)

    def narrow_power(self, x: str, y: str) -> str:
        """x ** y for a positive x and a finite y. For doubles that hold floats."""
        k, f = self.log_parts(x)
        return self.exp(self.mul(y, self.mad(k, LOG2, self.mul(f, self.poly(f, NARROW_LOG)))))

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


_FUNCTIONS: dict[str, Callable[[_Math, str], str]] = {
    "exp": _Math.exp,
    "expm1": _Math.expm1,
    "log": _Math.log,
    "log1p": _Math.log1p,
    "tanh": _Math.tanh,
    "sin": lambda m, x: m.turn(x, 0),
    "cos": lambda m, x: m.turn(x, 1),
}
#: What fixes a result z = f(x) at special x, in the type of the result.
_EDGES: dict[str, Callable[[_Math, str, str], str]] = {
    "expm1": _Math.small_kept,
    "log": _Math.log_edges,
    "log1p": _Math.log1p_edges,
    "sin": _Math.small_kept,
}
#: Functions of the C library with one and with two double arguments.
_C = dict.fromkeys(("tan", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh"), 1)
_C |= dict.fromkeys(("log2", "log10", "cbrt", "erfc"), 1)
_C |= dict.fromkeys(("atan2", "fmod", "nextafter"), 2)
NAMES = (_FUNCTIONS.keys() | _C.keys() | {"hypot", "normal_cdf", "pow"}) - {"erfc"}
_IN_FLOAT32 = {"exp", "expm1", "log", "log1p", "tanh", "nextafter"}
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
        elif name in _FUNCTIONS:
            z = _written(inner, name, type_)
        elif type_ == "float" and name not in _IN_FLOAT32:
            wide = call(inner, name, "double", *(_widened(inner, x) for x in names))
            z = _narrowed(inner, wide)
        elif name == "normal_cdf":
            math = _Math(inner, type_)
            z = math.mul(call(inner, "erfc", type_, math.div(inner.let(f"fneg {vector} %x"), 2**0.5)), 0.5)
        else:
            z = _lane_by_lane(inner, name if type_ == "double" else f"{name}f", type_, names)
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


def _widened(code: Code, x: str) -> str:
    return code.cast("fpext", "float", x, "double")


def _narrowed(code: Code, x: str) -> str:
    return code.cast("fptrunc", "double", x, "float")


def _written(code: Code, name: str, type_: str) -> str:
    """Write a function of this file."""
    if type_ == "float" and name not in _IN_FLOAT32:
        z = _narrowed(code, _FUNCTIONS[name](_Math(code, "double", narrow=True), _widened(code, "%x")))
    else:
        z = _FUNCTIONS[name](_Math(code, type_), "%x")
    if name in _EDGES:
        z = _EDGES[name](_Math(code, type_), "%x", z)
    return _within(code, name, type_, z) if name in ("sin", "cos") else z


def _within(code: Code, name: str, type_: str, z: str) -> str:
    """Return z, or if any lane of x is too large for it, what the C library computes for all, in double."""

    def by_library() -> list[str]:
        if type_ == "double":
            return [code.intrinsic(name, type_, "%x")]
        return [_narrowed(code, code.intrinsic(name, "double", _widened(code, "%x")))]

    large = _Math(code, type_).compare("oge", code.intrinsic("fabs", type_, "%x"), 1e6)
    lanes = code.let(f"bitcast {code.vector('i1')} {large} to i{code.lanes}")
    any_large = code.let(f"icmp ne i{code.lanes} {lanes}, 0")
    return code.when(any_large, by_library, [(code.vector(type_), z)])[0]


def _hypot(code: Code, type_: str) -> str:
    """Write hypot."""
    math = _Math(code, "double")
    if type_ == "double":
        return math.hypot("%x", "%y")
    return _narrowed(code, math.rough_hypot(_widened(code, "%x"), _widened(code, "%y")))


def _power(code: Code, type_: str) -> str:
    """Write a power.

    If any lane is outside the domain of `_Math.power` or `_Math.narrow_power`, and x is not 0, the C library
    computes all lanes, one by one.
    """
    math, narrow = _Math(code, type_), type_ == "float"
    bits = math.as_bits("%x")
    least, above = (0, 0x7F800000) if narrow else (1 << 52, 0x7FF << 52)
    taken = math.integer("icmp ult", math.integer("sub", bits, least), above - least)
    if not narrow:
        taken = code.binary("or", "i1", taken, math.integer("icmp eq", bits, 0))
    finite = math.compare("olt", code.intrinsic("fabs", type_, "%y"), _INF if narrow else 1e300)
    lanes = code.let(
        f"bitcast {code.vector('i1')} {code.binary('and', 'i1', taken, finite)} to i{code.lanes}"
    )
    others = code.let(f"icmp ne i{code.lanes} {lanes}, -1")
    if narrow:
        x, y = (_widened(code, v) for v in ("%x", "%y"))
        fast = _narrowed(code, _Math(code, "double", narrow=True).narrow_power(x, y))
    else:
        fast = math.power("%x", "%y")
    fast = math.of_zero("%x", "%y", fast)
    return code.when(
        others, lambda: [code.intrinsic("pow", type_, "%x", "%y")], [(code.vector(type_), fast)]
    )[0]
