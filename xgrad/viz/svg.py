"""Drawings as SVG: gates as circles, with values in green above their wires and gradients in red below."""

from __future__ import annotations

import linecache
import re
import textwrap
from collections.abc import Collection
from functools import lru_cache
from html import escape
from pathlib import Path

from ..compiler.printing.spelling import shown
from .arrays import Summary, heat_map, summary
from .layout import HEAD, PAD, Composed, Item, Placed, compose, levels
from .model import Box, Picture

#: Left, top, width, height.
Rectangle = tuple[float, float, float, float]

#: A stage that has no variable's name.
NUMBERED = re.compile(r"z\d+")

MARGIN, LINE, CHAR = 16, 14, 6.6

#: One style for the picture alone and in a page; a picture is light or dark as its reader's system is.
STYLE = """
.xg-p{font-family:Helvetica,Arial,'DejaVu Sans',sans-serif;font-size:12px}
.xg-p .paper{fill:#fff}.xg-p text{fill:#1f2328}
.xg-p .wire{fill:none;stroke:#6e7781;stroke-width:1.2}
.xg-p .carry{stroke:#8250df;stroke-width:2.2}.xg-p .back{stroke:#8250df;stroke-dasharray:5 4}
.xg-p .gate{fill:#eef3fb;stroke:#31527a;stroke-width:1.3}
.xg-p .card{fill:#f6f8fa;stroke:#8c959f}.xg-p .input{fill:#fff8e6;stroke:#b08800}
.xg-p .closed{fill:#f3effd;stroke:#8250df;stroke-width:1.3}
.xg-p .frame{fill:#8250df;fill-opacity:.05;stroke:#8250df;stroke-dasharray:2 3}
.xg-p .outside{fill:none;stroke:#8c959f;stroke-dasharray:3 3}
.xg-p .name{font-style:italic}.xg-p .head{font-weight:bold}
.xg-p .value{fill:#0a7d33}.xg-p .grad{fill:#c0262d}.xg-p .dim{fill:#57606a;font-size:10px}
.xg-p .heat{image-rendering:pixelated}
@media (prefers-color-scheme:dark){
.xg-p .paper{fill:#0d1117}.xg-p text{fill:#e6edf3}.xg-p .wire{stroke:#848d97}
.xg-p .gate{fill:#16243a;stroke:#79a8e8}.xg-p .card{fill:#161b22;stroke:#6e7681}
.xg-p .input{fill:#2b2411;stroke:#d4a72c}.xg-p .closed{fill:#231a38;stroke:#a884f3}
.xg-p .frame{stroke:#a884f3}.xg-p .carry,.xg-p .back{stroke:#a884f3}
.xg-p .value{fill:#4ac26b}.xg-p .grad{fill:#ff7b72}.xg-p .dim{fill:#9198a1}
}
"""


class Writer:
    """Writes the parts of a picture. A box is drawn at its own origin, and moved to its place."""

    def __init__(self, picture: Picture) -> None:
        self.source = picture
        self.levels = levels(picture)
        self.summary = lru_cache(None)(self._summary)
        self.notes = list(picture.notes)
        if any(level.left_out for level in self.levels):
            self.notes.append("where many time steps lead into one box, only the wire of the last is drawn")

    def picture(self, open_groups: Collection[int]) -> str:
        """The whole picture."""
        whole = compose(self.levels, 0, frozenset(open_groups), self.size)
        where: dict[int, Rectangle] = {}
        parts = self._group(whole, MARGIN, MARGIN, where)
        parts += self._back(where)
        room = max(60, int(whole.width / 6))
        notes = [line for note in self.notes for line in textwrap.wrap(note, room)]
        below = MARGIN + whole.height + 18
        lines = [_text(MARGIN, below + LINE * i, note, "dim") for i, note in enumerate(notes)]
        longest = max((len(note) * 5.4 for note in notes), default=0.0)
        width = max(whole.width, longest, 120) + 2 * MARGIN
        height = whole.height + 2 * MARGIN + 8 + LINE * len(notes)
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
                parts.append(
                    f'<g class="box" transform="translate({left:.1f} {top:.1f})">{self.item(p.item)}</g>'
                )
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
            tip = _title(f"{before.name} of the next step")
            parts.append(f'<path class="wire back" d="{path}">{tip}</path>')
        return parts

    # One item

    def _summary(self, box: Box, grad: bool) -> Summary | None:
        x = box.grad if grad else box.value
        return None if x is None else summary(x)

    def size(self, item: Item) -> tuple[float, float]:
        """The width and height of a box that is not an open group."""
        if item.outside:
            return _width(item.box.name, 7) + 14, 20
        box = item.box
        if self._small(box):
            return self._stem(box) + self._numbers(box), 52
        return self._card(box)

    def _small(self, box: Box) -> bool:
        """Whether a box is drawn as in a circuit, as a circle with one number above and below its wire."""
        return (
            box.shape == ()
            and box.kind != "group"
            and box.opens is None
            and not (box.value is None and box.missing == "")
        )

    def _stem(self, box: Box) -> float:
        if box.kind in ("input", "constant", "port"):
            return _width(box.name, 7) + 8
        return max(38.0, _width(box.sign, 7) + 16)

    def _numbers(self, box: Box) -> float:
        found = [self.summary(box, grad) for grad in (False, True)]
        longest = max((len(line) for s in found if s for line in s.lines), default=0)
        return max(longest, len(box.missing) * 0.8) * CHAR + 10

    def item(self, item: Item) -> str:
        """One box, at its own origin."""
        box = item.box
        if item.outside:
            w, h = self.size(item)
            return (
                f'<rect class="outside" width="{w:.0f}" height="{h:.0f}" rx="10"/>'
                f"{_text(w / 2, 14, _short(box.name), 'name', 'middle')}{_title(box.name + ', from outside')}"
            )
        return self.item_of(box)

    def item_of(self, box: Box, tip: bool = True) -> str:
        """A box at its own origin."""
        return f"{self._tip(box) * tip}{self._circuit(box) if self._small(box) else self._as_card(box)}"

    def _circuit(self, box: Box) -> str:
        """A gate as a circle, or the name of an input, and its wire with the numbers above and below."""
        stem, middle = self._stem(box), 26
        width = stem + self._numbers(box)
        parts = [f'<path class="wire" d="M{stem:.1f} {middle}H{width:.1f}"/>']
        if box.kind in ("input", "constant", "port"):
            name = box.name if box.kind != "constant" else ""
            parts.append(_text(stem - 6, middle + 4, _short(name), "name", "end"))
        else:
            r = 19 if stem <= 38 else 14
            parts.append(
                f'<rect class="gate" y="{middle - 19}" width="{stem:.1f}" height="38" rx="{r}"/>'
                f"{_text(stem / 2, middle + 4, box.sign, '', 'middle')}"
            )
            if not NUMBERED.fullmatch(box.name):
                parts.append(_text(stem / 2, 4, _short(box.name), "dim", "middle"))
        for grad, y in ((False, middle - 6), (True, middle + 15)):
            array = self.summary(box, grad)
            if array is not None:
                parts.append(_text(stem + 5, y, array.lines[0], "grad" if grad else "value"))
            elif not grad and box.missing:
                parts.append(_text(stem + 5, y, box.missing, "dim"))
        return "".join(parts)

    def _lines(self, box: Box) -> list[tuple[str, str]]:
        """The lines of a card above its arrays."""
        found = [(_short(box.name, 30), "head")]
        if box.expression:
            found.append((_short(box.expression, 34), "dim"))
        shape = f"{box.shape} {box.dtype}".strip()
        found.append((f"{shape}{'  ▸ opens' * (box.opens is not None)}", "dim"))
        return found

    def _card(self, box: Box) -> tuple[float, float]:
        """The width and height of a card."""
        width = max(_width(text, 7 if kind == "head" else 5.6) for text, kind in self._lines(box))
        height = LINE * len(self._lines(box)) + 8.0
        heats = 0
        for grad in (False, True):
            array = self.summary(box, grad)
            if array is None:
                continue
            if array.lines:
                height += LINE * len(array.lines)
                width = max(width, *(_width(line, CHAR) for line in array.lines))
            else:
                heats += 1
                width = max(width, _width(array.statistics, 5.4))
                height += LINE
        if heats:
            height += 44
        if box.missing and box.value is None:
            height += LINE
        return max(width, 64) + 16, height + 4

    def _as_card(self, box: Box) -> str:
        """A box with its name, expression, shape, and arrays."""
        width, height = self._card(box)
        kind = "closed" if box.opens is not None else "input" if box.kind in ("input", "constant") else "card"
        parts = [f'<rect class="{kind}" width="{width:.0f}" height="{height:.0f}" rx="6"/>']
        y = 4.0
        for text, style in self._lines(box):
            y += LINE
            parts.append(_text(8, y - 1, text, style))
        if box.missing and box.value is None:
            y += LINE
            parts.append(_text(8, y - 1, box.missing, "dim"))
        x, heat_y, heats = 8.0, y + 6, ""
        tail = []
        for grad in (False, True):
            array, style = self.summary(box, grad), "grad" if grad else "value"
            if array is None:
                continue
            tail += [(line, style) for line in array.lines] or [(array.statistics, style)]
            if not array.lines:
                w = min(max(40.0 * len(array.cells[0]) / len(array.cells), 24), (width - 22) / 2)
                heats += (
                    f'<image class="heat {style}" x="{x:.0f}" y="{heat_y:.0f}" width="{w:.0f}" height="38" '
                    f'preserveAspectRatio="none" href="{heat_map(array.cells, grad)}"/>'
                )
                x += w + 6
        if heats:
            parts.append(heats)
            y += 44
        for line, style in tail:
            y += LINE
            parts.append(_text(8, y, line, style, small=box.shape != ()))
        return "".join(parts)

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
            f"{_text(10, 17, _short(title, max(room, 8)), 'head')}{_title(title)}"
        )

    def _tip(self, box: Box) -> str:
        """What hovering shows: the stage, its array, the local rule, the source line."""
        return _title("\n".join(self.about(box)))

    def about(self, box: Box) -> list[str]:
        """Everything known of a box, a line each."""
        lines = [box.text]
        lines.append(f"{box.shape} {box.dtype}".strip())
        for grad, what in ((False, "value"), (True, f"d{box.name}")):
            array = self.summary(box, grad)
            if array is not None:
                lines.append(f"{what}: {array.text}")
        if box.value is None and box.missing:
            lines.append(f"value: {box.missing}")
        lines += box.rule
        lines.append(source_line(box.source))
        return [line for line in lines if line]


def source_line(source: str) -> str:
    """`cell.py:7: h = tanh(z)` of a file and a line; without folders, as pictures are shown to others."""
    path, _, line = source.rpartition(":")
    if not path or not line.isdigit():
        return ""
    code = linecache.getline(path, int(line)).strip()
    return shown(f"{Path(path).name}:{line}{': ' * bool(code)}{code}")


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


def _width(text: str, each: float) -> float:
    return min(len(text), 34) * each


def _short(text: str, most: int = 24) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _text(x: float, y: float, text: str, kind: str, anchor: str = "", small: bool = False) -> str:
    more = f' text-anchor="{anchor}"' if anchor else ""
    more += ' font-size="10"' if small else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}"{more}>{escape(text)}</text>'


def _title(text: str) -> str:
    return f"<title>{escape(text)}</title>"
