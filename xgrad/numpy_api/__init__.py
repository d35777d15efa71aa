"""NumPy functions on Tensors that the array standard lacks, or defines differently.

They take NumPy's arguments, and NumPy's documentation applies. An unsupported parameter (`out=` always)
raises an error that names it.
"""

import sys

from ..core import above
from . import (
    calculus,
    creation,
    cumulative,
    elementwise,
    filtering,
    fourier,
    linear,
    nan_reductions,
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
    "cumulative",
    "elementwise",
    "filtering",
    "fourier",
    "linear",
    "nan_reductions",
    "ordering",
    "polynomials",
    "protocol",
    "quantiles",
    "reductions",
    "shapes",
    "statistics",
]

above.enter("numpy_api", sys.modules[__name__])
