"""No gradient is dropped silently: what is kept, what raises, and what warns."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import xgrad as xg

#: Ways to take numbers out of a Tensor.
TAKING: dict[str, Callable[[Any], Any]] = {
    "float": float,
    "int": int,
    "complex": complex,
    "item": lambda t: t.item(),
    "item at": lambda t: t.item(0),
    "numpy": lambda t: t.numpy(),
    "tolist": lambda t: t.tolist(),
    "math.exp": math.exp,
    "math.floor": math.floor,
    "a NumPy scalar": np.float64,
    "into a NumPy array": lambda t: np.zeros(2).__setitem__(0, t),
    "xg.tensor": lambda t: xg.tensor(t),
}

#: Ways to look at a value without computing with it outside.
LOOKING: dict[str, Callable[[Any], Any]] = {
    "str": str,
    "repr": repr,
    "format": lambda t: f"{t:.2f}",
    "a branch": lambda t: 1 if t > 0 else 2,
    "bool": bool,
    "detach": lambda t: t.detach().item(),
    "no_grad": lambda t: unwatched(t),
    "an index": lambda t: [1, 2, 3, 4, 5][t.astype("int64")],
}

#: Ways to cut the gradient that raise.
RAISING: dict[str, tuple[Callable[[Any], Any], str]] = {
    "np.array": (np.array, "detach"),
    "np.asarray": (np.asarray, "detach"),
    "np.array of several": (lambda t: np.array([t, 2 * t]), r"xg\.stack"),
    "np.full": (lambda t: np.full(2, t), "detach"),
    "tobytes": (lambda t: t.tobytes(), "detach"),
    "dlpack": (np.from_dlpack, "detach"),
    "arange": (xg.arange, "detach"),
    "xg.tensor of several": (lambda t: xg.tensor([t, 2 * t]), r"xg\.stack"),
    "xg.tensor of nested lists": (lambda t: xg.tensor([[t, 1.0], [2.0, 3.0]]), r"xg\.stack"),
}

TRANSFORMS: dict[str, Callable[[Any], Any]] = {
    "grad": lambda f: xg.grad(f)(2.0),
    "vjp": lambda f: xg.vjp(f, 2.0)[1](1.0),
    "jvp": lambda f: xg.jvp(f, (2.0,), (1.0,)),
    "jacobian": lambda f: xg.jacobian(f)(2.0),
    "graph": lambda f: xg.graph(f, 2.0),
    "draw": lambda f: xg.draw(f, 2.0),
    "record": lambda f: recorded(f),
    "a scan as it is written": lambda f: xg.grad(
        lambda h: xg.scan(lambda h, _: (f(h), None), h, None, length=1, compiled=False)[0]
    )(2.0),
}

TRACING: dict[str, Callable[[Any], Any]] = {
    "trace": lambda f: xg.trace(f, 2.0),
    "derive": lambda f: xg.derive(f, 2.0),
    "compile": lambda f: xg.compile(f)(xg.asarray(2.0)),
    "compile of grad": lambda f: xg.compile(xg.grad(f))(xg.asarray(2.0)),
    "scan": lambda f: xg.scan(lambda h, _: (f(h), None), 2.0, None, length=1),
}


def recorded(f: Callable[[Any], Any]) -> None:
    x = xg.tensor(2.0, requires_grad=True)
    with xg.record():
        f(x)


def unwatched(t: Any) -> float:
    with xg.no_grad():
        return float(t)


def beside(taking: Any) -> Callable[[Any], Any]:
    """Return a differentiable function that also takes values out of its argument."""

    def f(x: Any) -> Any:
        y = 2 * x
        taking(y)
        return y * y

    return f


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("name", TAKING)
def test_a_value_that_is_taken_out_of_a_differentiated_function_is_warned_of(
    name: str, transform: str
) -> None:
    with pytest.warns(UserWarning, match="takes a value out of the graph") as found:
        TRANSFORMS[transform](beside(TAKING[name]))
    assert {str(w.filename) for w in found} == {__file__}


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_the_warning_names_the_line_and_the_way_out(transform: str) -> None:
    def f(x: Any) -> Any:
        y = 2 * x
        return y * math.exp(y) + math.exp(y)

    with pytest.warns(UserWarning, match=r"use xg\.exp for math\.exp, or use t\.detach\(\)") as found:
        TRANSFORMS[transform](f)
    assert {(w.filename, w.lineno) for w in found} == {(__file__, f.__code__.co_firstlineno + 2)}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("name", LOOKING)
def test_what_looks_at_a_value_is_not(name: str, transform: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TRANSFORMS[transform](beside(LOOKING[name]))


@pytest.mark.parametrize("transform", [name for name in TRANSFORMS if name != "draw"])  # it draws until then
@pytest.mark.parametrize("name", RAISING)
def test_what_would_cut_it_raises(name: str, transform: str) -> None:
    f, words = RAISING[name]
    with pytest.raises(xg.GraphError, match=words):
        TRANSFORMS[transform](beside(f))


@pytest.mark.parametrize("how", TRACING)
@pytest.mark.parametrize(
    "name",
    [*(n for n in TAKING if n not in ("xg.tensor", "into a NumPy array")), "format", "a branch"],
)
def test_in_a_trace_there_is_no_value(name: str, how: str) -> None:
    with pytest.raises(xg.TraceError, match="the value of a Tensor"):
        TRACING[how](beside({**TAKING, **LOOKING}[name]))


@pytest.mark.parametrize("how", TRACING)
@pytest.mark.parametrize(
    "name", ["np.array", "np.array of several", "xg.tensor of several", "xg.tensor of nested lists"]
)
def test_in_a_trace_nothing_is_cut_either(name: str, how: str) -> None:
    with pytest.raises((xg.GraphError, xg.TraceError), match=r"xg\.stack"):
        TRACING[how](beside(RAISING[name][0]))


def test_outside_of_transforms_a_loss_may_be_read() -> None:
    x = xg.tensor(2.0, requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for f in TAKING.values():
            f(x * 2)
    with pytest.warns(UserWarning, match=r"xg\.stack"):
        xg.tensor([x, 2 * x])


@pytest.mark.parametrize(
    "made",
    [
        xg.asarray,
        xg.stack,
        lambda v: np.array(v, like=v[0]),
        lambda v: np.stack(v),
        lambda v: np.asarray(v, like=v[0]),
        lambda v: xg.asarray(tuple(v)),
    ],
)
def test_lists_of_tensors_keep_their_gradients(made: Any) -> None:
    def f(x: Any) -> Any:
        return xg.sum(made([x[0], 2 * x[1]]) ** 2)

    for how in (lambda g: g, xg.compile):
        np.testing.assert_allclose(how(xg.grad(f))(xg.asarray([1.5, 2.5])).numpy(), [3.0, 20.0])


def test_np_array_of_a_tensor_is_a_copy() -> None:
    x = xg.asarray([1.0, 2.0])
    y = np.array(x, like=x)
    y += 1
    assert (x.tolist(), y.tolist()) == ([1, 2], [2, 3])


class TestOps:
    """A missing derivative is not zero."""

    @pytest.fixture
    def halved(self) -> Any:
        yield xg.register_op("halved_in_a_test", lambda xp, x: x / 2)
        xg.unregister_op("halved_in_a_test")

    @pytest.mark.parametrize(
        "how",
        [
            lambda f: xg.grad(f)(3.0),
            lambda f: xg.jvp(f, (3.0,), (1.0,)),
            lambda f: xg.compile(xg.grad(f))(xg.asarray(3.0)),
            lambda f: xg.grad(lambda c: xg.scan(lambda c, _: (f(c), None), c, None, length=2)[0])(3.0),
            lambda f: xg.grad(xg.checkpoint(f))(3.0),
            lambda f: xg.deriv(1.0, 3.0, None, "halved_in_a_test"),
            lambda f: xg.graph(f, 3.0).bprop(),
        ],
    )
    def test_an_op_without_one_raises(self, halved: Any, how: Any) -> None:
        with pytest.raises(
            xg.GraphError,
            match=(
                r"'halved_in_a_test' has no derivative: define one with register_op\(dx=\), or pass "
                r"dx=None"
            ),
        ):
            how(halved)

    def test_its_value_is_there(self, halved: Any) -> None:
        assert halved(3.0).item() == 1.5
        assert xg.compile(halved)(xg.asarray(3.0)).item() == 1.5
        assert xg.grad(lambda x: x * halved(x.detach()))(3.0).item() == 1.5

    def test_none_says_that_there_is_none(self) -> None:
        op = xg.register_op("rounded_in_a_test", lambda xp, x: xp.round(x), dx=None)
        try:
            assert xg.grad(lambda x: x * op(x))(3.2).item() == 3.0
        finally:
            xg.unregister_op("rounded_in_a_test")

    def test_of_booleans_nobody_asks(self) -> None:
        op = xg.register_op("positive_in_a_test", lambda xp, x: x > 0)
        try:
            assert xg.grad(lambda x: xg.where(op(x), 2 * x, x))(3.0).item() == 2.0
            assert xg.grad(lambda x: x * op(x))(3.0).item() == 1.0
        finally:
            xg.unregister_op("positive_in_a_test")


class TestGates:
    """Custom gates in `deriv` and in sources."""

    @staticmethod
    def logistic() -> Any:
        return xg.gate(dx=lambda dz, z: dz * (1 - z) * z * np.float64(2.0))(named("logistic_of_a_test"))

    def test_deriv_knows_them(self) -> None:
        gate = self.logistic()
        z = 1 / (1 + np.exp(-0.3))
        for op in ("logistic_of_a_test", gate):
            (dx,) = xg.deriv(np.ones(()), np.asarray(0.3), None, op)
            np.testing.assert_allclose(dx, 2 * z * (1 - z))

    def test_what_derive_prints_runs(self) -> None:
        gate = self.logistic()
        text = xg.derive(lambda x: gate(x * 2), 0.3).backward
        values = {
            "x": np.asarray(0.3),
            "z1": np.asarray(0.6),
            "z2": np.asarray(1 / (1 + np.exp(-0.6))),
            "deriv": xg.deriv,
        }
        exec(text, values)
        np.testing.assert_allclose(values["dx"], xg.grad(lambda x: gate(x * 2))(0.3).numpy())

    def test_class_gates(self) -> None:
        class Square(xg.Gate):
            def forward(self, x: Any) -> Any:
                self.x = x
                return x * x

            def backward(self, dz: Any) -> Any:
                return 2 * self.x * dz

        np.testing.assert_allclose(xg.deriv(np.ones(()), (np.asarray(3.0),), None, Square())[0], 6.0)

    @pytest.mark.parametrize("number", [np.float64(2.0), np.float32(2.0), np.array([2.0, 3.0]), 2.0])
    def test_numpy_numbers_in_rules_are_written_out(self, number: Any) -> None:
        ops = {
            "gate": xg.gate(dx=lambda dz, x: dz * number)(named("scaled_of_a_test", lambda x: x * 3)),
            "op": xg.register_op("op_of_a_test", lambda xp, x: x * number, dx=lambda dz: dz * number),
        }
        x = np.array([0.3, -0.7])
        try:
            for op in ops.values():

                def loss(x: Any, op: Any = op) -> Any:
                    return xg.sum(op(x * 2) * x)

                module: dict[str, Any] = {}
                exec(xg.trace(loss, x).source("numpy"), module)
                z, saved = module["forward"](x)
                (found,) = module["backward"](saved, np.ones(()))
                value, expected = xg.value_and_grad(loss)(x)
                np.testing.assert_allclose(z, value.numpy())
                np.testing.assert_allclose(found, expected.numpy())
                assert "2.0" in str(xg.derive(loss, x, inline=True))
        finally:
            xg.unregister_op("op_of_a_test")


def named(name: str, f: Any = lambda x: 1 / (1 + xg.exp(-x))) -> Any:
    """Return `f` renamed."""

    def function(x: Any) -> Any:
        return f(x)

    function.__name__ = name
    return function
