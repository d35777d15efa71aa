"""Native code for many sizes: planned at the corners of a box of sizes, it serves every size inside.

The sizes are those that vary from run to run, such as the number of steps and of rows. Each number in a plan
(buffer sizes, offsets, strides, loop lengths) is linear in each of them, and the code reads these numbers
from a table. If the corners have the same code, that code is right for all sizes between, each number being
interpolated: what fits into a buffer at the corners fits between them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from itertools import product
from typing import Any, NamedTuple

import numpy as np

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


class Box:
    """Native code for all sizes from `low` to `high`.

    `coefficients` has one axis of length 2 for each size, and one for the numbers: those of the polynomial in
    the sizes above `low` that has degree 1 in each.
    """

    def __init__(self, low: Sizes, last: Planned, code: Any, coefficients: Any) -> None:
        self._low, self.last, self._code, self._coefficients = low, last, code, coefficients

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
        coefficients = np.array(numbers, np.int64).reshape(*(2,) * len(low), -1)
        for axis, (a, b) in enumerate(zip(low, high)):
            first, second = np.split(coefficients, 2, axis)
            slope, rest = np.divmod(second - first, b - a)
            if rest.any():
                return None
            coefficients = np.concatenate([first, slope], axis)
        box = cls(low, last, code, coefficients)
        planned = plan(middle, last)
        return box if planned is not None and box.at(middle) == planned.code else None

    def at(self, sizes: Sizes) -> Code:
        """Return the code for sizes in the box."""
        found = self._coefficients
        for size, low in zip(sizes, self._low):
            found = found[0] + (size - low) * found[1]
        return filled(self._code, found.tolist())  # type: ignore[no-any-return]


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
