"""How the matrix products of a loop are laid on a chip: which block keeps which columns of the weights, and
what goes where in its memory.

The rows of a batch are independent of each other: they are divided into groups, each with blocks of its own
that wait for nobody else. Within a group each block computes some columns of every product, and keeps those
columns of the weights in its shared memory from the first step to the last. All here is arithmetic on whole
numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ...lowering.plan import Unsupported
from .chips import Chip

#: Threads and warps of a block.
THREADS, WARPS = 256, 8
#: Rows and columns of a tile that a warp computes at once, and what the length of a sum is rounded up to.
ROWS, COLUMNS, DEPTH = 16, 8, 16
#: Blocks that a cluster surely has room for.
CLUSTER = 8
#: Registers of a thread that may hold sums.
_SUMS = 64
#: Clocks that a barrier takes, of a cluster and by counters in memory; and bytes that a block reads per clock
#: of what others have written. Estimates from what is published of Hopper; they choose between geometries,
#: and what is chosen is measured against the loop step by step.
_CLUSTER_WAIT, _COUNTED_WAIT, _READ = 500, 2000, 32


class Arithmetic(NamedTuple):
    """A way to multiply: the C++ type that does it, the bytes of an element in shared memory and of a sum,
    and products per clock and processor."""

    type: str
    size: int
    sum: int
    rate: int


#: By dtype, and of float32 by precision.
ARITHMETIC = {
    ("float64", ""): Arithmetic("Plain<double>", 8, 8, 32),
    ("float32", "highest"): Arithmetic("Plain<float>", 4, 4, 64),
    ("float32", "tf32"): Arithmetic("Tf32", 4, 4, 256),
    ("float32", "bf16"): Arithmetic("Bfloat16", 2, 4, 512),
    ("bfloat16", ""): Arithmetic("Bfloat16", 2, 4, 512),
    ("float16", ""): Arithmetic("Half", 2, 4, 512),
}


class Tiles(NamedTuple):
    """One product as a block computes it.

    Attributes:
        depth: the length of its sums, rounded up; `chunk`: how much of it is in shared memory at once.
        widths: how many columns a block computes of each of its parts.
        down, across: tiles of its rows, and of its columns taken `wide` at a time.
        shares: warps that each sum a share of the depth.
        lead: the distance between the columns of the weights in shared memory, in elements.
    """

    depth: int
    chunk: int
    widths: tuple[int, ...]
    down: int
    across: int
    wide: int
    shares: int
    lead: int

    @property
    def columns(self) -> int:
        """All columns of a block."""
        return sum(self.widths)

    @property
    def units(self) -> int:
        """Pieces of work for a warp."""
        return self.down * self.across * self.shares


class Geometry(NamedTuple):
    """A loop on a chip.

    Attributes:
        groups: of rows, each with `blocks` blocks; `rows`: of one group.
        tiles: of each product.
        weights: where each product's weights begin in shared memory; `left`, `sums`: where the left operand
            and the sums do; `shared`: its end.
        cluster: whether the blocks of a group are a cluster.
        clocks: what a step takes, by a rough model that is good enough to choose with.
    """

    groups: int
    blocks: int
    rows: int
    tiles: tuple[Tiles, ...]
    weights: tuple[int, ...]
    left: int
    sums: int
    shared: int
    cluster: bool
    clocks: float


class Shape(NamedTuple):
    """A product of a loop: the length of its sums, and how many columns its parts have."""

    depth: int
    parts: tuple[int, ...]


def up(n: int, to: int) -> int:
    """`n` rounded up to a multiple."""
    return -(-n // to) * to


def width(columns: int, blocks: int) -> int:
    """How many columns a block has of so many: whole tiles, and the last blocks may have fewer or none."""
    return up(-(-columns // blocks), COLUMNS)


def lead(depth: int, size: int) -> int:
    """The distance of rows of `depth` elements in shared memory, so that the rows of a tile begin in
    different banks."""
    row = up(depth * size, 128) + 16
    return row // size


def geometry(shapes: Sequence[Shape], rows: int, arithmetic: Arithmetic, chip: Chip) -> Geometry:
    """The best of all geometries by their clocks. Raises Unsupported where none fits."""
    found = min(
        geometries(shapes, rows, arithmetic, chip),
        key=lambda g: (g.clocks, g.groups * g.blocks),
        default=None,
    )
    if found is None:
        kept = sum(lead(up(s.depth, DEPTH), arithmetic.size) * sum(s.parts) * arithmetic.size for s in shapes)
        room = chip.processors * chip.shared
        beside = " together with their operands" if kept < room else ""
        raise Unsupported(
            f"weights of {kept:,} bytes do not fit into shared memory{beside}, which has {room:,} bytes "
            f"on {chip.processors} processors"
        )
    return found


def geometries(shapes: Sequence[Shape], rows: int, arithmetic: Arithmetic, chip: Chip) -> Iterator[Geometry]:
    """Every geometry that fits."""
    tiles = -(-rows // ROWS)
    widest = max(sum(s.parts) for s in shapes)
    for per_group in sorted({-(-tiles // groups) for groups in range(1, tiles + 1)}):
        groups = -(-tiles // per_group)
        for blocks in range(1, min(chip.processors // groups, -(-widest // COLUMNS)) + 1):
            found = _laid(shapes, groups, per_group * ROWS, blocks, arithmetic, chip)
            if found is not None:
                yield found


def _laid(
    shapes: Sequence[Shape], groups: int, rows: int, blocks: int, arithmetic: Arithmetic, chip: Chip
) -> Geometry | None:
    """The geometry of so many groups and blocks, None where it does not fit or the last block has nothing to
    do."""
    if blocks > 1 and all(width(n, blocks) * (blocks - 1) >= n for s in shapes for n in s.parts):
        return None
    size = arithmetic.size
    tiles = [_tiles(s, rows, blocks, size) for s in shapes]
    weights, left = [], 0
    for t in tiles:
        weights.append(left)
        left += up(t.lead * t.columns * size, 128)
    sums = max(up(t.shares * rows * t.columns * arithmetic.sum, 128) for t in tiles)
    room = chip.shared - left - sums
    chunks = [next((c for c in _chunks(t.depth) if lead(c, size) * rows * size <= room), 0) for t in tiles]
    tiles = [t._replace(chunk=c) for t, c in zip(tiles, chunks)]
    if 0 in chunks or any(held(t, arithmetic) > _SUMS for t in tiles):
        return None
    begin = left + max(up(lead(t.chunk, size) * rows * size, 128) for t in tiles)
    cluster = chip.arch >= 90 and 1 < blocks <= CLUSTER
    wait = 0 if blocks == 1 else _CLUSTER_WAIT if cluster else _COUNTED_WAIT
    clocks = sum(wait + rows * t.depth * (size / _READ + t.columns / arithmetic.rate) for t in tiles)
    return Geometry(
        groups, blocks, rows, tuple(tiles), tuple(weights), left, begin, begin + sums, cluster, clocks
    )


def held(t: Tiles, arithmetic: Arithmetic) -> int:
    """Registers of 4 bytes that a thread's sums take: 4 sums of each tile."""
    return -(-t.units // WARPS) * t.wide * 4 * (arithmetic.sum // 4)


def _tiles(shape: Shape, rows: int, blocks: int, size: int) -> Tiles:
    depth = up(shape.depth, DEPTH)
    widths = tuple(width(n, blocks) for n in shape.parts)
    down, tiles = rows // ROWS, sum(widths) // COLUMNS
    wide = next(w for w in (4, 2, 1) if tiles % w == 0 and (down * (tiles // w) >= WARPS or w == 1))
    across = tiles // wide
    shares = 1
    while down * across * shares * 2 <= WARPS and depth % (2 * shares * DEPTH) == 0:
        shares *= 2
    return Tiles(depth, depth, widths, down, across, wide, shares, lead(depth, size))


def _chunks(depth: int) -> Iterator[int]:
    """Lengths of a part of the depth, from all of it down, that divide it into whole tiles for any number of
    shares."""
    yield depth
    step = DEPTH * WARPS
    for c in range(up(depth, step) - step, 0, -step):
        if depth % c == 0:
            yield c
