"""Settings for running programs, caches between runs, and results as arrays."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import xgrad as xg
from xgrad.compiler import bodies, executors
from xgrad.transforms import checkpointing


@contextmanager
def native(value: str | None) -> Iterator[None]:
    """Set XGRAD_NATIVE, with all caches of compiled programs empty."""
    forget()
    # wrong values must show, so plans are not verified
    with environment("XGRAD_NATIVE", value), environment("XGRAD_VERIFY", "passes"):
        try:
            yield
        finally:
            forget()


@contextmanager
def environment(name: str, value: str | None) -> Iterator[None]:
    """Set an environment variable."""
    before = os.environ.pop(name, None)
    if value is not None:
        os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name, None)
        if before is not None:
            os.environ[name] = before


def forget() -> None:
    """Forget every compiled program."""
    for kept in (bodies.BODIES, checkpointing.PROGRAMS):
        kept.clear()


@contextmanager
def repeats(count: int) -> Iterator[None]:
    """Set how often stages must repeat for a scan to be compiled."""
    before, executors.REPEATS = executors.REPEATS, count
    try:
        yield
    finally:
        executors.REPEATS = before


def numbers(outputs: Any) -> list[np.ndarray]:
    """Return results as new arrays, whether or not they have a gradient."""
    return [np.array(z.detach().numpy()) if isinstance(z, xg.Tensor) else np.asarray(z) for z in outputs]
