"""The standard's extension `linalg`: linear algebra on Tensors."""

from . import linear_algebra  # noqa: F401 - which fills the table
from .table import extension

globals().update(extension("linalg"))
__all__ = list(extension("linalg"))
