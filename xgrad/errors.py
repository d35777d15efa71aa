"""The errors that xgrad raises beside Python's own; DeviceError lives with the backends."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Set
from numbers import Number
from typing import Any


class ShapeError(ValueError):
    """Shapes that do not fit. The message names the op, the shapes and, inside a scan, the time step."""


class GraphError(RuntimeError):
    """A gradient that cannot be had: through a freed graph, of a value that needs none, of a non-scalar
    without `dz`."""


class TraceError(TypeError):
    """A function that cannot be traced: it asks for a value where there is only a shape.

    The message names the line.
    """


class UnknownOpError(LookupError):
    """An op that is not in the table."""


class OutOfMemoryError(MemoryError):
    """A device has no memory left.

    The message says what was asked for, what there is, and which stages hold the most.
    """


class ValidationError(RuntimeError):
    """Compiled code, or the trace it was made from, gives other values than the plain way to compute the
    same.

    Attributes:
        culprit: the pass, the executor or the trace that makes the difference, in words.
        stage: the stage where it is first seen, as text; None where it is not known.
        steps: the time step of each loop around that stage, outermost first.
        source: file and line of the user's code that the stage comes from; "" where it is not known.
    """

    def __init__(
        self,
        message: str,
        *,
        culprit: str = "",
        stage: str | None = None,
        steps: tuple[int, ...] = (),
        source: str = "",
    ) -> None:
        super().__init__(message)
        self.culprit, self.stage, self.steps, self.source = culprit, stage, steps, source


def no_array(value: Any) -> str:
    """What a value is that is no Tensor, array or number, and what to do instead: the end of a message."""
    name = type(value).__name__
    if value is None:
        return "None; leave it out, or give a number"
    if isinstance(value, str | bytes):
        return f"{name}; float(text) reads a number"
    if isinstance(value, dict):
        return (
            f"{name}, which is a tree of arrays; take one of its values, or go over its leaves with "
            f"xg.tree_map"
        )
    if isinstance(value, type):
        return f"the class {value.__name__}; make an object of it"
    if hasattr(value, "named_parameters"):
        return f"{name}, a module, which is a tree of arrays; call it, or take one of its weights"
    if dataclasses.is_dataclass(value):
        return (
            f"{name}; take one of its fields, or make the class a tree of arrays: "
            f"@optree.dataclasses.dataclass(namespace='xgrad')"
        )
    if isinstance(value, Iterator | Set):
        return f"{name}; make a list of it, which has an order and a length"
    if hasattr(value, "toarray"):
        return f"{name}; x.toarray() has the elements that a sparse array leaves out"
    if callable(value):
        return f"{name}; call it, and give what it returns"
    if isinstance(value, Number) and not isinstance(value, int):
        return f"{name}; use float(x)"
    if (
        isinstance(value, list | tuple | range | memoryview)
        or hasattr(value, "__array__")
        or hasattr(value, "__array_interface__")
    ):
        return f"{name}; use xg.asarray"
    return f"{name}; make an array of numbers of it"
