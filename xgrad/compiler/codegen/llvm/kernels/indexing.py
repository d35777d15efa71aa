"""Gathers, scatters and assignments by index arrays."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from ....lowering.indexing import form, has_form
from ....lowering.plan import SIZES, Call, Map, Ref, Step
from ...element import HALVES
from .nest import Kernel


def can_index(call: Call, dtypes: tuple[Any, ...]) -> bool:
    """Whether a call indexes by integer arrays, and otherwise only by slices."""
    adds = call.op in ("untake", "scatter")  # half precision adds in float32
    return has_form(call, dtypes, SIZES.keys() - HALVES if adds else SIZES)


def gather(kernel: Kernel) -> None:
    """part = whole[indices]"""
    dtype = kernel.dtype(kernel.call.outs[0])

    def move(whole: str, part: str | float) -> None:
        assert isinstance(part, str)
        kernel.store(dtype, kernel.load(dtype, whole), part)

    _each(kernel, move)


def scatter_add(kernel: Kernel) -> None:
    """whole = 0; whole[indices] += part"""
    (out,) = kernel.call.outs
    dtype = kernel.dtype(out)
    kernel.map(Map(out.shape, (), (Step(0, "none", (0.0,), (True,), dtype),), ((0, out),)))

    def add(whole: str, part: str | float) -> None:
        assert isinstance(part, str)
        total = kernel.apply("+", dtype, kernel.load(dtype, whole), kernel.load(dtype, part))
        kernel.store(dtype, total, whole)

    _each(kernel, add)


def assign(kernel: Kernel) -> None:
    """whole = x; whole[indices] = part"""
    (out,), x = kernel.call.outs, kernel.call.args[0]
    dtype = kernel.dtype(out)
    if isinstance(x, Ref):
        kernel.map(Map(out.shape, ((0, x),), (), ((0, out),)))
    else:
        kernel.map(Map(out.shape, (), (Step(0, "none", (x,), (True,), dtype),), ((0, out),)))

    def put(whole: str, part: str | float) -> None:
        x = kernel.load(dtype, part) if isinstance(part, str) else kernel.constant(dtype, part)
        kernel.store(dtype, x, whole)

    _each(kernel, put)


def _each(kernel: Kernel, body: Callable[[str, str | float], None]) -> None:
    """Run `body(whole, part)` with pointers to each pair of elements, in the order of the index arrays."""
    found = form(kernel.call)
    assert found is not None
    dtype = kernel.dtype(found.whole)
    part = [found.part] if isinstance(found.part, Ref) else []
    shape = found.indices[0].shape
    kinds = [*(kernel.dtype(i) for i in found.indices), *(dtype for _ in part)]
    strides = [*(i.strides for i in found.indices), *([p.strides[a] for a in found.chosen] for p in part)]
    bases = [kernel.base(r) for r in (*found.indices, *part)]
    start = kernel.base(found.whole)
    count = len(found.indices)
    rest = [found.whole.shape[a] for a, _ in found.kept]
    if not prod(found.whole.shape) and not prod(rest):
        return

    def chosen(pointers: list[str]) -> None:
        whole = start
        for kind, pointer, axis in zip(kinds, pointers, found.axes):
            i = kernel.index(kind, pointer, found.whole.shape[axis])
            whole = kernel.at(whole, dtype, i, kernel.writer.number(found.whole.strides[axis]))
        kernel.loops(
            rest,
            [
                [found.whole.strides[a] for a, _ in found.kept],
                *([p.strides[b] for _, b in found.kept] for p in part),
            ],
            [dtype] * (1 + len(part)),
            [whole, *pointers[count:]],
            lambda at: body(at[0], at[1] if part else found.part),  # type: ignore[arg-type]
        )

    kernel.loops(shape, strides, kinds, bases, chosen)
