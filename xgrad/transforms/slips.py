"""The usual slips in a derivation by hand: what a step gives if one is made in it.

Each variant is a wrong value for one contribution of a step, with the kind of the slip and what it says. The
value is computed when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, combinations, product
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from ..compiler.printing.spelling import shown
from ..core.rules import deriv
from ..namespace import asarray, broadcast_to, matmul, mean, ones_like, sum
from ..ops.linalg import MATMUL
from .backward_stages import BackwardStage, Contribution
from .wrong_formulas import wrong_formulas

if TYPE_CHECKING:
    from .graph_view import GraphNode

#: The kinds of slips; where several give the same numbers, they are named in this order.
KINDS = ("overwritten", "sign", "broadcast", "transpose", "shape", "formula", "point", "factor", "operand")

#: Ops that move or add up elements, which have no local slope.
MOVING = frozenset(
    ("+", "-", "neg", "none", "reshape", "transpose", "broadcast_to", "getitem", "concat", "stack")
)


class Variant(NamedTuple):
    """A wrong value for a contribution: the kind of slip, what it says, and how the value is computed."""

    kind: str
    text: str
    value: Callable[[], Any]


def attempt(variant: Variant) -> Any:
    """The value of a variant; None where the shapes do not fit."""
    try:
        return variant.value()
    except (ValueError, TypeError, IndexError, ZeroDivisionError):
        return None


def variants(step: BackwardStage, c: Contribution) -> Iterator[Variant]:
    """Wrong values for the contribution `c` of `step`, in the same order for all steps of the same form."""
    yield Variant("sign", f"{_d(c)} has the wrong sign", lambda: -c.value)
    if isinstance(step.dz, tuple):
        return
    for family in (_unsummed, _transposed, wrong_formulas, _at_another_point, _exchanged, _factors):
        for kind, text, value in family(step, c):
            yield Variant(kind, text, value)


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


def with_dz(step: BackwardStage, dz: Any) -> BackwardStage:
    """The step with another gradient of its output."""
    found = rule(step, dz, operands(step), step.stage.value)
    return replace(
        step, dz=dz, contributions=tuple(replace(c, value=found[c.operand]) for c in step.contributions)
    )


# Sums over broadcast axes


def _unreduced(step: BackwardStage, c: Contribution, values: Sequence[Any]) -> Any:
    """What the rule of an elementwise op gives for these values before the sum over broadcast axes."""
    spread = [broadcast_to(asarray(v), step.dz.shape) for v in values]
    return rule(step, step.dz, spread)[c.operand]


def _summed(step: BackwardStage, c: Contribution, full: Any) -> Any:
    """The sum of `full` over the axes along which the operand was broadcast, if the op is elementwise."""
    if not step.stage.node.op.elementwise or full.shape == c.value.shape:
        return full
    return deriv(full, c.stage.value, full, "+")[0]


def _unsummed(step: BackwardStage, c: Contribution) -> Iterator[tuple[str, str, Callable[[], Any]]]:
    """The gradient of a broadcast operand without its sum, or with another sum."""
    dz, values, shape = step.dz, operands(step), c.value.shape
    if step.stage.node.op.elementwise and shape != dz.shape:
        full = lambda: _unreduced(step, c, values)
        whole = dz.shape
    elif step.stage.node.op is MATMUL and 2 <= len(shape) < dz.ndim:
        other = values[1 - c.operand]
        full = lambda: matmul(dz, other.mT) if c.operand == 0 else matmul(other.mT, dz)
        whole = (*dz.shape[:-2], *shape[-2:])
    else:
        return
    added = range(len(whole) - len(shape))
    stretched = [i for i in range(len(added), len(whole)) if shape[i - len(added)] != whole[i]]
    axes = (*added, *stretched)
    which = (
        f"{_name(c.stage)} of shape {shape} was broadcast, so {_d(c)} is a sum over "
        f"ax{'is' if len(axes) == 1 else 'es'} {', '.join(map(str, axes))}"
    )
    yield "broadcast", f"{which}, which is missing", full
    yield "broadcast", f"{which}; a mean was taken instead", lambda: mean(full(), axis=axes).reshape(shape)
    for wrong in combinations(range(len(whole)), len(axes)):
        if wrong != axes and prod(n for i, n in enumerate(whole) if i not in wrong) == prod(shape):
            text = f"{which}, not over {', '.join(map(str, wrong))}"
            yield "broadcast", text, lambda wrong=wrong: sum(full(), axis=wrong).reshape(shape)
    for count in range(1, len(axes)):
        for some in combinations(axes, count):
            text = f"{which}, not over {', '.join(map(str, some))} alone"
            yield "broadcast", text, lambda some=some: sum(full(), axis=some)
    if len(axes) == 1:
        first = lambda: full().take(asarray([0]), axis=axes[0]).reshape(shape)
        yield "broadcast", f"{which}; only the first of them was taken", first


# Transposes


def _transposed(step: BackwardStage, c: Contribution) -> Iterator[tuple[str, str, Callable[[], Any]]]:
    if step.stage.node.op.name == "transpose":
        yield "transpose", f"{_d(c)} is not transposed back", lambda: step.dz
    if step.stage.node.op is MATMUL:
        yield from _products(step, c)
    if c.value.ndim >= 2:
        yield "transpose", f"{_d(c)} is transposed", lambda: c.value.mT


def _products(step: BackwardStage, c: Contribution) -> Iterator[tuple[str, str, Callable[[], Any]]]:
    """The products of the gradient and the other operand, in both orders, with and without transposes."""
    other = 1 - c.operand
    y, name, dz_name = operands(step)[other], _name(step.stage.operands[other]), f"d{_name(step.stage)}"
    right = f"{dz_name} @ {name}.T" if c.operand == 0 else f"{name}.T @ {dz_name}"
    for left, a in ((dz_name, step.dz), (f"{dz_name}.T", _T(step.dz))):
        for second, b in ((name, y), (f"{name}.T", _T(y))):
            for text, p, q in ((f"{left} @ {second}", a, b), (f"{second} @ {left}", b, a)):
                if text != right:
                    slip = "a transpose is missing" if ".T" not in text else "a transpose is misplaced"
                    full = f"{slip}: {_d(c)} is {right}, not {text}"
                    yield "transpose", full, lambda p=p, q=q: matmul(p, q)


def _T(x: Any) -> Any:
    return x.mT if x.ndim >= 2 else x


# Slopes at the wrong place, and of the wrong operand


def _at_another_point(step: BackwardStage, c: Contribution) -> Iterator[tuple[str, str, Callable[[], Any]]]:
    """The slope of a function of one operand at the output in place of the input, or the reverse."""
    entry, z = step.stage.node.op, step.stage.value
    if len(step.stage.operands) != 1 or entry.name in MOVING or z is None or z.shape != c.value.shape:
        return
    (x,) = operands(step)
    given, made = _name(step.stage.operands[0]), _name(step.stage)
    if entry.uses_z:
        text = (
            f"the derivative of {entry.name} in terms of its output, {made}, is taken at its input, {given}"
        )
        yield "point", text, lambda: rule(step, step.dz, [x], z=x)[0]
    text = f"the derivative of {entry.name} is taken at its output, {made}, instead of its input, {given}"
    yield "point", text, lambda: rule(step, step.dz, [z])[0]


def _exchanged(step: BackwardStage, c: Contribution) -> Iterator[tuple[str, str, Callable[[], Any]]]:
    """The rule with its operands exchanged, and the gradient of the other operand."""
    entry, values = step.stage.node.op, operands(step)
    if len(values) == 2 and not entry.variadic:
        mine, other_name = (_name(step.stage.operands[i]) for i in (c.operand, 1 - c.operand))
        text = f"{_d(c)} uses the wrong operand: {mine} and {other_name} are exchanged"
        if entry.name == "*":
            text = f"{_d(c)} is d{_name(step.stage)} times the other factor, {other_name}, not {mine} itself"
        if entry.elementwise:
            yield "operand", text, lambda: _summed(step, c, _unreduced(step, c, values[::-1]))
        else:
            yield "operand", text, lambda: rule(step, step.dz, values[::-1])[c.operand]
    for other in step.contributions:
        if other.stage is not c.stage:
            text = f"{_d(c)} is the gradient of the wrong operand: it is {_d(other)}"
            yield "operand", text, lambda other=other: other.value


def elsewhere(step: BackwardStage, c: Contribution, others: Sequence[GraphNode]) -> Iterator[Variant]:
    """The rule with the value or the gradient of another stage, as with h_t for h_{t-1}."""
    if isinstance(step.dz, tuple):
        return
    made, entry, uses = step.stage, step.stage.node.op, f"{_d(c)} uses the wrong"
    values, right = operands(step), value_read(step, c)
    for other in others:
        v, g = other.value, other.grad
        if g is not None and other is not made and other is not c.stage and g.shape == step.dz.shape:
            text = f"{uses} gradient: d{_name(other)} where d{_name(made)} belongs"
            yield Variant("operand", text, lambda g=g: rule(step, g, values, made.value)[c.operand])
        if v is None or entry.variadic or entry.name in MOVING:
            continue
        if other is not right and v.shape == getattr(right, "shape", None):
            text = f"{uses} value: {_name(other)} where {_name(right)} belongs"
            yield Variant("operand", text, lambda v=v: with_value(step, c, v))
        if entry.uses_z and other is not made and v.shape == made.shape:
            text = f"{uses} value: {_name(other)} where {_name(made)} belongs"
            yield Variant("operand", text, lambda v=v: with_output(step, c, v))


def value_read(step: BackwardStage, c: Contribution) -> Any:
    """The operand that the contribution `c` is computed from: the other one, or the only one."""
    return step.stage.operands[1 - c.operand if len(step.stage.operands) == 2 else 0]


def output_read(step: BackwardStage, c: Contribution) -> GraphNode:
    """The stage itself, for rules in terms of the output."""
    return step.stage


def with_value(step: BackwardStage, c: Contribution, v: Any) -> Any:
    """The contribution `c` with another value of the operand that it is computed from."""
    values = operands(step)
    values[1 - c.operand if len(values) == 2 else 0] = v
    return rule(step, step.dz, values)[c.operand]


def with_output(step: BackwardStage, c: Contribution, v: Any) -> Any:
    """The contribution `c` with another value of the output."""
    return rule(step, step.dz, operands(step), v)[c.operand]


# Factors


def _factors(step: BackwardStage, c: Contribution) -> Iterator[tuple[str, str, Callable[[], Any]]]:
    dz, g, made = step.dz, c.value, f"d{_name(step.stage)}"
    values = operands(step)
    entry = step.stage.node.op
    if entry.name not in MOVING and (entry.elementwise or dz.shape == g.shape or prod(dz.shape) == 1):
        text = f"a factor is forgotten: the local derivative in {_d(c)}"
        yield "factor", text, lambda: _summed(step, c, dz if dz.ndim else ones_like(g) * dz)
    text = f"a factor is forgotten: the gradient of the output, {made}, in {_d(c)}"
    yield "factor", text, lambda: rule(step, ones_like(dz), values)[c.operand]
    for number, name in _numbers(step, c).items():
        yield "factor", f"a factor is forgotten: {name} in {_d(c)}", lambda n=number: g / n
        yield "factor", f"a factor is one too many: {name} in {_d(c)}", lambda n=number: g * n
    full = lambda: _unreduced(step, c, values) if entry.elementwise else g
    for v in (*step.stage.operands, step.stage, None):
        value = dz if v is None else getattr(v, "value", None)
        if value is not None and value.shape in (dz.shape, g.shape, ()):
            name = made if v is None else _name(v)
            text = f"a factor is one too many: {name} in {_d(c)}"
            yield "factor", text, lambda f=value: _summed(step, c, full() * f)
            text = f"a factor is forgotten: {name} in {_d(c)}"
            yield "factor", text, lambda f=value: _summed(step, c, full() / f)


def _numbers(step: BackwardStage, c: Contribution) -> dict[float, str]:
    """Factors that are often forgotten or one too many: 2, the numbers of a stage, and lengths of axes."""
    found = {2.0: "2"}
    for v in step.stage.operands:
        if isinstance(v, int | float) and v not in (0, 1, -1):
            found.setdefault(float(v), str(v))
    for shape in (c.value.shape, step.dz.shape, *(getattr(v, "shape", ()) for v in step.stage.operands)):
        for n in (prod(shape), *shape):
            if n > 2:
                found.setdefault(float(n), f"{n}, the length of an axis or the number of elements,")
    return found


# Sums of contributions


def partial_sums(
    arriving: Sequence[tuple[BackwardStage, Contribution]], whole: Any
) -> Iterator[tuple[BackwardStage, Variant]]:
    """What is left of the gradient `whole` if some of its contributions are overwritten or forgotten."""
    values, everything = [c.value for _, c in arriving], range(len(arriving))
    left_out: list[Sequence[int]] = [
        everything[:i] for i in everything[1:]
    ]  # `=` overwrites what came before
    if len(values) <= 6:
        subsets = [some for n in everything[1:] for some in combinations(everything, n)]
        left_out += [some for some in subsets if some != tuple(range(len(some)))]
        kept = [
            lambda some=some: sum_of([v for i, v in enumerate(values) if i not in some]) for some in left_out
        ]
    else:
        totals = list(accumulate(values))
        kept = [lambda i=i: whole - totals[i - 1] for i in everything[1:]]
        for i in everything:
            left_out += [everything[i : i + 1], everything[i + 1 :]]
            kept += [lambda i=i: whole - values[i], lambda i=i: totals[i]]
    name = _d(arriving[0][1]) if arriving else ""
    for n, (some, value) in enumerate(zip(left_out, kept)):
        through = ", ".join(_name(arriving[i][0].stage) for i in some[:3])
        through += f" and {len(some) - 3} more" if len(some) > 3 else ""
        if some:
            # where the first are lost, the next one overwrote them
            step = arriving[len(some) if n < len(values) - 1 else some[0]][0]
            yield step, Variant("overwritten", lost(name, through), value)


def miscounted(
    arriving: Sequence[tuple[BackwardStage, Contribution]],
) -> Iterator[tuple[BackwardStage, Variant]]:
    """Sums of a few contributions of which some have the wrong sign, are counted twice, or are lost."""
    if not 2 <= len(arriving) <= 4:
        return
    for factors in product((1, 0, -1, 2), repeat=len(arriving)):
        if min(factors) >= 0 and 2 not in factors:
            continue  # one of the partial sums
        through = {
            f: [_name(step.stage) for (step, _), g in zip(arriving, factors) if f == g] for f in factors
        }
        says = {-1: "has the wrong sign", 2: "is counted twice", 0: "is lost"}
        wrong = [f"what comes through {', '.join(through[f])} {says[f]}" for f in says if f in through]
        text = f"in {_d(arriving[0][1])}, {', and '.join(wrong)}"
        parts = [f * c.value for f, (_, c) in zip(factors, arriving) if f]
        step = arriving[min(i for i, f in enumerate(factors) if f in (-1, 2))][0]
        kind = "sign" if -1 in factors else "overwritten"
        yield step, Variant(kind, text, lambda parts=parts: sum_of(parts))


def lost(name: str, through: str) -> str:
    """The description of a gradient that lacks some of its terms."""
    return f"{name} lacks what comes through {through}: it was overwritten (= for +=), or forgotten"


def sum_of(parts: Sequence[Any]) -> Any:
    """The sum of arrays, which broadcast."""
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
