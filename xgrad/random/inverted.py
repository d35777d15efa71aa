"""Distributions by inverse transform of exponential or uniform noise, differentiable in all parameters."""

from __future__ import annotations

from ..backends.types import DTypeLike, NestedArrayLike
from ..core.dispatch import apply
from ..core.tensor import Tensor
from ..namespace import asarray, clip, expm1, maximum, minimum, sqrt, where
from ..ops.rules import shape_of
from ..ops.special import NORMAL_CDF, NORMAL_QUANTILE
from .drawing import Drawing, Size

_FAR = 37.0  # standard deviations beyond which normal probabilities underflow in float64


class Inverted(Drawing):
    """The distributions of a `Generator` that are functions of one noise variable."""

    def pareto(self, a: NestedArrayLike, size: Size = None, *, dtype: DTypeLike | None = None) -> Tensor:
        """Density a / (1 + x)^(a + 1) over x >= 0: e^(E / a) - 1."""
        noise, a = self._exponent("pareto", a, size, dtype)
        return expm1(noise / a)

    def power(self, a: NestedArrayLike, size: Size = None, *, dtype: DTypeLike | None = None) -> Tensor:
        """Density a x^(a - 1) in [0, 1]: (1 - e^-E)^(1 / a)."""
        noise, a = self._exponent("power", a, size, dtype)
        z: Tensor = (-expm1(-noise)) ** (1 / a)
        return z

    def weibull(self, a: NestedArrayLike, size: Size = None, *, dtype: DTypeLike | None = None) -> Tensor:
        """Density a x^(a - 1) exp(-x^a) over x >= 0: E^(1 / a)."""
        noise, a = self._exponent("weibull", a, size, dtype)
        z: Tensor = noise ** (1 / a)
        return z

    def rayleigh(
        self, scale: NestedArrayLike = 1.0, size: Size = None, *, dtype: DTypeLike | None = None
    ) -> Tensor:
        """The length of a vector of two normal numbers with deviation `scale`: scale √(2 E)."""
        dtype = self._dtype("rayleigh", dtype, "f")
        scale = self._scale("rayleigh", "scale", scale, dtype)
        z: Tensor = scale * sqrt(
            2 * self._draw("standard_exponential", self._size("rayleigh", size, shape_of(scale)), dtype)
        )
        return z

    def triangular(
        self,
        left: NestedArrayLike,
        mode: NestedArrayLike,
        right: NestedArrayLike,
        size: Size = None,
        *,
        dtype: DTypeLike | None = None,
    ) -> Tensor:
        """Density that rises linearly from `left` to `mode` and falls linearly to `right`."""
        dtype, named = self._dtype("triangular", dtype, "f"), {"left": left, "mode": mode, "right": right}
        left, mode, right = params = [
            self._parameter("triangular", name, value, dtype) for name, value in named.items()
        ]
        self._refuse(
            "triangular", "mode must be between left and right", lambda a, m, b: (a > m) | (m > b), *params
        )
        self._refuse("triangular", "left must be less than right", lambda a, b: a >= b, left, right)
        u = self._draw("random", self._size("triangular", size, *map(shape_of, params)), dtype)
        rising = u <= (mode - left) / (right - left)
        root = sqrt((right - left) * where(rising, u * (mode - left), (1 - u) * (right - mode)))
        return where(rising, left + root, right - root)

    def truncated_normal(
        self,
        low: NestedArrayLike,
        high: NestedArrayLike,
        loc: NestedArrayLike = 0.0,
        scale: NestedArrayLike = 1.0,
        size: Size = None,
        *,
        dtype: DTypeLike | None = None,
    ) -> Tensor:
        """Normal distribution truncated to [low, high], by the inverse distribution function.

        Differentiable in all four parameters. A bound may be infinite. Raises ValueError for an empty
        interval, or one so far out that its probability underflows in float64.
        """
        dtype, method = self._dtype("truncated_normal", dtype, "f"), "truncated_normal"
        named = {"low": low, "high": high, "loc": loc, "scale": scale}
        params = [self._parameter(method, name, value, "float64") for name, value in named.items()]
        self._refuse(method, "scale must be positive", lambda scale: scale <= 0, params[3])
        self._refuse(method, "low must be less than high", lambda low, high: low >= high, *params[:2])
        size = self._size(method, size, *map(shape_of, params))
        low, high, loc, scale = (asarray(p, dtype="float64", device=self._home) for p in params)
        # A bound that is far out or infinite is treated as if it were absent: it moves with loc and scale.
        a = (maximum(low, loc - _FAR * scale) - loc) / scale
        b = (minimum(high, loc + _FAR * scale) - loc) / scale
        # mostly right of the mean, where probabilities are near 1 and lose precision
        right = a > -b
        p, q = (apply(NORMAL_CDF, (x,)) for x in (where(right, -b, a), where(right, -a, b)))
        self._refuse(
            method,
            "the interval from low to high is too far from loc: its probability underflows in float64",
            lambda p, q: (p >= q) | (q != q),
            p,
            q,
        )
        z = apply(NORMAL_QUANTILE, (p + self._draw("random", size, "float64") * (q - p),))
        return clip(loc + scale * where(right, -z, z), low, high).astype(dtype)

    def _exponent(
        self, method: str, a: NestedArrayLike, size: Size, dtype: DTypeLike | None
    ) -> tuple[Tensor, Tensor | float]:
        """Exponential noise, and the positive parameter `a`."""
        dtype = self._dtype(method, dtype, "f")
        a = self._parameter(method, "a", a, dtype)
        self._refuse(method, "a must be positive", lambda a: a <= 0, a)
        return self._draw("standard_exponential", self._size(method, size, shape_of(a)), dtype), a
