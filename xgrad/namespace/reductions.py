"""Reductions over axes. `axis` is an axis, a tuple, or None for all; `keepdims` keeps them with length 1."""

from __future__ import annotations

from ..backends.types import ArrayLike, DTypeLike
from ..core.tensor import Tensor
from ..ops import cumulative as c
from ..ops import reductions as r
from ..ops.axes import Axis
from .calling import call
from .conversion import astype
from .table import function


@function
def sum(
    x: ArrayLike, /, *, axis: Axis = None, dtype: DTypeLike | None = None, keepdims: bool = False
) -> Tensor:
    """Sum over axes, in `dtype` if given; small integers are summed in int64 or uint64."""
    z = call(r.SUM, (x if dtype is None else astype(x, dtype),), {"axis": axis, "keepdims": keepdims})
    return z if dtype is None else astype(z, dtype, copy=False)


@function
def prod(
    x: ArrayLike, /, *, axis: Axis = None, dtype: DTypeLike | None = None, keepdims: bool = False
) -> Tensor:
    """Product over axes, in `dtype` if given; small integers are multiplied in int64 or uint64.

    The gradient is the product of the other elements, and exact where some are 0.

    >>> import xgrad as xg
    >>> xg.grad(xg.prod)(xg.asarray([2.0, 0.0, 3.0]))
    tensor([0., 6., 0.])
    """
    z = call(c.PROD, (x if dtype is None else astype(x, dtype),), {"axis": axis, "keepdims": keepdims})
    return z if dtype is None else astype(z, dtype, copy=False)
