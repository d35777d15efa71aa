"""A persistent kernel: a whole loop through time in one launch.

Weights stay in shared memory, and blocks synchronise with each other instead of through launches.
`distribution` decides what each block does and where blocks wait, `geometry` the memory layout; this module
writes the text.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from itertools import accumulate
from math import gcd, prod
from typing import TYPE_CHECKING

from ...lowering.plan import SIZES, Buffer, Gemm, Loop, Map, Ref, Step, Unsupported
from ...lowering.views import contiguous, loop_axes, transposed, with_refs
from .distribution import Part, barriers, parts, rows_of
from .elements import WIDEST, Axis, Elements, Pointers, folded_axes, lanes, refs_of
from .expressions import loaded, stored, sum_dtype
from .geometry import ARITHMETIC, THREADS, WARPS, Geometry, Shape, Tiles, geometry, lead
from .geometry import width as columns_of
from .grouping import grouped
from .maps import SMALL, indented, joint_rows, kernel, reach, row_lines, with_last_axis

if TYPE_CHECKING:
    from ....backends.schedules import Launch
    from .schedule import ScheduleWriter

#: The distance between the counters of groups, in elements, which puts them in different cache lines.
_APART = 32
_M, _T, _ROW = (re.compile(rf"\b{name}\b") for name in ("m", "t", "row"))


def write(loop: Loop, writer: ScheduleWriter) -> tuple[Launch, ...]:
    """Return the launches that run a loop.

    The first sets the blocks' counters to 0, if they synchronise by counters; the last is the loop itself.
    Raises Unsupported, with the reason, if there is no such kernel.
    """
    return _Persistent(loop, writer).launches()


class _Persistent:
    def __init__(self, loop: Loop, writer: ScheduleWriter) -> None:
        self.loop, self.writer = loop, writer
        items = [_facing(item) if isinstance(item, Gemm) else item for item in grouped(loop.body)]
        self.rows = rows_of(items)
        self.parts = parts(items, self.rows, writer.buffers)
        self.barriers = barriers(self.parts, loop.reverse)
        products = [p for p in self.parts if isinstance(p.item, Gemm)]
        dtypes = {writer.buffers[p.item.out.buffer].dtype for p in products}  # type: ignore[union-attr]
        if len(dtypes) != 1:
            raise Unsupported("products of several dtypes in one loop")
        dtype = dtypes.pop()
        self.arithmetic = ARITHMETIC[dtype, writer.precision if dtype == "float32" else ""]
        shapes = [Shape(p.item.a.shape[1], p.pieces) for p in products]  # type: ignore[union-attr]
        self.geometry: Geometry = geometry(shapes, self.rows, self.arithmetic, writer.chip)
        # whether blocks synchronise by counters in memory
        self.counted = self.geometry.blocks > 1 and not self.geometry.cluster
        self.pointers = Pointers(writer.buffers, turn="t")
        for part in self.parts:
            for item in [part.item] if isinstance(part.item, Gemm) else part.item:
                if reach(item) >= SMALL:
                    raise Unsupported("arrays with offsets beyond 32 bits")
                self.pointers.note(item)

    def launches(self) -> tuple[Launch, ...]:
        """Return the launches, in order."""
        g, writer = self.geometry, self.writer
        text = self.text()
        places = [writer.place(r._replace(steps=r.steps[:-1])) for r in self.pointers.refs]
        before: list[Launch] = []
        if self.counted:
            writer.buffers.append(Buffer("scratch", g.groups * _APART, "int32"))
            counters = contiguous(
                len(writer.buffers) - 1, (g.groups * _APART,), len(self.pointers.refs[0].steps) - 1
            )
            zero = Map(counters.shape, (), (Step(0, "none", (0,), (True,), "int32"),), ((0, counters),))
            before.append(writer.launch(kernel([zero], writer.buffers)))
            places.append(writer.place(counters))
        launch = writer.launched(
            text,
            grid=g.groups * g.blocks,
            block=(THREADS, 1),
            shared=g.shared,
            places=tuple(places),
            numbers=(self.loop.length,),
            cooperative=self.counted,
            cluster=g.blocks if g.cluster else 1,
        )
        return (*before, launch)

    # Text

    def text(self) -> str:
        """Return the kernel's text."""
        g, how = self.geometry, self.arithmetic.type
        attributes = f"__launch_bounds__({THREADS}, 1)" + (
            f" __cluster_dims__({g.blocks}, 1, 1)" if g.cluster else ""
        )
        parameters = [
            *self.pointers.parameters(),
            *(["unsigned* counters"] if self.counted else []),
            "long long steps",
        ]
        last = self.rows - (g.groups - 1) * g.rows
        rows = (
            f"const int rows = {g.rows};"
            if last == g.rows
            else f"const int rows = group == {g.groups - 1} ? {last} : {g.rows};"
        )
        head = [
            "DYNAMIC_SHARED(memory);",
            f"typedef {how}::Kept Kept;",
            f"typedef {how}::Sum Sum;",
            *(
                f"Kept* const weights{i} = reinterpret_cast<Kept*>(memory + {at});"
                for i, at in enumerate(g.weights)
            ),
            f"Kept* const left = reinterpret_cast<Kept*>(memory + {g.left});",
            f"Sum* const totals = reinterpret_cast<Sum*>(memory + {g.sums});",
            f"const int group = blockIdx.x / {g.blocks}, rank = blockIdx.x % {g.blocks};",
            f"const int first = group * {g.rows};",
            rows,
            *(["unsigned goal = 0;"] if self.counted else []),
            *self._weights(),
        ]
        body: list[str] = []
        product = 0
        for i, part in enumerate(self.parts):
            body.append(self._wait() if i in self.barriers else "__syncthreads();")
            if isinstance(part.item, Gemm):
                lines = self._product(part, part.item, product, g.tiles[product])
                product += 1
            else:
                lines = (
                    self._by_rows(part.item, part.foreign)
                    if part.by_rows
                    else self._columns(part.item[0], part.foreign)
                )
            body += ["{", *indented(lines, 1), "}"]
        if any(_T.search(line) for line in body):
            body.insert(0, f"const long long t = {'steps - 1 - s' if self.loop.reverse else 's'};")
        lines = [
            f'extern "C" __global__ void {attributes} NAME({", ".join(parameters)}) {{',
            *indented(head, 1),
            "    for (long long s = 0; s < steps; ++s) {",
            *indented(body, 2),
            "    }",
            "}",
        ]
        return "\n".join(lines)

    def _wait(self) -> str:
        """Write the barrier of a group's blocks."""
        g = self.geometry
        if self.counted:
            return f"group_barrier(counters + group * {_APART}, goal += {g.blocks});"
        return "cluster_barrier();" if g.cluster else "__syncthreads();"

    def _weights(self) -> list[str]:
        """Write the code that loads a block's columns of the weights."""
        how, lines = self.arithmetic.type, []
        products = [p for p in self.parts if isinstance(p.item, Gemm)]
        for i, (part, tiles) in enumerate(zip(products, self.geometry.tiles)):
            b = part.item.b  # type: ignore[union-attr]
            down, right = b.strides
            for begin, base, n, w in zip(
                _starts(part.pieces), _starts(tiles.widths), part.pieces, tiles.widths
            ):
                lines.append(
                    f"keep_columns<{how}, {tiles.depth}, {tiles.lead}, {THREADS}>(weights{i} + "
                    f"{base * tiles.lead}, "
                    f"{self.pointers.text(b)} + ({begin} + rank * {w}) * {right}, {down}, {right}, "
                    f"{w}, {b.shape[0]}, {n} - rank * {w});"
                )
        return lines

    def _product(self, part: Part, gemm: Gemm, number: int, tiles: Tiles) -> list[str]:
        how, g, (depth, columns) = self.arithmetic.type, self.geometry, gemm.b.shape
        dtype = self.writer.buffers[gemm.out.buffer].dtype
        units = -(-tiles.units // WARPS)
        ahead = lead(tiles.chunk, self.arithmetic.size)
        stride = gemm.a.strides[0] if self.rows > 1 else 0
        width = gcd(WIDEST // SIZES[dtype], depth, gemm.a.offset, stride, *gemm.a.steps)
        shape = f"{tiles.down}, {tiles.across}, {tiles.wide}, {tiles.shares}"
        at = "" if tiles.chunk == tiles.depth else " + k"
        operand = f"{self.pointers.text(gemm.a)} + first * {stride}{at}"
        step = [
            (
                f"stage<{how}, {width}, {tiles.chunk}, {ahead}, {THREADS}>(left, {operand}, {stride}, "
                f"{g.rows}, rows, {depth}{' - k' if at else ''});"
            ),
            "__syncthreads();",
            (
                f"multiply<{how}, {shape}, {tiles.chunk}, {ahead}, {tiles.lead}, {units}>(sums, left, "
                f"weights{number}{at});"
            ),
        ]
        if at:
            step = [
                f"for (int k = 0; k < {tiles.depth}; k += {tiles.chunk}) {{",
                "    if (k) __syncthreads();",
                *indented(step, 1),
                "}",
            ]
        lines = [
            f"// {self.rows} x {depth} @ {depth} x {columns}",
            f"Sum sums[{units}][{tiles.wide}][4] = {{}};",
            *step,
            f"put_sums<{shape}, {units}>(sums, totals);",
            "__syncthreads();",
        ]
        old = loaded("__ldcg(z)" if part.foreign else "*z", dtype)
        total = f"x + {old}" if gemm.accumulate else "x"
        down, right = gemm.out.strides if self.rows > 1 else (0, 1)
        for at_column, base, n, w in zip(
            _starts(part.pieces), _starts(tiles.widths), part.pieces, tiles.widths
        ):
            part_sum = f"totals[(share * {g.rows} + i) * {tiles.columns} + {base} + e % {w}]"
            inner = [
                "Sum x = 0;",
                "#pragma unroll",
                f"for (int share = 0; share < {tiles.shares}; ++share) x += {part_sum};",
                (
                    f"auto* const z = {self.pointers.text(gemm.out)} + (first + i) * {down} + (j + "
                    f"{at_column}) * {right};"
                ),
                f"*z = {stored(total, sum_dtype(dtype), dtype)};",
            ]
            lines += self._tile(w, n, inner)
        return lines

    def _tile(self, w: int, n: int, inner: Sequence[str]) -> list[str]:
        """Write `inner` for each row i of the group and each column j of the block's `w` of `n`."""
        return [
            f"for (int e = threadIdx.x; e < {self.geometry.rows * w}; e += {THREADS}) {{",
            f"    const int i = e / {w}, j = rank * {w} + e % {w};",
            f"    if (i < rows && j < {n}) {{",
            *indented(inner, 2),
            "    }",
            "}",
        ]

    def _columns(self, m: Map, fresh: Collection[Ref]) -> list[str]:
        m = self._with_rows(m)
        m = with_last_axis(m) if len(m.shape) == 1 else m
        found = refs_of(m)
        axes = [
            Axis(self.rows, "m", tuple(r.strides[0] for r in found)),
            Axis(m.shape[1], "j", tuple(r.strides[1] for r in found)),
        ]
        body = Elements(m, self.pointers, axes, 1).text(None, fresh)
        if any(_M.search(line) for line in body):
            body.insert(0, "const int m = first + i;")
        return self._tile(columns_of(m.shape[1], self.geometry.blocks), m.shape[1], body)

    def _by_rows(self, maps: Sequence[Map], fresh: Collection[Ref]) -> list[str]:
        g = self.geometry
        maps = [self._with_rows(m) for m in maps]
        axes = joint_rows(maps) if len(maps) > 1 else [_rows_first(maps[0])]
        per = prod(axis.length for axis in axes[0][0]) // self.rows
        body: list[str] = []
        for n, (m, (kept, inner)) in enumerate(zip(maps, axes)):
            if n:
                body.append("__syncwarp();")
            count = prod(axis.length for axis in inner) // lanes(m, self.pointers, [*kept, *inner])
            lines = row_lines(
                m, self.pointers, kept, inner, team=32, kind="int", lane="lane", count=str(count), fresh=fresh
            )
            body += ["{", *indented(lines, 1), "}"]
        if any(_ROW.search(line) for line in body):
            body.insert(0, f"const int row = first * {per} + i;")
        loop = (
            f"for (int i = rank * {WARPS} + threadIdx.x / 32; i < rows * {per}; i += {g.blocks * WARPS}) {{"
        )
        return ["const int lane = threadIdx.x % 32;", loop, *indented(body, 1), "}"]

    def _with_rows(self, m: Map) -> Map:
        """Return a map with rows as its first axis."""
        if m.shape[:1] == (self.rows,):
            return m

        def of(ref: Ref) -> Ref:
            return ref._replace(shape=(1, *ref.shape), strides=(0, *ref.strides))

        return with_refs(m, of)._replace(shape=(1, *m.shape))


def _facing(gemm: Gemm) -> Gemm:
    """Turn a product of weights and a column, W @ h, into one of a row and weights: h @ Wᵀ."""
    if gemm.out.shape[1:] != (1,):
        return gemm
    out, a, b = (transposed(r, (1, 0)) for r in (gemm.out, gemm.a, gemm.b))
    return gemm._replace(out=out, a=b, b=a)


def _starts(widths: Sequence[int]) -> list[int]:
    return [0, *accumulate(widths)][:-1]


def _rows_first(m: Map) -> tuple[list[Axis], list[Axis]]:
    """Return a map's kept axes, rows first, and the other axes, which it folds if it folds any."""
    found = refs_of(m)
    gone = [a for r in m.reductions for a in folded_axes(r.out, m.shape)]
    first = min(gone, default=1)
    if gone and (first == 0 or sorted(gone) != [a for a in range(first, len(m.shape)) if m.shape[a] != 1]):
        raise Unsupported("a reduction over axes that are not the last")
    kept = [Axis(m.shape[a], f"i{a}", tuple(r.strides[a] for r in found)) for a in range(first)]
    sizes, strides = loop_axes(m.shape[first:], [r.strides[first:] for r in found])
    return kept, [Axis(n, f"j{a}", tuple(s[a] for s in strides)) for a, n in enumerate(sizes)]
