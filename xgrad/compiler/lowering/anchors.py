"""Lowering of stages that are neither elementwise nor views.

These are reductions, joined arrays, assignments, calls and constants. Products are in `products.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...ops.axes import normal_axes
from ..ir import Item, Stage, Value
from . import plan as plans
from .indexing import is_assignment
from .plan import Ref
from .products import can_multiply, lower_product
from .views import index, part, viewed

if TYPE_CHECKING:
    from .lower import Lowering


def join(at: Lowering, stages: Sequence[Item]) -> None:
    """Compute the parts of a concat directly in its memory."""
    local = {out: s for s in stages if isinstance(s, Stage) for out in s.outputs}
    for item in reversed(stages):
        if not isinstance(item, Stage) or item.op != "concat" or not _has_kernel(at, item):
            continue
        whole, first = at.home(item.output), 0
        axis = item.params["axis"] % len(item.output.shape)
        for v in item.operands:
            assert type(v) is Value
            stage = local.get(v)
            free = (
                stage is not None and not stage.is_view and v not in at.place and item.operands.count(v) == 1
            )
            if free and v.dtype == item.output.dtype:
                at.place[v] = part(whole, v.shape, axis, first)
            first += v.shape[axis]


def lower_anchor(at: Lowering, stage: Stage) -> None:
    """Add what computes the stage to a plan."""
    if stage.op == "new":
        _constant(at, stage)
        return
    if not _has_kernel(at, stage):
        _call(at, stage)
        return
    out = stage.output
    if stage.op in ("@", "@+"):
        lower_product(at, stage)
    elif stage.op in plans.FOLDS:
        _reduction(at, stage)
    elif stage.op == "concat":
        whole, first = at.home(out), 0
        axis = stage.params["axis"] % len(out.shape)
        at.compute([v for v in stage.operands if type(v) is Value])
        for v in stage.operands:
            assert type(v) is Value
            at.copy(at.ref(v), part(whole, v.shape, axis, first))
            first += v.shape[axis]
    elif stage.op == "stack":
        whole, axis = at.home(out), stage.params["axis"] % len(out.shape)
        for i, v in enumerate(stage.operands):
            at.assign(v, index(whole, axis, i))
    else:
        _assignment(at, stage)
    at.done.add(out)


def _has_kernel(at: Lowering, stage: Stage) -> bool:
    """Whether a stage that is not part of a map is computed by maps and products."""
    if stage.op in ("@", "@+"):
        return can_multiply(stage, at.target)
    dtypes = {v.dtype for v in (*stage.values, *stage.outputs)}
    if not stage.values or not dtypes <= at.target.dtypes:
        return False
    if stage.op in plans.FOLDS:
        return stage.output.dtype in at.target.folds.get(plans.FOLDS[stage.op], {})
    if stage.op in ("setitem", "scatter"):
        return is_assignment(stage)
    return stage.op in ("concat", "stack")


def _constant(at: Lowering, stage: Stage) -> None:
    """Turn an array that depends on nothing into a further input."""
    constant, out = at.buffer("input", stage.output), stage.output
    at.constants.append(stage.params)
    if out in at.place:
        at.copy(constant, at.ref(out))
    else:
        at.place[out] = constant
    at.done.add(out)


def _call(at: Lowering, stage: Stage) -> None:
    """Add a call: a kernel of its own, or the array library, computes the stage."""
    at.compute(stage.values)
    args: tuple[Any, ...] = tuple(at.ref(v) if type(v) is Value else v for v in stage.operands)
    outs = tuple(map(at.home, stage.outputs))
    call = plans.Call(stage.op, stage.params, args, outs, stage.source)
    dtypes = tuple(at.buffers[r.buffer].dtype if isinstance(r, Ref) else None for r in (*args, *outs))
    at.items.append(call._replace(kernel=at.target.kernel(call, dtypes)))
    at.done.update(stage.outputs)


def _assignment(at: Lowering, stage: Stage) -> None:
    whole = at.home(stage.output)
    target = viewed(whole, stage.params["key"])
    x, v = stage.operands if stage.op == "setitem" else (0.0, stage.operands[0])
    at.assign(x, whole)
    if type(v) is not Value:
        at.copy(v, target)
        return
    at.compute([v])
    ref, extra = at.ref(v), len(v.shape) - len(target.shape)
    if extra > 0:  # leading axes of length 1
        ref = ref._replace(shape=ref.shape[extra:], strides=ref.strides[extra:])
    at.copy(ref, target)


def _reduction(at: Lowering, stage: Stage) -> None:
    x, out = stage.operands[0], stage.output
    assert type(x) is Value
    axes = normal_axes(stage.params["axis"], len(x.shape))
    dtype = at.target.folds[plans.FOLDS[stage.op]][out.dtype]
    target = at.home(out) if dtype == out.dtype else at.buffer("scratch", out._replace(dtype=dtype))
    strides, kept = [], iter(target.strides)
    for a in range(len(x.shape)):
        if a in axes:
            strides.append(0)
            if stage.params["keepdims"]:
                next(kept)
        else:
            strides.append(next(kept))
    at.fuse(x.shape, (), [(x, stage, target._replace(shape=x.shape, strides=tuple(strides)))])
    if dtype != out.dtype:
        at.convert(target, at.home(out))
