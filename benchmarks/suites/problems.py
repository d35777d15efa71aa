"""A case, which is a cell in a precision at a size, and the numbers that every peer is given in it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from math import prod
from typing import Any, NamedTuple

import numpy as np

from ..cells.equations import CELLS, GRU, SPELLINGS, Cell

#: float32 with products in float32, float32 with products in tf32, and bfloat16 throughout.
PRECISIONS = ("float32", "tf32", "bfloat16")

#: Of cells that no framework has fused.
UNFUSED = ("MGU", "peephole", "residual", "coRNN", "sLSTM")

#: Products of one step that wait for one another, where it is not one.
DEPTHS = {"GRU": 2, "MGU": 2}

#: Steps of inputs that are drawn; longer ones repeat them.
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
        """The case whose text this is."""
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
        """T,B,I,H."""
        return f"{self.T},{self.B},{self.I},{self.H}"

    @property
    def flops(self) -> float:
        """Of all matrix products, forward and backward: one forward, one for what the product read and one
        for its weight."""
        weights = sum(
            prod(shape) for shape in EVERY[self.cell].shapes(self.I, self.H).values() if len(shape) == 2
        )
        return 3.0 * 2 * self.T * self.B * weights

    @property
    def dependent(self) -> int:
        """Products that wait for one another, forward and backward."""
        return 2 * self.T * DEPTHS.get(self.cell, 1)


def cases(cells: Iterable[str], sizes: Iterable[tuple[int, int, int, int]]) -> list[Case]:
    """All of these, precision after precision."""
    sizes = list(sizes)
    return [Case(cell, precision, *size) for precision, cell, size in product(PRECISIONS, cells, sizes)]


class Problem:
    """Weights by name, inputs, the gradient of the loss for each output, and a first state of zeros: float32,
    rounded to bfloat16 where that is the precision."""

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
    """The numbers that peers must agree on: the norm of each gradient."""
    return [float(np.linalg.norm(np.asarray(a, "d"))) for a in arrays]


def rounded(a: Any) -> Any:
    """float32 numbers, rounded to the nearest of bfloat16, of two the even one."""
    bits = a.view(np.uint32)
    return (
        (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
    ).view(np.float32)
