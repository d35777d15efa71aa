"""Elementwise functions composed of ops."""

from __future__ import annotations

from ..backends.dtypes import is_complex
from ..backends.types import ArrayLike
from ..core.tensor import Tensor
from ..ops.functions import COMPLEX_SIGN, SIGN
from .calling import call
from .conversion import asarray, astype
from .gates import maximum, minimum
from .table import function


@function
def sign(x: ArrayLike, /) -> Tensor:
    """Sign: -1, 0 or 1; for complex numbers x / |x|, and 0 at 0.

    No gradient flows through a real sign. The derivative of the complex one is 0 at 0.

    >>> import xgrad as xg
    >>> xg.sign(xg.asarray([-3.0, 0.0]))
    tensor([-1.,  0.])
    """
    x = asarray(x)
    return call(COMPLEX_SIGN if is_complex(x.dtype) else SIGN, (x,))


@function
def clip(x: ArrayLike, /, min: ArrayLike | None = None, max: ArrayLike | None = None) -> Tensor:
    """Limit elements to the interval from `min` to `max`.

    At a bound the gradient goes to `x`. The result has the dtype of `x`, as in the standard.

    >>> import xgrad as xg
    >>> xg.clip(xg.asarray([-3.0, 0.5]), 0.0, 1.0)
    tensor([0. , 0.5])
    """
    x = asarray(x)
    z = x if min is None else maximum(x, min)
    z = z if max is None else minimum(z, max)
    return astype(z, x.dtype)
