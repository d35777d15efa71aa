"""Reductions over axes. `axis` is an axis, a tuple of them, or None for all; `keepdims` leaves them as 1."""

from __future__ import annotations

from typing import Any

from ..ops import ordering as o
from ..ops import reductions as r
from ..tensors import Tensor
from .calling import call
from .creation import astype

Axis = r.Axis


def sum(x: Any, /, *, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """Sum over axes, in `dtype` if one is given."""
    return call(r.SUM, (x if dtype is None else astype(x, dtype),), {"axis": axis, "keepdims": keepdims})


def mean(x: Any, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Arithmetic mean over axes."""
    return call(r.MEAN, (x,), {"axis": axis, "keepdims": keepdims})


def max(x: Any, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Maximum over axes. The gradient goes to exactly one element: on a tie the first."""
    return call(r.MAX, (x,), {"axis": axis, "keepdims": keepdims})


def min(x: Any, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Minimum over axes. The gradient goes to exactly one element: on a tie the first."""
    return call(r.MIN, (x,), {"axis": axis, "keepdims": keepdims})


def argmax(x: Any, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Index of the maximum, on a tie the first; without an axis, into the flattened array."""
    return call(o.ARGMAX, (x,), {"axis": axis, "keepdims": keepdims})


def argmin(x: Any, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Index of the minimum, on a tie the first; without an axis, into the flattened array."""
    return call(o.ARGMIN, (x,), {"axis": axis, "keepdims": keepdims})


def logsumexp(x: Any, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """log of the sum of exp(x) over axes, without overflow.

    >>> import xgrad as xg
    >>> xg.logsumexp(xg.asarray([1000.0, 1000.0]))
    tensor(1000.69314718)
    """
    return call(r.LOGSUMEXP, (x,), {"axis": axis, "keepdims": keepdims})


def softmax(x: Any, /, *, axis: Axis = -1) -> Tensor:
    """exp(x) divided by its sum over `axis`, without overflow.

    >>> import xgrad as xg
    >>> xg.softmax(xg.asarray([0.0, 0.0]))
    tensor([0.5, 0.5])
    """
    return call(r.SOFTMAX, (x,), {"axis": axis})
