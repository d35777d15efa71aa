# Made from the table of functions by `python -m tests.generated`.
from typing import Any

from ..tensors import Tensor
from .linear_algebra import (
    matmul as matmul,
    matrix_transpose as matrix_transpose,
)


__all__ = [
    "matmul",
    "matrix_transpose",
]
