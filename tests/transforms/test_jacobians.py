"""Tests of jacobian, hessian, hvp, elementwise_grad and stop_gradient.

They are nested, go through loops and compiled functions, and run on every backend.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import xgrad as xg
from xgrad.transforms import jacobians

rng = np.random.default_rng(0)


def close(a: Any, b: Any, atol: float = 1e-10) -> None:
    np.testing.assert_allclose(a.numpy(), getattr(b, "numpy", lambda: b)(), rtol=0, atol=atol)


def linear(W: Any) -> Any:
    return lambda x: xg.asarray(W) @ x


@pytest.mark.parametrize("shape", [(2, 5), (5, 2), (3, 3), (1, 4), (4, 1), (0, 3), (3, 0)], ids=str)
def test_of_a_matrix_it_is_the_matrix(shape: tuple[int, int], device: str) -> None:
    W = rng.normal(size=shape)
    J = xg.jacobian(linear(W))(xg.asarray(rng.normal(size=shape[1])))
    assert J.shape == shape
    assert not J.requires_grad
    close(J, W)


@pytest.mark.parametrize(("shape", "sweeps"), [((2, 5), (2, 0)), ((5, 2), (0, 2))], ids=str)
def test_the_mode_is_the_one_of_fewer_sweeps(
    shape: tuple[int, int], sweeps: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = {"pull_back": 0, "push_forward": 0}

    def counted(name: str) -> Any:
        whole = getattr(jacobians, name)

        def f(*args: Any, **kwargs: Any) -> Any:
            counts[name] += 1
            return whole(*args, **kwargs)

        return f

    for name in counts:
        monkeypatch.setattr(jacobians, name, counted(name))
    runs = []
    W = rng.normal(size=shape)
    xg.jacobian(lambda x: runs.append(1) or W @ x)(xg.asarray(rng.normal(size=shape[1])))
    assert (counts["pull_back"], counts["push_forward"]) == sweeps
    assert len(runs) == 1


SHAPES = st.lists(st.integers(0, 3), max_size=2).map(tuple)


@given(SHAPES, SHAPES)
def test_shapes_are_the_outputs_and_then_the_arguments(
    inner: tuple[int, ...], outer: tuple[int, ...]
) -> None:
    x, W = rng.normal(size=inner), rng.normal(size=(*outer, *inner))
    J = xg.jacobian(lambda x: xg.tensordot(xg.asarray(W), x, axes=len(inner)))(x)
    np.testing.assert_allclose(J.numpy(), W, atol=1e-12)


def test_trees(device: str) -> None:
    def f(p: Any, x: Any) -> Any:
        return {"a": p["w"] * x, "n": xg.asarray([1, 2]), "s": xg.sum(p["b"][0])}

    p, x = {"w": xg.asarray([1.0, 2.0]), "b": [xg.ones((2, 2))]}, xg.asarray(3.0)
    J = xg.jacobian(f)(p, x)
    close(J["a"]["w"], 3 * np.eye(2))
    assert J["a"]["b"][0].shape == (2, 2, 2)
    close(J["s"]["b"][0], np.ones((2, 2)))
    assert J["n"]["w"].numpy().tolist() == [[0, 0], [0, 0]]
    of_p, of_x = xg.jacobian(f, argnums=(0, 1))(p, x)["a"]
    close(of_p["w"], 3 * np.eye(2))
    close(of_x, [1.0, 2.0])
    J, aux = xg.jacobian(lambda x: (x * x, "aux"), has_aux=True)(2.0)
    assert (J.item(), aux) == (4, "aux")


def test_complex_numbers(device: str) -> None:
    z = xg.asarray([1 + 2j, -0.5j])
    with pytest.raises(TypeError, match="holomorphic=True"):
        xg.jacobian(lambda z: z * z)(z)
    for W in (np.eye(2) * 1j, np.ones((3, 2)) + 2j):
        close(xg.jacobian(lambda z, W=W: xg.asarray(W) @ (z * z), holomorphic=True)(z), W * 2 * z.numpy())
    close(xg.jacobian(lambda x: x * (1 + 2j))(xg.asarray([1.0, 2.0])), (1 + 2j) * np.eye(2))
    close(xg.hessian(lambda z: xg.sum(z**3), holomorphic=True)(z), 6 * np.diag(z.numpy()))


def rosenbrock(x: Any) -> Any:
    return xg.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def test_hessian(device: str) -> None:
    x = xg.asarray([1.0, 2.0, -0.5])
    H = xg.hessian(rosenbrock)(x)
    a, b = 1.0, 2.0
    expected = [
        [1200 * a**2 - 400 * b + 2, -400 * a, 0],
        [-400 * a, 200 + 1200 * b**2 + 400 * 0.5 + 2, -400 * b],
        [0, -400 * b, 200],
    ]
    close(H, expected)
    close(xg.compile(xg.hessian(rosenbrock))(x), expected)
    t = xg.asarray([1.0, -1.0, 2.0])
    close(xg.hvp(rosenbrock, (x,), (t,)), H.numpy() @ t.numpy())
    close(xg.jacobian(xg.grad(rosenbrock))(x), expected)
    third = xg.jacobian(xg.hessian(rosenbrock))(x)
    close(third[0, 0, 0], 2400.0)
    close(third[0, 0, 1], -400.0)


def test_hessian_of_several_arguments(device: str) -> None:
    H = xg.hessian(lambda x, y: xg.sum(x * x) * y, argnums=(0, 1))(xg.asarray([1.0, 2.0]), 3.0)
    close(H[0][0], 6 * np.eye(2))
    close(H[0][1], [2.0, 4.0])
    close(H[1][0], [2.0, 4.0])
    assert H[1][1].item() == 0


def test_hvp_gives_the_product_alone_in_the_structure_of_the_first_argument(device: str) -> None:
    def f(p: Any, x: Any) -> Any:
        return xg.sum(xg.tanh(p["W"] @ x + p["b"]) ** 2)

    p = {"W": rng.normal(size=(2, 3)), "b": rng.normal(size=2)}
    t = {"W": rng.normal(size=(2, 3)), "b": rng.normal(size=2)}
    x, tx = xg.asarray(rng.normal(size=3)), xg.asarray(rng.normal(size=3))
    found = xg.hvp(f, (p, x), (t, tx))
    assert set(found) == {"W", "b"}
    h = 1e-5
    up, down = (xg.grad(f)({k: p[k] + s * h * t[k] for k in p}, x + s * h * tx) for s in (1, -1))
    for k in p:
        close(found[k], (up[k].numpy() - down[k].numpy()) / (2 * h), atol=1e-8)
    with pytest.raises(TypeError, match="scalar"):
        xg.hvp(lambda x: x * x, (xg.ones(2),), (xg.ones(2),))
    with pytest.raises(xg.ShapeError, match="tangent"):
        xg.hvp(rosenbrock, (xg.ones(3),), (xg.ones(2),))


def test_elementwise_grad(device: str) -> None:
    x = xg.asarray([[0.5, 1.0], [2.0, 3.0]])
    d = xg.elementwise_grad
    close(d(xg.log)(x), 1 / x.numpy())
    close(d(d(d(xg.log)))(x), 2 / x.numpy() ** 3)
    close(d(lambda x, y: x * y**2, 1)(2.0, x), 4 * x.numpy())
    with pytest.raises(TypeError, match="floating"):
        d(xg.square)(xg.asarray([1]))


def test_results_are_free_of_what_ran_inside(device: str) -> None:
    """A vjp inside another transform drops its inputs: nothing differentiates by them any more."""
    w = xg.asarray(2.0)
    inside = lambda w: xg.elementwise_grad(lambda t: w * t * t)(3.0)
    for f in (
        xg.grad,
        xg.jacobian,
        xg.hessian,
        lambda f: lambda w: xg.value_and_grad(f)(w)[0],
        lambda f: lambda w: xg.vjp(f, w)[0],
        lambda f: lambda w: xg.jvp(f, (w,), (w,))[1],
    ):
        assert not f(inside)(w).requires_grad
    assert xg.grad(inside)(w).item() == 6
    v = xg.tensor(2.0, requires_grad=True)
    assert xg.elementwise_grad(lambda t: v * t * t)(3.0).requires_grad


def test_what_does_not_fit_is_refused(device: str) -> None:
    z = xg.asarray([1 + 2j])
    for f, x in ((lambda x: x * 1j, xg.ones(2)), (xg.abs, z)):
        with pytest.raises(TypeError, match="holomorphic=True is only for complex ones"):
            xg.jacobian(f, holomorphic=True)(x)
    for f in (lambda x: xg.ones((3, 2)) @ x, xg.sum, lambda x: None):
        with pytest.raises(xg.ShapeError, match="is not elementwise"):
            xg.elementwise_grad(f)(xg.ones(2))
    assert xg.elementwise_grad(lambda z: z * z)(1 + 2j).item() == 2 + 4j
    for f in (xg.jvp, xg.hvp):
        with pytest.raises(
            TypeError, match=r"primals of <lambda> must be a tuple .* not Tensor: write \(x,\)"
        ):
            f(lambda x: xg.sum(x), xg.ones(2), xg.ones(2))


def cell(h: Any, x: Any) -> Any:
    h = xg.tanh(0.5 * h + x) + xg.stop_gradient(h) * x
    return h, h


@pytest.mark.parametrize("compiled", [True, False])
def test_through_scans_and_compiled_functions(compiled: bool, device: str) -> None:
    def f(xs: Any) -> Any:
        return xg.scan(cell, xg.zeros(2), xs, compiled=compiled)[1]

    xs = rng.normal(size=(3, 2))
    J = xg.jacobian(f)(xs)
    assert J.shape == (3, 2, 3, 2)
    close(J, xg.jacobian(lambda xs: xg.scan(cell, xg.zeros(2), xs, compiled=not compiled)[1])(xs))
    assert abs(J.numpy()[0, :, 1:]).max() == 0  # no step depends on a later one
    g = lambda xs: xg.sum(xg.scan(cell, xg.zeros(2), xs, compiled=not compiled)[1] ** 2)
    close(xg.hessian(lambda xs: xg.sum(f(xs) ** 2))(xs), xg.hessian(g)(xs))
    close(xg.compile(xg.jacobian(f))(xg.asarray(xs)), J)
    close(xg.jacobian(xg.compile(f))(xs), J)
    close(xg.jacobian(xg.checkpoint(f))(xg.asarray(xs)), J)


@pytest.mark.parametrize("where", ["plain", "scan", "compile", "checkpoint", "no_grad", "detach"])
def test_what_is_stopped_stays_stopped(where: str, device: str) -> None:
    def stopped(x: Any) -> Any:
        if where == "no_grad":
            with xg.no_grad():
                return x * 3
        return (x * 3).detach() if where == "detach" else xg.stop_gradient(x * 3)

    f = lambda x: x * stopped(x)
    if where in ("scan", "no_grad", "detach"):
        f = lambda x: xg.scan(lambda h, _: (h * stopped(h), None), x, None, 1)[0]
    elif where in ("compile", "checkpoint"):
        f = {"compile": xg.compile, "checkpoint": xg.checkpoint}[where](lambda x: x * stopped(x))
    x = xg.asarray(2.0)
    assert f(x).item() == 12
    assert xg.grad(f)(x).item() == 6
    assert xg.jvp(f, (x,), (x,))[1].item() == 12
    assert xg.compile(xg.grad(f))(x).item() == 6
    assert xg.grad(xg.grad(f))(x).item() == 0


def test_trees_are_stopped_whole() -> None:
    p = {"a": xg.tensor(1.0, requires_grad=True), "b": [2.0]}
    stopped = xg.stop_gradient(p)
    assert not stopped["a"].requires_grad
    assert stopped["b"][0].item() == 2
    assert p["a"].requires_grad
