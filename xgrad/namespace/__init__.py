"""Functions on Tensors, following the Python Array API standard.

The stub beside this file has their signatures.
"""

import sys

from ..core import above
from ..core.tensor import Tensor
from . import (
    creation,
    cumulative,
    dtypes,
    einstein,
    elementwise,
    fft,
    gates,
    indexing,
    inspection,
    linalg,
    manipulation,
    ordering,
    reductions,
)
from .conversion import to_device
from .dtypes import DTYPES, e, inf, nan, newaxis, pi
from .factors import cofactor, eig, seal
from .factors import eigh_of as eigh
from .indexing import scatter, setitem, slide, untake
from .showing import show
from .table import FUNCTIONS, extension
from .updates import add_at

globals().update(extension(""), **DTYPES)
__array_api_version__ = inspection.VERSION


def __getattr__(name: str) -> object:
    """Look up `bfloat16`, which needs ml_dtypes."""
    if name == "bfloat16":
        return dtypes.bfloat16()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


above.enter("namespace", sys.modules[__name__])

__all__ = [*extension(""), *DTYPES, "e", "fft", "inf", "linalg", "nan", "newaxis", "pi"]
