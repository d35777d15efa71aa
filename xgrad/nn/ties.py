"""Tied parameters: a Tensor that a module has in several places is one leaf of its tree.

Flattening a module replaces all places but the first by a `Tie`; unflattening fills them with the value at
the first. So the gradient of a tied parameter is the sum over all places, an optimiser updates it once, and
mapping over a module keeps it tied.
"""

from __future__ import annotations

import copy
from typing import Any

from ..core import pytree
from ..core.tensor import Tensor

Path = tuple[Any, ...]


class Tie:
    """Placeholder for the value at `path` from the root of the module."""

    __slots__ = ("path",)

    def __init__(self, path: Path) -> None:
        self.path = path

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tie) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    def __repr__(self) -> str:
        return f"Tie({'.'.join(map(str, self.path))})"


for now in (False, True):
    pytree.register(Tie, lambda tie: ((), tie.path, ()), lambda path, _: Tie(path), now=now)


def holds(value: Any, module: type, seen: set[int]) -> tuple[bool, bool]:
    """Whether a value contains Tensors, modules or ties, and whether a Tensor was `seen` before."""
    if isinstance(value, module):
        dynamic, inner = True, vars(value).values()
    elif isinstance(value, dict):
        dynamic, inner = False, value.values()
    elif isinstance(value, list | tuple):
        dynamic, inner = False, value  # type: ignore[assignment]
    else:
        return isinstance(value, Tensor | Tie), False
    tied = False
    for part in inner:
        if isinstance(part, Tensor):
            dynamic, tied = True, tied or id(part) in seen
            seen.add(id(part))
        elif part is not None and type(part) is not int:
            has, again = holds(part, module, seen)
            dynamic, tied = dynamic or has, tied or again
    return dynamic, tied


def found(root: Any, module: type) -> list[tuple[Path, Path]]:
    """Repeated places of Tensors in the module, each with the first place of its Tensor."""
    first: dict[int, Path] = {}
    ties: list[tuple[Path, Path]] = []

    def visit(value: Any, path: Path) -> None:
        if isinstance(value, Tensor):
            if first.setdefault(id(value), path) != path:
                ties.append((path, first[id(value)]))
            return
        items = (
            vars(value).items()
            if isinstance(value, module)
            else value.items()
            if isinstance(value, dict)
            else ()
        )
        for key, part in enumerate(value) if isinstance(value, list | tuple) else items:
            visit(part, (*path, key))

    visit(root, ())
    return ties


def at(value: Any, path: Path) -> Any:
    """The part of `value` at a path."""
    for key in path:
        value = value[key] if isinstance(value, dict | list | tuple) else vars(value)[key]
    return value


def replaced(value: Any, path: Path, part: Any) -> Any:
    """A copy of `value` with `part` at a path; everything off the path is shared."""
    if not path:
        return part
    key, rest = path[0], path[1:]
    if isinstance(value, tuple):
        parts = [replaced(v, rest, part) if i == key else v for i, v in enumerate(value)]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if isinstance(value, dict | list):
        twin = copy.copy(value)
        twin[key] = replaced(value[key], rest, part)
        return twin
    twin = object.__new__(type(value))
    vars(twin).update(vars(value))
    vars(twin)[key] = replaced(vars(value)[key], rest, part)
    return twin
