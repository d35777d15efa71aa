"""Short Fourier transforms as matrix products, compared with NumPy's transforms and with differences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from tests.helpers.programs import traced
from xgrad.compiler.calls import calls
from xgrad.compiler.ir import Loop, Stage, everything
from xgrad.compiler.passes import optimise
from xgrad.ops.fourier import fourier_matrix

TRANSFORMS = ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")
NORMS = ("backward", "ortho", "forward")
DTYPES = ("float32", "float64", "complex64", "complex128")
#: Shape, length, axis.
FORMS: tuple[tuple[tuple[int, ...], int | None, int], ...] = (
    ((8,), None, 0),
    ((1,), 1, -1),
    ((2,), None, 0),
    ((3, 7), None, -1),
    ((3, 7), 5, 1),
    ((3, 7), 10, 1),
    ((6, 2), None, 0),
    ((6, 2), 1, 0),
    ((2, 5, 3), 8, 1),
    ((2, 5, 3), 2, -2),
    ((2, 2, 2, 3), None, 0),
    ((3, 64), None, -1),
    ((3, 31), 33, -1),
    ((3, 0), 4, 1),
)


@pytest.fixture(params=["0", "1"], ids=["NumPy", "native"])
def executor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Select the executor; each plan is verified."""
    monkeypatch.setenv("XGRAD_NATIVE", request.param)
    monkeypatch.setenv("XGRAD_VERIFY", "1")
    return "native code" if request.param == "1" else "NumPy"


def drawn(*shape: int, dtype: str = "complex128") -> np.ndarray:
    """Draw an array of real or complex numbers."""
    rng = np.random.default_rng(sum(shape))
    z = rng.normal(size=shape)
    return (z + 1j * rng.normal(size=shape) if dtype.startswith("complex") else z).astype(dtype)


def cases() -> Iterator[tuple[str, str, tuple[int, ...], int | None, int, str]]:
    for name in TRANSFORMS:
        for dtype in DTYPES if name not in ("rfft", "ihfft") else DTYPES[:2]:
            for i, (shape, n, axis) in enumerate(FORMS):
                for norm in NORMS if i < 6 else (NORMS[i % 3],):
                    yield name, dtype, shape, n, axis, norm


def called(f: Any, *arrays: Any) -> list[str]:
    """Return the Fourier transforms that a compiled function leaves to the array library."""
    compiled = f if hasattr(f, "executable") else xg.compile(f)
    compiled(*arrays)
    plan = compiled.executable(*arrays).lowered.plan
    return [call.op for call, _ in calls(plan.body) if "fft" in call.op]


def close(found: Any, wanted: Any, dtype: str) -> None:
    """Check the norm of the difference, relative to the norm."""
    wide = np.complex128 if np.iscomplexobj(wanted) else np.float64
    assert np.linalg.norm(found.astype(wide) - wanted) <= (
        8 * np.finfo(dtype).eps * max(np.linalg.norm(wanted), 1e-30)
    )


@pytest.mark.parametrize("name", TRANSFORMS)
def test_values_are_those_of_numpy(name: str, executor: str) -> None:
    every = [case[1:] for case in cases() if case[0] == name]
    for dtype, shape, n, axis, norm in every[::2] if executor == "native code" else every[1::5]:
        x = drawn(*shape, dtype=dtype)

        def f(x: Any, n: Any = n, axis: int = axis, norm: str = norm) -> Any:
            return getattr(xg.fft, name)(x, n=n, axis=axis, norm=norm)

        compiled = xg.compile(f)
        found = compiled(x).numpy()
        exact = x.astype(np.result_type(dtype, np.float64))
        wanted = getattr(np.fft, name)(exact, n=n, axis=axis, norm=norm)
        form = getattr(np.fft, name)(x, n=n, axis=axis, norm=norm)
        assert (found.shape, found.dtype) == (form.shape, form.dtype), (dtype, shape, n, axis, norm)
        close(found, wanted, dtype)
        assert compiled.executable(x).kind == executor
        assert called(compiled, x) == []


@pytest.mark.parametrize("name", ["fft2", "ifft2", "rfft2", "irfft2"])
def test_transforms_over_several_axes(name: str, executor: str) -> None:
    x = drawn(3, 6, 5, dtype="float64" if name == "rfft2" else "complex128")
    f = xg.compile(lambda x: getattr(np.fft, name)(x, axes=(0, 1)))
    close(f(x).numpy(), getattr(np.fft, name)(x, axes=(0, 1)), "float64")


def test_integers_are_transformed_in_float64(executor: str) -> None:
    x = np.arange(12).reshape(2, 6)
    for name in TRANSFORMS:
        close(xg.compile(getattr(xg.fft, name))(x).numpy(), getattr(np.fft, name)(x), "float64")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_transformed_as_in_the_engine(dtype: str, executor: str) -> None:
    x = xg.astype(xg.asarray(np.arange(12.0).reshape(2, 6)), getattr(xg, dtype))
    for name in TRANSFORMS:
        found, wanted = (f(x) for f in (xg.compile(getattr(xg.fft, name)), getattr(xg.fft, name)))
        assert found.dtype == wanted.dtype, name
        wide = xg.complex128 if name not in ("irfft", "hfft") else xg.float64
        close(xg.astype(found, wide).numpy(), xg.astype(wanted, wide).numpy(), "float32")


def filtered(h: Any, x: Any) -> Any:
    """A state filtered by frequency, as a real and a complex transform."""
    m = h.shape[-1]
    g = xg.fft.irfft(xg.fft.rfft(h) * xg.exp(0.5j * xg.arange(m // 2 + 1, dtype=xg.float64)), n=m)
    z = xg.fft.ifft(xg.exp(1j * g) * xg.fft.fft(x, n=m, norm="ortho"), axis=0)
    h = xg.tanh(g + xg.real(z) + xg.fft.hfft(z, n=m, norm="forward"))
    return h, xg.imag(z)


def looped(h: Any, xs: Any) -> Any:
    h, ys = xg.scan(filtered, h, xs)
    return xg.sum(h**2) + xg.sum(ys * ys)


def unrolled(h: Any, xs: Any) -> Any:
    total = 0.0
    for x in xs:
        h, y = filtered(h, x)
        total = total + xg.sum(y * y)
    return xg.sum(h**2) + total


@pytest.mark.parametrize("m", [1, 2, 5, 8])
def test_loops_and_their_derivatives(m: int, executor: str) -> None:
    """Against the engine, which calls NumPy's transforms."""
    h, xs = 0.5 * drawn(2, m, dtype="float64"), 0.5 * drawn(3, 2, 4, dtype="float64")
    np.testing.assert_allclose(float(xg.compile(looped)(h, xs)), float(unrolled(h, xs)), rtol=1e-12)
    for order in (xg.grad, lambda f: xg.grad(lambda h, xs: xg.sum(xg.grad(f)(h, xs) ** 2))):
        found, wanted = xg.compile(order(looped))(h, xs), order(unrolled)(h, xs)
        np.testing.assert_allclose(found.numpy(), wanted.numpy(), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_gradients_are_those_of_differences(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XGRAD_VERIFY", "1")
    monkeypatch.setenv("XGRAD_NATIVE", "0")
    for shape, n, axis in ((2, 5), None, -1), ((6, 2), 4, 0), ((3, 4), 7, 1):
        x = 0.5 * drawn(*shape, dtype="float64")

        @xg.compile
        def f(x: Any, n: Any = n, axis: int = axis) -> Any:
            z = getattr(xg.fft, name)(xg.sin(x), n=n, axis=axis, norm="ortho")
            return (
                xg.sum(xg.real(z) ** 3 + xg.imag(z) ** 2) if name not in ("irfft", "hfft") else xg.sum(z**3)
            )

        xg.check_grads(f, (x,), order=2)


def test_a_transform_in_a_loop_is_no_call() -> None:
    h, xs = drawn(2, 5, dtype="float64"), drawn(3, 2, 4, dtype="float64")
    assert called(xg.grad(looped), h, xs) == []
    program = optimise(xg.compile(looped).program(h, xs))
    (loop,) = (s for s in program.stages if isinstance(s, Loop))
    assert not any(isinstance(s, Stage) and s.op == "new" for s in everything(loop.stages))


def test_transforms_of_the_same_operand_are_one_product() -> None:
    """Both parts of an rfft are columns of one product; fft is one product of both parts side by side."""

    def products(f: Any, dtype: str) -> int:
        xs = drawn(5, 2, 8, dtype="float64")
        body = lambda h, x: (xg.tanh(xg.real(f(h)) + x) * xg.imag(f(h)), None)
        program, _ = traced(lambda h, xs: list(xg.scan(body, h, xs)[:1]), [xs[0], xs])
        return sum(isinstance(s, Stage) and s.op in ("@", "@+") for s in everything(optimise(program).stages))

    assert products(lambda h: xg.fft.fft(h), "float64") <= 2
    assert products(lambda h: xg.fft.fft(xg.exp(1j * h)), "float64") == 1


def test_what_is_not_read_may_be_anything(executor: str) -> None:
    """Truncated elements, and the imaginary parts of the frequencies 0 and n/2."""
    x = drawn(2, 8)
    x[:, 5:] = np.nan
    f = xg.compile(lambda x: xg.fft.fft(x, n=5))
    close(f(x).numpy(), np.fft.fft(x[:, :5]), "float64")
    z = np.fft.rfft(drawn(2, 8, dtype="float64"))
    z.imag[:, [0, -1]] = np.nan
    close(xg.compile(lambda z: xg.fft.irfft(z))(z).numpy(), drawn(2, 8, dtype="float64"), "float64")


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_what_is_finite_in_numpy_is_finite_here(name: str, number: float) -> None:
    x = drawn(4, 6, dtype="float64")
    x[1, 2] = x[2, 0] = number
    with np.errstate(all="ignore"):
        found, wanted = xg.compile(getattr(xg.fft, name))(x).numpy(), getattr(np.fft, name)(x)
    finite = np.isfinite(wanted)
    np.testing.assert_array_equal(np.isfinite(found), finite)
    np.testing.assert_allclose(found[finite], wanted[finite], rtol=1e-12, atol=1e-14)
    if name in ("rfft", "ihfft"):
        np.testing.assert_array_equal(found.imag[:, [0, -1]], 0)


def test_long_transforms_are_calls() -> None:
    assert called(xg.fft.fft, drawn(2, 600)) == ["fft"]
    assert called(xg.fft.rfft, drawn(2, 600, dtype="float64")) == ["rfft"]
    assert called(xg.fft.fftn, drawn(2, 600)) == ["fft"]  # the axis of length 2 is a product
    assert called(xg.fft.fft, drawn(2_000, 64)) == ["fft"]
    assert called(xg.fft.fft, drawn(2, 64)) == []


def test_transforms_are_never_rounded_as_products_are() -> None:
    with xg.matmul_precision("tf32"):
        assert called(xg.fft.fft, drawn(2, 8)) == ["fft"]


@pytest.mark.parametrize("n", [1, 2, 3, 4, 8, 12, 100, 127, 128])
def test_the_matrix_is_exact_to_an_ulp(n: int) -> None:
    import mpmath

    with mpmath.workdps(40):
        for part, wave in (("cos", mpmath.cos), ("sin", mpmath.sin)):
            found = fourier_matrix(np, part, n, (0, n), (1, 3), 1.0, dtype=np.float64)
            for j in range(n):
                for k in (1, 2):
                    exact = wave(2 * mpmath.pi * j * k / n)
                    if 4 * j * k % n == 0:
                        assert found[j, k - 1] == round(exact), (part, j, k)
                    assert abs(found[j, k - 1] - exact) <= 2.0**-52, (part, j, k)
