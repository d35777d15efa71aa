"""How a function of the namespace becomes an op on Tensors."""

from __future__ import annotations

from typing import Any

from ..applying import NO_PARAMS, apply
from ..backends import device_of
from ..ops import Op
from ..tensors import Tensor
from .creation import asarray


def call(op: Op, operands: tuple[Any, ...], params: dict[str, Any] = NO_PARAMS) -> Tensor:
    """`apply`, for operands that may all be plain arrays or numbers: they go to the current device."""
    if not isinstance(operands[0], Tensor) and not any(isinstance(v, Tensor) for v in operands):
        for v in operands:
            if not isinstance(v, int | float | complex) and device_of(v) is None:
                raise TypeError(f"{op.function} takes Tensors, arrays and numbers, not {type(v).__name__}; use xg.asarray")
        operands = tuple(map(asarray, operands))
    return apply(op, operands, params)
