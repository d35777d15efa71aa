"""Transforms inside one another and inside traces, with custom gates, agree with eager code."""

from __future__ import annotations

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import xgrad as xg


def close(a: Any, b: Any) -> None:
    np.testing.assert_allclose(a.numpy(), b, rtol=1e-12, atol=1e-12)


def cubes(x: Any) -> Any:
    return xg.sum(x**3)


def test_derivatives_of_compiled_derivatives(device: str) -> None:
    x = xg.asarray([1.0, 2.0])
    g = xg.compile(xg.grad(cubes))
    close(xg.grad(lambda x: xg.sum(g(x)))(x), [6, 12])
    close(xg.jvp(g, (x,), (x,))[1], [6, 24])
    close(xg.jacobian(g)(x), np.diag([6.0, 12.0]))
    close(
        xg.grad(lambda x: xg.sum(xg.compile(lambda x: xg.hvp(cubes, (x,), (xg.ones_like(x),)))(x)))(x), [6, 6]
    )
    leaf = xg.tensor([1.0, 2.0], requires_grad=True)
    assert not g(leaf).requires_grad  # a transform takes a leaf as a plain value
    p = xg.compile(lambda x: (x.__imul__(2), xg.sum(x * x))[1])
    close(xg.grad(lambda x: p(x * 1))(x), [8, 16])


def test_tensors_from_outside_may_begin_to_need_a_gradient(device: str) -> None:
    w = xg.asarray(2.0)
    g = xg.compile(lambda x: xg.sum(x * w))
    x = xg.asarray([1.0, 2.0, 4.0])
    assert g(x).item() == 14

    def f(p: Any) -> Any:
        w[...] = p * 3
        return g(x)

    assert xg.grad(f)(1.0).item() == 21


def rules(w: Any) -> dict[str, Any]:
    """Return the identity with a custom derivative w, an array captured by the rule."""
    given = xg.custom_vjp(lambda x: x * 1.0)
    given.defvjp(lambda x: (x * 1.0, None), lambda kept, dz: (dz * xg.asarray(w),))
    moved = xg.custom_jvp(lambda x: x * 1.0)
    moved.defjvp(lambda p, t: (moved(*p), t[0] * xg.asarray(w)))

    class Scaled(xg.Gate):
        def forward(self, x: Any) -> Any:
            return x * 1.0

        def backward(self, dz: Any) -> Any:
            return dz * xg.asarray(w)

    return {
        "custom_vjp": given,
        "custom_jvp": moved,
        "gate": xg.gate(dx=lambda dz: dz * xg.asarray(w))(lambda x: x * 1.0),
        "Gate": Scaled(),
    }


@pytest.mark.parametrize("kind", ["custom_vjp", "custom_jvp", "gate", "Gate"])
def test_rules_that_use_arrays_from_outside(kind: str, device: str) -> None:
    f, x = rules([2.0, 3.0])[kind], xg.asarray([1.0, 2.0])
    close(xg.grad(lambda x: xg.sum(f(x)))(x), [2, 3])
    close(xg.grad(lambda x: xg.sum(xg.compile(f)(x)))(x), [2, 3])
    close(xg.compile(xg.grad(lambda x: xg.sum(f(x))))(x), [2, 3])
    close(xg.grad(xg.checkpoint(lambda x: xg.sum(f(x))))(x), [2, 3])
    for options in (
        {},
        {"compiled": False},
        {"checkpoint_every": 2},
        {"compiled": False, "checkpoint_every": 2},
    ):
        last = lambda x, options=options: xg.sum(
            xg.scan(lambda c, _: (f(c), None), x, length=3, **options)[0]
        )
        close(xg.grad(last)(x), [8, 27])
        close(xg.jvp(last, (x,), (x,))[1], 8 + 54)


class Square(xg.Gate):
    def forward(self, x: Any) -> Any:
        self.x = x
        return x * x

    def backward(self, dz: Any) -> Any:
        return 2 * self.x * dz


def test_a_gate_that_keeps_its_operands(device: str) -> None:
    x = xg.asarray([1.0, 2.0])
    for f in (
        lambda x: xg.sum(Square()(x)),
        xg.checkpoint(lambda x: xg.sum(Square()(x))),
        xg.compile(lambda x: xg.sum(Square()(x))),
    ):
        close(xg.grad(f)(x), [2, 4])
        close(xg.hessian(f)(x), 2 * np.eye(2))
    last = lambda x: xg.sum(
        xg.scan(lambda c, _: (Square()(c), None), x, length=2, compiled=False, checkpoint_every=1)[0]
    )
    close(xg.grad(last)(x), [4, 32])


@pytest.mark.parametrize("how", ["eager", "compile", "checkpoint", "scan"])
@pytest.mark.parametrize("what", ["unstack", "custom_vjp", "gate", "Gate"])
def test_no_grad_holds_for_every_stage(how: str, what: str, device: str) -> None:
    gate = None if what == "unstack" else rules(1.0)[what]

    def f(x: Any) -> Any:
        with xg.no_grad():
            s = xg.unstack(x)[0] if gate is None else gate(x)
        return xg.sum(s * x)

    x = xg.asarray([1.0, 2.0])
    made = {
        "eager": f,
        "compile": xg.compile(f),
        "checkpoint": xg.checkpoint(f),
        "scan": lambda x: xg.scan(lambda c, _: (c, f(c)), x, length=1)[1][0],
    }[how]
    close(xg.grad(made)(x), [1, 1] if gate is None else [1, 2])


def test_transforms_under_no_grad_give_constants(device: str) -> None:
    def f(v: Any) -> Any:
        with xg.no_grad():
            g = xg.grad(lambda q: q**3 * v)(v)
        return g * v

    v = xg.asarray(1.5)
    for made in (f, xg.compile(f), xg.checkpoint(f)):
        close(xg.grad(made)(v), 10.125)
    close(xg.compile(xg.grad(f))(v), 10.125)


def test_a_registered_op_need_not_work_element_by_element(device: str) -> None:
    name = "sums so far"
    cs = xg.register_op(
        name, lambda xp, x: xp.cumulative_sum(x), dx=lambda xp, dz: xp.flip(xp.cumulative_sum(xp.flip(dz)))
    )
    try:
        v = xg.asarray([1.0, 2.0, 4.0])
        close(xg.jvp(cs, (v,), (v,))[1], [1, 3, 7])
        close(xg.hvp(lambda v: xg.sum(cs(v) ** 2), (v,), (v,)), [22, 20, 14])
    finally:
        xg.unregister_op(name)


def test_rules_in_functions_on_tensors(device: str) -> None:
    g = xg.gate(dx=lambda dz, x: dz * xg.cos(x))(lambda x: xg.sin(x))
    w = xg.tensor([1.0, 2.0], requires_grad=True)
    y = w * 1.0
    (xg.sum(g(y)) + xg.sum(y * y) + xg.sum(y * 3)).backward()
    assert w.grad is not None
    close(w.grad, np.cos([1.0, 2.0]) + [2, 4] + 3.0)


def test_gates_of_several_outputs(device: str) -> None:
    class Both(xg.Gate):
        def forward(self, x: Any, y: Any) -> Any:
            self.x, self.y = x, y
            return x * y, x + y

        def backward(self, dz: Any) -> Any:
            a, b = dz
            return a * self.y + b, a * self.x + b

    @xg.gate
    def two(x: Any, y: Any) -> Any:
        return x * y, x + y

    x, y = xg.asarray([1.0, 2.0]), xg.asarray([3.0, 5.0])
    for f in (Both(), two):
        for g in (lambda x, f=f: xg.sum(f(x, y)[0]), xg.compile(lambda x, f=f: xg.sum(f(x, y)[0]))):
            close(xg.grad(g)(x), [3, 5])
        close(xg.grad(lambda x, f=f: xg.sum(f(x, y)[0] * f(x, y)[1]))(x), [15, 45])
        close(xg.grad(lambda x, f=f: xg.sum(xg.grad(lambda x: xg.sum(f(x, y)[0] ** 2))(x)))(x), [18, 50])
        with xg.detect_nan():
            close(xg.grad(lambda x, f=f: xg.sum(f(x, y)[0]))(x), [3, 5])


def test_keys_tell_values_apart_and_not_instances(device: str) -> None:
    class Over(xg.Gate):
        def __init__(self, k: Any) -> None:
            self.k = k

        def forward(self, x: Any) -> Any:
            return x * 1.0

        def backward(self, dz: Any) -> Any:
            return dz * self.k

    through = lambda gate: xg.grad(lambda h: xg.scan(lambda c, _: (gate(c), None), h, length=2)[0])(
        1.0
    ).item()
    gate = Over(2.0)
    assert [through(gate), through(Over(3.0)), through(Over(2.0))] == [4, 9, 4]
    gate.k = 5.0
    assert through(gate) == 25
    from xgrad.compiler.bodies import BODIES

    count = len(BODIES)
    through(Over(5.0))
    assert len(BODIES) == count
    q = xg.custom_vjp(lambda x, n: x * 1.0, nondiff_argnums=(-1,))
    q.defvjp(lambda x, n: (x * 1.0, None), lambda n, kept, dz: (dz * (3.0 if n is True else 2.0),))
    values = [
        xg.grad(lambda h, n=n: xg.scan(lambda c, _: (q(c, n), None), h, length=1)[0])(1.0).item()
        for n in (1, True, 1)
    ]
    assert values == [2, 3, 2]


def test_a_gate_in_a_trace_sees_its_operands_alone(device: str) -> None:
    def f(w: Any) -> Any:
        s = w * 2
        return xg.gate(dx=lambda dz: dz)(lambda q: q * s)(w)

    for made in (f, xg.checkpoint(f), xg.compile(f)):
        with pytest.raises(xg.GraphError, match="pass it as an operand"):
            xg.grad(made)(xg.asarray(3.0))


def test_checkpoints_of_integers_and_of_nothing(device: str) -> None:
    h = xg.checkpoint(lambda i, v: (i + 1, v * 2))
    x = xg.asarray([1.0, 2.0])
    close(xg.jvp(lambda v: h(*h(xg.asarray(0), v))[1], (x,), (x,))[1], [4, 8])
    close(xg.checkpoint(lambda n: xg.zeros(3) + n)(2.0), [2, 2, 2])
    counted = lambda v: xg.scan(
        lambda c, _: ((c[0] + 1, c[1] * 2), None), (xg.asarray(0), v), length=4, checkpoint_every=2
    )[0][1]
    close(xg.jvp(counted, (x,), (x,))[1], [16, 32])


def test_programs_that_are_kept_keep_no_arguments() -> None:
    f = xg.custom_vjp(lambda x, y: x * xg.sum(y))
    f.defvjp(lambda x, y: (x * xg.sum(y), xg.sum(y)), lambda s, dz: (dz * s, None))

    def run() -> Any:
        y = xg.asarray(np.ones(1000))
        xg.grad(lambda h: xg.scan(lambda c, _: (f(c, y), None), h, length=2)[0])(1.0)
        return weakref.ref(y)

    alive = run()
    gc.collect()
    assert alive() is None


def test_a_tangent_elsewhere_is_refused() -> None:
    with pytest.raises(xg.DeviceError, match="the tangent at"):
        xg.jvp(xg.sin, (xg.asarray(1.0, device="cpu"),), (xg.asarray(1.0, device="strict:1"),))


def test_traces_inside_a_watch() -> None:
    with xg.detect_nan():
        assert "x ** 3" in str(xg.trace(cubes, xg.ones(2)))


def test_a_gradient_that_is_clipped_has_no_forward_mode(device: str) -> None:
    """A rule that is not linear in dz is no derivative: its effect on a tangent is undefined.

    Reverse mode applies the rule, to second order.
    """
    clipped = xg.custom_vjp(lambda x: x * 1.0)
    clipped.defvjp(lambda x: (x * 1.0, None), lambda kept, dz: (xg.clip(dz, -1, 1),))

    class Guided(xg.Gate):
        def forward(self, x: Any) -> Any:
            return x * 1.0

        def backward(self, dz: Any) -> Any:
            return xg.relu(dz)

    normed = xg.gate(dx=lambda dz: dz / (1 + xg.abs(dz)))(lambda x: x * 1.0)
    x = xg.asarray([1.0, 2.0])
    for f in (clipped, Guided(), normed):
        with pytest.raises(TypeError, match="not linear in dz"):
            xg.jvp(f, (x,), (x,))
        with pytest.raises(TypeError, match="not linear in dz"):
            xg.jvp(lambda x, f=f: xg.scan(lambda c, _: (f(c), None), x, length=2)[0], (x,), (x,))
    close(xg.grad(lambda x: xg.sum(5 * clipped(x)))(x), [1, 1])


def test_what_comes_beside_a_gradient_stays_connected_to_an_outer_argument() -> None:
    """The connection remains even if the result does not depend on an argument of the inner transform.

    It also remains if that argument was not computed from the outer one.
    """
    assert xg.grad(lambda w: xg.value_and_grad(lambda y: w * w)(w * 1.0)[0])(3.0).item() == 6
    assert (
        xg.grad(lambda w: xg.grad(lambda a, y: w * a * a, argnums=(0, 1))(2.0, w * 1.0)[0])(3.0).item() == 4
    )


def test_transforms_in_another_thread_are_inside_of_the_one_around_it() -> None:
    def outer(w: Any) -> Any:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(lambda: xg.grad(lambda a: w * a * a)(2.0)).result()

    assert xg.grad(outer)(3.0).item() == 4
