"""Finding out whether compiled code is right, and where it is not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..core.context import mode
from ..core.recording import names_from_variables
from .checking import Check

__all__ = ["validate"]


@contextmanager
def validate(rtol: float | None = None) -> Iterator[None]:
    """Compare all compiled code that runs inside a `with` block with plainer ways to compute the same.

    Each program, of a scan, of a compiled function, and of the derivatives of both, is compared at its first
    run inside the block with an interpretation, stage by stage, of what was traced, before any optimisation.
    Each scan and each compiled function is compared with its own Python code, run op by op, in its values and
    in the gradients of what needs one. Where all is well nothing happens, but that it takes long; the Python
    code of functions runs once more than it would.

    It looks at the thread in which it was entered. Integers and booleans must be equal, NaN counts as equal
    to NaN, and other numbers may differ as executors round: a loop that makes small differences large, or a
    comparison of numbers that are equal but for rounding, is found to differ though nothing is wrong with it.

    Args:
        rtol: how much numbers may differ, relative to their size. By default 1e-7 for float64, 1e-3 for
            float32, and more for dtypes of half the size.

    Raises:
        ValidationError: something differs. The message, and its attributes, name the pass or the executor
            that made the difference, the stage where it is first seen, the time step and the source line.

    >>> import xgrad as xg
    >>> with xg.debug.validate():
    ...     z = xg.scan(lambda h, x: (xg.tanh(h + x), h), 0.0, xg.ones(100))
    """
    with mode(check=Check(rtol)), names_from_variables():
        yield
