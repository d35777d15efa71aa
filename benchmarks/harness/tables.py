"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable


def line(cells: Iterable[str]) -> str:
    """One row."""
    return f"| {' | '.join(cells)} |"


def rule(columns: int) -> str:
    """The separator line below the heading."""
    return "|" + "---|" * columns


def rows(head: Iterable[str], body: Iterable[Iterable[str]]) -> list[str]:
    """The lines of a table, followed by an empty line."""
    head = list(head)
    return [line(head), rule(len(head)), *map(line, body), ""]
