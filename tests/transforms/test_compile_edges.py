"""Edge cases of compile: repeated arguments, wrong outputs, errors half-way, escaping Tensors, and depth."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from xgrad.core.context import MODE, Mode


@pytest.fixture(autouse=True)
def nothing_is_left_on() -> Iterator[None]:
    yield
    assert MODE.get() == Mode()


@pytest.fixture(params=["0", "1"], ids=["NumPy", "native"])
def native(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XGRAD_NATIVE", request.param)


# Repeated arguments and outputs


def test_an_argument_that_is_given_twice(native: None) -> None:
    f = xg.compile(lambda a, b: (a * b, a, b, a + 1))
    x = xg.asarray([1.0, 2.0])
    for _ in range(3):
        product, a, b, more = f(x, x)
        assert (product.tolist(), a.tolist(), b.tolist(), more.tolist()) == ([1, 4], [1, 2], [1, 2], [2, 3])
        for z, w in [(product, x), (a, x), (b, x), (a, b), (a, more)]:
            assert not np.shares_memory(z.data, w.data)
    slopes = xg.compile(xg.grad(lambda a, b: xg.sum(a * b * b), argnums=(0, 1)))(x, x)
    assert [g.tolist() for g in slopes] == [[1, 4], [2, 8]]


def test_views_of_one_array(native: None) -> None:
    memory = np.arange(6.0)
    f = xg.compile(lambda a, b, c: (a + b, b * 2, c - a))
    for _ in range(2):
        found = f(memory[:3], memory[3:], memory[::-2])
        assert [z.tolist() for z in found] == [[3, 5, 7], [6, 8, 10], [5, 2, -1]]
        assert memory.tolist() == [0, 1, 2, 3, 4, 5]


def test_outputs_that_are_inputs_constants_or_each_other(native: None) -> None:
    outside = xg.asarray([7.0])

    def f(x: Any) -> Any:
        y = x * 2
        return {
            "x": x,
            "y": (y, y),
            "number": 3,
            "array": np.ones(2),
            "outside": outside,
            "none": None,
            "empty": (),
        }

    g = xg.compile(f)
    x = xg.asarray([1.0])
    first = g(x)
    with xg.no_grad():
        outside += 1
    second = g(x)
    assert first["outside"].tolist() == [7]
    assert second["outside"].tolist() == [8]
    assert (
        second["x"].tolist(),
        second["y"][0].tolist(),
        second["y"][1].tolist(),
        second["number"].item(),
        second["array"].tolist(),
    ) == ([1], [2], [2], 3, [1, 1])
    assert (second["none"], second["empty"]) == (None, ())
    second["y"][0][0] = 100.0
    assert second["y"][1].tolist() == [2]
    assert x.tolist() == [1]


# Invalid outputs


@pytest.mark.parametrize(
    "wrong",
    ["text", {1}, (i for i in ()), iter([1]), print, object(), np.array(["a"]), [[{"deep": "text"}]]],
    ids=lambda v: type(v).__name__,
)
def test_what_is_no_array_is_refused(wrong: Any) -> None:
    x = xg.tensor(np.ones(3), requires_grad=True)
    calls: list[tuple[str, Callable[[], Any]]] = [
        ("a compiled function", lambda: xg.compile(lambda x: (x, wrong))(x)),
        ("the body of scan", lambda: xg.scan(lambda h, x: (h, wrong), 0.0, x)),
        ("the body of scan", lambda: xg.scan(lambda h, x: (wrong, h), 0.0, x)),
        ("the body of scan", lambda: xg.scan(lambda h, x: (h, wrong), 0.0, x, compiled=False)),
        ("a checkpointed function", lambda: xg.checkpoint(lambda x: wrong)(x)),
        ("a function that is traced", lambda: xg.trace(lambda x: wrong, x)),
    ]
    for who, call in calls:
        with pytest.raises(
            TypeError,
            match=rf"{who} must return Tensors, arrays or numbers in nested containers, but returned a \w+",
        ):
            call()


# Errors half-way


def test_an_error_half_way_leaves_nothing_behind() -> None:
    fail = True
    kept: list[Any] = []

    def f(x: Any) -> Any:
        y = x * 2
        kept.append(y)
        if fail:
            raise KeyError("half-way")
        return y + 1

    g = xg.compile(f)
    x = xg.asarray([1.0])
    for call in (
        lambda: g(x),
        lambda: xg.scan(lambda h, x: (f(h), None), x, x),
        lambda: xg.trace(f, x),
        lambda: xg.grad(lambda x: xg.sum(g(x)))(x),
    ):
        for _ in range(2):
            with pytest.raises(KeyError, match="half-way"):
                call()
            assert MODE.get() == Mode()
            with pytest.raises(xg.GraphError, match="traced function is used after tracing"):
                kept.pop() + 1
    fail = False
    assert g(x).tolist() == [3]
    assert g._traces == 5  # twice by itself, twice under grad, and now


def test_a_function_that_calls_itself() -> None:
    def power(x: Any, n: int) -> Any:
        return x if n == 1 else compiled(x, n - 1) * x

    compiled = xg.compile(power)
    assert compiled(xg.asarray(2.0), 10).item() == 1024
    assert xg.grad(lambda x: compiled(x, 10))(2.0).item() == 5120

    def endless(x: Any) -> Any:
        return again(x)

    again = xg.compile(endless)
    with pytest.raises(RecursionError):
        again(xg.asarray(1.0))
    assert MODE.get() == Mode()
    assert xg.compile(lambda x: x + 1)(xg.asarray(1.0)).item() == 2


# Escaping Tensors


USES: dict[str, Callable[[Any, Any], Any]] = {
    "+ a number": lambda t, x: t + 1,
    "beside another": lambda t, x: x * t,
    "numpy": lambda t, x: t.numpy(),
    "taken out": lambda t, x: t.tolist(),
    "np.asarray": lambda t, x: np.asarray(t),
    "NumPy's function": lambda t, x: np.add(x, t),
    "sliced": lambda t, x: t[0],
    "an index": lambda t, x: x[t],
    "assigned to": lambda t, x: t.__setitem__(0, 1.0),
    "in place": lambda t, x: t.__iadd__(1.0),
    "stacked": lambda t, x: xg.stack([x, t]),
    "a product": lambda t, x: t @ x,
    "a sum": lambda t, x: xg.sum(t),
    "in a scan": lambda t, x: xg.scan(lambda h, v: (h + xg.sum(t), None), 0.0, x),
    "in compile": lambda t, x: xg.compile(lambda x: x + t)(x),
    "given to compile": lambda t, x: xg.compile(lambda x: x + 1)(t),
    "given to grad": lambda t, x: xg.grad(lambda v: xg.sum(v))(t),
    "in grad": lambda t, x: xg.grad(lambda v: xg.sum(v * t))(x),
    "copied": lambda t, x: copy.deepcopy(t) + 1,
    "compared": lambda t, x: t > x,
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("how", ["compile", "scan", "checkpoint"])
def test_a_tensor_that_got_away_says_what_it_is(how: str, use: str) -> None:
    away: list[Any] = []

    def f(x: Any) -> Any:
        away.extend([x, x * 2])
        return x

    x = xg.tensor(np.ones(3), requires_grad=True)
    if how == "compile":
        xg.compile(f)(x.detach())
    elif how == "scan":
        xg.scan(lambda h, _: (f(h), None), x.detach(), None, length=2)
    else:
        xg.checkpoint(f)(x)
    for t in away:
        with pytest.raises(
            xg.GraphError,
            match="a Tensor from inside a traced function is used after tracing, when it has no value",
        ):
            USES[use](t, x.detach())
    assert MODE.get() == Mode()


# Depth


def nested(leaf: Any, depth: int, kind: str) -> Any:
    for _ in range(depth):
        leaf = [leaf] if kind == "list" else {"inside": leaf}
    return leaf


def innermost(tree: Any) -> Any:
    while not isinstance(tree, xg.Tensor):
        tree = tree[0] if isinstance(tree, list) else tree["inside"]
    return tree


@pytest.mark.parametrize("kind", ["list", "dict"])
def test_containers_two_hundred_deep(kind: str) -> None:
    tree = nested(xg.asarray([1.0, 2.0]), 200, kind)
    assert xg.compile(lambda t: innermost(t) * 2)(tree).tolist() == [2, 4]
    assert innermost(xg.compile(lambda t: nested(innermost(t) * 2, 200, kind))(tree)).tolist() == [2, 4]
    assert innermost(xg.grad(lambda t: xg.sum(innermost(t) ** 2))(tree)).tolist() == [2, 4]
    last, _ = xg.scan(lambda h, _: (nested(innermost(h) + 1, 200, kind), None), tree, None, length=3)
    assert innermost(last).tolist() == [4, 5]


def test_containers_too_deep_and_round() -> None:
    round_and_round: list[Any] = []
    round_and_round.append(round_and_round)
    for tree in (nested(xg.ones(1), 100_000, "list"), round_and_round):
        for call in (
            lambda t: xg.compile(lambda t: t)(t),
            lambda t: xg.grad(lambda t: xg.sum(xg.ones(1)))(t),
            lambda t: xg.scan(lambda h, _: (h, None), t, None, length=2),
        ):
            with pytest.raises(ValueError, match="containers are nested too deeply"):
                call(tree)

    class Link:
        def __init__(self, after: Any) -> None:
            self.after = after

    chain = None
    for _ in range(5000):
        chain = Link(chain)
    with pytest.raises(TypeError, match="compile cannot take a Link as an argument: maximum recursion depth"):
        xg.compile(lambda c, x: x)(chain, xg.ones(1))


@pytest.mark.parametrize("orders", [4, pytest.param(6, marks=pytest.mark.exhaustive)])
def test_many_derivatives_one_in_another(orders: int) -> None:
    """d^k/dx^k of x**8, computed by a loop of multiplications."""
    power = lambda x: xg.scan(lambda h, _: (h * x, None), xg.ones_like(x), None, length=8)[0]
    scanned: Any = power
    want, x = 1.0, 1.3
    for k in range(orders):
        scanned = xg.grad(scanned)
        want *= 8 - k
    want *= x ** (8 - orders)
    np.testing.assert_allclose(scanned(x).item(), want, rtol=1e-11)
    np.testing.assert_allclose(xg.compile(scanned)(xg.asarray(x)).item(), want, rtol=1e-11)
