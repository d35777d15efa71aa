"""Lines that ran several times, as in a loop through time, and the same slip in each of their runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice, pairwise
from typing import Any

from ..namespace import zeros_like
from .backward_stages import BackwardStage, Contribution
from .graph_view import GraphNode
from .lost_terms import loss
from .slips import variants
from .variants import MOVING, gradient_of, name_of, output_read, value_read, with_output, with_value

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


def beside(
    runs: Sequence[BackwardStage], c: Contribution, found: Sequence[Sequence[GraphNode]]
) -> list[dict[GraphNode, GraphNode]]:
    """For the value that each run reads, the values of another line in the same run, for each such line."""
    reads = [value_read(run, c) for run in runs]
    if not all(isinstance(v, GraphNode) for v in reads):
        return []
    return [dict(zip(reads, other)) for other in found if len(other) == len(reads) and other != reads]


def sibling(step: BackwardStage, c: Contribution) -> Any:
    """The contribution to the other operand."""
    (other,) = (v for v in step.contributions if v.operand != c.operand)
    return other.value


def in_every_run(
    runs: Sequence[BackwardStage], last: Contribution, neighbours: Sequence[Mapping[GraphNode, GraphNode]]
) -> Iterator[tuple[str, str, Slip]]:
    """Slips in the contribution to one operand, to be made in every run: kind, description and slip.

    `last` is the contribution in the last run, which the description is about. `neighbours` say which values
    may be taken for which. A slip raises ValueError where it cannot be made.
    """
    for n, variant in enumerate(variants(runs[-1], last)):
        yield variant.kind, variant.text, partial(_nth, n)
    yield "overwritten", loss(gradient_of(last.stage), name_of(runs[-1].stage)), _nothing
    for neighbour in neighbours:
        yield from _mistaken_value(runs, last, neighbour)


def _nth(n: int, step: BackwardStage, c: Contribution) -> Any:
    variant = next(islice(variants(step, c), n, None), None)
    if variant is None:
        raise ValueError("this step is of another form")
    return variant.value()


def _nothing(step: BackwardStage, c: Contribution) -> Any:
    return zeros_like(c.value)


def _mistaken_value(
    runs: Sequence[BackwardStage], last: Contribution, neighbour: Mapping[GraphNode, GraphNode]
) -> Iterator[tuple[str, str, Slip]]:
    """The neighbour of the value that belongs there, such as h_t for h_{t-1}."""
    entry = runs[-1].stage.node.op
    if entry.name in MOVING or entry.variadic or isinstance(runs[-1].dz, tuple):
        return
    for read, use in ((value_read, with_value), (output_read, with_output))[: 1 + entry.uses_z]:
        right = next((v for run in reversed(runs) if (v := read(run, last)) in neighbour), None)
        if right is not None:
            name, other = gradient_of(last.stage), name_of(neighbour[right])
            text = f"{name} uses the wrong value: {other} where {name_of(right)} belongs"
            yield "operand", text, partial(_of_neighbour, neighbour, read, use)


def _of_neighbour(
    neighbour: Mapping[GraphNode, GraphNode], read: Slip, use: Any, step: BackwardStage, c: Contribution
) -> Any:
    """The contribution with the neighbour of the value that it reads; as it is for a value that has none."""
    v = neighbour.get(read(step, c))
    return c.value if v is None else use(step, c, v.value)
