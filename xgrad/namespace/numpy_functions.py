"""Functions that NumPy has and the array standard has not, or has with another meaning: with NumPy's arguments, for Tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ..tensors import Tensor
from .table import SAME_IN_NUMPY

F = TypeVar("F", bound=Callable[..., Any])

#: By NumPy's name, "gradient" or "linalg.norm": a function with NumPy's own arguments.
IN_NUMPY_ALONE: dict[str, Callable[..., Any]] = {}

#: By the name of a ufunc: what its `reduce` and its `accumulate` do.
REDUCTIONS: dict[str, Callable[..., Any]] = {}
ACCUMULATIONS: dict[str, Callable[..., Any]] = {}


def in_numpy(*names: str) -> Callable[[F], F]:
    """Enter what the NumPy functions of these names do on Tensors."""

    def enter(f: F) -> F:
        IN_NUMPY_ALONE.update(dict.fromkeys(names, f))
        return f

    return enter
