"""The exceptions that xgrad defines; DeviceError is defined with the backends."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Set
from numbers import Number
from typing import Any


class ShapeError(ValueError):
    """Incompatible shapes.

    The message names the op, the shapes and, inside a scan, the time step."""


class GraphError(RuntimeError):
    """A gradient cannot be computed.

    The graph was freed, the value needs no gradient, or a non-scalar was differentiated without `dz`.
    """


class TraceError(TypeError):
    """A function cannot be traced: it needs a value, but during tracing only the shape is known.

    The message names the line.
    """


class UnknownOpError(LookupError):
    """An op name that is not in the op table."""


class OutOfMemoryError(MemoryError):
    """A device has no memory left.

    The message gives the bytes requested, the bytes available, and the stages that hold the most memory.
    """


class ValidationError(RuntimeError):
    """Compiled code, or its trace, gives other values than eager evaluation.

    Attributes:
        culprit: the pass, executor or trace that introduces the difference, as text.
        stage: the first stage that differs, as text; None if unknown.
        steps: the time step of each loop enclosing that stage, outermost first.
        source: file and line of the user's code that produced the stage; "" if unknown.
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
    """End of an error message: what an unsupported value is, and what to pass instead."""
    name = type(value).__name__
    if value is None:
        return "None; pass a number, or leave the argument out"
    if isinstance(value, str | bytes):
        return f"{name}; use float(text) to read a number"
    if isinstance(value, dict):
        return f"{name}, which is a tree of arrays; pass one of its values, or use xg.tree_map on its leaves"
    if isinstance(value, type):
        return f"the class {value.__name__}; pass an instance of it"
    if hasattr(value, "named_parameters"):
        return f"{name}, a module; call it on an array, or pass one of its weights"
    if dataclasses.is_dataclass(value):
        return (
            f"{name}; pass one of its fields, or register the class as a tree of arrays with "
            f"@optree.dataclasses.dataclass(namespace='xgrad')"
        )
    if isinstance(value, Iterator | Set):
        return f"{name}; pass list(...), which has an order and a length"
    if hasattr(value, "toarray"):
        return f"{name}; use x.toarray(), which also has the zeros that a sparse array leaves out"
    if callable(value):
        return f"{name}; call it and pass the result"
    if isinstance(value, Number) and not isinstance(value, int):
        return f"{name}; use float(x)"
    if (
        isinstance(value, list | tuple | range | memoryview)
        or hasattr(value, "__array__")
        or hasattr(value, "__array_interface__")
    ):
        return f"{name}; use xg.asarray"
    return f"{name}; convert it to an array of numbers"
