"""Validation: find out whether compiled code is right, and where it is not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..core.context import mode
from ..core.recording import names_from_variables
from .checking import Check

__all__ = ["validate"]


@contextmanager
def validate(rtol: float | None = None) -> Iterator[None]:
    """Check all compiled code that runs inside a `with` block against simpler computations.

    The programs are those of scans, of compiled functions, and of their derivatives. At its first run inside
    the block, each is compared with a stage-by-stage interpretation of the trace, before any optimisation.
    Each scan and each compiled function is also compared with its own Python code, run op by op: its values,
    and the gradients of operands that need one. If everything agrees nothing happens, except that it is slow;
    the Python code of functions runs once more than usual.

    It applies to the thread that entered it. Integers and booleans must be equal, NaN counts as equal to NaN,
    and other numbers may differ by rounding. There are false alarms: a loop that amplifies small differences,
    or a comparison of numbers that are equal up to rounding.

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
