"""From a plan to a schedule (`backends/schedules.py`).

A schedule has the kernels as text, and launches, matrix products and loops in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from ....backends.schedules import Host, Launch, Place, Product, Repeat, Schedule
from ...calls import calls
from ...lowering.plan import SIZES, Call, Gemm, Loop, Map, Plan, Ref, Step, Unsupported, start
from ...lowering.views import leading
from .along import ALONG
from .calls import KERNELS
from .chips import Chip
from .device import DEVICE
from .expressions import is_real
from .grouping import grouped, split
from .indexing import INDEXING
from .maps import Kernel, kernel
from .multiplying import MULTIPLYING
from .prelude import PRELUDE


def schedule(plan: Plan, chip: Chip, precision: str = "highest") -> Schedule:
    """Return the schedule of a plan on a chip.

    `precision` is that of float32 products: "highest", "tf32" or "bf16".
    """
    writer = ScheduleWriter(split(plan, chip.processors * chip.threads), chip, precision)
    body = tuple(writer.items(writer.plan.body))
    return Schedule(tuple(writer.buffers), writer.source(), body, precision)


class ScheduleWriter:
    """Turns a plan into a schedule."""

    def __init__(self, plan: Plan, chip: Chip, precision: str) -> None:
        self.plan, self.chip, self.precision = plan, chip, precision
        self.buffers = list(plan.buffers)
        self.names: dict[str, str] = {}  # kernel names, by text
        self.numbers = {id(call): i for i, (call, _) in enumerate(calls(plan.body))}

    def source(self) -> str:
        """Return the text of all kernels."""
        parts = {"multiply<": MULTIPLYING, "wrapped(": INDEXING, "// along": ALONG}
        needed = [part for mark, part in parts.items() if any(mark in text for text in self.names)]
        head = [DEVICE, PRELUDE, *needed]
        return (
            "\n\n".join(
                [
                    *(text.strip() for text in head),
                    *(text.replace("NAME(", f"{name}(", 1) for text, name in self.names.items()),
                ]
            )
            + "\n"
        )

    def name(self, text: str) -> str:
        """Return a kernel's name; kernels with the same text share one."""
        return self.names.setdefault(text, f"k{len(self.names)}")

    def items(self, body: Sequence[Any]) -> list[Any]:
        found: list[Any] = []
        for item in grouped(body):
            if isinstance(item, Loop):
                found.append(self.repeat(item))
            elif isinstance(item, Gemm):
                found += self.product(item)
            elif isinstance(item, Call) and item.kernel:
                for part in KERNELS[item.op].write(item, self.buffers):
                    found += [self.launch(part)] if isinstance(part, Kernel) else self.items([part])
            elif isinstance(item, Call):
                found.append(Host(self.numbers[id(item)]))
            elif any(prod(m.shape) for m in item):
                found.append(self.launch(kernel(item, self.buffers)))
            else:
                found += [
                    self.launch(kernel([m], self.buffers)) for m in map(_of_nothing, item) if m is not None
                ]
        return found

    def repeat(self, loop: Loop) -> Repeat:
        from .persistent import write  # which imports this module

        body = tuple(self.items(loop.body))
        try:
            once, why = write(loop, self), ""
        except Unsupported as error:
            once, why = (), str(error)
        return Repeat(loop.length, loop.reverse, body, once, why)

    def launch(self, k: Kernel) -> Launch:
        """Launch a kernel on as many blocks as it has work for, up to what the chip holds."""
        blocks = -(-k.items // k.per_block)
        most = self.chip.processors * (self.chip.threads // prod(k.block))
        places = tuple(self.place(r) for r in k.refs)
        return self.launched(
            k.text,
            grid=max(1, min(blocks, most)),
            block=k.block,
            shared=k.shared,
            places=places,
            numbers=k.numbers,
        )

    def launched(self, text: str, **how: Any) -> Launch:
        """Return the launch of a kernel with that text."""
        return Launch(self.name(text), **how)

    def place(self, ref: Ref) -> Place:
        """Return where a ref begins, in bytes."""
        size = SIZES[self.buffers[ref.buffer].dtype]
        return Place(ref.buffer, ref.offset * size, tuple(s * size for s in ref.steps))

    def product(self, gemm: Gemm) -> list[Any]:
        """Write a product as a library call; for an empty operand, nothing or zeros."""
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
    """List the steps of the schedule in order, as comments."""
    return "\n".join(f"// {line}" for line in _listed(planned.body)) + "\n"


def _listed(items: Sequence[Any]) -> list[str]:
    found: list[str] = []
    for item in items:
        if isinstance(item, Launch):
            shared = f", {item.shared} bytes" if item.shared else ""
            found.append(
                f"{item.name}<<<{item.grid}, {' x '.join(str(n) for n in item.block if n != 1)}{shared}>>>"
            )
        elif isinstance(item, Product):
            times = f"{item.stack} times " if item.stack > 1 else ""
            found.append(
                f"cuBLAS: {times}{item.m} x {item.k} @ {item.k} x "
                f"{item.n}{', added' if item.add else ''}, {item.dtype}"
            )
        elif isinstance(item, Host):
            found.append(f"call {item.number} of the array library")
        else:
            order = f"{item.length} steps{', backwards' if item.reverse else ''}"
            if item.once:
                found += [
                    f"{order}, all in one launch:",
                    *(f"    {line}" for line in _listed(item.once)),
                    "or, where that is faster,",
                ]
            found += [f"{order}:", *(f"    {line}" for line in _listed(item.body))]
    return found


def _of_nothing(m: Map) -> Map | None:
    """Return what an empty map still computes: the results of its reduction, if there are any."""
    if not m.reductions:
        return None
    (r,) = m.reductions
    shape = tuple(1 if s == 0 else n for n, s in zip(m.shape, r.out.strides))
    if not prod(shape):
        return None
    return Map(
        shape,
        (),
        (Step(0, "none", (start(r.kind, "float64"),), (True,), "float64"),),
        ((0, r.out._replace(shape=shape)),),
    )
