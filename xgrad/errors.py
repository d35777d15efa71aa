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


class ValidationError(RuntimeError):
    """Compiled code, or the trace it was made from, gives other values than the plain way to compute the same.

    Attributes:
        culprit: the pass, the executor or the trace that makes the difference, in words.
        stage: the stage where it is first seen, as text; None where it is not known.
        steps: the time step of each loop around that stage, outermost first.
        source: file and line of the user's code that the stage comes from; "" where it is not known.
    """

    def __init__(self, message: str, *, culprit: str = "", stage: str | None = None, steps: tuple[int, ...] = (), source: str = "") -> None:
        super().__init__(message)
        self.culprit, self.stage, self.steps, self.source = culprit, stage, steps, source
