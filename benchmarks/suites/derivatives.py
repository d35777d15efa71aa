"""Cost of derivatives relative to the function: gradient, jvp, and Hessian-vector product (hvp)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..harness.measure import Job
from ..harness.server import Missing
from ..harness.suite import Suite
from .functions import jax_functions, through_time, xgrad_functions
from .peers import xgrad_arrays
from .problems import Case, Problem

GRUS = ["64,1,32,32", "64,16,64,64", "100,32,128,256"]
CASES = [
    "chain of 16",
    "chain of 100000",
    *(f"{size} {how}" for size in GRUS for how in ("loop", "scan", "compiled")),
]


def _chain(tanh: Any, total: Any, x: Any) -> Any:
    for _ in range(50):
        x = tanh(x * 1.1 + 0.1)
    return total(x)


def xgrad(what: str) -> Callable[[str], Job]:
    """`f`, or its `grad`, `jvp` or `hvp`, by xgrad's functions of these names."""

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
            p = Problem(Case.parse(f"GRU float32 {size}"))
            at, x, dy, zero = xgrad_arrays(p, xg.float32)
            t = {name: 0.5 * w for name, w in at.items()}
            F = xgrad_functions()._replace(scan=partial(xg.scan, compiled=how != "loop"))
            gru = through_time(p.cell, F, zero)
            f = lambda W: xg.sum(gru(W, x) * dy)
        run = _derivative(what, f, xg.grad, xg.jvp, xg.hvp)
        run = xg.compile(run) if how == "compiled" else run
        return Job(lambda: run(at, t))

    return peer


def jax(what: str) -> Callable[[str], Job]:
    """The same in JAX, with a jitted scan."""

    def peer(case: str) -> Job:
        import jax
        import jax.numpy as jnp

        size, _, how = case.rpartition(" ")
        if how != "compiled":
            raise Missing("JAX is timed under jit")
        p = Problem(Case.parse(f"GRU float32 {size}"))
        gru = through_time(p.cell, jax_functions(), jnp.asarray(p.zero))
        f = lambda W: (gru(W, p.x) * p.dy).sum()
        at, t = ({name: jnp.asarray(w * k) for name, w in p.W.items()} for k in (1, 0.5))
        hvp = lambda f, primals, tangents: jax.jvp(jax.grad(f), primals, tangents)[1]
        run = jax.jit(_derivative(what, f, jax.grad, jax.jvp, hvp))
        return Job(lambda: jax.block_until_ready(run(at, t)))

    return peer


def _derivative(what: str, f: Any, grad: Any, jvp: Any, hvp: Any) -> Callable[[Any, Any], Any]:
    """Make the function of a point and a direction selected by `what`."""
    return {
        "f": lambda x, t: f(x),
        "grad": lambda x, t: grad(f)(x),
        "jvp": lambda x, t: jvp(f, (x,), (t,)),
        "hvp": lambda x, t: hvp(f, (x,), (t,)),
    }[what]


WHAT = ("f", "grad", "jvp", "hvp")
SUITE = Suite(
    title="A function f and its derivatives, milliseconds: chains of 150 ops on float64 numbers, GRUs in "
    "float32 (T,B,I,H)",
    case="function",
    cases=CASES,
    unit=1e3,
    peers={**{what: xgrad(what) for what in WHAT}, **{f"JAX {what}": jax(what) for what in WHAT}},
)
