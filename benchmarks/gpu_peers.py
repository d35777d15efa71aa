"""One cell through time, forward and backward, in xgrad and its peers, on any device: gradients for weights
and inputs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
from cells import jax_functions, through_time, torch_functions, xgrad_functions
from gpu_cases import EVERY, Case, Problem
from gpu_clocks import Clock, CupyClock, Job, TorchClock
from ours import gradient_step


class Missing(Exception):
    """A library, or a part of it, that is not there."""


# xgrad


def xgrad_precision(precision: str, held: ExitStack) -> Any:
    """The dtype of arrays in a precision, which products keep to until `held` is closed."""
    import xgrad as xg

    if precision == "bfloat16":
        if not hasattr(xg, "bfloat16"):
            raise Missing("xgrad has no bfloat16")
        return xg.bfloat16
    if hasattr(xg, "matmul_precision"):
        held.enter_context(xg.matmul_precision("tf32" if precision == "tf32" else "highest"))
    elif precision == "tf32":
        raise Missing("xgrad has no matmul_precision")
    return xg.float32


def xgrad_arrays(p: Problem, dtype: Any) -> tuple[dict[str, Any], Any, Any, Any]:
    """W, x, dy and a state of zeros on the current device."""
    import xgrad as xg

    W, x, dy = (
        {name: xg.astype(xg.asarray(w), dtype) for name, w in p.W.items()},
        *(xg.astype(xg.asarray(a), dtype) for a in (p.x, p.dy)),
    )
    return W, x, dy, xg.zeros((p.case.B, p.case.H), dtype=dtype)


def host(a: Any) -> Any:
    """A Tensor as an array of float64 on the host."""
    import xgrad as xg

    return np.asarray((a if a.dtype == xg.float64 else xg.astype(a, xg.float32)).numpy(), "d")


def xgrad_clock(device: str) -> Clock:
    """Events on CUDA."""
    return CupyClock() if device.startswith("cuda") else Clock()


def xgrad(case: Case, device: str) -> Job:
    """`xg.scan` in `xg.vjp` in `xg.compile`."""
    held, kept = ExitStack(), list[Any]()
    p = Problem(case)
    W, x, dy, zero = xgrad_arrays(p, xgrad_precision(case.precision, held))
    gradient = gradient_step(through_time(p.cell, xgrad_functions(), zero))

    def step() -> None:
        kept[:] = gradient(W, x, dy)

    def facts() -> dict[str, Any]:
        ready = gradient.executable(W, x, dy)
        kind, why = getattr(ready, "kind", "not known"), getattr(ready, "why", None)
        loops = [loop._asdict() for loop in getattr(ready, "loops", ())]
        return {
            "executor": f"{kind}: {why}" if why else kind,
            "seconds to make": getattr(ready, "seconds", None),
            "loops": loops,
        }

    def norms() -> list[float]:
        return [float(np.linalg.norm(host(a))) for a in (*(kept[0][name] for name in W), kept[1])]

    return Job(step, xgrad_clock(device), norms, facts, held)


# torch


def _torch(device: str) -> Any:
    import torch

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise Missing("torch sees no GPU here")
    return torch


def torch_precision(precision: str, device: str) -> tuple[Any, Any]:
    """torch, with its products set to a precision, and the dtype of arrays."""
    torch = _torch(device)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    return torch, torch.bfloat16 if precision == "bfloat16" else torch.float32


def torch_clock(device: str) -> Clock:
    """Events on CUDA."""
    return TorchClock() if device.startswith("cuda") else Clock()


def torch_loop(case: Case, device: str, compiled: bool = False) -> Job:
    """The equations, step after step; those of one step under torch.compile if so asked."""
    torch, dtype = torch_precision(case.precision, device)
    p = Problem(case)
    cell = p.cell._replace(step=_compiled_step(torch, case.cell, case.precision)) if compiled else p.cell
    at = {"device": device, "dtype": dtype}
    W = {name: torch.tensor(w, **at).requires_grad_() for name, w in p.W.items()}
    x, dy = torch.tensor(p.x, **at).requires_grad_(), torch.tensor(p.dy, **at)
    # A first state that needs no gradient would be another signature, and so compiled apart from all others.
    zero = torch.zeros(case.B, case.H, **at).requires_grad_(compiled)
    run, leaves = through_time(cell, torch_functions(), zero), [*W.values(), x]

    def step() -> None:
        for leaf in (*leaves, zero):
            leaf.grad = None
        run(W, x).backward(dy)

    return Job(
        step,
        torch_clock(device),
        lambda: [float(torch.linalg.vector_norm(leaf.grad.double())) for leaf in leaves],
    )


_compiled: dict[tuple[str, str], Callable[..., Any]] = {}


def _compiled_step(torch: Any, name: str, precision: str) -> Callable[..., Any]:
    """A cell's step under torch.compile, for any T, B and H: compiled once for all sizes of a precision."""
    if (name, precision) not in _compiled:
        torch._dynamo.reset()  # it keeps eight variants of a function, and silently runs others uncompiled
        _compiled.clear()
        F, step = torch_functions(), EVERY[name].step
        _compiled[name, precision] = torch.compile(
            lambda W, x, states: step(F, W, x, *states), dynamic=True, fullgraph=True
        )
    run = _compiled[name, precision]
    return lambda F, W, x, *states: run(W, x, states)


def torch_gru(case: Case, device: str) -> Job:
    """torch.nn.GRU, on CUDA cuDNN's: it resets after the product, so that its step is one product deep."""
    if case.cell != "GRU":
        raise Missing("cuDNN has no such cell")
    torch, dtype = torch_precision(case.precision, device)
    p = Problem(case)
    gru = torch.nn.GRU(case.I, case.H, bias=False).to(device, dtype)
    x, dy = (
        torch.tensor(p.x, device=device, dtype=dtype).requires_grad_(),
        torch.tensor(p.dy, device=device, dtype=dtype),
    )
    if device.startswith("cuda"):
        gru.flatten_parameters()

    def step() -> None:
        gru.zero_grad()
        x.grad = None
        gru(x)[0].backward(dy)

    return Job(
        step,
        torch_clock(device),
        facts=lambda: {"cuDNN": torch.backends.cudnn.version(), "CUDA": torch.version.cuda},
    )


# JAX


def jax(case: Case, device: str) -> Job:
    """`jax.lax.scan` under jit.

    JAX shows no events: its time is the wall's, of calls that are queued one after the other.
    """
    import jax
    import jax.numpy as jnp

    backend = "gpu" if device.startswith("cuda") else "cpu"
    if jax.default_backend() != backend:
        raise Missing(f"JAX has no {backend} here")
    held = ExitStack()
    if case.precision != "bfloat16":
        held.enter_context(
            jax.default_matmul_precision("tensorfloat32" if case.precision == "tf32" else "highest")
        )
    p, kept = Problem(case), list[Any]()
    made = partial(jnp.asarray, dtype=jnp.bfloat16 if case.precision == "bfloat16" else jnp.float32)
    run = through_time(p.cell, jax_functions(), made(np.zeros((case.B, case.H), "f")))
    gradient = jax.jit(lambda W, x, dy: jax.vjp(run, W, x)[1](dy))
    W, x, dy = {name: made(w) for name, w in p.W.items()}, made(p.x), made(p.dy)

    def step() -> None:
        kept[:] = gradient(W, x, dy)

    def norms() -> list[float]:
        return [
            float(jnp.linalg.norm(a.astype(jnp.float32).ravel()))
            for a in (*(kept[0][name] for name in W), kept[1])
        ]

    return Job(step, Clock(lambda: jax.block_until_ready(kept)), norms, held=held)


#: The first is what the others are compared with.
PEERS: dict[str, Callable[[Case, str], Job]] = {
    "xgrad": xgrad,
    "torch.nn.GRU": torch_gru,
    "torch loop": torch_loop,
    "torch.compile": partial(torch_loop, compiled=True),
    "JAX scan": jax,
}
