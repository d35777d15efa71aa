"""Settings for running programs, caches between runs, and results as arrays."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np

import xgrad as xg
from xgrad.backends.cpu import native as cpu
from xgrad.compiler import bodies, executors
from xgrad.compiler.lowering import rows
from xgrad.transforms import checkpointing


@contextmanager
def native(value: str | None) -> Iterator[None]:
    """Set XGRAD_NATIVE, with all caches of compiled programs empty."""
    forget()
    # wrong values must show, so plans are not verified
    sharing = shared() if value == "1" else nullcontext()
    with environment("XGRAD_NATIVE", value), environment("XGRAD_VERIFY", "passes"), sharing:
        try:
            yield
        finally:
            forget()


@contextmanager
def shared() -> Iterator[None]:
    """Share among threads, row by row, whatever can be, and pack the weights of all products in loops."""
    pool = cpu.pool()
    if pool is None:
        yield
        return
    pool.start()
    names = ("least", "tile", "threads", "used", "follows")
    before, limits = [pool[name] for name in names], (rows.PACKED, rows.PRODUCT, rows.MAP)
    for name, value in zip(names, (1, 1, 2, 2, 0)):
        pool[name] = value
    rows.PACKED, rows.PRODUCT, rows.MAP = 0, 0, 0
    try:
        yield
    finally:
        rows.PACKED, rows.PRODUCT, rows.MAP = limits
        for name, value in zip(names, before):
            pool[name] = value


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
