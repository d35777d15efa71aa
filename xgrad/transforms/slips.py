"""The usual slips in a derivation by hand: what a step gives for an operand if one is made in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import combinations
from math import prod
from typing import TYPE_CHECKING, Any

from ..core.rules import deriv
from ..namespace import asarray, broadcast_to, matmul, mean, ones_like, sum
from ..ops.linalg import MATMUL
from .backward_stages import BackwardStage, Contribution
from .variants import (
    MOVING,
    Variant,
    gradient_of,
    name_of,
    operands,
    rule,
    value_read,
    with_output,
    with_value,
)
from .wrong_formulas import wrong_formulas

if TYPE_CHECKING:
    from .graph_view import GraphNode


def variants(step: BackwardStage, c: Contribution) -> Iterator[Variant]:
    """Wrong values for the contribution `c` of `step`, in the same order for all steps of the same form."""
    yield Variant("sign", f"{gradient_of(c.stage)} has the wrong sign", lambda: -c.value)
    if not isinstance(step.dz, tuple):
        for slips in (_sums, _transposes, wrong_formulas, _points, _exchanges, _factors):
            yield from slips(step, c)


# Sums over broadcast axes


def _unreduced(step: BackwardStage, c: Contribution, values: Sequence[Any]) -> Any:
    """What the rule gives for these values before the sum over broadcast axes, if the op is elementwise."""
    if not step.stage.node.op.elementwise:
        return rule(step, step.dz, values)[c.operand]
    return rule(step, step.dz, [broadcast_to(asarray(v), step.dz.shape) for v in values])[c.operand]


def _reduced(step: BackwardStage, c: Contribution, full: Any) -> Any:
    """The sum of `full` over the axes along which the operand was broadcast, if the op is elementwise."""
    if not step.stage.node.op.elementwise or full.shape == c.value.shape:
        return full
    return deriv(full, c.stage.value, full, "+")[0]


def _sums(step: BackwardStage, c: Contribution) -> Iterator[Variant]:
    """The gradient of a broadcast operand without its sum, or with another sum."""
    dz, values, shape = step.dz, operands(step), c.value.shape
    if step.stage.node.op.elementwise and shape != dz.shape:
        whole, full = dz.shape, partial(_unreduced, step, c, values)
    elif step.stage.node.op is MATMUL and 2 <= len(shape) < dz.ndim:
        factors = (dz, values[1].mT) if c.operand == 0 else (values[0].mT, dz)
        whole, full = (*dz.shape[:-2], *shape[-2:]), partial(matmul, *factors)
    else:
        return
    added = len(whole) - len(shape)
    stretched = [i for i in range(added, len(whole)) if shape[i - added] != whole[i]]
    axes = (*range(added), *stretched)
    which = (
        f"{name_of(c.stage)} of shape {shape} was broadcast, so {gradient_of(c.stage)} is a sum over "
        f"ax{'is' if len(axes) == 1 else 'es'} {_list(axes)}"
    )
    reduce = partial(_over, full, shape)
    yield Variant("broadcast", f"{which}, which is missing", full)
    yield Variant("broadcast", f"{which}; a mean was taken instead", partial(reduce, mean, axes))
    for wrong in combinations(range(len(whole)), len(axes)):
        if wrong != axes and prod(n for i, n in enumerate(whole) if i not in wrong) == prod(shape):
            yield Variant("broadcast", f"{which}, not over {_list(wrong)}", partial(reduce, sum, wrong))
    for count in range(1, len(axes)):
        for some in combinations(axes, count):
            text = f"{which}, not over {_list(some)} alone"
            yield Variant("broadcast", text, partial(_over, full, None, sum, some))
    if len(axes) == 1:
        text = f"{which}; only the first of them was taken"
        yield Variant("broadcast", text, partial(reduce, _first, axes))


def _over(full: Callable[[], Any], shape: tuple[int, ...] | None, reduce: Any, axis: tuple[int, ...]) -> Any:
    """A reduction of `full()` over some axes, in this shape."""
    reduced = reduce(full(), axis=axis)
    return reduced if shape is None else reduced.reshape(shape)


def _first(x: Any, axis: tuple[int, ...]) -> Any:
    return x.take(asarray([0]), axis=axis[0])


def _list(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


# Transposes


def _transposes(step: BackwardStage, c: Contribution) -> Iterator[Variant]:
    gradient = gradient_of(c.stage)
    if step.stage.node.op.name == "transpose":
        yield Variant("transpose", f"{gradient} is not transposed back", lambda: step.dz)
    if step.stage.node.op is MATMUL:
        yield from _products(step, c)
    if c.value.ndim >= 2:
        yield Variant("transpose", f"{gradient} is transposed", lambda: c.value.mT)
    entry, dz = step.stage.node.op, step.dz
    if entry.elementwise and entry.name not in MOVING and c.value.ndim >= 2 and c.value.shape == dz.shape:
        text = f"a transpose too many: {gradient} is an elementwise product, with nothing transposed"
        slope = partial(_of_gradient, step, c, ones_like(dz), operands(step))
        yield Variant("transpose", text, lambda: dz * slope().mT)


def _products(step: BackwardStage, c: Contribution) -> Iterator[Variant]:
    """The products of the gradient and the other operand, in both orders, with and without transposes."""
    read, dz = value_read(step, c), gradient_of(step.stage)
    y = name_of(read)
    right = f"{dz} @ {y}.T" if c.operand == 0 else f"{y}.T @ {dz}"
    for a, first in ((dz, step.dz), (f"{dz}.T", _T(step.dz))):
        for b, second in ((y, read.value), (f"{y}.T", _T(read.value))):
            for text, factors in ((f"{a} @ {b}", (first, second)), (f"{b} @ {a}", (second, first))):
                if text != right:
                    slip = "a transpose is missing" if ".T" not in text else "a transpose is misplaced"
                    says = f"{slip}: {gradient_of(c.stage)} is {right}, not {text}"
                    yield Variant("transpose", says, partial(matmul, *factors))


def _T(x: Any) -> Any:
    return x.mT if x.ndim >= 2 else x


# Slopes at the wrong place, and of the wrong operand


def _points(step: BackwardStage, c: Contribution) -> Iterator[Variant]:
    """The slope of a function of one operand at the output in place of the input, or the reverse."""
    entry, z = step.stage.node.op, step.stage.value
    if len(step.stage.operands) != 1 or entry.name in MOVING or z is None or z.shape != c.value.shape:
        return
    (x,), given, made = operands(step), name_of(step.stage.operands[0]), name_of(step.stage)
    what = f"the derivative of {entry.name}"
    if entry.uses_z:
        text = f"{what} in terms of its output, {made}, is taken at its input, {given}"
        yield Variant("point", text, lambda: with_output(step, c, x))
    text = f"{what} is taken at its output, {made}, instead of its input, {given}"
    yield Variant("point", text, lambda: with_value(step, c, z))


def _exchanges(step: BackwardStage, c: Contribution) -> Iterator[Variant]:
    """The rule with its operands exchanged, and the gradient of the other operand."""
    entry, values, gradient = step.stage.node.op, operands(step), gradient_of(c.stage)
    if len(values) == 2 and not entry.variadic:
        mine, other = name_of(c.stage), name_of(value_read(step, c))
        text = f"{gradient} uses the wrong operand: {mine} and {other} are exchanged"
        if entry.name == "*":
            made = gradient_of(step.stage)
            text = f"{gradient} is {made} times the other factor, {other}, not {mine} itself"
        yield Variant("operand", text, lambda: _reduced(step, c, _unreduced(step, c, values[::-1])))
    for sibling in step.contributions:
        if sibling.stage is not c.stage:
            text = f"{gradient} is the gradient of the wrong operand: it is {gradient_of(sibling.stage)}"
            yield Variant("operand", text, partial(_value, sibling))


def _value(c: Contribution) -> Any:
    return c.value


def elsewhere(step: BackwardStage, c: Contribution, others: Sequence[GraphNode]) -> Iterator[Variant]:
    """The rule with the value or the gradient of another stage, as with h_t for h_{t-1}."""
    if isinstance(step.dz, tuple):
        return
    made, entry, right = step.stage, step.stage.node.op, value_read(step, c)
    uses, values = f"{gradient_of(c.stage)} uses the wrong", operands(step)
    for other in others:
        v, g, name = other.value, other.grad, name_of(other)
        if g is not None and other is not made and other is not c.stage and g.shape == step.dz.shape:
            text = f"{uses} gradient: d{name} where {gradient_of(made)} belongs"
            yield Variant("operand", text, partial(_of_gradient, step, c, g, values))
        if v is None or entry.variadic or entry.name in MOVING:
            continue
        if other is not right and v.shape == getattr(right, "shape", None):
            text = f"{uses} value: {name} where {name_of(right)} belongs"
            yield Variant("operand", text, partial(with_value, step, c, v))
        if entry.uses_z and other is not made and v.shape == made.shape:
            text = f"{uses} value: {name} where {name_of(made)} belongs"
            yield Variant("operand", text, partial(with_output, step, c, v))


def _of_gradient(step: BackwardStage, c: Contribution, dz: Any, values: Sequence[Any]) -> Any:
    return rule(step, dz, values, step.stage.value)[c.operand]


# Factors


def _factors(step: BackwardStage, c: Contribution) -> Iterator[Variant]:
    """The contribution without one of its factors, or with one too many."""
    dz, g, entry, values, gradient = (
        step.dz,
        c.value,
        step.stage.node.op,
        operands(step),
        gradient_of(c.stage),
    )
    forgotten, excess = "a factor is forgotten", "a factor is one too many"
    if entry.name not in MOVING and (entry.elementwise or dz.shape == g.shape or prod(dz.shape) == 1):
        text = f"{forgotten}: the local derivative in {gradient}"
        yield Variant("factor", text, lambda: _reduced(step, c, dz if dz.ndim else ones_like(g) * dz))
    text = f"{forgotten}: the gradient of the output, {gradient_of(step.stage)}, in {gradient}"
    yield Variant("factor", text, lambda: _of_gradient(step, c, ones_like(dz), values))
    for v in step.stage.operands:
        if isinstance(v, int | float) and v not in (0, 1, -1, 2):
            yield Variant("factor", f"{forgotten}: {v} in {gradient}", partial(_times, g, 1 / v))
            yield Variant("factor", f"{excess}: {v} in {gradient}", partial(_times, g, v))
    yield Variant("factor", f"{forgotten}: 2 in {gradient}", partial(_times, g, 0.5))
    yield Variant("factor", f"{excess}: 2 in {gradient}", partial(_times, g, 2.0))
    for n in _lengths(step, c):
        about = f"{n} is the length of an axis, or how many elements there are"
        yield Variant("factor", f"{gradient} is {n} times too small; {about}", partial(_times, g, 1 / n))
        yield Variant("factor", f"{gradient} is {n} times too large; {about}", partial(_times, g, float(n)))
    for v in (*step.stage.operands, step.stage):
        value, name = getattr(v, "value", None), name_of(v)
        if value is not None and value.shape in (dz.shape, g.shape, ()):
            less, more = partial(_scaled, step, c, value, -1), partial(_scaled, step, c, value, 1)
            yield Variant("factor", f"{excess}: {name} in {gradient}", more)
            yield Variant("factor", f"{forgotten}: {name} in {gradient}", less)
    yield Variant(
        "factor", f"{excess}: {gradient_of(step.stage)} in {gradient}", partial(_scaled, step, c, dz, 1)
    )


def _times(x: Any, y: Any) -> Any:
    return x * y


def _scaled(step: BackwardStage, c: Contribution, factor: Any, power: int) -> Any:
    """The contribution `c` with its terms multiplied by a power of `factor`, before they are summed."""
    full = _unreduced(step, c, operands(step)) if step.stage.node.op.elementwise else c.value
    return _reduced(step, c, full * factor if power > 0 else full / factor)


def _lengths(step: BackwardStage, c: Contribution) -> list[int]:
    """The lengths of the axes of a step, and the numbers of elements."""
    shapes = [c.value.shape, step.dz.shape, *(getattr(v, "shape", ()) for v in step.stage.operands)]
    return list(dict.fromkeys(n for shape in shapes for n in (prod(shape), *shape) if n > 2))
