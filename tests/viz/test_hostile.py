"""Names and messages that could break out of a picture: no format runs them, and each stays well-formed."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest

import xgrad as xg

EVIL = "</title></script><script>alert(1)</script><img src=x onerror=alert(2)>\"]]>-->'&\0\n\x1b{}\\"


def _named() -> Any:
    x = xg.tensor(2.0, requires_grad=True, name=EVIL)
    with xg.record():
        z = xg.tanh(x) * x
    return xg.draw(xg.graph(z))


def _fails(x: Any) -> Any:
    y = xg.tanh(x)
    raise RuntimeError(f"{y} {EVIL}")


def _titled() -> Any:
    def f(x: Any) -> Any:
        return x * x

    f.__name__ = EVIL
    return xg.draw(f, 2.0)


def _gate() -> Any:
    def f(x: Any) -> Any:
        return x * x

    f.__name__ = EVIL
    return xg.draw(xg.gate(f), 2.0, depth=1)


DRAWINGS = {
    "a name": _named,
    "a key": lambda: xg.draw(lambda d: d[EVIL] * 2.0, {EVIL: 2.0}),
    "a message": lambda: xg.draw(_fails, 1.0),
    "a title": _titled,
    "a gate": _gate,
    "a program": lambda: xg.draw(xg.trace(lambda d: d[EVIL] * 2.0, {EVIL: 2.0})),
    "a long name": lambda: xg.draw(lambda d: d["v" * 5000] * 2.0, {"v" * 5000: 2.0}),
}


@pytest.mark.parametrize("kind", DRAWINGS)
def test_nothing_is_injected(kind: str) -> None:
    drawing = DRAWINGS[kind]()
    elements = {e.tag.rpartition("}")[2] for e in ET.fromstring(drawing.svg()).iter()}
    assert elements <= {"svg", "title", "style", "rect", "g", "path", "text", "tspan", "image"}
    page = drawing.html()
    assert "<img" not in page
    assert page.count("<script") == page.count("</script>") == 2
    for line in drawing.dot().splitlines():
        outside = re.sub(r'"(?:[^"\\]|\\.)*"', "", line)  # without its strings
        assert re.fullmatch(r"[\w {}\[\]=,;>-]*", outside), line
