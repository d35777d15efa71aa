"""Modules as text, indented, and as a table for notebooks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from textwrap import fill
from typing import Any

from ..compiler.printing.spelling import shown
from ..compiler.printing.tables import PLAIN, html_table
from ..core.tensor import Tensor

#: Lines are broken here.
WIDTH = 100
#: Types of attributes that are written with their values.
_WRITTEN = (bool, int, float, complex, str)


def text(module: Any, kind: type) -> str:
    """The tree of a module: its parameters with their shapes, its submodules, and what else it was made with.

    `kind` is the class of all modules.
    """
    return _Text(module, kind).written(module, "", (), 0)


class _Text:
    """Writes one module."""

    def __init__(self, module: Any, kind: type) -> None:
        self.kind = kind
        self.first: dict[int, str] = {}  # the first place of each Tensor
        for path, x in _tensors(module, kind, frozenset()):
            self.first.setdefault(id(x), ".".join(path))
        self.around: list[int] = []  # the containers that are being written, as one may be inside of itself
        self.about = _about(_tensors(module, kind, frozenset()))
        self.mixed = "," in self.about

    def written(self, value: Any, label: str, path: tuple[str, ...], depth: int) -> str:
        """A Tensor, or a container with all that is in it."""
        if isinstance(value, Tensor):
            return self._tensor(value, label, ".".join(path))
        parts = [*self._own(value, path)]
        self.around.append(id(value))
        inner = [
            (name, self.written(v, f"{shown(name)}: ", (*path, name), depth + 1))
            for name, v in _items(value, self.kind)
            if not isinstance(v, Tensor) and id(v) not in self.around and _holds(v, self.kind)
        ]
        self.around.pop()
        start, end = _brackets(value)
        pad = "  " * (depth + 1)
        if not inner:
            line = f"{'  ' * depth}{label}{start}{', '.join(parts)}{end}"
            return line if len(line) <= WIDTH else _wrapped(line, "", pad)
        lines = [f"{'  ' * depth}{label}{start}"]
        if parts:
            lines.append(_wrapped(", ".join(parts), pad, pad))
        return "\n".join([*lines, *_collapsed(inner), f"{'  ' * depth}{end}"])

    def _own(self, value: Any, path: tuple[str, ...]) -> Iterator[str]:
        """What is written in the line of a container: counts, plain attributes and Tensors."""
        if isinstance(value, self.kind):
            about = f", {self.about}" if not path and self.about else ""
            yield f"{_count(_tensors(value, self.kind, frozenset()))}{about}"
            for name, v in vars(value).items():
                if type(v) in _WRITTEN and not name.startswith("_"):
                    yield f"{shown(name)}={shown(repr(v))}"
        for name, v in _items(value, self.kind):
            if isinstance(v, Tensor):
                yield self._tensor(v, f"{shown(name)}: ", ".".join((*path, name)))

    def _tensor(self, x: Tensor, label: str, path: str) -> str:
        if self.first[id(x)] != path:
            return f"{label}tied to {shown(self.first[id(x)])}"
        return f"{label}{x.shape}{f' {_dtype(x)}' if self.mixed else ''}"


def _wrapped(line: str, first: str, others: str) -> str:
    """Break a line after commas, except those in shapes."""
    whole = re.sub(r"(: )?\([\d, ]*\)", lambda shape: shape[0].replace(" ", "\N{NO-BREAK SPACE}"), line)
    broken = fill(whole, WIDTH, initial_indent=first, subsequent_indent=f"{others}  ", break_long_words=False)
    return broken.replace("\N{NO-BREAK SPACE}", " ")


def _collapsed(parts: Sequence[tuple[str, str]]) -> Iterator[str]:
    """The texts of submodules; neighbours in a list that are equal but for their index are written once."""

    def rest(part: tuple[str, str]) -> str:
        name, written = part
        return written.replace(f"{shown(name)}: ", ": ", 1) if name.isdecimal() else written

    for same, group in groupby(parts, key=rest):
        names = [name for name, _ in group]
        if len(names) == 1 or not names[0].isdecimal():
            yield same.replace(": ", f"{shown(names[0])}: ", 1) if names[0].isdecimal() else same
        else:
            yield same.replace(": ", f"{names[0]} to {names[-1]}: each ", 1)


def table(module: Any, kind: type) -> str:
    """The parameters of a module as HTML: name, shape, dtype, and number of elements."""
    first: dict[int, str] = {}
    rows = []
    for path, x in _tensors(module, kind, frozenset()):
        name = ".".join(path)
        same = first.setdefault(id(x), name)
        rows.append([name, str(x.shape), _dtype(x), f"{x.size:,}" if same == name else f"tied to {same}"])
    total = _count(_tensors(module, kind, frozenset()))
    columns = [(heading, PLAIN) for heading in ("parameter", "shape", "dtype", "elements")]
    return html_table(columns, rows, list, f"{type(module).__name__}: {total}")


def _items(value: Any, kind: type) -> list[tuple[str, Any]]:
    """The parts of a container by name."""
    if isinstance(value, kind):
        return list(vars(value).items())
    if isinstance(value, dict):
        return [(str(key), v) for key, v in value.items()]
    return [(str(i), v) for i, v in enumerate(value)] if isinstance(value, list | tuple) else []


def _tensors(value: Any, kind: type, around: frozenset[int]) -> Iterator[tuple[tuple[str, ...], Tensor]]:
    """Each Tensor with its path; a container inside of itself is left out."""
    if isinstance(value, Tensor):
        yield (), value
    elif id(value) not in around:
        for name, part in _items(value, kind):
            for path, x in _tensors(part, kind, around | {id(value)}):
                yield (name, *path), x


def _holds(value: Any, kind: type) -> bool:
    return isinstance(value, kind) or next(_tensors(value, kind, frozenset()), None) is not None


def _brackets(value: Any) -> tuple[str, str]:
    if isinstance(value, dict):
        return "{", "}"
    if isinstance(value, list):
        return "[", "]"
    return ("(" if type(value) is tuple else f"{type(value).__name__}("), ")"


def _count(tensors: Iterator[tuple[tuple[str, ...], Tensor]]) -> str:
    """The number of elements, those of tied parameters once."""
    n = sum({id(x): x.size for _, x in tensors}.values())
    return f"{n:,} parameter{'s' * (n != 1)}"


def _about(tensors: Iterator[tuple[tuple[str, ...], Tensor]]) -> str:
    """The dtypes, and the devices if one is not the CPU."""
    found = [x for _, x in tensors]
    dtypes = ", ".join(dict.fromkeys(map(_dtype, found)))
    devices = ", ".join(dict.fromkeys(str(x.device) for x in found if x.device.name != "cpu"))
    return f"{dtypes} on {devices}" if devices else dtypes


def _dtype(x: Tensor) -> str:
    return str(x.data.dtype if hasattr(x.data, "tracer") else x.dtype)
