"""argmax and argmin as reductions, for executors whose maps fuse and vectorise them."""

from __future__ import annotations

from dataclasses import replace

from ...backends.dtypes import canonical
from ...ops.axes import normal_axes
from ..ir import Item, Program, Stage, rewritten
from ..names import Names
from .simplify import simplify

#: The dtype in which indices are compared: of the size of a float32, so that as many fit into a vector.
INDEX = "int32"


def as_reductions(program: Program) -> Program:
    """Write each argmax and argmin as an extremum and the least index of an element that equals it."""
    names = Names.beside(program)
    before: list[Stage] = []
    stages = rewritten(program.stages, lambda s: _reduced(s, before, names))
    return simplify(replace(program, stages=(*before, *stages))) if before else program


def _reduced(s: Item, before: list[Stage], names: Names) -> list[Item]:
    """Return the stages that compute an argmax or argmin; those that do not depend on data go to `before`."""
    if not isinstance(s, Stage) or s.op not in ("argmax", "argmin"):
        return [s]
    (x,), axis = s.values, s.params["axis"]
    count = x.size if axis is None else x.shape[axis]
    if x.dtype.startswith("complex") or not 0 < count < 2**31:
        return [s]
    axes = normal_axes(axis, len(x.shape))
    kept = tuple(1 if a in axes else n for a, n in enumerate(x.shape))
    line = tuple(n if a in axes else 1 for a, n in enumerate(x.shape))
    numbers, indices = names.new((count,), INDEX), names.new(line, INDEX)
    made = {"function": "arange", "args": (0, count, 1), "dtype": canonical(INDEX), "options": {}}
    before += [
        Stage("new", (), (numbers,), made),
        Stage("reshape", (numbers,), (indices,), {"shape": line}),
    ]
    best, found = names.new(kept, x.dtype), names.new(x.shape, "bool")
    candidates, least = names.new(x.shape, INDEX), names.new(s.output.shape, INDEX)
    over = {"axis": axis, "keepdims": s.params["keepdims"]}
    stages = [
        Stage(s.op.removeprefix("arg"), (x,), (best,), over | {"keepdims": True}, s.source),
        Stage("==", (x, best), (found,), {}, s.source),
    ]
    if canonical(x.dtype).kind == "f":  # NaN is better than any number, but is not equal to itself
        equal, nan = found, names.new(x.shape, "bool")
        found = names.new(x.shape, "bool")
        stages += [
            Stage("isnan", (x,), (nan,), {}, s.source),
            Stage("logical_or", (equal, nan), (found,), {}, s.source),
        ]
    return [
        *stages,
        Stage("where", (found, indices, 2**31 - 1), (candidates,), {}, s.source),
        Stage("min", (candidates,), (least,), over, s.source),
        Stage("astype", (least,), s.outputs, {"dtype": canonical("int64")}, s.source),
    ]
