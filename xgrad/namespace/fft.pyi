# Made from the table of functions by `python -m tests.generated`.
from typing import Any

from ..tensors import Tensor


__all__ = [
]
