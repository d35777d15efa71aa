"""The gates. Importing this package fills the table."""

from . import arithmetic, comparing, einsum, functions, indexing, linalg, ordering, reductions, shaping
from .table import OPS, Op, find_op, op

__all__ = ["OPS", "Op", "arithmetic", "comparing", "einsum", "find_op", "functions", "indexing", "linalg", "op", "ordering", "reductions", "shaping"]
