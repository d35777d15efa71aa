"""What the GPU benchmarks run: a cell in a precision at a size, and the numbers that every peer is given."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from math import prod
from typing import Any, NamedTuple

import gru
import numpy as np
from equations import CELLS, SPELLINGS, Cell, Functions

#: float32 with products in float32, float32 with products in tf32, and bfloat16 throughout.
PRECISIONS = ("float32", "tf32", "bfloat16")

#: Of cells that no framework has fused.
UNFUSED = ("MGU", "peephole", "residual", "coRNN", "sLSTM")

#: Products of one step that wait for one another, where it is not one.
DEPTHS = {"GRU": 2, "MGU": 2}

#: Steps of inputs that are drawn; longer ones repeat them.
DRAWN = 16


def _gru(F: Functions, W: Any, x: Any, h: Any) -> Any:
    h = gru.cell(F.sigmoid, F.tanh, W, h, x)
    return (h,), h


EVERY: dict[str, Cell] = {
    "GRU": Cell(_gru, 1, {name: "HI" if name.endswith("x") else "HH" for name in gru.NAMES}),
    **CELLS,
    **SPELLINGS,
}


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
    """Weights by name, inputs, and what the loss asks of each output: float32, rounded to bfloat16 where that
    is the precision."""

    def __init__(self, case: Case) -> None:
        T, B, I, H = case[2:]  # noqa: E741
        self.case, self.cell = case, EVERY[case.cell]
        self._rng, self._round = np.random.default_rng(0), case.precision == "bfloat16"
        self.x, self.dy = self._drawn(T, B, I), self._drawn(T, B, H)
        shapes = self.cell.shapes(I, H)
        self.W = {
            name: self._kept(self._rng.uniform(-(H**-0.5), H**-0.5, shape).astype("f"))
            for name, shape in shapes.items()
        }

    def _drawn(self, T: int, B: int, n: int) -> Any:
        few = self._kept(self._rng.standard_normal((min(T, DRAWN), B, n), "f"))
        return np.tile(few, (-(-T // DRAWN), 1, 1))[:T]

    def _kept(self, a: Any) -> Any:
        return rounded(a) if self._round else a


def rounded(a: Any) -> Any:
    """float32 numbers, rounded to the nearest of bfloat16, of two the even one."""
    bits = a.view(np.uint32)
    return (
        (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
    ).view(np.float32)
