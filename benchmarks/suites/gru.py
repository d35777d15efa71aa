"""A GRU through time, forward and backward, in every peer and in several ways in xgrad.

Gradients are taken for weights and inputs.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from ..harness.measure import Job
from ..harness.server import Missing
from ..harness.suite import Suite
from . import peers
from .by_hand import CompiledLoop, Loop, NumpyLoop
from .functions import through_time, xgrad_functions
from .problems import Case, Problem, norms

CASES = [
    "64,1,32,32",
    "64,16,64,64",
    "64,32,128,128",
    "100,32,128,256",
    "100,64,256,512",
    "50,64,512,1024",
    "1000,16,64,128",
]


def gru(sizes: str) -> Case:
    """The case with these sizes, "T,B,I,H"."""
    return Case.parse(f"GRU float32 {sizes}")


def on_cpu(peer: Callable[[Case, str], Job]) -> Callable[[str], Job]:
    """Adapt a peer to take sizes and run on the CPU."""
    return lambda sizes: peer(gru(sizes), "cpu")


def xgrad_without_fast(sizes: str) -> Job:
    """xgrad without the packages of the extra `fast`: compiled functions run as NumPy calls."""
    os.environ["XGRAD_NATIVE"] = "0"  # read when xgrad is imported
    return peers.xgrad(gru(sizes), "cpu")


def eager_scan(sizes: str) -> Job:
    """The equations in `xg.scan`, then `backward`, without an explicit `compile`."""
    import xgrad as xg

    p = Problem(gru(sizes))
    run = through_time(p.cell, xgrad_functions(), xg.asarray(p.zero))
    W = {name: xg.tensor(w, requires_grad=True) for name, w in p.W.items()}
    x, dy = xg.tensor(p.x, requires_grad=True), xg.asarray(p.dy)

    def step() -> None:
        for leaf in (*W.values(), x):
            leaf.grad = None
        run(W, x).backward(dy)

    return Job(step, lambda: norms([*(w.grad for w in W.values()), x.grad]))


def module(sizes: str) -> Job:
    """xgrad.nn.GRU, then `backward`."""
    import xgrad as xg

    p = Problem(gru(sizes))
    layer = xg.nn.GRU(p.case.I, p.case.H, bias=False)
    layer.load_state_dict(p.W)
    x, dy = xg.tensor(p.x, requires_grad=True), xg.asarray(p.dy)

    def step() -> None:
        layer.zero_grad()
        x.grad = None
        layer(x)[0].backward(dy)

    return Job(step, lambda: norms([*(getattr(layer, name).grad for name in p.W), x.grad]))


def by_hand(kind: type[Loop]) -> Callable[[str], Job]:
    """A hand-written loop of `by_hand.py`."""

    def peer(sizes: str) -> Job:
        p = Problem(gru(sizes))
        loop = kind(p.W, p.x, p.dy)
        return Job(loop.step, lambda: norms(loop.gradients()[name] for name in (*p.W, "x")))

    return peer


def autograd(sizes: str) -> Job:
    """A loop over the equations in HIPS autograd, at sizes where it takes less than a second."""
    import autograd.numpy as anp
    from autograd import grad

    p = Problem(gru(sizes))
    if p.dy.size > 1e6:
        raise Missing("left out where it takes more than a second")
    F: Any = SimpleNamespace(sigmoid=lambda a: 0.5 * anp.tanh(0.5 * a) + 0.5, tanh=anp.tanh)

    def loss(W: Any, x: Any) -> Any:
        h, total = p.zero, 0.0
        for t in range(p.case.T):
            (h,), _ = p.cell.step(F, W, x[t], h)
            total = total + anp.sum(h * p.dy[t])
        return total

    gradient = grad(loss, (0, 1))
    kept: list[Any] = []

    def step() -> None:
        kept[:] = gradient(p.W, p.x)

    return Job(step, lambda: norms([*(kept[0][name] for name in p.W), kept[1]]))


SUITE = Suite(
    title="GRU, reset before the product (torch.nn.GRU: after it), forward + backward, float32, milliseconds",
    case="T,B,I,H",
    cases=CASES,
    unit=1e3,
    peers={
        "xgrad": on_cpu(peers.xgrad),
        "eager scan": eager_scan,
        "nn.GRU": module,
        "xgrad without fast": xgrad_without_fast,
        "hand compiled": by_hand(CompiledLoop),
        "hand NumPy": by_hand(NumpyLoop),
        "torch loop": on_cpu(peers.torch_loop),
        "torch.nn.GRU": on_cpu(peers.torch_gru),
        "JAX scan": on_cpu(peers.jax),
        "autograd": autograd,
    },
)
