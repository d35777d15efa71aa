"""Sources of random numbers: NumPy's on the host, which is every device's default."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, Self, TypeAlias

import numpy as np

from .types import Array, DTypeLike, HostArray

#: What a generator starts from: None takes it from the operating system.
Seed: TypeAlias = (
    int | Sequence[int] | np.random.SeedSequence | np.random.BitGenerator | np.random.Generator | None
)

#: The distributions that `Source.draw` knows, each in its standard form, by the names of NumPy's `Generator`.
CONTINUOUS = (
    "random",
    "standard_normal",
    "standard_exponential",
    "laplace",
    "logistic",
    "gumbel",
    "standard_cauchy",
    "standard_gamma",
    "beta",
    "standard_t",
    "f",
    "wald",
)
DISCRETE = ("integers", "poisson", "binomial", "geometric", "negative_binomial", "multinomial")


class Source(Protocol):
    """What draws.

    Its parameters are numbers, or arrays on the device `place`; its results are arrays there.
    """

    place: str

    @property
    def state(self) -> dict[str, Any]:
        """All it needs to go on from where it is, as JSON can write it."""

    @state.setter
    def state(self, value: dict[str, Any]) -> None: ...

    def spawn(self, count: int) -> list[Self]:
        """Sources that are independent of this one and of each other."""

    def draw(self, name: str, params: tuple[Any, ...], size: tuple[int, ...], dtype: DTypeLike) -> Array:
        """Numbers of a distribution of `CONTINUOUS` or `DISCRETE`, in shape `size`, to which `params`
        broadcast.

        Raises ValueError for integers that `dtype` does not hold.
        """

    def permutation(self, n: int) -> Array:
        """The integers below `n` in any order."""

    def permuted(self, shape: tuple[int, ...], axis: int) -> Array:
        """The numbers of the places in an array of `shape`, in any order along `axis`, each line on its
        own."""

    def choice(self, n: int, size: tuple[int, ...], replace: bool, p: Array | None, shuffle: bool) -> Array:
        """Integers below `n`, with or without repetition, with probabilities `p` or, for None, even ones."""


def fitting(name: str, values: HostArray, dtype: np.dtype[Any]) -> HostArray:
    """`values` in `dtype`. Raises ValueError where it does not hold integers of theirs."""
    if (
        values.dtype.kind in "iu"
        and dtype.kind in "iu"
        and values.size
        and not np.can_cast(values.dtype, dtype)
    ):
        least, most = int(values.min()), int(values.max())
        if least < np.iinfo(dtype).min or most > np.iinfo(dtype).max:
            raise ValueError(
                f"{name}: dtype={dtype} does not hold all numbers from {least} to {most}, which were drawn"
            )
    return values.astype(dtype, copy=False)


class HostSource:
    """NumPy's own generator: its numbers, bit for bit, in float64; others are rounded from these."""

    place = "cpu"

    def __init__(self, seed: Seed) -> None:
        self._numbers: Any = np.random.default_rng(seed)

    @property
    def state(self) -> dict[str, Any]:
        return dict(self._numbers.bit_generator.state)

    @state.setter
    def state(self, value: dict[str, Any]) -> None:
        self._numbers.bit_generator.state = value

    def spawn(self, count: int) -> list[HostSource]:
        return [HostSource(child) for child in self._numbers.spawn(count)]

    def draw(self, name: str, params: tuple[Any, ...], size: tuple[int, ...], dtype: DTypeLike) -> HostArray:
        wanted = np.dtype(dtype)
        if name == "integers" and wanted.kind in "iu":
            return np.asarray(self._numbers.integers(*params, size=size, dtype=wanted))
        if name == "multinomial":  # whose results are along an axis that NumPy adds by itself
            size = size[:-1]
        state = self.state if wanted.kind in "iu" and wanted.itemsize < 8 else None
        try:
            values = fitting(name, np.asarray(getattr(self._numbers, name)(*params, size=size)), wanted)
        except ValueError:
            if state is not None:
                self.state = state
            raise
        if name == "random" and wanted != np.float64:  # which rounds to 1 what is near enough
            values = np.minimum(values, np.nextafter(wanted.type(1), wanted.type(0)))
        return values

    def permutation(self, n: int) -> Any:
        return self._numbers.permutation(n)

    def permuted(self, shape: tuple[int, ...], axis: int) -> Any:
        return self._numbers.permuted(np.arange(np.prod(shape, dtype=int)).reshape(shape), axis=axis)

    def choice(
        self, n: int, size: tuple[int, ...], replace: bool, p: Array | None, shuffle: bool
    ) -> HostArray:
        return np.asarray(self._numbers.choice(n, size, replace, p, shuffle=shuffle))
