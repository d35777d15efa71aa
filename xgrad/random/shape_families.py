"""Distributions with shape parameters, to which no gradient flows."""

from __future__ import annotations

from ..backends.types import DTypeLike, NestedArrayLike
from ..core.tensor import Tensor
from ..ops.rules import shape_of
from .drawing import Size
from .location_scale import LocationScale

_SHAPE = "use a shape parameter that needs no gradient"


class ShapeFamilies(LocationScale):
    """The distributions of a `Generator` with shape parameters."""

    def standard_gamma(
        self, shape: NestedArrayLike, size: Size = None, dtype: DTypeLike | None = None
    ) -> Tensor:
        """Density x^(shape - 1) exp(-x) / Γ(shape) over x >= 0.

        No gradient flows to `shape`: GraphError if one would be needed.
        """
        return self._gamma("standard_gamma", shape, size, dtype)

    def gamma(
        self,
        shape: NestedArrayLike,
        scale: NestedArrayLike = 1.0,
        size: Size = None,
        *,
        dtype: DTypeLike | None = None,
    ) -> Tensor:
        """`scale` times a `standard_gamma`, with mean shape · scale.

        Gradients flow to `scale`, not to `shape`.
        """
        dtype = self._dtype("gamma", dtype, "f")
        scale = self._scale("gamma", "scale", scale, dtype)
        z: Tensor = scale * self._gamma("gamma", shape, size, dtype, shape_of(scale))
        return z

    def chisquare(self, df: NestedArrayLike, size: Size = None, *, dtype: DTypeLike | None = None) -> Tensor:
        """The sum of the squares of `df` standard normal numbers. No gradient flows to `df`."""
        dtype = self._dtype("chisquare", dtype, "f")
        df = self._positive("chisquare", "df", df, dtype)
        return 2.0 * self._draw("standard_gamma", self._size("chisquare", size, shape_of(df)), dtype, df / 2)

    def beta(
        self, a: NestedArrayLike, b: NestedArrayLike, size: Size = None, *, dtype: DTypeLike | None = None
    ) -> Tensor:
        """Density proportional to x^(a - 1) (1 - x)^(b - 1) in [0, 1].

        No gradient flows to its parameters.
        """
        return self._of_two("beta", "a", a, "b", b, size, dtype)

    def standard_t(self, df: NestedArrayLike, size: Size = None, *, dtype: DTypeLike | None = None) -> Tensor:
        """Student's t with `df` degrees of freedom. No gradient flows to `df`."""
        dtype = self._dtype("standard_t", dtype, "f")
        df = self._positive("standard_t", "df", df, dtype)
        return self._draw("standard_t", self._size("standard_t", size, shape_of(df)), dtype, df)

    def f(
        self,
        dfnum: NestedArrayLike,
        dfden: NestedArrayLike,
        size: Size = None,
        *,
        dtype: DTypeLike | None = None,
    ) -> Tensor:
        """The ratio of two chisquares, each divided by its degrees of freedom.

        No gradient flows to its parameters.
        """
        return self._of_two("f", "dfnum", dfnum, "dfden", dfden, size, dtype)

    def wald(
        self,
        mean: NestedArrayLike,
        scale: NestedArrayLike,
        size: Size = None,
        *,
        dtype: DTypeLike | None = None,
    ) -> Tensor:
        """Inverse Gaussian: the time when a Brownian motion first reaches a level.

        No gradient flows to its parameters.
        """
        return self._of_two("wald", "mean", mean, "scale", scale, size, dtype)

    def _of_two(
        self,
        method: str,
        name_a: str,
        a: NestedArrayLike,
        name_b: str,
        b: NestedArrayLike,
        size: Size,
        dtype: DTypeLike | None,
    ) -> Tensor:
        """Draw from a distribution with two positive parameters, both without a derivative."""
        dtype = self._dtype(method, dtype, "f")
        a, b = self._positive(method, name_a, a, dtype), self._positive(method, name_b, b, dtype)
        return self._draw(method, self._size(method, size, shape_of(a), shape_of(b)), dtype, a, b)

    def _gamma(
        self,
        method: str,
        shape: NestedArrayLike,
        size: Size,
        dtype: DTypeLike | None,
        *others: tuple[int, ...],
    ) -> Tensor:
        dtype = self._dtype(method, dtype, "f")
        shape = self._constant(method, "shape", shape, "float64", _SHAPE)
        self._refuse(method, "shape must be at least 0", lambda shape: shape < 0, shape)
        return self._draw("standard_gamma", self._size(method, size, shape_of(shape), *others), dtype, shape)

    def _positive(self, method: str, name: str, value: NestedArrayLike, dtype: DTypeLike) -> Tensor | float:
        """Check a shape parameter: positive, and without a derivative."""
        found = self._constant(method, name, value, "float64", _SHAPE)
        self._refuse(method, f"{name} must be positive", lambda x: x <= 0, found)
        return found
