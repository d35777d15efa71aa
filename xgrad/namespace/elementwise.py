"""Functions element by element. Operands broadcast; a plain array is taken as it is, a number is weak in its dtype."""

from __future__ import annotations

from typing import Any

from ..ops import OPS
from ..ops import arithmetic as a
from ..ops import functions as f
from ..tensors import Tensor
from .calling import call

# Arithmetic


def add(x: Any, y: Any, /) -> Tensor:
    """x + y"""
    return call(a.ADD, (x, y))


def subtract(x: Any, y: Any, /) -> Tensor:
    """x - y"""
    return call(a.SUBTRACT, (x, y))


def multiply(x: Any, y: Any, /) -> Tensor:
    """x * y"""
    return call(a.MULTIPLY, (x, y))


def divide(x: Any, y: Any, /) -> Tensor:
    """x / y"""
    return call(a.DIVIDE, (x, y))


def pow(x: Any, y: Any, /) -> Tensor:
    """x ** y. The derivative is 0 where y is 0, and flat in y where x is 0."""
    return call(a.POWER, (x, y))


def negative(x: Any, /) -> Tensor:
    """-x"""
    return call(a.NEGATIVE, (x,))


def maximum(x: Any, y: Any, /) -> Tensor:
    """The larger of two, element by element. On a tie the gradient goes to `x`."""
    return call(a.MAXIMUM, (x, y))


def minimum(x: Any, y: Any, /) -> Tensor:
    """The smaller of two, element by element. On a tie the gradient goes to `x`."""
    return call(a.MINIMUM, (x, y))


def where(condition: Any, x: Any, y: Any, /) -> Tensor:
    """`x` where `condition` holds, else `y`."""
    return call(a.WHERE, (condition, x, y))


# Comparisons, which have no derivative


def less(x: Any, y: Any, /) -> Tensor:
    """x < y"""
    return call(OPS["<"], (x, y))


def less_equal(x: Any, y: Any, /) -> Tensor:
    """x <= y"""
    return call(OPS["<="], (x, y))


def greater(x: Any, y: Any, /) -> Tensor:
    """x > y"""
    return call(OPS[">"], (x, y))


def greater_equal(x: Any, y: Any, /) -> Tensor:
    """x >= y"""
    return call(OPS[">="], (x, y))


def equal(x: Any, y: Any, /) -> Tensor:
    """x == y"""
    return call(OPS["=="], (x, y))


def not_equal(x: Any, y: Any, /) -> Tensor:
    """x != y"""
    return call(OPS["!="], (x, y))


# Functions of one operand


def exp(x: Any, /) -> Tensor:
    """eˣ"""
    return call(f.EXP, (x,))


def expm1(x: Any, /) -> Tensor:
    """eˣ - 1, exact near 0"""
    return call(f.EXPM1, (x,))


def log(x: Any, /) -> Tensor:
    """Natural logarithm."""
    return call(f.LOG, (x,))


def log1p(x: Any, /) -> Tensor:
    """log(1 + x), exact near 0"""
    return call(f.LOG1P, (x,))


def sqrt(x: Any, /) -> Tensor:
    """Square root; its derivative at 0 is infinite."""
    return call(f.SQRT, (x,))


def sin(x: Any, /) -> Tensor:
    """Sine of an angle in radians."""
    return call(f.SIN, (x,))


def cos(x: Any, /) -> Tensor:
    """Cosine of an angle in radians."""
    return call(f.COS, (x,))


def tanh(x: Any, /) -> Tensor:
    """Hyperbolic tangent."""
    return call(f.TANH, (x,))


def sigmoid(x: Any, /) -> Tensor:
    """1 / (1 + exp(-x)), without overflow.

    Computed as (tanh(x / 2) + 1) / 2: exact to rounding of 1, so that far below zero, where the value itself is smaller
    than that, it is 0.

    >>> import xgrad as xg
    >>> xg.sigmoid(xg.asarray([0.0, 1000.0]))
    tensor([0.5, 1. ])
    """
    return call(f.SIGMOID, (x,))


def relu(x: Any, /) -> Tensor:
    """max(x, 0); its derivative at 0 is 0.

    >>> import xgrad as xg
    >>> xg.relu(xg.asarray([-1.0, 2.0]))
    tensor([0., 2.])
    """
    return call(f.RELU, (x,))


def abs(x: Any, /) -> Tensor:
    """|x|; its derivative at 0 is 0."""
    return call(f.ABS, (x,))


def conj(x: Any, /) -> Tensor:
    """Complex conjugate."""
    return call(f.CONJ, (x,))


def real(x: Any, /) -> Tensor:
    """Real part."""
    return call(f.REAL, (x,))


def imag(x: Any, /) -> Tensor:
    """Imaginary part."""
    return call(f.IMAG, (x,))


def sign(x: Any, /) -> Tensor:
    """-1, 0 or 1; no gradient flows back."""
    return call(f.SIGN, (x,))


def floor(x: Any, /) -> Tensor:
    """The largest whole number that is not greater; no gradient flows back."""
    return call(f.FLOOR, (x,))


def isnan(x: Any, /) -> Tensor:
    """Whether each element is NaN."""
    return call(f.ISNAN, (x,))


def isfinite(x: Any, /) -> Tensor:
    """Whether each element is neither infinite nor NaN."""
    return call(f.ISFINITE, (x,))
