"""Batching: how an op's parameters change when its operand gets a new leading axis, such as that of time.

A rule receives the parameters, the number of axes without the new one, and the length of the new axis. It
returns the parameters that change, or None if the op cannot be batched.
"""

from __future__ import annotations

from typing import Any

from .axes import normal_axes

Params = dict[str, Any]


def on_last_axes(params: Params, rank: int, length: int) -> Params:
    """Batch an op of matrices, which has no axis parameter."""
    return {}


def over_axes(params: Params, rank: int, length: int) -> Params | None:
    """Batch an op whose `axis` is an axis, a tuple of them, or None for all."""
    return {"axis": tuple(a + 1 for a in normal_axes(params["axis"], rank))} if rank else None


def along_axis(params: Params, rank: int, length: int) -> Params | None:
    """Batch an op along one axis, whose other parameters do not refer to axes."""
    axis = params["axis"]
    return {"axis": axis % rank + 1} if rank and axis is not None else None  # None means the flattened array
