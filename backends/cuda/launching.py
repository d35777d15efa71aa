"""Execution of schedules on a device: kernels, products and loops, recorded once and then replayed.

A schedule is plain data, see `schedules.py`.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import disk
from ..dtypes import canonical
from ..schedules import Host, HostCall, Launch, Repeat, Schedule, Window
from .protocol import Launcher, make_room

if TYPE_CHECKING:
    from cupy import ndarray as Array

_ALIGN = 256

#: The ways to run a loop, by their names in XGRAD_LOOPS.
ONCE, STEPWISE = "one launch", "step by step"
FORCED = {"persistent": ONCE, "steps": STEPWISE}


class LoopRun(NamedTuple):
    """How a loop is run.

    Its length, the chosen way, the seconds of each way if both were measured, why there is no other way, and
    for a single launch how its blocks synchronise.
    """

    length: int
    way: str
    seconds: dict[str, float]
    why: str
    barrier: str = ""


class Scheduled:
    """A schedule loaded on a device.

    Several threads may call `run` at once, each on its own stream.

    The first run executes item by item, and measures which way of running each loop is faster, unless
    XGRAD_LOOPS sets it. The second run is recorded; later runs replay the recording. A recording reads inputs
    at fixed addresses; an input that moves is copied to a buffer from then on. If the array library computes
    some ops, by `calls`, every run executes item by item.

    Attributes:
        loops: how each loop is run.
    """

    def __init__(self, schedule: Schedule, launcher: Launcher, calls: Sequence[HostCall] = ()) -> None:
        self.schedule, self.launcher, self._calls = schedule, launcher, calls
        with launcher.entered():
            names = _names(schedule.body)
            find = launcher.load(schedule.source) if names else None  # a program may consist of products only
            self._kernels = {name: find(name) for name in names if find}
        self._inputs = [(i, b) for i, b in enumerate(schedule.buffers) if b.kind == "input"]
        self._outputs = [(i, b) for i, b in enumerate(schedule.buffers) if b.kind == "output"]
        self._spaces: dict[Hashable, list[_Space]] = {}
        found = _loops(schedule.body)
        self.loops = [
            LoopRun(repeat.length, ONCE if repeat.once else STEPWISE, {}, repeat.why, _barrier(repeat))
            for repeat, _ in found
        ]
        self._forced = _forced()
        self._number = {id(repeat): i for i, (repeat, _) in enumerate(found)}
        self._host = _has_host(schedule.body)
        self._chosen = False

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """Run; return the outputs, flat, in new memory.

        Raises ValueError for inputs of other sizes.
        """
        with self.launcher.entered():
            return self._run(inputs)

    def _run(self, inputs: Sequence[Array]) -> list[Array]:
        if len(inputs) != len(self._inputs):
            raise ValueError(f"expected {len(self._inputs)} inputs, got {len(inputs)}")
        given = [self.launcher.ready(x, b.dtype) for x, (_, b) in zip(inputs, self._inputs)]
        for n, (x, (_, b)) in enumerate(zip(given, self._inputs)):
            if x.size != b.size:
                raise ValueError(f"input {n} must have size {b.size}, but has {x.size}")
        stream = self.launcher.stream()
        free = self._spaces.get(stream)
        if free is None:
            make_room(self._spaces)
            free = self._spaces.setdefault(stream, [])
        try:
            space = free.pop()
        except IndexError:  # not checked first: another thread may take the last one
            space = _Space(self.schedule, self.launcher)
        for x, (i, _) in zip(given, self._inputs):
            space.take(i, x)
        if not space.warm:
            if not self._chosen:
                self._choose(space)
            self._do(space)
            space.warm = not self._host  # host calls cannot be recorded
        else:
            if space.replay is None:
                space.replay = self._recorded(lambda: self._do(space))
                space.recorded = True
            space.replay()
        outputs = [space.output(i, b) for i, b in self._outputs]
        free.append(space)  # later work on this stream waits for this
        return outputs

    def _recorded(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record `work` as one launch; return `work` itself if the device cannot record it."""
        try:
            return self.launcher.recorded(work)
        except self.launcher.errors as error:
            warnings.warn(
                f"a program could not be recorded as a CUDA graph, so its kernels are launched one by one, "
                f"which is slower: {error}",
                RuntimeWarning,
                stacklevel=2,
            )
            return work

    def _do(self, space: _Space) -> None:
        """Execute all items in order."""
        self._items(self.schedule.body, space.addresses, ())

    def _items(self, items: Sequence[Any], addresses: Sequence[int], turns: tuple[int, ...]) -> None:
        for item in items:
            if isinstance(item, Repeat):
                if self.loops[self._number[id(item)]].way == ONCE:
                    self._items(item.once, addresses, turns)
                else:
                    for t in range(item.length - 1, -1, -1) if item.reverse else range(item.length):
                        self._items(item.body, addresses, (*turns, t))
                continue
            if isinstance(item, Host):
                self._call(self._calls[item.number], addresses, turns)
                continue
            places = [
                addresses[p.buffer] + p.offset + sum(t * s for t, s in zip(turns, p.steps))
                for p in item.places
            ]
            if isinstance(item, Launch):
                self.launcher.launch(self._kernels[item.name], item, [*places, *item.numbers])
            else:
                self.launcher.product(item, places, self.schedule.precision)

    def _call(self, call: HostCall, addresses: Sequence[int], turns: tuple[int, ...]) -> None:
        """Let the array library compute an op on the buffers."""

        def array(window: Any) -> Any:
            if not isinstance(window, Window):
                return window
            dtype = self.schedule.buffers[window.buffer].dtype
            size, moves = canonical(dtype).itemsize, len(window.moving)
            at = window.offset + sum(turns[d] * s for d, s in zip(window.moving, window.strides))
            strides = tuple(s * size for s in window.strides[moves:])
            return self.launcher.array(
                addresses[window.buffer] + at * size, window.shape[moves:], strides, dtype
            )

        call.run([array(a) for a in call.args], [array(w) for w in call.outs])

    def _choose(self, space: _Space) -> None:
        """Choose the way to run each loop by measurement, or from the cache.

        The contents of memory are still arbitrary at this point.
        """
        for i, (repeat, depth) in enumerate(_loops(self.schedule.body)):
            if repeat.once and self._forced is not None:
                self.loops[i] = self.loops[i]._replace(way=self._forced)
            elif repeat.once:
                what = hashlib.sha256(
                    repr((self.schedule.source, self.schedule.precision, repeat)).encode()
                ).hexdigest()
                key = f"loop {self.launcher.chip()} {what}"
                kept = disk.read("json", key)
                ways = (ONCE, STEPWISE)
                try:
                    seconds = (
                        json.loads(kept)
                        if kept is not None
                        else {way: self._measured(i, way, repeat, depth, space) for way in ways}
                    )
                except self.launcher.errors as error:
                    warnings.warn(
                        f"a loop could not run as a single launch, so it runs step by step, which is slower: "
                        f"{error}",
                        RuntimeWarning,
                        stacklevel=2,
                    )
                    self.loops[i] = self.loops[i]._replace(way=STEPWISE, why=str(error))
                    continue
                if kept is None:
                    disk.write("json", key, json.dumps(seconds).encode())
                self.loops[i] = self.loops[i]._replace(
                    way=min(seconds, key=seconds.__getitem__), seconds=seconds
                )
        self._chosen = True

    def _measured(self, i: int, way: str, repeat: Any, depth: int, space: _Space) -> float:
        """Seconds of one loop, recorded."""
        self.loops[i] = self.loops[i]._replace(way=way)

        def work() -> None:
            self._items([repeat], space.addresses, (0,) * depth)

        work()  # warm-up
        return self.launcher.seconds(self._recorded(work))


class _Space:
    """Memory for one run at a time, and its recording."""

    def __init__(self, schedule: Any, launcher: Launcher) -> None:
        self.launcher = launcher
        self.warm = False
        self.replay: Callable[[], None] | None = None
        self.recorded = False  # at least once: inputs that move later get a buffer at once
        self.addresses = [0] * len(schedule.buffers)
        self._bytes = [b.size * canonical(b.dtype).itemsize for b in schedule.buffers]
        starts: dict[int, int] = {}
        end = 0
        for i, (b, size) in enumerate(zip(schedule.buffers, self._bytes)):
            if b.kind != "input":
                starts[i] = end
                end += -(-size // _ALIGN) * _ALIGN
        self._memory = launcher.memory(max(end, 1))
        base = launcher.address(self._memory)
        for i, start in starts.items():
            self.addresses[i] = base + start
        self._own: dict[int, Array] = {}  # buffers of inputs whose address changes

    def take(self, i: int, x: Array) -> None:
        """Read input `i` in place, or copy it to the buffer that the recording reads."""
        address = self.launcher.address(x)
        if i not in self._own:
            if address == self.addresses[i] or not self.recorded:
                self.addresses[i] = address
                return
            self._own[i] = self.launcher.memory(max(self._bytes[i], 1))
            self.addresses[i] = self.launcher.address(self._own[i])
            self.replay = None
        self.launcher.copy(self.addresses[i], address, self._bytes[i])

    def output(self, i: int, b: Any) -> Array:
        """Copy output `i`, as the next run overwrites it."""
        found = self.launcher.view(self.launcher.memory(max(self._bytes[i], 1)), b.size, b.dtype)
        self.launcher.copy(self.launcher.address(found), self.addresses[i], self._bytes[i])
        return found


def _forced() -> str | None:
    """The way to run loops set by XGRAD_LOOPS, if any.

    Raises ValueError for an unknown name.
    """
    said = os.environ.get("XGRAD_LOOPS")
    if said and said not in FORCED:
        raise ValueError(f"XGRAD_LOOPS={said} is not valid; set it to {' or '.join(FORCED)}, or unset it")
    return FORCED[said] if said else None


def _barrier(repeat: Repeat) -> str:
    """How blocks synchronise in a single launch of a whole loop."""
    size = max((launch.cluster for launch in repeat.once), default=1)
    return (
        f"clusters of {size}"
        if size > 1
        else "counted"
        if any(launch.cooperative for launch in repeat.once)
        else ""
    )


def _has_host(items: Sequence[Any]) -> bool:
    """Whether any item is computed by the host."""
    return any(isinstance(i, Host) or (isinstance(i, Repeat) and _has_host(i.body)) for i in items)


def _names(items: Sequence[Any]) -> set[str]:
    """Names of the launched kernels."""
    found: set[str] = set()
    for item in items:
        if isinstance(item, Repeat):
            found |= _names(item.body) | _names(item.once)
        elif isinstance(item, Launch):
            found.add(item.name)
    return found


def _loops(items: Sequence[Any], depth: int = 0) -> list[tuple[Repeat, int]]:
    """All loops, including nested ones, with their nesting depth."""
    return [
        loop
        for item in items
        if isinstance(item, Repeat)
        for loop in ((item, depth), *_loops(item.body, depth + 1))
    ]
