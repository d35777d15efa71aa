"""Functions of one operand, element by element."""

from __future__ import annotations

from typing import Any

from .table import elementwise

EXP = elementwise("exp", lambda xp, x: xp.exp(x), dx=lambda dz, z: dz * z, analytic=True)
EXPM1 = elementwise("expm1", lambda xp, x: xp.expm1(x), dx=lambda dz, z: dz * (z + 1), analytic=True)
LOG = elementwise("log", lambda xp, x: xp.log(x), dx=lambda dz, x: dz / x, analytic=True)
LOG1P = elementwise("log1p", lambda xp, x: xp.log1p(x), dx=lambda dz, x: dz / (1 + x), analytic=True)
SQRT = elementwise("sqrt", lambda xp, x: xp.sqrt(x), dx=lambda dz, z: dz * (0.5 / z), analytic=True)
SIN = elementwise("sin", lambda xp, x: xp.sin(x), dx=lambda xp, dz, x: dz * xp.cos(x), analytic=True)
COS = elementwise("cos", lambda xp, x: xp.cos(x), dx=lambda xp, dz, x: -dz * xp.sin(x), analytic=True)
TANH = elementwise("tanh", lambda xp, x: xp.tanh(x), dx=lambda dz, z: dz * (1 - z * z), analytic=True)


def _sigmoid(xp: Any, x: Any) -> Any:
    """(tanh(x/2) + 1) / 2: it cannot overflow, and array libraries have a fast tanh."""
    z = xp.tanh(0.5 * x)
    z *= 0.5
    z += 0.5
    return z


SIGMOID = elementwise("sigmoid", _sigmoid,
    dx=lambda dz, z: dz * ((1 - z) * z),
    promotion="tanh", analytic=True)  # fmt: skip

RELU = elementwise("relu", lambda xp, x: xp.where(x < 0, 0, x),
    dx=lambda xp, dz, z: xp.where(z > 0, dz, 0),
    promotion="negative")  # fmt: skip

ABS = elementwise("abs", lambda xp, x: xp.abs(x), dx=lambda xp, dz, x: dz * xp.sign(x), promotion="absolute")

CONJ = elementwise("conj", lambda xp, x: xp.conj(x), dx=lambda xp, dz: xp.conj(dz))
REAL = elementwise("real", lambda xp, x: xp.real(x), dx=lambda dz: dz, promotion="absolute")
IMAG = elementwise("imag", lambda xp, x: xp.imag(x), dx=lambda dz: dz * 1j, promotion="absolute")

# Constant wherever they have a derivative at all: none is passed back.
SIGN = elementwise("sign", lambda xp, x: xp.sign(x))
FLOOR = elementwise("floor", lambda xp, x: xp.floor(x))
ISNAN = elementwise("isnan", lambda xp, x: xp.isnan(x))
ISFINITE = elementwise("isfinite", lambda xp, x: xp.isfinite(x))
