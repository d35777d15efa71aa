"""Tests specific to CUDA, on a GPU or on the stand-in.

They cover streams, recordings, refused kernels, and sums in a fixed order.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import xgrad as xg

pytestmark = pytest.mark.cuda


@pytest.fixture(params=["cuda:0", "cuda:1"])
def cuda(request: pytest.FixtureRequest) -> Iterator[xg.backends.Device]:
    """Provide a CUDA device and make it the default for new Tensors."""
    try:
        held = xg.device(request.param)
        found = held.__enter__()
    except xg.DeviceError as error:
        pytest.skip(str(error))
    yield found
    held.__exit__(None, None, None)


def loop(W: Any, xs: Any) -> Any:
    return xg.sum(xg.scan(lambda h, x: (xg.tanh(h @ W + x), None), xs[0], xs)[0])


def arguments() -> tuple[xg.Tensor, xg.Tensor]:
    rng = np.random.default_rng(0)
    return xg.asarray(rng.normal(size=(3, 3)) / 2), xg.asarray(rng.normal(size=(4, 2, 3)))


def on_host(f: Any, *args: xg.Tensor) -> Any:
    with xg.device("cpu"):
        return f(*(xg.asarray(a.numpy()) for a in args)).numpy()


def test_a_number_to_the_power_of_a_tensor(cuda: xg.backends.Device) -> None:
    x = np.array([-1.0, 0.5, 3.0])
    found = xg.grad(lambda x: xg.sum(2.0**x))(xg.asarray(x))
    np.testing.assert_allclose(found.numpy(), np.log(2) * 2.0**x, rtol=1e-12)
    np.testing.assert_allclose(
        xg.grad(lambda x: xg.sum(xg.exp2(x) if hasattr(xg, "exp2") else np.exp2(x)))(xg.asarray(x)).numpy(),
        np.log(2) * 2.0**x,
        rtol=1e-12,
    )


def test_gradients_of_powers_of_negative_numbers_pass_their_check(cuda: xg.backends.Device) -> None:
    xg.check_grads(lambda x: xg.sum(x**3 + x**1), (xg.asarray([-2.0, -0.5, 1.5]),))


@pytest.mark.parametrize("way", ["persistent", "steps"])
def test_a_loop_is_run_in_the_way_that_is_asked_for(
    cuda: xg.backends.Device, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XGRAD_LOOPS", way)
    W, xs = arguments()
    compiled = xg.compile(lambda W, xs, k=float(way == "steps"): loop(W, xs) + k)
    for _ in range(3):  # eager, recorded, replayed
        np.testing.assert_allclose(
            compiled(W, xs).numpy() - float(way == "steps"), on_host(loop, W, xs), rtol=1e-12
        )
    (run,) = compiled.executable(W, xs).loops
    assert run.way == {"persistent": "one launch", "steps": "step by step"}[way]
    assert not run.seconds
    monkeypatch.setenv("XGRAD_LOOPS", "both")
    with pytest.raises(ValueError, match="XGRAD_LOOPS=both is not valid; set it to persistent or steps"):
        xg.compile(lambda W, xs: loop(W, xs) * 3)(W, xs)


def test_a_kernel_that_is_refused_is_a_reason_and_not_an_error(
    cuda: xg.backends.Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xgrad.backends.cuda import kernels
    from xgrad.backends.cuda.protocol import KernelError

    def refused(source: str, arch: int, *options: str) -> bytes:
        raise KernelError("NVRTC 12.9 could not compile a kernel: no")

    monkeypatch.setattr(kernels, "compile_kernels", refused)
    W, xs = arguments()
    compiled = xg.compile(lambda W, xs: loop(W, xs) * 7)
    np.testing.assert_allclose(compiled(W, xs).numpy(), 7 * on_host(loop, W, xs), rtol=1e-12)
    assert "NVRTC 12.9 could not compile a kernel: no" in str(compiled.executable(W, xs).why)
    assert "NVRTC 12.9 could not compile a kernel: no" in compiled.explain(W, xs)


def test_no_option_is_given_that_older_compilers_do_not_know(
    cuda: xg.backends.Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cupy.cuda import nvrtc

    from xgrad.backends import disk
    from xgrad.backends.cuda import kernels

    monkeypatch.setattr(disk, "read", lambda kind, key: None)
    monkeypatch.setenv("FAKE_NVRTC", "12.9")  # the stand-in then reports this version
    text = 'extern "C" __global__ void k(float* x) { x[0] = 1.0f; }'
    assert kernels.compile_kernels(text, 90)
    if nvrtc.getVersion() < (13, 1):
        with pytest.raises(
            kernels.KernelError, match=r"NVRTC \d+\.\d+ could not compile a kernel: .*unrecognized option"
        ):
            kernels.compile_kernels(text, 90, "-Werror=all-warnings")


def test_many_streams_keep_no_more_than_a_few(cuda: xg.backends.Device) -> None:
    W, xs = arguments()
    compiled = xg.compile(lambda W, xs: loop(W, xs) @ W * 5 if False else loop(W, xs) * 5)
    want = 5 * on_host(loop, W, xs)
    streams = []
    for _ in range(12):
        with cuda.stream() as stream:
            streams.append(stream)  # keep the streams alive, so that no address is reused
            for _ in range(3):
                np.testing.assert_allclose(compiled(W, xs).numpy(), want, rtol=1e-12)
    launcher = cuda.backend.launcher(cuda.index)
    assert len(launcher._blas) <= 8 + 3


def test_a_stream_of_a_device_that_is_not_the_current_one(cuda: xg.backends.Device) -> None:
    with xg.device("cuda:0"), cuda.stream():
        z = xg.ones(3, device=cuda) * 2
    assert z.device is cuda
    assert z.tolist() == [2, 2, 2]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "complex64"])
@pytest.mark.parametrize("shape", [(7,), (7, 5), (7, 40, 3)])
def test_sums_at_an_index_are_in_the_order_of_numpy(
    cuda: xg.backends.Device, dtype: str, shape: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(0)
    index = rng.integers(-7, 7, (50, 3))
    values = rng.normal(size=(50, 3, *shape[1:])) * 10.0 ** rng.integers(
        -3, 3, (50, 3, *[1] * len(shape[1:]))
    )
    x, v = xg.zeros(shape, dtype=dtype), xg.asarray(values).astype(dtype)
    gradient = xg.grad(lambda x: xg.sum(xg.real(x[xg.asarray(index)] * v)))
    found = gradient(x).numpy()
    assert all(np.array_equal(gradient(x).numpy(), found) for _ in range(3))
    wide = np.zeros(shape, np.complex128 if dtype == "complex64" else np.float64)
    np.add.at(wide, index, np.conj(v.numpy().astype(wide.dtype)))
    np.testing.assert_allclose(
        found.astype(wide.dtype), wide, rtol={"float16": 2e-3, "bfloat16": 1e-2}.get(dtype, 1e-5), atol=1e-3
    )


KEYS: dict[str, Any] = {
    "one array": (np.array([2, 0, 2, 2]), ...),
    "two arrays": (np.array([1, 1, 0]), np.array([3, 3, -1])),
    "beside a slice": (slice(None), np.array([[0, 1], [1, 3]])),
    "beside an integer": (1, np.array([0, 1, 1])),
    "an integer's array": (np.array(1), slice(1, None)),
    "a mask": (np.array([[True, False, True, True]] * 3),),
    "slices": (slice(1, None), 2),
    "nothing": (np.array([], int),),
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize(
    "dtype",
    ["float64", "float32", "float16", "complex64", "complex128", "int64", "int32", "int8", "uint16", "bool"],
)
def test_adding_at_every_kind_of_index(cuda: xg.backends.Device, dtype: str, key: Any) -> None:
    shape = np.zeros((3, 4))[key].shape
    values = np.asarray(
        np.arange(np.prod(shape, dtype=int)).reshape(shape) - 2 + (1j if "complex" in dtype else 0)
    ).astype(dtype)
    expected = np.zeros((3, 4), dtype)
    np.add.at(expected, key, values)
    backend, index = cuda.backend, cuda.index
    with cuda.guard or contextlib.nullcontext():
        for whole in (
            backend.from_host(np.zeros((3, 4), dtype), index),
            backend.from_host(np.zeros((4, 3), dtype), index).T,
        ):
            backend.scatter_add(
                whole,
                tuple(backend.from_host(k, index) if isinstance(k, np.ndarray) else k for k in key),
                backend.from_host(values, index),
            )
            np.testing.assert_array_equal(backend.to_host(whole), expected)


def test_errors_name_the_users_line_and_not_that_of_the_array_library(cuda: xg.backends.Device) -> None:
    cupy = pytest.importorskip("cupy")

    def f(x: Any) -> Any:
        return cupy.asnumpy(x)

    with pytest.raises(xg.TraceError, match="test_cuda_device"):
        xg.compile(f)(xg.ones(3))
