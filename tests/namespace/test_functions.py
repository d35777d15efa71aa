"""Every function of the namespace: NumPy's values on every backend, gradients, and NumPy's own functions."""

from __future__ import annotations

import copy
import inspect
import pickle
import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.array_api import make_strategies_namespace

import xgrad as xg
from tests.helpers.calls import CALLS, FLAT, MODES, NOT_IN_NUMPY, ORDER, REAL, Call, complexified
from xgrad.namespace.table import FUNCTIONS, extension
from xgrad.namespace.table import NUMPY as IN_NUMPY

NAMES = [(name, k) for name, made in CALLS.items() for k in range(len(made))]
NUMPY = SimpleNamespace(
    **{name: getattr(np, name) for name in dir(np) if not name.startswith("__")},
    **NOT_IN_NUMPY,
    __array_namespace_info__=np.__array_namespace_info__,
)


def placed(call: Call) -> list[xg.Tensor]:
    return [xg.asarray(a) for a in call.arrays]


def same(z: Any, expected: Any) -> None:
    """Check that a result equals NumPy's, whatever type it has."""
    if isinstance(expected, tuple | list) and not isinstance(z, tuple) | hasattr(z, "shape"):
        pytest.fail(f"a {type(z).__name__} where NumPy gives several arrays")
    if isinstance(expected, tuple | list):
        assert len(z) == len(expected)
        for part, other in zip(z, expected, strict=True):
            same(part, other)
    elif isinstance(z, xg.Tensor):
        assert z.shape == np.shape(expected)
        assert z.dtype == np.asarray(expected).dtype
        np.testing.assert_allclose(
            z.numpy(), expected, rtol=1e-5 if z.dtype.itemsize == 4 else 1e-10, atol=1e-12
        )
    else:
        assert z == expected


def test_every_function_has_a_call() -> None:
    assert set(CALLS) == set(FUNCTIONS)


@pytest.mark.parametrize(("name", "k"), NAMES)
def test_values_are_numpys(name: str, k: int, device: str) -> None:
    call = CALLS[name][k]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = call.f(NUMPY, *call.arrays)
    z = call.f(xg, *placed(call))
    same(z, expected)
    for part in z if isinstance(z, tuple) else (z,):
        assert not isinstance(part, xg.Tensor) or part.device == device


def gradient_flows(call: Call) -> bool:
    """Return whether a result can be differentiated with respect to one of its arrays."""
    args = [xg.tensor(a, requires_grad=a.dtype.kind in "fc", device="cpu") for a in call.arrays]
    try:
        z = call.f(xg, *args)
    except xg.GraphError:  # exported memory is not differentiated
        return False
    return any(
        isinstance(part, xg.Tensor) and part.requires_grad for part in (z if isinstance(z, tuple) else (z,))
    )


DIFFERENTIABLE = [(name, k) for name, k in NAMES if gradient_flows(CALLS[name][k])]


#: Calls that make real numbers of complex ones, or choose an arbitrary phase.
NOT_OF_COMPLEX = {("astype", 0), ("asarray", 2), ("linalg.eigh", 0)}
COMPLEX = [(name, k) for name, k in DIFFERENTIABLE if name not in REAL and (name, k) not in NOT_OF_COMPLEX]


def check(call: Call) -> None:
    """Check the derivatives of a call, in both modes and every combination of them."""

    def outputs(*args: Any) -> list[xg.Tensor]:
        z = call.f(xg, *args)
        return [part for part in (z if isinstance(z, tuple) else (z,)) if isinstance(part, xg.Tensor)]

    args = placed(call)
    rounded = any(z.dtype in (xg.float32, xg.complex64) for z in outputs(*args))
    xg.check_grads(outputs, args, ORDER, MODES, rtol=1e-2 if rounded else None)


@pytest.mark.parametrize(("name", "k"), DIFFERENTIABLE)
def test_derivatives_are_right(name: str, k: int, device: str) -> None:
    check(CALLS[name][k])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "k"), COMPLEX)
def test_derivatives_of_complex_numbers_are_right(name: str, k: int, device: str) -> None:
    call = complexified(CALLS[name][k])
    if any(a.dtype.kind == "c" for a in call.arrays):
        check(call)


def test_everything_else_has_a_derivative() -> None:
    assert {name for name in CALLS if name not in {n for n, _ in DIFFERENTIABLE}} == set(FLAT)


# np.asarray returns a NumPy array, except with like=
@pytest.mark.parametrize("name", sorted((IN_NUMPY.keys() & CALLS.keys()) - {"asarray"}))
def test_numpys_functions_take_tensors(name: str, device: str) -> None:
    """Make the same call through NumPy's namespace, on Tensors."""
    for call in CALLS[name]:
        if not call.arrays:
            continue
        args = placed(call)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            z, expected = call.f(NUMPY, *args), call.f(xg, *args)
        for part, other in zip(
            z if isinstance(z, tuple) else (z,),
            expected if isinstance(expected, tuple) else (expected,),
            strict=True,
        ):
            if isinstance(other, xg.Tensor):
                assert isinstance(part, xg.Tensor)
                np.testing.assert_allclose(part.numpy(), other.numpy())


def test_every_function_says_what_it_does() -> None:
    for name, f in FUNCTIONS.items():
        assert f.__doc__, name
        assert inspect.signature(f) is not None


def test_functions_and_devices_are_pickled_by_name() -> None:
    """Pickling by name lets other processes receive them."""
    functions = [
        f
        for part in (xg, xg.linalg, xg.fft, xg.random, xg.optim, xg.nn)
        for n in part.__all__
        if callable(f := getattr(part, n))
    ]
    assert [
        f for f in (*functions, xg.current_device(), xg.device) if pickle.loads(pickle.dumps(f)) is not f
    ] == []
    assert copy.deepcopy(xg.current_device()) is xg.current_device()


def test_the_namespace_is_the_table() -> None:
    assert set(extension("")) <= set(xg.__all__)
    assert set(xg.linalg.__all__) == set(extension("linalg"))
    assert set(xg.fft.__all__) == set(extension("fft"))
    for name in xg.__all__:
        assert hasattr(xg, name), name


STRATEGIES = make_strategies_namespace(xg, api_version="2024.12")


@given(st.data())
def test_hypothesis_draws_tensors(data: st.DataObject) -> None:
    """Its strategies for the array standard create, fill and index Tensors."""
    x = data.draw(
        STRATEGIES.arrays(STRATEGIES.scalar_dtypes(), STRATEGIES.array_shapes(min_side=0, max_side=4))
    )
    index = data.draw(STRATEGIES.indices(x.shape, allow_newaxis=True))
    assert isinstance(x, xg.Tensor)
    np.testing.assert_array_equal(x[index].numpy(), x.numpy()[index])
    axis = data.draw(STRATEGIES.valid_tuple_axes(x.ndim))
    np.testing.assert_array_equal(
        xg.all(x == x, axis=axis).numpy(), np.all(x.numpy() == x.numpy(), axis=axis)
    )
