"""Nodes that remember: their value, their operands, the name the user gave them and where it was written."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from .graphs import Node
from .modes import MODE

_PACKAGE = f"{Path(__file__).parent}{os.sep}"


class Recorded(Node):
    """A node with its value. Unlike a plain one, it is there for ops through which no gradient flows, too."""

    __slots__ = ("grad", "name", "needs", "operands", "source", "steps", "value")

    def remember(self, value: Any, operands: list[Any], *, needs: bool, name: str | None = None) -> None:
        """Fill in what the engine itself has no use for. `operands` are nodes, arrays and numbers."""
        self.value = value
        self.operands = operands
        self.needs = needs
        self.name = name
        self.grad: Any = None
        self.steps = MODE.get().steps
        self.source = _source()


def _is_ours(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_PACKAGE)


def _source() -> str:
    """File and line of the user's code that is being run."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_ours(frame):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else "?"


@contextmanager
def names_from_variables() -> Iterator[None]:
    """Give each recorded node the name of the variable that holds it when the user's function returns."""

    def on_event(frame: FrameType, event: str, arg: Any) -> None:
        if event == "return" and not _is_ours(frame):
            for name, value in frame.f_locals.items():
                node = getattr(value, "node", None) if type(value).__module__.startswith("xgrad") else None
                if isinstance(node, Recorded) and node.name is None:
                    node.name = name

    before = sys.getprofile()
    sys.setprofile(on_event)
    try:
        yield
    finally:
        sys.setprofile(before)
