"""Multivariate distributions, whose samples are vectors."""

from __future__ import annotations

from ..backends.types import DTypeLike, NestedArrayLike
from ..core.tensor import Tensor
from ..errors import ShapeError
from ..namespace import asarray, isfinite, isnan, linalg, log, matmul, softmax, squeeze
from ..namespace import max as max_of
from .drawing import Size
from .shape_families import ShapeFamilies


class Multivariate(ShapeFamilies):
    """The multivariate distributions of a `Generator`."""

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
