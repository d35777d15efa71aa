"""Reductions of few elements that maps do not do: products, counts, and whether any or all are true."""

from __future__ import annotations

from math import prod

from .....ops.reductions import normal_axes
from ....lowering.plan import Call, Ref
from .nest import Kernel

#: The most elements that are folded one by one: the array library takes more of them at a time.
MOST = 4096
_START = {"any": 0, "all": 1, "prod": 1, "count_nonzero": 0}
_OPS = {"any": "logical_or", "all": "logical_and", "prod": "*", "count_nonzero": "+"}
_DTYPES = frozenset(("float32", "float64", "int32", "int64", "bool"))


def can_fold(call: Call, dtypes: tuple[str | None, ...]) -> bool:
    """Whether there are few elements, of dtypes that are computed with."""
    return (
        len(call.args) == 1
        and isinstance(call.args[0], Ref)
        and {*dtypes} <= _DTYPES
        and prod(call.args[0].shape) <= MOST
    )


def fold(kernel: Kernel) -> None:
    """All elements along some axes as one."""
    (x,), (out,), params = kernel.call.args, kernel.call.outs, kernel.call.params
    assert isinstance(x, Ref)
    op, old, new = kernel.call.op, kernel.dtype(x), kernel.dtype(out)
    axes = normal_axes(params["axis"], len(x.shape))
    kept = [a for a in range(len(x.shape)) if a not in axes]
    theirs = [out.strides[a] for a in kept] if params["keepdims"] else out.strides

    def line(pointers: list[str]) -> None:
        source, target = pointers
        kernel.store(new, kernel.constant(new, _START[op]), target)

        def add(found: list[str]) -> None:
            v = kernel.load(old, found[0])
            v = kernel.cast(v, old, "bool") if op != "prod" else v
            v = kernel.cast(v, old if op == "prod" else "bool", new)
            kernel.store(new, kernel.apply(_OPS[op], new, kernel.load(new, target), v), target)

        kernel.loops([x.shape[a] for a in axes], [[x.strides[a] for a in axes]], [old], [source], add)

    kernel.loops(
        [x.shape[a] for a in kept],
        [[x.strides[a] for a in kept], list(theirs)],
        [old, new],
        [kernel.base(x), kernel.base(out)],
        line,
    )
