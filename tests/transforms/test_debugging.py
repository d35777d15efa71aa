"""Tests of detect_nan and detect_cuts: the names, lines and steps that they report."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import xgrad as xg

THIS = __file__.rpartition("/")[2]


def cell(h: Any, x: Any) -> Any:
    u = h * x
    v = xg.log(u)
    return v, v


class TestNaN:
    """The first op that produces NaN is reported."""

    def test_forward_names_op_stage_line_and_shapes(self, device: str) -> None:
        def f(x: Any) -> Any:
            r = xg.sqrt(x)
            return xg.exp(r)

        with (
            pytest.raises(
                FloatingPointError,
                match=(
                    rf"NaN from 'sqrt', stage 'r', in `r = xg\.sqrt\(x\)` at .*{THIS}:\d+: operands of "
                    rf"shape \(1, 2\)"
                ),
            ),
            xg.detect_nan(),
        ):
            f(xg.asarray([[1.0, -1.0]]))

    def test_an_infinity_made_of_finite_numbers(self, device: str) -> None:
        with pytest.raises(FloatingPointError, match=r"Inf from '/'"), xg.detect_nan():
            1 / xg.asarray([1.0, 0.0])

    def test_infinities_that_are_wanted(self, device: str) -> None:
        with xg.detect_nan():
            masked = xg.where(xg.asarray([True, False]), xg.asarray([1.0, 2.0]), -np.inf)
            assert xg.softmax(masked).numpy().tolist() == [1, 0]
            xg.sum(xg.asarray([1, 2]))

    def test_what_came_in_is_said_to_have(self, device: str) -> None:
        with (
            pytest.raises(FloatingPointError, match=r"operand 2 was already NaN"),
            xg.detect_nan(),
        ):
            xg.asarray(1.0) + xg.asarray([1.0, np.nan])

    def test_the_time_step(self, device: str) -> None:
        xs = xg.asarray([1.0, 2.0, 0.1, 3.0])
        with (
            pytest.raises(
                FloatingPointError, match=r"NaN from 'log', stage 'v', in `v = xg\.log\(u\)` .* at step t=3"
            ),
            xg.detect_nan(),
        ):
            xg.scan(cell, 2.0, xs)
        with pytest.raises(FloatingPointError, match=r"at step t=3"), xg.detect_nan():
            xg.compile(lambda xs: xg.scan(cell, 2.0, xs)[0])(xs)

    def test_backward(self, device: str) -> None:
        def backward(x: Any) -> None:
            s = xg.sqrt(x)
            xg.sum(s).backward()

        with (
            pytest.raises(
                FloatingPointError,
                match=(
                    r"Inf in the gradient of operand 1 of 'sqrt', stage 's', in `s = xg\.sqrt\(x\)` .*: "
                    r"operands of shape \(3,\)"
                ),
            ),
            xg.detect_nan(),
        ):
            backward(xg.tensor([1.0, 0.0, 4.0], requires_grad=True))

    def test_backward_through_time(self, device: str) -> None:
        def root(h: Any, x: Any) -> Any:
            r = xg.sqrt(h * x)
            return r, r

        loss = lambda h: xg.scan(root, h, xg.asarray([1.0, 0.0, 4.0]))[0]
        for f in (xg.grad(loss), xg.compile(xg.grad(loss)), xg.grad(xg.checkpoint(loss))):
            with (
                pytest.raises(
                    FloatingPointError, match=r"gradient of operand 1 of 'sqrt', stage 'r', .* at step t=2"
                ),
                xg.detect_nan(),
            ):
                f(xg.asarray(2.0))

    def test_higher_orders_and_tangents(self, device: str) -> None:
        with (
            pytest.raises(FloatingPointError, match=r"Inf in the gradient of operand 1 of '\*\*'"),
            xg.detect_nan(),
        ):
            xg.grad(xg.grad(lambda x: x**1.5))(0.0)
        with pytest.raises(FloatingPointError, match=r"Inf in the tangent of 'sqrt'"), xg.detect_nan():
            xg.jvp(xg.sqrt, (0.0,), (1.0,))

    def test_nothing_changes_where_all_is_well(self, device: str) -> None:
        f = lambda x: xg.sum(xg.scan(lambda h, x: (xg.tanh(h + x), h), 0.5, x)[1] ** 2)
        x = xg.asarray([1.0, 2.0, 3.0])
        with xg.detect_nan():
            watched = xg.grad(f)(x), xg.hvp(f, (x,), (x,))
        for a, b in zip(watched, (xg.grad(f)(x), xg.hvp(f, (x,), (x,))), strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert np.isnan(xg.log(xg.asarray(-1.0)).item())  # no error outside the block


def cuts(f: Any, *args: Any) -> list[str]:
    """Return where the gradient of `f` stops, as reported for this file."""
    with warnings.catch_warnings(), xg.detect_cuts() as found:
        warnings.simplefilter("ignore", UserWarning)
        f(*args)
    assert all(THIS in cut.source for cut in found)
    return [cut.what for cut in found]


class TestCuts:
    """The places where a gradient stops are reported."""

    @pytest.mark.parametrize(
        ("f", "what"),
        [
            (float, "at float()"),
            (bool, "at a branch, or bool()"),
            (complex, "at complex()"),
            (lambda y: y.item(), "at item()"),
            (lambda y: y.tolist(), "at tolist()"),
            (lambda y: y.numpy(), "at numpy()"),
            (lambda y: y.detach() * 2, "at detach()"),
            (lambda y: xg.stop_gradient((y, y)), "at stop_gradient"),
            (lambda y: xg.tensor(y), "at xg.tensor, which copies"),
            (lambda y: xg.astype(y, xg.int64), "where it is converted to an integer"),
            (xg.floor, "at 'floor', which has no derivative"),
            (lambda y: np.sign(y), "at 'sign', which has no derivative"),
            (lambda y: y // 2, "at '//', which has no derivative"),
        ],
        ids=lambda v: v if isinstance(v, str) else "",
    )
    def test_it_is_named(self, f: Any, what: str, device: str) -> None:
        x = xg.tensor(1.5, requires_grad=True)
        assert cuts(lambda: f(x * 2)) == [what]
        assert cuts(lambda: f(xg.asarray(3.0))) == []

    def test_no_grad_of_what_was_computed(self) -> None:
        x = xg.tensor(1.5, requires_grad=True)

        def f() -> None:
            y = x * 2
            with xg.no_grad():
                y * 3
                xg.exp(x)

        assert cuts(f) == ["at '*', computed under no_grad", "at 'exp', computed under no_grad"]

    def test_a_step_of_an_optimizer_is_none(self) -> None:
        def step() -> None:
            x = xg.tensor([1.5], requires_grad=True)
            optimizer = xg.optim.Adam([x])
            xg.sum(x * x).backward()
            optimizer.step()

        assert cuts(step) == []

    def test_comparisons_indices_and_printing_are_none(self, device: str) -> None:
        x = xg.tensor([1.5, 2.0], requires_grad=True)

        def f() -> None:
            y = x * 2
            xg.where(y > 0, y, 0.0)
            y[xg.argmax(y)]
            xg.sort(y)
            repr(y)
            np.interp(y, [0.0, 5.0], [0.0, 1.0])

        assert cuts(f) == []

    def test_the_library_cuts_nothing_of_its_own(self, device: str) -> None:
        f = lambda x: xg.sum(xg.scan(lambda h, x: (xg.tanh(h + x), h), 0.5, x)[1] ** 2)
        x = xg.asarray([1.0, 2.0])
        for g in (
            xg.grad(f),
            xg.hessian(f),
            xg.compile(xg.grad(f)),
            xg.grad(xg.checkpoint(f)),
            lambda x: xg.jvp(f, (x,), (x,)),
        ):
            assert cuts(g, x) == []

    def test_through_time_once_a_line_with_its_first_step(self, device: str) -> None:
        def stopped(h: Any, x: Any) -> Any:
            return h.detach() * x, h

        with warnings.catch_warnings(), xg.detect_cuts() as found:
            warnings.simplefilter("ignore", UserWarning)
            xg.grad(lambda h: xg.scan(stopped, h, xg.asarray([1.0, 2.0]))[0])(3.0)
        assert [str(cut) for cut in found] == [
            "the gradient of a Tensor of shape () stops at detach() at step t=0"
        ]

    def test_each_is_a_warning_at_its_line(self) -> None:
        x = xg.tensor(1.5, requires_grad=True)
        with pytest.warns(UserWarning, match=r"shape \(\) stops at float\(\)") as caught, xg.detect_cuts():
            float(x * 2)
        assert caught[0].filename == __file__
