"""The model of a drawing: boxes, the wires between them, and groups of boxes that open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["input", "constant", "gate", "group", "port"]

#: A level with more items than this is cut into parts, each of which is one box that opens.
CROWDED, PART = 120, 40


@dataclass(eq=False)
class Box:
    """One gate, input or constant; or the face of a group, which stands for it while it is closed.

    Attributes:
        name, op, expression: as the listing shows them. `sign` is what a small gate shows: "×", "+1".
        group: the number of the group that it is in; 0 is the whole drawing.
        inputs: the boxes that its operands come from.
        value, grad: Tensors, or None; `missing` says why there is no value.
        rule: the local rule of the derivative, a line for each operand.
        call: the call of `deriv` for it, and `given`: what that call gives to each input, as Tensors.
        opens: the group that it stands for, or None.
    """

    name: str
    op: str = ""
    expression: str = ""
    sign: str = ""
    kind: Kind = "gate"
    group: int = 0
    inputs: tuple[Box, ...] = ()
    shape: tuple[int, ...] = ()
    dtype: str = ""
    value: Any = None
    grad: Any = None
    missing: str = ""
    rule: tuple[str, ...] = ()
    source: str = ""
    call: str = ""
    given: tuple[tuple[Box, Any], ...] = ()
    opens: int | None = None
    id: int = -1

    @property
    def text(self) -> str:
        """The box as a line of a listing."""
        if not self.expression:
            return self.name
        return f"{self.name} {'' if self.kind == 'group' else '= '}{self.expression}"


@dataclass(eq=False)
class Group:
    """Boxes that are drawn as one, `face`, until the group is opened."""

    label: str
    kind: Literal["drawing", "gate", "module", "scan", "step", "part", "parameters"]
    face: Box | None

    @property
    def parent(self) -> int | None:
        """The number of the group that it is in."""
        return None if self.face is None else self.face.group


@dataclass(eq=False)
class Picture:
    """A drawing: its boxes in the order of computation, its groups, and notes on what it does not show."""

    title: str = ""
    boxes: list[Box] = field(default_factory=list)
    groups: list[Group] = field(default_factory=lambda: [Group("", "drawing", None)])
    notes: list[str] = field(default_factory=list)
    #: the parameters that are drawn, as a tree, and their gradients
    tree: Any = None
    #: wires from one time step to the next that the order of computation does not allow: next carry, carry
    back: list[tuple[Box, Box]] = field(default_factory=list)

    def add(self, box: Box) -> Box:
        """Add a box."""
        box.id = len(self.boxes)
        self.boxes.append(box)
        return box

    def open_group(self, label: str, kind: Any, parent: int, face: Box | None = None) -> int:
        """Add a group, with `face` or a new box to stand for it, and return its number."""
        number = len(self.groups)
        if face is None:
            face = self.add(Box(label, kind="group", group=parent))
        face.opens = number
        self.groups.append(Group(label, kind, face))
        return number

    def chain(self, box: Box) -> list[Box]:
        """The box, and the face of each group around it, from the innermost."""
        found = [box]
        while (around := self.groups[found[-1].group].face) is not None:
            found.append(around)
        return found

    def children(self) -> dict[int, list[Box]]:
        """The boxes directly in each group."""
        found: dict[int, list[Box]] = {number: [] for number in range(len(self.groups))}
        for box in self.boxes:
            found[box.group].append(box)
        return found

    def wires(self) -> Iterator[tuple[Box, Box]]:
        """Every wire, from the box that gives a value to the box that takes it."""
        for box in self.boxes:
            for source in dict.fromkeys(box.inputs):
                yield source, box

    def finish(self) -> Picture:
        """Fill in the faces of groups from what is in them, and cut crowded levels into parts."""
        self._fill_faces()
        if self._cut():
            self._fill_faces()
        return self

    def _fill_faces(self) -> None:
        """Give each face that computes nothing itself the value of the last box that leaves its group."""
        leaving: dict[int, Box] = {}
        last: dict[int, Box] = {}
        for box in self.boxes:
            for face in self.chain(box)[1:]:
                if face.opens is not None and box.kind != "group":
                    last[face.opens] = box
        for source, box in self.wires():
            around = set(map(id, self.chain(box)))
            for face in self.chain(source)[1:]:
                if id(face) not in around and face.opens is not None:
                    before = leaving.get(face.opens)
                    leaving[face.opens] = source if before is None or source.id > before.id else before
        for number, group in enumerate(self.groups):
            front, shown = group.face, leaving.get(number, last.get(number))
            if group.kind == "parameters" or front is None or front.kind != "group" or shown is None:
                continue
            front.value, front.grad, front.missing = shown.value, shown.grad, shown.missing
            front.shape, front.dtype, front.expression = shown.shape, shown.dtype, f"gives {shown.name}"

    def _cut(self) -> bool:
        """Cut every level with too many boxes into parts, in the order of computation."""
        count = len(self.boxes)
        first: dict[Box, Box] = {}  # the first box in each part
        for number, boxes in self.children().items():
            while len(boxes) > CROWDED:
                size = max(PART, -(-len(boxes) // CROWDED))
                parts = [boxes[start : start + size] for start in range(0, len(boxes), size)]
                boxes = [part[0] if len(part) == 1 else self._part(part, number) for part in parts]
                first |= {
                    face: part[0] for face, part in zip(boxes, parts, strict=True) if face is not part[0]
                }
        if len(self.boxes) == count:
            return False
        self._in_order(first)
        self.notes.append(
            f"{count:,} boxes are too many to show at once: neighbours in the order of computation are drawn "
            f"as one box that opens"
        )
        return True

    def _part(self, boxes: list[Box], number: int) -> Box:
        """Move boxes of a group into a new group inside of it, and return its face."""
        inner = self.open_group(f"{boxes[0].name} … {boxes[-1].name}", "part", number)
        for box in boxes:
            box.group = inner
        face = self.groups[inner].face
        assert face is not None
        return face

    def _in_order(self, first: dict[Box, Box]) -> None:
        """Number the boxes again, with each part just before the first box in it."""

        def key(box: Box) -> tuple[int, int]:
            start = box
            while start in first:
                start = first[start]
            return start.id, box.id if start is box else -box.id

        self.boxes.sort(key=key)
        for number, box in enumerate(self.boxes):
            box.id = number
