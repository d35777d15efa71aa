"""Array-standard libraries on Tensors: SciPy, einops and scikit-learn, with gradients."""

from __future__ import annotations

import os

os.environ.setdefault("SCIPY_ARRAY_API", "1")  # read once, when SciPy is imported

from collections.abc import Callable
from typing import Any

import einops.array_api as einops
import numpy as np
import pytest
import scipy.differentiate
import scipy.fft
import scipy.integrate
import scipy.optimize.elementwise
import scipy.signal
import scipy.special
import scipy.stats as stats
import sklearn
from scipy.cluster.vq import whiten
from scipy.spatial.transform import Rotation
from sklearn import metrics
from sklearn.metrics import pairwise

import xgrad as xg

rng = np.random.default_rng(0)
x = rng.uniform(0.5, 2.0, (3, 4))
y = rng.uniform(0.5, 2.0, (3, 4))

#: Differentiable functions of one array.
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "scipy.special.logsumexp": lambda a: scipy.special.logsumexp(a, axis=1),
    "scipy.special.softmax": lambda a: scipy.special.softmax(a, axis=1),
    "scipy.special.log_softmax": lambda a: scipy.special.log_softmax(a, axis=1),
    "scipy.special.xlogy": lambda a: scipy.special.xlogy(a, a),
    "scipy.special.rel_entr": lambda a: scipy.special.rel_entr(a, a + 1),
    "scipy.stats.zscore": lambda a: stats.zscore(a, axis=1),
    "scipy.stats.skew": lambda a: stats.skew(a, axis=1),
    "scipy.stats.kurtosis": lambda a: stats.kurtosis(a, axis=1),
    "scipy.stats.moment": lambda a: stats.moment(a, 3, axis=1),
    "scipy.stats.gmean": lambda a: stats.gmean(a, axis=1),
    "scipy.stats.hmean": lambda a: stats.hmean(a, axis=1),
    "scipy.stats.variation": lambda a: stats.variation(a, axis=1),
    "scipy.stats.sem": lambda a: stats.sem(a, axis=1),
    "scipy.stats.tmean": lambda a: stats.tmean(a, axis=1),
    "scipy.stats.tvar": lambda a: stats.tvar(a, axis=1),
    "scipy.stats.pmean": lambda a: stats.pmean(a, 3, axis=1),
    "scipy.stats.circmean": lambda a: stats.circmean(a, axis=1),
    "scipy.stats.directional_stats": lambda a: stats.directional_stats(a).mean_direction,
    "scipy.integrate.trapezoid": lambda a: scipy.integrate.trapezoid(a, axis=1),
    "scipy.integrate.cumulative_trapezoid": lambda a: scipy.integrate.cumulative_trapezoid(a, axis=1),
    "scipy.fft.irfft": lambda a: scipy.fft.irfft(scipy.fft.rfft(a) ** 2),
    "scipy.signal.fftconvolve": lambda a: scipy.signal.fftconvolve(a, a),
    "scipy.spatial.transform.Rotation": lambda a: Rotation.from_quat(a).as_matrix(),
    "scipy.cluster.vq.whiten": whiten,
    "einops.rearrange": lambda a: einops.rearrange(a, "a (b c) -> b a c", b=2),
    "einops.reduce": lambda a: einops.reduce(a, "a b -> a", "mean"),
    "einops.repeat": lambda a: einops.repeat(a, "a b -> a b c", c=2),
    "einops.pack": lambda a: einops.pack([a, a * a], "* b")[0],
}

#: scikit-learn's metrics and kernels, of two arrays.
METRICS: dict[str, Callable[[Any, Any], Any]] = {
    "mean_squared_error": lambda a, b: metrics.mean_squared_error(b, a, multioutput="raw_values"),
    "mean_squared_log_error": lambda a, b: metrics.mean_squared_log_error(b, a, multioutput="raw_values"),
    "mean_absolute_percentage_error": lambda a, b: metrics.mean_absolute_percentage_error(
        b, a, multioutput="raw_values"
    ),
    "mean_pinball_loss": lambda a, b: metrics.mean_pinball_loss(b, a, multioutput="raw_values"),
    "r2_score": lambda a, b: metrics.r2_score(b, a, multioutput="raw_values"),
    "cosine_similarity": pairwise.cosine_similarity,
    "euclidean_distances": pairwise.euclidean_distances,
    "rbf_kernel": pairwise.rbf_kernel,
    "polynomial_kernel": pairwise.polynomial_kernel,
    "sigmoid_kernel": pairwise.sigmoid_kernel,
    "chi2_kernel": pairwise.chi2_kernel,
    "paired_cosine_distances": pairwise.paired_cosine_distances,
}


@pytest.fixture(autouse=True)
def by_the_standard() -> Any:
    with sklearn.config_context(array_api_dispatch=True):
        yield


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.filterwarnings("ignore")
def test_functions_of_one_array(name: str) -> None:
    f = FUNCTIONS[name]
    z = f(xg.tensor(x, requires_grad=True))
    assert isinstance(z, xg.Tensor)
    np.testing.assert_allclose(z.detach().numpy(), np.asarray(f(x)), rtol=1e-9, atol=1e-12)
    xg.check_grads(f, (x,), order=1)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.filterwarnings("ignore")
def test_metrics_of_two_arrays(name: str) -> None:
    f = METRICS[name]
    z = f(xg.tensor(x, requires_grad=True), xg.asarray(y))
    assert isinstance(z, xg.Tensor)
    np.testing.assert_allclose(z.detach().numpy(), f(x, y), rtol=1e-9, atol=1e-12)
    xg.check_grads(f, (x, y), order=1)


@pytest.mark.filterwarnings("ignore")
def test_labels_of_classes() -> None:
    truth, guess = np.array([0, 1, 1, 2]), np.array([0, 1, 2, 2])
    assert metrics.accuracy_score(xg.asarray(truth), xg.asarray(guess)) == 0.75
    assert (
        metrics.confusion_matrix(xg.asarray(truth), xg.asarray(guess)).tolist()
        == metrics.confusion_matrix(truth, guess).tolist()
    )


def test_a_root_found_by_others_is_right() -> None:
    root = scipy.optimize.elementwise.find_root(lambda t: t**2 - 2.0, (xg.asarray(0.0), xg.asarray(2.0))).x
    assert isinstance(root, xg.Tensor)
    assert abs(root.item() - 2**0.5) < 1e-9


def test_a_function_of_ours_differentiated_by_others() -> None:
    """SciPy's finite differences agree with the gradient."""
    at = xg.asarray([0.3, 0.7])
    measured = scipy.differentiate.derivative(lambda t: xg.tanh(t) ** 2, at).df
    exact = xg.grad(lambda t: xg.sum(xg.tanh(t) ** 2))(at)
    np.testing.assert_allclose(measured.numpy(), exact.numpy(), rtol=1e-8)


def test_what_goes_through_numpy_arrays_raises_rather_than_cut_the_gradient() -> None:
    with pytest.raises(xg.GraphError, match="cut the gradient"):
        scipy.special.expit(xg.tensor(x, requires_grad=True))
