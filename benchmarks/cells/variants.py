"""Variants of the LSTM and the GRU, and ways to write them, which torch can run too."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import equations
from .cell import Sizes, Spec, cell, uniform
from .libraries import functions

#: Non-zero initial states: the third state of an sLSTM is a divisor.
STATES: dict[str, tuple[Spec, ...]] = {"sLSTM": ("B,H", "B,H", uniform("B,H", 1, 2), "B,H")}


def _weight(source: equations.Cell, weight: str) -> Spec:
    def made(rng: np.random.Generator, n: Sizes) -> Any:
        return n.H**-0.5 * rng.normal(size=source.shapes(n.I, n.H)[weight])

    return made


def _enter(name: str, source: equations.Cell) -> None:
    def step(xp: Any, states: Any, x: Any, **W: Any) -> Any:
        alone = source.states == 1
        states, y = source.step(functions(xp), W, x, *((states,) if alone else states))
        return (states[0] if alone else states), y

    step.__doc__ = source.step.__doc__
    weights: dict[str, Any] = {weight: _weight(source, weight) for weight in source.weights}
    cell(name, carry=STATES.get(name, ("B,H",) * source.states), **weights)(step)


_enter("GRU, reset before", equations.GRU)
for _name, _source in {**equations.CELLS, **equations.SPELLINGS}.items():
    if _name != "unbatched":  # an MGU, which is already there with a batch
        _enter(_name, _source)
