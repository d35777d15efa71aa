"""The ops. Importing this package fills the table."""

from . import (
    arithmetic,
    comparisons,
    correlating,
    cumulative,
    decompositions,
    einsum,
    fourier,
    functions,
    indexing,
    linalg,
    ordering,
    programs,
    reductions,
    shaping,
    special,
    spectral,
)
from .table import OPS, Op, find_op, op

__all__ = [
    "OPS",
    "Op",
    "arithmetic",
    "comparisons",
    "correlating",
    "cumulative",
    "decompositions",
    "einsum",
    "find_op",
    "fourier",
    "functions",
    "indexing",
    "linalg",
    "op",
    "ordering",
    "programs",
    "reductions",
    "shaping",
    "special",
    "spectral",
]
