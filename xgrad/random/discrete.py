"""Discrete distributions, choices and permutations.

Nothing here has a derivative in its parameters, but elements chosen from a Tensor pass gradients.
"""

from __future__ import annotations

import builtins
from typing import NoReturn

from ..backends.dtypes import iinfo
from ..backends.types import DTypeLike, NestedArrayLike
from ..core.tensor import Tensor
from ..errors import ShapeError
from ..namespace import argmax, asarray, count_nonzero, reshape, take
from ..namespace import sum as sum_of
from ..ops.rules import shape_of
from .drawing import Size
from .multivariate import Multivariate

_RELAX = "use gumbel_softmax, which has one"
_REAL = "biuf"


class Discrete(Multivariate):
    """The discrete distributions of a `Generator`."""

    def integers(
        self,
        low: NestedArrayLike,
        high: NestedArrayLike | None = None,
        size: Size = None,
        dtype: DTypeLike | None = None,
        endpoint: bool = False,
    ) -> Tensor:
        """Integers from `low` to `high`, excluding `high` unless `endpoint` is set.

        If `high` is None, from 0 to `low`.
        """
        dtype, method = self._dtype("integers", dtype, _REAL, "int64"), "integers"
        low, high = (0, low) if high is None else (low, high)
        low, high = self._whole(method, "low", low), self._whole(method, "high", high)
        if endpoint:
            self._refuse(method, "low must be at most high", lambda low, high: low > high, low, high)
            high = high + 1
        self._refuse(method, "low must be less than high", lambda low, high: low >= high, low, high)
        return self._draw(
            "integers", self._size(method, size, shape_of(low), shape_of(high)), dtype, low, high
        )

    def poisson(
        self, lam: NestedArrayLike = 1.0, size: Size = None, *, dtype: DTypeLike | None = None
    ) -> Tensor:
        """Number of events in an interval, `lam` on average.

        No gradient flows to `lam`.
        """
        dtype = self._dtype("poisson", dtype, _REAL, "int64")
        lam = self._constant("poisson", "lam", lam, "float64", "use a lam that needs no gradient")
        self._refuse("poisson", "lam must be at least 0", lambda lam: lam < 0, lam)
        return self._draw("poisson", self._size("poisson", size, shape_of(lam)), dtype, lam)

    def binomial(
        self, n: NestedArrayLike, p: NestedArrayLike, size: Size = None, *, dtype: DTypeLike | None = None
    ) -> Tensor:
        """Number of successes in `n` trials, each with probability `p`.

        No gradient flows to `p`.
        """
        dtype = self._dtype("binomial", dtype, _REAL, "int64")
        n, p = self._whole("binomial", "n", n), self._probability("binomial", p)
        self._refuse("binomial", "n must be at least 0", lambda n: n < 0, n)
        return self._draw("binomial", self._size("binomial", size, shape_of(n), shape_of(p)), dtype, n, p)

    def geometric(self, p: NestedArrayLike, size: Size = None, *, dtype: DTypeLike | None = None) -> Tensor:
        """Number of trials up to the first success, each with probability `p`: 1 or more.

        No gradient flows to `p`.
        """
        dtype = self._dtype("geometric", dtype, _REAL, "int64")
        p = self._possible("geometric", p)
        return self._draw("geometric", self._size("geometric", size, shape_of(p)), dtype, p)

    def negative_binomial(
        self, n: NestedArrayLike, p: NestedArrayLike, size: Size = None, *, dtype: DTypeLike | None = None
    ) -> Tensor:
        """Number of failures before the `n`-th success, each trial with probability `p`.

        No gradient flows to its parameters.
        """
        dtype, method = self._dtype("negative_binomial", dtype, _REAL, "int64"), "negative_binomial"
        n, p = (
            self._constant(method, "n", n, "float64", "use an n that needs no gradient"),
            self._possible(method, p),
        )
        self._refuse(method, "n must be positive", lambda n: n <= 0, n)
        return self._draw(method, self._size(method, size, shape_of(n), shape_of(p)), dtype, n, p)

    def multinomial(
        self, n: NestedArrayLike, pvals: NestedArrayLike, size: Size = None, *, dtype: DTypeLike | None = None
    ) -> Tensor:
        """Counts of each outcome in `n` trials with probabilities `pvals`.

        `pvals` sum to 1 along the last axis; `size` is the shape without that axis. No gradient flows to
        `pvals`.
        """
        dtype, method = self._dtype("multinomial", dtype, _REAL, "int64"), "multinomial"
        n = self._whole(method, "n", n)
        p = asarray(self._constant(method, "pvals", pvals, "float64", _RELAX), device=self._home)
        if p.ndim == 0 or p.shape[-1] == 0:
            raise ShapeError(
                f"{method} takes pvals of shape (..., k) with at least one number in each row, not {p.shape}"
            )
        self._refuse(method, "n must be at least 0", lambda n: n < 0, n)
        self._refuse(method, "pvals must be between 0 and 1", lambda p: (p < 0) | (p > 1), p)
        self._refuse(
            method, "pvals must sum to 1 along the last axis", lambda p: abs(sum_of(p, axis=-1) - 1) > 1e-8, p
        )
        return self._draw(
            method, (*self._size(method, size, shape_of(n), p.shape[:-1]), p.shape[-1]), dtype, n, p
        )

    def bytes(self, length: int) -> builtins.bytes:
        """`length` random bytes."""
        found: builtins.bytes = (
            self.integers(2**32, size=-(-length // 4), dtype="uint32")
            .numpy()
            .astype("<u4")
            .tobytes()[:length]
        )
        return found

    def bernoulli(self, p: NestedArrayLike, size: Size = None, *, dtype: DTypeLike | None = None) -> Tensor:
        """1 with probability `p`, else 0.

        The default dtype is int64; bool is allowed too. No gradient flows to `p`.

        >>> import xgrad as xg
        >>> xg.random.default_rng(0).bernoulli(0.5, 4)
        tensor([0, 1, 1, 1])
        """
        dtype = self._dtype("bernoulli", dtype, _REAL, "int64")
        p = self._probability("bernoulli", p)
        z: Tensor = (self._draw("random", self._size("bernoulli", size, shape_of(p)), "float64") < p).astype(
            dtype
        )
        return z

    def categorical(
        self, logits: NestedArrayLike, axis: int = -1, size: Size = None, *, dtype: DTypeLike | None = None
    ) -> Tensor:
        """Indices along `axis` with probabilities softmax(logits), by the Gumbel-max trick.

        `size` is the shape of the result, by default that of `logits` without `axis`. A logit of -inf is
        never chosen. No gradient flows to `logits`; use `gumbel_softmax` for one.
        """
        dtype = self._dtype("categorical", dtype, _REAL, "int64")
        logits = asarray(
            self._constant("categorical", "logits", logits, "float64", _RELAX), device=self._home
        )
        noisy, axis = self._with_gumbels("categorical", logits, axis, size, "float64")
        if dtype.kind in "iu" and noisy.shape[axis] - 1 > iinfo(dtype).max:
            raise ValueError(
                f"categorical: dtype={dtype} cannot hold the indices of {noisy.shape[axis]} choices; pass a "
                f"larger integer dtype"
            )
        return argmax(noisy, axis=axis).astype(dtype)

    def choice(
        self,
        a: NestedArrayLike,
        size: Size = None,
        replace: bool = True,
        p: NestedArrayLike | None = None,
        axis: int = 0,
        shuffle: bool = True,
    ) -> Tensor:
        """Random elements of `a` along `axis`, or integers below `a`, with or without replacement.

        Args:
            a: an integer, or a Tensor, which receives gradients.
            p: probability of each element; uniform if None. It receives no gradient.
            shuffle: whether the order is random too, if `replace` is False.

        Raises ValueError for probabilities that do not sum to 1, and for too many elements without
        replacement.
        """
        self._untraced()
        x, n = self._elements("choice", a, axis)
        wanted = self._size("choice", size)
        count = 1
        for length in wanted:
            count *= length
        if n == 0 and count:
            raise ValueError("choice: there are no elements to choose from")
        if not replace and count > n:
            raise ValueError(
                f"choice: {count} elements cannot be drawn from {n} without replacement; pass replace=True"
            )
        if p is not None:
            p = self._constant("choice", "p", p, "float64", _RELAX)
            if shape_of(p) != (n,):
                raise ShapeError(
                    f"choice: p has shape {shape_of(p)}, but there are {n} elements to choose from; give one "
                    f"probability for each"
                )
            self._refuse("choice", "p must be at least 0", lambda p: p < 0, p)
            self._refuse("choice", "p must sum to 1", lambda p: abs(sum_of(p) - 1) > 1e-8, p)
            self._refuse(
                "choice",
                f"p must be positive for at least {count} elements without replacement",
                lambda p: not replace and count_nonzero(p) < count,
                p,
            )
        found = asarray(self._source.choice(n, wanted, replace, self._raw(p), shuffle), device=self._home)
        if x is None:
            return found
        axis %= x.ndim
        chosen = take(x, reshape(found, (-1,)), axis=axis)
        return reshape(chosen, (*x.shape[:axis], *wanted, *x.shape[axis + 1 :]))

    def permutation(self, x: NestedArrayLike, axis: int = 0) -> Tensor:
        """Random permutation of the integers below `x`, or of the slices of a Tensor along `axis`.

        Gradients flow back to the original positions.

        >>> import xgrad as xg
        >>> xg.random.default_rng(0).permutation(5)
        tensor([2, 4, 3, 0, 1])
        """
        self._untraced()
        t, n = self._elements("permutation", x, axis)
        order = asarray(self._source.permutation(n), device=self._home)
        return order if t is None else take(t, order, axis=axis)

    def permuted(self, x: NestedArrayLike, axis: int | None = None) -> Tensor:
        """Shuffle the elements of `x` along `axis`, each line independently; all elements for None.

        Gradients flow back to the original positions.
        """
        self._untraced()
        t = self._elements("permuted", x, axis or 0)[0] if not isinstance(x, int) else None
        if t is None:
            raise TypeError(
                f"permuted takes an array with at least one axis, not {x!r}; use permutation({x!r}) for a "
                f"permutation of integers"
            )
        places = self._source.permuted(
            (t.size,) if axis is None else t.shape, 0 if axis is None else axis % t.ndim
        )
        return reshape(
            take(reshape(t, (-1,)), reshape(asarray(places, device=self._home), (-1,)), axis=0), t.shape
        )

    def shuffle(self, x: object, axis: int = 0) -> NoReturn:
        """Not supported, as the values of Tensors are not changed in place."""
        raise TypeError(
            "shuffle works in place, which Tensors do not support: write x = rng.permutation(x, axis)"
        )

    def _elements(self, method: str, x: NestedArrayLike, axis: int) -> tuple[Tensor | None, int]:
        """The population: a Tensor and its length along `axis`, or None and an integer."""
        if hasattr(x, "__index__") and not getattr(x, "shape", ()) and not isinstance(x, Tensor):
            if x.__index__() < 0:
                raise ValueError(f"{method}: the number of elements must be at least 0, not {x}")
            return None, x.__index__()
        t = x if isinstance(x, Tensor) else asarray(x, device=self._home)
        if t.device is not self._home:
            self._parameter(
                method, "a" if method == "choice" else "x", t, t.dtype
            )  # raises an error that says what is wrong
        if not -t.ndim <= axis < t.ndim:
            raise ShapeError(f"{method}: axis {axis} is out of range for an array of shape {t.shape}")
        return t, t.shape[axis]

    def _whole(self, method: str, name: str, value: NestedArrayLike) -> Tensor | float:
        """Check an integer parameter."""
        if isinstance(value, list):
            value = asarray(value, device=self._home)
        if isinstance(value, float) or (
            hasattr(value, "dtype") and str(value.dtype).startswith(("float", "complex"))
        ):
            raise TypeError(
                f"{method}: {name} must be an integer or an array of integers, not "
                f"{value if isinstance(value, float) else value.dtype}"
            )
        found = self._parameter(method, name, value, "int64")
        return found if isinstance(found, Tensor) else int(found)

    def _probability(self, method: str, p: NestedArrayLike) -> Tensor | float:
        found = self._constant(method, "p", p, "float64", _RELAX)
        self._refuse(method, "p must be between 0 and 1", lambda p: (p < 0) | (p > 1), found)
        return found

    def _possible(self, method: str, p: NestedArrayLike) -> Tensor | float:
        """Check a probability that must be positive."""
        found = self._probability(method, p)
        self._refuse(method, "p must be greater than 0", lambda p: p == 0, found)
        return found
