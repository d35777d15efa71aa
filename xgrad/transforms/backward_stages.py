"""The backward pass of a recorded graph, one `deriv` at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..compiler.printing.spelling import shown
from ..core.backward import sweep
from ..core.context import mode
from ..core.graph import Node
from ..core.tensor import Tensor
from ..ops.shaping import ITEM
from .deriv_calls import deriv_step
from .graph_text import brief, expression

if TYPE_CHECKING:
    from .graph_view import GraphNode


@dataclass(frozen=True)
class Contribution:
    """What a step adds to the gradient of one operand.

    `value` is the addend, `total` the gradient after it; `adds` says whether there was one before (`+=`).
    `operand` is the place of the operand.
    """

    stage: GraphNode
    operand: int
    value: Tensor
    total: Tensor
    adds: bool

    @property
    def name(self) -> str:
        """The name of the gradient: "dx" for "x"."""
        return f"d{self.stage.name}"


@dataclass(frozen=True, repr=False)
class BackwardStage:
    """One step of the backward pass: the rule of `stage`, from the gradient `dz` of its output.

    `contributions` are the gradients that come out, in the order of the operands. `dz` is a tuple for a stage
    with several outputs, with None for those without a gradient.
    """

    stage: GraphNode
    dz: Any
    contributions: tuple[Contribution, ...]

    @property
    def call(self) -> str:
        """The step as a call of `deriv`; the gradients that it adds to are named below it, with `+=`."""
        stage = self.stage
        by_place = {c.operand: c for c in self.contributions}
        operands = [shown(getattr(v, "name", v)) for v in stage.operands]
        gradients = [shown(by_place[i].name) if i in by_place else None for i in range(len(operands))]
        adds = any(c.adds for c in self.contributions)
        dz = shown(f"d{stage.name}")
        return deriv_step(dz, operands, gradients, stage.node.op, stage.params, adds=adds)

    def __str__(self) -> str:
        named = [(shown(f"d{self.stage.name}"), "=", brief(self.dz))]
        for c in self.contributions:
            after = f"    now {brief(c.total)}" if c.adds else ""
            named.append((shown(c.name), "+=" if c.adds else "=", f"{brief(c.value)}{after}"))
        width = max(len(name) for name, _, _ in named)
        signs = max(len(sign) for _, sign, _ in named)
        lines = [f"    {name:<{width}} {sign:>{signs}} {value}" for name, sign, value in named]
        return "\n".join([f"{shown(self.stage.name)} = {expression(self.stage)}", f"    {self.call}", *lines])

    def __repr__(self) -> str:
        return f"<BackwardStage {self.call}>"


class _Watch:
    """Hooks that keep what each rule was given and what it found."""

    def __init__(self) -> None:
        self.seen: list[tuple[Node, Any, Sequence[Any]]] = []

    def on_op(self, *about: Any) -> None:
        """Ignored: the sweep records no ops."""

    def on_cut(self, x: Any) -> bool:
        """Ignored: the sweep takes no value out of a graph."""
        return False

    def on_sweep(self, node: Node, given: Sequence[Any], found: Sequence[Any], what: str) -> None:
        """Keep one step of the sweep."""
        self.seen.append((node, given[0], found))


def backward_stages(
    stages: Sequence[GraphNode], z: Tensor, dz: Tensor, order: list[Node]
) -> Iterator[BackwardStage]:
    """Yield the steps of the engine's sweep over `order`, from the gradient `dz` of the output `z`."""
    watch = _Watch()
    with mode(record=False, grad=False, hooks=watch):
        sweep([(z, dz)], order, None, create_graph=False, free=False, keep=True)
    for stage in stages:
        stage._grad = None
    by_node = {stage.node: stage for stage in stages if stage.node is not None}
    by_node[z.node]._grad = dz
    return _steps(by_node, watch.seen)


def _steps(
    by_node: dict[Any, GraphNode], seen: Sequence[tuple[Node, Any, Sequence[Any]]]
) -> Iterator[BackwardStage]:
    for node, given, found in seen:
        made: list[Contribution] = []
        for i, (parent, g) in enumerate(zip(node.parents, found)):
            if parent is None or g is None:
                continue
            operand, value = by_node[parent], Tensor(g, node.device)
            before = operand._grad
            total = value if before is None else before + value  # the engine adds in place
            operand._grad = total
            made.append(Contribution(operand, i, value, total, before is not None))
        parts: Any = (
            tuple(None if g is None else Tensor(g, node.device) for g in given)
            if isinstance(given, list)
            else Tensor(given, node.device)
        )
        yield BackwardStage(by_node[node], parts, tuple(made))


def is_part(stage: GraphNode) -> bool:
    """Whether a stage takes one part of a tuple, which has no step of its own."""
    return stage.node is not None and stage.node.op is ITEM
