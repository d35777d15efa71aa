"""The C code that computes a map at one index: load, compute, store, fold.

The surrounding loops are written elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from math import gcd
from typing import NamedTuple

from ...lowering.plan import SIZES, Buffer, Gemm, Map, Ref
from ...lowering.views import refs
from .expressions import COMPUTED, STORED, converted, lines, loaded, stored

#: The widest load of a thread, in bytes.
WIDEST = 16


class Axis(NamedTuple):
    """A loop axis: its length, the name of its index, and the stride of each of the map's refs along it."""

    length: int
    name: str
    strides: tuple[int, ...]


def refs_of(m: Map) -> list[Ref]:
    """Return all refs of a map, in the order of `Axis.strides`: loads, stores, results of reductions."""
    return [*(r for _, r in m.loads), *(r for _, r in m.stores), *(r.out for r in m.reductions)]


def folded_axes(out: Ref, shape: tuple[int, ...]) -> list[int]:
    """Return the axes of a map that a reduction to `out` folds."""
    return [a for a, (n, s) in enumerate(zip(shape, out.strides)) if s == 0 and n != 1]


class Pointers:
    """The pointer parameters of a kernel, one for each place in memory.

    Equal refs share a pointer, since no memory may have two `__restrict__` pointers. In a kernel that runs
    the innermost loop itself, `turn` is the name of its step.
    """

    def __init__(self, buffers: Sequence[Buffer], turn: str | None = None) -> None:
        self.buffers, self.turn = buffers, turn
        self.refs: list[Ref] = []
        self._written: set[int] = set()  # buffers

    def note(self, item: Map | Gemm) -> None:
        """Record the refs of an item that the kernel will run."""
        self.take(*refs(item))

    def take(self, reads: Sequence[Ref], writes: Sequence[Ref]) -> None:
        """Record the refs that the kernel will read and write."""
        self._written.update(r.buffer for r in writes)
        for ref in (*reads, *writes):
            self.number(ref)

    def text(self, ref: Ref) -> str:
        """Return the pointer to a ref's first element, as text."""
        step = ref.steps[-1] if self.turn and ref.steps else 0
        return f"p{self.number(ref)}" + (f" + {self.turn} * {step}" if step else "")

    def number(self, ref: Ref) -> int:
        """Return the number of a ref's pointer."""
        for i, known in enumerate(self.refs):
            if (known.buffer, known.offset, known.steps) == (ref.buffer, ref.offset, ref.steps):
                return i
        self.refs.append(ref)
        return len(self.refs) - 1

    def dtype(self, ref: Ref) -> str:
        """Return the dtype of a ref's elements."""
        return self.buffers[ref.buffer].dtype

    def parameters(self) -> list[str]:
        """Return the declarations of the pointers."""
        found = []
        for i, ref in enumerate(self.refs):
            kind = STORED[self.dtype(ref)]
            found.append(
                f"{kind}* p{i}" if ref.buffer in self._written else f"const {kind}* __restrict__ p{i}"
            )
        return found


def lanes(m: Map, pointers: Pointers, axes: Sequence[Axis]) -> int:
    """Return how many adjacent elements along the last axis a thread computes at once.

    As many as one load fetches, if all refs are aligned for it.
    """
    inner = axes[-1]
    found = refs_of(m)
    widest = max((SIZES[pointers.dtype(r)] for r in found), default=4)
    count = gcd(WIDEST // widest, inner.length)
    for i, ref in enumerate(found):
        if i >= len(found) - len(m.reductions) and inner.strides[i] == 0:
            continue
        if inner.strides[i] not in (0, 1):
            return 1
        if inner.strides[i] == 1:
            for n in (ref.offset, *ref.steps, *(axis.strides[i] for axis in axes[:-1])):
                count = gcd(count, n)
    return count


def element(pointers: Pointers, axes: Sequence[Axis], i: int, ref: Ref) -> str:
    """Return the address of the i-th ref's element at the indices of the axes."""
    return " + ".join([pointers.text(ref), *offsets(axes, i)])


def offsets(axes: Sequence[Axis], i: int) -> list[str]:
    """Return that element's offset from the start of the ref, one term for each axis that matters."""
    strides = [(axis.name, axis.strides[i]) for axis in axes if axis.strides[i] and axis.length != 1]
    return [name if stride == 1 else f"{name} * {stride}" for name, stride in strides]


class Elements:
    """The code of a map for `width` adjacent elements along the last axis, starting at the axes' indices."""

    def __init__(self, m: Map, pointers: Pointers, axes: Sequence[Axis], width: int) -> None:
        self.map, self.pointers, self.axes, self.width = m, pointers, axes, width
        self.dtypes = {**{v: pointers.dtype(r) for v, r in m.loads}, **{s.value: s.dtype for s in m.steps}}

    def place(self, i: int, ref: Ref) -> str:
        """Return the address of the i-th ref's element."""
        return element(self.pointers, self.axes, i, ref)

    def text(self, fold: str | None = None, fresh: Collection[Ref] = ()) -> list[str]:
        """Return the lines.

        `fold` is a line that folds the value `x` into a total. Refs in `fresh`, written by other blocks, are
        read past the L1 cache.
        """
        m, width = self.map, self.width
        wide = width > 1
        before: list[str] = []
        inside: list[str] = []
        after: list[str] = []
        inner = self.axes[-1]
        for i, (v, ref) in enumerate(m.loads):
            dtype, place = self.dtypes[v], self.place(i, ref)
            # __ldcg has no bool overload
            past = f"load_fresh<1>({place}).v[0]" if dtype == "bool" else f"__ldcg({place})"
            read = past if ref in fresh else f"*({place})"
            if not wide or inner.strides[i] == 0:
                before.append(f"const {COMPUTED[dtype]} v{v} = {loaded(read, dtype)};")
            else:
                how = "load_fresh" if ref in fresh else "load"
                before.append(f"const Pack<{STORED[dtype]}, {width}> a{v} = {how}<{width}>({place});")
                inside.append(f"const {COMPUTED[dtype]} v{v} = {loaded(f'a{v}.v[k]', dtype)};")
        inside += lines(m.steps, self.dtypes)
        for i, (v, ref) in enumerate(m.stores, len(m.loads)):
            new, place = self.pointers.dtype(ref), self.place(i, ref)
            value = stored(f"v{v}", self.dtypes[v], new)
            if wide:
                before.append(f"Pack<{STORED[new]}, {width}> s{i};")
                inside.append(f"s{i}.v[k] = {value};")
                after.append(f"store({place}, s{i});")
            else:
                after.append(f"*({place}) = {value};")
        for r in m.reductions:
            if fold is not None:
                x = converted(f"v{r.value}", self.dtypes[r.value], self.pointers.dtype(r.out))
                inside.append(fold.replace("{x}", x))
        if wide:
            inside = [
                "#pragma unroll",
                f"for (int k = 0; k < {width}; ++k) {{",
                *(f"    {line}" for line in inside),
                "}",
            ]
        return [*before, *inside, *after]


def decoded(axes: Sequence[Axis], source: str, kind: str, body: Sequence[str], width: int = 1) -> list[str]:
    """Prefix `body` with lines that split the index `source` into one index for each axis that it uses.

    `source` counts the elements of `axes`, `width` at a time.
    """
    used = set(re.findall(r"\w+", " ".join(body)))
    found, between = [], 1
    for n, axis in reversed(list(enumerate(axes))):
        length = axis.length // width if n == len(axes) - 1 else axis.length
        rest = source if between == 1 else f"{source} / {between}"
        index = rest if n == 0 else f"{rest} % {length}"
        if axis.name in used:
            found.append(
                f"const {kind} {axis.name} = "
                f"{index}{f' * {width}' if n == len(axes) - 1 and width > 1 else ''};"
            )
        between *= length
    return [*found, *body]
