"""Arithmetic: ops of one or two operands, and `where`."""

from __future__ import annotations

import cmath
import math
from math import inf, nan

from ..backends.dtypes import is_complex, is_floating
from ..backends.types import Array, Namespace
from .table import elementwise, op

NONE = elementwise(
    "none",
    lambda xp, x: x,
    scalar="x",
    dx=lambda dz: dz,
    function="positive",
    in_numpy=None,
    analytic=True,
    linear="jointly",
    doc="+x",
)

ADD = elementwise(
    "+",
    lambda xp, x, y: x + y,
    scalar="x + y",
    dx=lambda dz: dz,
    dy=lambda dz: dz,
    function="add",
    analytic=True,
    linear="jointly",
    doc="x + y",
)

SUBTRACT = elementwise(
    "-",
    lambda xp, x, y: x - y,
    scalar="x - y",
    dx=lambda dz: dz,
    dy=lambda dz: -dz,
    function="subtract",
    analytic=True,
    linear="jointly",
    doc="x - y",
)

MULTIPLY = elementwise(
    "*",
    lambda xp, x, y: x * y,
    scalar="x * y",
    dx=lambda dz, y: dz * y,
    dy=lambda dz, x: dz * x,
    function="multiply",
    analytic=True,
    linear="each",
    doc="x * y",
)

DIVIDE = elementwise(
    "/",
    lambda xp, x, y: x / y,
    scalar="x / y",
    dx=lambda dz, y: dz / y,
    dy=lambda dz, z, y: -dz * z / y,
    function="divide",
    analytic=True,
    linear="first",
    doc="x / y",
)


def _exponent_less_one(xp: Namespace, x: Array, y: Array) -> Array:
    """y - 1, or 1 where x and y are 0, as the factor y makes the derivative 0 there."""
    if isinstance(y, int | float | complex):
        return y - 1 if y != 0 else 1
    return xp.where(y == 0, xp.where(x == 0, 1, y - 1), y - 1)


def _log_or_zero(xp: Namespace, x: Array, z: Array) -> Array:
    """log x, or 0 where x is 0, as 0 ** y is constant in y.

    If the power `z` is complex, a negative x has a logarithm too.
    """
    if isinstance(x, int | float | complex):
        if x == 0 or x != x:
            return x
        if is_complex(z.dtype):
            return cmath.log(x)
        return nan if isinstance(x, complex) or x < 0 else math.log(x)
    x = xp.astype(x, z.dtype) if is_complex(z.dtype) else x
    return xp.log(xp.where(x == 0, xp.ones_like(x), x))


def _power(xp: Namespace, x: Array, y: Array) -> Array:
    """x ** y.

    For a number y, `**` of array libraries has fast paths; but `pow` is used for y = 0.5, whose fast path
    violates the array standard at infinity.
    """
    if isinstance(y, int | float | complex) and (y != 0.5 or isinstance(y, complex)):
        return xp.pow(x, y) if isinstance(y, int | float) and is_complex(getattr(x, "dtype", None)) else x**y
    return xp.pow(x, y)


POWER = elementwise(
    "**",
    _power,
    scalar="pow(x, y)",
    dx=lambda xp, dz, x, y: dz * (y * _power(xp, x, _exponent_less_one(xp, x, y))),
    dy=lambda xp, dz, z, x: dz * (z * _log_or_zero(xp, x, z)),
    function="pow",
    numpy="power",
    in_numpy=None,
    analytic=True,
    doc="x ** y. The derivative in x is 0 where y is 0, and the derivative in y is 0 where x is 0.",
)

NEGATIVE = elementwise(
    "neg",
    lambda xp, x: -x,
    scalar="-x",
    dx=lambda dz: -dz,
    function="negative",
    analytic=True,
    linear="jointly",
    doc="-x",
)


def _floor_divide(xp: Namespace, x: Array, y: Array) -> Array:
    """floor(x / y), as in the array standard; NumPy differs where x or y is infinite."""
    if not any(is_floating(getattr(v, "dtype", type(v))) for v in (x, y)):
        return x // y
    # a Python int may exceed every integer dtype
    x, y = (float(v) if isinstance(v, int) else v for v in (x, y))
    return xp.where(xp.isinf(x) | xp.isinf(y), xp.floor(x / y), x // y)


#: As in NumPy: exact where the quotient is an integer, and one less where rounding has lifted it to the next
#: integer.
_FLOOR_DIVIDE = """
rest = fmod(x, y)
toward = (x - rest) / y
quotient = where(rest != 0 and (rest < 0) != (y < 0), toward - 1, toward)
down = floor(quotient)
whole = where(quotient == 0, copysign(0, x / y), where(quotient - down > 0.5, down + 1, down))
where(abs(x) == inf or abs(y) == inf, floor(x / y), where(y == 0, x / y, whole))
"""
_REMAINDER = """
rest = fmod(x, y)
where(y == 0, rest, where(rest == 0, copysign(0, y), where((rest < 0) != (y < 0), rest + y, rest)))
"""

FLOOR_DIVIDE = elementwise(
    "//",
    _floor_divide,
    function="floor_divide",
    scalar=_FLOOR_DIVIDE,
    integers="x // y",
    in_numpy=None,
    doc="floor(x / y); no gradient flows back.",
)

REMAINDER = elementwise(
    "%",
    lambda xp, x, y: x % y,
    scalar=_REMAINDER,
    integers="x % y",
    dx=lambda dz: dz,
    dy=lambda dz, x, y: -dz * (x // y),
    function="remainder",
    doc="x - y * floor(x / y), with the sign of y.",
)


def _by_square(xp: Namespace, part: Array, x: Array, y: Array) -> Array:
    """part / (x² + y²), without overflow or underflow of the squares."""
    r = xp.hypot(x, y)
    return part / r / r


ATAN2 = elementwise(
    "atan2",
    lambda xp, x, y: xp.atan2(x, y),
    scalar="atan2(x, y)",
    dx=lambda xp, dz, x, y: dz * _by_square(xp, y, y, x),
    dy=lambda xp, dz, x, y: -dz * _by_square(xp, x, y, x),
    numpy="arctan2",
    doc="Angle of the point (y, x), between -π and π: atan2(sin a, cos a) = a.",
)


def quotient_or_zero(xp: Namespace, x: Array, z: Array) -> Array:
    """x / z, or 0 where z is 0, also in derivatives of any order."""
    return xp.where(z == 0, 0, x / xp.where(z == 0, 1, z))


HYPOT = elementwise(
    "hypot",
    lambda xp, x, y: xp.hypot(x, y),
    scalar="hypot(x, y)",
    dx=lambda xp, dz, z, x: dz * quotient_or_zero(xp, x, z),
    dy=lambda xp, dz, z, y: dz * quotient_or_zero(xp, y, z),
    doc="√(x² + y²), without overflow; its derivative at (0, 0) is 0.",
)


def share(xp: Namespace, x: Array, z: Array) -> Array:
    """exp(x - z), the share of exp(x) in the sum exp(z).

    It is 0 if z is -inf; if z is inf, it is 0 for finite x and NaN for x = inf.
    """
    return xp.exp(x - xp.where(z == -inf, 0, z))


COPYSIGN = elementwise(
    "copysign",
    lambda xp, x, y: xp.copysign(x, y),
    scalar="copysign(x, y)",
    dx=lambda xp, dz, x, y: xp.where(xp.signbit(x) == xp.signbit(y), dz, -dz),
    doc="|x| with the sign of y.",
)

NEXTAFTER = elementwise(
    "nextafter",
    lambda xp, x, y: xp.nextafter(x, y),
    scalar="nextafter(x, y)",
    dx=lambda dz: dz,
    doc="The next floating-point number after x in the direction of y.",
)

# Selections. On a tie only the first operand gets the gradient, so that it is not counted twice.
MAXIMUM = elementwise(
    "maximum",
    lambda xp, x, y: xp.maximum(x, y),
    scalar="where(x >= y or isnan(x), x, y)",
    dx=lambda xp, dz, x, y: xp.where(x >= y, dz, 0),
    dy=lambda xp, dz, x, y: xp.where(x >= y, 0, dz),
    doc="The larger of two. On a tie the gradient goes to `x`.",
)

MINIMUM = elementwise(
    "minimum",
    lambda xp, x, y: xp.minimum(x, y),
    scalar="where(x <= y or isnan(x), x, y)",
    dx=lambda xp, dz, x, y: xp.where(x <= y, dz, 0),
    dy=lambda xp, dz, x, y: xp.where(x <= y, 0, dz),
    doc="The smaller of two. On a tie the gradient goes to `x`.",
)

LOGADDEXP = elementwise(
    "logaddexp",
    lambda xp, x, y: xp.logaddexp(x, y),
    scalar="maximum(x, y) + log1p(exp(-where(x == y, 0, abs(x - y))))",
    dx=lambda xp, dz, z, x: dz * share(xp, x, z),
    dy=lambda xp, dz, z, y: dz * share(xp, y, z),
    doc="log(exp(x) + exp(y)), without overflow.",
)

WHERE = op(
    "where",
    lambda xp, condition, a, b: xp.where(condition, a, b),
    scalar="where(condition, a, b)",
    dx=lambda xp, dz, first, needs: (
        None,
        xp.where(first[0], dz, 0) if needs[1] else None,
        xp.where(first[0], 0, dz) if needs[2] else None,
    ),
    variadic=True,
    linear="jointly",
    promotion="where",
    numpy="",
    in_numpy="where",
    pointwise=True,
    doc="`a` where `condition` is true, else `b`.",
)

# The same value, through which no gradient flows.
STOP_GRADIENT = op("stop_gradient", lambda xp, x: x, scalar="x", elementwise=True)

# Casts. Between floating dtypes `deriv` casts the gradient back; ROUND_TO, to integers and booleans, has no
# derivative.
ASTYPE = op(
    "astype",
    lambda xp, x, *, dtype: xp.astype(x, dtype),
    dx=lambda dz, *, dtype: dz,
    linear="jointly",
    pointwise=True,
    scalar="x",
)
ROUND_TO = op(
    "round_to", lambda xp, x, *, dtype: xp.astype(x, dtype), pointwise=True, scalar="x", internal=True
)
