"""Drawings as SVG: every box at its place, the wires between them, and the frames of open groups."""

from __future__ import annotations

import textwrap
from collections.abc import Collection
from html import escape

from .box_svg import LINE, Boxes, short, text_svg, tip_svg
from .layout import HEAD, PAD, Composed, Placed, compose, levels
from .model import Box, Picture
from .style import STYLE

#: Left, top, width, height.
Rectangle = tuple[float, float, float, float]

MARGIN = 16


class Writer:
    """Writes the parts of a picture. A box is drawn at its own origin, and moved to its place."""

    def __init__(self, picture: Picture) -> None:
        self.source = picture
        self.levels = levels(picture)
        self.boxes = Boxes()
        self.notes = list(picture.notes)
        if any(level.left_out for level in self.levels):
            self.notes.append("where many time steps lead into one box, only the wire of the last is drawn")

    def picture(self, open_groups: Collection[int]) -> str:
        """The whole picture."""
        whole = compose(self.levels, 0, frozenset(open_groups), self.boxes.size)
        where: dict[int, Rectangle] = {}
        parts = self._group(whole, MARGIN, MARGIN, where)
        parts += self._back(where)
        room = max(60, int(whole.width / 6))
        notes = [line for note in self.notes for line in textwrap.wrap(note, room)]
        below = MARGIN + whole.height + 18 + LINE
        lines = [text_svg(MARGIN, below + LINE * i, note, "dim") for i, note in enumerate(notes)]
        lines.append(_legend(MARGIN, below - LINE, self.source.boxes))
        longest = max((len(note) * 5.4 for note in notes), default=0.0)
        width = max(whole.width, longest, 150) + 2 * MARGIN
        height = whole.height + 2 * MARGIN + 8 + LINE * (1 + len(notes))
        title = self.source.title or "computation"
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="xg-p" role="img" width="{width:.0f}" '
            f'height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}">'
            f"<title>{escape(title)}</title><style>{STYLE}</style>"
            f'<rect class="paper" width="100%" height="100%"/>{"".join(parts)}{"".join(lines)}</svg>'
        )

    def _group(self, group: Composed, x: float, y: float, where: dict[int, Rectangle]) -> list[str]:
        """The wires and boxes of a group whose left and top are at (x, y)."""
        parts = [self._wire(*path, x, y) for path in group.paths]
        for p in group.placed:
            box, left, top = p.item.box, x + p.x, y + p.y
            if not p.item.outside:
                where[box.id] = (left, top, p.width, p.height)
            if p.inside is not None:
                parts.append(f'<g transform="translate({left:.1f} {top:.1f})">{self.frame(p)}</g>')
                parts += self._group(p.inside, left + PAD, top + PAD + HEAD, where)
            else:
                drawn = self.boxes.item(p.item)
                parts.append(f'<g class="box" transform="translate({left:.1f} {top:.1f})">{drawn}</g>')
        return parts

    def _wire(self, start: Placed, end: Placed, bends: list[tuple[float, float]], x: float, y: float) -> str:
        """A wire from the right of one item to the left of another, through the bends between."""
        points = [
            (start.x + start.width, start.y + port(start)),
            *bends,
            (end.x, end.y + port(end)),
        ]
        points = [(a + x, b + y) for a, b in points]
        kind = " carry" if self._carries(start.item.box, end.item.box) else ""
        return f'<path class="wire{kind}" d="{curve(points)}"/>'

    def _carries(self, start: Box, end: Box) -> bool:
        """Whether a wire goes from one time step to the next."""
        return all(b.opens is not None and self.source.groups[b.opens].kind == "step" for b in (start, end))

    def _back(self, where: dict[int, Rectangle]) -> list[str]:
        """The wires of a loop from the next carry back to the carry, below what is between."""
        parts = []
        for i, (after, before) in enumerate(self.source.back):
            if after.id not in where or before.id not in where:
                continue
            beside = [r for n, r in where.items() if self.source.boxes[n].group == after.group]
            low = max(top + height for _, top, _, height in beside) + 4 + 4 * i
            left, top, width, height = where[after.id]
            right, y = left + width, top + height / 2
            to, to_top, _, to_height = where[before.id]
            end = to_top + to_height / 2
            path = f"M{right:.0f} {y:.0f}C{right + 12:.0f} {y:.0f} {right + 12:.0f} {low:.0f} "
            path += f"{right:.0f} {low:.0f}"
            path += f"L{to:.0f} {low:.0f}C{to - 12:.0f} {low:.0f} {to - 12:.0f} {end:.0f} {to:.0f} {end:.0f}"
            tip = tip_svg(f"{before.name} of the next step")
            parts.append(f'<path class="wire back" d="{path}">{tip}</path>')
        return parts

    def frame(self, p: Placed) -> str:
        """An open group's frame and title."""
        box = p.item.box
        assert box.opens is not None
        unnamed = self.levels[box.opens].unnamed
        also = f", reads {', '.join(unnamed)}" if unnamed else ""
        title = f"{box.name}{': ' + box.expression if box.kind != 'group' else ''}{also}"
        room = int(p.width / 7)
        return (
            f'<rect class="frame" width="{p.width:.0f}" height="{p.height:.0f}" rx="10"/>'
            f"{text_svg(10, 17, short(title, max(room, 8)), 'head')}{tip_svg(title)}"
        )


def port(p: Placed) -> float:
    """How far below its top an item's wires end: in its middle, or that of an open group's inside."""
    return p.height / 2 if p.inside is None else (p.height + HEAD) / 2


def curve(points: list[tuple[float, float]]) -> str:
    """A smooth path: straight across each column, curved between columns."""
    (x, y), *others = points
    text = f"M{x:.1f} {y:.1f}"
    for i, (a, b) in enumerate(others):
        if (i % 2 and i < len(others) - 1) or b == y:
            text += f"L{a:.1f} {b:.1f}"
        else:
            text += f"C{(x + a) / 2:.1f} {y:.1f} {(x + a) / 2:.1f} {b:.1f} {a:.1f} {b:.1f}"
        x, y = a, b
    return text


def _legend(x: float, y: float, boxes: list[Box]) -> str:
    """A line that says what the colours of the numbers mean."""
    parts = []
    if any(box.value is not None for box in boxes):
        parts.append('<tspan class="value">value</tspan>')
    if any(box.grad is not None for box in boxes):
        parts.append('<tspan class="grad">gradient</tspan>')
    if parts and any(box.shape for box in boxes):
        parts.append("large arrays: min | mean | max")
    return f'<text x="{x}" y="{y:.1f}" class="dim">{" · ".join(parts)}</text>' if parts else ""
