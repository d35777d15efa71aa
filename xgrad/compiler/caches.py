"""Caches: a least-recently-used dictionary, and a value that is computed on first use."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock, RLock
from typing import Any

#: Held during a lookup, never while a value is computed. All caches share it, so that a fork finds it free.
_LOOKING = RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_LOOKING.acquire, after_in_parent=_LOOKING.release, after_in_child=_LOOKING.release
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
        self._values: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return the value of `key`, computing it if it is missing.

        If several threads compute it, the first result is kept.
        """
        with _LOOKING:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = make()
        with _LOOKING:
            value = self._values.setdefault(key, value)
            while len(self._values) > self.size and not self._fits():
                self._values.popitem(last=False)
        return value

    def find(self, key: Hashable) -> Any:
        """Return the value of `key`, or None."""
        with _LOOKING:
            return self._values.get(key)

    def _fits(self) -> bool:
        return self._weigh is not None and sum(map(self._weigh, self._values.values())) <= self._room

    def __len__(self) -> int:
        return len(self._values)


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
