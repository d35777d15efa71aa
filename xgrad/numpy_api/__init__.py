"""Functions that NumPy has and the array standard has not, or has with another meaning: with NumPy's
arguments, for Tensors.

What is said of them in NumPy's own documentation holds. A parameter that is missing here (`out=` always) is
refused by its name.
"""

import sys

from ..core import above
from . import (
    calculus,
    creation,
    elementwise,
    filtering,
    fourier,
    linear,
    ordering,
    polynomials,
    protocol,
    quantiles,
    reductions,
    shapes,
    statistics,
)
from .table import ACCUMULATIONS, REDUCTIONS

__all__ = [
    "ACCUMULATIONS",
    "REDUCTIONS",
    "calculus",
    "creation",
    "elementwise",
    "filtering",
    "fourier",
    "linear",
    "ordering",
    "polynomials",
    "protocol",
    "quantiles",
    "reductions",
    "shapes",
    "statistics",
]

above.enter("numpy_api", sys.modules[__name__])
