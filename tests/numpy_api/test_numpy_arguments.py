"""The arguments of NumPy's functions on Tensors.

Those that NumPy accepts have the same meaning; the others are refused by name, as NumPy does.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from tests.helpers.comparing import same

x = np.arange(1.0, 7.0).reshape(2, 3)
one, two, three = np.int64(1), np.int64(2), np.int64(3)
whole = np.array([[3, -1, 2], [4, 0, -5]])
mask = np.array([True, False, True])
C = x * (1 + 0.5j)

#: Calls with the same meaning on arrays and Tensors, by topic.
SAME: dict[str, list[tuple[Callable[[Any], Any], np.ndarray]]] = {
    "NumPy's integers": [
        (f, x)
        for f in (
            lambda a: np.insert(a, np.int64(0), [7.0, 8.0], axis=1),
            lambda a: np.tensordot(a, a.T, one),
            lambda a: np.tensordot(a, a.T, (one, np.int64(0))),
            lambda a: np.full_like(a, 2.0, shape=three),
            lambda a: np.resize(a, three),
            lambda a: a.item(one),
            lambda a: np.split(a, three, 1),
            lambda a: np.array_split(a, two, 1),
            lambda a: np.expand_dims(a, np.int64(0)),
            lambda a: np.roll(a, one, one),
            lambda a: np.repeat(a, two, one),
            lambda a: np.tile(a, two),
            lambda a: np.reshape(a, np.int64(6)),
            lambda a: np.broadcast_to(a[0, 0], three),
            lambda a: np.sum(a, axis=one),
            lambda a: np.partition(a, one),
        )
    ],
    "lists of axes": [
        (f, x)
        for f in (
            lambda a: np.moveaxis(a, [0, 1], [1, 0]),
            lambda a: np.roll(a, [1, 1], axis=[1, 1]),
            lambda a: np.roll(a, [1, 2], axis=[0, 1]),
            lambda a: np.expand_dims(a, [0, -1]),
            lambda a: np.median(a, axis=[0, 1]),
            lambda a: np.size(a, (0, 1)),
            lambda a: np.rot90(a, axes=[1, 0]),
        )
    ],
    "lists": [
        (f, x)
        for f in (
            lambda a: np.where(a > 2, a, [1, 2, 3]),
            lambda a: np.where([True, False, True], a, 0),
            lambda a: np.clip(a, [0, 0, 0], [1, 2, 3]),
            lambda a: np.select([a > 2, a > 1], [[1, 2, 3], a], default=[0, 0, 1]),
            lambda a: np.select([a > 5], [a]),
            lambda a: np.choose(1, [a, 2 * a]),
        )
    ]
    + [(lambda a: np.choose(a, [1.0, 2.0]), mask)],
    "pad": [
        (f, a)
        for a in (x, whole)
        for f in (
            lambda a: np.pad(a, ((1,), (2,))),
            lambda a: np.pad(a, ((1,), (2,)), constant_values=((1,), (2,))),
            lambda a: np.pad(a, [[2]]),
            lambda a: np.pad(a, (3,)),
            lambda a: np.pad(a, np.array([[1, 2]])),
            lambda a: np.pad(a, {1: (1, 2)}),
            lambda a: np.pad(a, one, constant_values=2.7),
            lambda a: np.pad(a, 2, "linear_ramp"),
            lambda a: np.pad(a, (1, 3), "linear_ramp", end_values=((1, 2), (3, 4))),
            lambda a: np.pad(a, 2, "mean"),
            lambda a: np.pad(a, ((1, 0), (0, 2)), "median"),
            lambda a: np.pad(a, 2, "maximum"),
            lambda a: np.pad(a, 2, "minimum"),
            lambda a: np.pad(a, ((1, 2), (0, 1)), "empty").shape,
        )
    ],
    "dtype=": [
        (f, a)
        for a in (x, whole)
        for f in (
            lambda a: np.linspace(a, a * 1.7, 4, dtype=int),
            lambda a: np.mean(a, dtype=int),
            lambda a: np.mean(a, axis=0, dtype=int),
            lambda a: np.mean(a, dtype=complex),
            lambda a: np.var(a, dtype=int),
            lambda a: np.var(a, axis=0, dtype=complex),
            lambda a: np.std(a, dtype=complex),
            lambda a: np.var(a, dtype=np.float32),
            lambda a: a.var(dtype=complex),
            lambda a: np.nanmean(a, dtype=complex),
        )
    ],
    "where=": [
        (f, a)
        for a in (x, C)
        for f in (
            lambda a: np.var(a, where=mask.tolist()),
            lambda a: np.std(a, axis=1, where=mask.tolist()),
            lambda a: np.mean(a, where=[[True], [False]]),
            lambda a: np.nanvar(a),
            lambda a: np.nanstd(a, axis=0),
        )
    ],
    "more ddof than numbers": [
        (lambda a: np.var(a, ddof=9), whole),
        *((lambda a: np.nanvar(a, ddof=9), a) for a in (x, C, whole)),
    ],
    "initial=": [
        (f, whole)
        for f in (
            lambda a: np.sum(a, initial=1.5),
            lambda a: np.prod(a[:, 0], initial=2.5),
            lambda a: np.max(a, initial=9.5),
            lambda a: np.min(a, initial=-9.5),
            lambda a: np.add.reduce(a, initial=1.5),
            lambda a: np.sum(a > 0, initial=1.5),
        )
    ],
    "dtypes": [
        (lambda a: np.logical_and.accumulate(a), x),
        (lambda a: np.logical_or.accumulate(a, axis=1), whole),
        (np.rint, whole),
        (np.square, mask),
        (lambda a: np.convolve(a, a), mask),
        (lambda a: np.correlate(a, a, "same"), mask),
        (lambda a: a.conj(), mask),
        (lambda a: np.unwrap(a, period=4), whole),
        (lambda a: np.unwrap(a, period=3), whole.astype("int32")),
        (lambda a: np.unwrap(a, period=3.5), whole),
        (lambda a: np.logaddexp2(a, a), whole),
        (lambda a: np.exp2(a), C),
        (lambda a: np.result_type(a, np.float32(1)), whole),
    ],
    "ends": [
        (lambda a: np.geomspace(a[0], -a[0], 4), x),
        (lambda a: np.geomspace(-a[0], 2 * a[1], 3, endpoint=False), x),
        (lambda a: np.geomspace(a, 7.0, 1), x),
        (np.median, np.array([-1.7e308, 1.7e308])),
        (np.cumulative_sum, np.array(0.7)),
        (lambda a: np.cumulative_prod(a, include_initial=True), np.array(0.7)),
        (lambda a: np.fft.irfftn(a, s=[2, -1], axes=(0, 1)), C),
        (np.corrcoef, np.array([1.0, 1.0 + 1e-9, 1.0 - 1e-9]) * [[1], [1], [-3]]),
        (np.corrcoef, C),
        (lambda a: np.cov(a, ddof=5), x),
        (lambda a: np.argmax(a, axis=0), np.array(0.7)),
        (lambda a: np.count_nonzero(a, axis=-1), np.array(0.7)),
        (lambda a: np.argsort(a), np.array(0.7)),
    ],
    "text": [
        (lambda a: np.array2string(a / 3, precision=3, separator="; "), x),
        (lambda a: np.array_str(a / 3, precision=2), x),
    ],
}


@pytest.mark.parametrize("about", SAME)
def test_what_numpy_takes_means_the_same(about: str, device: str) -> None:
    if about == "more ddof than numbers" and device.startswith("cuda"):
        pytest.skip("CuPy's variance is NaN there, where NumPy's is infinite")
    for f, a in SAME[about]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected, z = f(a), f(xg.asarray(a))
        same(z, expected)


def test_correlations_are_at_most_one(device: str) -> None:
    a = np.random.default_rng(0).normal(size=9) * np.arange(1, 40)[:, None]
    assert abs(np.corrcoef(xg.asarray(a)).numpy()).max() <= 1


def test_logarithms_of_two_keep_the_digits_of_the_wider(device: str) -> None:
    a, b = np.linspace(-3, 3, 7, dtype="f4"), np.linspace(1, 2, 7)
    np.testing.assert_allclose(
        np.logaddexp2(xg.asarray(a), xg.asarray(b)).numpy(), np.logaddexp2(a, b), rtol=1e-14
    )


def test_text_is_of_tensors_with_a_gradient_too() -> None:
    t = xg.tensor([0.125], requires_grad=True)
    assert np.array_str(t, precision=2) == np.array_str(a=t, precision=2) == "[0.12]"


@pytest.mark.parametrize("mode", ["linear_ramp", "mean", "maximum", "minimum", "median"])
def test_gradients_of_padding(mode: str, device: str) -> None:
    xg.check_grads(lambda a: np.pad(a, ((1, 2), (0, 2)), mode), (xg.asarray(x * [[1.0, 0.3, 0.7]]),))


# Axes that do not exist


def test_a_single_number_has_no_axis(device: str) -> None:
    t = xg.tensor(0.7, requires_grad=True)
    for name in ("sum", "prod", "max", "min", "mean", "var", "std", "all", "any", "argmax", "argmin"):
        for axis in (0, -1):
            for f in (lambda: getattr(t, name)(axis), lambda: getattr(xg, name)(t, axis=axis)):
                with pytest.raises(IndexError, match="no axes"):
                    f()
        if name not in ("argmax", "argmin"):
            with pytest.raises((IndexError, ValueError)):
                getattr(xg, name)(t, axis=(0,))
    for f in (xg.logsumexp, xg.softmax, xg.count_nonzero, xg.argsort):
        with pytest.raises(IndexError, match="no axes"):
            f(t, axis=0)
    for f in (np.sum, np.prod, np.max, np.min, np.nansum, np.nanmean):
        assert f(t, axis=0).shape == ()
        assert xg.grad(lambda t, f=f: f(t, axis=-1))(0.7).item() == 1
    for f in (np.mean, np.var, np.std):
        with pytest.raises(IndexError):
            f(t, axis=0)


def test_complex_powers_of_negative_numbers(device: str) -> None:
    at = 1 + 1j
    expected = np.conj(np.power(-2.0 + 0j, at) * np.log(-2.0 + 0j))
    assert xg.grad(lambda p: xg.real(np.power(-2.0, p)))(at).item() == pytest.approx(expected)
    base, exponent = xg.asarray([-2.0, 3.0, 0.0]), xg.asarray([1 + 1j, 2.0, 3 - 1j])
    for f in (lambda p: xg.pow(base, p), lambda p: xg.pow(-2.0, p), lambda p: xg.pow(-2, p)):
        xg.check_grads(f, (exponent,))
    xg.check_grads(xg.pow, (base[:2], exponent[:2]))


# Refusals

X = xg.asarray(x)
REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "convolve": (lambda: np.convolve(X, X[0]), ValueError, "convolve takes arrays with one axis"),
    "correlate": (lambda: np.correlate(X[0, 0], X[0]), ValueError, "correlate takes arrays with one axis"),
    "matvec": (lambda: np.matvec(X[0], X[0]), ValueError, "np.matvec takes matrices .* and vectors"),
    "vecmat": (lambda: np.vecmat(X[0], X[0]), ValueError, "np.vecmat takes vectors .* and matrices"),
    "pad": (lambda: np.pad(X, 1.5), TypeError, "pad: the widths must be integers"),
    "pad of parts": (lambda: np.pad(X, ((1, 2, 3),)), ValueError, "pad: expected one or 2 values"),
    "pad of both": (
        lambda: np.pad(X, ((1, 2), 3)),
        ValueError,
        "pad: expected a number, a pair, or one of these",
    ),
    "interp": (
        lambda: np.interp(X, [1.0, 2.0], [3.0, 4.0], period=0),
        ValueError,
        "interp: period must not be 0",
    ),
    "average": (lambda: np.average(X, weights=X - X), ZeroDivisionError, "average: the weights sum to zero"),
    "clip": (lambda: np.clip(X, 0, 1, min=2), ValueError, "clip takes the bounds"),
    **{
        f"{f.__name__} where": (
            lambda f=f: f(X[0], where=(x > 0).tolist()),
            ValueError,
            "where= of shape .2, 3.",
        )
        for f in (np.sum, np.mean, np.var, np.prod, np.all, np.any, np.nansum, np.nanmean)
    },
    "where of integers": (lambda: np.sum(X, where=[1, 0, 1]), TypeError, "where= must be boolean"),
    "delete": (lambda: np.delete(X, [1.0]), IndexError, "np.delete takes integers"),
    "compress": (lambda: np.compress([[True]], X), ValueError, "compress takes a condition with one axis"),
    "ravel": (lambda: np.ravel(X.T, "K"), TypeError, "np.ravel .* order='C'"),
    "method ravel": (lambda: X.ravel("A"), TypeError, "np.ravel .* order='C'"),
    "vectorize": (lambda: np.vectorize(lambda v: v * 2)(X), TypeError, "np.vectorize"),
    "vectorize with a gradient": (
        lambda: np.vectorize(lambda v: v * 2, otypes="d")(xg.tensor(x, requires_grad=True)),
        TypeError,
        "np.vectorize",
    ),
    "isfortran": (lambda: np.isfortran(X), AttributeError, "no .flags, which np.isfortran"),
    "qr": (lambda: np.linalg.qr(X, "raw"), TypeError, "np.linalg.qr on a Tensor: mode must be 'reduced'"),
    "unwrap": (
        lambda: np.unwrap(x, period=xg.asarray(3.0)),
        TypeError,
        "is an array: pass them a Tensor",
    ),
    "astype": (lambda: X.astype("f4", "C", "safe"), TypeError, "casting='unsafe'"),
    "i0": (lambda: np.i0(X), TypeError, "np.i0 does not work on Tensors: use functions that do"),
    "asarray": (
        lambda: np.asarray(X, dtype="f4", copy=False),
        ValueError,
        "cannot be viewed as float32 without a copy",
    ),
    "initial": (lambda: np.max(xg.asarray([1], dtype="uint8"), initial=-1), OverflowError, ""),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore")
def test_bad_arguments_are_refused(name: str) -> None:
    f, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        f()


def test_astype_has_numpys_places() -> None:
    assert X.astype("f4", "C", "unsafe", True, False).dtype == "float32"


# Devices

S, places = xg.asarray(x, device="strict:1"), xg.asarray([0, 1], device="strict:1")
MIXED: dict[str, Callable[[], Any]] = {
    "take_along_axis": lambda: np.take_along_axis(X, places[:, None], 0),
    "xg.take_along_axis": lambda: xg.take_along_axis(X, places[:, None], axis=0),
    "take": lambda: np.take(X, places),
    "choose": lambda: np.choose(places[:, None], [X, X]),
    "compress": lambda: np.compress(S[0] > 0, X, axis=1),
    "extract": lambda: np.extract(S > 0, X),
    "piecewise": lambda: np.piecewise(X, [S > 2], [1.0]),
    "where": lambda: np.where(S > 2, X, X),
    "select": lambda: np.select([S > 2], [X]),
    "clip": lambda: np.clip(X, S, None),
    "delete": lambda: np.delete(X, places),
    "insert": lambda: np.insert(X, places[0], 1.0),
    "repeat": lambda: np.repeat(X, places, axis=0),
    "roll": lambda: np.roll(X, places[0]),
    "linspace": lambda: np.linspace(X, S, 3),
    "xg.linspace": lambda: xg.linspace(X, S, 3),
    "quantile": lambda: np.quantile(X, S / 10),
    "lexsort": lambda: np.lexsort((X, S)),
    "histogram": lambda: np.histogram(X, weights=S),
    "full_like": lambda: np.full_like(X, S[0]),
    "xg.full_like": lambda: xg.full_like(X, S[0]),
    "diff": lambda: np.diff(X, prepend=S),
    "sum": lambda: np.sum(X, initial=S[0, 0]),
    "outer": lambda: np.add.outer(X, S),
    "lists": lambda: np.add(X, [S[0], S[0]]),
    "pad": lambda: np.pad(X, 1, constant_values=S[0, 0]),
}


@pytest.mark.parametrize("name", MIXED)
def test_devices_never_mix_silently(name: str) -> None:
    with pytest.raises(xg.DeviceError, match=r"(?=.*cpu)(?=.*strict:1)"):
        MIXED[name]()


# Arrays of other libraries


class Foreign:
    """An array whose library does not let NumPy convert it."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise RuntimeError("it has a gradient")


def test_what_cannot_be_read_says_what_to_do() -> None:
    for f in (xg.asarray, xg.tensor):
        with pytest.raises(
            TypeError, match=re.escape("Foreign: it has a gradient (detach it, or convert it")
        ):
            f(Foreign())


def test_a_value_that_lies_backwards_is_handed_on_forwards() -> None:
    back = xg.asarray(x[::-1, ::-1])
    shared = np.from_dlpack(back)
    assert min(shared.strides) > 0
    np.testing.assert_array_equal(shared, back.numpy())
    with pytest.raises(BufferError, match="negative strides"):
        np.from_dlpack(back, copy=False)
