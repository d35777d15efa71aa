"""Cases (a cell, a precision and a size), and the input data that all peers share."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from math import prod
from typing import Any, NamedTuple

import numpy as np

from ..cells.equations import CELLS, GRU, SPELLINGS, Cell

#: float32 with float32 products, float32 with tf32 products, and bfloat16 throughout.
PRECISIONS = ("float32", "tf32", "bfloat16")

#: Sizes for cells that no framework has fused.
UNFUSED = ("MGU", "peephole", "residual", "coRNN", "sLSTM")

#: Number of sequential matrix products per step, if it is not one.
DEPTHS = {"GRU": 2, "MGU": 2}

#: Number of steps of random inputs; longer sequences repeat them.
DRAWN = 16


EVERY: dict[str, Cell] = {"GRU": GRU, **CELLS, **SPELLINGS}


class Case(NamedTuple):
    """A cell, a precision, and sizes. Its text is "cell precision T,B,I,H"."""

    cell: str
    precision: str
    T: int
    B: int
    I: int  # noqa: E741
    H: int

    @classmethod
    def parse(cls, text: str) -> Case:
        """Parse the text of a case."""
        cell, precision, sizes = text.rsplit(" ", 2)
        if cell not in EVERY or precision not in PRECISIONS:
            raise ValueError(
                f"{text!r} is no case: a cell of {', '.join(EVERY)}, a precision of "
                f"{', '.join(PRECISIONS)}, and T,B,I,H"
            )
        return cls(cell, precision, *(int(n) for n in sizes.split(",")))

    def __str__(self) -> str:
        return f"{self.cell} {self.precision} {self.sizes}"

    @property
    def sizes(self) -> str:
        """The sizes as text, "T,B,I,H"."""
        return f"{self.T},{self.B},{self.I},{self.H}"

    @property
    def flops(self) -> float:
        """Floating-point operations of all matrix products, forward and backward.

        Each product occurs once forward, once for the gradient of its input and once for that of its weight.
        """
        weights = sum(
            prod(shape) for shape in EVERY[self.cell].shapes(self.I, self.H).values() if len(shape) == 2
        )
        return 3.0 * 2 * self.T * self.B * weights

    @property
    def dependent(self) -> int:
        """Number of sequential products, forward and backward."""
        return 2 * self.T * DEPTHS.get(self.cell, 1)


def cases(cells: Iterable[str], sizes: Iterable[tuple[int, int, int, int]]) -> list[Case]:
    """All combinations with all precisions, ordered by precision."""
    sizes = list(sizes)
    return [Case(cell, precision, *size) for precision, cell, size in product(PRECISIONS, cells, sizes)]


class Problem:
    """The data of a case: weights by name, inputs, cotangents of the outputs, and a zero initial state.

    All are float32, rounded to bfloat16 if that is the precision.
    """

    def __init__(self, case: Case) -> None:
        T, B, I, H = case[2:]  # noqa: E741
        self.case, self.cell = case, EVERY[case.cell]
        self._rng, self._round = np.random.default_rng(0), case.precision == "bfloat16"
        batch = () if case.cell == "unbatched" else (B,)
        self.x, self.dy = self._drawn(T, *batch, I), self._drawn(T, *batch, H)
        self.zero = np.zeros((*batch, H), "f")
        shapes = self.cell.shapes(I, H)
        self.W = {
            name: self._kept(self._rng.uniform(-(H**-0.5), H**-0.5, shape).astype("f"))
            for name, shape in shapes.items()
        }

    def _drawn(self, T: int, *shape: int) -> Any:
        few = self._kept(self._rng.standard_normal((min(T, DRAWN), *shape), "f"))
        return np.concatenate([few] * -(-T // DRAWN))[:T]

    def _kept(self, a: Any) -> Any:
        return rounded(a) if self._round else a


def norms(arrays: Iterable[Any]) -> list[float]:
    """The norm of each gradient, on which peers must agree."""
    return [float(np.linalg.norm(np.asarray(a, "d"))) for a in arrays]


def rounded(a: Any) -> Any:
    """Round float32 numbers to the nearest bfloat16, ties to even."""
    bits = a.view(np.uint32)
    return (
        (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
    ).view(np.float32)
