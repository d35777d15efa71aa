"""The cells and spellings of `equations.py` through time, forward and backward."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from equations import CELLS, SPELLINGS, Cell, Functions
from ours import gradient_step
from turns import Job

TITLE = (
    "Cells from papers, and spellings, forward + backward with gradients for weights and inputs, "
    "float32, milliseconds"
)
CASE = "cell T,B,I,H"
SIZES = ["64,1,32,32", "64,16,64,64", "100,32,128,256"]
CASES = [f"{name} {size}" for name in CELLS for size in SIZES] + [
    f"{name} {size}" for name in SPELLINGS for size in SIZES[1:]
]
UNIT = 1e3


class Problem:
    """A cell, its weights, its inputs, and what the loss asks of each output; the same for every peer."""

    def __init__(self, case: str) -> None:
        name, _, sizes = case.rpartition(" ")
        T, B, I, H = (int(n) for n in sizes.split(","))  # noqa: E741
        self.cell = (CELLS | SPELLINGS)[name]
        batch = () if name == "unbatched" else (B,)
        rng = np.random.default_rng(0)
        self.x, self.dy = (
            rng.normal(size=(T, *batch, I)).astype("f"),
            rng.normal(size=(T, *batch, H)).astype("f"),
        )
        self.W = {
            name: rng.uniform(-(H**-0.5), H**-0.5, shape).astype("f")
            for name, shape in self.cell.shapes(I, H).items()
        }
        self.h0 = np.zeros((*batch, H), "f")

    def norms(self, dW: Any, dx: Any) -> list[float]:
        """What the peers must agree on."""
        return [float(np.linalg.norm(np.asarray(a, "d"))) for a in (*(dW[name] for name in self.W), dx)]


def through_time(cell: Cell, F: Functions, zero: Any) -> Callable[[Any, Any], Any]:
    """`run(W, x)`, the outputs of all steps, from states that are `zero`."""

    def run(W: Any, x: Any) -> Any:
        return F.scan(lambda states, x: cell.step(F, W, x, *states), (zero,) * cell.states, x)[1]

    return run


def xgrad_functions() -> Functions:
    """Those of xgrad."""
    import xgrad as xg

    elementwise = xg.sigmoid, xg.tanh, xg.exp, xg.log, xg.sqrt, xg.maximum
    joined, mean = partial(xg.concat, axis=-1), partial(xg.mean, axis=-1, keepdims=True)
    return Functions(*elementwise, joined, mean, partial(xg.softmax, axis=-1), xg.scan)


def jax_functions() -> Functions:
    """Those of JAX."""
    import jax
    import jax.numpy as jnp

    elementwise = jax.nn.sigmoid, jnp.tanh, jnp.exp, jnp.log, jnp.sqrt, jnp.maximum
    joined, mean = partial(jnp.concat, axis=-1), partial(jnp.mean, axis=-1, keepdims=True)
    return Functions(*elementwise, joined, mean, partial(jax.nn.softmax, axis=-1), jax.lax.scan)


def torch_functions() -> Functions:
    """Those of torch, and a Python loop for `scan`."""
    import torch

    def scan(f: Callable[..., Any], carry: Any, xs: Any, length: int | None = None) -> Any:
        ys = []
        for x in [None] * (length or 0) if xs is None else xs:
            carry, y = f(carry, x)
            ys.append(y)
        return carry, torch.stack(ys)

    elementwise = torch.sigmoid, torch.tanh, torch.exp, torch.log, torch.sqrt, torch.maximum
    joined, mean = partial(torch.concat, dim=-1), partial(torch.mean, dim=-1, keepdim=True)
    return Functions(*elementwise, joined, mean, partial(torch.softmax, dim=-1), scan)


def xgrad(case: str) -> Job:
    """`xg.scan` in `xg.vjp` in `xg.compile`."""
    import xgrad as xg

    p, kept = Problem(case), list[Any]()
    gradient = gradient_step(through_time(p.cell, xgrad_functions(), xg.asarray(p.h0)))
    W, x, dy = {name: xg.asarray(w) for name, w in p.W.items()}, xg.asarray(p.x), xg.asarray(p.dy)

    def step() -> None:
        kept[:] = gradient(W, x, dy)

    return Job(step, lambda: p.norms(*kept))


def jax(case: str) -> Job:
    """`jax.lax.scan` under jit."""
    import jax
    import jax.numpy as jnp

    p, kept = Problem(case), list[Any]()
    run = through_time(p.cell, jax_functions(), jnp.asarray(p.h0))
    gradient = jax.jit(lambda W, x, dy: jax.vjp(run, W, x)[1](dy))
    W, x, dy = {name: jnp.asarray(w) for name, w in p.W.items()}, jnp.asarray(p.x), jnp.asarray(p.dy)

    def step() -> None:
        kept[:] = jax.block_until_ready(gradient(W, x, dy))

    return Job(step, lambda: p.norms(*kept))


def torch(case: str) -> Job:
    """A Python loop in torch."""
    import torch

    p = Problem(case)
    run = through_time(p.cell, torch_functions(), torch.tensor(p.h0))
    W = {name: torch.tensor(w, requires_grad=True) for name, w in p.W.items()}
    x, dy = torch.tensor(p.x, requires_grad=True), torch.tensor(p.dy)

    def step() -> None:
        for leaf in (*W.values(), x):
            leaf.grad = None
        run(W, x).backward(dy)

    return Job(step, lambda: p.norms({name: w.grad for name, w in W.items()}, x.grad))


PEERS = {"xgrad": xgrad, "jax scan": jax, "torch loop": torch}
