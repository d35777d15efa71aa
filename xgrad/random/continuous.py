"""Continuous distributions: shifted and scaled standard noise, so that gradients reach the parameters."""

from __future__ import annotations

from ..backends.types import DTypeLike, NestedArrayLike
from ..core.dispatch import apply
from ..core.tensor import Tensor
from ..errors import ShapeError
from ..namespace import (
    asarray,
    clip,
    exp,
    isfinite,
    isnan,
    linalg,
    log,
    matmul,
    maximum,
    minimum,
    softmax,
    squeeze,
    where,
)
from ..namespace import max as max_of
from ..ops.rules import shape_of
from ..ops.special import NORMAL_CDF, NORMAL_QUANTILE
from .drawing import Size
from .inverted import Inverted

_FAR = 37.0  # standard deviations beyond which normal probabilities underflow in float64
_SHAPE = "use a shape parameter that needs no gradient"


class Continuous(Inverted):
    """The continuous distributions of a `Generator`."""

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

    def dirichlet(
        self, alpha: NestedArrayLike, size: Size = None, *, dtype: DTypeLike | None = None
    ) -> Tensor:
        """Positive numbers that sum to 1 along the last axis, with means alpha / Σ alpha.

        No gradient flows to `alpha`.

        `alpha` has shape (..., k), the result `size` + (k,). Gamma(alpha) is drawn as Gamma(alpha + 1) times
        u^(1 / alpha), in logarithms, since small alphas give tiny numbers; so the numbers differ from
        NumPy's.
        """
        dtype = self._dtype("dirichlet", dtype, "f")
        alpha = asarray(self._positive("dirichlet", "alpha", alpha, "float64"), device=self._home)
        if alpha.ndim == 0 or alpha.shape[-1] == 0:
            raise ShapeError(
                f"dirichlet takes alpha of shape (..., k) with at least one number in each row, not "
                f"{alpha.shape}"
            )
        size = (*self._size("dirichlet", size, alpha.shape[:-1]), alpha.shape[-1])
        gammas = self._draw("standard_gamma", size, "float64", alpha + 1)
        return softmax(
            log(gammas) - self._draw("standard_exponential", size, "float64") / alpha, axis=-1
        ).astype(dtype)

    def gumbel_softmax(
        self,
        logits: NestedArrayLike,
        temperature: NestedArrayLike = 1.0,
        size: Size = None,
        *,
        axis: int = -1,
        dtype: DTypeLike | None = None,
    ) -> Tensor:
        """Relaxed categorical sample along `axis`: softmax((logits + g) / temperature).

        The probabilities are softmax(logits). It is differentiable in both parameters, and approaches a
        one-hot vector as the temperature falls. `size` is the shape without `axis`. E. Jang et al.,
        Categorical reparameterization with Gumbel-softmax (2017).
        """
        dtype = self._dtype("gumbel_softmax", dtype, "f")
        logits = asarray(self._parameter("gumbel_softmax", "logits", logits, dtype), device=self._home)
        temperature = self._parameter("gumbel_softmax", "temperature", temperature, dtype)
        self._refuse("gumbel_softmax", "temperature must be positive", lambda t: t <= 0, temperature)
        noisy, axis = self._with_gumbels("gumbel_softmax", logits, axis, size, dtype)
        return softmax(noisy / temperature, axis=axis)

    def multivariate_normal(
        self,
        mean: NestedArrayLike,
        cov: NestedArrayLike,
        size: Size = None,
        *,
        dtype: DTypeLike | None = None,
    ) -> Tensor:
        """Normally distributed vectors: mean + L z, where L Lᵀ = cov.

        `mean` has shape (..., k), `cov` (..., k, k). `size` is the shape without the vectors' axis. NumPy
        factors `cov` differently, so its numbers differ, with the same distribution. Raises ValueError for a
        covariance that is not symmetric and positive definite.
        """
        dtype, method = self._dtype("multivariate_normal", dtype, "f"), "multivariate_normal"
        mean, cov = (
            asarray(self._parameter(method, n, v, dtype), device=self._home)
            for n, v in (("mean", mean), ("cov", cov))
        )
        if mean.ndim < 1 or cov.ndim < 2 or cov.shape[-2:] != (mean.shape[-1],) * 2:
            raise ShapeError(
                f"{method} takes a mean of shape (..., k) and cov of shape (..., k, k), not {mean.shape} and "
                f"{cov.shape}"
            )
        size = (*self._size(method, size, mean.shape[:-1], cov.shape[:-2]), mean.shape[-1])
        self._refuse(
            method,
            "cov must be symmetric",
            lambda c: abs(c - c.mT) > 1e-4 * max_of(abs(c)) if c.size else False,
            cov,
        )
        definite = "cov must be positive definite; add a small multiple of xg.eye(k) to it"
        try:
            factor = linalg.cholesky(cov)
        except ValueError as error:
            raise ValueError(f"{method}: {definite}") from error
        self._refuse(method, definite, isnan, factor)
        z: Tensor = mean + squeeze(
            matmul(factor, self._draw("standard_normal", size, dtype)[..., None]), axis=-1
        )
        return z

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

    def _scale(self, method: str, name: str, value: NestedArrayLike, dtype: DTypeLike) -> Tensor | float:
        """Check a non-negative parameter."""
        scale = self._parameter(method, name, value, dtype)
        self._refuse(method, f"{name} must be at least 0", lambda scale: scale < 0, scale)
        return scale

    def _positive(self, method: str, name: str, value: NestedArrayLike, dtype: DTypeLike) -> Tensor | float:
        """Check a shape parameter: positive, and without a derivative."""
        found = self._constant(method, name, value, "float64", _SHAPE)
        self._refuse(method, f"{name} must be positive", lambda x: x <= 0, found)
        return found

    def _with_gumbels(
        self, method: str, logits: Tensor, axis: int, size: Size, dtype: DTypeLike
    ) -> tuple[Tensor, int]:
        """Logits plus Gumbel noise, whose argmax is the sample, and the axis of choices.

        Their shape is `size` with `axis` inserted.
        """
        if not -logits.ndim <= axis < logits.ndim or logits.shape[axis] == 0:
            raise ShapeError(
                f"{method} takes logits with at least one choice along axis={axis}, not shape {logits.shape}"
            )
        self._refuse(
            method,
            f"the largest of the logits along axis={axis} must be finite",
            lambda x: ~isfinite(max_of(x, axis=axis)),
            logits,
        )
        # negative, so that broadcasting does not change it
        back = -1 - axis if axis < 0 else logits.ndim - 1 - axis
        rest = tuple(n for i, n in enumerate(reversed(logits.shape)) if i != back)[::-1]
        batch = self._size(method, size, rest)
        at = len(batch) - back
        if at < 0:
            raise ShapeError(
                f"{method}: size={batch} has too few axes to insert axis={axis} of logits of shape "
                f"{logits.shape}; size is the shape without that axis"
            )
        return logits + self._draw("gumbel", (*batch[:at], logits.shape[axis], *batch[at:]), dtype), -1 - back
