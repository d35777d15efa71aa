"""Where everything stands: igraph places the boxes of each group, and open groups make room for themselves.

igraph works with boxes of equal size, once for each group. `compose` then gives each column the width of its
widest box, and moves apart what is above and below an open group. The page does the same in JavaScript.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from .model import Box, Picture

GAP_X, GAP_Y, PAD, HEAD = 44, 16, 14, 24

#: The most places where outside values are named inside of a group, and how often one is.
NAMED, OFTEN = 24, 4

#: The most wires of time steps into one box that are all drawn.
FEW = 8


@dataclass
class Item:
    """What stands in a group: a box, or the name of a value from outside, `of`, beside its user."""

    box: Box
    outside: bool = False
    column: int = 0
    row: float = 0.0


@dataclass
class Level:
    """One group: its items, in columns and rows, and the wires between them with their bends.

    `unnamed` are values from outside that are not drawn inside, `left_out` counts wires that are not drawn.
    `pairs` are the wires before `place` has run, which takes time: it is called for groups that are shown.
    """

    items: list[Item] = field(default_factory=list)
    wires: list[tuple[int, int, list[tuple[int, float]]]] = field(default_factory=list)
    unnamed: list[str] = field(default_factory=list)
    left_out: int = 0
    pairs: list[tuple[int, int]] = field(default_factory=list)
    _is_placed: bool = False

    def place(self) -> Level:
        """Give every item its column and row, and every wire its bends, unless that is done."""
        if self._is_placed or not self.items:
            return self
        igraph = _igraph()
        graph = igraph.Graph(len(self.items), self.pairs, directed=True)
        placed = graph.layout_sugiyama(hgap=1, vgap=1, maxiter=100)
        for item, (row, column) in zip(self.items, placed.coords, strict=True):
            item.column, item.row = round(column), round(row, 3)
        for (start, end), bends in zip(self.pairs, placed.edge_routing, strict=True):
            self.wires.append((start, end, [(round(column), round(row, 3)) for row, column in bends]))
        _keep_apart(self.items)
        self._is_placed = True
        return self


def levels(picture: Picture) -> list[Level]:
    """Every group with its items and wires, which `place` lays out."""
    children = picture.children()
    found = [Level([Item(box) for box in children[number]]) for number in range(len(picture.groups))]
    place = {id(item.box): i for level in found for i, item in enumerate(level.items)}
    wires: list[dict[tuple[int, int], None]] = [{} for _ in found]
    outside: list[dict[tuple[int, int], Box]] = [{} for _ in found]
    for source, box in picture.wires():
        taker, giver = picture.chain(box), {b.group: b for b in picture.chain(source)}
        for end in taker:
            if end.group in giver:  # the innermost group that has both
                if giver[end.group] is not end:
                    wires[end.group][place[id(giver[end.group])], place[id(end)]] = None
                break
            if box.kind != "port" or end is not box:
                outside[end.group][id(source), place[id(end)]] = source
    for number, level in enumerate(found):
        _name_outside(level, outside[number], wires[number])
        level.pairs = _few_into_one(picture, level, wires[number])
    return found


def _few_into_one(
    picture: Picture, level: Level, wires: dict[tuple[int, int], None]
) -> list[tuple[int, int]]:
    """The wires, without those of all time steps but the last into one box, such as a stack of 50 states."""
    steps: dict[int, list[tuple[int, int]]] = {}
    for wire in wires:
        source = level.items[wire[0]].box
        if source.opens is not None and picture.groups[source.opens].kind == "step":
            steps.setdefault(wire[1], []).append(wire)
    left_out = {wire for into in steps.values() if len(into) > FEW for wire in into[:-1]}
    level.left_out = len(left_out)
    return [wire for wire in wires if wire not in left_out]


def _name_outside(
    level: Level, outside: dict[tuple[int, int], Box], wires: dict[tuple[int, int], None]
) -> None:
    """Add the names of values from outside beside the gates that use them, as long as they are few."""
    uses: dict[int, int] = {}
    for source, _ in outside:
        uses[source] = uses.get(source, 0) + 1
    unnamed: dict[str, None] = {}
    many = len(outside) > NAMED
    for (source, i), box in outside.items():
        if level.items[i].box.kind == "group" or (many and uses[source] > OFTEN):
            unnamed[box.name] = None
            continue
        level.items.append(Item(box, outside=True))
        wires[len(level.items) - 1, i] = None
    level.unnamed = list(unnamed)


def _keep_apart(items: list[Item]) -> None:
    """Move down what overlaps with what is above: igraph averages layouts, and may bring two together."""
    below: dict[int, float] = {}
    for item in sorted(items, key=lambda item: item.row):
        item.row = max(item.row, below.get(item.column, item.row))
        below[item.column] = item.row + 1


def _igraph() -> Any:
    try:
        import igraph
    except ImportError as error:
        raise ImportError(
            "pictures are laid out by igraph, which is not installed: pip install 'xgrad[viz]'"
        ) from error
    return igraph


@dataclass
class Placed:
    """An item at its place: left, top, width and height; `inside` if it is a group that is open."""

    item: Item
    x: float
    y: float
    width: float
    height: float
    inside: Composed | None = None


@dataclass
class Composed:
    """A group with everything in it at its place, relative to the group's left and top."""

    width: float
    height: float
    placed: list[Placed]
    paths: list[tuple[Placed, Placed, list[tuple[float, float]]]]


Size = Callable[[Item], tuple[float, float]]


def compose(found: list[Level], number: int, open_groups: Collection[int], size: Size) -> Composed:
    """Place the items of a group, open groups in it included."""
    level = found[number].place()
    inside = [
        compose(found, item.box.opens, open_groups, size)
        if not item.outside and item.box.opens is not None and item.box.opens in open_groups
        else None
        for item in level.items
    ]
    sizes = [
        (c.width + 2 * PAD, c.height + 2 * PAD + HEAD) if c is not None else size(item)
        for item, c in zip(level.items, inside, strict=True)
    ]
    plain = [h for (_, h), c in zip(sizes, inside, strict=True) if c is None]
    unit = max(plain, default=40) + GAP_Y
    left, widths = _columns(level, [w for w, _ in sizes])
    middle = _rows(level, sizes, inside, unit)
    placed = [
        Placed(item, left[item.column], middle(item.column, item.row) - h / 2, w, h, c)
        for item, (w, h), c in zip(level.items, sizes, inside, strict=True)
    ]
    top = min((p.y for p in placed), default=0.0)
    bends = [middle(*point) for _, _, points in level.wires for point in points]
    top = min([top, *bends])
    bottom = max([*(p.y + p.height for p in placed), *bends], default=0.0)
    for p in placed:
        p.y -= top
    paths = []
    for start, end, points in level.wires:
        line: list[tuple[float, float]] = []
        for column, row in points:
            y = middle(column, row) - top
            line += [(left[column], y), (left[column] + widths[column], y)]
        paths.append((placed[start], placed[end], line))
    width = max((left[c] + widths[c] for c in left), default=0.0)
    return Composed(width, bottom - top, placed, paths)


def _columns(level: Level, widths: list[float]) -> tuple[dict[int, float], dict[int, float]]:
    """The left and the width of every column."""
    widest = dict.fromkeys(range(1 + max((item.column for item in level.items), default=-1)), 0.0)
    for item, width in zip(level.items, widths, strict=True):
        widest[item.column] = max(widest[item.column], width)
    left, x = {}, 0.0
    for column, width in widest.items():
        left[column] = x
        x += width + GAP_X
    return left, widest


def _rows(
    level: Level, sizes: list[tuple[float, float]], inside: list[Any], unit: float
) -> Callable[[int, float], float]:
    """The function from a column and a row to its middle: open groups push apart what is in their column."""
    extra: dict[int, list[tuple[float, float]]] = {}
    for item, (_, height), c in zip(level.items, sizes, inside, strict=True):
        if c is not None:
            extra.setdefault(item.column, []).append((item.row, (height + GAP_Y - unit) / 2))

    def middle(column: int, row: float) -> float:
        pushed = (e if row > at else -e if row < at else 0.0 for at, e in extra.get(column, ()))
        return row * unit + sum(pushed)

    return middle
