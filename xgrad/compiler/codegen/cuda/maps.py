"""Kernels of maps: elementwise, row reductions by a team of threads, and column reductions by a block."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import prod
from typing import NamedTuple

from ...lowering.plan import SIZES, Buffer, Gemm, Map, Ref, Unsupported, start
from ...lowering.views import loop_axes, with_refs
from .elements import Axis, Elements, Pointers, decoded, folded_axes, lanes, refs_of
from .expressions import COMPUTED, is_real, literal, stored

#: Threads per block.
THREADS = 256
#: The row length from which a whole block, not one warp, folds a row.
LONG = 2048
#: Up to this size, element counts and offsets use 32 bits.
SMALL = 2**30
_FOLDS = {"sum": "Plus()", "max": "Maximum()", "min": "Minimum()"}


class Kernel(NamedTuple):
    """A kernel and its launch.

    `text` has NAME as a placeholder for its name. Its arguments are pointers to `refs`, then `numbers`. Each
    block handles `per_block` of the `items` work units at a time; `shared` is the shared memory of a block,
    in bytes.
    """

    text: str
    refs: tuple[Ref, ...]
    numbers: tuple[int, ...]
    items: int
    per_block: int
    block: tuple[int, int]
    shared: int = 0


def kernel(maps: Sequence[Map], buffers: Sequence[Buffer]) -> Kernel:
    """Return the kernel of one map, or of several over the same rows, run one after the other."""
    if len(maps) == 1 and not maps[0].reductions:
        return _flat(maps[0], buffers)
    return _rows(maps, buffers) if len(maps) > 1 or _is_by_rows(maps[0]) else _columns(maps[0], buffers)


def signature(pointers: Pointers, block: int, numbers: Sequence[str]) -> str:
    return (
        f'extern "C" __global__ void __launch_bounds__({block}) '
        f"NAME({', '.join([*pointers.parameters(), *numbers])})"
    )


def indented(lines: Sequence[str], depth: int) -> list[str]:
    return [f"{'    ' * depth}{line}" for line in lines]


def _kind(elements: int, maps: Sequence[Map]) -> str:
    return index_type(elements, [r for m in maps for r in refs_of(m)])


def index_type(elements: int, refs: Sequence[Ref]) -> str:
    """Return the type of indices. Products with strides must fit too: few elements may lie far apart."""
    return "int" if max(elements, _reach(refs)) < SMALL else "long long"


def reach(item: Map | Gemm) -> int:
    """Return the largest distance between a ref's elements and its first one."""
    return _reach(refs_of(item) if isinstance(item, Map) else [item.a, item.b, item.out])


def _reach(refs: Sequence[Ref]) -> int:
    return max((sum((n - 1) * abs(s) for n, s in zip(r.shape, r.strides)) for r in refs), default=0)


# Elementwise


def _flat(m: Map, buffers: Sequence[Buffer]) -> Kernel:
    pointers = Pointers(buffers)
    pointers.note(m)
    sizes, strides = loop_axes(m.shape, [r.strides for r in refs_of(m)])
    axes = [Axis(n, f"i{a}", tuple(s[a] for s in strides)) for a, n in enumerate(sizes)]
    width = lanes(m, pointers, axes)
    kind = _kind(prod(sizes), [m])
    inner = prod(sizes[1:]) // (width if len(sizes) > 1 else 1)  # the outermost length is a run-time argument
    outer = sizes[0] // (width if len(sizes) == 1 else 1)
    body = Elements(m, pointers, axes, width).text()
    return one_by_one(pointers, decoded(axes, "e", kind, body, width), kind, outer, inner)


def one_by_one(pointers: Pointers, body: Sequence[str], kind: str, rows: int, inner: int = 1) -> Kernel:
    """Return the kernel that runs `body` for each `e` below `rows * inner`, one thread each."""
    lines = [
        signature(pointers, THREADS, ["long long rows"]) + " {",
        f"    const {kind} n = rows{f' * {inner}' if inner != 1 else ''};",
        f"    for ({kind} e = blockIdx.x * {THREADS} + threadIdx.x; e < n; e += gridDim.x * {THREADS}) {{",
        *indented(body, 2),
        "    }",
        "}",
    ]
    return Kernel("\n".join(lines), tuple(pointers.refs), (rows,), rows * inner, THREADS, (THREADS, 1))


# Rows and columns


def _is_by_rows(m: Map) -> bool:
    """Whether to fold by rows.

    That is so if adjacent elements are folded, or if the contiguous axis is too short for a warp.
    """
    kept, folded = _split(m)
    return not kept or (bool(folded) and folded[-1].strides.count(1) >= kept[-1].strides.count(1))


def _split(m: Map) -> tuple[list[Axis], list[Axis]]:
    """Return the kept axes and the folded axes, contiguous ones merged."""
    if len({tuple(folded_axes(r.out, m.shape)) for r in m.reductions}) != 1:
        raise Unsupported("reductions over different axes in one map")
    gone = folded_axes(m.reductions[0].out, m.shape)
    refs = refs_of(m)

    def axes(chosen: list[int], letter: str) -> list[Axis]:
        if not any(m.shape[a] != 1 for a in chosen):
            return []
        sizes, strides = loop_axes(
            tuple(m.shape[a] for a in chosen), [tuple(r.strides[a] for a in chosen) for r in refs]
        )
        return [Axis(n, f"{letter}{a}", tuple(s[a] for s in strides)) for a, n in enumerate(sizes)]

    return axes([a for a in range(len(m.shape)) if a not in gone], "i"), axes(gone, "j")


class _Fold(NamedTuple):
    """The C code of a reduction.

    Its fields are the C++ type of the total, the functor that folds, the start value, and the line that folds
    in a value `{x}`.
    """

    type: str
    functor: str
    start: str
    step: str

    @classmethod
    def of(cls, m: Map, pointers: Pointers) -> _Fold:
        (r,) = m.reductions
        dtype = pointers.dtype(r.out)
        if not is_real(dtype):
            raise Unsupported(f"a {r.kind} of dtype {dtype}")
        return cls(
            COMPUTED[dtype],
            _FOLDS[r.kind],
            literal(start(r.kind, dtype), dtype),
            f"total = {_FOLDS[r.kind]}(total, {{x}});",
        )


def _rows(maps: Sequence[Map], buffers: Sequence[Buffer]) -> Kernel:
    """Fold each row by a team: a warp, or a block if the rows are long.

    The team synchronises between maps.
    """
    pointers = Pointers(buffers)
    for m in maps:
        pointers.note(m)
    parts = [_split(maps[0])] if len(maps) == 1 else joint_rows(maps)
    rows = prod(axis.length for axis in parts[0][0])
    longest = max(prod(axis.length for axis in inner) for _, inner in parts)
    team = THREADS if longest >= LONG else 32
    teams = THREADS // team
    kind = _kind(rows * longest, maps)
    body: list[str] = []
    numbers = [rows]
    for n, (m, (kept, inner)) in enumerate(zip(maps, parts)):
        if n:
            body.append("__syncwarp();" if team == 32 else "__syncthreads();")
        body += [
            "{",
            *indented(
                row_lines(m, pointers, kept, inner, team=team, kind=kind, lane="threadIdx.x", count=f"n{n}"),
                1,
            ),
            "}",
        ]
        numbers.append(prod(axis.length for axis in inner) // lanes(m, pointers, [*kept, *inner]))
    lines = [
        signature(pointers, THREADS, ["long long rows", *(f"long long n{i}" for i in range(len(maps)))])
        + " {",
        *(["    DYNAMIC_SHARED(memory);"] if team != 32 else []),
        (
            f"    for ({kind} row = blockIdx.x * {teams} + threadIdx.y; row < rows; row += gridDim.x * "
            f"{teams}) {{"
        ),
        *indented(body, 2),
        "    }",
        "}",
    ]
    shared = 0 if team == 32 else 8 * (team // 32)
    return Kernel("\n".join(lines), tuple(pointers.refs), tuple(numbers), rows, teams, (team, teams), shared)


def row_lines(
    m: Map,
    pointers: Pointers,
    kept: list[Axis],
    inner: list[Axis],
    *,
    team: int,
    kind: str,
    lane: str,
    count: str,
    fresh: Collection[Ref] = (),
) -> list[str]:
    """Write one map on the row named `row`, for the thread `lane` of a team.

    A row has `count` times `lanes` elements.
    """
    axes = [*kept, *inner]
    width = lanes(m, pointers, axes)
    fold = _Fold.of(m, pointers) if m.reductions else None
    elements = Elements(m, pointers, axes, width)
    lines = [f"{fold.type} total = {fold.start};"] if fold is not None else []
    loop = decoded(inner, "r", kind, elements.text(fold.step if fold else None, fresh), width)
    lines += [f"for ({kind} r = {lane}; r < {count}; r += {team}) {{", *indented(loop, 1), "}"]
    if fold is not None:
        block = f"over_block<{team}>({fold.functor}, total, reinterpret_cast<{fold.type}*>(memory))"
        over = f"over_warp({fold.functor}, total)" if team == 32 else block
        ref, dtype = m.reductions[0].out, pointers.dtype(m.reductions[0].out)
        place = Elements(m, pointers, kept, 1).place(len(m.loads) + len(m.stores), ref)
        lines += [f"total = {over};", f"if ({lane} == 0) *({place}) = {stored('total', dtype, dtype)};"]
    return decoded(kept, "row", kind, lines)


def joint_rows(maps: Sequence[Map]) -> list[tuple[list[Axis], list[Axis]]]:
    """Return, for each map, the row axes, which are the same for all, and the last axis."""
    rank = max(len(m.shape) for m in maps)
    widened = [m if len(m.shape) == rank else with_last_axis(m) for m in maps]
    refs = [refs_of(m) for m in widened]
    rows = widened[0].shape[:-1]
    sizes, strides = loop_axes(rows, [r.strides[:-1] for found in refs for r in found])
    found, at = [], 0
    for m, mine in zip(widened, refs):
        here = strides[at : at + len(mine)]
        at += len(mine)
        kept = [Axis(n, f"i{a}", tuple(s[a] for s in here)) for a, n in enumerate(sizes)]
        found.append((kept, [Axis(m.shape[-1], "j0", tuple(r.strides[-1] for r in mine))]))
    return found


def with_last_axis(m: Map) -> Map:
    """Turn a map of one number per row into one with rows of length 1."""

    def of(ref: Ref) -> Ref:
        return ref._replace(shape=(*ref.shape, 1), strides=(*ref.strides, 0))

    return with_refs(m, of)._replace(shape=(*m.shape, 1))


def _columns(m: Map, buffers: Sequence[Buffer]) -> Kernel:
    """Fold columns, a warp's width per block.

    Each row of a block's threads folds a part; then the parts are combined.
    """
    pointers = Pointers(buffers)
    pointers.note(m)
    kept, folded = _split(m)
    fold = _Fold.of(m, pointers)
    columns, rows = (prod(axis.length for axis in axes) for axes in (kept, folded))
    kind = _kind(columns * rows, [m])
    parts = THREADS // 32
    elements = Elements(m, pointers, [*folded, *kept], 1)
    ref, dtype = m.reductions[0].out, pointers.dtype(m.reductions[0].out)
    place = Elements(m, pointers, kept, 1).place(len(m.loads) + len(m.stores), ref)
    body = [
        f"{fold.type} total = {fold.start};",
        f"if (c < columns) for ({kind} r = threadIdx.y; r < rows; r += {parts}) {{",
        *indented(decoded(folded, "r", kind, elements.text(fold.step)), 1),
        "}",
        "shared[threadIdx.y * 32 + threadIdx.x] = total;",
        "__syncthreads();",
        "if (threadIdx.y == 0 && c < columns) {",
        (
            f"    for (int part = 1; part < {parts}; ++part) total = {fold.functor}(total, shared[part "
            f"* 32 + threadIdx.x]);"
        ),
        f"    *({place}) = {stored('total', dtype, dtype)};",
        "}",
        "__syncthreads();",
    ]
    lines = [
        signature(pointers, THREADS, ["long long columns", "long long rows"]) + " {",
        "    DYNAMIC_SHARED(memory);",
        f"    {fold.type}* const shared = reinterpret_cast<{fold.type}*>(memory);",
        f"    for ({kind} first = blockIdx.x * 32; first < columns; first += gridDim.x * 32) {{",
        f"        const {kind} c = first + threadIdx.x;",
        *indented(decoded(kept, "c", kind, body), 2),
        "    }",
        "}",
    ]
    shared = THREADS * max(SIZES[dtype], 4)
    return Kernel("\n".join(lines), tuple(pointers.refs), (columns, rows), columns, 32, (32, parts), shared)
