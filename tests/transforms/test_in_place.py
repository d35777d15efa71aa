"""In-place changes in traced functions are done, or refused before anything is changed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import xgrad as xg

#: Ways to trace a function from a Tensor of shape (2,) to a Tensor.
TRACED: dict[str, Callable[[Any], Any]] = {
    "trace": lambda f: xg.trace(f, xg.ones(2)),
    "derive": lambda f: xg.derive(lambda x: xg.sum(f(x)), xg.ones(2)),
    "compile": lambda f: xg.compile(f)(xg.ones(2)),
    "compiled gradient": lambda f: xg.compile(xg.grad(lambda x: xg.sum(f(x))))(xg.ones(2)),
    "scan in compile": lambda f: xg.compile(lambda xs: xg.scan(lambda c, x: (c, f(x)), 0.0, xs))(
        xg.ones((3, 2))
    ),
}


def added(s: Any, x: Any) -> None:
    s += x


def assigned(s: Any, x: Any) -> None:
    s[0] = x[0]


def moved(s: Any, x: Any) -> None:
    with xg.no_grad():
        s -= 0.1 * x


@pytest.mark.parametrize("change", [added, assigned, moved])
@pytest.mark.parametrize("way", TRACED)
def test_a_tensor_from_outside_keeps_its_value(way: str, change: Any, device: str) -> None:
    s = xg.asarray([3.0, 4.0])

    def f(x: Any) -> Any:
        change(s, x)
        return x * s

    line = change.__code__.co_firstlineno
    with pytest.raises(
        xg.TraceError,
        match=rf"test_in_place.py:{line + 1 + (change is moved)}: .*return the new value.*passed as an arg",
    ):
        TRACED[way](f)
    assert s.numpy().tolist() == [3.0, 4.0]
    assert (s + 1).numpy().tolist() == [4.0, 5.0]


def summed(f: Any, xs: Any) -> Any:
    """The sum over f of each row, by a loop."""
    return sum(xg.sum(f(x)) for x in xs)


#: Ways to call a function on each row of an array, and to sum the results.
REPEATED: dict[str, Callable[[Any, Any], Any]] = {
    "scan": lambda f, xs: xg.sum(xg.scan(lambda c, x: (c, f(x)), 0.0, xs)[1]),
    "segments": lambda f, xs: xg.sum(xg.scan(lambda c, x: (c, f(x)), 0.0, xs, checkpoint_every=2)[1]),
    "scan in scan": lambda f, xs: xg.sum(
        xg.scan(lambda c, x: (c, xg.scan(lambda c, _: (c, f(x)), 0.0, None, length=1)[1]), 0.0, xs)[1]
    ),
    "checkpoint": lambda f, xs: summed(xg.checkpoint(f), xs),
    "checkpoint of all": lambda f, xs: xg.checkpoint(lambda xs: summed(f, xs))(xs),
    "checkpoint of scan": lambda f, xs: xg.checkpoint(REPEATED["scan"])(f, xs),
}


@pytest.mark.parametrize("change", [added, assigned, moved])
@pytest.mark.parametrize("way", REPEATED)
def test_a_tensor_from_outside_changes_at_every_step(way: str, change: Any, device: str) -> None:
    xs = xg.asarray([[1.0, 2.0], [3.0, -1.0], [0.5, 0.25], [2.0, 2.0], [-1.0, 1.0]])

    def found(repeated: Any) -> list[Any]:
        s, other = xg.asarray([3.0, 4.0]), xg.asarray(1.0)

        def f(x: Any) -> Any:
            change(s, x)
            other[...] = other * 0.5 + xg.sum(x)
            return x * s * other

        value, gradient = xg.value_and_grad(lambda xs: repeated(f, xs))(xs)
        return [v.numpy().tolist() for v in (value, gradient, s, other)]

    for a, b in zip(found(REPEATED[way]), found(summed), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


COPIES: dict[str, Callable[[Any], Any]] = {
    "+": lambda w: +w,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "astype": lambda w: w.astype("float64"),
    "asarray": lambda w: xg.asarray(w, copy=True),
    "from an array": lambda w: xg.asarray(w.numpy(), device=w.device),
    "zeros": lambda w: xg.zeros(2),
    "list": lambda w: xg.asarray([1.0, 2.0]),
    "tensor": lambda w: xg.tensor([1.0, 2.0]),
}


@pytest.mark.parametrize("name", [n for n in COPIES if n not in ("copy", "deepcopy")])
def test_copies_of_leaves_are_no_leaves(name: str, device: str) -> None:
    """They may be changed in place, unlike leaves; a copy by Python's `copy` is a new leaf."""
    w = xg.tensor([3.0, 4.0], requires_grad=True)
    for f in (lambda x: COPIES[name](w), xg.checkpoint(lambda x: COPIES[name](w) * 1)):
        t = f(xg.ones(2))
        t[0] = 7.0
        assert t.numpy().tolist()[0] == 7.0
        assert w.numpy().tolist() == [3.0, 4.0]
        assert not t.is_leaf


@pytest.mark.parametrize(
    "same",
    [
        np.atleast_1d,
        lambda w: xg.roll(w, 2),
        np.real_if_close,
        lambda w: np.around(w.astype(int) * 1.0 + w - w),
    ],
)
def test_functions_that_change_nothing_give_no_leaf(same: Any, device: str) -> None:
    w = xg.tensor([3.0, 4.0], requires_grad=True)
    t = same(w)
    t *= 2
    assert t.numpy().tolist() == [6.0, 8.0]
    assert w.numpy().tolist() == [3.0, 4.0]


def eagerly(way: str, f: Any) -> Any:
    one = xg.ones(2)
    if way in ("compiled gradient", "checkpoint"):
        return xg.grad(lambda x: xg.sum(f(x)))(one)
    if way == "compile":
        return f(one)
    return xg.scan(lambda c, x: (c, f(x)), 0.0, xg.ones((4 if way == "segments" else 3, 2)), compiled=False)


@pytest.mark.parametrize("way", [w for w in TRACED if w not in ("trace", "derive")])
@pytest.mark.parametrize("name", COPIES)
def test_copies_are_changed_and_nothing_else(name: str, way: str, device: str) -> None:
    w = xg.asarray([3.0, 4.0])

    def f(x: Any) -> Any:
        t = COPIES[name](w)
        before = xg.sum(t * x)
        t[0] = x[1]
        t *= x + 1
        t[1:] += w[:1]
        return t * w + before

    found = TRACED[way](f)
    assert w.numpy().tolist() == [3.0, 4.0]
    for a, b in zip(
        xg.core.pytree.flatten(found)[0], xg.core.pytree.flatten(eagerly(way, f))[0], strict=True
    ):
        np.testing.assert_allclose(a.numpy(), b.numpy())


def test_copies_in_compiled_functions_are_of_what_the_tensor_is_now(device: str) -> None:
    w = xg.asarray([1.0, 2.0])
    f = xg.compile(lambda x: (lambda t: (added(t, x), t)[1])(+w))
    assert f(xg.ones(2)).numpy().tolist() == [2.0, 3.0]
    w += 1
    assert f(xg.ones(2)).numpy().tolist() == [3.0, 4.0]


def test_tensors_with_one_value_now_may_have_two_later(device: str) -> None:
    a = xg.asarray([1.0, 2.0])
    b = +a
    f = xg.compile(lambda x: x * a + b)
    assert f(xg.ones(2)).numpy().tolist() == [2.0, 4.0]
    a += 1
    assert f(xg.ones(2)).numpy().tolist() == [3.0, 5.0]


def test_a_compiled_gradient_at_a_tensor_from_outside_sees_its_changes(device: str) -> None:
    w = xg.asarray([1.0, 2.0])
    f = xg.compile(lambda x: xg.grad(lambda v: xg.sum(v * v * x))(w))
    assert f(xg.ones(2)).numpy().tolist() == [2.0, 4.0]
    w += 1
    assert f(xg.ones(2)).numpy().tolist() == [4.0, 6.0]


def doubled(x: Any) -> Any:
    x += 1
    return 2 * x


def test_arguments_of_compiled_functions_are_changed_as_by_the_function_itself(device: str) -> None:
    x, y, f = xg.asarray([1.0, 2.0]), xg.asarray([1.0, 2.0]), xg.compile(doubled)
    for _ in range(3):
        assert f(x).numpy().tolist() == doubled(y).numpy().tolist()
        assert x.numpy().tolist() == y.numpy().tolist()
    after = lambda g: lambda v: (lambda t: xg.sum(t * t * g(t)))(v * 1)
    np.testing.assert_allclose(xg.grad(after(f))(x).numpy(), xg.grad(after(doubled))(x).numpy())


def test_two_arguments_that_are_exchanged(device: str) -> None:
    def exchange(a: Any, b: Any) -> Any:
        a[...], b[...] = +b, +a
        return xg.sum(a)

    p, q = xg.zeros(2), xg.ones(2)
    assert xg.compile(exchange)(p, q).item() == 2.0
    assert (p.numpy().tolist(), q.numpy().tolist()) == ([1.0, 1.0], [0.0, 0.0])


def test_a_compiled_step_moves_its_parameters(device: str) -> None:
    def step(w: Any, x: Any) -> Any:
        loss, slope = xg.value_and_grad(lambda w: xg.sum(w * w * x))(w)
        with xg.no_grad():
            w -= 0.1 * slope
        return loss

    w, v, run = (
        xg.tensor([1.0, 2.0], requires_grad=True),
        xg.tensor([1.0, 2.0], requires_grad=True),
        xg.compile(step),
    )
    for _ in range(3):
        assert run(w, xg.ones(2)).item() == pytest.approx(step(v, xg.ones(2)).item())
    np.testing.assert_allclose(w.numpy(), v.numpy())
    assert w.is_leaf


def test_running_statistics_of_a_model_that_is_compiled(device: str) -> None:
    class Norm(xg.nn.Module):
        def __init__(self) -> None:
            self.mean = xg.zeros(2)

        def __call__(self, x: Any) -> Any:
            self.mean *= 0.9
            self.mean += 0.1 * xg.mean(x, axis=0)
            return x - self.mean

    a, b, x, run = Norm(), Norm(), xg.asarray([[1.0, 2.0], [3.0, 4.0]]), xg.compile(lambda model, x: model(x))
    for _ in range(3):
        np.testing.assert_allclose(run(a, x).numpy(), b(x).numpy())
    np.testing.assert_allclose(a.mean.numpy(), b.mean.numpy())


def test_changes_of_arguments_that_cannot_be_made_are_refused(device: str) -> None:
    x = xg.asarray([1.0, 2.0])
    with pytest.raises(xg.TraceError, match=r"an argument is changed in place"):
        xg.compile(doubled)(np.ones(2))
    with pytest.raises(xg.GraphError, match="passed twice"):
        xg.grad(lambda x: xg.sum(xg.checkpoint(lambda a, b: doubled(a) * b)(x, x)))(x)
    with pytest.raises(xg.GraphError, match="passed twice"):
        xg.grad(lambda y: xg.sum(xg.checkpoint(lambda a: doubled(a) * x * y)(x)))(+x)
    with pytest.raises(xg.GraphError, match="passed twice"):
        xg.compile(lambda a, b: doubled(a) * b)(x, x)
    with pytest.raises(xg.GraphError, match="uses from outside"):
        xg.compile(lambda a: doubled(a) * x)(x)
    assert x.numpy().tolist() == [1.0, 2.0]


def test_the_carry_and_the_slices_of_a_scan_are_its_own(device: str) -> None:
    h, xs = xg.asarray([1.0, 2.0]), xg.ones((3, 2))
    run = lambda compiled: xg.scan(lambda h, x: (doubled(h), doubled(x) + h), h, xs, compiled=compiled)
    for a, b in zip(xg.core.pytree.flatten(run(True))[0], xg.core.pytree.flatten(run(False))[0], strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy())
    assert h.numpy().tolist() == [1.0, 2.0]
    assert xs.numpy().tolist() == [[1.0, 1.0]] * 3


def test_backward_in_a_traced_function_is_refused(device: str) -> None:
    w = xg.tensor([1.0, 2.0], requires_grad=True)

    def f(x: Any) -> Any:
        xg.sum(w * x).backward()
        return x

    with pytest.raises(xg.TraceError, match=r"test_in_place.py:\d+: backward\(\).*xg.grad"):
        xg.compile(f)(xg.ones(2))
    assert w.grad is None


def test_a_copy_of_a_leaf_is_no_leaf(device: str) -> None:
    w = xg.tensor([1.0, 2.0], requires_grad=True)
    t = +w
    t[0] = 3.0
    xg.sum(t * t).backward()
    assert w.numpy().tolist() == [1.0, 2.0]
    assert w.grad is not None
    assert w.grad.numpy().tolist() == [0.0, 4.0]


@pytest.mark.parametrize("compiled", [True, False])
def test_a_scan_without_steps_changes_nothing(compiled: bool, device: str) -> None:
    s = xg.asarray([3.0, 4.0])

    def body(h: Any, x: Any) -> Any:
        added(s, x)
        return h, s * h

    _, ys = xg.scan(body, 1.0, xg.ones((0, 2)), compiled=compiled)
    assert ys.shape == (0, 2)
    assert s.numpy().tolist() == [3.0, 4.0]
