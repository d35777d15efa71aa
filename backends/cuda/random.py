"""CuPy's own random numbers, drawn on the GPU: `default_rng(seed, native=True)` there."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..sources import Seed, fitting
from ..types import DType, DTypeLike

if TYPE_CHECKING:
    from cupy import ndarray as Array


class CudaSource:
    """CuPy's own generator, drawing on the GPU in float32 or float64.

    Its numbers differ from the host's for the same seed. CuPy does not expose its state, so it can be neither
    saved nor copied.
    """

    def __init__(self, cupy: ModuleType, index: int, seed: Seed) -> None:
        self.place = f"cuda:{index}"
        self._cupy, self._index = cupy, index
        self._seeds = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)  # type: ignore[arg-type]  # which says what it takes
        with cupy.cuda.Device(index):
            self._numbers = cupy.random.default_rng(self._seeds)

    @property
    def state(self) -> dict[str, Any]:
        raise TypeError(_NO_STATE)

    @state.setter
    def state(self, value: dict[str, Any]) -> None:
        raise TypeError(_NO_STATE)

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError(_NO_STATE)

    def spawn(self, count: int) -> list[CudaSource]:
        return [CudaSource(self._cupy, self._index, seeds) for seeds in self._seeds.spawn(count)]

    def draw(self, name: str, params: tuple[Any, ...], size: tuple[int, ...], dtype: DTypeLike) -> Array:
        if name != "integers":  # CuPy takes arrays or floats
            params = tuple(float(p) if isinstance(p, int) else p for p in params)
        with self._cupy.cuda.Device(self._index):
            return fitting(name, getattr(self, f"_{name}")(size, np.dtype(dtype), *params), np.dtype(dtype))

    def permutation(self, n: int) -> Array:
        return self.permuted((n,), 0)

    def permuted(self, shape: tuple[int, ...], axis: int) -> Array:
        with self._cupy.cuda.Device(self._index):
            places = self._cupy.arange(int(np.prod(shape, dtype=int))).reshape(shape)
            return self._cupy.take_along_axis(
                places, self._cupy.argsort(self._numbers.random(shape), axis=axis), axis=axis
            )

    def choice(self, n: int, size: tuple[int, ...], replace: bool, p: Array | None, shuffle: bool) -> Array:
        cp, count = self._cupy, int(np.prod(size, dtype=int))
        with cp.cuda.Device(self._index):
            if replace and p is None:
                return self._numbers.integers(0, n, size)
            if replace:
                total = cp.cumsum(p)
                return cp.minimum(
                    cp.searchsorted(total / total[-1], self._numbers.random(size), side="right"), n - 1
                )
            # the first elements are a draw without replacement
            keys = self._gumbel((n,), np.dtype(float)) + (0 if p is None else cp.log(p))
            return cp.argsort(-keys)[:count].reshape(size)

    def _random(self, size: tuple[int, ...], dtype: DType) -> Array:
        values = self._numbers.random(size, self._drawn(dtype)).astype(dtype, copy=False)
        return self._cupy.minimum(values, np.nextafter(dtype.type(1), dtype.type(0)))

    def _standard_normal(self, size: tuple[int, ...], dtype: DType) -> Array:
        return self._numbers.standard_normal(size, self._drawn(dtype))

    def _standard_exponential(self, size: tuple[int, ...], dtype: DType) -> Array:
        # avoid log(0)
        return self._cupy.maximum(self._numbers.standard_exponential(size), np.finfo(float).tiny)

    def _gumbel(self, size: tuple[int, ...], dtype: DType) -> Array:
        return -self._cupy.log(self._standard_exponential(size, dtype))

    def _laplace(self, size: tuple[int, ...], dtype: DType) -> Array:
        return self._standard_exponential(size, dtype) - self._standard_exponential(size, dtype)

    def _logistic(self, size: tuple[int, ...], dtype: DType) -> Array:
        return self._gumbel(size, dtype) - self._gumbel(size, dtype)

    def _standard_cauchy(self, size: tuple[int, ...], dtype: DType) -> Array:
        return self._numbers.standard_normal(size) / self._numbers.standard_normal(size)

    def _standard_gamma(self, size: tuple[int, ...], dtype: DType, shape: Array | float) -> Array:
        return self._numbers.standard_gamma(shape, size)

    def _beta(self, size: tuple[int, ...], dtype: DType, a: Array | float, b: Array | float) -> Array:
        return self._numbers.beta(a, b, size)

    def _standard_t(self, size: tuple[int, ...], dtype: DType, df: Array | float) -> Array:
        return self._numbers.standard_normal(size) * self._cupy.sqrt(
            df / 2 / self._numbers.standard_gamma(df / 2, size)
        )

    def _poisson(self, size: tuple[int, ...], dtype: DType, lam: Array | float) -> Array:
        return self._numbers.poisson(lam, size)

    def _binomial(self, size: tuple[int, ...], dtype: DType, n: Array | float, p: Array | float) -> Array:
        return self._numbers.binomial(n, p, size)

    def _f(self, size: tuple[int, ...], dtype: DType, dfnum: Array | float, dfden: Array | float) -> Array:
        return (
            self._numbers.standard_gamma(dfnum / 2, size)
            / dfnum
            / (self._numbers.standard_gamma(dfden / 2, size) / dfden)
        )

    def _wald(self, size: tuple[int, ...], dtype: DType, mean: Array | float, scale: Array | float) -> Array:
        # J. Michael et al., Generating random variates using transformations with multiple roots (1976)
        y = mean / 2 / scale * self._numbers.standard_normal(size) ** 2
        x = mean / (1 + y + self._cupy.sqrt(y * (2 + y)))
        return self._cupy.where(self._numbers.random(size) * (mean + x) <= mean, x, mean**2 / x)

    def _geometric(self, size: tuple[int, ...], dtype: DType, p: Array | float) -> Array:
        failing = -self._cupy.log1p(-self._cupy.minimum(self._cupy.asarray(p), 1 - 2.0**-53))
        return self._cupy.maximum(
            self._cupy.ceil(self._standard_exponential(size, dtype) / failing), 1
        ).astype("int64")

    def _negative_binomial(
        self, size: tuple[int, ...], dtype: DType, n: Array | float, p: Array | float
    ) -> Array:
        return self._numbers.poisson(self._numbers.standard_gamma(n, size) * ((1 - p) / p), size)

    def _multinomial(self, size: tuple[int, ...], dtype: DType, n: Array | float, p: Array) -> Array:
        cp, columns = self._cupy, []
        left = cp.zeros(size[:-1], "int64") + cp.asarray(n, "int64")
        for j in range(size[-1] - 1):  # of the remaining trials, with the conditional probability
            part = cp.clip(p[..., j] / cp.maximum(p[..., j:].sum(axis=-1), np.finfo(float).tiny), 0, 1)
            columns.append(self._numbers.binomial(cp.asarray(left), cp.asarray(part), size[:-1]))
            left = left - columns[-1]
        return cp.stack([*columns, left], axis=-1)

    def _integers(
        self, size: tuple[int, ...], dtype: DType, low: Array | float, high: Array | float
    ) -> Array:
        if isinstance(low, int) and isinstance(high, int):
            return self._numbers.integers(low, high, size, dtype if dtype.kind in "iu" else np.dtype("int64"))
        return low + self._cupy.floor(self._numbers.random(size) * (high - low)).astype("int64")

    def _drawn(self, dtype: DType) -> Any:
        return dtype if dtype in (np.float32, np.float64) else np.dtype(float)


_NO_STATE = (
    "the state of a generator with native=True is on the GPU, and cannot be saved or copied: leave "
    "native=True out, or restart from a seed of your own, such as default_rng([seed, step], native=True)"
)
