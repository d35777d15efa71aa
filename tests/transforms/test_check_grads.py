"""Tests of `check_grads` itself: it must find errors and say where they are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import xgrad as xg


def test_a_wrong_gradient_names_argument_index_and_both_numbers(device: str) -> None:
    @xg.gate(dx=lambda xp, dz, x: dz * xp.where(x > 2.5, 2.01 * x, 2 * x))
    def square(x: Any) -> Any:
        return x * x

    with pytest.raises(
        AssertionError,
        match=(
            r"order 1: the gradient with respect to argument \[1\] at index \(2,\) is 6\.0299\d*, but "
            r"finite differences give (6\.0|5\.99)"
        ),
    ):
        xg.check_grads(lambda a, x: a * xg.sum(square(x)), (1.0, xg.asarray([1.0, 2.0, 3.0])))


def test_the_path_into_a_container_is_named() -> None:
    wrong = xg.gate(dx=lambda dz: dz * 3)(lambda x: x * 2)
    with pytest.raises(AssertionError, match=r"argument \[0\]\['w'\] at index \(\)"):
        xg.check_grads(lambda p: wrong(p["w"]) + p["v"], ({"w": 1.0, "v": 2.0},))


def test_a_wrong_second_derivative_is_found(device: str) -> None:
    """The first derivative is right in value, but does not depend on x in the graph."""

    @xg.gate(dx=lambda dz, x: dz * 2 * x.detach() if isinstance(x, xg.Tensor) else dz * 2 * x)
    def square(x: Any) -> Any:
        return x * x

    xg.check_grads(square, (xg.asarray([1.0, 2.0]),), order=1)
    with pytest.raises(AssertionError, match="order 2"):
        xg.check_grads(square, (xg.asarray([1.0, 2.0]),), order=2)


@pytest.mark.parametrize("error", [1e-9, 1e-6])
def test_small_errors_are_found_where_a_complex_step_is_possible(error: float) -> None:
    name = "nearly tanh"
    f = xg.register_op(name, lambda xp, x: xp.tanh(x), dx=lambda dz, z: dz * (1 + error - z * z))
    entry = xg.ops.OPS[name]
    entry.calculus = replace(entry.calculus, analytic=True)
    try:
        with pytest.raises(AssertionError, match="order 1"):
            xg.check_grads(f, (xg.asarray([0.3, 1.0]),))
    finally:
        xg.unregister_op(name)


def test_a_nan_is_no_match() -> None:
    with pytest.raises(AssertionError, match="nan"), np.errstate(all="ignore"):
        xg.check_grads(lambda x: xg.where(x > 0, x, xg.log(x)), (xg.asarray([-1.0, 2.0]),))


def test_float32_is_checked_to_what_float32_allows(device: str) -> None:
    x = xg.asarray(np.array([0.3, -1.0, 2.0], "f"))
    xg.check_grads(lambda x: xg.tanh(x) * x, (x,))
    wrong = xg.gate(dx=lambda dz: dz * 1.05)(lambda x: x * 1.0)
    with pytest.raises(AssertionError):
        xg.check_grads(wrong, (x,))


def test_integers_are_held_fixed(device: str) -> None:
    xg.check_grads(lambda x, i: xg.take(x, i, axis=0) * x[0], (xg.asarray([1.0, 2.0]), xg.asarray([1, 0, 1])))


def test_complex_numbers_are_checked_as_two_real_ones(device: str) -> None:
    z = xg.asarray([1.0 + 2j, -0.5j])
    xg.check_grads(lambda z: z * xg.conj(z) * z, (z,))
    xg.check_grads(lambda x: x * (1 + 2j), (xg.asarray([1.0]),))
    xg.check_grads(lambda z: xg.abs(z), (z,))
    wrong = xg.gate(dx=lambda dz: dz * (1 + 0.01j))(lambda z: z * 1.0)
    with pytest.raises(AssertionError, match="part of argument"):
        xg.check_grads(wrong, (z,))


def test_functions_of_nothing_that_moves() -> None:
    xg.check_grads(lambda x: xg.sum(x), (xg.zeros((0, 2)),))
    for f, args in (
        (lambda i: i + 1, (xg.asarray([1]),)),
        (lambda x: None, (1.0,)),
        (lambda x: x > 0, (1.0,)),
        (lambda: 1.0, ()),
    ):
        with pytest.raises(ValueError, match="nothing to check"):
            xg.check_grads(f, args)
    with pytest.raises(ValueError, match="order=0"):
        xg.check_grads(xg.sin, (1.0,), order=0)
    with pytest.raises(ValueError, match="choose from"):
        xg.check_grads(xg.sin, (1.0,), modes="forward")
    with pytest.raises(TypeError, match=r"write \(x,\)"):
        xg.check_grads(xg.sin, xg.ones(2))
