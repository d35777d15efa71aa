"""Tests of how the products of a loop are distributed over a chip.

For many shapes and chips: ownership of rows and columns, and what fits into memory.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xgrad.compiler.codegen.cuda import geometry as g
from xgrad.compiler.codegen.cuda.chips import CHIPS, Chip
from xgrad.compiler.lowering.plan import Unsupported

SMALL = [
    Chip("one", 80, 1, 49152, 1024),
    Chip("few", 80, 6, 24576, 1024),
    Chip("many", 90, 40, 16384, 2048),
    Chip("cluster", 90, 9, 65536, 1024),
]
chips = st.sampled_from([*CHIPS.values(), *SMALL])
arithmetics = st.sampled_from(list(g.ARITHMETIC.values()))
lengths = st.one_of(st.integers(1, 70), st.sampled_from([96, 127, 128, 256, 300, 512, 1024]))
shapes = st.lists(
    st.builds(g.Shape, lengths, st.lists(lengths, min_size=1, max_size=3).map(tuple)), min_size=1, max_size=3
)
batches = st.one_of(st.integers(1, 70), st.sampled_from([128, 200, 512]))


def check(at: g.Geometry, products: list[g.Shape], rows: int, how: g.Arithmetic, chip: Chip) -> None:
    """Check everything that a kernel relies on."""
    # rows: whole tiles, every row in one group, and no empty group
    assert at.rows % g.ROWS == 0
    assert (at.groups - 1) * at.rows < rows <= at.groups * at.rows
    assert at.groups * at.blocks <= chip.processors  # all wait for each other, so all must be resident
    assert at.cluster == (chip.arch >= 90 and 1 < at.blocks <= g.CLUSTER)
    for shape, tiles in zip(products, at.tiles, strict=True):
        check_columns(shape, tiles, at.blocks)
        check_units(tiles, at.rows)
        check_depth(shape, tiles, how)
        assert g.held(tiles, how) <= 64
    check_memory(at, how, chip)


def check_columns(shape: g.Shape, tiles: g.Tiles, blocks: int) -> None:
    """Every column of every part belongs to one block; a block's columns are adjacent, in whole tiles."""
    for n, w in zip(shape.parts, tiles.widths, strict=True):
        assert w % g.COLUMNS == 0
        ranges = [(rank * w, min((rank + 1) * w, n)) for rank in range(blocks)]
        owners = [[rank for rank, (start, stop) in enumerate(ranges) if start <= c < stop] for c in range(n)]
        assert owners == [[c // g.width(n, blocks)] for c in range(n)]


def check_units(tiles: g.Tiles, rows: int) -> None:
    """The units of all warps cover each tile once for each split of the depth."""
    assert tiles.down * g.ROWS == rows
    assert tiles.across * tiles.wide * g.COLUMNS == tiles.columns
    found = []
    for warp in range(g.WARPS):
        for u in range(-(-tiles.units // g.WARPS)):
            unit = warp + u * g.WARPS
            if unit < tiles.units:
                tile = unit // tiles.shares
                found += [
                    (tile // tiles.across, tile % tiles.across * tiles.wide + w, unit % tiles.shares)
                    for w in range(tiles.wide)
                ]
    assert sorted(found) == [
        (i, j, k)
        for i in range(tiles.down)
        for j in range(tiles.across * tiles.wide)
        for k in range(tiles.shares)
    ]


def check_depth(shape: g.Shape, tiles: g.Tiles, how: g.Arithmetic) -> None:
    """Chunks divide the depth, and each split of a chunk is a whole number of steps of the arithmetic."""
    assert shape.depth <= tiles.depth < shape.depth + g.DEPTH
    assert tiles.depth % tiles.chunk == 0
    assert tiles.chunk % (tiles.shares * g.DEPTH) == 0
    assert tiles.lead >= tiles.depth
    assert tiles.lead * how.size % 16 == 0  # vector loads start at the beginning of every column
    banks = [tiles.lead * how.size * row // 16 % 8 for row in range(8)]
    assert sorted(banks) == list(range(8))


def check_memory(at: g.Geometry, how: g.Arithmetic, chip: Chip) -> None:
    """Weights, left operand and sums lie one after another, within the chip's limit."""
    regions = [(start, t.columns * t.lead * how.size) for start, t in zip(at.weights, at.tiles, strict=True)]
    regions.append((at.left, max(at.rows * g.lead(t.chunk, how.size) * how.size for t in at.tiles)))
    regions.append((at.sums, max(t.shares * at.rows * t.columns * how.sum for t in at.tiles)))
    end = 0
    for start, size in regions:
        assert start >= end
        assert start % 128 == 0
        end = start + size
    assert end <= at.shared <= chip.shared


@given(shapes, batches, arithmetics, chips)
def test_every_geometry_is_sound(products: list[g.Shape], rows: int, how: g.Arithmetic, chip: Chip) -> None:
    found = list(g.geometries(products, rows, how, chip))
    for at in found[:: max(1, len(found) // 12)]:
        check(at, products, rows, how, chip)
    if found:
        best = g.geometry(products, rows, how, chip)
        assert best in found
        assert best.clocks == min(at.clocks for at in found)
    else:
        with pytest.raises(Unsupported, match=r"weights of [\d,]+ bytes"):
            g.geometry(products, rows, how, chip)


@given(shapes, batches, arithmetics, chips)
def test_no_block_is_without_work(products: list[g.Shape], rows: int, how: g.Arithmetic, chip: Chip) -> None:
    for at in list(g.geometries(products, rows, how, chip))[:20]:
        last = at.blocks - 1
        assert any(last * w < n for s, t in zip(products, at.tiles) for n, w in zip(s.parts, t.widths))


@pytest.mark.parametrize("chip", CHIPS.values(), ids=lambda c: c.name)
@pytest.mark.parametrize("precision", ["highest", "tf32", "bf16"])
def test_gated_units_of_usual_sizes_fit(chip: Chip, precision: str) -> None:
    how = g.ARITHMETIC["float32", precision]
    for hidden, batch in ((256, 16), (256, 64), (256, 128)):
        products = [g.Shape(hidden, (hidden, hidden)), g.Shape(hidden, (hidden,))]
        at = g.geometry(products, batch, how, chip)
        check(at, products, batch, how, chip)
        assert at.groups * at.blocks > 1


@given(st.integers(1, 3000), st.integers(1, 200))
def test_widths_are_whole_tiles_that_reach_all_columns(columns: int, blocks: int) -> None:
    w = g.width(columns, blocks)
    assert w % g.COLUMNS == 0
    assert w * blocks >= columns
    assert w - g.COLUMNS < -(-columns // blocks)


@pytest.mark.parametrize("how", g.ARITHMETIC.values(), ids=lambda a: a.type)
def test_little_memory_makes_chunks_and_short_depth_does_not(how: g.Arithmetic) -> None:
    products: list[Any] = [g.Shape(1024, (16,))]
    whole = next(iter(g.geometries(products, 16, how, Chip("roomy", 80, 1, 10**6, 1024))))
    assert whole.tiles[0].chunk == 1024
    tight = next(iter(g.geometries(products, 16, how, Chip("tight", 80, 1, whole.shared - 128, 1024))))
    assert tight.tiles[0].chunk < 1024
    assert tight.tiles[0].chunk % 128 == 0


def test_what_fits_nowhere_is_refused_with_its_size() -> None:
    with pytest.raises(
        Unsupported,
        match=(
            r"weights of 4,\d{3},\d{3} bytes do not fit into shared memory, which has 49,152 bytes on 1 "
            r"processors"
        ),
    ):
        g.geometry([g.Shape(1024, (1024,))], 16, g.ARITHMETIC["float32", "highest"], SMALL[0])
    # all of the memory, but not a whole number of tiles
    with pytest.raises(Unsupported, match="together with their operands, which has"):
        g.geometry(
            [g.Shape(512, (512, 512)), g.Shape(512, (512,))],
            64,
            g.ARITHMETIC["float32", "highest"],
            CHIPS["L4"],
        )
