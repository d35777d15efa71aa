"""Calls from native code back to NumPy: of the ops that there is no native code for."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..schedules import HostCall, Window
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


class _Run:
    """One run: views of its memory, made when they are first asked for."""

    def __init__(self, buffers: Sequence[Any], calls: Sequence[HostCall], pointers: Pointers) -> None:
        self.error: BaseException | None = None
        windows = (w for call in calls for w in (*call.args, *call.outs) if isinstance(w, Window))
        self.depth = max((d + 1 for w in windows for d in w.moving), default=0)
        self._buffers, self._calls, self._pointers = buffers, calls, pointers
        self._views: list[tuple[list[Any], list[Any]] | None] = [None] * len(calls)

    def call(self, number: int, steps: Any) -> None:
        """Do one call at these steps of the loops around it."""
        call = self._calls[number]
        views = self._views[number]
        if views is None:
            views = self._views[number] = (
                [self._view(w) for w in call.args],
                [self._view(w) for w in call.outs],
            )
        args, outs = (
            [x if moving is None else x[(*[steps[d] for d in moving], ...)] for x, moving in found]
            for found in views
        )
        call.run(args, outs)

    def _view(self, window: Any) -> tuple[Any, tuple[int, ...] | None]:
        """A window as an array of all steps, and which of them it moves with; a number as it is."""
        if not isinstance(window, Window):
            return window, None
        buffer = self._buffers[window.buffer]
        dtype = np.dtype(buffer.dtype)
        if 0 in window.shape:
            return np.empty(window.shape, dtype), window.moving or None
        memory = (ctypes.c_char * (buffer.size * dtype.itemsize)).from_address(
            self._pointers.values[window.buffer]
        )
        strides = tuple(s * dtype.itemsize for s in window.strides)
        array = np.ndarray(window.shape, dtype, memory, window.offset * dtype.itemsize, strides)
        return array, window.moving or None
