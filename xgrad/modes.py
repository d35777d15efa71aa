"""What holds for the code that runs now, in this thread or asynchronous task: recording, and the time step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple


class Mode(NamedTuple):
    """`grad`: ops on Tensors that need a gradient are recorded. `record`: every op is, with its value.

    `trace`: the tracer that ops are written down by instead of being run; with `stop`, as what no gradient flows through.
    `steps`: the time step of each scan that is under way, outermost first. `watch`: who looks at all that is recorded.
    `lifted`: a function runs whose arguments a transform differentiates it with respect to. `check`: who compares compiled code
    with plainer ways to compute the same.
    """

    grad: bool = True
    record: bool = False
    trace: Any = None
    stop: bool = False
    steps: tuple[int, ...] = ()
    watch: Any = None
    lifted: bool = False
    check: Any = None


MODE: ContextVar[Mode] = ContextVar("xgrad_mode", default=Mode())  # noqa: B039 - a NamedTuple is immutable


@contextmanager
def mode(**changes: Any) -> Iterator[None]:
    """Change parts of the mode inside a `with` block."""
    token = MODE.set(MODE.get()._replace(**changes))
    try:
        yield
    finally:
        MODE.reset(token)


@contextmanager
def no_grad() -> Iterator[None]:
    """Record nothing inside a `with` block: results need no gradient, and leaves may be changed in place.

    >>> import xgrad as xg
    >>> w = xg.tensor(2.0, requires_grad=True)
    >>> with xg.no_grad():
    ...     w -= 0.5
    >>> w
    tensor(1.5, requires_grad=True)
    """
    with mode(grad=False, stop=True):
        yield


def where_in_time() -> str:
    """` at step t=3` inside a scan, else nothing."""
    steps = MODE.get().steps
    return f" at step t={', '.join(map(str, steps))}" if steps else ""
