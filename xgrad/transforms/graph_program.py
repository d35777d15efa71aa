"""A recorded graph as a program, whose shapes can be listed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..compiler.ir import Operand, Program, Stage, Value
from ..core.dispatch import NUMBERS
from ..core.graph import Leaf
from ..core.recording import Recorded
from ..errors import GraphError
from ..ops import OPS, Op
from .backward_stages import is_part

if TYPE_CHECKING:
    from .graph_view import GraphNode


def program_of(stages: Sequence[GraphNode], output: GraphNode) -> Program:
    """The program of a graph. Raises GraphError where the graph does not keep its operands."""
    parts = {(s.operands[0], s.params["i"]): s for s in stages if is_part(s)}
    values: dict[GraphNode, Value] = {}
    inputs: list[Value] = []
    items: list[Stage] = []
    for s in stages:
        node = s.node
        if is_part(s):
            continue
        if node is not None and not isinstance(node, Recorded | Leaf):
            raise GraphError(
                "this graph does not keep its operands, so there are no shapes to list: use "
                "xg.graph(f, *args), or compute inside `with xg.record():`"
            )
        outputs = tuple(_outputs(s, parts, values))
        if s.op in ("input", "leaf"):
            inputs += outputs
        elif s.op == "constant":
            items.append(Stage("constant", (), outputs))
        else:
            operands = tuple(_operand(v, values) for v in s.operands)
            items.append(_stage(s, operands, outputs))
    return Program(tuple(inputs), tuple(items), (values[output],))


def _outputs(s: GraphNode, parts: Any, values: dict[GraphNode, Value]) -> list[Value]:
    """The values of a stage, which those of its parts are named after."""
    if not isinstance(getattr(s.node, "dtype", None), tuple):
        dtype = s.node.dtype if s.node is not None else s._at.dtype
        values[s] = Value(s.name, s.shape, str(dtype).rpartition(".")[2])
        return [values[s]]
    found = []
    for i, (shape, dtype) in enumerate(zip(s.shape, s.node.dtype, strict=True)):
        part = parts.get((s, i))
        name = f"{s.name}[{i}]" if part is None else part.name
        found.append(Value(name, tuple(shape), str(dtype).rpartition(".")[2]))  # type: ignore[arg-type]
        if part is not None:
            values[part] = found[-1]
    return found


def _operand(v: Any, values: dict[GraphNode, Value]) -> Operand:
    number: Operand = v if type(v) in NUMBERS else values[v]
    return number


def _stage(s: GraphNode, operands: tuple[Operand, ...], outputs: tuple[Value, ...]) -> Stage:
    entry: Op = s.node.op
    if OPS.get(entry.name) is entry:
        return Stage(entry.name, operands, outputs, s.params, s.source)
    params = {"entry": entry, "options": tuple(s.params.items()), "count": len(operands)}
    return Stage("custom", operands, outputs, params, s.source)
