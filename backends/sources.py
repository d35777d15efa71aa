"""Sources of random numbers; the default on every device is NumPy's generator on the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, Self, TypeAlias

import numpy as np

from .types import Array, DTypeLike, HostArray

#: Seed of a generator; None takes entropy from the operating system.
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


def entropy(seed: Seed) -> int:
    """64 bits of a seed, well mixed."""
    if isinstance(seed, np.random.BitGenerator | np.random.Generator):
        return int(np.random.default_rng(seed).integers(2**64, dtype="uint64"))
    sequence = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    return int(sequence.generate_state(1, "uint64")[0])


class Source(Protocol):
    """A source of random arrays.

    Parameters are numbers, or arrays on the device `place`; results are arrays there.
    """

    place: str

    @property
    def state(self) -> dict[str, Any]:
        """The complete state, as JSON-serialisable data."""

    @state.setter
    def state(self, value: dict[str, Any]) -> None: ...

    def spawn(self, count: int) -> list[Self]:
        """Make sources that are independent of this one and of each other."""

    def draw(self, name: str, params: tuple[Any, ...], size: tuple[int, ...], dtype: DTypeLike) -> Array:
        """Draw from a distribution of `CONTINUOUS` or `DISCRETE`.

        The shape is `size`, to which `params` broadcast. Raises ValueError for integers out of range of
        `dtype`.
        """

    def permutation(self, n: int) -> Array:
        """Random permutation of the integers below `n`."""

    def permuted(self, shape: tuple[int, ...], axis: int) -> Array:
        """Flat indices into an array of `shape`, shuffled along `axis`, each line independently."""

    def choice(self, n: int, size: tuple[int, ...], replace: bool, p: Array | None, shuffle: bool) -> Array:
        """Draw integers below `n`, with or without replacement, with probabilities `p` (None: uniform)."""


def fitting(name: str, values: HostArray, dtype: np.dtype[Any]) -> HostArray:
    """Convert `values` to `dtype`; raise ValueError for integers out of range."""
    if (
        values.dtype.kind in "iu"
        and dtype.kind in "iu"
        and values.size
        and not np.can_cast(values.dtype, dtype)
    ):
        least, most = int(values.min()), int(values.max())
        if least < np.iinfo(dtype).min or most > np.iinfo(dtype).max:
            raise ValueError(
                f"{name}: dtype={dtype} cannot hold the numbers drawn, from {least} to {most}; pass a larger "
                f"dtype"
            )
    return values.astype(dtype, copy=False)


class HostSource:
    """NumPy's generator: bit-identical numbers in float64, rounded for other dtypes."""

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
        if name == "multinomial":  # NumPy appends the axis of results itself
            size = size[:-1]
        state = self.state if wanted.kind in "iu" and wanted.itemsize < 8 else None
        try:
            values = fitting(name, np.asarray(getattr(self._numbers, name)(*params, size=size)), wanted)
        except ValueError:
            if state is not None:
                self.state = state
            raise
        if name == "random" and wanted != np.float64:  # rounding could give 1
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
