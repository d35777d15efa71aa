"""Counting the copies between the host's memory and a device's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from typing import Any


@dataclass
class Copies:
    """How many arrays were copied, and their bytes together."""

    count: int = 0
    bytes: int = 0


@dataclass
class Transfers:
    """What `count_transfers` counts: copies from a device to the host, and from the host to a device."""

    to_host: Copies = field(default_factory=Copies)
    from_host: Copies = field(default_factory=Copies)


_COUNTERS: ContextVar[tuple[Transfers, ...]] = ContextVar("xgrad_transfers", default=())


@contextmanager
def count_transfers() -> Iterator[Transfers]:
    """Count the copies between the host and devices with a memory of their own inside a `with` block, to find
    hidden ones.

    What asks for values copies them: `t.numpy()`, `t.item()`, `float(t)`, `bool(t)`, printing,
    `np.asarray(t)`; and what hands in values from the host: `xg.asarray`, `xg.tensor`, and a plain array
    among arguments. Ops, gradients, scans, compiled functions and optimisers copy nothing, but for those
    whose documentation says so. On the CPU there is nothing to copy. A block inside another counts for both.
    Each thread, and asynchronous task, counts its own.

    >>> import xgrad as xg
    >>> with xg.backends.count_transfers() as copies:
    ...     float(xg.ones(3).sum())
    3.0
    >>> copies.to_host.count, copies.to_host.bytes  # of a Tensor on the CPU
    (0, 0)
    """
    counter = Transfers()
    token = _COUNTERS.set((*_COUNTERS.get(), counter))
    try:
        yield counter
    finally:
        _COUNTERS.reset(token)


def counted(direction: str, copy: Callable[..., Any]) -> Callable[..., Any]:
    """A backend's method `copy`, whose first argument is the array to be copied, counted by those who
    count."""

    @wraps(copy)
    def counting(backend: Any, array: Any, *index: int) -> Any:
        copied = copy(backend, array, *index)
        counters = _COUNTERS.get()
        if counters:
            host = array if index else copied
            for counter in counters:
                copies: Copies = getattr(counter, direction)
                copies.count += 1
                copies.bytes += host.nbytes
        return copied

    counting.counted = True  # type: ignore[attr-defined]
    return counting
