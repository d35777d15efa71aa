"""Kernels for gathers, scatter-adds and assignments by index arrays.

Several indices may select the same place. One warp handles all of them, in the order of the indices, so that
the result is deterministic: it scans the indices 32 at a time. An index out of bounds wraps around, as in
CuPy.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from math import prod
from typing import Any

from ...lowering.indexing import Form, form, has_form
from ...lowering.plan import Buffer, Call, Map, Ref, Step
from ...lowering.views import joined_axes, loop_axes
from .elements import Axis, Pointers, decoded, element, offsets
from .expressions import COMPUTED, STORED, literal, loaded, stored
from .maps import THREADS, Kernel, indented, index_type, one_by_one, signature

#: The most index comparisons per column; beyond that the array library computes the call.
MOST = 2**24

INDEXING = r"""
// An index that counts from the end where it is negative, and wraps around where it is out of bounds.
template <class T> __device__ __forceinline__ long long wrapped(T index, long long n) {
    const long long i = index;
    if (i >= 0 && i < n) return i;
    const long long rest = i % n;
    return rest < 0 ? rest + n : rest;
}
"""


def can_gather(call: Call, dtypes: tuple[Any, ...]) -> bool:
    """Whether a call gathers by integer arrays, and otherwise only by slices."""
    return _indexes(call, dtypes, STORED)


def _indexes(call: Call, dtypes: tuple[Any, ...], moved: Collection[str]) -> bool:
    """Whether a call indexes by arrays, and never into an axis of length 0."""
    if not has_form(call, dtypes, moved):
        return False
    found = _form(call)
    return all(found.whole.shape[a] for a in found.axes) or not prod(found.indices[0].shape)


def can_assign(call: Call, dtypes: tuple[Any, ...]) -> bool:
    """Whether there are few enough indices or places for each place to scan all indices."""
    if not _indexes(call, dtypes, COMPUTED):
        return False
    found = _form(call)
    return _units(found) * prod(found.indices[0].shape) <= MOST


def can_add(call: Call, dtypes: tuple[Any, ...]) -> bool:
    """The same for scatter-adds."""
    return can_assign(call, dtypes) and dtypes[-1] != "bool"


def _form(call: Call) -> Form:
    found = form(call)
    assert found is not None
    return found


def _places(found: Form) -> int:
    """Return the number of places that can be indexed."""
    return prod(found.whole.shape[a] for a in found.axes)


def _units(found: Form) -> int:
    """Return the number of warps that scan the indices: one per place, or per index."""
    return min(_places(found), prod(found.indices[0].shape))


def _axes(shape: Sequence[int], strides: Sequence[Sequence[int]], letter: str) -> list[Axis]:
    """Return the axes in order, so that elements are counted in that order."""
    sizes, along = joined_axes(tuple(shape), [tuple(s) for s in strides])
    return [Axis(n, f"{letter}{a}", tuple(s[a] for s in along)) for a, n in enumerate(sizes)]


def _offset(found: Form, pointers: Pointers, axes: Sequence[Axis]) -> str:
    """Return the offset of the place that the index arrays select."""
    terms = []
    for i, (ref, axis) in enumerate(zip(found.indices, found.axes)):
        index = f"wrapped(*({element(pointers, axes, i, ref)}), {found.whole.shape[axis]})"
        terms.append(f"{index} * {found.whole.strides[axis]}LL")
    return " + ".join(terms)


def gather(call: Call, buffers: Sequence[Buffer]) -> list[Map | Kernel]:
    """part = whole[indices], one thread per element."""
    found, (part,) = _form(call), call.outs
    count = prod(part.shape)
    if not count:
        return []
    pointers = Pointers(buffers)
    pointers.take([*found.indices, found.whole], [part])
    rank = range(len(part.shape))
    chosen = {a: n for n, a in enumerate(found.chosen)}
    kept = {a: found.whole.strides[b] for b, a in found.kept}
    strides = [tuple(i.strides[chosen[a]] if a in chosen else 0 for a in rank) for i in found.indices]
    strides += [tuple(kept.get(a, 0) for a in rank), part.strides]
    sizes, along = loop_axes(part.shape, strides)
    axes = [Axis(n, f"i{a}", tuple(s[a] for s in along)) for a, n in enumerate(sizes)]
    arrays = len(found.indices)
    source = element(pointers, axes, arrays, found.whole)
    body = [
        f"const long long place = {_offset(found, pointers, axes)};",
        f"*({element(pointers, axes, arrays + 1, part)}) = *({source} + place);",
    ]
    kind = index_type(count, [*found.indices, found.whole, part])
    return [one_by_one(pointers, decoded(axes, "e", kind, body), kind, count)]


def scatter_add(call: Call, buffers: Sequence[Buffer]) -> list[Map | Kernel]:
    """whole = 0; whole[indices] += part"""
    (out,) = call.outs
    dtype = buffers[out.buffer].dtype
    zero = Map(out.shape, (), (Step(0, "none", (0,), (True,), dtype),), ((0, out),))
    return [zero, *_at_places(_form(call), buffers, adds=True)]


def assign(call: Call, buffers: Sequence[Buffer]) -> list[Map | Kernel]:
    """whole = x; whole[indices] = part"""
    (out,), x = call.outs, call.args[0]
    if isinstance(x, Ref):
        copy = Map(out.shape, ((0, x),), (), ((0, out),))
    else:
        step = Step(0, "none", (x,), (True,), buffers[out.buffer].dtype)
        copy = Map(out.shape, (), (step,), ((0, out),))
    return [copy, *_at_places(_form(call), buffers, adds=False)]


def _at_places(found: Form, buffers: Sequence[Buffer], *, adds: bool) -> list[Kernel]:
    """Return the kernel that adds all values for each place, or assigns the last one.

    A warp handles 32 columns of one place. There is one warp per place, or per index if those are fewer;
    among equal indices the first adds, or the last assigns.
    """
    whole, part = found.whole, found.part
    shape = found.indices[0].shape
    count, columns = prod(shape), prod(whole.shape[a] for a, _ in found.kept)
    if not count or not columns:
        return []
    parts = [part] if isinstance(part, Ref) else []
    pointers = Pointers(buffers)
    pointers.take([*found.indices, *parts], [whole])
    dtype, arrays = pointers.dtype(whole), len(found.indices)
    kind = index_type(max(count, _places(found)) * columns, [*found.indices, whole, *parts])
    strides = [*(i.strides for i in found.indices), *([p.strides[a] for a in found.chosen] for p in parts)]
    chosen = _axes(shape, strides, "i")
    strides = [
        [whole.strides[a] for a, _ in found.kept],
        *([p.strides[b] for _, b in found.kept] for p in parts),
    ]
    kept = _axes([whole.shape[a] for a, _ in found.kept], strides, "k")
    if isinstance(part, Ref):
        source = " + ".join([element(pointers, chosen, arrays, part), *offsets(kept, 1)])
        value = loaded(f"*({source})", dtype)
    else:
        value = literal(part, dtype)
    own = _axes([whole.shape[a] for a in found.axes], [[whole.strides[a] for a in found.axes]], "u")
    by_place = _places(found) <= count
    units, tiles = _units(found), -(-columns // 32)
    total = COMPUTED[dtype]
    mine = decoded(own, "unit", kind, [f"return {' + '.join(offsets(own, 0)) or '0'};"])
    element_of = decoded(chosen, "i", kind, decoded(kept, "c", kind, [f"return {value};"]))
    lookup = decoded(chosen, "i", kind, [f"return {_offset(found, pointers, chosen)};"])
    step = [
        f"const {kind} i = first + threadIdx.x;",
        f"unsigned found = __ballot_sync(0xffffffffu, i < {count} && place(i) == mine);",
        "if (found == 0) continue;",
        *(["if (last < 0 && first + __ffs(found) - 1 < unit) break;"] if adds and not by_place else []),
        "last = first + 31 - __clz(found);",
    ]
    if adds:
        step += [
            f"if (c < {columns}) for (; found != 0; found &= found - 1) {{",
            "    total = added(total, value(first + __ffs(found) - 1, c));",
            "}",
        ]
    wins = "last >= 0" if adds or by_place else "last == unit"
    result = "total" if adds else "value(last, c)"
    target = " + ".join([pointers.text(whole), *offsets(kept, 0), "mine"])
    store = f"*({target}) = {stored(result, dtype, dtype)};"
    body = [
        f"const {kind} unit = u / {tiles}, c = u % {tiles} * 32 + threadIdx.x;",
        f"const long long mine = {'start' if by_place else 'place'}(unit);",
        f"{kind} last = -1;",
        *([f"{total} total = 0;"] if adds else []),
        f"for ({kind} first = 0; first < {count}; first += 32) {{",
        *indented(step, 1),
        "}",
        f"if ({wins} && c < {columns}) {{",
        *indented(decoded(kept, "c", kind, [store]), 1),
        "}",
    ]
    lines = [
        signature(pointers, THREADS, ["long long units"]) + " {",
        *indented(_function("place", "long long", kind, ["i"], lookup), 1),
        *(indented(_function("start", "long long", kind, ["unit"], mine), 1) if by_place else []),
        *indented(_function("value", total, kind, ["i", "c"], element_of), 1),
        f"    for ({kind} u = blockIdx.x * 8 + threadIdx.y; u < units; u += gridDim.x * 8) {{",
        *indented(body, 2),
        "    }",
        "}",
    ]
    refs = tuple(pointers.refs)
    return [Kernel("\n".join(lines), refs, (units * tiles,), units * tiles, 8, (32, 8))]


def _function(name: str, result: str, kind: str, names: Sequence[str], body: Sequence[str]) -> list[str]:
    """Write a function inside a kernel, which may use the kernel's pointers."""
    used = set(re.findall(r"\w+", " ".join(body)))
    given = ", ".join(f"{kind} {n}" if n in used else kind for n in names)
    return [f"const auto {name} = [&]({given}) -> {result} {{", *indented(body, 1), "};"]
