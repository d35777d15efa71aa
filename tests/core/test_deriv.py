"""Tests of `deriv` called by hand, as the notes do, including an error in their listing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import xgrad as xg

rng = np.random.default_rng(0)


def test_always_a_tuple() -> None:
    dz, x = rng.normal(size=3), rng.normal(size=3)
    for op in ("none", "tanh", "neg", "sum"):
        found = xg.deriv(np.ones(()) if op == "sum" else dz, x, None, op)
        assert isinstance(found, tuple)
        assert len(found) == 1
    assert len(xg.deriv(dz, x, x, "+")) == 2


def test_none_passes_the_gradient() -> None:
    dz = rng.normal(size=3)
    (dx,) = xg.deriv(dz, dz, None, "none")
    assert dx.tolist() == dz.tolist()


def test_the_rules_of_the_notes() -> None:
    x, y, dz = rng.normal(size=(3, 2, 4))
    np.testing.assert_allclose(xg.deriv(dz, x, y, "*"), (dz * y, dz * x))
    np.testing.assert_allclose(xg.deriv(dz, x, y, "+"), (dz, dz))
    np.testing.assert_allclose(xg.deriv(dz, x, y, "-"), (dz, -dz))
    np.testing.assert_allclose(xg.deriv(dz, x, None, "tanh")[0], dz * (1 - np.tanh(x) ** 2))
    s = 1 / (1 + np.exp(-x))
    np.testing.assert_allclose(xg.deriv(dz, x, None, "sigmoid")[0], dz * (1 - s) * s)


def test_matmul_is_transposed_as_the_mathematics_has_it() -> None:
    W, h, dz = rng.normal(size=(3, 2)), rng.normal(size=(2, 5)), rng.normal(size=(3, 5))
    dW, dh = xg.deriv(dz, W, h, "@")
    np.testing.assert_allclose(dW, dz @ h.T)
    np.testing.assert_allclose(dh, W.T @ dz)


def test_names_and_symbols_are_the_same_ops() -> None:
    x, y = rng.normal(size=(2, 3))
    for symbol, name in [
        ("*", "multiply"),
        ("@", "matmul"),
        ("+", "add"),
        ("**", "pow"),
        ("neg", "negative"),
        ("transpose", "permute_dims"),
    ]:
        assert xg.ops.find_op(symbol) is xg.ops.find_op(name)
    np.testing.assert_array_equal(xg.deriv(x, x, y, "*"), xg.deriv(x, x, y, "multiply"))


def test_the_output_may_be_given() -> None:
    x = rng.normal(size=3)
    np.testing.assert_array_equal(xg.deriv(x, x, None, "exp", z=np.full(3, 2.0))[0], 2 * x)


def test_parameters_and_their_defaults() -> None:
    x = rng.normal(size=(2, 3))
    assert xg.deriv(1.0, x, None, "sum")[0].shape == (2, 3)
    np.testing.assert_array_equal(
        xg.deriv(np.array([1.0, 2.0]), x, None, "sum", axis=1)[0], [[1, 1, 1], [2, 2, 2]]
    )
    assert xg.deriv(x.T, x, None, "transpose")[0].shape == (2, 3)
    np.testing.assert_array_equal(xg.deriv(np.ones(3), x, None, "getitem", key=0)[0], [[1, 1, 1], [0, 0, 0]])


def test_ops_of_any_number_of_operands_take_their_tuple() -> None:
    a, b = rng.normal(size=(2, 3)), rng.normal(size=(1, 3))
    da, db = xg.deriv(np.ones((3, 3)), (a, b), None, "concat", axis=0)
    assert da.shape == (2, 3)
    assert db.shape == (1, 3)
    condition, dx, dy = xg.deriv(np.ones(2), (np.array([True, False]), np.ones(2), np.ones(2)), None, "where")
    assert condition is None
    assert dx.tolist() == [1, 0]
    assert dy.tolist() == [0, 1]


def test_numbers_are_arrays_of_no_axes() -> None:
    dx, dy = xg.deriv(1.0, 3.0, -4.0, "*")
    assert (dx, dy) == (-4.0, 3.0)


def test_tensors_in_tensors_out(device: str) -> None:
    x, y = xg.asarray([1.0, 2.0]), xg.asarray([3.0, 4.0])
    dx, dy = xg.deriv(xg.ones(2), x, y, "*")
    assert isinstance(dx, xg.Tensor)
    assert dx.device == x.device
    assert (dx.numpy().tolist(), dy.numpy().tolist()) == ([3, 4], [1, 2])


def test_derivatives_of_deriv(device: str) -> None:
    second = xg.grad(lambda x: xg.deriv(1.0, x, None, "tanh")[0])(0.5)
    t = np.tanh(0.5)
    assert second.item() == pytest.approx(-2 * t * (1 - t * t))


def test_arrays_of_a_device_stay_there(device: str) -> None:
    x = xg.asarray([1.0, 2.0]).data
    (dx,) = xg.deriv(x, x, None, "tanh")
    assert type(dx) is type(x)


def test_dtypes_of_operands_are_kept() -> None:
    dx, dy = xg.deriv(np.ones(3), np.ones(3, "f"), np.ones(3), "*")
    assert (dx.dtype, dy.dtype) == (np.float32, np.float64)


def test_complex_gradients_are_the_conjugate_transpose() -> None:
    dz, x, y = (rng.normal(size=3) + 1j * rng.normal(size=3) for _ in range(3))
    dx, dy = xg.deriv(dz, x, y, "*")
    np.testing.assert_allclose(dx, dz * y.conj())
    np.testing.assert_allclose(dy, dz * x.conj())
    np.testing.assert_allclose(xg.deriv(dz, x.real, y, "*")[0], (dz * y.conj()).real)


@given(st.permutations([0, 1, 2]))
def test_transposes_are_undone(axes: list[int]) -> None:
    x = rng.normal(size=(2, 3, 4))
    dz = np.transpose(x, axes)
    np.testing.assert_array_equal(xg.deriv(dz, x, None, "transpose", axes=tuple(axes))[0], x)


class TestBadInput:
    def test_unknown_op_names_the_near_ones(self) -> None:
        with pytest.raises(xg.UnknownOpError, match="sigmoid"):
            xg.deriv(1.0, 1.0, None, "sigmoi")
        with pytest.raises(xg.UnknownOpError, match="there are"):
            xg.deriv(1.0, 1.0, None, "zzzzzz")

    def test_wrong_number_of_operands(self) -> None:
        with pytest.raises(TypeError, match="takes 2 operands, got 1"):
            xg.deriv(1.0, 1.0, None, "+")
        with pytest.raises(TypeError, match="takes 1 operand, got 2"):
            xg.deriv(1.0, 1.0, 1.0, "tanh")

    def test_shapes_that_do_not_fit(self) -> None:
        with pytest.raises(xg.ShapeError, match=r"'\*'.*\(5,\).*\(3,\)"):
            xg.deriv(np.ones(5), np.ones(3), np.ones(3), "*")
        with pytest.raises(xg.ShapeError, match="'@'"):
            xg.deriv(np.ones((5, 5)), np.ones((3, 2)), np.ones((2, 4)), "@")
        with pytest.raises(xg.ShapeError, match=r"'\+'"):
            xg.deriv(np.ones((4, 3)), np.ones(3), np.ones(3), "+")

    def test_unknown_parameter(self) -> None:
        with pytest.raises(TypeError, match="axis"):
            xg.deriv(1.0, np.ones(3), None, "sum", axes=0)

    def test_arrays_of_two_devices(self) -> None:
        import array_api_strict

        with pytest.raises(xg.DeviceError, match="cpu and strict:0"):
            xg.deriv(np.ones(3), array_api_strict.ones(3), None, "tanh")


def test_an_index_may_have_arrays() -> None:
    x, i = np.arange(12.0).reshape(4, 3), np.array([1, 1, 3])
    for key in (i, (i,), (i, slice(1, None)), (slice(None), np.array([0, 0]))):
        dz = np.random.default_rng(0).normal(size=x[key].shape)
        expected = np.zeros_like(x)
        np.add.at(expected, key, dz)
        np.testing.assert_array_equal(xg.deriv(dz, x, None, "getitem", key=key)[0], expected)


def test_the_gradients_of_tensors_are_separate_handles() -> None:
    dx, dy = xg.deriv(xg.ones(2), xg.ones(2), xg.ones(2), "+")
    dx += 1.0
    assert dy.tolist() == [1.0, 1.0]
