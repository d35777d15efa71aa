"""The terms of gradients: what a stage adds to the gradient of an operand, as text and as shapes.

Only shapes are read, never a rule: the matrix products are written as a person derives them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import prod
from typing import Any, NamedTuple

from ...ops import OPS
from ...ops.axes import normal_axes
from ...ops.einsum import split_subscripts
from ..ir import Stage, Value, is_complex
from .listing import PRODUCT, Text, expression, operand
from .spelling import quoted, shown

Shape = tuple[int, ...]


class Term(NamedTuple):
    """What one stage adds to the gradient of one operand.

    `name` is that of the gradient, and `text` how the term is computed; `deriv(dz, "tanh")` stands for the
    rule of an op. The operand, of shape `shape`, was broadcast to `full`: the term is summed over `axes`. A
    value from outside of loops gets the sum over `steps` of them, outermost first. `adds` says that another
    term came before, in the order of the backward pass.
    """

    name: str
    text: str
    shape: Shape
    full: Shape
    axes: tuple[int, ...] = ()
    steps: tuple[int, ...] = ()
    adds: bool = False

    @property
    def note(self) -> str:
        """Which sums there are, and why."""
        notes = []
        if self.axes:
            over = f"ax{'i' if len(self.axes) == 1 else 'e'}s {', '.join(map(str, self.axes))}"
            notes.append(f"{self.name[1:]} is broadcast over {over}")
        if self.steps:
            notes.append(f"over {' * '.join(map(str, self.steps))} steps")
        return "; ".join(notes)


def summed_axes(full: Shape, shape: Shape) -> tuple[int, ...]:
    """The axes of `full` over which an operand of shape `shape` was broadcast."""
    new = len(full) - len(shape)
    longer = (new + k for k, (n, m) in enumerate(zip(shape, full[new:])) if n != m)
    return (*range(new), *longer)


def term(s: Stage, i: int, flips: Mapping[Value, Value]) -> Term:
    """The term of operand `i` of a stage.

    `flips` are matrices that are transposed only for products, with what they are transposes of: the term is
    then that of the matrix itself.
    """
    v: Any = s.operands[i]
    of = flips.get(v, v)
    text, full = _Rule(s, flips).of(i)
    axes = summed_axes(full, of.shape)
    if axes:
        which = str(axes[0]) if len(axes) == 1 else str(axes)
        kept = ", keepdims=True" if len(full) == len(of.shape) else ""
        text = f"sum({text}, axis={which}{kept})"
    return Term(f"d{shown(of.name)}", text, of.shape, full, axes)


def transposed(v: str, rank: int) -> str:
    """A matrix, or a stack of them, transposed."""
    return f"{v}.T" if rank == 2 else f"{v}.mT"


class _Rule:
    """The terms of one stage, each as text and the shape that it has before sums."""

    def __init__(self, s: Stage, flips: Mapping[Value, Value]) -> None:
        self.s, self.flips = s, flips
        self.dz = f"d{shown(s.outputs[0].name)}"
        self.texts = [self._operand(v) for v in s.operands]
        self.shapes = [v.shape if type(v) is Value else () for v in s.operands]

    def _operand(self, v: Any) -> str:
        if v in self.flips:
            of = self.flips[v]
            return transposed(shown(of.name), len(of.shape))
        return operand(v).within(PRODUCT + 1)

    def of(self, i: int) -> tuple[str, Shape]:
        """The text of operand `i`, and its shape."""
        s, shape = self.s, self.shapes[i]
        if len(s.outputs) > 1:
            given = ", ".join(f"d{shown(v.name)}" for v in s.outputs)
            return self._unwritten(i, f"({given})"), shape
        text, full = self._written(i)
        complex_numbers = any(map(is_complex, (*s.operands, s.output)))
        return (self._unwritten(i, self.dz) if text is None or complex_numbers else text), full

    def _unwritten(self, i: int, dz: str) -> str:
        s = self.s
        name = s.params["entry"].name if s.op == "custom" else s.op
        return f"deriv({dz}, {quoted(name)}){f'[{i}]' if len(s.operands) > 1 else ''}"

    def _written(self, i: int) -> tuple[str | None, Shape]:
        s, entry, out = self.s, OPS.get(self.s.op), self.s.output.shape
        if s.op == "@":
            return self._product(i)
        if s.op == "einsum":
            return self._einsum(i)
        if s.op == "solve" and min(map(len, self.shapes)) >= 2:
            return None, (*out[:-2], *self.shapes[i][-2:])
        if s.op in ("where", "broadcast_to") or (entry is not None and entry.elementwise):
            return self._elementwise(i), out
        return self._moved(i), self.shapes[i]

    def _elementwise(self, i: int) -> str | None:
        dz, texts = self.dz, self.texts
        other = texts[1 - i] if len(texts) == 2 else ""
        texts_by_op: dict[str, Sequence[str]] = {
            "+": (dz, dz),
            "-": (dz, f"-{dz}"),
            "*": (f"{dz} * {other}",) * 2,
            "/": (f"{dz} / {other}", f"-{dz} * {shown(self.s.output.name)} / {texts[-1]}"),
            "neg": (f"-{dz}",),
            "none": (dz,),
            "broadcast_to": (dz,),
            "where": ("", f"where({texts[0]}, {dz}, 0)", f"where({texts[0]}, 0, {dz})"),
        }
        found = texts_by_op.get(self.s.op)
        return found[i] if found else None

    def _moved(self, i: int) -> str | None:
        """The term of an op that moves or sums elements; None for any other."""
        s, dz, shape = self.s, self.dz, self.shapes[i]
        if s.op == "reshape":
            return f"reshape({dz}, shape)"
        if s.op == "transpose":
            axes = s.params["axes"]
            if axes is None:
                return f"{dz}.T"
            order = normal_axes(tuple(axes), len(shape))
            return f"permute_dims({dz}, {tuple(order.index(a) for a in range(len(shape)))})"
        if s.op in ("sum", "mean"):
            return self._repeated()
        if s.op in ("concat", "stack"):
            axis = s.params["axis"] % len(s.output.shape)
            before = ":, " * axis
            if s.op == "stack":
                return f"{dz}[{before}{i}]"
            stops = [0, *accumulate(part[axis] for part in self.shapes)]
            return f"{dz}[{before}{stops[i]}:{stops[i + 1]}]"
        if s.op == "getitem":
            read = expression(s.op, [Text(text) for text in self.texts], s.params).text
            return f"zeros_like({self.texts[0]}).at{read.removeprefix(self.texts[0])}.add({dz})"
        return None

    def _repeated(self) -> str:
        """The term of a sum or a mean: dz, repeated along the axes that were summed."""
        s, dz, shape = self.s, self.dz, self.shapes[0]
        axes = normal_axes(s.params.get("axis"), len(shape))
        leading = sorted(axes) == list(range(len(axes)))
        if not s.params.get("keepdims") and not leading:
            kept = tuple(1 if a in axes else n for a, n in enumerate(shape))
            dz = f"expand_dims({dz}, axis={axes[0]})" if len(axes) == 1 else f"reshape({dz}, {kept})"
        if s.op == "mean":
            dz = f"{dz} / {prod(shape[a] for a in axes)}"
        return f"broadcast_to({dz}, shape)"

    def _einsum(self, i: int) -> tuple[str | None, Shape]:
        inputs, output = split_subscripts(self.s.params["subscripts"])
        mine, others = inputs[i], [j for j in range(len(inputs)) if j != i]
        pairs = [pair for j, names in enumerate(inputs) for pair in zip(names, self.shapes[j])]
        lengths = dict(sorted(pairs, key=lambda pair: pair[1]))  # the longest counts: 1 is broadcast
        known = (c for j in others for c, n in zip(inputs[j], self.shapes[j]) if n == lengths[c])
        if len(set(mine)) < len(mine) or not {*output, *known}.issuperset(mine):
            return None, self.shapes[i]
        subscripts = f"{','.join([output, *(inputs[j] for j in others)])}->{mine}"
        operands = ", ".join([self.dz, *(self.texts[j] for j in others)])
        return f'einsum("{subscripts}", {operands})', tuple(lengths[c] for c in mine)

    def _product(self, i: int) -> tuple[str, Shape]:
        """The term of a factor of `x @ y`; that of the matrix itself if the factor is its transpose."""
        v: Any = self.s.operands[i]
        (x, y), (x_shape, y_shape), dz, out = self.texts, self.shapes, self.dz, self.s.output.shape
        flipped = v in self.flips
        if len(x_shape) == len(y_shape) == 1:
            return f"{dz} * {(y, x)[i]}", self.shapes[i]
        if len(x_shape) == 1:
            text, full = self._row_times_matrix(i, flipped)
        elif len(y_shape) == 1:
            text, full = self._matrix_times_column(i, flipped)
        else:
            batch, turned = out[:-2], transposed(dz, len(out))
            if i == 0:
                full = (*batch, *x_shape[-2:])
                text = f"{y} @ {turned}" if flipped else f"{dz} @ {self._turned(1)}"
            else:
                full = (*batch, *y_shape[-2:])
                text = f"{turned} @ {x}" if flipped else f"{self._turned(0)} @ {dz}"
        return text, (*full[:-2], full[-1], full[-2]) if flipped else full

    def _row_times_matrix(self, i: int, flipped: bool) -> tuple[str, Shape]:
        (x, y), dz, out = self.texts, self.dz, self.s.output.shape
        batch, (n, m) = out[:-1], self.shapes[1][-2:]
        if i == 0:
            return f'einsum("...nm,...m->...n", {y}, {dz})' if batch else f"{y} @ {dz}", (*batch, n)
        if flipped:
            return f"{dz}[..., None] * {x}" if batch else f"outer({dz}, {x})", (*batch, n, m)
        return f"{x}[:, None] * {dz}[..., None, :]" if batch else f"outer({x}, {dz})", (*batch, n, m)

    def _matrix_times_column(self, i: int, flipped: bool) -> tuple[str, Shape]:
        (x, y), dz, out = self.texts, self.dz, self.s.output.shape
        batch, (m, n) = out[:-1], self.shapes[0][-2:]
        if i == 1:
            text = f'einsum("...mn,...m->...n", {x}, {dz})' if batch else f"{self._turned(0)} @ {dz}"
            return text, (*batch, n)
        if flipped:
            return f"{y}[:, None] * {dz}[..., None, :]" if batch else f"outer({y}, {dz})", (*batch, m, n)
        return f"{dz}[..., None] * {y}" if batch else f"outer({dz}, {y})", (*batch, m, n)

    def _turned(self, i: int) -> str:
        """The transpose of a factor: without a transpose, if it is one itself."""
        v: Any = self.s.operands[i]
        return shown(self.flips[v].name) if v in self.flips else transposed(self.texts[i], len(v.shape))
