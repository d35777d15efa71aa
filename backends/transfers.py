"""Counting copies between host and device memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from typing import Any


@dataclass
class Copies:
    """Number of copied arrays, and their total bytes."""

    count: int = 0
    bytes: int = 0


@dataclass
class Transfers:
    """Result of `count_transfers`: copies from a device to the host, and from the host to a device."""

    to_host: Copies = field(default_factory=Copies)
    from_host: Copies = field(default_factory=Copies)


_COUNTERS: ContextVar[tuple[Transfers, ...]] = ContextVar("xgrad_transfers", default=())


@contextmanager
def count_transfers() -> Iterator[Transfers]:
    """Context manager that counts copies between host and device memory, to find hidden ones.

    Reading values copies them: `t.numpy()`, `t.item()`, `float(t)`, `bool(t)`, printing, `np.asarray(t)`. So
    does passing values from the host: `xg.asarray`, `xg.tensor`, and plain arrays as arguments. Ops,
    gradients, scans, compiled functions and optimisers copy nothing unless their documentation says so. On
    the CPU nothing is copied. A nested block counts for the outer one too. Each thread and asynchronous task
    counts separately.

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
    """Wrap a backend's method `copy`, whose first argument is the array, to count its calls."""

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
