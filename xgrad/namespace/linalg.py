"""The linear algebra extension of the standard: its functions on Tensors."""

from . import linear_algebra  # noqa: F401 - which fills the table
from .table import extension

globals().update(extension("linalg"))
__all__ = list(extension("linalg"))
