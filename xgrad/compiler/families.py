"""Families: programs that differ in the sizes of their arrays only, and share their code.

A function that is compiled is traced for each new shape of its arguments. Two traces show which sizes vary,
and how the numbers in the program follow from them. A third trace that is what they predict needs neither
passes nor a compiler: it gets the code that was planned for the sizes around it (see `sizes.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

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


class _Model:
    """The numbers of a program as functions of the sizes that vary: polynomials of degree 1 in each.

    `coefficients` has a row for each monomial, and a column for each number.
    """

    def __init__(self, places: Sequence[int], coefficients: Any) -> None:
        self._places, self._coefficients = list(places), coefficients
        constant = ~coefficients[1:].any(axis=0)
        self.boxes = Boxes(coefficients[0, constant].tolist())

    def sizes(self, numbers: Any) -> Sizes:
        """Return the sizes of the program with these numbers."""
        return tuple(numbers[self._places].tolist())

    def numbers(self, sizes: Sizes) -> Any:
        """Return the numbers of the program of these sizes."""
        return _monomials(np.array(sizes)) @ self._coefficients


def _monomials(sizes: Any) -> Any:
    """Return the products of the subsets of the sizes, in a last axis: 1, each alone, then the others."""
    subsets = [s for n in range(sizes.shape[-1] + 1) for s in combinations(range(sizes.shape[-1]), n)]
    return np.stack([np.prod(sizes[..., list(s)], axis=-1, dtype=np.int64) for s in subsets], axis=-1)


def _model(samples: Sequence[Any], count: int) -> _Model | None:
    """Find how the numbers of all samples follow from those at the first `count` places, the input shapes.

    None if nothing varies there, if too much does, or if no polynomial fits.
    """
    columns, which = np.unique(np.array(samples), axis=1, return_inverse=True)
    which = which.reshape(-1)
    varying = [i for i in dict.fromkeys(which[:count].tolist()) if np.ptp(columns[:, i])]
    if not 0 < len(varying) <= SIZES:
        return None
    monomials = _monomials(columns[:, varying])
    found = [_polynomial(column, monomials) for column in columns.T]
    if any(c is None for c in found):
        return None
    return _Model([which.tolist().index(i) for i in varying], np.stack(found, axis=-1)[:, which])


def _polynomial(column: Any, monomials: Any) -> Any:
    """Return the coefficients of the simplest polynomial that gives a number of all samples, or None."""
    count = monomials.shape[1]
    terms = [[i] for i in range(count)] + [[0, i] for i in range(1, count)]
    if len(column) >= count:
        terms.append(list(range(count)))
    fitting = []
    for places in terms:
        solution = np.linalg.lstsq(monomials[:, places], column, rcond=None)[0]
        coefficients = np.zeros(count, np.int64)
        coefficients[places] = np.round(solution)
        if np.array_equal(monomials @ coefficients, column):
            fitting.append(coefficients)
    return min(fitting, key=lambda c: (np.count_nonzero(c), abs(c).sum()), default=None)


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
