"""The page: one file with the picture and the listing side by side, which run stage by stage."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Collection
from html import escape
from importlib.resources import files
from typing import Any

from .box_svg import form, source_line
from .layout import GAP_X, GAP_Y, HEAD, PAD
from .model import Box
from .style import STYLE
from .svg import Writer

#: The most boxes of a page, which then has about a megabyte; groups with more inside do not open.
MOST = 2500


def page(writer: Writer, open_groups: Collection[int]) -> str:
    """The page as text, with these groups open."""
    data = _data(writer)
    data["open"] = [number for number in sorted(open_groups) if data["groups"][number]["opens"]]
    template = files(__package__).joinpath("page.html").read_text("utf-8")
    return (
        template.replace("/*STYLE*/", STYLE)
        .replace("<!--TITLE-->", escape(writer.source.title or "computation"))
        .replace("<!--DATA-->", _packed(data))
    )


def _packed(data: Any) -> str:
    """Compressed JSON in base64: time steps are much alike; and no name in it can end the script element."""
    return base64.b64encode(zlib.compress(json.dumps(data).encode(), 9)).decode()


def _data(writer: Writer) -> dict[str, Any]:
    """What the page needs, as JSON: boxes as fragments of SVG, and the layout of every group."""
    picture = writer.source
    children = picture.children()
    kept: set[int] = set()
    opens = [False] * len(picture.groups)
    queue = [0]
    for number in queue:  # from the outside inwards
        boxes = children[number]
        if number == 0 or len(kept) + len(boxes) <= MOST:
            opens[number] = True
            kept.update(box.id for box in boxes)
            queue += [box.opens for box in boxes if box.opens is not None]
    notes = list(writer.notes)
    if not all(opens):
        notes.append(f"{len(picture.boxes):,} boxes: {opens.count(False):,} groups are too many to open here")
    sums = _sums(writer)
    levels: list[Any] = []
    for number, level in enumerate(writer.levels):
        if not opens[number]:
            levels.append(None)
            continue
        level.place()
        levels.append(
            {
                "items": [
                    [i.box.id, i.outside, i.column, i.row, *writer.boxes.size(i)]
                    + ([writer.boxes.item(i)] if i.outside else [])
                    for i in level.items
                ],
                "wires": level.wires,
                "reads": level.unnamed,
            }
        )
    return {
        "gaps": [GAP_X, GAP_Y, PAD, HEAD],
        "boxes": {box.id: _box(writer, box, sums) for box in picture.boxes if box.id in kept},
        "groups": [
            {"label": g.label, "kind": g.kind, "parent": g.parent, "opens": o, "face": g.face and g.face.id}
            for g, o in zip(picture.groups, opens, strict=True)
        ],
        "levels": levels,
        "back": [(a.id, b.id) for a, b in picture.back],
        "notes": notes,
    }


def _box(writer: Writer, box: Box, sums: dict[int, list[Any]]) -> dict[str, Any]:
    value, grad = writer.boxes.summary(box, False), writer.boxes.summary(box, True)
    return {
        "name": box.name,
        "text": box.text,
        "kind": box.kind,
        "group": box.group,
        "opens": box.opens,
        "inputs": [b.id for b in box.inputs],
        "value": value.brief if value else box.missing,
        "grad": grad.brief if grad else "",
        "form": form(box),
        "rule": box.rule,
        "call": box.call,
        "line": source_line(box.source),
        "given": sums.get(box.id, []),
        "svg": writer.boxes.item_of(box, tip=False),  # the page makes the tip itself
    }


def _sums(writer: Writer) -> dict[int, list[Any]]:
    """For each call of `deriv`: the box that it gives to, what it gives, and the sum after `+=`."""
    from .arrays import summary

    totals: dict[int, Any] = {}
    found: dict[int, list[Any]] = {}
    for box in reversed(writer.source.boxes):
        for target, g in box.given:
            first = target.id not in totals
            totals[target.id] = g if first else totals[target.id] + g
            total = None if first else summary(totals[target.id]).brief
            found.setdefault(box.id, []).append([f"d{target.name}", summary(g).brief, total])
    return found
