"""Requests answered by a peer's process in the parts of `make gpu`."""

from __future__ import annotations

from ..harness.clock import torch_clock, xgrad_clock
from ..harness.measure import Job
from ..harness.server import Server
from ..suites import training
from ..suites.peers import PEERS, torch_precision
from ..suites.problems import Case
from .agreement import errors
from .floor import ceilings
from .probe_worker import probe, toolchain


def server(peer: str, device: str) -> Server:
    """Make the server of a peer on a device."""
    return Server(
        lambda case: job(peer, case, device),
        agree=lambda case: {"errors": errors(Case.parse(case), device)},
        toolchain=lambda: toolchain(device),
        probe=lambda case: probe(Case.parse(case), device),
        ceilings=lambda quick: ceilings(device, quick),
    )


def job(peer: str, case: str, device: str) -> Job:
    """A peer's job: a cell through time, or for "train T,B,I,H" the training step."""
    if case.startswith("train "):
        return train(peer, case.removeprefix("train "), device)
    return PEERS[peer](Case.parse(case), device)


def train(peer: str, sizes: str, device: str) -> Job:
    """A training step, in float32."""
    if peer == "xgrad":
        return Job(training.xgrad_update(sizes), clock=xgrad_clock(device))
    torch_precision("float32", device)
    return Job(training.torch_update(sizes, device), clock=torch_clock(device))
