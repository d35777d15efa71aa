"""Cells and recurrences from papers, as plain equations, which `scan` runs in xgrad and in JAX."""

from . import attention, complex, discrete, dynamics, filters, gates, variants
from .cell import CELLS

__all__ = ["CELLS", "attention", "complex", "discrete", "dynamics", "filters", "gates", "variants"]
