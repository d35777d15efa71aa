"""Arithmetic: the gates that the notes begin with."""

from __future__ import annotations

from typing import Any

from .table import elementwise, op

NONE = op("none", lambda xp, x: x, dx=lambda dz: dz, analytic=True)

ADD = elementwise("+", lambda xp, x, y: x + y,
    dx=lambda dz: dz,
    dy=lambda dz: dz,
    function="add", analytic=True)  # fmt: skip

SUBTRACT = elementwise("-", lambda xp, x, y: x - y,
    dx=lambda dz: dz,
    dy=lambda dz: -dz,
    function="subtract", analytic=True)  # fmt: skip

MULTIPLY = elementwise("*", lambda xp, x, y: x * y,
    dx=lambda dz, y: dz * y,
    dy=lambda dz, x: dz * x,
    function="multiply", analytic=True)  # fmt: skip

DIVIDE = elementwise("/", lambda xp, x, y: x / y,
    dx=lambda dz, y: dz / y,
    dy=lambda dz, z, y: -dz * z / y,
    function="divide", analytic=True)  # fmt: skip


def _exponent_less_one(xp: Any, x: Any, y: Any) -> Any:
    """y - 1, but 1 where x and y are 0: there the factor y makes the derivative 0."""
    if isinstance(y, int | float):
        return y - 1 if y != 0 else 1
    return xp.where(y == 0, xp.where(x == 0, 1, y - 1), y - 1)


def _log_or_zero(xp: Any, x: Any) -> Any:
    """log x, but 0 where x is 0: there 0 ** y is flat in y."""
    return xp.log(xp.where(x == 0, xp.ones_like(x), x))


POWER = elementwise("**", lambda xp, x, y: x ** y,
    dx=lambda xp, dz, x, y: dz * (y * x ** _exponent_less_one(xp, x, y)),
    dy=lambda xp, dz, z, x: dz * (z * _log_or_zero(xp, x)),
    function="pow", promotion="power", analytic=True)  # fmt: skip

NEGATIVE = elementwise("neg", lambda xp, x: -x, dx=lambda dz: -dz, function="negative", analytic=True)

# Gates that choose. A tie goes to the first operand, so the gradient is never given twice.
MAXIMUM = elementwise("maximum", lambda xp, x, y: xp.maximum(x, y),
    dx=lambda xp, dz, x, y: xp.where(x >= y, dz, 0),
    dy=lambda xp, dz, x, y: xp.where(x >= y, 0, dz))  # fmt: skip

MINIMUM = elementwise("minimum", lambda xp, x, y: xp.minimum(x, y),
    dx=lambda xp, dz, x, y: xp.where(x <= y, dz, 0),
    dy=lambda xp, dz, x, y: xp.where(x <= y, 0, dz))  # fmt: skip

WHERE = op("where", lambda xp, condition, a, b: xp.where(condition, a, b),
    dx=lambda xp, dz, first: (None, xp.where(first[0], dz, 0), xp.where(first[0], 0, dz)),
    variadic=True, promotion="where")  # fmt: skip

# Comparisons have no derivative.
for _symbol, _function, _compare in (
    ("<", "less", lambda xp, x, y: x < y),
    ("<=", "less_equal", lambda xp, x, y: x <= y),
    (">", "greater", lambda xp, x, y: x > y),
    (">=", "greater_equal", lambda xp, x, y: x >= y),
    ("==", "equal", lambda xp, x, y: x == y),
    ("!=", "not_equal", lambda xp, x, y: x != y),
):
    elementwise(_symbol, _compare, function=_function)

# Rounded to a dtype that has no derivative, a value has none either; between floating dtypes, `deriv` casts back.
ASTYPE = op("astype", lambda xp, x, *, dtype: xp.astype(x, dtype), dx=lambda dz, *, dtype: dz)
ROUND_TO = op("round_to", lambda xp, x, *, dtype: xp.astype(x, dtype))
