"""Families: programs that differ in the sizes of their arrays only, and share their code.

A function that is compiled is traced for each new shape of its arguments. Two traces show which sizes vary,
and how the numbers in the program follow from them. A third trace that is what they predict needs neither
passes nor a compiler: it gets the code that was planned for the sizes around it (see `sizes.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from operator import mul
from typing import Any

from ..backends import Device, current_matmul_precision
from .caches import Cache
from .executors import plan_of
from .ir import Program
from .sizes import Boxes, Code, Planned, Polynomials, Sizes, distinct, monomials
from .templates import filled, template
from .verifier import ProgramError, verify

#: The most sizes that may vary independently: with each, twice as many plans are made.
SIZES = 3
#: Programs of one family that are compared. What differs in other ways, each time, is compiled each time.
SAMPLES = 8


class _Model:
    """How the numbers of a program follow from those at some `places`, the sizes that vary."""

    def __init__(self, places: Sequence[int], numbers: Polynomials) -> None:
        self._places, self._numbers = places, numbers
        self.boxes = Boxes(first for first, *others in numbers.coefficients if not any(others))

    def sizes(self, numbers: Sequence[int]) -> Sizes:
        """Return the sizes of the program with these numbers."""
        return tuple([numbers[i] for i in self._places])

    def numbers(self, sizes: Sizes) -> list[int]:
        """Return the numbers of the program of these sizes."""
        return self._numbers.at(sizes)


def _model(samples: Sequence[Sequence[int]], count: int) -> _Model | None:
    """Find how the numbers of all samples follow from those at the first `count` places, the input shapes.

    None if nothing varies there, if too much does, or if no polynomial fits.
    """
    columns, which = distinct(samples)
    varying = [i for i in dict.fromkeys(which[:count]) if len(set(columns[i])) > 1]
    if not 0 < len(varying) <= SIZES:
        return None
    known = [monomials(sizes) for sizes in zip(*[columns[i] for i in varying], strict=True)]
    coefficients = [_polynomial(column, known) for column in columns]
    if any(c is None for c in coefficients):
        return None
    places = [which.index(i) for i in varying]
    return _Model(places, Polynomials([c for c in coefficients if c is not None], which))


def _polynomial(values: Sequence[int], known: Sequence[Sequence[int]]) -> tuple[int, ...] | None:
    """Return the simplest polynomial with these values where the monomials are `known`.

    None if none of one or two terms fits.
    """
    count = len(known[0])
    terms = [_of_one_term(values, known, i) for i in range(count)]
    terms += [_of_two_terms(values, known, *pair) for pair in combinations(range(count), 2)]
    found = []
    for fitted in terms:
        coefficients = [fitted.get(i, 0) for i in range(count)]
        if all(sum(map(mul, coefficients, row)) == value for value, row in zip(values, known)):
            found.append(tuple(coefficients))
    return min(found, key=lambda c: (sum(map(bool, c)), sum(map(abs, c))), default=None)


def _of_one_term(values: Sequence[int], known: Sequence[Sequence[int]], i: int) -> dict[int, int]:
    """Return the coefficient of one monomial, from the first sample."""
    return {i: values[0] // known[0][i]} if known[0][i] else {}


def _of_two_terms(values: Sequence[int], known: Sequence[Sequence[int]], i: int, j: int) -> dict[int, int]:
    """Return the coefficients of two monomials, from two samples, by Cramer's rule."""
    for (y, a), (z, b) in combinations(zip(values, known, strict=True), 2):
        if determinant := a[i] * b[j] - a[j] * b[i]:
            return {i: (y * b[j] - z * a[j]) // determinant, j: (a[i] * z - b[i] * y) // determinant}
    return {}


class _Family:
    """The programs of one template on one device."""

    def __init__(self, template: Any, count: int) -> None:
        self._template, self._count = template, count
        self._samples: tuple[list[int], ...] = ()
        self._model: _Model | None = None

    def code(self, numbers: list[int], device: Device) -> Code | None:
        """Return code for the program with these numbers; None if it is to be compiled by itself."""
        model = self._model
        if model is None or model.numbers(model.sizes(numbers)) != numbers:
            self._learn(numbers)
            return None

        def plan(sizes: Sizes, like: Planned | None) -> Planned | None:
            _, program = filled(self._template, model.numbers(sizes))
            try:
                verify(program)
            except ProgramError:  # the rules hold for the samples only
                return None
            return plan_of(program, device, True, like)

        return model.boxes.at(model.sizes(numbers), plan)

    def _learn(self, numbers: list[int]) -> None:
        """Take one more sample into account."""
        if numbers not in self._samples and len(self._samples) < SAMPLES:
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
        code = family.code(numbers, device)
        self.served += code is not None
        return code
