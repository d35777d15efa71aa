"""A recorded graph as text: one line per stage, with its value and, once known, its gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..backends.dtypes import is_complex
from ..compiler.printing import listing as programs
from ..compiler.printing.listing import Text
from ..compiler.printing.spelling import called, shown
from ..compiler.printing.tables import GRADIENT, PLAIN, VALUE, html_table
from ..core.tensor import Tensor
from ..ops import OPS, Op
from ..ops.shaping import ITEM

if TYPE_CHECKING:
    from .graph_view import GraphNode

#: Arrays of up to this many elements are shown as numbers, larger ones by their range.
FEW = 4
#: Parameters that hold what an op needs to run, and say nothing to a reader.
_INTERNAL = ("body", "derivative")


def expression(stage: GraphNode) -> str:
    """A stage as the notes write it: `z1 + z2`, `tanh(z3)`, `xs[0]`."""
    entry: Op | None = stage.node.op if stage.node is not None else None
    if entry is None:
        return stage.op
    operands = [_operand(v) for v in _all_operands(stage)]
    if entry is ITEM:
        return f"{operands[0].text}[{stage.params['i']}]"
    if OPS.get(entry.name) is entry and entry.name != "scan":
        return programs.expression(entry.name, operands, stage.params).text
    params = {
        k: v
        for k, v in stage.params.items()
        if k not in _INTERNAL and v is not False and isinstance(v, int | float | complex | str)
    }
    texts = [v.text for v in operands]
    if "use" in stage.params:
        return f"{programs.gate(entry.name, stage.params)}({', '.join(texts)})"
    return f"{called(entry.name)}({', '.join([*texts, *programs.options('', params)])})"


def _operand(v: Any) -> Text:
    return programs.number(v) if isinstance(v, int | float | complex) else Text(shown(getattr(v, "name", v)))


def _all_operands(stage: GraphNode) -> Sequence[Any]:
    """The operands; "..." for those that a graph recorded without `graph` and `record` does not keep."""
    if hasattr(stage.node, "operands"):
        return stage.operands
    known = iter(stage.operands)
    return [next(known) if parent is not None else "..." for parent in stage.node.parents]


def listing(stages: Sequence[GraphNode]) -> str:
    """All stages, one a line, in columns."""
    names = [shown(stage.name) for stage in stages]
    left = max(map(len, names))
    texts = [expression(stage) for stage in stages]
    middle = _width(texts)
    forms = [form(stage) for stage in stages]
    values = [_value(stage) for stage in stages]
    longest = max((len(shown(stage.name)) for stage in stages if stage.grad is not None), default=0)
    gradients = [_gradient(stage, longest) for stage in stages]
    widths = (_width(forms), _width(values)) if longest else (0, 0)
    lines = []
    for name, text, kind, value, gradient in zip(names, texts, forms, values, gradients, strict=True):
        line = f"{name:<{max(left, 5)}} = {text:<{middle}}    {kind:<{widths[0]}}    {value:<{widths[1]}}"
        lines.append(f"{line}    {gradient}".rstrip())
    return "\n".join(lines)


def table(stages: Sequence[GraphNode]) -> str:
    """All stages as a table for notebooks: values in green, gradients in red."""
    columns = [("stage", PLAIN), ("computed as", PLAIN), ("shape and dtype", PLAIN), ("value", VALUE)]
    columns.append(("gradient", GRADIENT))

    def cells(stage: GraphNode) -> list[str]:
        numbers = ["" if x is None else brief(x) for x in (stage.value, stage.grad)]
        return [stage.name, expression(stage), form(stage), *numbers]

    return html_table(columns, stages, cells)


def _width(texts: Sequence[str]) -> int:
    """The width of a column; what is longer than most lines stands out of it."""
    return min(max(map(len, texts)), 32)


def form(stage: GraphNode) -> str:
    """Shape and dtype; of each part, for a stage with several outputs."""
    dtype: Any = getattr(stage.node, "dtype", None)
    shape: Any = stage.shape
    if isinstance(dtype, tuple):
        parts = [f"{tuple(s)} {d}" for s, d in zip(shape, dtype, strict=True)]
        same = len(parts) > 2 and len(set(parts)) == 1
        return f"{len(parts)} of {parts[0]}" if same else ", ".join(parts)
    value = stage.value
    return f"{shape} {dtype if value is None else value.dtype}"


def _value(stage: GraphNode) -> str:
    if isinstance(getattr(stage.node, "dtype", None), tuple):
        return ""  # its parts are stages of their own
    value = stage.value
    return "value not kept" if value is None else f"= {brief(value)}" if value.size <= FEW else ""


def _gradient(stage: GraphNode, width: int) -> str:
    return "" if stage.grad is None else f"d{shown(stage.name):<{width}} = {brief(stage.grad)}"


def brief(x: Any) -> str:
    """An array in one line: its numbers if they are few, else its range."""
    if not isinstance(x, Tensor):
        return ", ".join("None" if part is None else brief(part) for part in x)
    show = x.device.backend.show
    if x.size <= FEW:
        return " ".join(show(x.data, "").split())
    if is_complex(x.dtype):
        return f"{x.shape} of norm {float(abs(x).max()):.4g} at most"
    low, high = (show(getattr(x.device.xp, f)(x.data), "") for f in ("min", "max"))
    return f"{x.shape} from {low} to {high}"
