"""The shape ledger: the shapes of a forward and a backward pass, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ...backends.dtypes import is_floating
from ...ops import OPS
from ..ir import Item, Loop, Operand, Program, Stage, Value
from .listing import Text, expression, names_of, opened, operand, steps_of
from .spelling import shown
from .tables import GRADIENT, PLAIN, html_table
from .terms import Term, term, transposed

#: The width of a printed ledger, and of its two columns of text.
WIDTH, STAGE, TERM = 100, 30, 32


@dataclass(frozen=True)
class Line:
    """A stage, or another value that gets a name, with the terms that it adds to gradients."""

    depth: int
    text: str
    shape: str
    terms: tuple[Term, ...] = ()


@dataclass(frozen=True, repr=False)
class Shapes:
    """The shapes of a program's stages and of each term of its gradients; print it."""

    lines: tuple[Line, ...]

    @property
    def terms(self) -> tuple[Term, ...]:
        """All terms, in the order of the forward pass."""
        return tuple(t for line in self.lines for t in line.terms)

    def __str__(self) -> str:
        return "\n".join(_printed(self.lines))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        columns = [("stage", PLAIN), ("shape", PLAIN), ("gradient", GRADIENT), ("shape", GRADIENT)]
        return html_table([*columns, ("sums", PLAIN)], list(_cells(self.lines)), tuple)


def shapes(program: Program) -> Shapes:
    """List the shapes of a program's stages, and beside each the terms that it adds to the gradients.

    A term is summed over the axes along which its operand was broadcast. The terms of matrix products are
    written with their transposes; `deriv(dz, "tanh")` stands for the rule of any other op, and `shape` for
    the shape beside it. Below a scan is its body, for one step; what comes from outside gets the sum over all
    steps.

    >>> import xgrad as xg
    >>> def layer(W, b, h):
    ...     y = xg.tanh(h @ W.T + b)
    ...     return xg.sum(y)
    >>> print(xg.trace(layer, xg.zeros((4, 3)), xg.zeros(4), xg.zeros((5, 3))).shapes())
    W             (4, 3)  dW                             (4, 3)
    b             (4,)    db                             (4,)
    h             (5, 3)  dh                             (5, 3)
    z2 = h @ W.T  (5, 4)  dh = dz2 @ W                   (5, 3)
                          dW = dz2.T @ h                 (4, 3)
    z3 = z2 + b   (5, 4)  dz2 = dz3                      (5, 4)
                          db = sum(dz3, axis=0)          (4,)  b is broadcast over axis 0
    y = tanh(z3)  (5, 4)  dz3 = deriv(dy, "tanh")        (5, 4)
    z5 = sum(y)   ()      dy = broadcast_to(dz5, shape)  (5, 4)
    """
    return Shapes(tuple(_Ledger(program).lines()))


class _Ledger:
    """Finds which values have a gradient, and the terms of each stage."""

    def __init__(self, program: Program) -> None:
        self.program = opened(program, lambda s: s.params["program"] if s.op == "checkpoint" else None)
        self.flips = _flips(self.program)
        self.terms: dict[Any, list[Term]] = {}  # by stage, or by loop and place in its lines
        self.given: set[Value] = set()  # values whose gradient has a term
        self.loops: dict[Value, int] = {}  # inside of how many loops a value is defined
        self.active = {v for v in self.program.inputs if is_floating(v.dtype)}
        self._activate(self.program.stages)
        self.reached = {v for v in self.program.outputs if v in self.active}
        self._reach(self.program.stages)
        self._number(self.program.stages, 0)
        self._sweep(self.program.stages, ())

    def wanted(self, s: Stage) -> list[int]:
        """The operands that have a gradient."""
        entry = OPS.get(s.op)
        if s.op == "custom":
            return [i for i, v in enumerate(s.operands[: s.params["count"]]) if v in self.active]
        rules: Sequence[Any] = (
            () if entry is None else entry.rules * (len(s.operands) if entry.variadic else 1)
        )
        condition = s.op == "where"
        return [
            i
            for i, (v, rule) in enumerate(zip(s.operands, rules))
            if rule is not None and v in self.active and not (condition and i == 0)
        ]

    def _activate(self, items: Iterable[Item]) -> None:
        """Find the values through which a gradient can flow, in the order of the forward pass."""
        for s in items:
            if isinstance(s, Stage):
                self.active.update(v for v in s.outputs if is_floating(v.dtype) and self.wanted(s))
                continue
            before = -1
            while before < len(self.active):
                before = len(self.active)
                self.active.update(
                    c.inner for c in s.carry if is_floating(c.inner.dtype) and {c.init, c.next} & self.active
                )
                self.active.update(x.inner for x in s.xs if x.outer in self.active)
                self._activate(s.stages)
            self.active.update(c.final for c in s.carry if c.final is not None and c.inner in self.active)
            self.active.update(y.outer for y in s.ys if y.inner in self.active)

    def _reach(self, items: Sequence[Item]) -> None:
        """Find the values that a gradient reaches, in reverse."""
        for s in reversed(items):
            if isinstance(s, Stage):
                if not self.reached.isdisjoint(s.outputs):
                    self.reached.update(s.operands[i] for i in self.wanted(s))  # type: ignore[misc]
                continue
            before = -1
            while before < len(self.reached):
                before = len(self.reached)
                ends = [c.next for c in s.carry if {c.final, c.inner} & self.reached]
                ends += [y.inner for y in s.ys if y.outer in self.reached]
                self.reached.update(v for v in ends if v in self.active)
                self._reach(s.stages)
            starts: list[Operand] = [c.init for c in s.carry if c.inner in self.reached]
            starts += [x.outer for x in s.xs if x.inner in self.reached]
            self.reached.update(v for v in starts if v in self.active)

    def _number(self, items: Iterable[Item], depth: int) -> None:
        for s in items:
            self.loops.update(dict.fromkeys(s.outputs, depth))
            if isinstance(s, Loop):
                self.loops.update(dict.fromkeys(s.inner, depth + 1))
                self._number(s.stages, depth + 1)

    def _sweep(self, items: Sequence[Item], around: tuple[int, ...]) -> None:
        """Find the terms, in the order of the backward pass."""
        for s in reversed(items):
            if isinstance(s, Loop):
                self._sweep_loop(s, around)
            elif not self.reached.isdisjoint(s.outputs) and s.outputs[0] not in self.flips:
                for i in reversed(self.wanted(s)):
                    v: Any = s.operands[i]
                    self._add(id(s), self.flips.get(v, v), term(s, i, self.flips), around)

    def _sweep_loop(self, s: Loop, around: tuple[int, ...]) -> None:
        inside = (*around, s.length)
        first, last = (s.length - 1, 0) if s.reverse else (0, s.length - 1)
        for c in s.carry:
            if c.final is not None and c.final in self.reached:
                self._end((id(s), "final", c.inner), c.next, f"d{shown(c.final.name)} at t = {last}", inside)
            if c.inner in self.reached:
                after = "before" if s.reverse else "after"
                self._end((id(s), c.inner), c.next, f"d{shown(c.inner.name)} of the step {after}", inside)
        for y in s.ys:
            if y.outer in self.reached:
                self._end((id(s), y.outer), y.inner, f"d{shown(y.outer.name)}[t]", inside)
        self._sweep(s.stages, inside)
        for x in s.xs:
            if x.inner in self.reached:
                name = f"d{shown(x.outer.name)}[t]"
                found = Term(name, f"d{shown(x.inner.name)}", x.inner.shape, x.inner.shape)
                self._add((id(s), x.inner), x.outer, found, around)
        for c in s.carry:
            if c.inner in self.reached and type(c.init) is Value and c.init in self.active:
                text = f"d{shown(c.inner.name)} at t = {first}"
                full = c.inner.shape
                found = Term(f"d{shown(c.init.name)}", text, full, full)
                self._add((id(s), c.inner), c.init, found, around)

    def _end(self, place: Any, v: Operand, text: str, inside: tuple[int, ...]) -> None:
        """A term of a value at the end of a step."""
        if type(v) is Value and v in self.active:
            self._add(place, v, Term(f"d{shown(v.name)}", text, v.shape, v.shape), inside)

    def _add(self, place: Any, v: Value, found: Term, around: tuple[int, ...]) -> None:
        steps = around[self.loops.get(v, 0) :]
        self.terms.setdefault(place, []).insert(0, found._replace(adds=v in self.given, steps=steps))
        self.given.add(v)

    def lines(self) -> Iterator[Line]:
        """Yield the lines: the inputs, then each stage."""
        for v in self.program.inputs:
            given = [Term(f"d{shown(v.name)}", "", v.shape, v.shape)] if v in self.given else []
            yield Line(0, shown(v.name), str(v.shape), tuple(given))
        yield from self._lines(self.program.stages, 0)

    def _lines(self, items: Iterable[Item], depth: int) -> Iterator[Line]:
        for s in items:
            if isinstance(s, Loop):
                yield from self._loop_lines(s, depth)
            elif s.outputs[0] not in self.flips:
                texts = [self._operand(v) for v in s.operands]
                yield self._line(
                    depth, names_of(s.outputs), expression(s.op, texts, s.params).text, s.outputs, id(s)
                )

    def _loop_lines(self, s: Loop, depth: int) -> Iterator[Line]:
        yield self._line(depth, names_of(s.outputs), f"scan over {steps_of(s)}:", s.outputs)
        inner = depth + 1
        for c in s.carry:
            text = f"{operand(c.init).text}, then {operand(c.next).text}"
            yield self._line(inner, shown(c.inner.name), text, [c.inner], (id(s), c.inner))
        for x in s.xs:
            yield self._line(
                inner, shown(x.inner.name), f"{operand(x.outer).text}[t]", [x.inner], (id(s), x.inner)
            )
        yield from self._lines(s.stages, inner)
        for y in s.ys:
            yield self._line(
                inner, f"{shown(y.outer.name)}[t]", operand(y.inner).text, [y.inner], (id(s), y.outer)
            )
        for c in s.carry:
            if c.final is not None:
                text = f"{operand(c.next).text} of the last step"
                yield self._line(inner, shown(c.final.name), text, [c.final], (id(s), "final", c.inner))

    def _line(self, depth: int, left: str, right: str, values: Iterable[Operand], place: Any = None) -> Line:
        form = ", ".join(str(v.shape) for v in values if type(v) is Value)
        return Line(depth, f"{left} = {right}", form, tuple(self.terms.get(place, ())))

    def _operand(self, v: Operand) -> Text:
        of = self.flips.get(v) if type(v) is Value else None
        return operand(v) if of is None else Text(transposed(shown(of.name), len(of.shape)))


def _flips(program: Program) -> dict[Value, Value]:
    """Matrices that are transposed for products alone, and what they are transposes of."""
    found: dict[Value, Value] = {}
    elsewhere = {v for v in program.outputs if type(v) is Value}
    stack = list(program.stages)
    while stack:
        s = stack.pop()
        if isinstance(s, Loop):
            stack += s.stages
            read = (*s.results, *(c.init for c in s.carry), *(x.outer for x in s.xs))
            elsewhere.update(v for v in read if type(v) is Value)
        elif s.op == "transpose" and type(s.operands[0]) is Value and _swaps_last(s):
            found[s.output] = s.operands[0]
            elsewhere.add(s.operands[0])  # a transpose of a transpose is written
        elif s.op != "@":
            elsewhere.update(s.values)
    return {v: of for v, of in found.items() if v not in elsewhere}


def _swaps_last(s: Stage) -> bool:
    rank, axes = len(s.output.shape), s.params["axes"]
    swapped = (*range(rank - 2), rank - 1, rank - 2)
    order = tuple(reversed(range(rank))) if axes is None else tuple(a % rank for a in axes)
    return rank >= 2 and order == swapped


def _cells(lines: Iterable[Line]) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield the cells of each row: a line with its first term, then its other terms."""
    for line in lines:
        for k, t in enumerate(line.terms or (None,)):
            start = ("", "") if k else (f"{'    ' * line.depth}{line.text}", line.shape)
            if t is None:
                yield (*start, "", "", "")
            else:
                sign = " += " if t.adds else " = "
                yield (*start, f"{t.name}{sign}{t.text}" if t.text else t.name, str(t.shape), t.note)


def _printed(lines: Iterable[Line]) -> Iterator[str]:
    """Yield the rows in columns, at most WIDTH wide; what does not fit goes to the next row, or is cut."""
    cells = list(_cells(lines))
    widths = [max((len(cell) for cell in column), default=0) for column in zip(*cells)]
    stage, term_ = min(widths[0], STAGE), min(widths[2], TERM)
    for text, shape, gradient, gradient_shape, note in cells:
        left = f"{_cut(text, stage if gradient else WIDTH):<{stage}}  {shape:<{min(widths[1], 9)}}"
        right = f"{_cut(gradient, term_):<{term_}}  {gradient_shape:<{min(widths[3], 9)}}"
        row = f"{left}  {right}".rstrip()
        if len(row) > WIDTH:
            yield left.rstrip()
            row = f"{'':<{stage}}  {right}".rstrip()
        if len(row) + 2 + len(note) <= WIDTH:
            yield f"{row}  {note}".rstrip()
        else:
            indent = stage + min(widths[1], 9) + 8
            yield from (row, f"{'':<{indent}}{_cut(note, WIDTH - indent)}")


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."


Program.shapes = shapes
