"""Schedules: GPU programs as plain data.

A schedule has the source of kernels, and the sequence of launches, matrix products and loops. The compiler
writes it, and `launching.py` runs it: it compiles `source`, allocates `buffers`, and executes the items of
`body` in order on one stream.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class Buffer(NamedTuple):
    """A block of memory of `size` elements: an "input" (C-contiguous), an "output", or "scratch"."""

    kind: str
    size: int
    dtype: str


class Place(NamedTuple):
    """Offset in a buffer, in bytes, and its increment per iteration of each enclosing loop."""

    buffer: int
    offset: int
    steps: tuple[int, ...]


class Window(NamedTuple):
    """A view of a buffer over all steps of the enclosing loops, in elements.

    Its leading axes are the steps of the loops that it depends on; `moving` has their depths, outermost 0.
    """

    buffer: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    moving: tuple[int, ...]


class HostCall(NamedTuple):
    """`run(args, outs)`: an array library function that computes `outs` from `args`, arrays or numbers."""

    run: Callable[[Sequence[Any], Sequence[Any]], None]
    args: tuple[Window | int | float | bool, ...]
    outs: tuple[Window, ...]


class Host(NamedTuple):
    """Reference to a host call by number, for an op without a kernel."""

    number: int


class Launch(NamedTuple):
    """A kernel on a grid of blocks.

    Its arguments are pointers to `places`, then the `numbers`, as 64-bit integers.

    All blocks of a `cooperative` launch must be resident at once.
    """

    name: str
    grid: int
    block: tuple[int, int]
    shared: int
    places: tuple[Place, ...]
    numbers: tuple[int, ...]
    cooperative: bool = False
    cluster: int = 1  # blocks per cluster, also set in the kernel's source


class Product(NamedTuple):
    """out = a @ b, or out += a @ b with `add`, for row-major matrices of m x k and k x n, `stack` of them.

    `across` is set for a matrix that is stored transposed. `lead` are the row strides, `apart` the strides
    between the matrices of a stack, all in elements; both in the order a, b, out.
    """

    dtype: str
    m: int
    n: int
    k: int
    places: tuple[Place, Place, Place]
    lead: tuple[int, int, int]
    across: tuple[bool, bool]
    add: bool
    stack: int = 1
    apart: tuple[int, int, int] = (0, 0, 0)


class Repeat(NamedTuple):
    """A loop: `body` for t = 0, 1, ..., length - 1, or backwards with `reverse`.

    `once` runs the whole loop in one launch, if possible.
    """

    length: int
    reverse: bool
    body: tuple[Any, ...]
    once: tuple[Any, ...] = ()
    why: str = ""  # why there is no such launch


class Schedule(NamedTuple):
    """Buffers, the source of all kernels, and the items to execute in order.

    float32 products use `precision`.
    """

    buffers: tuple[Buffer, ...]
    source: str
    body: tuple[Launch | Product | Host | Repeat, ...]
    precision: str
