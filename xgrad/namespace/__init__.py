"""Functions on Tensors, as the Python Array API standard has them. The stub beside this file has their signatures."""

import sys

from ..tensors import Tensor
from . import (
    cumulative,
    einstein,
    elementwise,
    fft,
    filling,
    gates,
    indexing,
    inspection,
    linalg,
    manipulation,
    numpy_functions,
    numpy_protocol,
    ordering,
    reductions,
)
from .creation import show, to_device
from .dtypes import DTYPES, e, inf, nan, newaxis, pi
from .indexing import scatter, setitem, untake
from .linear_algebra import cofactor, eig
from .numpy_functions.filtering import slide
from .table import FUNCTIONS, extension

globals().update(extension(""), **DTYPES)
__array_api_version__ = inspection.VERSION

Tensor.xp = sys.modules[__name__]

__all__ = [*extension(""), *DTYPES, "e", "fft", "inf", "linalg", "nan", "newaxis", "pi"]
