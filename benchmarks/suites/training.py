"""One training step of `examples/train.py` with its defaults.

Embedding, GRU, linear layer, cross-entropy, clipping, Adam.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import ROOT
from ..harness.measure import Job
from ..harness.suite import Suite

RATE, CLIP = 5e-3, 1.0


class Text:
    """Character ids, (length, B): the reference pages that come with Python, as B streams."""

    def __init__(self, B: int) -> None:
        from pydoc_data.topics import topics

        characters = "\n".join(topics[name] for name in sorted(topics))
        self.vocabulary = len(set(characters))
        ids = np.unique(list(characters), return_inverse=True)[1]
        self.streams = ids[: len(ids) // B * B].reshape(B, -1).T.copy()
        self._at = 0

    def place(self, T: int) -> slice:
        """The next window: T characters and the following one."""
        self._at = 0 if self._at + 2 * T >= len(self.streams) else self._at + T
        return slice(self._at, self._at + T + 1)


def xgrad_update(case: str) -> Callable[[], Any]:
    """The training step of the example; it returns the loss without waiting for it."""
    import xgrad as xg

    sys.path.append(str(ROOT / "examples"))
    example = importlib.import_module("train")
    T, B, I, H = (int(n) for n in case.split(","))  # noqa: E741
    text = Text(B)
    model = example.Model(text.vocabulary, I, H, "float32", xg.random.default_rng(0))
    optimizer, data = xg.optim.Adam(model, lr=RATE), xg.asarray(text.streams)
    step, h = example.compiled_step(optimizer, CLIP), example.no_state(B, model)
    state = optimizer.state

    def update() -> Any:
        nonlocal h, state
        nats, h, state = step(model, state, data[text.place(T)], h, RATE)
        return nats

    return update


def torch_update(case: str, device: str) -> Callable[[], Any]:
    """The same layers in torch."""
    import torch
    from torch import nn

    T, B, I, H = (int(n) for n in case.split(","))  # noqa: E741
    text = Text(B)
    embed, gru, read = nn.Embedding(text.vocabulary, I), nn.GRU(I, H), nn.Linear(H, text.vocabulary)
    for layer in (embed, gru, read):
        layer.to(device)
    weights = [*embed.parameters(), *gru.parameters(), *read.parameters()]
    optimizer, data, h = (
        torch.optim.Adam(weights, lr=RATE),
        torch.tensor(text.streams, device=device),
        torch.zeros(1, B, H, device=device),
    )

    def update() -> Any:
        nonlocal h
        window = data[text.place(T)]
        optimizer.zero_grad()
        ys, h = gru(embed(window[:-1]), h.detach())
        nats = nn.functional.cross_entropy(read(ys).flatten(0, 1), window[1:].flatten())
        nats.backward()
        nn.utils.clip_grad_norm_(weights, CLIP)
        optimizer.step()
        return nats.detach()

    return update


def characters(case: str) -> int:
    """Number of characters per step."""
    T, B, *_ = (int(n) for n in case.split(","))
    return T * B


def _job(case: str, update: Callable[[], Any]) -> Job:
    return Job(lambda: float(update()), per=characters(case))  # reads each loss, like the example


SUITE = Suite(
    title="A training step of examples/train.py (torch: its own GRU, reset after the product), float32, "
    "microseconds per character",
    case="T,B,I,H",
    cases=["64,32,64,256"],
    unit=1e6,
    peers={
        "xgrad": lambda case: _job(case, xgrad_update(case)),
        "torch": lambda case: _job(case, torch_update(case, "cpu")),
    },
)
