"""How the matrix products of a loop are mapped to a chip.

The geometry says which block keeps which columns of the weights, and the layout of its shared memory. The
rows of a batch are independent: they are divided into groups, each with its own blocks, which wait for no
other group. Within a group each block computes some columns of every product, and keeps those columns of the
weights in its shared memory from the first step to the last. Everything here is integer arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ...lowering.plan import Unsupported
from .chips import Chip

#: Threads and warps per block.
THREADS, WARPS = 256, 8
#: Rows and columns of a warp tile, and the multiple that the length of a sum is rounded up to.
ROWS, COLUMNS, DEPTH = 16, 8, 16
#: The number of blocks that always fit into a cluster.
CLUSTER = 8
#: Registers of a thread that may hold accumulators.
_SUMS = 64
#: Clock cycles of a cluster barrier and of one by counters in memory; and bytes per cycle that a block reads
#: of other blocks' results. Estimates from published Hopper figures. They rank geometries; the chosen one is
#: measured against running the loop step by step.
_CLUSTER_WAIT, _COUNTED_WAIT, _READ = 500, 2000, 32


class Arithmetic(NamedTuple):
    """A way to multiply.

    Its fields are the C++ type that multiplies, the bytes of an element in shared memory and of an
    accumulator, and products per cycle and multiprocessor.
    """

    type: str
    size: int
    sum: int
    rate: int


#: By dtype, and for float32 by precision.
ARITHMETIC = {
    ("float64", ""): Arithmetic("Plain<double>", 8, 8, 32),
    ("float32", "highest"): Arithmetic("Plain<float>", 4, 4, 64),
    ("float32", "tf32"): Arithmetic("Tf32", 4, 4, 256),
    ("float32", "bf16"): Arithmetic("Bfloat16", 2, 4, 512),
    ("bfloat16", ""): Arithmetic("Bfloat16", 2, 4, 512),
    ("float16", ""): Arithmetic("Half", 2, 4, 512),
}


class Tiles(NamedTuple):
    """The tiling of one product within a block.

    Attributes:
        depth: the length of its sums, rounded up; `chunk`: how much of it is in shared memory at once.
        widths: how many columns a block computes of each of the product's parts.
        down, across: the number of tiles along its rows, and along its columns, `wide` tiles at a time.
        shares: the number of warps that split the depth between them.
        lead: the distance between columns of the weights in shared memory, in elements.
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
        """The number of columns per block."""
        return sum(self.widths)

    @property
    def units(self) -> int:
        """The number of work units for warps."""
        return self.down * self.across * self.shares


class Geometry(NamedTuple):
    """The mapping of a loop to a chip.

    Attributes:
        groups: the number of row groups, each with `blocks` blocks; `rows`: rows per group.
        tiles: the tiling of each product.
        weights: the offset of each product's weights in shared memory; `left`, `sums`: the offsets of the
            left operand and of the sums; `shared`: the total size.
        cluster: whether the blocks of a group form a cluster.
        clocks: the estimated cycles of a step, from a rough model that suffices for choosing.
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
    """A product of a loop: the length of its sums, and the number of columns of each part."""

    depth: int
    parts: tuple[int, ...]


def up(n: int, to: int) -> int:
    """Round `n` up to a multiple."""
    return -(-n // to) * to


def width(columns: int, blocks: int) -> int:
    """Return the columns per block, in whole tiles; the last blocks may have fewer or none."""
    return up(-(-columns // blocks), COLUMNS)


def lead(depth: int, size: int) -> int:
    """Return a row distance in shared memory, for rows of `depth` elements.

    It makes the rows of a tile begin in different banks.
    """
    row = up(depth * size, 128) + 16
    return row // size


def geometry(shapes: Sequence[Shape], rows: int, arithmetic: Arithmetic, chip: Chip) -> Geometry:
    """Return the geometry with the fewest estimated clocks. Raises Unsupported if none fits."""
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
    """Yield every geometry that fits."""
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
    """Return the geometry with this many groups and blocks.

    None if it does not fit, or if the last block would be idle.
    """
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
    """Return the 4-byte registers of a thread's accumulators: 4 for each tile."""
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
    """Yield chunk lengths from the whole depth down.

    Each divides it into whole tiles for any number of shares.
    """
    yield depth
    step = DEPTH * WARPS
    for c in range(up(depth, step) - step, 0, -step):
        if depth % c == 0:
            yield c
