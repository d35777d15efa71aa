"""A GRU over batches of unequal lengths: the first epoch of a new process, which compiles, and the second.

Gradients are taken for weights and inputs. Importing the libraries is not counted.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ..harness.measure import Job
from ..harness.tables import line, rule
from ..harness.turns import Found, difference
from ..harness.worker import Failed, Worker
from . import peers
from .functions import jax_functions, through_time, torch_functions, xgrad_functions
from .gru import gru
from .problems import Problem, norms

#: The length of each batch, in the order of an epoch; all are different.
LENGTHS = [int(n) for n in np.random.default_rng(0).permutation(np.arange(20, 161))[:50]]
LONGEST = 160
SIZES = "16,64,64"  # B, I, H
PATIENCE = 3600.0  # seconds to wait for two epochs

#: Runs a batch of some length, and gives the gradients of its last run.
Batch = tuple[Callable[[int], Any], Callable[[], list[Any]]]


def compiled(p: Problem) -> Batch:
    """`xg.scan` in `xg.vjp` in `xg.compile`, which traces each length and shares its code."""
    import xgrad as xg

    W, x, dy, zero = peers.xgrad_arrays(p, xg.float32)
    gradient, kept = peers.gradient_step(through_time(p.cell, xgrad_functions(), zero)), list[Any]()

    def batch(T: int) -> None:
        kept[:] = gradient(W, x[:T], dy[:T])

    return batch, lambda: [peers.host(a) for a in (*(kept[0][name] for name in W), kept[1])]


def scan(p: Problem) -> Batch:
    """`xg.scan` and `backward`."""
    import xgrad as xg

    run = through_time(p.cell, xgrad_functions(), xg.asarray(p.zero))
    W = {name: xg.tensor(w, requires_grad=True) for name, w in p.W.items()}
    leaves: list[Any] = list(W.values())

    def batch(T: int) -> None:
        x = xg.tensor(p.x[:T], requires_grad=True)
        leaves[len(W) :] = [x]
        for leaf in leaves:
            leaf.grad = None
        run(W, x).backward(xg.asarray(p.dy[:T]))

    return batch, lambda: [leaf.grad.numpy() for leaf in leaves]


def torch_gru(p: Problem) -> Batch:
    """torch.nn.GRU, which resets after the product, so its gradients are others."""
    import torch

    layer = torch.nn.GRU(p.case.I, p.case.H, bias=False)
    x, dy = torch.tensor(p.x), torch.tensor(p.dy)

    def batch(T: int) -> None:
        layer.zero_grad()
        layer(x[:T].clone().requires_grad_())[0].backward(dy[:T])

    return batch, list


def torch_loop(p: Problem) -> Batch:
    """The equations in a Python loop in torch."""
    import torch

    run = through_time(p.cell, torch_functions(), torch.tensor(p.zero))
    W = {name: torch.tensor(w).requires_grad_() for name, w in p.W.items()}
    x, dy, leaves = torch.tensor(p.x), torch.tensor(p.dy), list(W.values())

    def batch(T: int) -> None:
        leaves[len(W) :] = [x[:T].clone().requires_grad_()]
        for leaf in leaves:
            leaf.grad = None
        run(W, leaves[-1]).backward(dy[:T])

    return batch, lambda: [leaf.grad.numpy() for leaf in leaves]


def jax(p: Problem, padded: bool = False) -> Batch:
    """`jax.lax.scan` under jit, compiled for each length; or for the longest, to which batches are padded.

    A padded batch has no cotangents for the steps after its end, so its gradients are the same.
    """
    import jax
    import jax.numpy as jnp

    run = through_time(p.cell, jax_functions(), jnp.asarray(p.zero))
    gradient, kept = jax.jit(lambda W, x, dy: jax.vjp(run, W, x)[1](dy)), list[Any]()
    W = {name: jnp.asarray(w) for name, w in p.W.items()}

    def batch(T: int) -> None:
        x, dy = p.x[:T], p.dy[:T]
        if padded:
            x, dy = (np.pad(a, ((0, LONGEST - T), (0, 0), (0, 0))) for a in (x, dy))
        kept[:] = jax.block_until_ready(gradient(W, x, dy))

    return batch, lambda: [np.asarray(a) for a in (*(kept[0][name] for name in W), kept[1])]


def epochs(make: Callable[[Problem], Batch]) -> Callable[[str], Job]:
    """Make a peer whose steps are epochs; its facts are the seconds of each."""

    def peer(sizes: str) -> Job:
        batch, gradients = make(Problem(gru(f"{LONGEST},{sizes}")))
        seconds: list[float] = []

        def step() -> None:
            start = time.perf_counter()
            for T in LENGTHS:
                batch(T)
            seconds.append(time.perf_counter() - start)

        return Job(step, lambda: norms(gradients()), facts=lambda: {"seconds": seconds})

    return peer


PEERS: dict[str, Callable[[str], Job]] = {
    "xg.compile": epochs(compiled),
    "xg.scan": epochs(scan),
    "torch.nn.GRU": epochs(torch_gru),
    "torch loop": epochs(torch_loop),
    "JAX scan": epochs(jax),
    "JAX scan, padded": epochs(lambda p: jax(p, padded=True)),
}


def lengths_cost(turns: int, parts: list[str] | None = None) -> None:
    """Seconds of the first and the second epoch of each peer, or of those whose names contain a part.

    Each turn of a peer is a new process. xgrad's have an empty cache on disk, and are run again with the
    cache as the first run left it.
    """
    print(
        f"\nA GRU over {len(LENGTHS)} batches of {min(LENGTHS)} to {max(LENGTHS)} steps, each of another "
        f"length, B,I,H = {SIZES}, forward + backward, float32, seconds"
    )
    print(line(["", "first epoch", "second epoch", "differs by"]), rule(4), sep="\n", flush=True)
    chosen = [p for p in PEERS if not parts or any(part.lower() in p.lower() for part in parts)]
    found: dict[str, list[dict[str, Any]]] = {}
    for _ in range(turns):
        for peer in chosen:
            with tempfile.TemporaryDirectory() as cache:
                again = [f"{peer}, code on disk"] * peer.startswith("xg.")
                for name in [peer, *again]:
                    found.setdefault(name, []).append(_answer(peer, cache))
    first = next((answers[0] for answers in found.values() if answers[0].get("check")), None)
    for name, answers in found.items():
        timed = [a["facts"]["seconds"] for a in answers if "facts" in a]
        if len(timed) < len(answers):
            print(f"  {name}: {answers[0].get('error') or answers[0].get('missing')}", file=sys.stderr)
        shown = [f"{statistics.median(s):.3g}" for s in zip(*timed)] or ["-", "-"]
        both: Found = {"first": first or {}, name: answers[0]}
        print(line([name, *shown, difference(both)]), flush=True)


def _answer(peer: str, cache: str) -> dict[str, Any]:
    """The answer of a new process that runs two epochs."""
    worker = Worker("lengths", peer, "cpu", XGRAD_CACHE_DIR=cache)
    try:
        found: dict[str, Any] = worker.ask(PATIENCE, "prepare", case=SIZES)
    except Failed as error:
        found = {"error": str(error)}
    finally:
        worker.close()
    return found
