"""Explanations: the effect of each pass on a program, and the cost of a run."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import NamedTuple

from ...backends import find_device
from ...backends.dtypes import canonical
from ..calls import calls, described
from ..executors import Executable
from ..ir import Item, Loop, Program
from ..lowering.lower import Lowered, lower
from ..lowering.plan import Buffer, Call, Gemm, Map, Pack, Plan, Rows, Unsupported
from ..lowering.plan import Loop as PlanLoop
from ..passes import PASSES


class Counts(NamedTuple):
    """The number of stages and matrix products, outside and inside loops."""

    stages: int
    products: int
    inner_stages: int
    inner_products: int


def counts(items: Iterable[Item], inside: bool = False) -> Counts:
    """Count the stages of a program, a loop's body once."""
    total = Counts(0, 0, 0, 0)
    for item in items:
        if isinstance(item, Loop):
            found = counts(item.stages, True)
        elif item.op == "scan":
            found = counts(item.params["body"].program.stages, True)
        else:
            product = item.op in ("@", "@+")
            found = Counts(0, 0, 1, product) if inside else Counts(1, product, 0, 0)
        total = Counts(*(a + b for a, b in zip(total, found)))
    return total


class Cost(NamedTuple):
    """The cost of one run: floating-point operations, bytes read and written, and launches."""

    flops: int
    bytes: int
    maps: int
    products: int


def cost(items: Iterable[Map | Gemm | Call | PlanLoop | Pack | Rows], buffers: tuple[Buffer, ...]) -> Cost:
    """Return the cost of a plan's items. Every elementwise op counts as one operation."""
    total = Cost(0, 0, 0, 0)
    for item in items:
        if isinstance(item, PlanLoop):
            once = cost(item.body, buffers)
            found = Cost(*(item.length * n for n in once))
        elif isinstance(item, Rows):
            found = cost(item.body, buffers)
        elif isinstance(item, Pack):
            size = canonical(buffers[item.packed].dtype).itemsize
            found = Cost(0, 2 * size * prod(item.b.shape), 0, 0)
        elif isinstance(item, Call):
            found = Cost(0, 0, 0, 0)
        elif isinstance(item, Gemm):
            flops = 2 * prod(item.out.shape) * item.a.shape[-1]
            size = canonical(buffers[item.out.buffer].dtype).itemsize
            found = Cost(
                flops,
                size
                * (prod(item.a.shape) + prod(item.b.shape) + prod(item.out.shape) * (1 + item.accumulate)),
                0,
                1,
            )
        else:
            refs = [r for _, r in (*item.loads, *item.stores)] + [r.out for r in item.reductions]
            moved = sum(
                canonical(buffers[r.buffer].dtype).itemsize * prod(n for n, s in zip(r.shape, r.strides) if s)
                for r in refs
            )
            found = Cost(prod(item.shape) * (len(item.steps) + len(item.reductions)), moved, 1, 0)
        total = Cost(*(a + b for a, b in zip(total, found)))
    return total


def peak(lowered: Lowered) -> int:
    """Return the bytes of all arrays held during a run: inputs, outputs and scratch."""
    return sum(b.size * canonical(b.dtype).itemsize for b in lowered.plan.buffers)


def explain(program: Program | Executable) -> str:
    """Explain the effect of each pass on a program, and the cost of one run."""
    ready = (
        program if isinstance(program, Executable) else Executable(program, find_device("cpu"), whole=True)
    )
    at = ready.program
    lines = ["pass        stages  products  in loops: stages  products"]
    lines.append(_row("traced", counts(at.stages)))
    before = counts(at.stages)
    for name, apply in PASSES:
        at = apply(at)
        after = counts(at.stages)
        lines.append(_row(name, after) + ("" if after != before else "  (nothing to do)"))
        before = after
    lines.append("")
    ready.prepare()
    try:
        lowered = ready.lowered or lower(at)
    except Unsupported as error:
        return "\n".join([*lines, f"run by      {ready.kind}: {error}"])
    plan = lowered.plan
    total = cost(plan.body, plan.buffers)
    kinds = {
        kind: [b for b in plan.buffers if b.kind == kind and b.size]
        for kind in ("input", "output", "scratch")
    }
    held = ", ".join(
        f"{len(found)} {kind} of {_amount(sum(b.size * canonical(b.dtype).itemsize for b in found), 'B')}"
        for kind, found in kinds.items()
    )
    lines += [
        (
            f"one run     {_amount(total.flops, 'flop')}, {_amount(total.bytes, 'B')} moved, "
            f"{total.products} products, {total.maps} elementwise maps"
        ),
        f"buffers     {held}",
        f"peak memory {_amount(peak(lowered), 'B')}",
        f"run by      {_runner(ready, plan)}",
        *_calls(plan, ready.device.backend.name),
        *_loops(ready),
        *_shared(plan),
        (
            f"took        {1e3 * ready.seconds['optimise']:.0f} ms to optimise, "
            f"{1e3 * ready.seconds['compile']:.0f} ms to compile"
        ),
    ]
    return "\n".join(lines)


def _runner(ready: Executable, plan: Plan) -> str:
    """Describe the executor."""
    if ready.why is not None:
        return f"{ready.kind}: {ready.why}"
    count = sum(prod(lengths) for call, lengths in calls(plan.body) if not call.kernel)
    return f"{ready.kind}, but for {count} calls of the array library" if count else ready.kind


def _calls(plan: Plan, backend: str) -> list[str]:
    """List the ops without a kernel: how often they are called, and the user's lines."""
    found: dict[str, int] = {}
    for call, lengths in calls(plan.body):
        if call.kernel:
            continue
        line = f"{described(call)}{', at every step' if lengths else ''}"
        found[line] = found.get(line, 0) + 1
    return [f"no kernel   {n} call{'s' * (n > 1)} of {line}" for line, n in found.items()]


def _loops(ready: Executable) -> list[str]:
    """List how each loop is run, where there was a choice."""
    found = []
    for loop in ready.loops:
        steps = f"{loop.length} steps"
        if loop.seconds:
            times = ", ".join(f"{way} {1e3 * seconds:.3g} ms" for way, seconds in loop.seconds.items())
            found.append(f"loop        {steps}: {loop.way} ({times})")
        else:
            why = f", because there is no kernel for the whole loop: {loop.why}" if loop.why else ""
            found.append(f"loop        {steps}: {loop.way}{why}")
    return found


def _shared(plan: Plan) -> list[str]:
    """List the loops whose rows are shared among threads, and those whose rows are not independent."""
    found = []
    for item in plan.body:
        if isinstance(item, Rows) and isinstance(item.body[0], PlanLoop):
            found.append(
                f"threads     {item.body[0].length} steps: each thread runs all of them for its rows, "
                f"of {item.number}"
            )
        elif isinstance(item, PlanLoop):
            found.append(f"threads     {item.length} steps: one thread, as no rows are independent")
    return found


def _row(name: str, c: Counts) -> str:
    return f"{name:<10}{c.stages:>8}{c.products:>10}{c.inner_stages:>18}{c.inner_products:>10}"


def _amount(n: int, unit: str) -> str:
    for scale, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if n >= scale:
            return f"{n / scale:.3g} {letter}{unit}"
    return f"{n} {unit}"
