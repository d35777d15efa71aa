"""Cells and recurrences from papers, as plain equations, run by `scan` in xgrad and JAX."""

from . import attention, complex, discrete, dynamics, filters, gates, variants
from .cell import CELLS

__all__ = ["CELLS", "attention", "complex", "discrete", "dynamics", "filters", "gates", "variants"]
