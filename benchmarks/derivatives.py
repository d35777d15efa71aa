"""What derivatives cost beside the function: the gradient, a tangent (jvp), and a product with the second
derivatives (hvp)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gru import Problem, cell
from turns import Job

TITLE = (
    "A function f and its derivatives, milliseconds: chains of 150 ops on float64 numbers, GRUs in "
    "float32 (T,B,I,H)"
)
CASE = "function"
GRUS = ["64,1,32,32", "64,16,64,64", "100,32,128,256"]
CASES = [
    "chain of 16",
    "chain of 100000",
    *(f"{size} {how}" for size in GRUS for how in ("loop", "scan", "compiled")),
]
UNIT = 1e3


def _chain(tanh: Any, total: Any, x: Any) -> Any:
    for _ in range(50):
        x = tanh(x * 1.1 + 0.1)
    return total(x)


def xgrad(what: str) -> Callable[[str], Job]:
    """`f`, or `grad`, `jvp`, `hvp` of it, by the functions of these names."""

    def peer(case: str) -> Job:
        import xgrad as xg

        f: Any
        at: Any
        t: Any
        size, _, how = case.rpartition(" ")
        if size == "chain of":
            f = lambda x: _chain(xg.tanh, xg.sum, x)
            at, t = map(xg.asarray, np.random.default_rng(0).normal(size=(2, int(how))))
        else:
            p = Problem(size)
            xs, dy, h0 = xg.asarray(p.x), xg.asarray(p.dy), xg.zeros((p.B, p.H), dtype=xg.float32)

            def through_time(W: Any) -> Any:
                def body(h: Any, x: Any) -> Any:
                    h = cell(xg.sigmoid, xg.tanh, W, h, x)
                    return h, h

                return xg.sum(xg.scan(body, h0, xs, compiled=how != "loop")[1] * dy)

            f, (at, t) = (
                through_time,
                ({name: xg.asarray(w * k) for name, w in p.W.items()} for k in (1, 0.5)),
            )
        run = _derivative(what, f, xg.grad, xg.jvp, xg.hvp)
        run = xg.compile(run) if how == "compiled" else run
        return Job(lambda: run(at, t))

    return peer


def jax(what: str) -> Callable[[str], Job]:
    """The same in JAX's jitted scan."""

    def peer(case: str) -> Job:
        import jax
        import jax.numpy as jnp

        size, _, how = case.rpartition(" ")
        if how != "compiled":
            raise SystemExit("JAX is timed under jit")
        p = Problem(size)

        def f(W: Any) -> Any:
            def body(h: Any, x_t: Any) -> Any:
                h = cell(jax.nn.sigmoid, jnp.tanh, W, h, x_t)
                return h, h

            return (jax.lax.scan(body, jnp.zeros((p.B, p.H)), p.x)[1] * p.dy).sum()

        at, t = ({name: jnp.asarray(w * k) for name, w in p.W.items()} for k in (1, 0.5))
        hvp = lambda f, primals, tangents: jax.jvp(jax.grad(f), primals, tangents)[1]
        run = jax.jit(_derivative(what, f, jax.grad, jax.jvp, hvp))
        return Job(lambda: jax.block_until_ready(run(at, t)))

    return peer


def _derivative(what: str, f: Any, grad: Any, jvp: Any, hvp: Any) -> Callable[[Any, Any], Any]:
    """A function of a point and a direction."""
    return {
        "f": lambda x, t: f(x),
        "grad": lambda x, t: grad(f)(x),
        "jvp": lambda x, t: jvp(f, (x,), (t,)),
        "hvp": lambda x, t: hvp(f, (x,), (t,)),
    }[what]


WHAT = ("f", "grad", "jvp", "hvp")
PEERS = {**{what: xgrad(what) for what in WHAT}, **{f"JAX {what}": jax(what) for what in WHAT}}
