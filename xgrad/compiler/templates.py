"""Templates: plain data, such as a program or a plan, with its numbers taken out.

Two programs that differ only in the sizes of their arrays have the same template. The numbers are integers,
and floats that are integers or their reciprocals, as in a mean over n elements. 0 and 1 stay in the template:
an axis of one element broadcasts, and an empty one needs no work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from .ir import Body
from .keys import exact

#: Larger numbers stay in the template, so that NumPy's integers hold them all.
_LARGEST = 2**53


class Hole:
    """The place of a number in a template: `write` makes of an integer what stood there."""

    def __init__(self, name: str, write: Callable[[int], float]) -> None:
        self.name, self.write = name, write

    def __repr__(self) -> str:
        return self.name


WHOLE, FLOAT, RECIPROCAL = Hole("int", int), Hole("float", float), Hole("1/int", lambda n: 1.0 / n)


class Kept:
    """Anything else, compared exactly: 1, True and 1.0 differ."""

    __slots__ = ("_key", "value")

    def __init__(self, value: Any) -> None:
        self.value, self._key = value, exact(value)

    def __eq__(self, other: object) -> bool:
        return type(other) is Kept and other._key == self._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return repr(self.value)


class Node:
    """Data with parts: `make(parts)` puts it together again."""

    __slots__ = ("kind", "make", "names", "parts")

    def __init__(
        self, kind: type, names: Any, parts: tuple[Any, ...], make: Callable[[list[Any]], Any]
    ) -> None:
        self.kind, self.names, self.parts, self.make = kind, names, parts, make

    def __eq__(self, other: object) -> bool:
        return (
            type(other) is Node
            and other.kind is self.kind
            and other.names == self.names
            and other.parts == self.parts
        )

    def __hash__(self) -> int:
        return hash((self.kind, self.names, self.parts))


def template(x: Any) -> tuple[Any, list[int]]:
    """Return the template of `x`, and its numbers in order.

    >>> template({"shape": (1, 20), "mean": 1 / 20})[1]
    [20, 20]
    """
    numbers: list[int] = []
    return _without_numbers(x, numbers.append), numbers


def filled(template: Any, numbers: Iterable[int]) -> Any:
    """Return the data with this template and these numbers.

    >>> filled(template({"shape": (1, 20), "mean": 1 / 20})[0], [25, 25])
    {'shape': (1, 25), 'mean': 0.04}
    """
    return _filled(template, iter(numbers))


def has_hole(number: Any) -> bool:
    """Whether the template of a number is a hole."""
    return type(number) in (int, float) and _hole(number)[0] is not None


def _without_numbers(x: Any, note: Callable[[int], None]) -> Any:
    kind = type(x)
    if kind is str or x is None:
        return x
    if kind is int or kind is float:
        hole, number = _hole(x)
        if hole is None:
            return Kept(x)
        note(number)
        return hole
    if kind is Body:  # the same object in many programs
        node, numbers = x.once("template", lambda: template((x.program, x.carries, x.xs)))
        for n in numbers:
            note(n)
        return Node(Body, None, node.parts, lambda parts: replace(x, program=parts[0]))
    names, parts, make = _parts(x)
    if make is None:
        return Kept(x)
    return Node(kind, names, tuple([_without_numbers(v, note) for v in parts]), make)


def _hole(x: float) -> tuple[Hole | None, int]:
    if type(x) is int:
        return (WHOLE, x) if x not in (0, 1) and abs(x) < _LARGEST else (None, 0)
    if 1 < abs(x) < _LARGEST and x == int(x):
        return FLOAT, int(x)
    if 1 / _LARGEST < abs(x) < 1:
        n = round(1 / x)
        if 1.0 / n == x:
            return RECIPROCAL, n
    return None, 0


def _parts(x: Any) -> tuple[Any, Iterable[Any], Callable[[list[Any]], Any] | None]:
    """Return the names of the parts of `x`, the parts, and the function that makes it of them; or None."""
    kind = type(x)
    if kind is tuple or kind is list:
        return None, x, kind
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return None, x, lambda parts: kind(*parts)
    if kind is slice:
        return None, (x.start, x.stop, x.step), lambda parts: slice(*parts)
    if isinstance(x, Mapping):
        names = tuple(x)
        return names, x.values(), lambda parts: dict(zip(names, parts, strict=True))
    if is_dataclass(x) and not isinstance(x, type):
        given = tuple(f.name for f in fields(x) if f.init and f.compare)
        others = {f.name: getattr(x, f.name) for f in fields(x) if f.init and not f.compare and f.repr}
        return given, map(x.__getattribute__, given), lambda parts: kind(**dict(zip(given, parts)), **others)
    return None, (), None


def _filled(x: Any, numbers: Iterator[int]) -> Any:
    kind = type(x)
    if kind is Node:
        return x.make([_filled(part, numbers) for part in x.parts])
    if kind is Hole:
        return x.write(next(numbers))
    return x.value if kind is Kept else x
