"""Batching: what changes in the parameters of an op where its operand has a new axis in front, as all steps
of a loop at once have.

A rule is given the parameters, the number of axes without the new one, and its length. It returns the
parameters that change, or None where that is not known.
"""

from __future__ import annotations

from typing import Any

from .axes import normal_axes

Params = dict[str, Any]


def on_last_axes(params: Params, rank: int, length: int) -> Params:
    """Of an op of matrices, which has no axis to be named."""
    return {}


def over_axes(params: Params, rank: int, length: int) -> Params | None:
    """Of an op whose `axis` is one, a tuple of them, or None for all."""
    return {"axis": tuple(a + 1 for a in normal_axes(params["axis"], rank))} if rank else None


def along_axis(params: Params, rank: int, length: int) -> Params | None:
    """Of an op along one axis, whose other parameters do not speak of axes."""
    axis = params["axis"]
    return {"axis": axis % rank + 1} if rank and axis is not None else None  # None: of the flattened array
