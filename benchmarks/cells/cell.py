"""The table of cells: a step function over an array namespace, and its arrays."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import prod
from typing import Any, NamedTuple

import numpy as np


class Sizes(NamedTuple):
    """Number of steps, batch size, input features, state features."""

    T: int
    B: int
    I: int  # noqa: E741
    H: int

    def __str__(self) -> str:
        return ",".join(map(str, self))

    def shape(self, text: str) -> tuple[int, ...]:
        """Parse a shape: "B,2H,3" is (B, 2 H, 3), and "" is ()."""
        factors = re.findall(r"(\d*)([TBIH]?)(?:,|$)", text) if text else []
        return tuple(int(n or 1) * getattr(self, letter, 1) for n, letter in factors if n or letter)


#: How to make an array: a shape as text, for normal numbers, or a function.
Spec = str | Callable[[np.random.Generator, Sizes], Any]


class Cell(NamedTuple):
    """The step of a cell, and how its arrays are made.

    `step(xp, carry, x, **weights)` returns a new carry and an output, in any container. `reads` is None for a
    cell without inputs. Arrays of float64 are cast to the dtype of the problem, others stay.
    """

    name: str
    step: Callable[..., Any]
    carry: tuple[Spec, ...]
    reads: tuple[Spec, ...] | None
    weights: Mapping[str, Spec]
    sizes: tuple[Sizes, ...]
    tolerance: float


SMALL = Sizes(5, 2, 3, 4)
SIZES = Sizes(64, 1, 32, 32), Sizes(64, 16, 64, 64)
CELLS: dict[str, Cell] = {}


def cell(
    name: str,
    *,
    carry: Spec | tuple[Spec, ...],
    reads: Spec | tuple[Spec, ...] | None = "B,I",
    sizes: tuple[Sizes, ...] = SIZES,
    tolerance: float = 1e-9,
    **weights: Spec,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator that enters a step into the table; keywords specify its weights."""

    def entered(step: Callable[..., Any]) -> Callable[..., Any]:
        assert name not in CELLS, name
        CELLS[name] = Cell(name, step, _several(carry) or (), _several(reads), weights, sizes, tolerance)
        return step

    return entered


def _several(spec: Any) -> tuple[Spec, ...] | None:
    return spec if spec is None or isinstance(spec, tuple) else (spec,)


class Problem:
    """The arrays of a cell at one size: weights by name, initial carry, and inputs of all steps."""

    def __init__(self, cell: Cell, sizes: Sizes, dtype: str) -> None:
        self.cell, self.sizes, self.dtype = cell, sizes, dtype
        rng = np.random.default_rng(0)
        n = sizes
        self.weights = {name: self._made(rng, n, spec, n.H**-0.5) for name, spec in cell.weights.items()}
        self.carry = tuple(self._made(rng, n, spec, 0.5) for spec in cell.carry)
        self.xs: Any = None
        if cell.reads is not None:
            series = [[self._made(rng, n, spec, 1.0) for spec in cell.reads] for _ in range(n.T)]
            self.xs = tuple(np.stack(leaves) for leaves in zip(*series, strict=True))

    def _made(self, rng: np.random.Generator, n: Sizes, spec: Spec, scale: float) -> Any:
        value = np.asarray(scale * rng.normal(size=n.shape(spec)) if isinstance(spec, str) else spec(rng, n))
        if value.dtype == np.complex128:
            return value.astype(np.result_type(self.dtype, np.complex64))
        return value.astype(self.dtype) if value.dtype == np.float64 else value

    def moving(self) -> dict[str, Any]:
        """The arrays to differentiate with respect to: floating and complex weights and carries."""
        every = self.weights | {f"carry {i}": v for i, v in enumerate(self.carry)}
        return {name: v for name, v in every.items() if v.dtype.kind in "fc"}

    def loop(self, xp: Any, moving: Mapping[str, Any], xs: Any) -> tuple[Any, Any]:
        """Run the cell through time; return the final carry and the outputs of all steps."""
        weights = {name: moving.get(name, v) for name, v in self.weights.items()}
        carry = tuple(moving.get(f"carry {i}", v) for i, v in enumerate(self.carry))
        alone = len(carry) == 1

        def step(carry: Any, x: Any) -> Any:
            if x is not None and len(x) == 1:
                x = x[0]
            carry, y = self.cell.step(xp, carry[0] if alone else carry, x, **weights)
            return ((carry,) if alone else carry), y

        return xp.scan(step, carry, xs, self.sizes.T)  # type: ignore[no-any-return]

    def loss(self, xp: Any, moving: Mapping[str, Any], xs: Any) -> Any:
        """The sum of squares of all floating and complex outputs."""
        _, ys = self.loop(xp, moving, xs)
        total: Any = 0.0
        for y in ys if isinstance(ys, tuple) else (ys,):
            if xp.isdtype(y.dtype, "complex floating"):
                total = total + xp.sum(xp.real(y) ** 2 + xp.imag(y) ** 2)
            elif xp.isdtype(y.dtype, "real floating"):
                total = total + xp.sum(y**2)
        return total


# specs that several cells share


def uniform(text: str, low: float, high: float) -> Spec:
    """Uniform numbers between two bounds."""
    return lambda rng, n: rng.uniform(low, high, n.shape(text))


def normal(text: str, scale: float) -> Spec:
    """Normal numbers of a given scale."""
    return lambda rng, n: scale * rng.normal(size=n.shape(text))


def constant(text: str, value: Any) -> Spec:
    """One number everywhere; its type gives the dtype."""
    return lambda rng, n: np.full(n.shape(text), value)


def complex_normal(text: str, scale: float) -> Spec:
    """Complex numbers, normal in both parts."""

    def made(rng: np.random.Generator, n: Sizes) -> Any:
        return scale * (rng.normal(size=n.shape(text)) + 1j * rng.normal(size=n.shape(text)))

    return made


def integers(text: str, below: str, dtype: str = "int64") -> Spec:
    """Integers from 0 to below a size."""
    return lambda rng, n: rng.integers(prod(n.shape(below)), size=n.shape(text)).astype(dtype)


def positive_definite(text: str, scale: float = 1.0) -> Spec:
    """Symmetric matrices whose eigenvalues are about `scale`."""

    def made(rng: np.random.Generator, n: Sizes) -> Any:
        a = rng.normal(size=n.shape(text))
        return scale * (np.eye(a.shape[-1]) + 0.3 * a @ np.swapaxes(a, -1, -2) / a.shape[-1])

    return made


def near_identity(text: str, scale: float = 0.3) -> Spec:
    """Matrices near a scaled-down identity, so that long loops stay finite."""

    def made(rng: np.random.Generator, n: Sizes) -> Any:
        a = rng.normal(size=n.shape(text))
        return 0.8 * np.eye(a.shape[-1]) + scale * a / a.shape[-1]

    return made
