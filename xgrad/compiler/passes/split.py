"""Products of joined matrices in loops, split where a part of them need not be in the loop.

In `concat([h, x], axis=1) @ W` only h depends on the step before: as `h @ W[:n] + x @ W[n:]`, the second
product is computed for all steps at once, before the loop. The gradient `dz @ W.T` is split into its slices
in the same way: only the slice that belongs to h is needed by the next step.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import accumulate

from ..ir import Item, Loop, Program, Stage, Value, rewritten
from ..names import Names
from .simplify import slices


def split_products(program: Program) -> Program:
    """Split products of joined matrices in loops; runs before stages are moved out of them."""
    names = Names.beside(program)

    def change(item: Item) -> list[Item]:
        return [_Splitting(item, names).split()] if isinstance(item, Loop) else [item]

    return replace(program, stages=tuple(rewritten(program.stages, change)))


class _Splitting:
    def __init__(self, loop: Loop, names: Names) -> None:
        self.loop, self.names = loop, names
        self.made = {v: s for s in loop.stages if isinstance(s, Stage) for v in s.outputs}
        self.readers: dict[Value, list[Item | None]] = {}
        for s in loop.stages:
            for v in dict.fromkeys(s.values):
                self.readers.setdefault(v, []).append(s)
        for result in loop.results:
            if type(result) is Value:
                self.readers.setdefault(result, []).append(None)
        #: what changes from step to step, what depends on the step before, what the next step needs
        self.varying = _reached(loop.inner, loop.stages)
        self.late = _reached((c.inner for c in loop.carry), loop.stages)
        self.needed = _needed((c.next for c in loop.carry if type(c.next) is Value), loop.stages)

    def split(self) -> Loop:
        """Return the loop with its products split."""
        stages: list[Item] = []
        gone: set[Value] = set()
        for s in self.loop.stages:
            if not isinstance(s, Stage) or not self._is_product(s):
                stages.append(s)
            elif parts := self._parts(s):
                stages += self._sum(s, parts)
            elif cuts := self._cuts(s):
                for cut, (start, stop) in cuts:
                    stages += self._columns(s, cut, start, stop)
                    gone.add(cut.output)
            else:
                stages.append(s)
        return replace(
            self.loop,
            stages=tuple(
                s for s in stages if not (isinstance(s, Stage) and s.op == "getitem" and s.output in gone)
            ),
        )

    def _is_product(self, s: Stage) -> bool:
        """Whether a stage multiplies a matrix that changes by one that stays the same."""
        if s.op != "@" or len(s.values) != 2:
            return False
        a, b = s.values
        same = a.dtype == b.dtype == s.output.dtype
        return same and len(a.shape) == len(b.shape) == 2 and a in self.varying and b not in self.varying

    def _parts(self, s: Stage) -> tuple[Value, ...]:
        """Return the joined parts of a product's left operand, if only some depend on the step before."""
        joined = self.made.get(s.values[0])
        if joined is None or joined.op != "concat" or joined.params["axis"] not in (1, -1):
            return ()
        parts = joined.values
        if len(parts) != len(joined.operands) or any(v.dtype != s.output.dtype for v in parts):
            return ()
        return parts if 0 < sum(v in self.late for v in parts) < len(parts) else ()

    def _sum(self, s: Stage, parts: tuple[Value, ...]) -> list[Item]:
        """Write a product as the sum of those of its left operand's parts."""
        b, out = s.values[1], s.output
        found: list[Item] = []
        total: Value | None = None
        for i, (part, stop) in enumerate(zip(parts, accumulate(v.shape[1] for v in parts))):
            rows = self.names.new((part.shape[1], b.shape[1]), b.dtype)
            key = (slice(stop - part.shape[1], stop), slice(None))
            product = self.names.new(out.shape, out.dtype)
            found += [
                Stage("getitem", (b,), (rows,), {"key": key}, s.source),
                Stage("@", (part, rows), (product,), {}, s.source),
            ]
            if total is not None:
                both = out if i == len(parts) - 1 else self.names.new(out.shape, out.dtype)
                found.append(Stage("+", (total, product), (both,), {}, s.source))
                product = both
            total = product
        return found

    def _cuts(self, s: Stage) -> list[tuple[Stage, tuple[int, int]]]:
        """Return the slices of a product's columns, if nothing else reads it.

        Only where the next step needs some of them and not the others, or nothing needs some columns.
        """
        found = []
        for reader in self.readers.get(s.output, ()):
            if not isinstance(reader, Stage) or reader.op != "getitem" or len(reader.operands) != 1:
                return []
            ranges = slices(reader.params["key"], s.output.shape)
            if ranges is None or ranges[0] != (0, s.output.shape[0]) or len(reader.output.shape) != 2:
                return []
            found.append((reader, ranges[1]))
        some = 0 < sum(r.output in self.needed for r, _ in found) < len(found)
        read = sum(stop - start for _, (start, stop) in found)
        return found if some or 0 < read < s.output.shape[1] else []

    def _columns(self, s: Stage, cut: Stage, start: int, stop: int) -> list[Item]:
        """Write a slice of a product's columns as a product with those columns."""
        a, b = s.values
        columns = self.names.new((b.shape[0], stop - start), b.dtype)
        key = (slice(None), slice(start, stop))
        return [
            Stage("getitem", (b,), (columns,), {"key": key}, s.source),
            Stage("@", (a, columns), (cut.output,), {}, s.source),
        ]


def _reached(start: Iterable[Value], stages: Iterable[Item]) -> set[Value]:
    """Return what depends on any of these values, and the values themselves."""
    found = set(start)
    for s in stages:
        if not found.isdisjoint(s.values):
            found.update(s.outputs)
    return found


def _needed(results: Iterable[Value], stages: tuple[Item, ...]) -> set[Value]:
    """Return what any of these values depends on, and the values themselves."""
    found = set(results)
    for s in reversed(stages):
        if not found.isdisjoint(s.outputs):
            found.update(s.values)
    return found
