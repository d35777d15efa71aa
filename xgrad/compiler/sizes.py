"""Native code for many sizes: planned at the corners of a box of sizes, it serves every size inside.

The sizes are those that vary from run to run, such as the number of steps and of rows. Each number in a plan
(buffer sizes, offsets, strides, loop lengths) is linear in each of them, and the code reads these numbers
from a table. If the corners have the same code, that code is right for all sizes between, each number being
interpolated: what fits into a buffer at the corners fits between them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from operator import mul
from typing import Any, NamedTuple

from ..backends.schedules import Buffer
from .caches import Once
from .lowering.plan import Call
from .templates import filled, template

#: The place of an output: index of the flat result, start, stop, and shape.
Place = tuple[int, int, int, tuple[int, ...]]
Sizes = tuple[int, ...]


class Code(NamedTuple):
    """Native code of a program as plain data, and what is needed to run it.

    `text`, `numbers` and `kernels` are what `llvm.write` returns. `calls` are the plan's calls with the
    lengths of the loops around each, `constants` the arrays that are made once. `read_as_pairs` and
    `made_as_pairs` say which inputs and outputs are complex, and pairs of reals in the plan.
    """

    text: str
    numbers: tuple[float, ...]
    kernels: str
    buffers: tuple[Buffer, ...]
    outputs: tuple[Place, ...]
    calls: tuple[tuple[Call, tuple[int, ...]], ...] = ()
    constants: tuple[Mapping[str, Any], ...] = ()
    read_as_pairs: tuple[bool, ...] = ()
    made_as_pairs: tuple[bool, ...] = ()


class Planned(NamedTuple):
    """Code, and which buffers of its plan were replaced by others: the plan for other sizes does the same."""

    code: Code
    reused: Mapping[int, int]


#: As if the plan for other sizes reused no buffer.
REUSING_NONE = Planned(Code("", (), "", (), ()), {})
#: Plans a program at some sizes, with memory shared as in the plan for others, if given.
Plan = Callable[[Sizes, Planned | None], Planned | None]


class Polynomials:
    """Numbers as polynomials of degree 1 in each of several sizes.

    `which` says for each number which of the `coefficients` it has, as many numbers are equal. These are one
    tuple for each polynomial, with a coefficient for each of the `monomials` of the sizes.
    """

    def __init__(self, coefficients: Sequence[tuple[int, ...]], which: Sequence[int]) -> None:
        self.coefficients, self._which = coefficients, which

    def at(self, sizes: Iterable[int]) -> list[int]:
        """Return the numbers for these sizes."""
        of = monomials(sizes)
        values = [sum(map(mul, c, of)) for c in self.coefficients]
        return [values[i] for i in self._which]


def monomials(sizes: Iterable[int]) -> list[int]:
    """Return the products of all subsets of the sizes: for a and b, these are 1, b, a, ab."""
    found = [1]
    for size in reversed(tuple(sizes)):
        found += [size * n for n in found]
    return found


def distinct(rows: Sequence[Sequence[int]]) -> tuple[list[tuple[int, ...]], list[int]]:
    """Return the distinct columns of a table, and which of them each column is."""
    places: dict[tuple[int, ...], int] = {}
    which = [places.setdefault(column, len(places)) for column in zip(*rows, strict=True)]
    return list(places), which


class Box:
    """Native code for all sizes from `low` to `high`."""

    def __init__(self, low: Sizes, last: Planned, code: Any, numbers: Polynomials) -> None:
        self._low, self.last, self._code, self._numbers = low, last, code, numbers

    @classmethod
    def of(cls, low: Sizes, middle: Sizes, high: Sizes, plan: Plan) -> Box | None:
        """Plan the corners and the middle; None unless the middle is what lies between the corners.

        That a buffer is reused for a larger value here, and for a smaller one there, is no reason for None.
        """
        corners = low, middle, high
        return cls._of(*corners, plan, None) or cls._of(*corners, plan, REUSING_NONE)

    @classmethod
    def _of(cls, low: Sizes, middle: Sizes, high: Sizes, plan: Plan, like: Planned | None) -> Box | None:
        last = plan(high, like)
        if last is None:
            return None
        code, _ = template(last.code)
        numbers = []
        for corner in product(*zip(low, high, strict=True)):
            found = last if corner == high else plan(corner, last)
            if found is None:
                return None
            own, values = template(found.code)
            if own != code:
                return None
            numbers.append(values)
        columns, which = distinct(numbers)
        sides = [b - a for a, b in zip(low, high)]
        coefficients = [_slopes(column, sides) for column in columns]
        if any(c is None for c in coefficients):
            return None
        box = cls(low, last, code, Polynomials([c for c in coefficients if c is not None], which))
        planned = plan(middle, last)
        return box if planned is not None and box.at(middle) == planned.code else None

    def at(self, sizes: Sizes) -> Code:
        """Return the code for sizes in the box."""
        above = [n - low for n, low in zip(sizes, self._low)]
        return filled(self._code, self._numbers.at(above))  # type: ignore[no-any-return]


def _slopes(values: Sequence[int], sides: Sequence[int]) -> tuple[int, ...] | None:
    """Return the polynomial, in the sizes above the lowest corner, of values at the corners of a box.

    None if its coefficients are no integers. The corners are in the order of `itertools.product`.
    """
    if not sides:
        return tuple(values)
    half = len(values) // 2
    slopes = [divmod(b - a, sides[0]) for a, b in zip(values[:half], values[half:])]
    if any(rest for _, rest in slopes):
        return None
    first, second = _slopes(values[:half], sides[1:]), _slopes([n for n, _ in slopes], sides[1:])
    return None if first is None or second is None else first + second


class Boxes:
    """The boxes of one program: each side includes the sizes from a power of two to its double.

    Which code some sizes get depends on these sizes alone, not on which others ran before: code of another
    structure may round differently. The corners avoid numbers that are `taken` by the program: two arrays
    that happen to be equal are merged.
    """

    def __init__(self, taken: Iterable[int]) -> None:
        self._taken = frozenset(taken)
        self._boxes: dict[Sizes, Once] = {}

    def at(self, sizes: Sizes, plan: Plan) -> Code | None:
        """Return the code for some sizes; None if they share no structure with those around them.

        Sizes below 2 do not: an axis of length 1 is broadcast.
        """
        if min(sizes) < 2:
            return None
        key = tuple(n.bit_length() for n in sizes)
        made = self._boxes.setdefault(key, Once(lambda: Box.of(*self._corners(key), plan)))
        box: Box | None = made()
        if box is None:
            return None
        code = box.at(sizes)
        if os.environ.get("XGRAD_VERIFY") == "1":
            own = plan(sizes, box.last)
            if own is not None and template(own.code)[0] == template(code)[0] and own.code != code:
                raise AssertionError(f"the code for sizes {sizes} is not what lies between that for others")
        return code

    def _corners(self, key: Sizes) -> tuple[Sizes, Sizes, Sizes]:
        """Choose the lowest, middle and highest sizes of the box for sizes of so many bits."""
        low: list[int] = []
        middle: list[int] = []
        high: list[int] = []
        taken = set(self._taken)
        for bits in key:
            n = 1 << (bits - 1)
            for found, start, stop, step in (
                (low, n, max(1, n // 2), -1),
                (middle, 3 * n // 2, 2 * n, 1),
                (high, 2 * n, 3 * n, 1),
            ):
                found.append(next((i for i in range(start, stop, step) if i not in taken), start))
                taken.add(found[-1])
        return tuple(low), tuple(middle), tuple(high)
