"""Families: programs that differ in the sizes of their arrays only, and share their code.

A function that is compiled is traced for each new shape of its arguments. Two traces show which sizes vary,
and how the numbers in the program follow from them. A third trace that is what they predict needs neither
passes nor a compiler: it gets the code that was planned for the sizes around it (see `sizes.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from ..backends import Device, current_matmul_precision
from .caches import Cache
from .executors import plan_of
from .ir import Program
from .sizes import Boxes, Code, Planned, Sizes
from .templates import filled, template
from .verifier import ProgramError, verify

#: The most sizes that may vary independently: with each, twice as many plans are made.
SIZES = 3
#: Programs of one family that are compared. What differs in other ways, each time, is compiled each time.
SAMPLES = 8


class _Rule(NamedTuple):
    """How one number follows from the sizes: offset + slope * (the product of the sizes at `places`)."""

    places: tuple[int, ...]
    slope: int
    offset: int

    def of(self, sizes: Any) -> Any:
        """Return the number for these sizes, or numbers for a table of sizes, one row each."""
        return self.offset + self.slope * np.prod(np.asarray(sizes)[..., list(self.places)], axis=-1)


class _Model:
    """The numbers of a program as functions of the sizes that vary."""

    def __init__(self, places: Sequence[int], rules: Sequence[_Rule], which: Any) -> None:
        self._places, self._rules, self._which = list(places), rules, which
        self.boxes = Boxes(rule.offset for rule in rules if not rule.places)

    def sizes(self, numbers: Any) -> Sizes:
        """Return the sizes of the program with these numbers."""
        return tuple(numbers[self._places].tolist())

    def numbers(self, sizes: Sizes) -> Any:
        """Return the numbers of the program of these sizes."""
        return np.array([rule.of(sizes) for rule in self._rules])[self._which]


def _model(samples: Sequence[Any], count: int) -> _Model | None:
    """Find how the numbers of all samples follow from those at the first `count` places, the input shapes.

    None if nothing varies there, if too much does, or if no simple rule fits.
    """
    columns, which = np.unique(np.array(samples), axis=1, return_inverse=True)
    which = which.reshape(-1)
    varying = [i for i in dict.fromkeys(which[:count].tolist()) if np.ptp(columns[:, i])]
    if not 0 < len(varying) <= SIZES:
        return None
    sizes = columns[:, varying]
    rules = [_rule(column, sizes) for column in columns.T]
    if None in rules:
        return None
    first = which.tolist()
    return _Model([first.index(i) for i in varying], [r for r in rules if r is not None], which)


def _rule(column: Any, sizes: Any) -> _Rule | None:
    """Find the simplest rule that gives a number of all samples from their sizes."""
    if not np.ptp(column):
        return _Rule((), 0, int(column[0]))
    several = range(sizes.shape[1])
    products = [places for n in (1, 2, 3) for places in combinations(several, n)]
    simple = [_Rule(places, 1, 0) for places in products]
    multiples = [_Rule(places, _over(column, _Rule(places, 1, 0).of(sizes)), 0) for places in products]
    shifted = [_Rule((i,), 1, int(column[0] - sizes[0, i])) for i in several]
    lines = []
    for rule in simple:
        of = rule.of(sizes)
        slope = _over(np.diff(column[np.argsort(of)[[0, -1]]]), np.diff(np.sort(of)[[0, -1]]))
        lines.append(_Rule(rule.places, slope, int(column[0] - slope * of[0])))
    fitting = (r for r in (*simple, *multiples, *shifted, *lines) if np.array_equal(r.of(sizes), column))
    return next(fitting, None)


def _over(a: Any, b: Any) -> int:
    """The first number over the other, rounded down; 0 if that is not defined."""
    return int(a[0] // b[0]) if b[0] else 0


class _Family:
    """The programs of one template on one device."""

    def __init__(self, template: Any, count: int) -> None:
        self._template, self._count = template, count
        self._samples: tuple[Any, ...] = ()
        self._model: _Model | None = None

    def code(self, numbers: Any, device: Device) -> Code | None:
        """Return code for the program with these numbers; None if it is to be compiled by itself."""
        model = self._model
        if model is None or not np.array_equal(model.numbers(model.sizes(numbers)), numbers):
            self._learn(numbers)
            return None

        def plan(sizes: Sizes, like: Planned | None) -> Planned | None:
            _, program = filled(self._template, model.numbers(sizes).tolist())
            try:
                verify(program)
            except ProgramError:  # the rules hold for the samples only
                return None
            return plan_of(program, device, True, like)

        return model.boxes.at(model.sizes(numbers), plan)

    def _learn(self, numbers: Any) -> None:
        """Take one more sample into account."""
        known = any(np.array_equal(numbers, other) for other in self._samples)
        if not known and len(self._samples) < SAMPLES:
            self._samples = (*self._samples, numbers)
            self._model = _model(self._samples, self._count)


class Families:
    """The families of one function's programs, at most `size`.

    `served` counts the programs that got shared code.
    """

    def __init__(self, size: int) -> None:
        self._known = Cache(size)
        self._size, self.served = size, 0

    def __reduce__(self) -> Any:
        return Families, (self._size,)

    def code(self, program: Program, device: Device) -> Code | None:
        """Return code that serves programs of other sizes too; None if there is none, or none yet."""
        shapes = tuple(v.shape for v in program.inputs)
        structure, numbers = template((shapes, program))
        key = (structure, device, current_matmul_precision())
        family: _Family = self._known.get(key, lambda: _Family(structure, len(template(shapes)[1])))
        code = family.code(np.array(numbers, np.int64), device)
        self.served += code is not None
        return code
