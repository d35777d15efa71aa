"""Expansion: composite ops are written as simpler ones, so that executors only need the simple ones."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from ...backends import find_device
from ...backends.dtypes import canonical, is_half
from ...core.tensor import Tensor
from ...ops import OPS
from ...ops.axes import normal_axes
from ..ir import PARTS, Item, Loop, Program, Stage, Value, is_complex, rewritten, substitute
from ..names import Names
from ..trace import trace_to_ir
from ..variables import spec_of
from .einsum import products
from .inline import inline


def expand(program: Program) -> Program:
    """Expand means, variances, softmax, logsumexp, triangles and Einstein sums."""
    names = Names.beside(program)

    return replace(program, stages=tuple(rewritten(program.stages, lambda s: _expanded(s, names))))


def _expanded(s: Item, names: Names) -> list[Item]:
    if isinstance(s, Loop):
        return [s]
    if s.op in ("mean", "var", "std") and is_half(canonical(s.output.dtype)):
        return _in_single(s, names)
    if s.op == "mean" and s.output.dtype == s.values[0].dtype:
        (x,) = s.values
        total = names.new(s.output.shape, s.output.dtype)
        count = prod(x.shape[a] for a in normal_axes(s.params["axis"], len(x.shape)))
        return [replace(s, op="sum", outputs=(total,)), Stage("/", (total, count), s.outputs, {}, s.source)]
    if (
        s.op in ("var", "std")
        and s.output.dtype == PARTS.get(s.values[0].dtype, s.values[0].dtype)
        and canonical(s.output.dtype).kind == "f"
    ):
        return _variance(s, names)
    if s.op == "einsum":
        return [*(products(s, names) or [s])]
    return _written_out(s, names) if s.entry is not None and s.entry.kernel.composite else [s]


def _in_single(s: Stage, names: Names) -> list[Item]:
    """Reduce half precision in float32, rounding once."""
    (x,) = s.values
    wide, z = names.new(x.shape, "float32"), names.new(s.output.shape, "float32")
    return [
        Stage("astype", (x,), (wide,), {"dtype": canonical("float32")}, s.source),
        *_expanded(replace(s, operands=(wide,), outputs=(z,)), names),
        Stage("astype", (z,), s.outputs, {"dtype": canonical(s.output.dtype)}, s.source),
    ]


def _variance(s: Stage, names: Names) -> list[Item]:
    """The sum of |x - mean|² over n - correction, and its root."""
    (x,), dtype = s.values, s.output.dtype
    axes = normal_axes(s.params["axis"], len(x.shape))
    count = prod(x.shape[a] for a in axes)
    kept = tuple(1 if a in axes else n for a, n in enumerate(x.shape))
    total, mean = names.new(kept, x.dtype), names.new(kept, x.dtype)
    apart, square = names.new(x.shape, x.dtype), names.new(x.shape, dtype)
    squares = names.new(s.output.shape, dtype)
    variance = s.output if s.op == "var" else names.new(s.output.shape, dtype)
    return [
        Stage("sum", (x,), (total,), {"axis": s.params["axis"], "keepdims": True}, s.source),
        Stage("/", (total, count), (mean,), {}, s.source),
        Stage("-", (x, mean), (apart,), {}, s.source),
        *_square(apart, square, s.source, names),
        Stage(
            "sum",
            (square,),
            (squares,),
            {"axis": s.params["axis"], "keepdims": s.params["keepdims"]},
            s.source,
        ),
        Stage("/", (squares, float(max(count - s.params["correction"], 0))), (variance,), {}, s.source),
        *([Stage("sqrt", (variance,), s.outputs, {}, s.source)] if s.op == "std" else []),
    ]


def _square(x: Value, square: Value, source: str, names: Names) -> list[Item]:
    """|x|²"""
    if not is_complex(x):
        return [Stage("*", (x, x), (square,), {}, source)]
    real, imag, of_real, of_imag = (names.new(x.shape, square.dtype) for _ in range(4))
    return [
        Stage("real", (x,), (real,), {}, source),
        Stage("imag", (x,), (imag,), {}, source),
        Stage("*", (real, real), (of_real,), {}, source),
        Stage("*", (imag, imag), (of_imag,), {}, source),
        Stage("+", (of_real, of_imag), (square,), {}, source),
    ]


def _written_out(stage: Stage, names: Names) -> list[Item]:
    """Return the stages that an op records when its definition runs on Tensors."""
    op, device = OPS[stage.op], find_device("cpu")
    forward = op.kernel.composite if callable(op.kernel.composite) else op.forward
    traced = trace_to_ir(
        lambda *x: [forward(Tensor.xp, *x, **stage.params)],
        [spec_of(v, device) for v in stage.values],
    )
    stages, (z,) = inline(traced.program(), stage.values, names)
    traced.close()
    assert type(z) is Value
    found: list[Item] = []
    for s in stages:
        moved = substitute(s, {z: stage.output})
        assert isinstance(moved, Stage)
        found.append(
            replace(moved, outputs=stage.outputs if z in s.outputs else s.outputs, source=stage.source)
        )
    return found
