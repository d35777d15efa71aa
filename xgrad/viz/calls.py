"""The calls of `deriv` in a graph's backward pass: their text, and the numbers that they give."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..compiler.printing.spelling import shown
from ..core.recording import Recorded
from ..core.tensor import Tensor
from ..transforms import Graph, GraphNode
from ..transforms.deriv_calls import deriv_step
from .model import Box
from .stage_text import FEW, few, literal


def add_calls(
    g: Graph,
    boxes: Mapping[GraphNode, Box],
    operands_of: Callable[[GraphNode], tuple[Any, ...]],
    *,
    numbers: bool,
) -> None:
    """Write the call of `deriv` in every box that has a gradient; with `numbers`, what it gives as well."""
    reached: set[GraphNode] = set()
    given = dict(_given(g)) if numbers else {}
    for stage in reversed(g.nodes):
        box = boxes.get(stage)
        if box is None or box.grad is None or stage.node is None or stage.node.op is None:
            continue
        if stage.op == "item":
            whole = box.inputs[0].name if box.inputs else "?"
            box.call = f"d{whole}[{stage.params['i']}] = d{box.name}"
            continue
        operands, gives = operands_of(stage), given.get(stage, {})
        targets = {
            i: v
            for i, v in enumerate(operands)
            if isinstance(v, GraphNode) and v.grad is not None and (i in gives or not gives)
        }
        box.call = _text(stage, operands, targets, adds=not reached.isdisjoint(targets.values()))
        box.given = tuple((boxes[v], gives[i]) for i, v in targets.items() if v in boxes and i in gives)
        reached.update(targets.values())


def _given(g: Graph) -> Iterator[tuple[GraphNode, dict[int, Tensor]]]:
    """What each call gives, by the place of the operand, if the graph has gradients and keeps its values."""
    if g.output.grad is not None and isinstance(g.output.node, Recorded):
        for step in g.backward(g.output.grad):
            yield step.stage, {c.operand: c.value for c in step.contributions}


def _text(stage: GraphNode, operands: tuple[Any, ...], targets: dict[int, GraphNode], adds: bool) -> str:
    names = [literal(v) for v in operands]
    gradients = [shown(f"d{targets[i].name}") if i in targets else None for i in range(len(operands))]
    dz = shown(f"d{stage.name}")
    if len(names) > FEW:  # such as the states that are stacked after a loop
        return f"{few([name or '_' for name in gradients])} = deriv({dz}, ({few(names)}), …)"
    return deriv_step(dz, names, gradients, stage.node.op, stage.params, adds=adds)
