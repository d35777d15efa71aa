"""One box as SVG: a gate as a circle on its wire, an array as a card, with values green and gradients red."""

from __future__ import annotations

import linecache
import re
from functools import lru_cache
from html import escape
from pathlib import Path

from ..compiler.printing.spelling import shown
from .arrays import Summary, heat_map, summary
from .layout import Item
from .model import Box

#: The names of stages and constants that have no variable's name.
AUTOMATIC = re.compile(r"z\d+(_\d+)?|c(_\d+)?")

LINE, CHAR = 14, 6.6


class Boxes:
    """Draws boxes, each at its own origin."""

    def __init__(self) -> None:
        self.summary = lru_cache(None)(self._summary)

    def _summary(self, box: Box, grad: bool) -> Summary | None:
        x = box.grad if grad else box.value
        return None if x is None else summary(x)

    def size(self, item: Item) -> tuple[float, float]:
        """The width and height of a box that is not an open group."""
        if item.outside:
            return width_of(item.box.name, 7) + 14, 20
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
            return width_of(box.name, 7) + 8
        return max(38.0, width_of(box.sign, 7) + 16)

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
                f"{text_svg(w / 2, 14, short(box.name), 'name', 'middle')}"
                f"{tip_svg(box.name + ', from outside')}"
            )
        return self.item_of(box)

    def item_of(self, box: Box, tip: bool = True) -> str:
        """A box at its own origin; with `tip`, hovering shows all that is known of it."""
        hovering = tip_svg("\n".join(self.about(box))) if tip else ""
        return hovering + (self._circuit(box) if self._small(box) else self._as_card(box))

    def _circuit(self, box: Box) -> str:
        """A gate as a circle, or the name of an input, and its wire with the numbers above and below."""
        stem, middle = self._stem(box), 26
        width = stem + self._numbers(box)
        parts = [f'<path class="wire" d="M{stem:.1f} {middle}H{width:.1f}"/>']
        if box.kind in ("input", "constant", "port"):
            name = "" if box.kind == "constant" and AUTOMATIC.fullmatch(box.name) else short(box.name)
            parts.append(text_svg(stem - 6, middle + 4, name, "name", "end"))
        else:
            r = 19 if stem <= 38 else 14
            parts.append(
                f'<rect class="gate" y="{middle - 19}" width="{stem:.1f}" height="38" rx="{r}"/>'
                f"{text_svg(stem / 2, middle + 4, short(box.sign, 34), '', 'middle')}"
            )
            if not AUTOMATIC.fullmatch(box.name):
                parts.append(text_svg(stem / 2, 4, short(box.name), "dim", "middle"))
        for grad, y in ((False, middle - 6), (True, middle + 15)):
            array = self.summary(box, grad)
            if array is not None:
                parts.append(text_svg(stem + 5, y, array.lines[0], "grad" if grad else "value"))
            elif not grad and box.missing:
                parts.append(text_svg(stem + 5, y, box.missing, "dim"))
        return "".join(parts)

    def _lines(self, box: Box) -> list[tuple[str, str]]:
        """The lines of a card above its arrays. A name that is not the user's is small."""
        last = form(box) + "  ▸ opens" * (box.opens is not None)
        if box.expression and AUTOMATIC.fullmatch(box.name):
            return [(short(box.expression, 30), "head"), (f"{box.name}  {last}", "dim")]
        expression = [(short(box.expression, 34), "dim")] if box.expression else []
        return [(short(box.name, 30), "head"), *expression, (last, "dim")]

    def _card(self, box: Box) -> tuple[float, float]:
        """The width and height of a card."""
        width = max(width_of(text, 7 if kind == "head" else 5.6) for text, kind in self._lines(box))
        height = LINE * len(self._lines(box)) + 8.0
        heats = 0
        for grad in (False, True):
            array = self.summary(box, grad)
            if array is None:
                continue
            if array.lines:
                height += LINE * len(array.lines)
                width = max(width, *(width_of(line, CHAR) for line in array.lines))
            else:
                heats += 1
                width = max(width, width_of(array.statistics, 5.4))
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
            parts.append(text_svg(8, y - 1, text, style))
        if box.missing and box.value is None:
            y += LINE
            parts.append(text_svg(8, y - 1, box.missing, "dim"))
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
            parts.append(text_svg(8, y, line, style, small=box.shape != ()))
        return "".join(parts)

    def about(self, box: Box) -> list[str]:
        """Everything known of a box, a line each."""
        lines = [box.text]
        lines.append(form(box))
        for grad, what in ((False, "value"), (True, f"d{box.name}")):
            array = self.summary(box, grad)
            if array is not None:
                lines.append(f"{what}: {array.text}")
        if box.value is None and box.missing:
            lines.append(f"value: {box.missing}")
        lines += box.rule
        lines.append(source_line(box.source))
        return [line for line in lines if line]


def form(box: Box) -> str:
    """Shape and dtype."""
    return f"{box.shape} {box.dtype}".strip()


def source_line(source: str) -> str:
    """`cell.py:7: h = tanh(z)` of a file and a line; without folders, as pictures are shown to others."""
    path, _, line = source.rpartition(":")
    if not path or not line.isdigit():
        return ""
    code = linecache.getline(path, int(line)).strip()
    return shown(f"{Path(path).name}:{line}{': ' * bool(code)}{code}")


def width_of(text: str, each: float) -> float:
    """The width of a text, of which at most 34 characters are shown."""
    return min(len(text), 34) * each


def short(text: str, most: int = 24) -> str:
    """A text of at most so many characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def text_svg(x: float, y: float, text: str, kind: str, anchor: str = "", small: bool = False) -> str:
    """A line of text."""
    more = f' text-anchor="{anchor}"' if anchor else ""
    more += ' font-size="10"' if small else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}"{more}>{escape(text)}</text>'


def tip_svg(text: str) -> str:
    """What hovering shows."""
    return f"<title>{escape(text)}</title>"
