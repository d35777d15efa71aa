"""The text that derive prints is run, and gives the gradients of `grad`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from tests.helpers.programs import numpy_names
from xgrad.core import pytree
from xgrad.ops.table import GATES

RNG = np.random.default_rng(0)


def normal(*shape: int) -> Any:
    return RNG.normal(size=shape)


@xg.gate
def swish(x: Any) -> Any:
    return x * xg.sigmoid(x)


@xg.gate(dx=lambda dz, z: dz * (1 - z * z))
def bend(x: Any) -> Any:
    return xg.tanh(x)


@xg.gate(dx=lambda dz, y: dz * y, dy=lambda dz, x: dz * x)
def times(x: Any, y: Any) -> Any:
    return x * y


@xg.gate
def both(x: Any, y: Any) -> Any:
    s = x + y
    return s * s, s


class Scale(xg.Gate):
    def __init__(self, s: float = 2.0) -> None:
        self.s = s

    def forward(self, x: Any) -> Any:
        return self.s * x

    def backward(self, dz: Any) -> Any:
        return self.s * dz


class Product(xg.Gate):
    def forward(self, x: Any, y: Any) -> Any:
        self.x, self.y = x, y
        return x * y

    def backward(self, dz: Any) -> Any:
        return dz * self.y, dz * self.x


cubed = xg.register_op(
    "text.cubed", lambda xp, x, *, times=1.0: times * x**3, dx=lambda dz, x, *, times: dz * 3 * times * x * x
)


@pytest.fixture(autouse=True, scope="module")
def _unregistered() -> Iterator[None]:
    yield
    xg.unregister_op("text.cubed")


class Net(xg.nn.Module):
    def __init__(self) -> None:
        self.W = xg.tensor(normal(2, 3), requires_grad=True)
        self.layers = [xg.tensor(normal(3), requires_grad=True), {"b": xg.tensor(0.5, requires_grad=True)}]

    def __call__(self, x: Any) -> Any:
        return xg.sum(xg.tanh(self.W @ (x * self.layers[0]) + self.layers[1]["b"]))


OUTSIDE = normal(3)


def cell(W: Any, h: Any, x: Any) -> tuple[Any, Any]:
    h = xg.tanh(W @ h + x)
    return h, h * 2.0


def loop(W: Any, h0: Any, xs: Any) -> Any:
    h, ys = xg.scan(lambda h, x: cell(W, h, x), h0, xs)
    return xg.sum(ys * ys) + xg.sum(h)


def loop_of_trees(p: Any, xs: Any) -> Any:
    def step(state: Any, x: Any) -> tuple[Any, Any]:
        h, c = state["h"], state["c"]
        c = swish(c * p["a"]) + x["u"]
        return {"h": times(h, c), "c": c}, h

    state, ys = xg.scan(step, {"h": xg.ones(2), "c": p["c"]}, xs, reverse=True)
    return xg.sum(state["h"]) + xg.sum(ys)


def assigned(x: Any, v: Any, i: Any) -> Any:
    x = x * 2.0
    x[i] = v
    return x


def nested(a: Any, xs: Any) -> Any:
    def inner(h: Any, x: Any) -> tuple[Any, None]:
        return a * h + x, None

    def outer(s: Any, row: Any) -> tuple[Any, Any]:
        h, _ = xg.scan(inner, s, row)
        return h, h * a

    s, ys = xg.scan(outer, xs[0, 0], xs)
    return xg.sum(ys) + s


def passed_through(h0: Any, xs: Any) -> Any:
    """The gradient of the carry goes through the loop unchanged, and more is added to it after."""
    h, _ = xg.scan(lambda h, x: (h + x, None), h0, xs)
    return xg.sum((h + h0) * xs[0])


CASES: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "a gate of a function": (lambda x: xg.sum(swish(x)), (normal(3),)),
    "a gate with its derivative": (lambda x: xg.sum(bend(x * 2)), (normal(3),)),
    "a gate of two operands": (lambda x, y: xg.sum(times(x, y)), (normal(3), normal(3))),
    "the same operand twice": (lambda x: xg.sum(times(x, x)), (normal(3),)),
    "a gate of two outputs": (
        lambda x, y: xg.sum(both(x, y)[0]) + xg.sum(both(x, y)[1]),
        (normal(3), normal(3)),
    ),
    "a gate in a gate": (lambda x: xg.sum(swish(bend(x)) * bend(swish(x))), (normal(3),)),
    "a class": (lambda x: xg.sum(Scale()(x)), (normal(3),)),
    "a class with an attribute": (lambda x: xg.sum(Scale(0.5)(x) * Scale(3.0)(x)), (normal(3),)),
    "a class of two operands": (lambda x, y: xg.sum(Product()(x, y)), (normal(3), normal(3))),
    "a registered op": (lambda x: xg.sum(cubed(x)), (normal(3),)),
    "a registered op with an option": (lambda x: xg.sum(cubed(x, times=2.0)), (normal(3),)),
    "a list": (lambda p: xg.sum(p[0] @ p[1]), ([normal(2, 3), normal(3)],)),
    "a dict": (lambda p: xg.sum(p["W"] @ p["b"]), ({"W": normal(2, 3), "b": normal(3)},)),
    "nested containers": (
        lambda p: xg.sum(p["layers"][0]["W"] @ p["layers"][1][0]) * p["scale"],
        ({"layers": [{"W": normal(2, 3)}, (normal(3),)], "scale": 2.0},),
    ),
    "odd keys": (lambda p: p["a b"] * p["it's"] * p[""], ({"a b": 2.0, "it's": 3.0, "": 4.0},)),
    "several arguments": (lambda *xs: xs[0] * xs[1] * xs[2], (2.0, 3.0, 4.0)),
    "integers": (lambda x, y: x * y + x, (3, -4)),
    "an integer array": (lambda W, i: xg.sum(W[i] ** 2), (normal(4, 3), np.array([1, 1, 0]))),
    "index arrays and slices": (
        lambda W, i: xg.sum(W[i, 1:] * W[:2, i[0]][:, None]),
        (normal(2, 3), np.array([1, 0])),
    ),
    "assigned": (lambda x, v, i: xg.sum(assigned(x, v, i) ** 3), (normal(4), normal(2), np.array([2, 0]))),
    "captured arrays": (lambda x: xg.sum(x * xg.asarray(OUTSIDE)), (normal(3),)),
    "names of functions": (
        lambda sum, exp, t: xg.sum(xg.exp(sum * exp) * t),
        (normal(2), normal(2), normal(2)),
    ),
    "a scan": (loop, (normal(2, 2), normal(2), normal(4, 2))),
    "a scan of trees": (loop_of_trees, ({"a": normal(2), "c": normal(2)}, {"u": normal(3, 2)})),
    "a scan in a scan": (nested, (0.5, normal(4, 3))),
    "a scan that adds": (passed_through, (normal(2), normal(3, 2))),
    "a scan of no steps": (loop, (normal(2, 2), normal(2), normal(0, 2))),
    "float32": (loop, tuple(v.astype(np.float32) for v in (normal(2, 2), normal(2), normal(4, 2)))),
}


def run(
    derivation: Any, args: tuple[Any, ...], parameters: list[str], names: dict[str, Any]
) -> dict[str, Any]:
    """The names after the text has run, beside functions of these names."""
    names |= {"swish": swish, "bend": bend, "times": times, "both": both, "Scale": Scale, "Product": Product}
    names |= {"deriv": xg.deriv, "text": SimpleNamespace(cubed=cubed)}
    leaves = [*pytree.flatten(args)[0], OUTSIDE]
    stems = set()
    for v, value in zip(derivation.forward.inputs, leaves, strict=False):
        if v.name.isidentifier():
            names[v.name] = value
        else:  # a part of a container, which is found in it
            stems.add(v.name.partition("[")[0])
    names |= {name: value for name, value in zip(parameters, args, strict=True) if name in stems}
    with np.errstate(invalid="ignore"):  # `deriv` also computes the gradient of an exponent that is a number
        exec(str(derivation), names)
    return names


def parameters_of(f: Any, args: tuple[Any, ...]) -> list[str]:
    code = f.__code__
    if code.co_flags & 4:
        return [f"{code.co_varnames[0]}{i}" for i in range(len(args))]
    return list(code.co_varnames[: len(args)])


@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_the_text_gives_the_gradients(case: str, inline: bool) -> None:
    f, args = CASES[case]
    derivation = xg.derive(f, *args, inline=inline)
    moving = tuple(i for i, v in enumerate(args) if not (isinstance(v, np.ndarray) and v.dtype.kind == "i"))
    expected = xg.grad(f, argnums=moving)(*args)
    tensors = tuple(xg.tree_map(lambda v: v if type(v) is int else xg.asarray(v), v) for v in args)
    for given, namespace in ((args, numpy_names()), (tensors, dict(vars(xg.namespace)))):
        if given is args and any(name in case for name in ("gate", "class", "registered", "trees")):
            continue  # gates take Tensors
        names = run(derivation, given, parameters_of(f, args), namespace)
        texts = [v.name for v in derivation.forward.inputs if v.dtype.startswith("float")]
        found = [eval(f"d{name}", names) for name in texts]
        leaves = pytree.flatten(expected)[0]
        assert len(found) >= len(leaves)
        for text, g, right in zip(texts, found, leaves):
            tolerance = 1e-5 if right.dtype == np.float32 else 1e-10
            np.testing.assert_allclose(
                np.asarray(g), right.numpy(), rtol=tolerance, atol=tolerance, err_msg=f"{text}\n{derivation}"
            )


def test_gates_of_the_same_name_are_told_apart() -> None:
    first = Scale

    class Again(xg.Gate):
        def forward(self, x: Any) -> Any:
            return 5 * x

        def backward(self, dz: Any) -> Any:
            return 5 * dz

    Again.__name__ = "Scale"
    type("Scale", (Again,), {})  # now the name belongs to this one
    try:
        text = str(xg.derive(lambda x: first(3.0)(x), 1.0))
        names = {"x": xg.asarray(1.0), "Scale": first, "deriv": xg.deriv}
        exec(text, names)
        assert float(names["dx"]) == 3.0
    finally:
        GATES["Scale"] = first._op


def test_a_module_keeps_the_names_of_its_attributes() -> None:
    net, x = Net(), normal(3)
    derivation = xg.derive(lambda net, x: net(x), net, x)
    names: dict[str, Any] = {"deriv": xg.deriv, "tanh": xg.tanh, "sum": xg.sum}
    for v, leaf in zip(derivation.forward.inputs, pytree.flatten((net, x))[0], strict=True):
        if v.name.isidentifier():
            names[v.name] = leaf
    names["net"] = {"W": net.W, "layers": net.layers}
    exec(str(derivation), names)
    right = xg.grad(lambda net: net(x))(net)
    np.testing.assert_allclose(names["dnet"]["W"].numpy(), right.W.numpy())
    np.testing.assert_allclose(names["dnet"]["layers"][0].numpy(), right.layers[0].numpy())
    np.testing.assert_allclose(names["dnet"]["layers"][1]["b"].numpy(), right.layers[1]["b"].numpy())
