"""Vectorisation: one stage of a loop's body, computed for all steps with a leading time axis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...ops import OPS
from ..ir import Operand, Stage, Value
from ..names import Names

#: Maps an operand to its value outside the loop, and whether that has a time axis.
Outside = Callable[[Operand], tuple[Operand, bool]]


def batched(stage: Stage, length: int, outside: Outside, names: Names) -> list[Stage] | None:
    """Return stages that compute `stage` for all steps, the result last; None if its op has no such form."""
    if len(stage.outputs) != 1:
        return None
    rank = len(stage.output.shape)
    found: list[Stage] = []
    out = names.new((length, *stage.output.shape), stage.output.dtype)
    args = [outside(v) for v in stage.operands]
    op = OPS.get(stage.op)
    if not any(stacked for _, stacked in args):
        return None  # the same at every step: `hoist` moves it out

    def add(
        name: str, operands: tuple[Operand, ...], form: tuple[int, ...], dtype: str, **params: Any
    ) -> Value:
        value = names.new(form, dtype)
        found.append(Stage(name, operands, (value,), params, stage.source))
        return value

    def aligned(v: Operand, stacked: bool) -> Operand:
        """Insert axes of length 1 after time, so that it broadcasts as before."""
        if not stacked or type(v) is not Value or len(v.shape) == rank + 1:
            return v
        shape = (length, *(1,) * (rank + 1 - len(v.shape)), *v.shape[1:])
        return add("reshape", (v,), shape, v.dtype, shape=shape)

    def everywhere(v: Operand, stacked: bool) -> Operand:
        """Repeat for every step."""
        assert type(v) is Value
        return (
            v if stacked else add("broadcast_to", (v,), (length, *v.shape), v.dtype, shape=(length, *v.shape))
        )

    def give(operands: tuple[Operand, ...], **params: Any) -> list[Stage]:
        found.append(Stage(stage.op, operands, (out,), params, stage.source))
        return found

    params = dict(stage.params)
    if op is not None and op.kernel.pointwise:
        return give(tuple(aligned(*a) for a in args), **params)
    if stage.op == "@":
        return _product(stage, args, give, add)
    if stage.op in ("concat", "stack"):
        return give(tuple(everywhere(*a) for a in args), axis=params["axis"] % rank + 1)
    if stage.op == "take":
        return _taken(stage, args, give)
    if len(args) > 1:
        return None
    ((v, _),) = args
    assert type(v) is Value
    inner = len(v.shape) - 1
    if stage.op == "reshape":
        return give((v,), shape=out.shape)
    if stage.op == "broadcast_to":
        return give((aligned(v, True),), shape=out.shape)
    batch = None if op is None else op.kernel.batch
    moved = None if batch is None else batch(params, inner, length)
    return None if moved is None else give((v,), **{**params, **moved})


def _taken(stage: Stage, args: list[tuple[Operand, bool]], give: Any) -> list[Stage] | None:
    """Index one array at places that differ from step to step, or many arrays at the same places."""
    (x, x_stacked), (places, places_stacked) = args
    assert type(x) is Value
    axis = stage.params["axis"] % (len(x.shape) - x_stacked)
    if x_stacked and not places_stacked:
        return give((x, places), axis=axis + 1)  # type: ignore[no-any-return]
    return give((x, places), axis=0) if not x_stacked and axis == 0 else None


def _product(stage: Stage, args: list[tuple[Operand, bool]], give: Any, add: Any) -> list[Stage] | None:
    (a, a_stacked), (b, b_stacked) = args
    assert type(a) is Value
    assert type(b) is Value
    a_rank, b_rank = len(a.shape) - a_stacked, len(b.shape) - b_stacked
    if a_rank >= 2 and b_rank >= 2:
        shorter = a_stacked if a_rank < b_rank else b_stacked
        if a_rank != b_rank and shorter:
            return None  # their leading axes would no longer match
        return give((a, b))  # type: ignore[no-any-return]
    if a_stacked and not b_stacked and (a_rank == 1 or b_rank == 1) and b_rank <= 2:
        return give((a, b))  # type: ignore[no-any-return]
    if b_stacked and not a_stacked and a_rank == 2 and b_rank == 1:
        return give((b, add("transpose", (a,), a.shape[::-1], a.dtype, axes=None)))  # type: ignore[no-any-return]
    return None
