"""A GRU through time, forward and backward, with gradients for weights and inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from by_hand import CompiledLoop, Loop, NumpyLoop
from ours import gradient_step, without_native_code
from turns import Job

TITLE = "GRU, reset before the product (torch.nn.GRU: after it), forward + backward, float32, milliseconds"
CASE = "T,B,I,H"
CASES = [
    "64,1,32,32",
    "64,16,64,64",
    "64,32,128,128",
    "100,32,128,256",
    "100,64,256,512",
    "50,64,512,1024",
    "1000,16,64,128",
]
UNIT = 1e3
NAMES = ("W_zh", "W_zx", "W_rh", "W_rx", "W_h", "W_x")


class Problem:
    """Inputs, weights by name, and what the loss asks of each state; the same for every peer."""

    def __init__(self, case: str) -> None:
        self.T, self.B, self.I, self.H = (int(n) for n in case.split(","))
        rng = np.random.default_rng(0)
        self.x, self.dy = (
            rng.normal(size=(self.T, self.B, self.I)).astype("f"),
            rng.normal(size=(self.T, self.B, self.H)).astype("f"),
        )
        shapes = {name: (self.H, self.I if name.endswith("x") else self.H) for name in NAMES}
        self.W = {
            name: rng.uniform(-(self.H**-0.5), self.H**-0.5, shape).astype("f")
            for name, shape in shapes.items()
        }


def norms(arrays: Any) -> list[float]:
    """What the peers must agree on: the norm of each gradient."""
    return [float(np.linalg.norm(np.asarray(a, "d"))) for a in arrays]


def cell(sigmoid: Callable[[Any], Any], tanh: Callable[[Any], Any], W: dict[str, Any], h: Any, x: Any) -> Any:
    """The equations."""
    z = sigmoid(h @ W["W_zh"].T + x @ W["W_zx"].T)
    r = sigmoid(h @ W["W_rh"].T + x @ W["W_rx"].T)
    h_tilde = tanh((r * h) @ W["W_h"].T + x @ W["W_x"].T)
    return (1 - z) * h + z * h_tilde


def equations(p: Problem) -> Callable[[Any, Any], Any]:
    """`run(W, x)` in xgrad: the states after each step."""
    import xgrad as xg

    h0 = xg.zeros((p.B, p.H), dtype=xg.float32)

    def run(W: Any, x: Any) -> Any:
        def body(h: Any, x: Any) -> Any:
            h = cell(xg.sigmoid, xg.tanh, W, h, x)
            return h, h

        return xg.scan(body, h0, x)[1]

    return run


def xgrad(case: str) -> Job:
    """The equations in `xg.scan`, in `xg.vjp`, in `xg.compile`."""
    import xgrad as xg

    p = Problem(case)
    gradient, kept = gradient_step(equations(p)), list[Any]()
    W, x, dy = {name: xg.asarray(w) for name, w in p.W.items()}, xg.asarray(p.x), xg.asarray(p.dy)

    def step() -> None:
        kept[:] = gradient(W, x, dy)

    return Job(step, lambda: norms([*(kept[0][name] for name in NAMES), kept[1]]))


def xgrad_without_fast(case: str) -> Job:
    """The same where the packages of the extra `fast` are missing."""
    without_native_code()
    return xgrad(case)


def eager_scan(case: str) -> Job:
    """The equations in `xg.scan`, then `backward`; nothing is compiled by name."""
    import xgrad as xg

    p = Problem(case)
    run, W = equations(p), {name: xg.tensor(w, requires_grad=True) for name, w in p.W.items()}
    x, dy = xg.tensor(p.x, requires_grad=True), xg.asarray(p.dy)

    def step() -> None:
        for leaf in (*W.values(), x):
            leaf.grad = None
        run(W, x).backward(dy)

    return Job(step, lambda: norms([*(W[name].grad for name in NAMES), x.grad]))


def module(case: str) -> Job:
    """xgrad.nn.GRU, then `backward`."""
    import xgrad as xg

    p = Problem(case)
    gru = xg.nn.GRU(p.I, p.H, bias=False)
    gru.load_state_dict(p.W)
    x, dy = xg.tensor(p.x, requires_grad=True), xg.asarray(p.dy)

    def step() -> None:
        gru.zero_grad()
        x.grad = None
        gru(x)[0].backward(dy)

    return Job(step, lambda: norms([*(getattr(gru, name).grad for name in NAMES), x.grad]))


def by_hand(kind: type[Loop]) -> Callable[[str], Job]:
    """A loop of `by_hand.py`."""

    def peer(case: str) -> Job:
        p = Problem(case)
        loop = kind(p.W, p.x, p.dy)
        return Job(loop.step, lambda: norms(loop.gradients()[name] for name in (*NAMES, "x")))

    return peer


def torch_loop(case: str) -> Job:
    """The same equations looped in torch."""
    import torch

    p = Problem(case)
    W = {name: torch.tensor(w, requires_grad=True) for name, w in p.W.items()}
    x, dy = torch.tensor(p.x, requires_grad=True), torch.tensor(p.dy)

    def step() -> None:
        for leaf in (*W.values(), x):
            leaf.grad = None
        h, ys = torch.zeros(p.B, p.H), []
        for x_t in x:
            h = cell(torch.sigmoid, torch.tanh, W, h, x_t)
            ys.append(h)
        torch.stack(ys).backward(dy)

    return Job(step, lambda: norms([*(W[name].grad for name in NAMES), x.grad]))


def torch_gru(case: str) -> Job:
    """torch.nn.GRU, whose reset gate acts after the product: another function, of one product less a step."""
    import torch

    p = Problem(case)
    gru, x, dy = torch.nn.GRU(p.I, p.H), torch.tensor(p.x, requires_grad=True), torch.tensor(p.dy)

    def step() -> None:
        gru.zero_grad()
        x.grad = None
        gru(x)[0].backward(dy)

    return Job(step)


def jax(case: str) -> Job:
    """The same equations in `jax.lax.scan`, under jit."""
    import jax
    import jax.numpy as jnp

    p = Problem(case)

    def loss(W: Any, x: Any) -> Any:
        def body(h: Any, x_t: Any) -> Any:
            h = cell(jax.nn.sigmoid, jnp.tanh, W, h, x_t)
            return h, h

        return (jax.lax.scan(body, jnp.zeros((p.B, p.H)), x)[1] * p.dy).sum()

    gradient, W, x = (
        jax.jit(jax.grad(loss, (0, 1))),
        {name: jnp.asarray(w) for name, w in p.W.items()},
        jnp.asarray(p.x),
    )
    kept: list[Any] = []

    def step() -> None:
        kept[:] = jax.block_until_ready(gradient(W, x))

    return Job(step, lambda: norms([*(kept[0][name] for name in NAMES), kept[1]]))


def autograd(case: str) -> Job:
    """The same equations looped in HIPS autograd, at sizes where that takes less than a second."""
    import autograd.numpy as anp
    from autograd import grad

    p = Problem(case)
    if p.T * p.B * p.H > 1e6:
        raise SystemExit("left out where it takes more than a second")

    def loss(W: Any, x: Any) -> Any:
        h, total = np.zeros((p.B, p.H), "f"), 0.0
        for t in range(p.T):
            h = cell(lambda a: 0.5 * anp.tanh(0.5 * a) + 0.5, anp.tanh, W, h, x[t])
            total = total + anp.sum(h * p.dy[t])
        return total

    gradient = grad(loss, (0, 1))
    kept: list[Any] = []

    def step() -> None:
        kept[:] = gradient(p.W, p.x)

    return Job(step, lambda: norms([*(kept[0][name] for name in NAMES), kept[1]]))


PEERS = {
    "xgrad": xgrad,
    "eager scan": eager_scan,
    "nn.GRU": module,
    "xgrad without fast": xgrad_without_fast,
    "hand compiled": by_hand(CompiledLoop),
    "hand NumPy": by_hand(NumpyLoop),
    "torch loop": torch_loop,
    "torch.nn.GRU": torch_gru,
    "jax scan": jax,
    "autograd": autograd,
}
