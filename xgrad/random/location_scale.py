"""Location-scale families: standard noise, shifted and scaled, so that gradients reach both parameters."""

from __future__ import annotations

from ..backends.types import DTypeLike, NestedArrayLike
from ..core.tensor import Tensor
from ..namespace import exp
from ..ops.rules import shape_of
from .drawing import Size
from .inverted import Inverted


class LocationScale(Inverted):
    """The distributions of a `Generator` with a location or a scale."""

    def random(self, size: Size = None, dtype: DTypeLike | None = None) -> Tensor:
        """Uniformly distributed in [0, 1); 1 is excluded in every dtype."""
        return self._standard("random", size, dtype)

    def standard_normal(self, size: Size = None, dtype: DTypeLike | None = None) -> Tensor:
        """Normally distributed with mean 0 and standard deviation 1."""
        return self._standard("standard_normal", size, dtype)

    def standard_exponential(self, size: Size = None, dtype: DTypeLike | None = None) -> Tensor:
        """Density exp(-x) over x >= 0."""
        return self._standard("standard_exponential", size, dtype)

    def standard_cauchy(self, size: Size = None, *, dtype: DTypeLike | None = None) -> Tensor:
        """Density 1 / (π (1 + x²)), which has no mean."""
        return self._standard("standard_cauchy", size, dtype)

    def uniform(
        self,
        low: NestedArrayLike = 0.0,
        high: NestedArrayLike = 1.0,
        size: Size = None,
        *,
        dtype: DTypeLike | None = None,
    ) -> Tensor:
        """Uniformly distributed in [low, high): low + (high - low) u.

        Raises ValueError for high < low.
        """
        dtype = self._dtype("uniform", dtype, "f")
        low, high = (
            self._parameter("uniform", "low", low, dtype),
            self._parameter("uniform", "high", high, dtype),
        )
        self._refuse("uniform", "high must be at least low", lambda low, high: high < low, low, high)
        self._refuse(
            "uniform", "high - low must be finite", lambda d: (d != d) | (d == float("inf")), high - low
        )
        size = self._size("uniform", size, shape_of(low), shape_of(high))
        z: Tensor = low + (high - low) * self._draw("random", size, dtype)
        return z

    def normal(
        self,
        loc: NestedArrayLike = 0.0,
        scale: NestedArrayLike = 1.0,
        size: Size = None,
        *,
        dtype: DTypeLike | None = None,
    ) -> Tensor:
        """Normally distributed with mean `loc` and standard deviation `scale`: loc + scale z.

        >>> import xgrad as xg
        >>> rng = xg.random.default_rng(0)
        >>> xg.grad(lambda scale: rng.normal(1.0, scale))(2.0)      # the z that was drawn
        tensor(0.12573022)
        """
        return self._located("normal", "standard_normal", "loc", loc, "scale", scale, size, dtype)

    def lognormal(
        self,
        mean: NestedArrayLike = 0.0,
        sigma: NestedArrayLike = 1.0,
        size: Size = None,
        *,
        dtype: DTypeLike | None = None,
    ) -> Tensor:
        """Numbers whose logarithms are normally distributed with `mean` and `sigma`."""
        return exp(self._located("lognormal", "standard_normal", "mean", mean, "sigma", sigma, size, dtype))

    def laplace(
        self,
        loc: NestedArrayLike = 0.0,
        scale: NestedArrayLike = 1.0,
        size: Size = None,
        *,
        dtype: DTypeLike | None = None,
    ) -> Tensor:
        """Density exp(-|x - loc| / scale) / (2 scale)."""
        return self._located("laplace", "laplace", "loc", loc, "scale", scale, size, dtype)

    def logistic(
        self,
        loc: NestedArrayLike = 0.0,
        scale: NestedArrayLike = 1.0,
        size: Size = None,
        *,
        dtype: DTypeLike | None = None,
    ) -> Tensor:
        """Distribution function sigmoid((x - loc) / scale)."""
        return self._located("logistic", "logistic", "loc", loc, "scale", scale, size, dtype)

    def gumbel(
        self,
        loc: NestedArrayLike = 0.0,
        scale: NestedArrayLike = 1.0,
        size: Size = None,
        *,
        dtype: DTypeLike | None = None,
    ) -> Tensor:
        """Distribution function exp(-exp(-(x - loc) / scale)): an extreme value distribution, of maxima."""
        return self._located("gumbel", "gumbel", "loc", loc, "scale", scale, size, dtype)

    def exponential(
        self, scale: NestedArrayLike = 1.0, size: Size = None, *, dtype: DTypeLike | None = None
    ) -> Tensor:
        """Density exp(-x / scale) / scale over x >= 0, with mean `scale`."""
        dtype = self._dtype("exponential", dtype, "f")
        scale = self._scale("exponential", "scale", scale, dtype)
        z: Tensor = scale * self._draw(
            "standard_exponential", self._size("exponential", size, shape_of(scale)), dtype
        )
        return z

    def _standard(self, name: str, size: Size, dtype: DTypeLike | None) -> Tensor:
        dtype = self._dtype(name, dtype, "f")
        return self._draw(name, self._size(name, size), dtype)

    def _located(
        self,
        method: str,
        noise: str,
        loc_name: str,
        loc: NestedArrayLike,
        scale_name: str,
        scale: NestedArrayLike,
        size: Size,
        dtype: DTypeLike | None,
    ) -> Tensor:
        """Draw loc + scale * noise."""
        dtype = self._dtype(method, dtype, "f")
        loc, scale = (
            self._parameter(method, loc_name, loc, dtype),
            self._scale(method, scale_name, scale, dtype),
        )
        z: Tensor = loc + scale * self._draw(
            noise, self._size(method, size, shape_of(loc), shape_of(scale)), dtype
        )
        return z
