"""Elementwise functions of one operand."""

from __future__ import annotations

from math import inf, nan
from math import log as ln

from ..backends.dtypes import is_complex
from ..backends.types import Array, Namespace
from .table import elementwise, op


def _expm1(xp: Namespace, x: Array) -> Array:
    """eˣ - 1.

    Where a part of a complex x is not finite, array libraries give NaN; this follows the array standard.
    """
    z = xp.expm1(x)
    if not is_complex(x.dtype):
        return z
    real, imag = xp.real(x), xp.imag(x)
    oscillates = ~xp.isfinite(imag)
    z = xp.where((real == inf) & oscillates, complex(inf, nan), z)
    z = xp.where((real == -inf) & oscillates, -1 + 0j, z)
    z = xp.where(imag == 0, xp.astype(xp.expm1(real) + 0.0, x.dtype), z)  # the real function, never -0
    return xp.where((imag == 0) & xp.signbit(imag), xp.conj(z), z)


def _log1p(xp: Namespace, x: Array) -> Array:
    """log(1 + x), exact near 0.

    For large complex numbers it is log x: 1 is negligible, and the squares in array libraries may overflow.
    """
    if not is_complex(x.dtype):
        return xp.log1p(x)
    large = xp.maximum(xp.abs(xp.real(x)), xp.abs(xp.imag(x))) > 1e17
    return xp.where(large, xp.log(xp.where(large, x, 1)), xp.log1p(xp.where(large, 0, x)))


EXP = elementwise(
    "exp", lambda xp, x: xp.exp(x), scalar="exp(x)", dx=lambda dz, z: dz * z, analytic=True, doc="eˣ"
)
EXPM1 = elementwise(
    "expm1",
    _expm1,
    scalar="expm1(x)",
    dx=lambda xp, dz, x: dz * xp.exp(x),
    analytic=True,
    doc="eˣ - 1, exact near 0",
)
LOG = elementwise(
    "log",
    lambda xp, x: xp.log(x),
    scalar="log(x)",
    dx=lambda dz, x: dz / x,
    analytic=True,
    doc="Natural logarithm.",
)
LOG1P = elementwise(
    "log1p",
    _log1p,
    scalar="log1p(x)",
    dx=lambda dz, x: dz / (1 + x),
    analytic=True,
    doc="log(1 + x), exact near 0",
)
LOG2 = elementwise(
    "log2",
    lambda xp, x: xp.log2(x),
    scalar="log2(x)",
    dx=lambda dz, x: dz / (x * ln(2)),
    analytic=True,
    doc="Logarithm to base 2.",
)
LOG10 = elementwise(
    "log10",
    lambda xp, x: xp.log10(x),
    scalar="log10(x)",
    dx=lambda dz, x: dz / (x * ln(10)),
    analytic=True,
    doc="Logarithm to base 10.",
)
SQRT = elementwise(
    "sqrt",
    lambda xp, x: xp.sqrt(x),
    scalar="sqrt(x)",
    dx=lambda dz, z: dz * (0.5 / z),
    analytic=True,
    doc="Square root; its derivative at 0 is infinite.",
)
SQUARE = elementwise(
    "square",
    lambda xp, x: x * x,
    scalar="x * x",
    in_numpy=None,
    dx=lambda dz, x: dz * (2 * x),
    analytic=True,
    doc="x²",
)


def _cbrt(xp: Namespace, x: Array) -> Array:
    """sign(x) |x|^(1/3), with one Newton step, so that the roots of cubes are exact."""
    size = xp.abs(x)
    root = size ** (1 / 3)
    inside = (root > 0) & xp.isfinite(root)
    near = xp.where(inside, root, 1)
    return xp.sign(x) * xp.where(inside, near - (near - size / (near * near)) / 3, root)


CBRT = elementwise("cbrt", _cbrt, scalar="cbrt(x)", dx=lambda dz, z: dz / (3 * (z * z)))
#: 1 / x for integers, truncated. As in NumPy, 1 / 0 is the lowest number of signed dtypes of 32 or 64 bits,
#: else 0. Tests: ~0 is negative for signed dtypes, and 1 << 62 is 0 in 32 bits.
_WHOLE_RECIPROCAL = """
signed = ~0 < 0
lowest = where(signed, where(1 << 62 == 0, ~0 << 31, ~0 << 63), 0)
where(x == 0, lowest, where(x == 1 or (signed and x == ~0), x, 0))
"""
RECIPROCAL = elementwise(
    "reciprocal",
    lambda xp, x: xp.reciprocal(x),
    scalar="1 / x",
    integers=_WHOLE_RECIPROCAL,
    dx=lambda dz, z: -dz * (z * z),
    analytic=True,
    doc="1 / x",
)

# Trigonometric, angles in radians

SIN = elementwise(
    "sin",
    lambda xp, x: xp.sin(x),
    scalar="sin(x)",
    dx=lambda xp, dz, x: dz * xp.cos(x),
    analytic=True,
    doc="Sine of an angle in radians.",
)
COS = elementwise(
    "cos",
    lambda xp, x: xp.cos(x),
    scalar="cos(x)",
    dx=lambda xp, dz, x: -dz * xp.sin(x),
    analytic=True,
    doc="Cosine of an angle in radians.",
)
TAN = elementwise(
    "tan",
    lambda xp, x: xp.tan(x),
    scalar="tan(x)",
    dx=lambda dz, z: dz * (1 + z * z),
    analytic=True,
    doc="Tangent of an angle in radians.",
)
ASIN = elementwise(
    "asin",
    lambda xp, x: xp.asin(x),
    scalar="asin(x)",
    dx=lambda xp, dz, x: dz / xp.sqrt((1 - x) * (1 + x)),
    analytic=True,
    numpy="arcsin",
    doc="Angle between -π/2 and π/2 whose sine is x.",
)
ACOS = elementwise(
    "acos",
    lambda xp, x: xp.acos(x),
    scalar="acos(x)",
    dx=lambda xp, dz, x: -dz / xp.sqrt((1 - x) * (1 + x)),
    analytic=True,
    numpy="arccos",
    doc="Angle between 0 and π whose cosine is x.",
)
ATAN = elementwise(
    "atan",
    lambda xp, x: xp.atan(x),
    scalar="atan(x)",
    dx=lambda dz, x: dz / (1 + x * x),
    analytic=True,
    numpy="arctan",
    doc="Angle between -π/2 and π/2 whose tangent is x.",
)

# Hyperbolic

SINH = elementwise(
    "sinh",
    lambda xp, x: xp.sinh(x),
    scalar="sinh(x)",
    dx=lambda xp, dz, x: dz * xp.cosh(x),
    analytic=True,
    doc="Hyperbolic sine.",
)
COSH = elementwise(
    "cosh",
    lambda xp, x: xp.cosh(x),
    scalar="cosh(x)",
    dx=lambda xp, dz, x: dz * xp.sinh(x),
    analytic=True,
    doc="Hyperbolic cosine.",
)
TANH = elementwise(
    "tanh",
    lambda xp, x: xp.tanh(x),
    scalar="tanh(x)",
    dx=lambda dz, z: dz * (1 - z * z),
    analytic=True,
    doc="Hyperbolic tangent.",
)
ASINH = elementwise(
    "asinh",
    lambda xp, x: xp.asinh(x),
    scalar="asinh(x)",
    dx=lambda xp, dz, x: dz / (xp.sqrt(x * x + 1) if is_complex(x.dtype) else xp.hypot(x, 1)),
    analytic=True,
    numpy="arcsinh",
    doc="Inverse of the hyperbolic sine.",
)
ACOSH = elementwise(
    "acosh",
    lambda xp, x: xp.acosh(x),
    scalar="acosh(x)",
    dx=lambda xp, dz, x: dz / (xp.sqrt(x - 1) * xp.sqrt(x + 1)),
    analytic=True,
    numpy="arccosh",
    doc="Inverse of the hyperbolic cosine.",
)
ATANH = elementwise(
    "atanh",
    lambda xp, x: xp.atanh(x),
    scalar="atanh(x)",
    dx=lambda dz, x: dz / ((1 - x) * (1 + x)),
    analytic=True,
    numpy="arctanh",
    doc="Inverse of the hyperbolic tangent.",
)


def _sigmoid(xp: Namespace, x: Array) -> Array:
    """(tanh(x/2) + 1) / 2: it cannot overflow, and tanh is fast in array libraries."""
    z = xp.tanh(0.5 * x)
    z *= 0.5
    z += 0.5
    return z


SIGMOID = elementwise(
    "sigmoid",
    _sigmoid,
    scalar="0.5 * tanh(0.5 * x) + 0.5",
    in_numpy=None,
    dx=lambda dz, z: dz * ((1 - z) * z),
    promotion="tanh",
    analytic=True,
    doc="""1 / (1 + exp(-x)), without overflow.

    Computed as (tanh(x / 2) + 1) / 2, with an absolute error of about the rounding error of 1. So it is 0 far
    below zero, where the value is smaller than that.

    >>> import xgrad as xg
    >>> xg.sigmoid(xg.asarray([0.0, 1000.0]))
    tensor([0.5, 1. ])
    """,
)

RELU = elementwise(
    "relu",
    lambda xp, x: xp.where(x < 0, 0, x),
    scalar="where(x < 0, 0, x)",
    in_numpy=None,
    dx=lambda xp, dz, z: xp.where(z > 0, dz, 0),
    promotion="negative",
    doc="""max(x, 0); its derivative at 0 is 0.

    >>> import xgrad as xg
    >>> xg.relu(xg.asarray([-1.0, 2.0]))
    tensor([0., 2.])
    """,
)

ABS = elementwise(
    "abs",
    lambda xp, x: xp.abs(x),
    scalar="abs(x)",
    dx=lambda xp, dz, x: dz * xp.sign(x),
    numpy="absolute",
    doc="|x|; its derivative at 0 is 0.",
)

CONJ = elementwise(
    "conj",
    lambda xp, x: xp.conj(x),
    scalar="x",
    dx=lambda xp, dz: xp.conj(dz),
    linear="jointly",
    numpy="conjugate",
    in_numpy="conj",
    diagonal=False,
    doc="Complex conjugate.",
)
REAL = elementwise(
    "real",
    lambda xp, x: xp.real(x) if is_complex(x.dtype) else x,
    scalar="x",
    dx=lambda dz: dz,
    linear="jointly",
    diagonal=False,
    promotion="positive",
    doc="Real part.",
)
IMAG = elementwise(
    "imag",
    lambda xp, x: xp.imag(x) if is_complex(x.dtype) else xp.zeros_like(x),
    scalar="0",
    dx=lambda dz: dz * 1j,
    linear="jointly",
    in_numpy="imag",
    diagonal=False,
    promotion="positive",
    doc="Imaginary part.",
)


# Makes a complex value from its parts, in compiled programs.
COMPLEX = op(
    "complex",
    lambda xp, x, y: xp.as_complex(xp.stack([x, y], axis=-1)),
    internal=True,
)


def _across(xp: Namespace, dz: Array, z: Array, x: Array) -> Array:
    """The component of dz perpendicular to x, divided by |x|: along x the sign is constant.

    The function is not analytic, and dz is conjugated.
    """
    size = xp.abs(x)
    return xp.where(size == 0, 0, (dz - xp.conj(z) * xp.real(z * dz)) / xp.where(size == 0, 1, size))


COMPLEX_SIGN = elementwise(
    "complex_sign", lambda xp, x: xp.sign(x), dx=_across, promotion="positive", in_numpy="sign", internal=True
)

# Piecewise constant: no gradient flows back.
SIGN = elementwise(
    "sign", lambda xp, x: xp.sign(x), scalar="where(x > 0, 1, where(x < 0, -1, where(x == 0, 0, x)))"
)
FLOOR = elementwise(
    "floor",
    lambda xp, x: xp.floor(x),
    scalar="floor(x)",
    doc="The largest integer not greater than x; no gradient flows back.",
)
CEIL = elementwise(
    "ceil",
    lambda xp, x: xp.ceil(x),
    scalar="ceil(x)",
    doc="The smallest integer not less than x; no gradient flows back.",
)
TRUNC = elementwise(
    "trunc",
    lambda xp, x: xp.trunc(x),
    scalar="trunc(x)",
    doc="x rounded towards 0 to an integer; no gradient flows back.",
)
ROUND = elementwise(
    "round",
    lambda xp, x: xp.round(x),
    scalar="round(x)",
    in_numpy="round",
    promotion="negative",
    numpy="rint",
    doc="The nearest integer, on a tie the even one; no gradient flows back.",
)
