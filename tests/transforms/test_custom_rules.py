"""custom_vjp and custom_jvp: in JAX's form, to second order, through every transform, on every backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import xgrad as xg

rng = np.random.default_rng(0)


def sine_vjp() -> Any:
    @xg.custom_vjp
    def f(x: Any, y: Any) -> Any:
        return xg.sin(x) * y

    f.defvjp(
        lambda x, y: (f(x, y), (xg.cos(x), xg.sin(x), y)),
        lambda kept, dz: (kept[0] * dz * kept[2], kept[1] * dz),
    )
    return f


def sine_jvp() -> Any:
    @xg.custom_jvp
    def f(x: Any, y: Any) -> Any:
        return xg.sin(x) * y

    @f.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        (x, y), (tx, ty) = primals, tangents
        return f(x, y), xg.cos(x) * tx * y + xg.sin(x) * ty

    return f


def sine_jvps() -> Any:
    f = xg.custom_jvp(lambda x, y: xg.sin(x) * y)
    f.defjvps(lambda t, z, x, y: t * xg.cos(x) * y, lambda t, z, x, y: xg.sin(x) * t)
    return f


SINES = pytest.mark.parametrize("make", [sine_vjp, sine_jvp, sine_jvps])


@SINES
def test_right_rules_pass_every_check(make: Any, device: str) -> None:
    x, y = xg.asarray(rng.normal(size=(2, 3))), xg.asarray(rng.normal(size=(2, 3)))
    xg.check_grads(make(), (x, y), order=2)
    xg.check_grads(lambda x, y: xg.sum(make()(x * y, y) ** 2), (x, y), order=2)


@SINES
def test_third_order(make: Any, device: str) -> None:
    f = make()
    third = xg.grad(xg.grad(xg.grad(lambda x: f(x, 2.0))))
    assert third(0.7).item() == pytest.approx(-2 * np.cos(0.7))


def triple(kind: str) -> Any:
    """Return the identity with a custom derivative of 3: the function itself is not differentiated."""
    if kind == "vjp":
        f = xg.custom_vjp(lambda x: x * 1.0)
        f.defvjp(lambda x: (x * 1.0, None), lambda kept, dz: (3 * dz,))
        return f
    g = xg.custom_jvp(lambda x: x * 1.0)
    g.defjvp(lambda primals, tangents: (primals[0] * 1.0, 3 * tangents[0]))
    return g


@pytest.mark.parametrize("kind", ["vjp", "jvp"])
class TestTheRuleHolds:
    """The given derivative is used everywhere."""

    def test_in_both_modes(self, kind: str, device: str) -> None:
        f = triple(kind)
        assert xg.grad(f)(2.0).item() == 3
        assert xg.jvp(f, (2.0,), (5.0,))[1].item() == 15
        assert xg.jacobian(f)(xg.asarray([1.0, 2.0])).numpy().tolist() == [[3, 0], [0, 3]]
        x = xg.tensor(2.0, requires_grad=True)
        (f(x) * x).backward()
        assert x.grad is not None
        assert x.grad.item() == 8

    def test_in_nested_transforms(self, kind: str, device: str) -> None:
        f = triple(kind)
        assert xg.grad(xg.grad(lambda x: f(x) ** 2))(1.5).item() == 18
        assert xg.jvp(xg.grad(lambda x: f(x) ** 2), (1.5,), (1.0,))[1].item() == 18
        assert xg.grad(lambda x: xg.jvp(lambda y: f(y) ** 2, (x,), (1.0,))[1])(1.5).item() == 18
        assert xg.hvp(lambda x: f(x) ** 2, (1.5,), (1.0,)).item() == 18

    @pytest.mark.parametrize("compiled", [True, False])
    def test_through_scans(self, kind: str, compiled: bool, device: str) -> None:
        f = triple(kind)

        def last(h: Any, xs: Any) -> Any:
            return xg.scan(lambda h, x: (f(h) * x, None), h, xs, compiled=compiled)[0]

        xs = xg.asarray([1.0, 2.0, 1.0])
        for _ in range(2):  # the second time, its program is cached
            assert xg.grad(last)(0.5, xs).item() == 54
            assert xg.jvp(lambda h: last(h, xs), (0.5,), (1.0,))[1].item() == 54
        assert xg.grad(xg.grad(lambda h: last(h, xs) ** 2))(0.5).item() == 2 * 54 * 54

    def test_through_compiled_and_checkpointed_functions(self, kind: str, device: str) -> None:
        f = triple(kind)
        x = xg.asarray(2.0)
        assert xg.compile(xg.grad(f))(x).item() == 3
        assert xg.grad(xg.compile(f))(x).item() == 3
        assert xg.grad(xg.checkpoint(lambda x: f(x) * x))(x).item() == 8
        assert xg.compile(lambda x: xg.jvp(f, (x,), (x,))[1])(x).item() == 6
        assert xg.jvp(xg.compile(f), (x,), (x,))[1].item() == 6

    def test_in_programs(self, kind: str) -> None:
        assert "lambda" in str(xg.trace(triple(kind), 1.0))
        space: dict[str, Any] = {}
        exec(xg.trace(xg.grad(triple(kind)), 1.0).source("numpy"), space)
        assert space["forward"](np.asarray(1.0))[0] == 3


def test_trees_come_and_go(device: str) -> None:
    @xg.custom_vjp
    def f(p: Any, x: Any) -> Any:
        return {"sum": p["a"] + x[0], "rest": (p["b"] * x[1], xg.asarray(1))}

    def bwd(kept: Any, dz: Any) -> Any:
        assert dz["rest"][1].item() == 0  # integers have no derivative
        return {"a": 10 * dz["sum"], "b": None}, (None, dz["rest"][0] * 100)

    f.defvjp(lambda p, x: (f(p, x), None), bwd)
    z, pull = xg.vjp(f, {"a": 1.0, "b": 2.0}, (3.0, 4.0))
    assert (z["sum"].item(), z["rest"][0].item()) == (4, 8)
    dp, dx = pull({"sum": 1.0, "rest": (1.0, 0)})
    assert [v.item() for v in (dp["a"], dp["b"], *dx)] == [10, 0, 0, 100]
    assert xg.grad(lambda p: f(p, (3.0, 4.0))["sum"])({"a": 1.0, "b": 2.0})["a"].item() == 10
    _, moved = xg.jvp(lambda a: f({"a": a, "b": 2.0}, (3.0, 4.0)), (1.0,), (1.0,))
    assert (moved["sum"].item(), moved["rest"][1].item()) == (10, 0)


def test_arguments_that_are_fixed(device: str) -> None:
    from functools import partial

    @partial(xg.custom_vjp, nondiff_argnums=(0,))
    def apply(f: Any, x: Any, scale: float = 2.0) -> Any:
        return f(x) * scale

    apply.defvjp(lambda f, x, scale: (f(x) * scale, x), lambda f, x, dz: (7 * dz, None))
    assert apply(xg.sin, 0.0).item() == 0
    assert xg.grad(lambda x: apply(xg.sin, x))(0.0).item() == 7
    assert xg.grad(lambda x: apply(xg.sin, x=x, scale=5.0))(0.0).item() == 7

    @partial(xg.custom_jvp, nondiff_argnums=(1,))
    def power(x: Any, n: int) -> Any:
        return x**n

    power.defjvp(lambda n, primals, tangents: (power(primals[0], n), n * 1000 * tangents[0]))
    assert xg.grad(power)(2.0, 3).item() == 3000
    assert xg.scan(lambda h, x: (power(h, 2), None), 2.0, None, 2)[0].item() == 16
    assert xg.grad(lambda h: xg.scan(lambda h, x: (power(h, 3), None), h, None, 2)[0])(1.0).item() == 9e6
    assert xg.grad(lambda h: xg.scan(lambda h, x: (power(h, 2), None), h, None, 2)[0])(1.0).item() == 4e6


def test_numbers_stay_weak() -> None:
    f = sine_vjp()
    assert f(xg.asarray([1.0], dtype=xg.float32), 2.0).dtype == xg.float32


def test_what_is_kept_is_all_that_is_used(device: str) -> None:
    calls = []
    f = xg.custom_vjp(lambda x: x * 2)
    f.defvjp(lambda x: calls.append("fwd") or (x * 2, None), lambda kept, dz: (dz,))
    x = xg.tensor(1.0, requires_grad=True)
    z = f(x)
    assert calls == ["fwd"]
    z.backward()
    assert calls == ["fwd"]
    f(1.0)
    assert calls == ["fwd"]


def test_complex_numbers(device: str) -> None:
    f = xg.custom_jvp(lambda z: z * z)
    f.defjvp(lambda primals, tangents: (f(primals[0]), 2 * primals[0] * tangents[0]))
    xg.check_grads(f, (xg.asarray([1.0 + 2j, -0.5j]),))
    g = xg.custom_vjp(lambda z: z * z)
    g.defvjp(lambda z: (z * z, z), lambda z, dz: (dz * 2 * z,))
    xg.check_grads(g, (xg.asarray([1.0 + 2j, -0.5j]),))
    h = xg.custom_vjp(lambda z: (z * z, 3j * z))
    h.defvjp(lambda z: (h(z), z), lambda z, dz: (dz[0] * 2 * z + dz[1] * 3j,))
    xg.check_grads(h, (xg.asarray([1.0 + 2j, -0.5j]),))
    k = xg.custom_jvp(lambda z: (z * z, 3j * z))
    k.defjvp(lambda p, t: (k(p[0]), (2 * p[0] * t[0], 3j * t[0])))
    xg.check_grads(k, (xg.asarray([1.0 + 2j, -0.5j]),))


class TestErrors:
    """Error messages name what is wrong."""

    def test_no_rule_yet(self) -> None:
        @xg.custom_vjp
        def square(x: Any) -> Any:
            return x * x

        with pytest.raises(TypeError, match=r"square has no derivative yet: give it one with square\.defvjp"):
            square(1.0)

    @pytest.mark.parametrize(
        ("bwd", "error", "match"),
        [
            (
                lambda kept, dz: dz,
                TypeError,
                "must return a tuple with one gradient for each of 2 arguments, not Tensor",
            ),
            (lambda kept, dz: (dz,), TypeError, "not 1 of them"),
            (lambda kept, dz: ((dz, dz), dz), TypeError, "another structure"),
            (
                lambda kept, dz: (xg.sum(dz), dz),
                xg.ShapeError,
                r"shape \(\) for the argument at \[0\], of shape \(2,\)",
            ),
        ],
    )
    def test_gradients_that_do_not_fit(self, bwd: Any, error: Any, match: str) -> None:
        f = xg.custom_vjp(lambda x, y: x * y)
        f.defvjp(lambda x, y: (x * y, None), bwd)
        with pytest.raises(error, match=match):
            xg.grad(lambda x, y: xg.sum(f(x, y)))(xg.ones(2), xg.ones(2))

    def test_a_complex_gradient_of_a_real_argument(self) -> None:
        f = xg.custom_vjp(lambda x: xg.real(x * 1j))
        f.defvjp(lambda x: (xg.real(x * 1j), None), lambda kept, dz: (dz * 1j,))
        with pytest.raises(TypeError, match="complex gradient for the argument at"):
            xg.grad(lambda x: xg.sum(f(x)))(xg.ones(2))

    @pytest.mark.parametrize("kind", ["vjp", "jvp"])
    def test_a_tensor_that_comes_in_past_the_arguments(self, kind: str) -> None:
        def f(v: Any) -> Any:
            g = triple(kind)
            g.fun = lambda x: v * x
            return g(3.0)

        with pytest.raises(xg.GraphError, match="is not an operand; pass it as an operand"):
            xg.grad(f)(2.0)

    def test_a_forward_rule_that_returns_no_pair(self) -> None:
        f = xg.custom_vjp(lambda x: x)
        f.defvjp(lambda x: x, lambda kept, dz: (dz,))
        with pytest.raises(TypeError, match="must return a pair"):
            xg.grad(f)(1.0)

    def test_a_tangent_that_does_not_fit(self) -> None:
        f = xg.custom_jvp(lambda x: x * 2)
        f.defjvp(lambda primals, tangents: (primals[0] * 2, xg.sum(tangents[0])))
        with pytest.raises(xg.ShapeError, match=r"tangent of shape \(\) for an output of shape \(2,\)"):
            xg.jvp(f, (xg.ones(2),), (xg.ones(2),))
        f.defjvp(lambda primals, tangents: primals[0])
        with pytest.raises(TypeError, match="pair"):
            xg.grad(lambda x: xg.sum(f(x)))(xg.ones(2))

    def test_an_argument_that_is_no_array(self) -> None:
        f = sine_vjp()
        with pytest.raises(TypeError, match="nondiff_argnums"):
            f(1.0, "two")
        with pytest.raises(TypeError, match="missing a required argument"):
            f(1.0)
