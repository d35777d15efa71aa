"""Cells from papers: the gradient of a scan in xgrad and JAX, and the ops without a kernel in xgrad."""

from __future__ import annotations

from collections import Counter
from math import prod
from typing import Any

import numpy as np

from ..cells import CELLS, libraries
from ..cells.cell import Problem, Sizes
from ..harness.clock import Clock
from ..harness.measure import Job
from ..harness.suite import Suite


def problem(case: str) -> Problem:
    """The float32 arrays of a case, given as "cell T,B,I,H"."""
    name, _, sizes = case.rpartition(" ")
    return Problem(CELLS[name], Sizes(*map(int, sizes.split(","))), "float32")


def norms(p: Problem, gradients: Any) -> list[float]:
    """The norm of each gradient."""
    return [float(np.linalg.norm(np.asarray(gradients[key]).ravel().astype("D"))) for key in p.moving()]


def xgrad(case: str) -> Job:
    """`xg.compile(xg.grad(loss))`."""
    import xgrad as xg

    p, xp, kept = problem(case), libraries.xgrad(), list[Any]()
    moving = {key: xg.asarray(v) for key, v in p.moving().items()}
    xs = p.xs and tuple(map(xg.asarray, p.xs))
    gradient = xg.compile(xg.grad(lambda moving, xs: p.loss(xp, moving, xs)))

    def step() -> None:
        kept[:] = [gradient(moving, xs)]

    return Job(
        step,
        lambda: norms(p, {key: g.numpy() for key, g in kept[0].items()}),
        facts=lambda: {"calls of NumPy": left_to_numpy(gradient.executable(moving, xs))},
    )


def left_to_numpy(executable: Any) -> str:
    """Ops of a compiled program that the array library computes, and their calls per run."""
    from xgrad.compiler.calls import calls
    from xgrad.compiler.lowering.plan import Ref

    if executable.lowered is None:
        return f"all: {executable.why}"
    plan, found = executable.lowered.plan, Counter[str]()
    for call, lengths in calls(plan.body):
        if not call.kernel:
            dtypes = {plan.buffers[r.buffer].dtype for r in (*call.args, *call.outs) if isinstance(r, Ref)}
            unusual = sorted(dtypes & {"complex64", "complex128", "float16", "int8"})
            op = "copy" if call.op == "none" else call.op
            found[f"{op} of {unusual[0]}" if unusual else op] += prod(lengths)
    return ", ".join(f"{op} {n}" for op, n in found.most_common()) or "none"


def jax(case: str) -> Job:
    """`jax.jit(jax.grad(loss))`."""
    import jax

    jax.config.update("jax_enable_x64", True)  # to have 64-bit integers, as in xgrad
    p, xp, kept = problem(case), libraries.jax(), list[Any]()
    moving, xs = jax.device_put(p.moving()), jax.device_put(p.xs)
    gradient = jax.jit(jax.grad(lambda moving, xs: p.loss(xp, moving, xs)))

    def step() -> None:
        kept[:] = [gradient(moving, xs)]

    return Job(step, lambda: norms(p, kept[0]), clock=Clock(lambda: jax.block_until_ready(kept)))


SUITE = Suite(
    title="Cells from papers in a scan, gradients for weights and first states, float32, milliseconds",
    case="cell T,B,I,H",
    cases=[f"{name} {cell.sizes[place]}" for place in range(2) for name, cell in CELLS.items()],
    unit=1e3,
    peers={"xgrad": xgrad, "JAX": jax},
    fact="calls of NumPy",
)
