"""Calls: ops of a plan that have no kernel, as functions of the array library on views of its buffers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from ..backends import Array, Device
from ..backends.schedules import HostCall, Window
from .interpreter import evaluate
from .lowering.plan import Call, Loop, Number, Plan, Ref


def host_calls(plan: Plan, device: Device) -> list[HostCall]:
    """The calls of a plan in the order in which they stand in it."""
    return [
        HostCall(
            _function(call, device),
            tuple(_window(r, lengths) if isinstance(r, Ref) else r for r in call.args),
            tuple(_window(r, lengths) for r in call.outs),
        )
        for call, lengths in calls(plan.body)
    ]


def calls(items: Sequence[Any], lengths: tuple[int, ...] = ()) -> Iterator[tuple[Call, tuple[int, ...]]]:
    """Each call, and the lengths of the loops around it, outermost first."""
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


def _function(call: Call, device: Device) -> Callable[[Sequence[Array | Number], Sequence[Array]], None]:
    """What computes a call's results and puts them into its outputs."""
    if call.op == "none":
        return _copied
    return partial(_computed, call.op, call.params, device)


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
