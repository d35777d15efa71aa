"""Random numbers: NumPy's where possible, correct moments and gradients, saved states, refusals."""

from __future__ import annotations

import contextlib
import copy
import json
import math
import pickle
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import xgrad as xg
from xgrad.backends.cuda.backend import CudaSource
from xgrad.core.dispatch import apply
from xgrad.ops.special import NORMAL_CDF, NORMAL_QUANTILE

N = 20_000
Draw = Callable[[Any], Any]

#: The same call of our generator and of NumPy's.
SAME: dict[str, Draw] = {
    "random": lambda rng: rng.random((3, 2)),
    "one number": lambda rng: rng.random(),
    "no elements": lambda rng: rng.normal(size=(0, 2)),
    "standard_normal": lambda rng: rng.standard_normal(5),
    "standard_exponential": lambda rng: rng.standard_exponential(5),
    "standard_cauchy": lambda rng: rng.standard_cauchy(5),
    "uniform": lambda rng: rng.uniform(-1.0, 2.0, (2, 3)),
    "uniform of lists": lambda rng: rng.uniform([0.0, 1.0], [[2.0], [3.0]]),
    "normal": lambda rng: rng.normal(1.0, 2.0, (2, 3)),
    "normal of lists": lambda rng: rng.normal([1.0, -1.0], 0.5, size=(4, 2)),
    "lognormal": lambda rng: rng.lognormal(0.5, 0.25, 5),
    "laplace": lambda rng: rng.laplace(1.0, 2.0, 5),
    "logistic": lambda rng: rng.logistic(1.0, 2.0, 5),
    "gumbel": lambda rng: rng.gumbel(1.0, 2.0, 5),
    "exponential": lambda rng: rng.exponential([1.0, 3.0]),
    "standard_gamma": lambda rng: rng.standard_gamma([0.5, 3.0], size=(2, 2)),
    "gamma": lambda rng: rng.gamma(2.0, [1.0, 3.0]),
    "chisquare": lambda rng: rng.chisquare(3.0, 5),
    "beta": lambda rng: rng.beta(0.5, [1.0, 3.0]),
    "standard_t": lambda rng: rng.standard_t([2.0, 5.0]),
    "f": lambda rng: rng.f([2.0, 5.0], 7.0),
    "wald": lambda rng: rng.wald(2.0, [1.0, 3.0]),
    "pareto": lambda rng: rng.pareto([1.5, 3.0]),
    "power": lambda rng: rng.power(2.0, 5),
    "weibull": lambda rng: rng.weibull(2.0, 5),
    "rayleigh": lambda rng: rng.rayleigh([1.0, 2.0]),
    "triangular": lambda rng: rng.triangular(-1.0, [0.0, 2.0], 2.0, (5, 2)),
    "poisson": lambda rng: rng.poisson([0.5, 300.0], size=(3, 2)),
    "binomial": lambda rng: rng.binomial([10, 1000], [[0.5], [0.1]]),
    "geometric": lambda rng: rng.geometric([0.2, 1.0], (3, 2)),
    "negative_binomial": lambda rng: rng.negative_binomial([3, 2.5], 0.4),
    "multinomial": lambda rng: rng.multinomial([20, 5], [[0.2, 0.3, 0.5]], (4, 2)),
    "multinomial of one": lambda rng: rng.multinomial(20, [0.5, 0.0, 0.5]),
    "dtypes by place": lambda rng: (
        rng.random(3, np.float64)
        + rng.standard_normal(3, np.float64)
        + rng.standard_gamma(2.0, 3, np.float64)
    ),
    "integers": lambda rng: rng.integers(7, size=(2, 5)),
    "integers between": lambda rng: rng.integers(-3, 4, 20),
    "integers up to": lambda rng: rng.integers(0, 2, 20, endpoint=True),
    "integers of lists": lambda rng: rng.integers([0, 10], [5, 12]),
    "int32": lambda rng: rng.integers(0, 100, 20, dtype="int32"),
    "int32 by place": lambda rng: rng.integers(0, 3, 3, np.int32, True),
    "choice": lambda rng: rng.choice(5, (2, 3)),
    "choice of one": lambda rng: rng.choice(5),
    "choice by weight": lambda rng: rng.choice(3, 10, p=[0.2, 0.3, 0.5]),
    "choice without replacement": lambda rng: rng.choice(10, 4, replace=False),
    "choice in order": lambda rng: rng.choice(4, 4, replace=False, shuffle=False),
    "permutation": lambda rng: rng.permutation(10),
}


@pytest.mark.parametrize("name", SAME)
def test_numbers_are_those_of_numpy(name: str, device: str) -> None:
    rng, reference = xg.random.default_rng(5), np.random.default_rng(5)
    for _ in range(2):
        ours, theirs = SAME[name](rng), np.asarray(SAME[name](reference))
        assert (ours.shape, ours.dtype, ours.device) == (theirs.shape, theirs.dtype, device)
        # fused multiply-add may change only this much
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=4e-16)
    assert rng.state == reference.bit_generator.state


def test_what_is_drawn_as_it_stands_is_numpys_bit_for_bit(device: str) -> None:
    rng, reference = xg.random.default_rng([1, 2]), np.random.default_rng([1, 2])
    for name in ("random", "standard_normal", "standard_exponential", "standard_cauchy"):
        np.testing.assert_array_equal(getattr(rng, name)(9).numpy(), getattr(reference, name)(9))
    for low, high in ((0, 2), (-5, 5), (0, 2**40)):
        np.testing.assert_array_equal(rng.integers(low, high, 9).numpy(), reference.integers(low, high, 9))


@pytest.mark.parametrize("shape", [(6,), (4, 3)])
def test_orders_are_those_of_numpy(shape: tuple[int, ...], device: str) -> None:
    x = np.arange(math.prod(shape), dtype=float).reshape(shape)
    rng, reference = xg.random.default_rng(0), np.random.default_rng(0)
    for axis in range(-len(shape), len(shape)):
        np.testing.assert_array_equal(
            rng.permutation(xg.asarray(x), axis).numpy(), reference.permutation(x, axis)
        )
        np.testing.assert_array_equal(
            rng.permuted(xg.asarray(x), axis=axis).numpy(), reference.permuted(x, axis=axis)
        )
        np.testing.assert_array_equal(
            rng.choice(xg.asarray(x), (2, 2), axis=axis).numpy(), reference.choice(x, (2, 2), axis=axis)
        )
    np.testing.assert_array_equal(rng.permuted(xg.asarray(x)).numpy(), reference.permuted(x))
    np.testing.assert_array_equal(rng.choice(xg.asarray(x)).numpy(), reference.choice(x))


#: A distribution, its mean and its standard deviation.
MOMENTS: dict[str, tuple[Draw, Any, Any]] = {
    "random": (lambda rng: rng.random(N), 0.5, 12**-0.5),
    "uniform": (lambda rng: rng.uniform(-1, 3, N), 1, 4 * 12**-0.5),
    "normal": (lambda rng: rng.normal(2, 3, N), 2, 3),
    "lognormal": (
        lambda rng: rng.lognormal(0.1, 0.5, N),
        math.exp(0.225),
        math.exp(0.225) * math.sqrt(math.exp(0.25) - 1),
    ),
    "exponential": (lambda rng: rng.exponential(3, N), 3, 3),
    "laplace": (lambda rng: rng.laplace(1, 2, N), 1, 8**0.5),
    "logistic": (lambda rng: rng.logistic(1, 2, N), 1, 2 * math.pi / 3**0.5),
    "gumbel": (lambda rng: rng.gumbel(1, 2, N), 1 + 2 * 0.5772156649, 2 * math.pi / 6**0.5),
    "gamma": (lambda rng: rng.gamma(4, 0.5, N), 2, 1),
    "chisquare": (lambda rng: rng.chisquare(8, N), 8, 4),
    "beta": (lambda rng: rng.beta(2, 3, N), 0.4, 0.2),
    "standard_t": (lambda rng: rng.standard_t(10, N), 0, 1.25**0.5),
    "f": (lambda rng: rng.f(6, 20, N), 20 / 18, 20 / 18 * math.sqrt(2 * 24 / (6 * 16))),
    "wald": (lambda rng: rng.wald(2, 3, N), 2, (8 / 3) ** 0.5),
    "geometric": (lambda rng: rng.geometric(0.3, N), 1 / 0.3, math.sqrt(0.7) / 0.3),
    "negative_binomial": (
        lambda rng: rng.negative_binomial(4, 0.3, N),
        4 * 0.7 / 0.3,
        math.sqrt(4 * 0.7) / 0.3,
    ),
    "multinomial": (lambda rng: rng.multinomial(50, [0.2, 0.3, 0.5], N)[:, 1], 15, 10.5**0.5),
    "poisson": (lambda rng: rng.poisson(9, N), 9, 3),
    "binomial": (lambda rng: rng.binomial(100, 0.2, N), 20, 4),
    "bernoulli": (lambda rng: rng.bernoulli(0.2, N), 0.2, 0.4),
    "dirichlet": (lambda rng: rng.dirichlet([1.0, 3.0, 0.5], N)[:, 1], 3 / 4.5, math.sqrt(2 / 9 / 5.5)),
    "truncated_normal": (
        lambda rng: rng.truncated_normal(0, math.inf, 0, 2, N),
        2 * (2 / math.pi) ** 0.5,
        2 * (1 - 2 / math.pi) ** 0.5,
    ),
    "truncated far out": (lambda rng: rng.truncated_normal(10, math.inf, size=N), 10.0981, 0.0972),
    "categorical": (lambda rng: rng.categorical(xg.log(xg.asarray([0.5, 0.2, 0.3])), size=N), 0.8, 0.76**0.5),
}


@pytest.mark.parametrize("name", MOMENTS)
def test_moments(name: str, device: str) -> None:
    draw, mean, deviation = MOMENTS[name]
    x = draw(xg.random.default_rng(1)).numpy()
    assert x.shape == (N,)
    assert abs(x.mean() - mean) < 5 * deviation / N**0.5
    assert abs(x.std() / deviation - 1) < 0.06


def test_multivariate_normal(device: str) -> None:
    mean, cov = np.array([1.0, -2.0, 0.0]), np.array([[2.0, 0.5, 0.0], [0.5, 1.0, -0.3], [0.0, -0.3, 0.5]])
    x = xg.random.default_rng(0).multivariate_normal(mean, cov, N).numpy()
    assert x.shape == (N, 3)
    np.testing.assert_allclose(x.mean(axis=0), mean, atol=0.05)
    np.testing.assert_allclose(np.cov(x.T), cov, atol=0.07)
    assert xg.random.default_rng(0).multivariate_normal(
        np.zeros((4, 1, 2)), np.stack([np.eye(2)] * 3)
    ).shape == (4, 3, 2)


def test_parts_of_one(device: str) -> None:
    rng = xg.random.default_rng(0)
    alpha = np.array([[1e-3, 1e-3, 1e-3], [100.0, 1.0, 1.0]])
    for x in (rng.dirichlet(alpha, (50, 2)), rng.gumbel_softmax(alpha, 0.5, (50, 2))):
        assert x.shape == (50, 2, 3)
        assert (x.numpy() >= 0).all()
        np.testing.assert_allclose(x.numpy().sum(axis=-1), 1)


def test_choices_along_an_axis(device: str) -> None:
    logits = np.log(np.array([[[0.9, 1e-9], [0.05, 0.5], [0.05, 0.5]]]))  # (1, 3, 2)
    logits[0, 0, 1] = -math.inf
    rng = xg.random.default_rng(0)
    for axis in (1, -2):
        x = rng.categorical(logits, axis, size=(5000, 2)).numpy()
        assert x.shape == (5000, 2)
        np.testing.assert_allclose(np.bincount(x[:, 0], minlength=3) / 5000, [0.9, 0.05, 0.05], atol=0.02)
        np.testing.assert_allclose(np.bincount(x[:, 1], minlength=3) / 5000, [0, 0.5, 0.5], atol=0.03)
        assert rng.gumbel_softmax(logits, 0.1, (4, 7, 2), axis=axis).shape == (4, 7, 3, 2)
    assert rng.categorical(logits, 1).shape == (1, 2)
    assert rng.categorical(logits, 1, (9, 5, 1, 2)).shape == (9, 5, 1, 2)
    hard, soft = (
        xg.random.default_rng(4).categorical([0.3, 0.2, 0.1]),
        xg.random.default_rng(4).gumbel_softmax([0.3, 0.2, 0.1], 0.01),
    )
    assert xg.argmax(soft).item() == hard.item()


@given(
    st.sampled_from(
        [(-1.0, 1.0), (-math.inf, 0.5), (2.0, math.inf), (-math.inf, math.inf), (-9.0, -8.5), (8.0, 9.0)]
    ),
    st.integers(0, 99),
)
def test_truncated_numbers_are_inside(bounds: tuple[float, float], seed: int) -> None:
    x = xg.random.default_rng(seed).truncated_normal(*bounds, size=100).numpy()
    assert ((bounds[0] <= x) & (x <= bounds[1])).all()
    assert np.isfinite(x).all()
    assert len(np.unique(x)) == 100


def test_normal_probabilities(device: str) -> None:
    x = np.array([-37.0, -10.0, -1.0, 0.0, 0.5, 5.0])
    p = apply(NORMAL_CDF, (xg.asarray(x),))
    np.testing.assert_allclose(
        p.numpy()[[0, 1, 2]], [5.725571222524577e-300, 7.619853024160527e-24, 0.15865525393145707], rtol=1e-12
    )
    np.testing.assert_allclose(apply(NORMAL_QUANTILE, (p,)).numpy(), x, rtol=1e-9, atol=1e-15)
    for op in (NORMAL_CDF, NORMAL_QUANTILE):
        assert op.elementwise
        assert apply(op, (xg.asarray([0.25, 0.75], dtype="float32"),)).dtype == "float32"


# Gradients

ONE, TWO = np.array([0.3, -0.7]), np.array([[1.5], [0.8]])
COV = np.array([[2.0, 0.5], [0.5, 1.0]])
DIFFERENTIABLE: dict[str, tuple[Callable[..., Any], tuple[np.ndarray, ...]]] = {
    "uniform": (lambda rng, a, b: rng.uniform(a, b), (ONE, TWO)),
    "normal": (lambda rng, a, b: rng.normal(a, b, (3, 2, 2)), (ONE, TWO)),
    "lognormal": (lambda rng, a, b: rng.lognormal(a, b), (ONE, TWO)),
    "laplace": (lambda rng, a, b: rng.laplace(a, b), (ONE, TWO)),
    "logistic": (lambda rng, a, b: rng.logistic(a, b), (ONE, TWO)),
    "gumbel": (lambda rng, a, b: rng.gumbel(a, b), (ONE, TWO)),
    "exponential": (lambda rng, b: rng.exponential(b), (TWO,)),
    "gamma": (lambda rng, b: rng.gamma(2.0, b, (2, 3)), (TWO,)),
    "pareto": (lambda rng, a: rng.pareto(a), (TWO,)),
    "power": (lambda rng, a: rng.power(a), (TWO,)),
    "weibull": (lambda rng, a: rng.weibull(a), (TWO,)),
    "rayleigh": (lambda rng, b: rng.rayleigh(b), (TWO,)),
    "triangular": (lambda rng, a, m, b: rng.triangular(a, m, b), (ONE, TWO, np.array(4.0))),
    "gumbel_softmax": (lambda rng, a, t: rng.gumbel_softmax(a, t, (2, 3), axis=0), (TWO, np.array(0.7))),
    "multivariate_normal": (
        lambda rng, a, c: rng.multivariate_normal(a, c @ c.mT + xg.eye(2), 3),
        (ONE, COV),
    ),
    "truncated_normal": (
        lambda rng, *x: rng.truncated_normal(*x, size=(2, 4, 1)),
        (np.array(-1.0), np.array(1.7), np.array([0.2]), np.array(0.9)),
    ),
    "truncated on the right": (
        lambda rng, *x: rng.truncated_normal(*x),
        (np.array(3.0), np.array(5.0), np.array(0.2), np.array(0.9)),
    ),
    "truncated on one side": (
        lambda rng, *x: rng.truncated_normal(-math.inf, *x),
        (np.array([1.0, 9.0]), np.array(0.2), np.array(0.9)),
    ),
    "permutation": (lambda rng, x: rng.permutation(x, 1) * xg.asarray([1.0, 2.0]), (COV,)),
    "permuted": (lambda rng, x: rng.permuted(x, axis=0) ** 2, (COV,)),
    "choice": (lambda rng, x: rng.choice(x, (2, 2), p=[0.3, 0.7]) ** 2, (COV,)),
}


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients(name: str, device: str) -> None:
    f, args = DIFFERENTIABLE[name]
    rng = xg.random.default_rng(3)
    state = rng.state

    def again(*parameters: Any) -> Any:
        rng.state = state
        return f(rng, *parameters)

    placed = tuple(xg.asarray(a) for a in args)
    # quantiles are not smooth in their last digits
    xg.check_grads(again, placed, order=2, rtol=1e-6 if "truncated" in name else None)
    _, tangent = xg.jvp(lambda *x: xg.sum(again(*x)), placed, tuple(xg.ones_like(a) for a in placed))
    found = xg.grad(lambda *x: xg.sum(again(*x)), tuple(range(len(args))))(*placed)
    assert tangent.item() == pytest.approx(sum(xg.sum(g).item() for g in found), abs=1e-9)


def test_what_an_infinite_bound_has_no_part_in(device: str) -> None:
    rng = xg.random.default_rng(0)
    for low, high in ((-math.inf, math.inf), (-1e3, 1e3)):
        found = xg.grad(lambda low, high, loc: rng.truncated_normal(low, high, loc, 2.0), (0, 1, 2))(
            low, high, 0.5
        )
        np.testing.assert_allclose([g.item() for g in found], [0, 0, 1], atol=1e-12)


NOT_DIFFERENTIABLE: dict[str, Callable[..., Any]] = {
    "standard_gamma": lambda rng, x: rng.standard_gamma(x),
    "gamma": lambda rng, x: rng.gamma(x, 2.0),
    "chisquare": lambda rng, x: rng.chisquare(x),
    "beta": lambda rng, x: rng.beta(1.0, x),
    "standard_t": lambda rng, x: rng.standard_t(x),
    "f": lambda rng, x: rng.f(3.0, x),
    "wald": lambda rng, x: rng.wald(x, 2.0),
    "geometric": lambda rng, x: rng.geometric(x),
    "negative_binomial": lambda rng, x: rng.negative_binomial(3, x),
    "multinomial": lambda rng, x: rng.multinomial(3, x),
    "dirichlet": lambda rng, x: rng.dirichlet(x),
    "poisson": lambda rng, x: rng.poisson(x),
    "binomial": lambda rng, x: rng.binomial(3, x),
    "bernoulli": lambda rng, x: rng.bernoulli(x),
    "categorical": lambda rng, x: rng.categorical(x),
    "choice": lambda rng, x: rng.choice(2, p=x),
}


@pytest.mark.parametrize("name", NOT_DIFFERENTIABLE)
def test_no_gradient_is_lost_silently(name: str, device: str) -> None:
    rng, draw = xg.random.default_rng(0), NOT_DIFFERENTIABLE[name]
    state = rng.state
    x = xg.tensor([0.25, 0.75], requires_grad=True)
    for attempt in (
        lambda: draw(rng, x),
        lambda: draw(rng, x * 1.0),
        lambda: xg.jvp(lambda x: draw(rng, x) * 1.0, (x.detach(),), (xg.ones(2),)),
    ):
        with pytest.raises(xg.GraphError, match=rf"{name} has no derivative with respect to .*\.detach"):
            attempt()
    assert rng.state == state
    assert not draw(rng, x.detach()).requires_grad
    with xg.no_grad():
        draw(rng, x)


# Refusals, before anything is drawn

REFUSED: list[tuple[Draw, type[Exception], str]] = [
    (lambda rng: rng.normal((2, 3)), TypeError, r"normal: loc .*write normal\(size=\(2, 3\)\)"),
    (lambda rng: rng.uniform((2, 3)), TypeError, "size="),
    (lambda rng: rng.poisson((2, 3)), TypeError, "size="),
    (lambda rng: rng.normal(0.0, -1.0), ValueError, "normal: scale must be at least 0; got -1.0"),
    (lambda rng: rng.lognormal(0.0, [1.0, -1.0]), ValueError, "lognormal: sigma must be at least 0"),
    (lambda rng: rng.exponential(-1), ValueError, "exponential: scale must be at least 0"),
    (lambda rng: rng.gamma(1.0, -1.0), ValueError, "gamma: scale must be at least 0"),
    (lambda rng: rng.gamma(-1.0), ValueError, "gamma: shape must be at least 0"),
    (lambda rng: rng.beta(1.0, [1.0, 0.0]), ValueError, "beta: b must be positive"),
    (lambda rng: rng.chisquare(0), ValueError, "chisquare: df must be positive"),
    (lambda rng: rng.weibull(0.0), ValueError, "weibull: a must be positive"),
    (lambda rng: rng.rayleigh(-1.0), ValueError, "rayleigh: scale must be at least 0"),
    (lambda rng: rng.triangular(0.0, 2.0, 1.0), ValueError, "mode must be between"),
    (lambda rng: rng.dirichlet([1.0, -1.0]), ValueError, "dirichlet: alpha must be positive"),
    (lambda rng: rng.dirichlet(1.0), xg.ShapeError, "shape"),
    (lambda rng: rng.uniform(1.0, 0.0), ValueError, "high must be at least low"),
    (lambda rng: rng.uniform(0.0, math.inf), ValueError, "must be finite"),
    (lambda rng: rng.uniform(0.0, math.nan), ValueError, "high must not be NaN"),
    (lambda rng: rng.poisson(math.nan), ValueError, "lam must not be NaN"),
    (lambda rng: rng.normal(math.nan), ValueError, "loc must not be NaN"),
    (lambda rng: rng.exponential([1.0, math.nan]), ValueError, "scale must not be NaN"),
    (lambda rng: rng.rayleigh(math.nan), ValueError, "scale must not be NaN"),
    (lambda rng: rng.multivariate_normal([math.nan], [[1.0]]), ValueError, "mean must not be NaN"),
    (lambda rng: rng.poisson(300.0, 5, dtype="uint8"), ValueError, "poisson: dtype=uint8 cannot hold"),
    (lambda rng: rng.binomial(1000, 0.5, dtype="int8"), ValueError, "binomial: dtype=int8 cannot hold"),
    (lambda rng: rng.geometric(0.0), ValueError, "p must be greater than 0"),
    (lambda rng: rng.negative_binomial(0, 0.5), ValueError, "n must be positive"),
    (lambda rng: rng.wald(1.0, 0.0), ValueError, "wald: scale must be positive"),
    (lambda rng: rng.multinomial(3, [0.5, 0.6]), ValueError, "sum to 1"),
    (lambda rng: rng.multinomial(3, [-0.5, 1.5]), ValueError, "between 0 and 1"),
    (lambda rng: rng.multinomial(3, 1.0), xg.ShapeError, "pvals of shape"),
    (lambda rng: rng.binomial(-1, 0.5), ValueError, "n must be at least 0"),
    (lambda rng: rng.binomial(1.5, 0.5), TypeError, "must be an integer"),
    (lambda rng: rng.binomial([1.5], 0.5), TypeError, "must be an integer"),
    (lambda rng: rng.bernoulli([0.5, 1.5]), ValueError, "p must be between 0 and 1"),
    (lambda rng: rng.integers(3, 3), ValueError, "low must be less than high"),
    (lambda rng: rng.integers(0, 300, 3, dtype="uint8"), ValueError, "high"),
    (lambda rng: rng.categorical([math.nan, 0.0]), ValueError, "logits must not be NaN"),
    (lambda rng: rng.categorical([[0.0, 0.0]], 2), xg.ShapeError, "axis=2"),
    (lambda rng: rng.categorical(np.zeros((3, 2)), 0, size=()), xg.ShapeError, "size"),
    (lambda rng: rng.gumbel_softmax([0.0, 0.0], 0.0), ValueError, "temperature"),
    (lambda rng: rng.choice(2, p=[0.5, 0.6]), ValueError, "sum to 1"),
    (lambda rng: rng.choice(2, p=[-0.5, 1.5]), ValueError, "p must be at least 0"),
    (lambda rng: rng.choice(2, p=[1.0]), xg.ShapeError, "shape"),
    (lambda rng: rng.choice(2, 3, replace=False), ValueError, "3 elements cannot be drawn from 2"),
    (lambda rng: rng.choice(2, 2, replace=False, p=[1.0, 0.0]), ValueError, "positive for at least 2"),
    (lambda rng: rng.choice(0, 1), ValueError, "no elements"),
    (lambda rng: rng.multivariate_normal([0.0, 0.0], [[1.0, 0.5], [0.0, 1.0]]), ValueError, "symmetric"),
    (
        lambda rng: rng.multivariate_normal([0.0, 0.0], [[1.0, 2.0], [2.0, 1.0]]),
        ValueError,
        "positive definite.*xg.eye",
    ),
    (lambda rng: rng.multivariate_normal([0.0], [[1.0, 0.0], [0.0, 1.0]]), xg.ShapeError, "cov of shape"),
    (lambda rng: rng.truncated_normal(1.0, 1.0), ValueError, "low must be less"),
    (lambda rng: rng.truncated_normal(0.0, 1.0, 0.0, 0.0), ValueError, "scale must be positive"),
    (lambda rng: rng.truncated_normal(50.0, 60.0), ValueError, "too far from loc"),
    (lambda rng: rng.normal([0.0, 1.0, 2.0], size=(2, 2)), xg.ShapeError, r"normal: .*\(3,\).*\(2, 2\)"),
    (lambda rng: rng.normal([[0.0], [1.0]], size=2), xg.ShapeError, r"size=\(2,\)"),
    (lambda rng: rng.normal([0.0, 1.0, 2.0], [1.0, 2.0]), xg.ShapeError, "do not broadcast"),
    (lambda rng: rng.normal(size=-1), ValueError, "size must not be negative"),
    (lambda rng: rng.normal(size=2.5), TypeError, "2.5"),
    (lambda rng: rng.normal(size=True), TypeError, "True"),
    (lambda rng: rng.normal(size=2, dtype="int64"), TypeError, "real and floating-point"),
    (lambda rng: rng.normal(size=2, dtype="complex128"), TypeError, "real and imaginary parts"),
    (lambda rng: rng.normal(np.array([1j])), TypeError, "must be real"),
    (lambda rng: rng.shuffle(xg.zeros(3)), TypeError, "x = rng.permutation"),
    (lambda rng: rng.permuted(3), TypeError, "permutation"),
    (lambda rng: rng.permutation(xg.zeros(3), 1), xg.ShapeError, "axis 1"),
    (lambda rng: rng.permutation(-1), ValueError, "number of elements must be at least 0"),
]


@pytest.mark.parametrize("i", range(len(REFUSED)))
def test_refusals_leave_the_state(i: int, device: str) -> None:
    draw, error, message = REFUSED[i]
    rng = xg.random.default_rng(0)
    state = rng.state
    with pytest.raises(error, match=message):
        draw(rng)
    assert rng.state == state


def _step(draw: Draw, carry: Any, x: Any) -> Any:
    return carry, draw(x)


def test_a_trace_is_refused() -> None:
    rng = xg.random.default_rng(0)
    state = rng.state
    draws: tuple[Draw, ...] = (
        lambda x: rng.normal(x),
        lambda x: rng.permutation(x),
        lambda x: rng.permuted(x),
        lambda x: rng.choice(x),
        lambda x: rng.integers(3),
    )
    for draw in (*draws, lambda x: rng.truncated_normal(x, 3.0), lambda x: rng.categorical(x)):
        with pytest.raises(xg.TraceError, match="Draw them before"):
            xg.compile(draw)(np.ones(2))
        with pytest.raises(xg.TraceError, match="Draw them before"):
            xg.scan(partial(_step, draw), 0.0, np.ones((3, 2)))
    assert rng.state == state


def test_parameters_on_another_device() -> None:
    rng = xg.random.default_rng(0, device="cpu")
    state = rng.state
    x = xg.asarray([1.0], device="strict:1")
    for draw in (rng.normal, rng.permutation, rng.poisson):
        with pytest.raises(
            xg.DeviceError,
            match=r"(loc|x|lam) is on strict:1, but the generator is for cpu; move \1 with .to\('cpu'\)",
        ):
            draw(x)
    assert rng.state == state


# dtypes and devices


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtypes(dtype: str, device: str) -> None:
    rng = xg.random.default_rng(0)
    loc = xg.tensor([1.0, 2.0], requires_grad=True, dtype=xg.float32)
    for x in (
        rng.random(3, dtype=dtype),
        rng.uniform(loc, 3.0, dtype=dtype),
        rng.normal(loc, [1.0, 2.0], dtype=dtype),
        rng.beta(1, 2, dtype=dtype),
        rng.truncated_normal(loc, 9, dtype=dtype),
        rng.dirichlet([1.0, 2.0], dtype=dtype),
        rng.poisson(3.0, 3, dtype=dtype),
    ):
        assert x.dtype == dtype
    xg.sum(rng.normal(loc, dtype=dtype)).backward()
    assert loc.grad is not None
    assert (loc.grad.dtype, loc.grad.numpy().tolist()) == ("float32", [1, 1])
    assert rng.normal(loc).dtype == "float64"
    assert rng.bernoulli(0.5, 3, dtype=xg.bool).dtype == "bool"
    assert rng.categorical([0.0, 1.0], dtype="int32").dtype == "int32"


def test_one_is_not_drawn_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = xg.random.default_rng(0)
    source = rng._source

    class Greatest:
        def random(self, size: Any) -> np.ndarray:
            return np.full(size, 1 - 2**-53)

    monkeypatch.setattr(source, "_numbers", Greatest())
    for dtype in ("float16", "float32", "float64"):
        assert rng.random(2, dtype=dtype).numpy().max() < 1


def test_bytes_are_those_of_numpy(device: str) -> None:
    for n in (0, 3, 8, 13):
        assert xg.random.default_rng(3).bytes(n) == np.random.default_rng(3).bytes(n)


def test_every_device_has_the_same_numbers(device: str) -> None:
    with xg.device("cpu"):
        expected = xg.random.default_rng(3).normal(size=5).numpy()
    rng = xg.random.default_rng(3)
    assert rng.device == device
    np.testing.assert_array_equal(rng.normal(size=5).numpy(), expected)


def test_native_generators() -> None:
    assert (
        xg.random.default_rng(0, device="cpu", native=True).random().item()
        == np.random.default_rng(0).random()
    )
    with pytest.raises(xg.DeviceError, match="native=True"):
        xg.random.default_rng(0, device="strict:1", native=True)


class CuPysGenerator:
    """The methods of CuPy's generator that are used, with its parameters, on top of NumPy's."""

    def __init__(self, seeds: np.random.SeedSequence) -> None:
        self._numbers: Any = np.random.default_rng(seeds)

    def random(self, size: Any, dtype: Any = np.float64) -> Any:
        return self._numbers.random(size, dtype)

    def standard_normal(self, size: Any, dtype: Any = np.float64) -> Any:
        return self._numbers.standard_normal(size, dtype)

    def standard_exponential(self, size: Any) -> Any:
        return self._numbers.standard_exponential(size)

    def standard_gamma(self, shape: Any, size: Any) -> Any:
        return self._numbers.standard_gamma(_strict(shape), size)

    def beta(self, a: Any, b: Any, size: Any) -> Any:
        return self._numbers.beta(_strict(a), _strict(b), size)

    def poisson(self, lam: Any, size: Any) -> Any:
        return self._numbers.poisson(_strict(lam), size)

    def binomial(self, n: Any, p: Any, size: Any) -> Any:
        return self._numbers.binomial(np.asarray(_strict(n)).astype(int), _strict(p), size)

    def integers(self, low: int, high: int, size: Any, dtype: Any = np.int64) -> Any:
        return self._numbers.integers(int(low), int(high), size, dtype)


def _strict(parameter: Any) -> Any:
    assert type(parameter) in (float, np.ndarray)
    return parameter


@pytest.fixture
def native() -> xg.random.Generator:
    """Return a generator that uses the code for CUDA, with NumPy in place of CuPy."""
    stand_in = SimpleNamespace(**vars(np))
    stand_in.cuda = SimpleNamespace(Device=lambda index: contextlib.nullcontext())
    stand_in.random = SimpleNamespace(default_rng=CuPysGenerator)
    rng = xg.random.default_rng(0, device="cpu")
    source: Any = CudaSource(stand_in, 0, 1)
    source.place = "cpu"
    rng._source = source
    return rng


@pytest.mark.parametrize("name", MOMENTS)
def test_moments_of_what_is_drawn_on_the_gpu(name: str, native: xg.random.Generator) -> None:
    draw, mean, deviation = MOMENTS[name]
    x = draw(native).numpy()
    assert x.shape == (N,)
    assert abs(x.mean() - mean) < 5 * deviation / N**0.5
    assert abs(x.std() / deviation - 1) < 0.06


@pytest.mark.parametrize("name", SAME)
def test_shapes_and_dtypes_of_what_is_drawn_on_the_gpu(name: str, native: xg.random.Generator) -> None:
    ours, reference = SAME[name](native), np.asarray(SAME[name](np.random.default_rng(0)))
    assert (ours.shape, ours.dtype) == (reference.shape, reference.dtype)


def test_orders_and_choices_on_the_gpu(native: xg.random.Generator) -> None:
    assert sorted(native.permutation(9).numpy()) == list(range(9))
    x = np.arange(12.0).reshape(3, 4)
    np.testing.assert_array_equal(np.sort(native.permuted(x, axis=1).numpy(), axis=1), x)
    assert len(set(native.choice(9, 9, replace=False).numpy().tolist())) == 9
    with np.errstate(divide="ignore"):  # CuPy does not report this
        assert set(native.choice(4, 2, replace=False, p=[0.5, 0.0, 0.5, 0.0]).numpy().tolist()) == {0, 2}
    for found in (
        native.choice(3, N, p=[0.2, 0.0, 0.8]),
        native.choice(xg.asarray([0, 1, 2]), N, p=[0.2, 0.0, 0.8]),
    ):
        np.testing.assert_allclose(np.bincount(found.numpy(), minlength=3) / N, [0.2, 0, 0.8], atol=0.02)
    x32 = native.normal(size=5, dtype=xg.float32)
    assert x32.dtype == "float32"
    assert set(native.integers([0, 5], [2, 7], (99, 2)).numpy()[:, 1].tolist()) == {5, 6}


def test_states_on_the_gpu_are_refused(native: xg.random.Generator) -> None:
    a, b = native.spawn(2)
    assert a.random().item() != b.random().item()
    for attempt in (lambda: native.state, lambda: copy.deepcopy(native), lambda: pickle.dumps(native)):
        with pytest.raises(TypeError, match="cannot be saved or copied"):
            attempt()
    with pytest.raises(TypeError, match="cannot be saved or copied"):
        native.state = {}


# States


def test_states(device: str) -> None:
    rng = xg.random.default_rng(0)
    rng.normal(size=3)
    state = json.loads(json.dumps(rng.state))
    copies = [copy.deepcopy(rng), pickle.loads(pickle.dumps(rng)), xg.random.default_rng(7)]
    copies[-1].state = state
    expected = rng.normal(size=4).numpy()
    for twin in copies:
        x = twin.normal(size=4)
        assert x.device == device
        np.testing.assert_array_equal(x.numpy(), expected)
    assert state != rng.state
    with pytest.raises((TypeError, ValueError, KeyError)):
        rng.state = {"bit_generator": "another"}


def test_children(device: str) -> None:
    rng, reference = xg.random.default_rng(0), np.random.default_rng(0)
    state = rng.state
    for _ in range(2):
        for ours, theirs in zip(rng.spawn(2), reference.spawn(2), strict=True):
            assert isinstance(ours, xg.random.Generator)
            np.testing.assert_array_equal(ours.random(3).numpy(), theirs.random(3))
    assert rng.state == state
    assert repr(rng) == f"Generator(device={device!r})"


def test_without_a_seed_numbers_differ() -> None:
    assert xg.random.default_rng().random().item() != xg.random.default_rng().random().item()
