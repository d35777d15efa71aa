"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable


def line(cells: Iterable[str]) -> str:
    """One row."""
    return f"| {' | '.join(cells)} |"


def rule(columns: int) -> str:
    """What stands under the heading."""
    return "|" + "---|" * columns


def rows(head: Iterable[str], body: Iterable[Iterable[str]]) -> list[str]:
    """The lines of a table, and an empty one after it."""
    head = list(head)
    return [line(head), rule(len(head)), *map(line, body), ""]
