"""The matrix product and the transpose of matrices."""

from __future__ import annotations

from typing import Any

from ..ops.linalg import MATMUL
from ..tensors import Tensor
from .calling import call
from .creation import asarray
from .table import function


@function
@function(extension="linalg")
def matmul(x: Any, y: Any, /) -> Tensor:
    """x @ y: matrices (..., n, k) and (..., k, m), whose leading axes broadcast; an operand of one axis is a vector."""
    return call(MATMUL, (x, y))


@function
@function(extension="linalg")
def matrix_transpose(x: Any, /) -> Tensor:
    """The last two axes exchanged."""
    return asarray(x).mT
