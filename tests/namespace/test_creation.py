"""Creating Tensors: NumPy's values and dtypes, lists of Tensors, and memory shared with other libraries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import xgrad as xg
from tests.helpers.drawn import (
    BACKENDS,
    BOOLEAN,
    COMPLEX,
    EVERY,
    INTEGER,
    NUMERIC,
    REAL,
    agrees,
    arrays_of,
    same,
    shapes,
)

dtypes = st.none() | st.sampled_from(NUMERIC)
numbers = st.integers(-5, 5) | st.floats(-4, 4).map(lambda x: round(x, 1))


def made(ours: Any, numpys: Any, *args: Any, **params: Any) -> None:
    """Check that a function without array arguments gives NumPy's array on every backend."""
    expected = numpys(*args, **params)
    for backend in BACKENDS:
        with xg.device(backend):
            same(ours(*args, **params), expected, backend)
        same(ours(*args, **params, device=backend), expected, backend)


@given(shapes(), dtypes)
def test_filled(shape: tuple[int, ...], dtype: Any) -> None:
    for name in ("zeros", "ones"):
        made(getattr(xg, name), getattr(np, name), shape, **({} if dtype is None else {"dtype": dtype}))
    made(xg.full, np.full, shape, 3, dtype=dtype)
    for value in (True, 2.5, 1j):
        made(xg.full, np.full, shape, value)
    assert xg.empty(shape, dtype=dtype).shape == shape


@given(arrays_of(EVERY), dtypes)
def test_like_another(x: np.ndarray, dtype: Any) -> None:
    for name in ("zeros_like", "ones_like"):
        agrees(getattr(xg, name), getattr(np, name), x, dtype=dtype)
    agrees(lambda x: xg.full_like(x, 1, dtype=dtype), lambda x: np.full_like(x, 1, dtype=dtype), x)
    for backend in BACKENDS:
        e = xg.empty_like(xg.asarray(x), dtype=dtype, device=backend)
        assert (e.shape, e.dtype, e.device) == (x.shape, dtype or x.dtype, backend)


@given(
    st.integers(-5, 5),
    st.none() | st.integers(-5, 5),
    st.sampled_from([1, 2, -1, -3]),
    st.none() | st.sampled_from(INTEGER[:4] + REAL),
)
def test_arange(start: int, stop: Any, step: int, dtype: Any) -> None:
    made(xg.arange, np.arange, start, stop, step, dtype=dtype)
    made(xg.arange, np.arange, start / 4, start / 4 + 1, 0.25)


@given(numbers, numbers, st.integers(0, 5), st.none() | st.sampled_from(REAL + COMPLEX), st.booleans())
def test_linspace(start: float, stop: float, num: int, dtype: Any, endpoint: bool) -> None:
    made(xg.linspace, np.linspace, start, stop, num=num, dtype=dtype, endpoint=endpoint)
    made(xg.linspace, np.linspace, start, stop * 1j, num=num, endpoint=endpoint)


@given(st.integers(0, 3), st.none() | st.integers(0, 3), st.integers(-4, 4), dtypes)
def test_eye(rows: int, columns: Any, k: int, dtype: Any) -> None:
    made(xg.eye, np.eye, rows, columns, k=k, **({} if dtype is None else {"dtype": dtype}))


@given(st.lists(arrays_of(EVERY, shapes(1, 1)), max_size=3), st.sampled_from(["xy", "ij"]))
def test_meshgrid(arrays: list[np.ndarray], indexing: Any) -> None:
    agrees(xg.meshgrid, np.meshgrid, *arrays, indexing=indexing)


@given(arrays_of(EVERY), st.sampled_from(EVERY))
def test_astype(x: np.ndarray, dtype: str) -> None:
    if x.dtype.kind == "c" and dtype in INTEGER + REAL:
        return  # refused: tested below
    agrees(lambda x: xg.astype(x, dtype), lambda x: x.astype(dtype), x)
    agrees(lambda x: xg.asarray(x, dtype=dtype), lambda x: x.astype(dtype), x)
    for backend in BACKENDS:
        same(xg.astype(xg.asarray(x), dtype, device=backend), x.astype(dtype), backend)


@pytest.mark.parametrize("dtype", INTEGER + REAL)
def test_complex_numbers_are_not_cast_to_real_ones(dtype: str, device: str) -> None:
    z = xg.asarray([1 + 2j, 0j])
    with pytest.raises(TypeError, match=rf"cannot be cast to {dtype}; use xg.real\(x\)"):
        xg.astype(z, dtype)
    assert xg.astype(xg.real(z), dtype).tolist() == [1, 0]
    assert xg.astype(z, "bool").tolist() == [True, False]


@pytest.mark.filterwarnings("ignore:Casting complex")
def test_numpys_astype_takes_the_real_part() -> None:
    z = np.astype(xg.asarray([1 + 2j]), np.float64)
    assert (z.dtype, z.tolist()) == (xg.float64, [1])


@given(arrays_of(EVERY))
def test_asarray_of_arrays_lists_and_numbers(x: np.ndarray) -> None:
    for backend in BACKENDS:
        same(xg.asarray(x, device=backend), x, backend)
        if x.size:  # an empty list loses the other axes
            same(xg.asarray(x.tolist(), dtype=x.dtype, device=backend), x, backend)
        same(xg.asarray(xg.asarray(x, device=backend)), x, backend)
        same(xg.asarray(xg.asarray(x), device=backend), x, backend)


def test_dtypes_of_python_numbers(device: str) -> None:
    for value, dtype in [
        (1, "int64"),
        (1.0, "float64"),
        (1j, "complex128"),
        (True, "bool"),
        ([1, 2.5], "float64"),
        ([], "float64"),
        ([[1], [2]], "int64"),
    ]:
        assert xg.asarray(value).dtype == dtype


def test_copies(device: str) -> None:
    own = xg.asarray([1.0, 2.0])
    assert xg.asarray(own) is own
    assert xg.asarray(own, copy=False) is own
    assert xg.asarray(own, copy=True) is not own
    assert xg.astype(own, xg.float64, copy=False) is own
    assert xg.astype(own, xg.float64) is not own
    for refused in ({"dtype": xg.float32}, {"device": "strict:2" if device != "strict:2" else "cpu"}):
        with pytest.raises(ValueError, match="copy"):
            xg.asarray(own, copy=False, **refused)
    host = np.ones(3)
    assert np.shares_memory(xg.asarray(host, device="cpu").numpy(), host)
    assert np.shares_memory(xg.asarray(host, device="cpu", copy=False).numpy(), host)
    assert not np.shares_memory(xg.asarray(host, device="cpu", copy=True).numpy(), host)
    with pytest.raises(ValueError, match="copy"):
        xg.asarray([1.0], copy=False, device="cpu")


def test_what_is_no_number_is_refused() -> None:
    for value in ("text", [object()], None):
        with pytest.raises(TypeError, match="numbers"):
            xg.asarray(value)


def test_gradients_pass_through_conversions(device: str) -> None:
    x = xg.asarray([1.0, 2.0])
    for f in (
        lambda x: xg.asarray(x, copy=True),
        lambda x: xg.astype(xg.astype(x, xg.complex128), xg.complex128) * 1j,
        lambda x: xg.asarray(xg.asarray(x, device="cpu"), device=x.device),
        lambda x: xg.full((2, 2), x[0]),
        lambda x: xg.full_like(x, x[1]),
        lambda x: xg.meshgrid(x, x * 2)[1],
        lambda x: xg.linspace(x[0], x[1], 4),
        lambda x: xg.linspace(x, 3.0, 4, endpoint=False),
        lambda x: xg.linspace(0.0, x, 1),
    ):
        xg.check_grads(lambda x, f=f: xg.real(f(x) ** 2), (x,), order=2)
    assert not xg.astype(xg.tensor([1.0], requires_grad=True), xg.int64).requires_grad


# Lists with Tensors in them


def test_lists_of_tensors_are_stacked(device: str) -> None:
    def f(a: Any, b: Any) -> Any:
        return xg.asarray([[a[0], 2.0], (b, a[0] * b)]) ** 2

    xg.check_grads(f, (xg.asarray([1.0, 2.0]), xg.asarray(3.0)), order=2)
    xg.check_grads(lambda a, b: xg.asarray([a, [b, 0.0]]), (xg.asarray([1.0, 2.0]), xg.asarray(3.0)), order=2)
    rows = [xg.asarray([1, 2]), xg.asarray([3, 4])]
    assert xg.asarray(rows).numpy().tolist() == [[1, 2], [3, 4]]
    assert xg.asarray(rows).device == device
    assert xg.asarray(tuple(rows), dtype=xg.float32).dtype == xg.float32
    np.testing.assert_allclose(
        xg.compile(f)(xg.asarray([1.0, 2.0]), xg.asarray(3.0)).numpy(), [[1, 4], [9, 9]]
    )


def test_numbers_beside_tensors_are_weak(device: str) -> None:
    small = xg.asarray(1.0, dtype=xg.float32)
    assert xg.asarray([small, 2.0]).dtype == xg.float32
    assert xg.asarray([small, xg.asarray(1.0)]).dtype == xg.float64
    assert xg.asarray([xg.asarray(1), 2.5]).dtype == xg.float64
    assert xg.asarray([small, 1j]).dtype == xg.complex64
    assert xg.asarray([xg.asarray([], dtype=xg.float32), []]).shape == (2, 0)


def test_a_tensor_of_tensors_is_a_leaf_of_its_own(device: str) -> None:
    x = xg.tensor([1.0, 2.0], requires_grad=True)
    assert not xg.tensor([x[0], 3.0]).requires_grad
    own = xg.tensor([x[0], 3.0], requires_grad=True)
    xg.sum(own**2).backward()
    assert own.grad is not None
    assert own.grad.numpy().tolist() == [2, 6]
    assert x.grad is None


def test_lists_of_tensors_that_do_not_fit() -> None:
    with pytest.raises(xg.ShapeError):
        xg.asarray([xg.ones(2), xg.ones(3)])
    with pytest.raises(xg.DeviceError):
        xg.asarray([xg.ones(2), xg.ones(2, device="strict:1")])
    with pytest.raises(ValueError, match="copy"):
        xg.asarray([xg.ones(2)], copy=False)


# DLPack


def test_memory_is_shared_with_numpy() -> None:
    host = np.arange(3.0)
    assert np.shares_memory(xg.from_dlpack(host).numpy(), host)
    assert np.shares_memory(np.from_dlpack(xg.asarray(host)), host)
    assert not np.shares_memory(xg.from_dlpack(host, copy=True).numpy(), host)
    assert xg.from_dlpack(host, copy=False).device == "cpu"


@pytest.mark.parity
def test_memory_is_shared_with_torch() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: `make parity` installs it")
    host = np.arange(3.0)
    t = xg.asarray(host)
    theirs = torch.from_dlpack(t)
    theirs[0] = 7
    assert host[0] == 7
    back = xg.from_dlpack(theirs)
    assert np.shares_memory(back.numpy(), host)
    assert torch.from_dlpack(t[1]).shape == ()
    assert not np.shares_memory(xg.from_dlpack(theirs, copy=True).numpy(), host)
    with pytest.raises(xg.GraphError, match="cut the gradient"):
        torch.from_dlpack(xg.tensor([1.0], requires_grad=True))


@given(arrays_of([d for d in EVERY if d not in BOOLEAN]))
def test_dlpack_both_ways(x: np.ndarray) -> None:
    for backend in BACKENDS:
        t = xg.asarray(x, device=backend)
        same(xg.from_dlpack(t), x, backend)
    same(xg.from_dlpack(np.from_dlpack(xg.asarray(x, copy=True))), x, "cpu")
    same(xg.from_dlpack(x, device="strict:1"), x, "strict:1")


def test_dlpack_refuses_what_it_cannot_do() -> None:
    x = xg.tensor([1.0], requires_grad=True)
    for f in (xg.from_dlpack, np.from_dlpack):
        with pytest.raises(xg.GraphError, match="cut the gradient"):
            f(x)
    with pytest.raises(ValueError, match="copy"):
        xg.from_dlpack(np.ones(2), device="strict:1", copy=False)

    class Elsewhere:
        def __dlpack_device__(self) -> tuple[int, int]:
            return 10, 0

    for kind in (xg.DeviceError, BufferError):
        with pytest.raises(kind, match="device type 10"):
            xg.from_dlpack(Elsewhere())
    Elsewhere.__dlpack_device__ = lambda self: (2, 99)  # type: ignore[method-assign]
    with pytest.raises(BufferError, match=r"(?i)cuda"):
        xg.from_dlpack(Elsewhere())
    with pytest.raises(AttributeError, match="__dlpack__, not list"):
        xg.from_dlpack([1])


def test_errors() -> None:
    with pytest.raises(ValueError, match="'xy' or 'ij'"):
        xg.meshgrid(xg.ones(2), indexing="ji")
    with pytest.raises(xg.ShapeError, match="one axis"):
        xg.meshgrid(xg.ones((2, 2)))


FOREIGN_ORDER: dict[str, Callable[[Any], Any]] = {
    "asarray": xg.asarray,
    "tensor": xg.tensor,
    "an operand": lambda a: xg.zeros(2, dtype=xg.float32) + a,
    "dtype of zeros": lambda a: xg.zeros(2, dtype=a.dtype) + 1,
    "dtype of asarray": lambda a: xg.asarray([1.0, 1.0], dtype=a.dtype),
    "dtype of an array": lambda a: xg.asarray(a, dtype=a.dtype),
    "astype": lambda a: xg.ones(2).astype(a.dtype),
    "by name": lambda a: xg.full(2, 1.0, dtype=">f4"),
    "dtype of a sum": lambda a: xg.sum(xg.ones((1, 2)), axis=0, dtype=a.dtype),
    "compiled": xg.compile(lambda x: x * 1),
    "scan": lambda a: xg.scan(lambda h, x: (h, x), 0.0, a)[1],
    "written into": lambda a: (lambda t: (t.__setitem__(slice(None), a), t)[1])(
        xg.zeros(2, dtype=xg.float32)
    ),
}


@pytest.mark.parametrize("way", FOREIGN_ORDER)
def test_arrays_and_dtypes_in_another_byte_order_become_those_of_the_machine(way: str) -> None:
    t = FOREIGN_ORDER[way](np.ones(2, ">f4"))
    assert t.dtype == xg.float32
    assert t.data.dtype.isnative
    assert t.tolist() == [1.0, 1.0]
    assert (xg.nn.Linear(2, 1)(t)).dtype == xg.float32
