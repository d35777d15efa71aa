"""Drawings in the DOT language, with a cluster for each group."""

from __future__ import annotations

from .arrays import summary
from .model import Box, Picture


def dot(picture: Picture) -> str:
    """The picture as DOT text: all groups are open, as tools for DOT lay out clusters themselves."""
    children = picture.children()
    lines = ["digraph {", "  rankdir=LR;", "  node [shape=box, style=rounded, fontname=Helvetica];"]

    def level(number: int, indent: str) -> None:
        for box in children[number]:
            if box.opens is None or box.kind != "group":
                lines.append(f"{indent}n{box.id} [label={_quoted(_label(box))}{_shape(box)}];")
            if box.opens is not None:
                lines.append(f"{indent}subgraph cluster{box.opens} {{")
                lines.append(f"{indent}  label={_quoted(box.name)};")
                level(box.opens, indent + "  ")
                lines.append(f"{indent}}}")

    level(0, "  ")
    lines += [f"  n{source.id} -> n{box.id};" for source, box in picture.wires()]
    lines += [f"  n{a.id} -> n{b.id} [style=dashed, constraint=false];" for a, b in picture.back]
    return "\n".join([*lines, "}", ""])


def _shape(box: Box) -> str:
    return ", shape=plain" if box.kind in ("input", "constant", "port") else ""


def _label(box: Box) -> str:
    lines = [box.text]
    lines += [] if box.shape == () and box.value is not None else [f"{box.shape} {box.dtype}"]
    for x, what in ((box.value, "value"), (box.grad, "gradient")):
        if x is not None:
            lines.append(f"{what} {summary(x).text}")
    return "\n".join(lines)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
