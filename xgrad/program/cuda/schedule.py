"""What runs on a GPU for a plan: kernels as text, and the launches, matrix products and loops in their order. Plain data.

A backend compiles `source`, lays out `buffers`, and does the items of `body` one after the other on one stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

from ..places import leading
from ..plans import SIZES, STARTS, Buffer, Gemm, Loop, Map, Plan, Ref, Step, Unsupported
from .chips import Chip
from .device import DEVICE
from .expressions import is_real
from .grouping import grouped, split
from .maps import Kernel, kernel
from .multiplying import MULTIPLYING
from .prelude import PRELUDE


class Place(NamedTuple):
    """Where in a buffer something begins, in bytes, and by how many bytes it moves with each turn of the loops around it."""

    buffer: int
    offset: int
    steps: tuple[int, ...]


class Launch(NamedTuple):
    """A kernel on a grid of blocks. Its arguments are pointers to `places`, then the `numbers`, as 64-bit integers.

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

    A matrix that is stored transposed has `across` set. `lead` are the lengths of stored rows, `apart` the distances between the
    matrices of a stack, all in elements; both in the order a, b, out.
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
    """`body` for t = 0, 1, ..., length - 1, or with `reverse` the other way. `once` does all of it in one launch, where it can be."""

    length: int
    reverse: bool
    body: tuple[Any, ...]
    once: tuple[Any, ...] = ()
    why: str = ""  # there is no such launch


class Schedule(NamedTuple):
    """Buffers, the text of all kernels, and what is done in which order. Products of float32 are computed with `precision`."""

    buffers: tuple[Buffer, ...]
    source: str
    body: tuple[Launch | Product | Repeat, ...]
    precision: str


def schedule(plan: Plan, chip: Chip, precision: str = "highest") -> Schedule:
    """The schedule of a plan on a chip. `precision` is that of float32 products: "highest", "tf32" or "bf16"."""
    writer = ScheduleWriter(split(plan, chip.processors * chip.threads), chip, precision)
    body = tuple(writer.items(writer.plan.body))
    return Schedule(tuple(writer.buffers), writer.source(), body, precision)


class ScheduleWriter:
    """A plan on its way to a schedule."""

    def __init__(self, plan: Plan, chip: Chip, precision: str) -> None:
        self.plan, self.chip, self.precision = plan, chip, precision
        self.buffers = list(plan.buffers)
        self.names: dict[str, str] = {}  # of kernels, by their text

    def source(self) -> str:
        """The text of all kernels."""
        head = [DEVICE, PRELUDE, *([MULTIPLYING] if any("multiply<" in text for text in self.names) else [])]
        return "\n\n".join([*(text.strip() for text in head), *(text.replace("NAME(", f"{name}(", 1) for text, name in self.names.items())]) + "\n"

    def name(self, text: str) -> str:
        """What a kernel is called; kernels of the same text are one."""
        return self.names.setdefault(text, f"k{len(self.names)}")

    def items(self, body: Sequence[Any]) -> list[Any]:
        found: list[Any] = []
        for item in grouped(body):
            if isinstance(item, Loop):
                found.append(self.repeat(item))
            elif isinstance(item, Gemm):
                found += self.product(item)
            elif any(prod(m.shape) for m in item):
                found.append(self.launch(kernel(item, self.buffers)))
            else:
                found += [self.launch(kernel([m], self.buffers)) for m in map(_of_nothing, item) if m is not None]
        return found

    def repeat(self, loop: Loop) -> Repeat:
        from .persistent import write  # which is made of what stands here

        body = tuple(self.items(loop.body))
        try:
            once, why = write(loop, self), ""
        except Unsupported as error:
            once, why = (), str(error)
        return Repeat(loop.length, loop.reverse, body, once, why)

    def launch(self, k: Kernel) -> Launch:
        """A kernel on as many blocks as it has work for, or as the chip holds."""
        blocks = -(-k.items // k.per_block)
        most = self.chip.processors * (self.chip.threads // prod(k.block))
        places = tuple(self.place(r) for r in k.refs)
        return self.launched(k.text, grid=max(1, min(blocks, most)), block=k.block, shared=k.shared, places=places, numbers=k.numbers)

    def launched(self, text: str, **how: Any) -> Launch:
        """The launch of a kernel of that text."""
        return Launch(self.name(text), **how)

    def place(self, ref: Ref) -> Place:
        """Where a ref begins, in bytes."""
        size = SIZES[self.buffers[ref.buffer].dtype]
        return Place(ref.buffer, ref.offset * size, tuple(s * size for s in ref.steps))

    def product(self, gemm: Gemm) -> list[Any]:
        """A product by the library; where a side has no length, nothing or zeros."""
        dtype = self.buffers[gemm.out.buffer].dtype
        if not is_real(dtype):
            raise Unsupported(f"'@' of {dtype}")
        (*above, m, n), k = gemm.out.shape, gemm.a.shape[-1]
        if prod(gemm.out.shape) == 0 or (k == 0 and gemm.accumulate):
            return []
        if k == 0:
            zero = Map(gemm.out.shape, (), (Step(0, "none", (0.0,), (True,), dtype),), ((0, gemm.out),))
            return [self.launch(kernel([zero], self.buffers))]
        (ta, lda), (tb, ldb) = leading(gemm.a), leading(gemm.b)
        ldc = max(1, n, gemm.out.strides[-2] if m > 1 else 0)
        places = (self.place(gemm.a), self.place(gemm.b), self.place(gemm.out))
        apart = tuple(r.strides[0] if above else 0 for r in (gemm.a, gemm.b, gemm.out))
        stack = above[0] if above else 1
        return [Product(dtype, m, n, k, places, (lda, ldb, ldc), (ta, tb), gemm.accumulate, stack, apart)]  # type: ignore[arg-type]


def listing(planned: Schedule) -> str:
    """What is done in which order, as comments."""
    return "\n".join(f"// {line}" for line in _listed(planned.body)) + "\n"


def _listed(items: Sequence[Any]) -> list[str]:
    found: list[str] = []
    for item in items:
        if isinstance(item, Launch):
            shared = f", {item.shared} bytes" if item.shared else ""
            found.append(f"{item.name}<<<{item.grid}, {' x '.join(str(n) for n in item.block if n != 1)}{shared}>>>")
        elif isinstance(item, Product):
            times = f"{item.stack} times " if item.stack > 1 else ""
            found.append(f"cuBLAS: {times}{item.m} x {item.k} @ {item.k} x {item.n}{', added' if item.add else ''}, {item.dtype}")
        else:
            order = f"{item.length} steps{', backwards' if item.reverse else ''}"
            if item.once:
                found += [f"{order}, all in one launch:", *(f"    {line}" for line in _listed(item.once)), "or, where that is faster,"]
            found += [f"{order}:", *(f"    {line}" for line in _listed(item.body))]
    return found


def _of_nothing(m: Map) -> Map | None:
    """What is left of a map without elements: the results of its reduction, if it has one and that has any."""
    if not m.reductions:
        return None
    (r,) = m.reductions
    shape = tuple(1 if s == 0 else n for n, s in zip(m.shape, r.out.strides))
    if not prod(shape):
        return None
    return Map(shape, (), (Step(0, "none", (STARTS[r.kind],), (True,), "float64"),), ((0, r.out._replace(shape=shape)),))
