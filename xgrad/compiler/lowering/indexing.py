"""Indexing by integer arrays: which axes the arrays index, and where the other axes go.

x[..., i, :, j] reads one element of `x` for each index of the broadcast index arrays and of the other axes.
`take` is the same with one array.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from ...ops.indexing import Hole
from ..ir import Stage, Value, is_basic
from .plan import Call, Ref
from .views import broadcast, contiguous, viewed

_INTEGERS = frozenset(("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"))


class Form(NamedTuple):
    """One indexing: `whole` is the full view, `part` the elements that the index arrays select from it.

    `axes` are the axes of `whole` that arrays index, in the order of `indices`. `chosen` are the axes of
    `part` that have the arrays' broadcast shape. `kept` pairs each other axis of `whole` with its axis of
    `part`.
    """

    whole: Ref
    part: Ref | float
    indices: tuple[Ref, ...]
    axes: tuple[int, ...]
    chosen: tuple[int, ...]
    kept: tuple[tuple[int, int], ...]


def has_form(call: Call, dtypes: tuple[Any, ...], moved: Collection[str]) -> bool:
    """Whether a call indexes by integer arrays, and otherwise only by slices.

    Its elements must be of one of the dtypes `moved`.
    """
    count = len(call.args)
    arrays = _operands(call)[2]
    kinds = dtypes[count - len(arrays) : count]
    data = {d for d in (*dtypes[: count - len(arrays)], *dtypes[count:]) if d is not None}
    if not arrays or not all(isinstance(a, Ref) for a in arrays) or not _INTEGERS.issuperset(kinds):
        return False
    if len(data) != 1 or not data <= {*moved}:
        return False
    key = _key(call)
    return all(isinstance(k, slice | Hole) or k is Ellipsis for k in key) and form(call) is not None


def _operands(call: Call) -> tuple[Any, Any, tuple[Any, ...]]:
    """Return the whole array, the part of it, and the index arrays."""
    (out,) = call.outs
    if call.op in ("take", "getitem"):
        return call.args[0], out, call.args[1:]
    if call.op in ("untake", "scatter"):
        return out, call.args[0], call.args[1:]
    return out, call.args[1], call.args[2:]


def _key(call: Call) -> tuple[Any, ...]:
    if call.op in ("take", "untake"):
        whole = _operands(call)[0]
        return (*(slice(None),) * (call.params["axis"] % max(len(whole.shape), 1)), Hole(0))
    key = call.params["key"]
    return key if isinstance(key, tuple) else (key,)


def form(call: Call) -> Form | None:
    """Return the indexing of a call; None where the assigned value has more axes than its target."""
    whole, part, arrays = _operands(call)
    if not isinstance(whole, Ref):
        return None
    key = _key(call)
    holes = [k for k in key if isinstance(k, Hole)]
    written = [i for i, k in enumerate(key) if isinstance(k, Hole)]
    missing = len(whole.shape) - sum(k is not Ellipsis for k in key)
    at = next((i for i, k in enumerate(key) if k is Ellipsis), len(key))
    key = (*key[:at], *(slice(None),) * missing, *(k for k in key[at:] if k is not Ellipsis))
    axes = [a for a, k in enumerate(key) if isinstance(k, Hole)]
    seen = viewed(whole, tuple(slice(None) if isinstance(k, Hole) else k for k in key))
    shape = _common([arrays[h.i].shape for h in holes])
    rest = [a for a in range(len(key)) if a not in axes]
    # arrays next to each other, without even an ellipsis between, are replaced by their broadcast shape;
    # otherwise that shape comes first
    first = axes[0] if written[-1] - written[0] == len(written) - 1 else 0
    kept = tuple((a, i if i < first else i + len(shape)) for i, a in enumerate(rest))
    full = [*(seen.shape[a] for a in rest[:first]), *shape, *(seen.shape[a] for a in rest[first:])]
    if isinstance(part, Ref):
        if len(part.shape) > len(full):
            return None
        part = broadcast(part, tuple(full))
    return Form(
        seen,
        part,
        tuple(broadcast(arrays[h.i], shape) for h in holes),
        tuple(axes),
        tuple(range(first, first + len(shape))),
        kept,
    )


def _common(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Return the shape that all broadcast to."""
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(s)) + tuple(s) for s in shapes]
    return tuple(next((n for n in along if n != 1), 1) for along in zip(*padded))


def is_assignment(stage: Stage) -> bool:
    """Whether a stage assigns a value that is no larger to a view that no index array selects."""
    *_, v = stage.operands
    if len(stage.operands) != (2 if stage.op == "setitem" else 1) or not is_basic(stage.params["key"]):
        return False
    if type(v) is not Value:
        return True
    target = viewed(contiguous(0, stage.output.shape), stage.params["key"])
    return all(n == 1 for n in v.shape[: max(0, len(v.shape) - len(target.shape))])
