"""Stages as lines of Python, with loops through time as `for`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..ir import Item, Loop, Operand, Value
from ..names import Names
from .listing import Row, form, operand, option, rows


def code_rows(stages: Iterable[Item], names: Names, depth: int = 0) -> Iterator[Row]:
    """Yield a line for each stage; for a loop, those of a `for` whose counter is not among `names`."""
    for s in stages:
        if isinstance(s, Loop):
            yield from _loop(s, names, depth)
        else:
            yield from rows([s], depth)


def _loop(s: Loop, names: Names, depth: int) -> Iterator[Row]:
    """The lines of a loop. A carry is assigned before it, at the end of each step, and after it."""
    for c in s.carry:
        yield Row(depth, c.inner.name, _array(c.init, c.inner), form(c.inner))
    for y in s.ys:
        shape, dtype = y.outer.shape, y.outer.dtype
        kind = "" if dtype == "float64" else f", dtype={option(dtype)}"
        yield Row(depth, y.outer.name, f"empty({shape}{kind})", form(y.outer))
    t = names.unique("t")
    steps = f"range({s.length})"
    yield Row(depth, "", f"for {t} in {f'reversed({steps})' if s.reverse else steps}:")
    for x in s.xs:
        yield Row(depth + 1, x.inner.name, f"{operand(x.outer).text}[{t}]", form(x.inner))
    yield from code_rows(s.stages, names, depth + 1)
    for y in s.ys:
        yield Row(depth + 1, f"{y.outer.name}[{t}]", operand(y.inner).text)
    moved = [c for c in s.carry if c.next != c.inner]
    if moved:
        after = ", ".join(_array(c.next, c.inner) for c in moved)
        yield Row(depth + 1, ", ".join(c.inner.name for c in moved), after)
    elif not (s.xs or s.stages or s.ys):
        yield Row(depth + 1, "", "pass")
    for c in s.carry:
        if c.final is not None:
            yield Row(depth, c.final.name, c.inner.name, form(c.final))


def _array(v: Operand, like: Value) -> str:
    """A value; a number as an array of the shape of `like`."""
    return operand(v).text if type(v) is Value or not like.shape else f"full({like.shape}, {operand(v).text})"
