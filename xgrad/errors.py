"""The errors that xgrad raises beside Python's own; DeviceError lives with the backends."""

from __future__ import annotations


class ShapeError(ValueError):
    """Shapes that do not fit. The message names the op, the shapes and, inside a scan, the time step."""


class GraphError(RuntimeError):
    """A gradient that cannot be had: through a freed graph, of a value that needs none, of a non-scalar without `dz`."""


class TraceError(TypeError):
    """A function that cannot be traced: it asks for a value where there is only a shape. The message names the line."""


class UnknownOpError(LookupError):
    """An op that is not in the table."""


class OutOfMemoryError(MemoryError):
    """A device has no memory left. The message says what was asked for, what there is, and which stages hold the most."""
