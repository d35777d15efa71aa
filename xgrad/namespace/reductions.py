"""Reductions over axes. `axis` is an axis, a tuple of them, or None for all; `keepdims` leaves them as 1."""

from __future__ import annotations

from typing import Any

from ..ops import ordering as o
from ..ops import reductions as r
from ..tensors import Tensor
from .calling import call
from .creation import astype
from .table import function

Axis = r.Axis


@function
def sum(x: Any, /, *, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """Sum over axes, in `dtype` if one is given."""
    return call(r.SUM, (x if dtype is None else astype(x, dtype),), {"axis": axis, "keepdims": keepdims})
