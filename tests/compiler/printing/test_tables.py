"""Tables for notebooks: well-formed, escaped, and of limited length."""

from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from xgrad.compiler.printing import tables

BAD = "<script>alert('x')</script>"


class Reader(HTMLParser):
    """Reads the rows of a table, and checks that every tag is closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def square(p: Any) -> Any:
    return xg.sum(p[BAD] * p[BAD])


class Net(xg.nn.Module):
    def __init__(self) -> None:
        setattr(self, BAD, xg.zeros(3))


OBJECTS: dict[str, Callable[[], Any]] = {
    "graph": lambda: xg.graph(square, {BAD: np.ones(3)}),
    "program": lambda: xg.trace(square, {BAD: np.ones(3)}),
    "shapes": lambda: xg.trace(square, {BAD: np.ones(3)}).shapes(),
    "derivation": lambda: xg.derive(square, {BAD: np.ones(3)}),
    "module": Net,
}


@pytest.mark.parametrize("name", OBJECTS)
def test_names_are_escaped(name: str) -> None:
    html = OBJECTS[name]()._repr_html_()
    assert "script" not in Reader(html).tags
    assert BAD not in html
    assert "alert" in html


def test_a_graph_has_columns_of_values_and_gradients() -> None:
    def f(x: Any, y: Any) -> Any:
        s = x * y
        return s + x

    g = xg.graph(f, 2.0, 3.0)
    before = Reader(g._repr_html_()).rows
    assert before[1] == ["x", "input", "() float64", "2.", ""]
    g.bprop()
    assert Reader(g._repr_html_()).rows == [
        ["stage", "computed as", "shape and dtype", "value", "gradient"],
        ["x", "input", "() float64", "2.", "4."],
        ["y", "input", "() float64", "3.", "2."],
        ["s", "x * y", "() float64", "6.", "1."],
        ["z2", "s + x", "() float64", "8.", "1."],
    ]
    assert tables.VALUE in g._repr_html_()
    assert tables.GRADIENT in g._repr_html_()


def test_a_program_is_its_listing() -> None:
    program = xg.trace(lambda xs: xg.scan(lambda h, x: (h + x, None), xs[0], xs)[0], np.ones(3))
    rows = Reader(program._repr_html_()).rows
    text = "\n".join(" = ".join(row) for row in rows)
    for line in str(program).splitlines()[1:-1]:
        assert " ".join(line.split()[:3]) in " ".join(text.split())


def test_a_long_graph_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "ROWS", 5)

    def chain(x: Any) -> Any:
        for _ in range(20):
            x = x + 1.0
        return x

    rows = Reader(xg.graph(chain, 1.0)._repr_html_()).rows
    assert len(rows) == 7
    assert rows[-1] == ["and 16 more rows: print shows all"]


def test_a_derivation_is_its_text() -> None:
    derivation = xg.derive(lambda x: x * 2.0, 1.0)
    parts: list[str] = []

    class Text(HTMLParser):
        def handle_data(self, data: str) -> None:
            parts.append(data)

    Text().feed(derivation._repr_html_())
    assert "".join(parts) == str(derivation)
