"""Calls from native code back to NumPy, for ops without native code."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..dtypes import canonical
from ..schedules import HostCall, Window
from .half import classed
from .marshalling import Pointers

#: Signature of the callback: index of the call, table of buffers, and loop steps.
_SIGNATURE = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)


class Host:
    """The host calls of one plan.

    Several threads may run it at once, each with its own pointers.

    `buffers` are the plan's (kind, size, dtype).
    """

    def __init__(self, buffers: Sequence[Any], calls: Sequence[HostCall]) -> None:
        self._buffers, self._calls = buffers, calls
        windows = (w for call in calls for w in (*call.args, *call.outs) if isinstance(w, Window))
        self._depth = max((d + 1 for w in windows for d in w.moving), default=0)
        self._runs: dict[int, _Run] = {}
        self._function = _SIGNATURE(self._called)
        self._address = ctypes.cast(self._function, ctypes.c_void_p).value

    def serve(self, code: Callable[..., None], pointers: Pointers, numbers: int, functions: int) -> None:
        """Run native code on these pointers, and serve its host calls.

        Re-raises an exception of a call: native code stops at the first that fails.
        """
        run = self._runs[pointers.address] = _Run(self._buffers, self._calls, pointers, self._depth)
        try:
            code(pointers.address, numbers, functions, self._address)
        finally:
            del self._runs[pointers.address]
        if run.error is not None:
            raise run.error

    def _called(self, number: int, buffers: int, steps: int) -> int:
        run = self._runs[buffers]
        try:
            run.call(number, (ctypes.c_int64 * run.depth).from_address(steps))
        except BaseException as error:  # re-raised by the caller of native code
            run.error = error
            return 1
        return 0


class _Views(NamedTuple):
    """A call's arguments and results in one run, and which of them change with the step.

    The latter are given by list, position, the array of all steps, and the loops that they depend on.
    """

    run: Any
    args: list[Any]
    outs: list[Any]
    moving: list[tuple[list[Any], int, Any, tuple[int, ...]]]


class _Run:
    """One run: views of its memory, made lazily."""

    def __init__(
        self, buffers: Sequence[Any], calls: Sequence[HostCall], pointers: Pointers, depth: int
    ) -> None:
        self.error: BaseException | None = None
        self.depth = depth
        self._buffers, self._calls, self._pointers = buffers, calls, pointers
        self._views: list[_Views | None] = [None] * len(calls)

    def call(self, number: int, steps: Any) -> None:
        """Execute one call at these steps of the enclosing loops."""
        views = self._views[number]
        if views is None:
            views = self._views[number] = self._all_views(self._calls[number])
        for found, i, array, moving in views.moving:
            found[i] = array[(*[steps[d] for d in moving], ...)]
        views.run(views.args, views.outs)

    def _all_views(self, call: HostCall) -> _Views:
        views = _Views(call.run, [], [], [])
        for windows, found in ((call.args, views.args), (call.outs, views.outs)):
            for w in windows:
                array, moving = self._view(w)
                if moving:
                    views.moving.append((found, len(found), array, moving))
                found.append(array)
        return views

    def _view(self, window: Any) -> tuple[Any, tuple[int, ...]]:
        """A window as an array of all steps, and the loops that it depends on; a number as it is."""
        if not isinstance(window, Window):
            return window, ()
        buffer = self._buffers[window.buffer]
        dtype = canonical(buffer.dtype)
        if 0 in window.shape:
            return classed(np.empty(window.shape, dtype)), window.moving
        memory = (ctypes.c_char * (buffer.size * dtype.itemsize)).from_address(
            self._pointers.values[window.buffer]
        )
        strides = tuple(s * dtype.itemsize for s in window.strides)
        array = np.ndarray(window.shape, dtype, memory, window.offset * dtype.itemsize, strides)
        return classed(array), window.moving
