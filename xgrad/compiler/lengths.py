"""Lengths of a scan: native code planned for two lengths serves every length between them.

A body does not depend on the number of steps. So every number in the plan of a scan is linear in the length:
buffer sizes, offsets, strides, loop lengths. The code reads these numbers from a table. If a length and its
double give the same code, that code is right for all lengths between, each number being interpolated
linearly: what fits into a buffer at both ends fits between them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import TYPE_CHECKING

from ..backends.schedules import Buffer
from .caches import Once
from .calls import calls

if TYPE_CHECKING:
    from .lowering.lower import Lowered

#: The place of an output: index of the flat result, start, stop, and shape.
Place = tuple[int, int, int, tuple[int, ...]]


@dataclass(frozen=True)
class Planned:
    """Native code for a program: what is written of it, and the plan's buffers and outputs."""

    text: str
    numbers: tuple[int, ...]
    kernels: str
    buffers: tuple[Buffer, ...]
    outputs: tuple[Place, ...]
    lowered: Lowered | None = field(default=None, compare=False)

    def structure(self) -> tuple[object, ...]:
        """Everything but the numbers."""
        kinds = tuple((b.kind, b.dtype) for b in self.buffers)
        return self.text, len(self.numbers), kinds, tuple((i, len(shape)) for i, _, _, shape in self.outputs)

    def values(self) -> Iterator[int]:
        """Yield the numbers, including those of the buffers and outputs."""
        yield from self.numbers
        yield from (b.size for b in self.buffers)
        for _, start, stop, shape in self.outputs:
            yield from (start, stop, *shape)

    def with_values(self, values: Sequence[int]) -> Planned:
        """Return a copy with other numbers, in the order of `values`."""
        given = iter(values)
        return replace(
            self,
            numbers=tuple(next(given) for _ in self.numbers),
            buffers=tuple(b._replace(size=next(given)) for b in self.buffers),
            outputs=tuple(
                (i, next(given), next(given), tuple(next(given) for _ in shape))
                for i, _, _, shape in self.outputs
            ),
        )


def places(lowered: Lowered) -> tuple[Place, ...]:
    """Return the place of each output among the flat results."""
    flat = [i for i, b in enumerate(lowered.plan.buffers) if b.kind == "output"]
    return tuple((flat.index(r.buffer), r.offset, r.offset + prod(r.shape), r.shape) for r in lowered.outputs)


def depends_on_length_alone(lowered: Lowered) -> bool:
    """Whether a plan depends only on its text and numbers: it has no constants and no calls."""
    return not lowered.constants and not any(calls(lowered.plan.body))


#: Plans a length; if the plan for another length is given, with memory shared as there.
Plan = Callable[[int, Planned | None], Planned | None]


class Between:
    """Native code for all lengths from `low` to `high`."""

    def __init__(self, low: int, high: int, at_low: Planned, at_high: Planned) -> None:
        self.low, self.steps, self.base = low, high - low, at_low
        self._first = list(at_low.values())
        self._slopes = [(b - a) // self.steps for a, b in zip(self._first, at_high.values())]

    @classmethod
    def of(cls, low: int, high: int, plan: Plan) -> Between | None:
        """Plan both ends and the middle; None unless the middle has what lies between the ends."""
        middle = (low + high) // 2
        at_high = plan(high, None)
        at_low, at_middle = (None, None) if at_high is None else (plan(n, at_high) for n in (low, middle))
        if at_low is None or at_high is None or at_low.structure() != at_high.structure():
            return None
        pairs = zip(at_low.values(), at_high.values(), strict=True)
        if any((b - a) % (high - low) for a, b in pairs):
            return None
        found = cls(low, high, at_low, at_high)
        return found if found.at(middle) == at_middle else None

    def at(self, length: int) -> Planned:
        """Return the code for a length."""
        turns = length - self.low
        return self.base.with_values([a + turns * s for a, s in zip(self._first, self._slopes)])


class Octave:
    """The lengths from a power of two to its double.

    Which code a length gets depends on the length alone, not on which lengths ran before: code of another
    structure may round differently.
    """

    def __init__(self, length: int) -> None:
        self.low = 1 << (length.bit_length() - 1)
        self._between: Once | None = None

    def at(self, length: int, plan: Plan) -> Planned | None:
        """Return the code for a length of the octave, if the whole octave shares one structure."""
        if self._between is None:
            self._between = Once(lambda: Between.of(self.low, 2 * self.low, plan))
        between: Between | None = self._between()
        if between is None:
            return None
        found = between.at(length)
        if os.environ.get("XGRAD_VERIFY") == "1":
            own = plan(length, between.base)
            if own is not None and own.structure() == found.structure() and own != found:
                raise AssertionError(f"the code for {length} steps is not what lies between that for others")
        return found
