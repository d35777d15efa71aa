"""Overhead per op: a chain of z = tanh(z * w + x) on 16 numbers, with negligible arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..harness.measure import Job
from ..harness.suite import Suite

LENGTH = 33
OPS = 3 * LENGTH

X, W = np.random.default_rng(0).normal(size=(2, 16))


def _chain(tanh: Any, x: Any, w: Any) -> Any:
    z = x
    for _ in range(LENGTH):
        z = tanh(z * w + x)
    return z


def xgrad(case: str) -> Job:
    """xgrad in typical use: leaves, a function, `backward`."""
    import xgrad as xg

    x, w, dz = xg.tensor(X, requires_grad=True), xg.tensor(W, requires_grad=True), xg.ones(16)

    def step() -> None:
        x.grad = w.grad = None
        z = _chain(xg.tanh, x, w)
        if case != "forward":
            z.backward(dz)

    return Job(
        step,
        lambda: [] if x.grad is None or w.grad is None else [float(xg.sum(x.grad)), float(xg.sum(w.grad))],
        OPS,
    )


def torch(case: str) -> Job:
    """torch, eager."""
    import torch as t

    x, w, dz = t.tensor(X, requires_grad=True), t.tensor(W, requires_grad=True), t.ones(16, dtype=t.float64)

    def step() -> None:
        x.grad = w.grad = None
        z = _chain(t.tanh, x, w)
        if case != "forward":
            z.backward(dz)

    return Job(step, lambda: [] if x.grad is None else [float(x.grad.sum()), float(w.grad.sum())], OPS)


def autograd(case: str) -> Job:
    """HIPS autograd."""
    import autograd.numpy as anp
    from autograd import make_vjp

    one = np.ones(16)
    kept: list[Any] = []

    def step() -> None:
        pull, _ = make_vjp(lambda xw: _chain(anp.tanh, *xw))((X, W))
        if case != "forward":
            kept[:] = pull(one)

    return Job(step, lambda: [float(g.sum()) for g in kept], OPS)


def mygrad(case: str) -> Job:
    """MyGrad."""
    import mygrad as mg

    kept: list[Any] = []

    def step() -> None:
        x, w = mg.tensor(X), mg.tensor(W)
        z = _chain(mg.tanh, x, w)
        if case != "forward":
            z.backward(np.ones(16))
            kept[:] = x.grad, w.grad

    return Job(step, lambda: [float(g.sum()) for g in kept], OPS)


def numpy(case: str) -> Job:
    """NumPy without gradients: a lower bound for the forward pass."""
    return Job(lambda: _chain(np.tanh, X, W), list, OPS)


SUITE = Suite(
    title="Cost of one op on 16 numbers, float64, microseconds",
    case="what",
    cases=["forward", "forward + backward"],
    unit=1e6,
    peers={"xgrad": xgrad, "torch": torch, "autograd": autograd, "mygrad": mygrad, "numpy": numpy},
)
