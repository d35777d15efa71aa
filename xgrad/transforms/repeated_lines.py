"""Lines that ran several times, as in a loop through time, and the same slip in each of their runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice, pairwise
from typing import Any

from ..compiler.printing.spelling import shown
from ..namespace import zeros_like
from .backward_stages import BackwardStage, Contribution
from .graph_view import GraphNode
from .slips import MOVING, Variant, lost, output_read, value_read, variants, with_output, with_value

#: A slip: from a step and one of its contributions to the wrong value of that.
Slip = Callable[[BackwardStage, Contribution], Any]


def equations(stages: Sequence[GraphNode]) -> list[list[GraphNode]]:
    """For each op of a line that ran several times, its stages, one for each run."""
    by_line: dict[str, list[GraphNode]] = {}
    for stage in stages:
        if stage.node is not None and stage.node.op is not None:
            by_line.setdefault(stage.source, []).append(stage)
    found = []
    for line in by_line.values():
        period = _period([stage.op for stage in line])
        found += [line[i::period] for i in range(period) if len(line) > period]
    return found


def _period(ops: Sequence[str]) -> int:
    """After how many entries a list repeats itself."""
    lengths = [n for n in range(1, len(ops)) if len(ops) % n == 0 and ops[n:] == ops[:-n]]
    return lengths[0] if lengths else len(ops)


def following(found: Sequence[Sequence[GraphNode]]) -> dict[GraphNode, GraphNode]:
    """For each stage, the one that takes its place in the next run: h_t for h_{t-1}."""
    after: dict[GraphNode, GraphNode] = {}
    for runs in found:
        after |= dict(pairwise(runs))
        for before, now in pairwise(runs):
            for x, y in zip(before.operands, now.operands):
                if isinstance(x, GraphNode) and isinstance(y, GraphNode) and x is not y:
                    after.setdefault(x, y)
    return after


def in_every_run(
    runs: Sequence[BackwardStage], last: Contribution, after: Mapping[GraphNode, GraphNode]
) -> Iterator[tuple[Variant, Slip]]:
    """Slips in the contribution to one operand in every run; `last` is that of the last run.

    Each comes with the variant that it is in the last run, and raises ValueError where it cannot be made.
    """
    for n, variant in enumerate(variants(runs[-1], last)):
        yield variant, lambda step, c, n=n: _nth(step, c, n)
    text = lost(f"d{shown(last.stage.name)}", shown(runs[-1].stage.name))
    yield Variant("overwritten", text, lambda: None), lambda step, c: zeros_like(c.value)
    yield from _a_run_off(runs, last, after)
    yield from _a_run_off(runs, last, {y: x for x, y in after.items()})


def _nth(step: BackwardStage, c: Contribution, n: int) -> Any:
    variant = next(islice(variants(step, c), n, None), None)
    if variant is None:
        raise ValueError("this step is of another form")
    return variant.value()


def _a_run_off(
    runs: Sequence[BackwardStage], last: Contribution, neighbour: Mapping[GraphNode, GraphNode]
) -> Iterator[tuple[Variant, Slip]]:
    """The value of the next or the previous run where that of this run belongs, such as h_t for h_{t-1}."""
    entry = runs[-1].stage.node.op
    if entry.name in MOVING or entry.variadic or isinstance(runs[-1].dz, tuple):
        return
    for read, with_other in ((value_read, with_value), (output_read, with_output))[: 1 + entry.uses_z]:
        reads = [read(run, last) for run in reversed(runs)]
        right = next((v for v in reads if v in neighbour), None)
        if right is not None:
            other, name = shown(neighbour[right].name), shown(last.stage.name)
            text = f"d{name} uses the wrong value: {other} where {shown(right.name)} belongs"

            def slip(step: BackwardStage, c: Contribution, read: Any = read, use: Any = with_other) -> Any:
                v = neighbour.get(read(step, c))
                return c.value if v is None else use(step, c, v.value)

            yield Variant("operand", text, lambda: None), slip
