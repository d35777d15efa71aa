"""Schedules: what runs on a GPU for a program.

Kernels as text; launches, matrix products and loops in their order. Plain data.

The compiler writes a schedule, and `launching.py` runs it: it compiles `source`, lays out `buffers`, and does
the items of `body` one after the other on one stream.
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
    """Where in a buffer something begins, in bytes, and by how many bytes it moves with each turn of the
    loops around it."""

    buffer: int
    offset: int
    steps: tuple[int, ...]


class Window(NamedTuple):
    """A view of a buffer at every step of the loops around it, in elements.

    Its first axes are the steps of those loops that it moves with; `moving` has their numbers, outermost 0.
    """

    buffer: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    moving: tuple[int, ...]


class HostCall(NamedTuple):
    """`run(args, outs)`, a function of the array library that fills `outs` from `args`: arrays or numbers."""

    run: Callable[[Sequence[Any], Sequence[Any]], None]
    args: tuple[Window | int | float | bool, ...]
    outs: tuple[Window, ...]


class Host(NamedTuple):
    """The call of that number, which the host does: of an op that has no kernel."""

    number: int


class Launch(NamedTuple):
    """A kernel on a grid of blocks.

    Its arguments are pointers to `places`, then the `numbers`, as 64-bit integers.

    All blocks of a `cooperative` launch must be on the chip at once.
    """

    name: str
    grid: int
    block: tuple[int, int]
    shared: int
    places: tuple[Place, ...]
    numbers: tuple[int, ...]
    cooperative: bool = False
    cluster: int = 1  # blocks of a cluster, which the kernel's text says too


class Product(NamedTuple):
    """out = a @ b, or out += a @ b with `add`, for row-major matrices of m x k and k x n, `stack` of them.

    A matrix that is stored transposed has `across` set. `lead` are the lengths of stored rows, `apart` the
    distances between the matrices of a stack, all in elements; both in the order a, b, out.
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
    """`body` for t = 0, 1, ..., length - 1, or with `reverse` the other way.

    `once` does all of it in one launch, where it can be.
    """

    length: int
    reverse: bool
    body: tuple[Any, ...]
    once: tuple[Any, ...] = ()
    why: str = ""  # there is no such launch


class Schedule(NamedTuple):
    """Buffers, the text of all kernels, and what is done in which order.

    Products of float32 are computed with `precision`.
    """

    buffers: tuple[Buffer, ...]
    source: str
    body: tuple[Launch | Product | Host | Repeat, ...]
    precision: str
