"""Plans for tests of CUDA kernels.

They are lowered from functions, merged so that one text holds many, and run on the emulated device and by
NumPy.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
import pytest

import xgrad as xg
from tests import emulated
from tests.emulated.device import EmulatedLauncher, _dtype
from xgrad.backends import find_device
from xgrad.backends.cuda.launching import LoopRun, Scheduled
from xgrad.backends.schedules import HostCall, Launch, Repeat, Schedule
from xgrad.compiler.calls import calls, host_calls
from xgrad.compiler.codegen.cuda.chips import Chip
from xgrad.compiler.codegen.cuda.schedule import schedule
from xgrad.compiler.codegen.cuda.target import CUDA
from xgrad.compiler.interpreter import evaluate
from xgrad.compiler.lowering.lower import Lowered, lower
from xgrad.compiler.lowering.plan import Buffer, Gemm, Loop, Map, Plan, Ref
from xgrad.compiler.lowering.views import contiguous
from xgrad.compiler.passes.complex_pairs import complex_pairs
from xgrad.ops import OPS

emulator = pytest.mark.skipif(emulated.available() is not None, reason=emulated.available() or "")

#: A chip so small that little work needs several blocks.
CHIP = Chip("some", 80, 6, 65536, 1024)
STEPWISE, ONCE = "step by step", "one launch"


def lowered(f: Callable[..., Any], *args: Any) -> Lowered:
    """Return the plan of a function for CUDA kernels, with pairs for complex inputs and outputs."""
    return lower(complex_pairs(xg.compile(f).executable(*args).optimised), target=CUDA)


def constants(found: Lowered) -> list[np.ndarray]:
    """Return the arrays that a plan takes in addition to its function's arguments."""
    return [np.asarray(evaluate("new", (), params, find_device("cpu"))) for params in found.constants]


def all_together(cases: Sequence[tuple[Callable[..., Any], Sequence[np.ndarray]]], seed: int = 0) -> Any:
    """Return the outputs of several functions by kernels of one text, which make no library call."""
    with xg.device("cpu"):
        plans = [lowered(f, *map(xg.asarray, arrays)) for f, arrays in cases]
    left = [call.op for found in plans for call, _ in calls(found.plan.body) if not call.kernel]
    assert left == []
    inputs = [x for (_, arrays), found in zip(cases, plans) for x in (*arrays, *constants(found))]
    flat = iter(run(together([found.plan for found in plans]), inputs, seed=seed)[0])
    return [
        outputs_of(found, [next(flat) for b in found.plan.buffers if b.kind == "output"]) for found in plans
    ]


def together(plans: Sequence[Plan]) -> Plan:
    """Concatenate plans into one."""
    buffers: list[Buffer] = []
    body: list[Any] = []
    for plan in plans:
        body += [_moved(item, len(buffers)) for item in plan.body]
        buffers += plan.buffers
    return Plan(tuple(buffers), tuple(body))


def _moved(item: Any, by: int) -> Any:
    if isinstance(item, Ref):
        return item._replace(buffer=item.buffer + by)
    if isinstance(item, tuple):
        found = [_moved(part, by) for part in item]
        return type(item)(*found) if hasattr(item, "_fields") else tuple(found)
    return item


def run(
    plan: Plan,
    inputs: Sequence[Any],
    chip: Chip = CHIP,
    precision: str = "highest",
    way: str = ONCE,
    seed: int = 0,
) -> tuple[list[np.ndarray], Sequence[LoopRun]]:
    """Return the flat outputs, and how the loops were run."""
    made = schedule(plan, chip, precision)
    return launched(made, inputs, chip, way, seed, host_calls(calls(plan.body), find_device("cpu")))


def launched(
    made: Schedule,
    inputs: Sequence[Any],
    chip: Chip,
    way: str = ONCE,
    seed: int = 0,
    called: Sequence[HostCall] = (),
) -> tuple[list[np.ndarray], Sequence[LoopRun]]:
    """Run a schedule with the same results as `run`; NumPy computes its library calls."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XGRAD_CACHE_DIR", f"{os.devnull}/none")  # nothing is cached
        ready = Scheduled(
            made, EmulatedLauncher(chip, seed, slower=STEPWISE if way == ONCE else ONCE), called
        )
        found = ready.run([np.asarray(x) for x in inputs])
    return found, ready.loops


def outputs_of(found: Lowered, flat: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return a function's outputs, from the flat outputs of its plan."""
    places = [i for i, b in enumerate(found.plan.buffers) if b.kind == "output"]
    return [
        flat[places.index(r.buffer)][r.offset : r.offset + prod(r.shape)].reshape(r.shape)
        for r in found.outputs
    ]


def loops_of(made: Schedule) -> list[Repeat]:
    """Return the loops of a schedule, including nested ones."""

    def inside(items: Sequence[Any]) -> list[Repeat]:
        return [loop for item in items if isinstance(item, Repeat) for loop in (item, *inside(item.body))]

    return inside(made.body)


def launches_of(made: Schedule) -> list[Launch]:
    """Return all launches of a schedule, including those of both ways of a loop."""

    def inside(items: Sequence[Any]) -> list[Launch]:
        found: list[Launch] = []
        for item in items:
            found += (
                [*inside(item.body), *inside(item.once)]
                if isinstance(item, Repeat)
                else [item]
                if isinstance(item, Launch)
                else []
            )
        return found

    return inside(made.body)


def kernel_text(made: Schedule, name: str) -> str:
    """Return the text of one kernel."""
    start = made.source.index(f" {name}(")
    return made.source[
        made.source.rindex('extern "C"', 0, start) : made.source.find('\nextern "C"', start)
        % (len(made.source) + 1)
    ]


# Hand-written plans


class Drawing:
    """A plan that is built step by step, with the inputs to run it on."""

    def __init__(self) -> None:
        self.buffers: list[Buffer] = []
        self.inputs: list[np.ndarray] = []
        self.body: list[Any] = []

    def input(self, x: np.ndarray) -> int:
        """Add an input; return its buffer."""
        self.buffers.append(Buffer("input", x.size, x.dtype.name))
        self.inputs.append(x)
        return len(self.buffers) - 1

    def buffer(self, size: int, dtype: str, kind: str = "output") -> int:
        """Add a buffer that is written before it is read."""
        self.buffers.append(Buffer(kind, size, dtype))
        return len(self.buffers) - 1

    def output(self, shape: tuple[int, ...], dtype: str) -> Ref:
        """Add an output; return a view of the whole of it."""
        return contiguous(self.buffer(prod(shape), dtype), shape)

    @property
    def plan(self) -> Plan:
        return Plan(tuple(self.buffers), tuple(self.body))


# The meaning of plans


def interpreted(plan: Plan, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Run a plan with NumPy; return the flat outputs."""
    given = iter(inputs)
    memory = [
        np.array(next(given)).reshape(-1) if b.kind == "input" else np.zeros(b.size, _dtype(b.dtype))
        for b in plan.buffers
    ]

    def view(r: Ref, turns: tuple[int, ...]) -> np.ndarray:
        start = r.offset + sum(t * s for t, s in zip(turns, r.steps))
        flat = memory[r.buffer][start:] if 0 not in r.shape else memory[r.buffer][:0]
        return np.lib.stride_tricks.as_strided(flat, r.shape, [s * flat.itemsize for s in r.strides])

    def do(items: Sequence[Any], turns: tuple[int, ...]) -> None:
        for item in items:
            if isinstance(item, Loop):
                for t in range(item.length)[:: -1 if item.reverse else 1]:
                    do(item.body, (*turns, t))
            elif isinstance(item, Gemm):
                out = view(item.out, turns)
                product = view(item.a, turns).astype(np.float64) @ view(item.b, turns).astype(np.float64)
                out[...] = product + out if item.accumulate else product
            else:
                mapped(item, turns)

    def mapped(m: Map, turns: tuple[int, ...]) -> None:
        values: dict[Any, Any] = {v: np.array(view(r, turns)) for v, r in m.loads}
        for s in m.steps:
            args = [a if is_number else values[a] for a, is_number in zip(s.args, s.literal)]
            if s.dtype != "bool":  # operands are cast to the dtype of the result
                args = [
                    x
                    if isinstance(x, float) or (s.op == "where" and i == 0)
                    else np.asarray(x).astype(_dtype(s.dtype))
                    for i, x in enumerate(args)
                ]
            x = args[0] if s.op in ("none", "astype") else OPS[s.op].forward(np, *args)
            values[s.value] = np.broadcast_to(np.asarray(x).astype(_dtype(s.dtype)), m.shape)
        for v, r in m.stores:
            view(r, turns)[...] = values[v]
        for reduction in m.reductions:
            r = reduction.out
            axes = tuple(a for a, (n, s) in enumerate(zip(m.shape, r.strides)) if s == 0 and n != 1)
            start = {"sum": 0.0, "max": -np.inf, "min": np.inf}[reduction.kind]
            folded = getattr(np, reduction.kind)(
                values[reduction.value].astype(np.float64), axis=axes, keepdims=True, initial=start
            )
            shape = tuple(1 if a in axes else n for a, n in enumerate(m.shape))
            view(r._replace(shape=shape), turns)[...] = folded

    with np.errstate(all="ignore"):
        do(plan.body, ())
    return [m for m, b in zip(memory, plan.buffers) if b.kind == "output"]
