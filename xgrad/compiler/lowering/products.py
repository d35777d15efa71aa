"""Lowering of matrix products: which operands they can read in place, and which sums they can accumulate."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING

from ..ir import Operand, Stage, Value
from .plan import Gemm, Loop, Map, Ref, Step, Target
from .views import (
    at_every_step,
    broadcast,
    joined_axes,
    product_can_read,
    product_can_write,
    reshaped,
    stepping,
    with_axis,
)

if TYPE_CHECKING:
    from .lower import Lowering


def can_multiply(stage: Stage, target: Target) -> bool:
    """Whether the target has a product for these dtypes."""
    *_, a, b = stage.operands
    return (
        type(a) is Value
        and type(b) is Value
        and a.dtype == b.dtype == stage.output.dtype
        and a.dtype in target.products
    )


def lower_product(at: Lowering, stage: Stage) -> None:
    """Add a product, or a product plus something, to a plan."""
    *base, a, b = stage.operands
    assert type(a) is Value
    assert type(b) is Value
    out = stage.output
    computed = at.target.products[a.dtype]
    if computed != out.dtype:
        _in_another_dtype(at, base, (a, b), out, computed)
        return
    if base:
        _base(at, base[0], out)
    at.compute([a, b])
    _multiply(at, a, b, _matrix(at, a, flat=len(b.shape) == 2), _matrix(at, b), at.home(out), bool(base))


def _in_another_dtype(
    at: Lowering, base: Sequence[Operand], factors: tuple[Value, Value], out: Value, dtype: str
) -> None:
    """Add a product computed in another dtype, rounded before it is added to anything."""
    at.compute([*factors, *(v for v in base if type(v) is Value)])
    a, b = (v._replace(dtype=dtype) for v in factors)
    x, y, z = (at.buffer("scratch", v) for v in (a, b, out._replace(dtype=dtype)))
    at.convert(at.ref(factors[0]), x)
    at.convert(at.ref(factors[1]), y)
    _multiply(at, a, b, x, y, z, add=False)
    if not base:
        at.convert(z, at.home(out))
        return
    target = at.home(out)
    at.assign(base[0], target)
    steps = (Step(2, "none", (0,), (False,), out.dtype), Step(3, "+", (1, 2), (False, False), out.dtype))
    at.items.append(Map(out.shape, ((0, z), (1, target)), steps, ((3, target),)))


def _multiply(at: Lowering, a: Value, b: Value, x: Ref, y: Ref, z: Ref, add: bool) -> None:
    """Add the product of operands at `x` and `y`, copied if it cannot read them there."""
    if len(a.shape) == 1:
        x, z = with_axis(x, 0), with_axis(z, len(z.shape) - (len(b.shape) > 1))
    if len(b.shape) == 1:
        y, z = with_axis(y, 1), with_axis(z, len(z.shape))
    if len(y.shape) == 2 and len(x.shape) > 2:
        flat_x, flat_z = (
            reshaped(x, (prod(x.shape[:-1]), x.shape[-1])),
            reshaped(z, (prod(z.shape[:-1]), z.shape[-1])),
        )
        if flat_x is not None and flat_z is not None:
            x, z = flat_x, flat_z
    x, y = (broadcast(r, (*z.shape[:-2], *r.shape[-2:])) for r in (x, y))
    at.items.append(_over_stacks(z, x, y, add))


def _over_stacks(z: Ref, x: Ref, y: Ref, add: bool) -> Gemm | Loop:
    """Return one product, or a batch of them; for several batch axes, a loop over the first one."""
    if len(z.shape) <= 3:
        return Gemm(z, x, y, add)
    sizes, strides = joined_axes(z.shape[:-2], [r.strides[:-2] for r in (z, x, y)])
    z, x, y = (
        r._replace(shape=(*sizes, *r.shape[-2:]), strides=(*along, *r.strides[-2:]))
        for r, along in zip((z, x, y), strides)
    )
    if len(sizes) <= 1:
        return Gemm(z, x, y, add)
    return Loop(sizes[0], False, (_over_stacks(stepping(z), stepping(x), stepping(y), add),))


def _matrix(at: Lowering, v: Value, flat: bool = False) -> Ref:
    """Return the place of `v`, copied if a product cannot read it there.

    With `flat`, all rows of a stack become the rows of one matrix.
    """
    ref = at.ref(v)
    whole = reshaped(ref, (prod(ref.shape[:-1]), ref.shape[-1])) if flat and len(ref.shape) > 2 else None
    if product_can_read(ref) and (whole is None or product_can_read(whole)):
        return ref
    copy = at.buffer("scratch", v, depth=len(ref.steps))._replace(steps=(0,) * at.depth)
    at.copy(ref, copy)
    return copy


def _base(at: Lowering, base: Operand, out: Value) -> None:
    """Copy `base` to where the product will be added to it."""
    maker = (
        at.made.get(base) if type(base) is Value and base not in at.done and base not in at.place else None
    )
    if maker is not None and at.is_elementwise(maker) and at.users[maker.output] == [at.made[out]]:
        at.place[maker.output] = at.home(out)
        at.compute([maker.output])
        return
    if type(base) is Value and out not in at.place and base in at.spare:
        there = at.ref(base)
        # it may be a transpose, or the same memory at each step
        if product_can_write(there) and product_can_write(at_every_step(there)):
            at.place[out] = there
            return
    at.assign(base, at.home(out))
