"""Comparisons, logic and bitwise ops, and reductions of truth values; none has a derivative."""

from __future__ import annotations

from .batching import over_axes
from .reductions import over
from .table import elementwise, op

LESS = elementwise("<", lambda xp, x, y: x < y, scalar="x < y", function="less", doc="x < y")
LESS_EQUAL = elementwise("<=", lambda xp, x, y: x <= y, scalar="x <= y", function="less_equal", doc="x <= y")
GREATER = elementwise(">", lambda xp, x, y: x > y, scalar="x > y", function="greater", doc="x > y")
GREATER_EQUAL = elementwise(
    ">=", lambda xp, x, y: x >= y, scalar="x >= y", function="greater_equal", doc="x >= y"
)
EQUAL = elementwise("==", lambda xp, x, y: x == y, scalar="x == y", function="equal", doc="x == y")
NOT_EQUAL = elementwise("!=", lambda xp, x, y: x != y, scalar="x != y", function="not_equal", doc="x != y")

ISNAN = elementwise("isnan", lambda xp, x: xp.isnan(x), scalar="isnan(x)", doc="Whether each element is NaN.")
ISINF = elementwise(
    "isinf",
    lambda xp, x: xp.isinf(x),
    scalar="not (isfinite(x) or isnan(x))",
    doc="Whether each element is infinite.",
)
ISFINITE = elementwise(
    "isfinite",
    lambda xp, x: xp.isfinite(x),
    scalar="isfinite(x)",
    doc="Whether each element is neither infinite nor NaN.",
)
SIGNBIT = elementwise(
    "signbit",
    lambda xp, x: xp.signbit(x),
    scalar="signbit(x)",
    doc="Whether the sign bit of each element is set: it is negative, or -0.",
)

LOGICAL_AND = elementwise(
    "logical_and", lambda xp, x, y: xp.logical_and(x, y), scalar="x and y", doc="Whether both are true."
)
LOGICAL_OR = elementwise(
    "logical_or", lambda xp, x, y: xp.logical_or(x, y), scalar="x or y", doc="Whether at least one is true."
)
LOGICAL_XOR = elementwise(
    "logical_xor",
    lambda xp, x, y: xp.logical_xor(x, y),
    scalar="(not x) != (not y)",
    doc="Whether exactly one is true.",
)
LOGICAL_NOT = elementwise(
    "logical_not", lambda xp, x: xp.logical_not(x), scalar="not x", doc="Whether each element is false."
)

AND = elementwise(
    "&", lambda xp, x, y: x & y, scalar="x & y", function="bitwise_and", doc="x & y; bitwise for integers."
)
OR = elementwise(
    "|", lambda xp, x, y: x | y, scalar="x | y", function="bitwise_or", doc="x | y; bitwise for integers."
)
XOR = elementwise(
    "^", lambda xp, x, y: x ^ y, scalar="x ^ y", function="bitwise_xor", doc="x ^ y; bitwise for integers."
)
INVERT = elementwise(
    "~",
    lambda xp, x: ~x,
    scalar="~x",
    function="bitwise_invert",
    numpy="invert",
    doc="~x; bitwise for integers.",
)
LEFT_SHIFT = elementwise(
    "<<",
    lambda xp, x, y: x << y,
    scalar="x << y",
    function="bitwise_left_shift",
    numpy="left_shift",
    doc="x << y",
)
RIGHT_SHIFT = elementwise(
    ">>",
    lambda xp, x, y: x >> y,
    scalar="x >> y",
    function="bitwise_right_shift",
    numpy="right_shift",
    doc="x >> y",
)

ALL = op(
    "all",
    over("all"),
    in_numpy="all",
    batch=over_axes,
    doc="Whether all elements along `axis` (an axis, a tuple of them, or None for all) are true.",
)

ANY = op(
    "any",
    over("any"),
    in_numpy="any",
    batch=over_axes,
    doc="Whether any element along `axis` (an axis, a tuple of them, or None for all) is true.",
)

COUNT_NONZERO = op(
    "count_nonzero",
    over("count_nonzero"),
    in_numpy="count_nonzero",
    batch=over_axes,
    doc="The number of nonzero elements along `axis` (an axis, a tuple of them, or None for all).",
)
