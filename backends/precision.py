"""Precision of float32 matrix products on devices with faster, less precise arithmetic."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Self

#: From the most exact to the fastest.
PRECISIONS = ("highest", "tf32", "bf16")

_PRECISION: ContextVar[str] = ContextVar("xgrad_matmul_precision", default="highest")


class matmul_precision:
    """Set the precision of float32 matrix products on CUDA.

    It applies to `@`, `matmul`, `einsum`, and their gradients. As a call, it applies from then on in this
    thread or asynchronous task; in a `with` statement, until the end of the block.

    Args:
        name: "highest", the default: full float32, even if CuPy's CUPY_TF32 is set. "tf32": operands are
            rounded to 11 bits, on tensor cores. "bf16": operands are rounded to bfloat16's 8 bits. Sums are
            always float32.

    Other dtypes, products with a vector, and decompositions are not affected, nor is anything on the CPU or
    on a GPU older than compute capability 8.0. A compiled function is compiled again for each precision that
    it is called with. Raises ValueError for another name. `xgrad.backends.current_matmul_precision()` returns
    the current one.

    >>> import xgrad as xg
    >>> with xg.matmul_precision("tf32"):
    ...     z = xg.ones((2, 3), dtype=xg.float32) @ xg.ones((3, 2), dtype=xg.float32)
    >>> xg.backends.current_matmul_precision()
    'highest'
    """

    def __init__(self, name: str) -> None:
        if name not in PRECISIONS:
            raise ValueError(
                f"matmul_precision must be one of {', '.join(map(repr, PRECISIONS))}, not {name!r}"
            )
        self._before = _PRECISION.get()
        _PRECISION.set(name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        _PRECISION.set(self._before)


def current_matmul_precision() -> str:
    """The current precision name in this thread or asynchronous task; see `matmul_precision`."""
    return _PRECISION.get()
