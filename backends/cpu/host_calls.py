"""Calls from native code back to NumPy: of the ops that there is no native code for."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from ..dtypes import canonical
from ..schedules import HostCall, Window
from .half import classed
from .marshalling import Pointers

#: What native code calls: with the number of a call, the table of buffers, and the steps of the loops.
_SIGNATURE = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)


class Host:
    """The calls of one plan. Several threads may run it at once, each with pointers of its own.

    `buffers` are the plan's (kind, size, dtype).
    """

    def __init__(self, buffers: Sequence[Any], calls: Sequence[HostCall]) -> None:
        self._buffers, self._calls = buffers, calls
        self._runs: dict[int, _Run] = {}
        self._function = _SIGNATURE(self._called)
        self._address = ctypes.cast(self._function, ctypes.c_void_p).value

    @contextmanager
    def serving(self, pointers: Pointers) -> Iterator[int | None]:
        """Answer calls of native code that runs on these pointers, at the address that is given.

        Raises what a call raised: native code ends with the first that fails.
        """
        run = self._runs[pointers.address] = _Run(self._buffers, self._calls, pointers)
        try:
            yield self._address
        finally:
            del self._runs[pointers.address]
        if run.error is not None:
            raise run.error

    def _called(self, number: int, buffers: int, steps: int) -> int:
        run = self._runs[buffers]
        try:
            run.call(number, (ctypes.c_int64 * run.depth).from_address(steps))
        except BaseException as error:  # it goes on where native code was called from
            run.error = error
            return 1
        return 0


class _Views(NamedTuple):
    """A call's arguments and results in one run, and those of them that are another view at each step: in
    which list, where in it, the array of all steps, and the loops that it moves with."""

    run: Any
    args: list[Any]
    outs: list[Any]
    moving: list[tuple[list[Any], int, Any, tuple[int, ...]]]


class _Run:
    """One run: views of its memory, made when they are first asked for."""

    def __init__(self, buffers: Sequence[Any], calls: Sequence[HostCall], pointers: Pointers) -> None:
        self.error: BaseException | None = None
        windows = (w for call in calls for w in (*call.args, *call.outs) if isinstance(w, Window))
        self.depth = max((d + 1 for w in windows for d in w.moving), default=0)
        self._buffers, self._calls, self._pointers = buffers, calls, pointers
        self._views: list[_Views | None] = [None] * len(calls)

    def call(self, number: int, steps: Any) -> None:
        """Do one call at these steps of the loops around it."""
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
        """A window as an array of all steps, and which of them it moves with; a number as it is."""
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
