"""One cell through time, forward and backward, in xgrad and its peers, on any device.

Gradients are taken for weights and inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np

from ..harness.clock import Clock, torch_clock, xgrad_clock
from ..harness.measure import Job
from ..harness.server import Missing
from .functions import jax_functions, through_time, torch_functions, xgrad_functions
from .problems import EVERY, Case, Problem, norms

# xgrad


def gradient_step(run: Callable[[Any, Any], Any]) -> Any:
    """Make a compiled `step(W, x, dy)`: the gradients of W and x for the cotangent dy of `run(W, x)`."""
    import xgrad as xg

    return xg.compile(lambda W, x, dy: xg.vjp(run, W, x)[1](dy))


def xgrad_precision(precision: str, held: ExitStack) -> Any:
    """Dtype for a precision; also set the precision of products until `held` is closed."""
    import xgrad as xg

    if precision == "bfloat16":
        if not hasattr(xg, "bfloat16"):
            raise Missing("ml_dtypes, which has bfloat16, is not installed")
        return xg.bfloat16
    held.enter_context(xg.matmul_precision("tf32" if precision == "tf32" else "highest"))
    return xg.float32


def xgrad_arrays(p: Problem, dtype: Any) -> tuple[dict[str, Any], Any, Any, Any]:
    """W, x, dy and a zero state on the current device."""
    import xgrad as xg

    W = {name: xg.astype(xg.asarray(w), dtype) for name, w in p.W.items()}
    x, dy, zero = (xg.astype(xg.asarray(a), dtype) for a in (p.x, p.dy, p.zero))
    return W, x, dy, zero


def host(a: Any) -> Any:
    """Convert a Tensor to a float64 array on the host."""
    import xgrad as xg

    return np.asarray((a if a.dtype == xg.float64 else xg.astype(a, xg.float32)).numpy(), "d")


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
        return {
            "executor": f"{ready.kind}: {ready.why}" if ready.why else ready.kind,
            "seconds to make": ready.seconds,
            "loops": [loop._asdict() for loop in ready.loops],
        }

    return Job(
        step,
        lambda: norms(host(a) for a in (*(kept[0][name] for name in W), kept[1])),
        clock=xgrad_clock(device),
        facts=facts,
        held=held,
    )


# torch


def _torch(device: str) -> Any:
    import torch

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise Missing("torch sees no GPU here")
    return torch


def torch_precision(precision: str, device: str) -> tuple[Any, Any]:
    """Set the precision of torch's products; return torch and the dtype of arrays."""
    torch = _torch(device)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    return torch, torch.bfloat16 if precision == "bfloat16" else torch.float32


def torch_loop(case: Case, device: str, compiled: bool = False) -> Job:
    """The equations in a Python loop; with `compiled`, each step uses torch.compile."""
    torch, dtype = torch_precision(case.precision, device)
    p = Problem(case)
    cell = p.cell._replace(step=_compiled_step(torch, case.cell, case.precision)) if compiled else p.cell
    at = {"device": device, "dtype": dtype}
    W = {name: torch.tensor(w, **at).requires_grad_() for name, w in p.W.items()}
    x, dy = torch.tensor(p.x, **at).requires_grad_(), torch.tensor(p.dy, **at)
    # An initial state without a gradient would have another signature, and be compiled separately.
    zero = torch.tensor(p.zero, **at).requires_grad_(compiled)
    run, leaves = through_time(cell, torch_functions(), zero), [*W.values(), x]

    def step() -> None:
        for leaf in (*leaves, zero):
            leaf.grad = None
        run(W, x).backward(dy)

    return Job(
        step,
        lambda: norms(leaf.grad.double().cpu() for leaf in leaves),
        clock=torch_clock(device),
    )


_compiled: dict[tuple[str, str], Callable[..., Any]] = {}


def _compiled_step(torch: Any, name: str, precision: str) -> Callable[..., Any]:
    """A cell's step under torch.compile, compiled once per precision for all T, B and H."""
    if (name, precision) not in _compiled:
        torch._dynamo.reset()  # it caches eight variants of a function, and silently runs others uncompiled
        _compiled.clear()
        F, step = torch_functions(), EVERY[name].step
        _compiled[name, precision] = torch.compile(
            lambda W, x, states: step(F, W, x, *states), dynamic=True, fullgraph=True
        )
    run = _compiled[name, precision]
    return lambda F, W, x, *states: run(W, x, states)


def torch_gru(case: Case, device: str) -> Job:
    """torch.nn.GRU, on CUDA by cuDNN.

    It resets after the product, so only one product per step is sequential.
    """
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
        clock=torch_clock(device),
        facts=lambda: {"cuDNN": torch.backends.cudnn.version(), "CUDA": torch.version.cuda},
    )


# JAX


def jax(case: Case, device: str) -> Job:
    """`jax.lax.scan` under jit.

    JAX does not expose events, so its time is wall-clock time of queued calls.
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
    run = through_time(p.cell, jax_functions(), made(p.zero))
    gradient = jax.jit(lambda W, x, dy: jax.vjp(run, W, x)[1](dy))
    W, x, dy = {name: made(w) for name, w in p.W.items()}, made(p.x), made(p.dy)

    def step() -> None:
        kept[:] = gradient(W, x, dy)

    return Job(
        step,
        lambda: norms(a.astype(jnp.float32) for a in (*(kept[0][name] for name in W), kept[1])),
        clock=Clock(lambda: jax.block_until_ready(kept)),
        held=held,
    )


#: The first is the reference for the others.
PEERS: dict[str, Callable[[Case, str], Job]] = {
    "xgrad": xgrad,
    "torch.nn.GRU": torch_gru,
    "torch loop": torch_loop,
    "torch.compile": partial(torch_loop, compiled=True),
    "JAX scan": jax,
}
