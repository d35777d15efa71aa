"""The calls of `deriv` in a graph's backward pass: their text, and the numbers that they give."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from ..backends import device_of
from ..compiler.printing.spelling import shown
from ..core.context import mode
from ..core.recording import Recorded
from ..core.rules import deriv
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
    """Write the call of `deriv` in every box that has a gradient; with `numbers`, find what it gives."""
    reached: set[GraphNode] = set()
    for stage in reversed(g.nodes):
        box = boxes.get(stage)
        if box is None or box.grad is None or stage.node is None or stage.node.op is None:
            continue
        operands = operands_of(stage)
        if stage.op == "item":
            whole = box.inputs[0].name if box.inputs else "?"
            box.call = f"d{whole}[{stage.params['i']}] = d{box.name}"
            continue
        given = _given(stage) if numbers and isinstance(stage.node, Recorded) else {}
        targets = {
            i: v
            for i, v in enumerate(operands)
            if isinstance(v, GraphNode) and v.grad is not None and (i in given or not given)
        }
        box.call = _text(stage, operands, targets, adds=not reached.isdisjoint(targets.values()))
        box.given = tuple((boxes[v], given[i]) for i, v in targets.items() if v in boxes and i in given)
        reached.update(targets.values())


def _text(stage: GraphNode, operands: tuple[Any, ...], targets: dict[int, GraphNode], adds: bool) -> str:
    names = [literal(v) for v in operands]
    gradients = [shown(f"d{targets[i].name}") if i in targets else None for i in range(len(operands))]
    dz = shown(f"d{stage.name}")
    if len(names) > FEW:  # such as the states that are stacked after a loop
        return f"{few([name or '_' for name in gradients])} = deriv({dz}, ({few(names)}), …)"
    return deriv_step(dz, names, gradients, stage.node.op, stage.params, adds=adds)


def _given(stage: GraphNode) -> dict[int, Tensor]:
    """What the call of `deriv` gives, by the place of the operand."""
    op, operands = stage.node.op, [v.value if isinstance(v, GraphNode) else v for v in stage.operands]
    if any(v is None for v in operands) or stage.value is None:
        return {}
    values = [v if isinstance(v, Tensor | int | float | complex) else _tensor(v) for v in operands]
    try:
        with mode(record=False, grad=False), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a gradient that nobody needs, such as that of an exponent
            x, y = (tuple(values), None) if op.variadic else (*values, None)[:2]
            found = deriv(stage.grad, x, y, _Named(op), z=stage.value, **stage.params)
    except Exception:  # an op that cannot be asked alone, such as a gate whose operands are freed
        return {}
    return {i: g for i, g in enumerate(found) if g is not None}


class _Named:
    """An op as `deriv` finds it, whatever its name."""

    def __init__(self, entry: Any) -> None:
        self.entry = entry


def _tensor(array: Any) -> Any:
    device = device_of(array)
    return array if device is None else Tensor(array, device)
