"""The usual slips in a derivation by hand: what a step gives if one is made in it.

Each variant is a wrong value for one contribution of a step, with the kind of the slip and what it says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from math import prod
from typing import Any, NamedTuple

from ..compiler.printing.spelling import shown
from ..core.rules import deriv
from ..core.tensor import Tensor
from ..namespace import asarray, broadcast_to, matmul, mean, ones_like, sum
from ..ops.linalg import MATMUL
from .backward_stages import BackwardStage, Contribution

#: The kinds of slips; where several give the same numbers, they are named in this order.
KINDS = ("overwritten", "sign", "broadcast", "transpose", "point", "factor", "operand")

#: Ops that move or add up elements, which have no local slope.
_MOVING = frozenset(
    ("+", "-", "neg", "none", "reshape", "transpose", "broadcast_to", "getitem", "concat", "stack")
)


class Variant(NamedTuple):
    """A wrong value for a contribution: the kind of slip, what it says, and the value."""

    kind: str
    text: str
    value: Any


def variants(step: BackwardStage, c: Contribution, others: Sequence[BackwardStage] = ()) -> Iterator[Variant]:
    """Wrong values for the contribution `c` of `step`; `others` are steps whose gradients may be mistaken."""
    yield Variant("sign", f"{_d(c)} has the wrong sign", -c.value)
    if isinstance(step.dz, tuple):
        return
    for family in (_unsummed, _transposed, _at_another_point, _of_another_operand, _without_a_factor):
        yield from _valid(family(step, c))
    yield from _valid(_of_another_gradient(step, c, others))


def _valid(found: Iterator[Variant]) -> Iterator[Variant]:
    """The variants whose shapes fit."""
    while True:
        try:
            yield next(found)
        except StopIteration:
            return
        except (ValueError, TypeError, IndexError):  # the shapes of this family do not fit
            return


def _d(c: Contribution) -> str:
    return f"d{shown(c.stage.name)}"


def _name(v: Any) -> str:
    return shown(getattr(v, "name", v))


def operands(step: BackwardStage) -> list[Any]:
    """The values of the operands: Tensors and numbers."""
    return [getattr(v, "value", v) for v in step.stage.operands]


def rule(step: BackwardStage, dz: Any, values: Sequence[Any], z: Any = None) -> tuple[Any, ...]:
    """The rule of a step, with other values."""
    entry, params = step.stage.node.op, step.stage.params
    if entry.variadic:
        return deriv(dz, tuple(values), None, entry, z=z, **params)
    return deriv(dz, values[0], values[1] if len(values) > 1 else None, entry, z=z, **params)


def _unsummed(step: BackwardStage, c: Contribution) -> Iterator[Variant]:
    """The gradient of a broadcast operand without its sum, or with another sum."""
    dz, values = step.dz, operands(step)
    if not step.stage.node.op.elementwise or c.value.shape == dz.shape:
        return
    spread = [broadcast_to(asarray(v), dz.shape) for v in values]
    full = rule(step, dz, spread)[c.operand]
    shape = c.value.shape
    text = f"{_name(c.stage)} of shape {shape} was broadcast to {dz.shape}, so {_d(c)} is a sum over axis"
    added = range(dz.ndim - len(shape))
    stretched = [i for i in range(len(added), dz.ndim) if shape[i - len(added)] != dz.shape[i]]
    axes = (*added, *stretched)
    which = f"{text} {', '.join(map(str, axes))}"
    yield Variant("broadcast", f"{which}, which is missing", full)
    yield Variant("broadcast", f"{which}; a mean was taken instead", _fit(mean(full, axis=axes), shape))
    for wrong in combinations(range(dz.ndim), len(axes)):
        other = sum(full, axis=wrong)
        if wrong != axes and prod(other.shape) == prod(shape):
            yield Variant("broadcast", f"{which}, not over {', '.join(map(str, wrong))}", _fit(other, shape))
    for count in range(1, len(axes)):
        for some in combinations(axes, count):
            yield Variant("broadcast", f"{which}, not over {some} alone", sum(full, axis=some))
    if len(axes) == 1:
        first = full.take(0, axis=axes[0])
        yield Variant("broadcast", f"{which}; only the first of them was taken", _fit(first, shape))


def _fit(x: Any, shape: tuple[int, ...]) -> Any:
    return x.reshape(shape)


def _transposed(step: BackwardStage, c: Contribution) -> Iterator[Variant]:
    entry, g = step.stage.node.op, c.value
    if entry.name == "transpose":
        yield Variant("transpose", f"{_d(c)} is not transposed back", step.dz)
    if entry is MATMUL:
        yield from _products(step, c)
    if g.ndim >= 2:
        yield Variant("transpose", f"{_d(c)} is transposed", _T(g))


def _products(step: BackwardStage, c: Contribution) -> Iterator[Variant]:
    """The products of the gradient and the other operand, in both orders, with and without transposes."""
    other = 1 - c.operand
    y, name, dz_name = operands(step)[other], _name(step.stage.operands[other]), f"d{_name(step.stage)}"
    right = f"{dz_name} @ {name}.T" if c.operand == 0 else f"{name}.T @ {dz_name}"
    for left, a in ((dz_name, step.dz), (f"{dz_name}.T", _T(step.dz))):
        for second, b in ((name, y), (f"{name}.T", _T(y))):
            for text, p, q in ((f"{left} @ {second}", a, b), (f"{second} @ {left}", b, a)):
                if text == right:
                    continue
                try:
                    value = matmul(p, q)
                except ValueError:
                    continue
                kind = "a transpose is missing" if text.count(".T") == 0 else "a transpose is misplaced"
                yield Variant("transpose", f"{kind}: {_d(c)} is {right}, not {text}", value)


def _T(x: Any) -> Any:
    return x.mT if x.ndim >= 2 else x


def _at_another_point(step: BackwardStage, c: Contribution) -> Iterator[Variant]:
    """The slope of a function of one operand at the output in place of the input, or the reverse."""
    entry, z = step.stage.node.op, step.stage.value
    if len(step.stage.operands) != 1 or entry.name in _MOVING or z is None or z.shape != c.value.shape:
        return
    (x,) = operands(step)
    given, made = _name(step.stage.operands[0]), _name(step.stage)
    if entry.uses_z:
        yield Variant(
            "point",
            f"the derivative of {entry.name} in terms of its output, {made}, is taken at its input, {given}",
            rule(step, step.dz, [x], z=x)[0],
        )
    yield Variant(
        "point",
        f"the derivative of {entry.name} is taken at its output, {made}, instead of its input, {given}",
        rule(step, step.dz, [z])[0],
    )


def _of_another_operand(step: BackwardStage, c: Contribution) -> Iterator[Variant]:
    for other in step.contributions:
        if other.stage is not c.stage:
            yield Variant(
                "operand", f"{_d(c)} is the gradient of the wrong operand: it is {_d(other)}", other.value
            )
    values = operands(step)
    if len(values) == 2 and not step.stage.node.op.variadic:
        mine, other_name = (_name(step.stage.operands[i]) for i in (c.operand, 1 - c.operand))
        yield Variant(
            "operand",
            f"{_d(c)} uses the wrong operand: {mine} and {other_name} are exchanged",
            rule(step, step.dz, values[::-1])[c.operand],
        )


def _without_a_factor(step: BackwardStage, c: Contribution) -> Iterator[Variant]:
    dz, g, made = step.dz, c.value, f"d{_name(step.stage)}"
    values = operands(step)
    if step.stage.node.op.name not in _MOVING:
        if dz.shape == g.shape or prod(dz.shape) == 1:
            slope = "the local derivative"
            yield Variant("factor", f"a factor is forgotten: {slope} in {_d(c)}", _spread(dz, g.shape))
        yield Variant(
            "factor",
            f"a factor is forgotten: the gradient of the output, {made}, in {_d(c)}",
            rule(step, ones_like(dz), values)[c.operand],
        )
    z = step.stage.value
    if step.stage.node.op.uses_z and len(values) == 1 and z is not None and z.shape == dz.shape:
        for name, value in ((f"the output, {_name(step.stage)}", z), (f"1 - {_name(step.stage)}", 1 - z)):
            yield Variant("factor", f"a factor is forgotten: {_d(c)} is just {made} times {name}", dz * value)
    for name, factor in _constants(step, c):
        yield Variant("factor", f"a factor is forgotten: {name} in {_d(c)}", g / factor)
        yield Variant("factor", f"a factor is one too many: {name} in {_d(c)}", g * factor)
    for v, value in [*zip(step.stage.operands, values), (step.stage, step.stage.value), (None, dz)]:
        if isinstance(value, Tensor) and value.shape == g.shape and not isinstance(v, int | float):
            name = made if v is None else _name(v)
            yield Variant("factor", f"a factor is one too many: {name} in {_d(c)}", g * value)
            yield Variant("factor", f"a factor is forgotten: {name} in {_d(c)}", g / value)


def _spread(dz: Any, shape: tuple[int, ...]) -> Any:
    return dz if dz.shape == shape else broadcast_to(dz.reshape(()), shape)


def _constants(step: BackwardStage, c: Contribution) -> Iterator[tuple[str, float]]:
    """Numbers that occur in the rule of a step, and 2."""
    found: dict[float, str] = {2.0: "2"}
    for v in step.stage.operands:
        if isinstance(v, int | float) and v not in (0, 1, -1):
            found.setdefault(float(v), str(v))
    if c.value.size > 1 and step.dz.size < c.value.size:
        ratio = c.value.size // max(step.dz.size, 1)
        found.setdefault(float(ratio), f"1/{ratio}, as the mean of {ratio} elements has,")
    yield from ((name, number) for number, name in found.items())


def _of_another_gradient(
    step: BackwardStage, c: Contribution, others: Sequence[BackwardStage]
) -> Iterator[Variant]:
    """The rule applied to the gradient of another stage, or a product with another value."""
    dz, values, made = step.dz, operands(step), f"d{_name(step.stage)}"
    for other in others:
        if other.stage is step.stage or isinstance(other.dz, tuple) or other.dz.shape != dz.shape:
            continue
        name = f"d{_name(other.stage)}"
        yield Variant(
            "operand",
            f"{_d(c)} uses the wrong gradient: {name} where {made} belongs",
            rule(step, other.dz, values)[c.operand],
        )
        value = other.stage.value
        if step.stage.node.op.name == "*" and value is not None and value.shape == dz.shape == c.value.shape:
            right = _name(step.stage.operands[1 - c.operand])
            yield Variant(
                "operand",
                f"{_d(c)} uses the wrong operand: {_name(other.stage)} where {right} belongs",
                dz * value,
            )


def partial_sums(
    arriving: Sequence[tuple[BackwardStage, Contribution]],
) -> Iterator[tuple[BackwardStage, Variant]]:
    """The sums of some of the contributions to a gradient: what is left if one is overwritten or left out."""
    count = len(arriving)
    if count < 2:
        return
    everything = range(count)
    suffixes = [tuple(everything[i:]) for i in everything[1:]]  # an assignment overwrites what came before
    if count <= 6:
        others = [s for n in range(count - 1, 0, -1) for s in combinations(everything, n)]
    else:
        others = [tuple(j for j in everything if j != i) for i in everything] + [(i,) for i in everything]
    for some in dict.fromkeys([*suffixes, *others]):
        left = [i for i in everything if i not in some]
        value = sum_of([arriving[i][1].value for i in some])
        name, through = _d(arriving[0][1]), ", ".join(_name(arriving[i][0].stage) for i in left)
        text = (
            f"{name} is overwritten instead of added to (= for +=): what comes through {through} is missing"
        )
        yield arriving[some[0] if some in suffixes else left[0]][0], Variant("overwritten", text, value)


def sum_of(parts: Sequence[Any]) -> Any:
    """The sum of arrays, which broadcast."""
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
