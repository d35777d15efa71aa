"""Tables and texts as HTML, which notebooks show. Everything is escaped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from .spelling import shown

#: The colours of values and of gradients; both can be read on white and on black.
VALUE, GRADIENT, PLAIN = "#1f8a3b", "#d0453e", "inherit"
#: A notebook shows this many rows of a table at most.
ROWS = 1000

_CELL = (
    "text-align:left;white-space:pre;font-family:monospace;padding:1px 12px 1px 0;border:0;vertical-align:top"
)


def html_table(
    columns: Sequence[tuple[str, str]],
    items: Sequence[Any],
    cells: Callable[[Any], Sequence[str]],
    caption: str = "",
) -> str:
    """A table with a row for each item, of which `cells` gives the texts.

    Each column is given as its heading and the colour of its text. The first ROWS items are shown.
    """
    head = "".join(f'<th style="{_CELL};font-weight:bold">{escape(heading)}</th>' for heading, _ in columns)
    lines = []
    for item in items[:ROWS]:
        parts = zip(cells(item), columns, strict=True)
        lines.append(
            "".join(
                f'<td style="{_CELL};color:{colour}">{escape(shown(text))}</td>'
                for text, (_, colour) in parts
            )
        )
    if len(items) > ROWS:
        more = f"and {len(items) - ROWS} more rows: print shows all"
        lines.append(f'<td style="{_CELL}" colspan="{len(columns)}">{more}</td>')
    title = f'<caption style="{_CELL};caption-side:top">{escape(shown(caption))}</caption>' if caption else ""
    body = "".join(f'<tr style="background:none">{line}</tr>' for line in lines)
    return (
        f'<table style="border-collapse:collapse">{title}'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def html_text(text: str) -> str:
    """A text in which every space counts, such as code."""
    return f'<pre style="margin:0;background:none">{escape(text)}</pre>'
