"""Calls: ops of a plan without a kernel, as calls of the array library on views of the plan's buffers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from time import perf_counter
from typing import Any

from ..backends import Array, Device
from ..backends.schedules import HostCall, Window
from ..core.context import mode
from ..core.recording import warn
from .interpreter import evaluate
from .lowering.plan import Call, Loop, Number, Ref

#: Computes a call: fills its results from its arguments.
Compute = Callable[[Sequence[Array | Number], Sequence[Array]], None]


#: Runs shorter than this, in seconds, are not worth a warning.
_SHORT = 1e-3


class Watch:
    """Measures how much of a program's first run is spent in the array library."""

    def __init__(self) -> None:
        self.watching = True
        self.seconds: dict[str, float] = {}

    def timed(self, name: str, function: Compute) -> Compute:
        """Wrap the function so that its time is counted while the watch is on."""

        def run(args: Sequence[Array | Number], outs: Sequence[Array]) -> None:
            if not self.watching:
                return function(args, outs)
            start = perf_counter()
            function(args, outs)
            self.seconds[name] = self.seconds.get(name, 0.0) + perf_counter() - start
            return None

        return run

    def first(self, run: Callable[[Any], Any], inputs: Any) -> Any:
        """Run for the first time, and warn if calls take more than half of a loop's time.

        The warning names the op that takes most of it.
        """
        start = perf_counter()
        found = run(inputs)
        self.watching, total = False, perf_counter() - start
        if total > _SHORT and sum(self.seconds.values()) > total / 2:
            name = max(self.seconds, key=self.seconds.__getitem__)
            share = sum(self.seconds.values()) / total
            warn(
                f"a compiled loop spends {share:.0%} of its time in calls of the array library, most of it "
                f"for {name}, which has no native kernel. Compute it outside of the loop, for all steps at "
                f"once, or write it with ops that have a kernel: 'What runs where' in the documentation "
                f"lists them"
            )
        return found


def host_calls(
    called: Iterable[tuple[Call, tuple[int, ...]]], device: Device, watch: Watch | None = None
) -> list[HostCall]:
    """Return calls of a plan, with the lengths of the loops around each, as calls of the array library."""
    found = []
    for call, lengths in called:
        run = _function(call, device)
        if call.kernel:
            run = partial(_instead_of_kernel, run, device)
        elif watch is not None and lengths:
            run = watch.timed(described(call), run)
        args = tuple(_window(r, lengths) if isinstance(r, Ref) else r for r in call.args)
        found.append(HostCall(run, args, tuple(_window(r, lengths) for r in call.outs)))
    return found


def described(call: Call) -> str:
    """Describe a call: its op, the shapes of its operands, and the user's line."""
    name = "copy" if call.op == "none" else call.op
    shapes = ", ".join(str(a.shape) for a in call.args if isinstance(a, Ref))
    return f"{name!r} of {shapes}{f', {call.source}' if call.source else ''}"


def calls(items: Sequence[Any], lengths: tuple[int, ...] = ()) -> Iterator[tuple[Call, tuple[int, ...]]]:
    """Yield each call with the lengths of the enclosing loops, outermost first."""
    for item in items:
        if isinstance(item, Loop):
            yield from calls(item.body, (*lengths, item.length))
        elif isinstance(item, Call):
            yield item, lengths


def _window(ref: Ref, lengths: tuple[int, ...]) -> Window:
    moving = tuple(d for d, step in enumerate(ref.steps) if step)
    return Window(
        ref.buffer,
        ref.offset,
        (*(lengths[d] for d in moving), *ref.shape),
        (*(ref.steps[d] for d in moving), *ref.strides),
        moving,
    )


def _function(call: Call, device: Device) -> Compute:
    """Return the function that computes a call's results and writes them into its outputs."""
    if call.op == "none":
        return _copied
    return partial(_computed, call.op, call.params, device)


@contextmanager
def outside_graph(device: Device) -> Iterator[None]:
    """The mode in which the array library computes calls: on this device, and recording nothing."""
    with device.guard or nullcontext(), mode(grad=False, record=False, trace=None):
        yield


def _instead_of_kernel(
    run: Compute, device: Device, args: Sequence[Array | Number], outs: Sequence[Array]
) -> None:
    """Compute a call that its kernel cannot, which is rare: others pay nothing for the mode."""
    with outside_graph(device):
        run(args, outs)


def _copied(args: Sequence[Array | Number], outs: Sequence[Array]) -> None:
    outs[0][...] = args[0]


def _computed(
    op: str, params: Any, device: Device, args: Sequence[Array | Number], outs: Sequence[Array]
) -> None:
    found = evaluate(op, args, params, device)
    if not isinstance(found, tuple):
        outs[0][...] = found
        return
    for out, z in zip(outs, found, strict=True):
        out[...] = z
