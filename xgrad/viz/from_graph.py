"""Pictures of recorded graphs: values, gradients, and groups for modules, scans and gates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..backends import device_of
from ..compiler.ir import Body
from ..compiler.printing.spelling import shown
from ..core.context import Scope, mode
from ..core.graph import FREED
from ..core.recording import Recorded
from ..core.tensor import Tensor
from ..transforms import Graph, GraphNode, graph
from .calls import add_calls
from .from_program import add_body
from .model import Box, Picture
from .rules import local_rule, sign
from .stage_text import UNKNOWN, few, literal, written

FREED_BY, NOT_KEPT = "freed by backward", "not kept"

#: The most stages whose calls of `deriv` are made again to show what each of them gives.
STEPPED = 5000


def from_graph(g: Graph, title: str = "") -> Picture:
    """The picture of a graph. Stages without a value or a gradient are drawn without it, and say so."""
    picture = Picture(title)
    _Builder(picture, step=len(g) <= STEPPED).add(g)
    if len(g) > STEPPED:
        picture.notes.append(
            f"the graph has {len(g):,} stages: the calls of deriv are shown without their numbers"
        )
    missing = [box.missing for box in picture.boxes if box.missing in (FREED_BY, NOT_KEPT)]
    if missing:
        freed = f", {missing.count(FREED_BY)} of them were freed by backward" if FREED_BY in missing else ""
        picture.notes.append(
            f"{len(missing)} of {len(g)} values are not alive{freed}: a graph keeps what its derivatives "
            f"need, until backward has used it; xg.graph(f, *args) and `with xg.record():` keep every value"
        )
    return picture.finish()


class _Builder:
    """Adds the stages of a graph, and the graphs inside of its gates, to a picture."""

    def __init__(self, picture: Picture, step: bool) -> None:
        self.picture = picture
        self.step = step
        self.scopes: dict[Scope, int] = {}
        self.alive: dict[GraphNode, Tensor] = {}
        self.stages: dict[int, GraphNode] = {}

    def _operands(self, stage: GraphNode) -> tuple[Any, ...]:
        """The operands; UNKNOWN for those that a graph without recorded values does not keep."""
        node = stage.node
        if isinstance(node, Recorded) or node is None:
            return stage.operands
        return tuple(UNKNOWN if p is None else self.stages.get(id(p), UNKNOWN) for p in node.parents)

    def add(self, g: Graph, group: int = 0, ports: Sequence[Box | None] = ()) -> None:
        """Add the stages of `g` to a group. `ports` are the boxes that its inputs come from."""
        boxes: dict[GraphNode, Box] = {}
        outer = iter(ports)
        moved = _slices(g)
        self.alive |= _alive(g)
        self.stages |= {id(stage.node): stage for stage in g if stage.node is not None}
        for stage in g:
            if stage in moved and stage.op == "unstack":
                continue
            box = self._box(stage, boxes, moved)
            scopes = moved[stage] if stage in moved else getattr(stage.node, "scopes", ())
            box.group = self._group(scopes, group)
            if ports and stage.op == "input" and (port := next(outer, None)) is not None:
                box.kind, box.inputs, box.expression = "port", (port,), shown(port.name)
            boxes[stage] = self.picture.add(box)
            if stage.node is not None and getattr(stage.node, "op", None) is not None:
                self._inside(stage, box, boxes)
        add_calls(g, boxes, self._operands, numbers=self.step)

    def _group(self, scopes: tuple[Scope, ...], group: int) -> int:
        """The group of the innermost of some scopes."""
        for scope in scopes:
            if scope not in self.scopes:
                self.scopes[scope] = self.picture.open_group(scope.label, scope.kind, group)
            group = self.scopes[scope]
        return group

    def _box(self, stage: GraphNode, boxes: dict[GraphNode, Box], moved: dict[GraphNode, Any]) -> Box:
        node, value, op = stage.node, stage.value, stage.op
        if value is None:
            value = self.alive.get(stage)
        box = Box(
            shown(stage.name),
            value=value,
            grad=stage.grad,
            shape=stage.shape if value is None else value.shape,
            dtype=str(value.dtype if value is not None else getattr(node, "dtype", "")),
            missing="" if value is not None else _why_missing(node),
            # an argument has the line that asked for the drawing
            source="" if op == "input" else getattr(node, "source", ""),
        )
        if op in ("input", "leaf", "constant"):
            box.kind = "constant" if op == "constant" else "input"
            return box
        operands = self._operands(stage)
        if stage in moved:
            operands = self._operands(operands[0])
        box.op, box.sign = op, sign(op, operands)
        box.expression = (
            f"{literal(operands[0])}[{stage.params['i']}]" if stage in moved else written(stage, operands)
        )
        if stage in moved or op == "getitem":
            box.sign = box.expression[box.expression.find("[", len(literal(operands[0]))) :]
        box.inputs = tuple(boxes[v] for v in operands if isinstance(v, GraphNode) and v in boxes)
        if node.op is not None:
            box.rule = local_rule(node.op)
        return box

    def _inside(self, stage: GraphNode, box: Box, boxes: dict[GraphNode, Box]) -> None:
        """Open a gate of the user's, by recording it again on the values that entered it; or a program."""
        op = stage.node.op
        operands = [boxes.get(v) if isinstance(v, GraphNode) else None for v in self._operands(stage)]
        if isinstance(body := stage.params.get("body"), Body):
            if body.families is not None:
                box.expression = f"compiled({few([literal(v) for v in self._operands(stage)])})"
            label = "compiled function" if body.families is not None else "scan"
            add_body(self.picture, body, self.picture.open_group(label, "scan", box.group, box), operands)
            return
        inner = _opened(op, stage)
        if inner is None:
            return
        number = self.picture.open_group(shown(op.name), "gate", box.group, box)
        self.add(inner, number, operands)


def _slices(g: Graph) -> dict[GraphNode, tuple[Scope, ...]]:
    """The scopes in which parts of `unstack` are drawn, as `xs[3]` where they are used; and `unstack`."""
    users: dict[GraphNode, list[GraphNode]] = {}
    for stage in g:
        for v in stage.operands:
            if isinstance(v, GraphNode):
                users.setdefault(v, []).append(stage)
    found: dict[GraphNode, tuple[Scope, ...]] = {}
    for stage in g:
        if stage.op == "unstack" and all(part.op == "item" for part in users.get(stage, ())):
            found[stage] = ()
            for part in users[stage]:
                around = [getattr(user.node, "scopes", ()) for user in users.get(part, ())]
                found[part] = _common(around) if around else getattr(part.node, "scopes", ())
    return found


def _common(paths: list[tuple[Scope, ...]]) -> tuple[Scope, ...]:
    first, *others = paths
    length = 0
    while length < len(first) and all(path[: length + 1] == first[: length + 1] for path in others):
        length += 1
    return first[:length]


def _opened(op: Any, stage: GraphNode) -> Graph | None:
    """The graph inside of a user's gate, with gradients if the gate has one; None for any other op."""
    function = getattr(op.forward, "function", None)
    operands = [v.value if isinstance(v, GraphNode) else v for v in stage.operands]
    if function is None or any(v is None for v in operands):
        return None
    try:
        with mode(scopes=()):
            inner = graph(function, *operands)
        if stage.grad is not None:
            inner.bprop(stage.grad)
    except Exception:  # whatever the user's function raises on Tensors: the gate stays closed
        return None
    return inner if len(inner) > len(operands) + 1 else None


def _why_missing(node: Any) -> str:
    if node is not None and isinstance(node.dtype, tuple):
        return f"{len(node.dtype)} outputs"
    return FREED_BY if node is not None and node.saved is FREED else NOT_KEPT


def _alive(g: Graph) -> dict[GraphNode, Tensor]:
    """The values that a graph without recorded values keeps for its derivatives: outputs and operands."""
    stages = {id(stage.node): stage for stage in g if stage.node is not None}
    found: dict[GraphNode, Tensor] = {g.output: g._value.detach()}
    for stage in g:
        node = stage.node
        if node is None or isinstance(node, Recorded) or node.op is None or node.saved is FREED:
            continue
        z, x, y = node.saved
        kept = x if node.op.variadic else (x, y)
        parents = [stages.get(id(parent)) for parent in node.parents]
        pairs = [(stage, z), *(zip(parents, kept, strict=False) if isinstance(kept, tuple) else ())]
        for owner, array in pairs:
            if owner is not None and device_of(array) is not None and array.shape == owner.shape:
                found[owner] = Tensor(array, node.device)
    return found
