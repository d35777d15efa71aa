"""jvp: the transpose of the gradient's map."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import xgrad as xg
from xgrad.core.pytree import flatten
from xgrad.transforms.forward_mode import jvp

rng = np.random.default_rng(0)


def close(a: Any, b: Any, atol: float = 1e-10) -> None:
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=0, atol=atol)


def test_a_product(device: str) -> None:
    z, dz = jvp(lambda x, y: x * y, (2.0, 3.0), (1.0, 10.0))
    assert (z.item(), dz.item()) == (6, 23)
    assert not z.requires_grad
    assert not dz.requires_grad


def test_against_differences(device: str) -> None:
    x, W, t = rng.normal(size=(3, 4)), rng.normal(size=(4, 4)), rng.normal(size=(4, 4))

    def f(W: Any) -> Any:
        h = xg.tanh(xg.asarray(x) @ W)
        return xg.softmax(h @ W, axis=0) * xg.max(h, axis=1, keepdims=True)

    h = 1e-6
    _, dz = jvp(f, (W,), (t,))
    close(dz, (f(xg.asarray(W + h * t)) - f(xg.asarray(W - h * t))) / (2 * h), atol=1e-8)


def test_trees(device: str) -> None:
    def f(p: Any, x: Any) -> Any:
        return {"a": p["w"] * x, "rest": [p["b"][0] + x, None]}

    z, dz = jvp(f, ({"w": 2.0, "b": [1.0]}, 3.0), ({"w": 1.0, "b": [4.0]}, 5.0))
    assert (z["a"].item(), dz["a"].item()) == (6, 13)
    assert (z["rest"][0].item(), dz["rest"][0].item()) == (4, 9)
    assert dz["rest"][1] is None


def test_what_has_no_derivative_does_not_move(device: str) -> None:
    z, dz = jvp(lambda x: (x * 2, xg.asarray(3), xg.sign(x), xg.asarray(1.5)), (2.0,), (1.0,))
    assert [v.item() for v in z] == [4, 3, 1, 1.5]
    assert [v.item() for v in dz] == [2, 0, 0, 0]
    assert dz[1].dtype == z[1].dtype


def test_nested(device: str) -> None:
    cube = lambda x: x**3
    assert jvp(xg.grad(cube), (2.0,), (1.0,))[1].item() == 12
    assert xg.grad(lambda x: jvp(cube, (x,), (1.0,))[1])(2.0).item() == 12
    assert jvp(lambda x: jvp(cube, (x,), (1.0,))[1], (2.0,), (1.0,))[1].item() == 12
    assert xg.grad(lambda x: jvp(lambda y: y**3 * x, (x,), (1.0,))[1])(2.0).item() == 36
    assert xg.grad(lambda t: jvp(cube, (2.0,), (t,))[1])(1.0).item() == 12


def test_gradients_of_a_tangent(device: str) -> None:
    W, x, t = (xg.asarray(rng.normal(size=shape)) for shape in ((3, 3), (3,), (3,)))
    # the tangent of a real number is real: xg.real keeps the check from a complex step
    xg.check_grads(lambda W, x, t: jvp(lambda x: xg.tanh(W @ x), (x,), (xg.real(t),)), (W, x, t))


def test_a_leaf_outside_gets_the_gradient_of_the_tangent(device: str) -> None:
    w = xg.tensor(3.0, requires_grad=True)
    _, dz = jvp(lambda x: xg.sin(w * x), (2.0,), (1.0,))
    dz.backward()
    assert w.grad is not None
    assert w.grad.item() == pytest.approx(np.cos(6) - 6 * np.sin(6))


def test_complex(device: str) -> None:
    _, dz = jvp(lambda x: x * x, (1 + 2j,), (3 - 1j,))
    assert dz.item() == 2 * (1 + 2j) * (3 - 1j)
    _, dz = jvp(lambda x: xg.exp(1j * x), (0.5,), (2.0,))
    assert dz.item() == pytest.approx(2j * np.exp(0.5j))


def test_tangents_that_do_not_fit() -> None:
    with pytest.raises(xg.ShapeError, match="structure"):
        jvp(lambda x, y: x, (1.0, 2.0), (1.0,))
    with pytest.raises(xg.ShapeError, match=r"\[0\] has shape \(3,\), but its primal has \(2,\)"):
        jvp(lambda x: x, (np.ones(2),), (np.ones(3),))
    with pytest.raises(TypeError, match="floating"):
        jvp(lambda x: x, (np.asarray(1),), (np.asarray(1),))


def gru(compiled: bool, steps: int = 5) -> Any:
    fixed = np.random.default_rng(1)
    xs, h0 = fixed.normal(size=(steps, 2, 3)), fixed.normal(size=(2, 3))

    def f(W: Any) -> Any:
        def step(h: Any, x: Any) -> Any:
            z, r = xg.sigmoid(h @ W["z"] + x), xg.sigmoid(h @ W["r"] - x)
            h = (1 - z) * h + z * xg.tanh((r * h) @ W["h"] + x)
            return h, h

        h, ys = xg.scan(step, xg.asarray(h0), xg.asarray(xs), compiled=compiled)
        return xg.sum(h * h) + xg.sum(xg.sin(ys))

    return f


WEIGHTS = {k: rng.normal(size=(3, 3)) for k in "zrh"}
MOVES = {k: rng.normal(size=(3, 3)) for k in "zrh"}


class TestSecondOrderThroughTime:
    def both(self, make: Any) -> None:
        for a, b in zip(
            *(
                xg.tree_map(lambda v: v.detach().numpy(), list(make(gru(compiled)).values()))
                for compiled in (True, False)
            ),
            strict=True,
        ):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)

    def test_jvp(self, device: str) -> None:
        self.both(lambda f: dict(enumerate(jvp(f, (WEIGHTS,), (MOVES,)))))

    def test_jvp_of_grad(self, device: str) -> None:
        self.both(lambda f: jvp(xg.grad(f), (WEIGHTS,), (MOVES,))[1])

    def test_grad_of_jvp(self, device: str) -> None:
        self.both(lambda f: xg.grad(lambda W: jvp(f, (W,), (MOVES,))[1])(WEIGHTS))

    def test_grad_of_grad(self, device: str) -> None:
        self.both(lambda f: xg.grad(along(f))(WEIGHTS))


def along(f: Any) -> Any:
    """Return the slope of `f` in the tangent direction, as a function of the weights."""

    def slope(W: Any) -> Any:
        g = xg.grad(f)(W)
        return sum(xg.sum(g[k] * xg.asarray(MOVES[k])) for k in "zrh")

    return slope


#: Derivatives of a function of the weights, in every combination of the modes.
DERIVATIVES = {
    "jvp": lambda f: lambda W: jvp(f, (W,), (MOVES,))[1],
    "hvp": lambda f: lambda W: xg.hvp(f, (W,), (MOVES,)),
    "grad of jvp": lambda f: xg.grad(lambda W: jvp(f, (W,), (MOVES,))[1]),
    "grad of grad": lambda f: xg.grad(along(f)),
    "jvp of jvp": lambda f: lambda W: jvp(lambda W: jvp(f, (W,), (MOVES,))[1], (W,), (MOVES,))[1],
}


@pytest.mark.slow
@pytest.mark.parametrize("what", DERIVATIVES)
def test_fifty_steps_of_a_gru(what: str) -> None:
    """The loop as one gate, and compiled whole, equals the plain loop."""
    derivative, W = DERIVATIVES[what], {k: xg.asarray(v) for k, v in WEIGHTS.items()}
    plain = flatten(derivative(gru(False, 50))(W))[0]
    whole = derivative(gru(True, 50))
    for found in (whole(W), xg.compile(whole)(W)):
        for a, b in zip(flatten(found)[0], plain, strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-10, atol=1e-10)


def test_operands_that_do_not_move(device: str) -> None:
    """For an op that is linear in all operands, the other tangents are zeros of the operands' own shapes."""
    x, t, c = xg.asarray([1.0, 2.0]), xg.asarray([1.0, -1.0]), xg.asarray([5.0, 6.0])

    def assigned(a: Any, b: Any) -> Any:
        y = xg.asarray(a, copy=True)
        y[0] = b[1]
        return y

    mask = xg.asarray([True, False])
    cases = [
        (lambda x: xg.concat([c, x, xg.zeros(1)]), [0, 0, 1, -1, 0]),
        (lambda x: xg.stack([c, x]), [[0, 0], [1, -1]]),
        (lambda x: xg.stack([x, c, 2 * x], axis=1), [[1, 0, 2], [-1, 0, -2]]),
        (lambda x: xg.where(mask, x, c), [1, 0]),
        (lambda x: xg.where(mask, 3.0, x), [0, -1]),
        (lambda x: assigned(c, x), [-1, 0]),
        (lambda x: assigned(x, c), [0, -1]),
        (lambda x: assigned(x, x), [-1, -1]),
        (lambda x: xg.einsum("i,j->ij", c, x), [[5, -5], [6, -6]]),
        (lambda x: xg.take(x, xg.asarray([1, 0, 1])), [-1, 1, -1]),
        (lambda x: x[xg.asarray([1, 1])], [-1, -1]),
        (lambda x: xg.copysign(c, x), [0, 0]),
        (lambda x: xg.unstack(xg.stack([x, c]))[1], [0, 0]),
        (lambda x: xg.unstack(x)[0] * c, [5, 6]),
    ]
    for f, expected in cases:
        np.testing.assert_allclose(jvp(f, (x,), (t,))[1].numpy(), expected)
        np.testing.assert_allclose(
            xg.compile(lambda x, t, f=f: jvp(f, (x,), (t,))[1])(x, t).numpy(), expected
        )


def test_dtypes_and_devices(device: str) -> None:
    x = xg.asarray([1.0, 2.0], dtype=xg.float32)
    z, t = jvp(lambda x: xg.astype(x, xg.float64) * 2, (x,), (np.ones(2),))
    assert (z.dtype, t.dtype) == (xg.float64, xg.float64)
    _, t = jvp(xg.tanh, (x,), (np.ones(2),))
    assert t.dtype == xg.float32
    with pytest.raises(TypeError, match="complex"):
        jvp(lambda x: x, (1.0,), (1j,))
    z, t, aux = jvp(lambda x: (x * x, "aux"), (3.0,), (1.0,), has_aux=True)
    assert (z.item(), t.item(), aux) == (9, 6, "aux")


def test_a_graph_that_was_freed() -> None:
    x = xg.tensor(2.0, requires_grad=True)

    def f(y: Any) -> Any:
        z = y * x * y
        z.backward()
        return z

    with pytest.raises(xg.GraphError, match="freed"):
        jvp(f, (3.0,), (1.0,))


def test_a_tangent_of_the_last_carry_alone_where_the_steps_write_it_too(device: str) -> None:
    def f(w: Any, compiled: bool) -> Any:
        return xg.scan(
            lambda h, x: (xg.sin(h * w + x), h), 1.0, xg.asarray([0.5, -1.0, 2.0]), compiled=compiled
        )[0]

    for a, b in zip(
        *(jvp(lambda w: f(w, compiled), (0.7,), (1.0,)) for compiled in (True, False)), strict=True
    ):
        close(a, b)


def test_inside_a_step(device: str) -> None:
    def f(w: Any, compiled: bool) -> Any:
        def step(h: Any, x: Any) -> Any:
            z, dz = jvp(lambda h: xg.tanh(h * w + x), (h,), (xg.ones_like(h),))
            return z, dz

        h, ys = xg.scan(step, 0.5, xg.asarray([0.5, -1.0, 2.0]), compiled=compiled)
        return h + xg.sum(ys * ys)

    for a, b in zip(
        *(xg.value_and_grad(lambda w: f(w, compiled))(0.7) for compiled in (True, False)), strict=True
    ):
        close(a, b)
