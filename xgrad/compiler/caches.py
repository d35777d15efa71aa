"""Caches: a least-recently-used dictionary, and a value that is computed on first use."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from itertools import count
from threading import Lock, RLock
from typing import Any

#: The bytes that all code for the shapes of one function or scan may hold together, beyond a few shapes.
ROOM = 2**28
#: Held while a cache changes, never while a value is computed. All caches share it, so that a fork finds it
#: free.
_CHANGING = RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_CHANGING.acquire, after_in_parent=_CHANGING.release, after_in_child=_CHANGING.release
    )


class Cache:
    """A least-recently-used cache of at most `size` values.

    Threads may share it.

    With `weigh`, which returns the bytes that a value holds, the cache may exceed `size` as long as all
    values together hold at most `room` bytes.
    """

    def __init__(self, size: int, *, weigh: Callable[[Any], int] | None = None, room: int = 0) -> None:
        self.size = size
        self._weigh, self._room = weigh, room
        self._values: dict[Hashable, _Kept] = {}
        self._clock = count()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return the value of `key`, computing it if it is missing.

        If several threads compute it, the first result is kept.
        """
        kept = self._values.get(key)  # the one time that the key, which may be large, is hashed
        if kept is None:
            kept = self._keep(key, make())
        kept.used = next(self._clock)
        return kept.value

    def find(self, key: Hashable) -> Any:
        """Return the value of `key`, or None."""
        kept = self._values.get(key)
        if kept is None:
            return None
        kept.used = next(self._clock)
        return kept.value

    def clear(self) -> None:
        """Forget all values."""
        with _CHANGING:
            self._values.clear()

    def _keep(self, key: Hashable, value: Any) -> _Kept:
        with _CHANGING:
            kept = self._values.setdefault(key, _Kept(value, next(self._clock)))
            while len(self._values) > self.size and not self._fits():
                del self._values[min(self._values, key=lambda key: self._values[key].used)]
        return kept

    def _fits(self) -> bool:
        return (
            self._weigh is not None and sum(self._weigh(v.value) for v in self._values.values()) <= self._room
        )

    def __len__(self) -> int:
        return len(self._values)


class _Kept:
    """A value, and the time of its last use."""

    __slots__ = ("used", "value")

    def __init__(self, value: Any, used: int) -> None:
        self.value, self.used = value, used


class Once:
    """A value computed by the first thread that asks for it, while other threads wait.

    If computing it raises, the next thread tries again.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make: Callable[[], Any] | None = make
        self._made: tuple[Any] | None = None
        # one lock per process: a process forked while a parent's thread held the lock does not wait for it
        self._locks: dict[int, Lock] = {}

    def __call__(self) -> Any:
        if self._made is None:
            with self._locks.setdefault(os.getpid(), Lock()):
                if self._made is None:
                    assert self._make is not None
                    self._made = (self._make(),)
                    # it often refers to this object's owner: drop it, to leave no reference cycle
                    self._make = None
        return self._made[0]

    @property
    def done(self) -> bool:
        """Whether the value has been computed."""
        return self._made is not None
