"""Gathers, scatters and assignments by index arrays.

x[..., i, :, j] reads one element of `x` for each index of the broadcast index arrays and of the other axes.
`take` is that with one array.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, NamedTuple

from .....ops.indexing import Hole
from ....lowering.plan import SIZES, Call, Map, Ref, Step
from ....lowering.views import broadcast, viewed
from ...element import HALVES
from .nest import Kernel

_INTEGERS = frozenset(("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"))


class _Form(NamedTuple):
    """One indexing: `whole` is seen with all its axes, `part` is what the index arrays choose from it.

    `axes` are the axes of `whole` that arrays index, one each of `indices`; `chosen` are the axes of `part`
    that have the arrays' common shape, `kept` pairs of an axis of `whole` and the axis of `part` that it is.
    """

    whole: Ref
    part: Ref | float
    indices: tuple[Ref, ...]
    axes: tuple[int, ...]
    chosen: tuple[int, ...]
    kept: tuple[tuple[int, int], ...]


def has_form(call: Call, dtypes: tuple[Any, ...]) -> bool:
    """Whether a call indexes by arrays of integers, beside slices alone."""
    count = len(call.args)
    arrays = _operands(call)[2]
    kinds = dtypes[count - len(arrays) : count]
    data = {d for d in (*dtypes[: count - len(arrays)], *dtypes[count:]) if d is not None}
    if not arrays or not all(isinstance(a, Ref) for a in arrays) or not _INTEGERS.issuperset(kinds):
        return False
    if len(data) != 1 or not data <= SIZES.keys():
        return False
    if call.op in ("untake", "scatter") and data & HALVES:  # which add up in float32
        return False
    key = _key(call)
    return all(isinstance(k, slice | Hole) or k is Ellipsis for k in key) and _form(call) is not None


def _operands(call: Call) -> tuple[Any, Any, tuple[Any, ...]]:
    """What is indexed as a whole, the part of it, and the index arrays."""
    (out,) = call.outs
    if call.op in ("take", "getitem"):
        return call.args[0], out, call.args[1:]
    if call.op in ("untake", "scatter"):
        return out, call.args[0], call.args[1:]
    return out, call.args[1], call.args[2:]


def _key(call: Call) -> tuple[Any, ...]:
    if call.op in ("take", "untake"):
        whole = _operands(call)[0]
        return (*(slice(None),) * (call.params["axis"] % max(len(whole.shape), 1)), Hole(0))
    key = call.params["key"]
    return key if isinstance(key, tuple) else (key,)


def _form(call: Call) -> _Form | None:
    whole, part, arrays = _operands(call)
    if not isinstance(whole, Ref):
        return None
    key = _key(call)
    holes = [k for k in key if isinstance(k, Hole)]
    missing = len(whole.shape) - sum(k is not Ellipsis for k in key)
    at = next((i for i, k in enumerate(key) if k is Ellipsis), len(key))
    key = (*key[:at], *(slice(None),) * missing, *(k for k in key[at:] if k is not Ellipsis))
    axes = [a for a, k in enumerate(key) if isinstance(k, Hole)]
    seen = viewed(whole, tuple(slice(None) if isinstance(k, Hole) else k for k in key))
    shape = _common([arrays[h.i].shape for h in holes])
    rest = [a for a in range(len(key)) if a not in axes]
    # where the arrays stand side by side their shape takes their place, else it comes first
    first = axes[0] if axes == list(range(axes[0], axes[0] + len(axes))) else 0
    kept = tuple((a, i if i < first else i + len(shape)) for i, a in enumerate(rest))
    full = [*(seen.shape[a] for a in rest[:first]), *shape, *(seen.shape[a] for a in rest[first:])]
    if isinstance(part, Ref):
        if len(part.shape) > len(full):
            return None
        part = broadcast(part, tuple(full))
    return _Form(
        seen,
        part,
        tuple(broadcast(arrays[h.i], shape) for h in holes),
        tuple(axes),
        tuple(range(first, first + len(shape))),
        kept,
    )


def _common(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The shape that all broadcast to."""
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(s)) + tuple(s) for s in shapes]
    return tuple(next((n for n in along if n != 1), 1) for along in zip(*padded))


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
    """`body(whole, part)` with pointers to each pair of elements, in the order of the index arrays."""
    form = _form(kernel.call)
    assert form is not None
    dtype = kernel.dtype(form.whole)
    part = [form.part] if isinstance(form.part, Ref) else []
    shape = form.indices[0].shape
    kinds = [*(kernel.dtype(i) for i in form.indices), *(dtype for _ in part)]
    strides = [*(i.strides for i in form.indices), *([p.strides[a] for a in form.chosen] for p in part)]
    bases = [kernel.base(r) for r in (*form.indices, *part)]
    start = kernel.base(form.whole)
    count = len(form.indices)
    rest = [form.whole.shape[a] for a, _ in form.kept]
    if not prod(form.whole.shape) and not prod(rest):
        return

    def chosen(pointers: list[str]) -> None:
        whole = start
        for kind, pointer, axis in zip(kinds, pointers, form.axes):
            i = kernel.index(kind, pointer, form.whole.shape[axis])
            whole = kernel.at(whole, dtype, i, kernel.writer.number(form.whole.strides[axis]))
        kernel.loops(
            rest,
            [
                [form.whole.strides[a] for a, _ in form.kept],
                *([p.strides[b] for _, b in form.kept] for p in part),
            ],
            [dtype] * (1 + len(part)),
            [whole, *pointers[count:]],
            lambda found: body(found[0], found[1] if part else form.part),  # type: ignore[arg-type]
        )

    kernel.loops(shape, strides, kinds, bases, chosen)
