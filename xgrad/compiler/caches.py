"""Caches: a dictionary that forgets what was not used for longest, and a value that is made when it is asked
for."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock, RLock
from typing import Any

#: Held while a cache is looked into, never while a value is made. It is one for all caches, so that a fork
#: finds it free.
_LOOKING = RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_LOOKING.acquire, after_in_parent=_LOOKING.release, after_in_child=_LOOKING.release
    )


class Cache:
    """At most `size` values by key; the one that was not used for longest is forgotten first.

    Threads may share it.

    With `weigh`, which says how many bytes a value holds, there may be more than `size` of them as long as
    all together hold no more than `room` bytes.
    """

    def __init__(self, size: int, *, weigh: Callable[[Any], int] | None = None, room: int = 0) -> None:
        self.size = size
        self._weigh, self._room = weigh, room
        self._values: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """The value of `key`, made where there is none yet.

        Where several threads make it, the first one's is kept.
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
        """The value of `key`, or None."""
        with _LOOKING:
            return self._values.get(key)

    def _fits(self) -> bool:
        return self._weigh is not None and sum(map(self._weigh, self._values.values())) <= self._room

    def __len__(self) -> int:
        return len(self._values)


class Once:
    """A value that the first thread to ask for it makes, while others that ask wait.

    Where making it raises, the next one tries again.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make: Callable[[], Any] | None = make
        self._made: tuple[Any] | None = None
        # by process: one that was forked while a thread of its parent was at it does not wait for that
        self._locks: dict[int, Lock] = {}

    def __call__(self) -> Any:
        if self._made is None:
            with self._locks.setdefault(os.getpid(), Lock()):
                if self._made is None:
                    assert self._make is not None
                    self._made = (self._make(),)
                    # which often holds the owner of this: a cycle, that would be left to the collector
                    self._make = None
        return self._made[0]

    @property
    def done(self) -> bool:
        """Whether it was made."""
        return self._made is not None
