"""Fourier transforms against NumPy, and their gradients, on every backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import xgrad as xg
from tests.helpers.gradient_cases.fft import COMPOSED, GRADIENT_CASES, NORMS, cnormal, normal

CASES = [(name, i) for name, cases in {**GRADIENT_CASES, **COMPOSED}.items() for i in range(len(cases))]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "i"), CASES)
def test_gradient(name: str, i: int, device: str) -> None:
    f, args = {**GRADIENT_CASES, **COMPOSED}[name][i]
    xg.check_grads(f, tuple(xg.asarray(a) for a in args), order=2)


REAL = ["rfft", "ihfft", "rfftn"]
KINDS = ["int8", "int64", "uint16", "bool", "float32", "float64", "complex64", "complex128"]


def drawn(data: st.DataObject, name: str) -> np.ndarray:
    """Draw an array of any dtype that the transform accepts, possibly a strided view."""
    shape = tuple(data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)))
    dtype = data.draw(st.sampled_from([k for k in KINDS if name not in REAL or "complex" not in k]))
    a = (3 * (cnormal(*shape) if "complex" in dtype else normal(*shape))).astype(dtype)
    steps = tuple(slice(None, None, data.draw(st.sampled_from([1, -1]))) for _ in shape)
    return a.transpose(data.draw(st.permutations(range(a.ndim))))[steps]


def same(ours: Any, theirs: Any) -> None:
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    np.testing.assert_allclose(
        ours.numpy(),
        theirs,
        rtol=1e-4 if theirs.dtype.itemsize < 8 or theirs.dtype == "c8" else 1e-10,
        atol=1e-4 if theirs.dtype in ("f4", "c8") else 1e-10,
    )


@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"])
@given(data=st.data())
def test_along_one_axis_as_numpy(name: str, data: st.DataObject) -> None:
    a = drawn(data, name)
    axis = data.draw(st.integers(-a.ndim, a.ndim - 1))
    n = (
        data.draw(st.none() | st.integers(1, 7))
        if a.shape[axis] > 1 or name not in ("irfft", "hfft")
        else data.draw(st.integers(1, 7))
    )
    params = {"n": n, "axis": axis, "norm": data.draw(st.sampled_from(NORMS))}
    theirs = getattr(np.fft, name)(a, **params)
    for device in ("cpu", "strict:1"):
        x = xg.asarray(a, device=device)
        ours = getattr(xg.fft, name)(x, **params)
        assert ours.device == device
        same(ours, theirs)
        if device == "cpu":
            same(getattr(np.fft, name)(x, **params), theirs)


@pytest.mark.parametrize("name", ["fftn", "ifftn", "rfftn", "irfftn"])
@given(data=st.data())
def test_along_several_axes_as_numpy(name: str, data: st.DataObject) -> None:
    a = drawn(data, name)
    axes = data.draw(st.none() | st.permutations(range(a.ndim)).map(lambda p: tuple(p[: max(1, len(p) - 1)])))
    count = a.ndim if axes is None else len(axes)
    s = data.draw(st.none() | st.lists(st.integers(1, 6), min_size=count, max_size=count).map(tuple))
    if name == "irfftn" and s is None and a.shape[-1 if axes is None else axes[-1]] == 1:
        s = (3,) * count
    params = {
        "s": s,
        "axes": tuple(range(a.ndim)) if axes is None and s is not None else axes,
        "norm": data.draw(st.sampled_from(NORMS)),
    }
    theirs = getattr(np.fft, name)(a, **params)
    for device in ("cpu", "strict:1"):
        same(getattr(xg.fft, name)(xg.asarray(a, device=device), **params), theirs)
    if axes is None and s is not None:
        same(getattr(xg.fft, name)(a, s=s, norm=params["norm"]), theirs)


@given(data=st.data())
def test_shifts_as_numpy(data: st.DataObject) -> None:
    a = drawn(data, "fft")
    axes = data.draw(st.none() | st.integers(-a.ndim, a.ndim - 1) | st.permutations(range(a.ndim)).map(tuple))
    for name in ("fftshift", "ifftshift"):
        for device in ("cpu", "strict:1"):
            ours = getattr(xg.fft, name)(xg.asarray(a, device=device), axes=axes)
            np.testing.assert_array_equal(ours.numpy(), getattr(np.fft, name)(a, axes=axes))
    assert xg.fft.fftshift(xg.zeros((0, 2))).shape == (0, 2)
    assert xg.fft.fftshift(xg.asarray(2.0)).item() == 2


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_frequencies(n: int, device: str) -> None:
    for name in ("fftfreq", "rfftfreq"):
        ours = getattr(xg.fft, name)(n, d=0.25)
        assert (ours.dtype, ours.device) == (xg.float64, device)
        np.testing.assert_allclose(ours.numpy(), getattr(np.fft, name)(n, d=0.25), rtol=1e-15)
        assert getattr(xg.fft, name)(n, dtype=xg.float32, device="cpu").dtype == xg.float32
    with pytest.raises(TypeError, match="real and floating"):
        xg.fft.fftfreq(3, dtype=xg.int64)


def test_there_and_back_keeps_float32(device: str) -> None:
    x = xg.asarray(normal(4, 6).astype("f"))
    z, pull = xg.vjp(lambda x: xg.fft.irfftn(xg.fft.rfftn(x)), x)
    assert z.dtype == pull(z)[0].dtype == xg.float32
    np.testing.assert_allclose(z.numpy(), x.numpy(), atol=1e-6)
    np.testing.assert_allclose(pull(z)[0].numpy(), x.numpy(), atol=1e-6)
    assert xg.fft.fft(x).dtype == xg.complex64


def test_what_is_wrong_is_said(device: str) -> None:
    x = xg.ones((2, 3))
    with pytest.raises(ValueError, match="fft"):
        xg.fft.fft(x, norm="other")
    with pytest.raises(ValueError, match="hfft: norm must be"):
        xg.fft.hfft(x, norm="other")
    with pytest.raises((ValueError, IndexError), match="fft"):
        xg.fft.fft(x, axis=5)
    with pytest.raises(ValueError, match="give one length for each axis"):
        xg.fft.fftn(x, s=(1, 2), axes=(0,))
    with pytest.raises(ValueError, match="irfft"):
        xg.fft.irfft(xg.ones((2, 1)))
    with pytest.raises(TypeError, match="rfft"):
        xg.fft.rfft(xg.astype(x, xg.complex128))
    with pytest.raises(ValueError, match="one axis"):
        xg.fft.rfftn(x, axes=())


def test_deriv_by_hand() -> None:
    dz, x = cnormal(5), normal(3)
    (dx,) = xg.deriv(dz, x, None, "fft", n=5)
    np.testing.assert_allclose(dx, (np.fft.fft(np.eye(5))[:, :3].conj().T @ dz).real)


def test_compiled() -> None:
    x, k = xg.asarray(normal(2, 8)), xg.asarray(normal(8))

    def smoothed(x: Any, k: Any) -> Any:
        return xg.sum(xg.fft.irfft(xg.fft.rfft(x) * xg.fft.rfft(k)) ** 2)

    np.testing.assert_allclose(
        xg.compile(xg.grad(smoothed))(x, k).numpy(), xg.grad(smoothed)(x, k).numpy(), rtol=1e-12
    )
