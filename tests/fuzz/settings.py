"""How programs are run: settings, and what is remembered between runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from xgrad.program import running, tracing
from xgrad.transforms import checkpointing


@contextmanager
def native(value: str | None) -> Iterator[None]:
    """XGRAD_NATIVE as it is asked for, and nothing that was compiled otherwise."""
    forget()
    with environment("XGRAD_NATIVE", value), environment("XGRAD_VERIFY", "0"):  # wrong values are to show, not wrong plans alone
        try:
            yield
        finally:
            forget()


@contextmanager
def environment(name: str, value: str | None) -> Iterator[None]:
    """An environment variable as it is asked for."""
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
    """Forget every program that was made."""
    for kept in (tracing.BODIES, checkpointing.PROGRAMS):
        kept._values.clear()


@contextmanager
def repeats(count: int) -> Iterator[None]:
    """How often stages are repeated in a scan that is worth compiling."""
    before, running.REPEATS = running.REPEATS, count
    try:
        yield
    finally:
        running.REPEATS = before
