"""The reverse sweep, split by how many time steps each part of a gradient was carried back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..core.backward import sweep
from ..core.context import mode
from ..core.graph import Node
from ..core.recording import Recorded
from ..core.tensor import Tensor

#: Values, each with a cotangent that reaches it.
Seeds = list[tuple[Tensor, Tensor]]


def step_of(node: Any) -> tuple[int, int] | None:
    """The number of the outermost scan that a node was recorded in, and its time step; None outside scans."""
    steps = getattr(node, "steps", ())
    if not steps:
        return None
    return next(scope.number for scope in node.scopes if scope.kind == "scan"), steps[0]


def distance(node: Node, operand: Node) -> int:
    """The number of time steps from a node back to its operand; 0 unless both are in the same scan."""
    after, before = step_of(node), step_of(operand)
    if after is None or before is None or after[0] != before[0]:
        return 0
    return abs(after[1] - before[1])


def sweeps_by_lag(z: Tensor, dz: Tensor, order: list[Node], most: int) -> Iterator[dict[Node, Any]]:
    """Yield for k = 0, 1, ... the part of every node's gradient that was carried back k steps.

    Each sweep stops where a gradient goes to an earlier time step: what arrives there begins a later sweep.
    Rules are linear in the cotangent, so the parts add up to the gradient. The sweep with k = `most` does not
    stop: it has what was carried back `most` steps or more.
    """
    waiting: list[Seeds] = [[(z, dz)], *([] for _ in range(most))]
    for k in range(most + 1):
        seeds = waiting[k]
        if not seeds:
            if not any(waiting[k:]):
                return
            yield {}
            continue
        hooks = _Stops(waiting[k:]) if k < most else None
        with mode(record=False, grad=False, hooks=hooks):
            found = sweep(seeds, order, None, create_graph=False, free=False, keep=True)
        yield found
        seeds.clear()


class _Stops:
    """Hooks of a sweep: a cotangent that goes d steps back waits in `waiting[d]`, or in the last for more."""

    def __init__(self, waiting: Sequence[Seeds]) -> None:
        self.waiting = waiting

    def on_op(self, *about: Any) -> None:
        """Ignored: the sweep records no ops."""

    def on_cut(self, x: Any) -> bool:
        """Ignored: the sweep takes no value out of a graph."""
        return False

    def on_sweep(self, node: Node, given: Sequence[Any], found: Any, what: str) -> None:
        """Take out what goes to earlier time steps."""
        for i, operand in enumerate(node.parents):
            if operand is None or found[i] is None:
                continue
            steps = distance(node, operand)
            if steps:
                assert isinstance(operand, Recorded)
                value = Tensor(operand.value, operand.device, operand)
                cotangent = Tensor(found[i], operand.device)
                self.waiting[min(steps, len(self.waiting) - 1)].append((value, cotangent))
                found[i] = None
