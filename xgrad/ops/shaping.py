"""Ops that rearrange elements without changing them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from operator import index
from typing import Any

from ..backends.types import Array, Namespace
from ..errors import ShapeError
from .axes import normal_axes
from .batching import on_last_axes
from .table import op

RESHAPE = op(
    "reshape",
    lambda xp, x, *, shape: xp.reshape(x, shape),
    dx=lambda xp, dz, x_shape, *, shape: xp.reshape(dz, x_shape),
    analytic=True,
    linear="jointly",
    view=True,
    in_numpy="reshape",
    moves=True,
)


def _order(axes: tuple[int, ...] | None, ndim: int) -> tuple[int, ...]:
    """`axes`, normalised; None means all axes in reverse order."""
    return tuple(reversed(range(ndim))) if axes is None else normal_axes(tuple(axes), ndim)


def _transpose_batch(params: dict[str, Any], rank: int, length: int) -> dict[str, Any]:
    """The new axis stays in front."""
    order = _order(params.get("axes"), rank)
    return {"axes": (0, *(a + 1 for a in order))}


TRANSPOSE = op(
    "transpose",
    lambda xp, x, *, axes=None: xp.permute_dims(x, _order(axes, x.ndim)),
    dx=lambda xp, dz, *, axes: xp.permute_dims(
        dz, tuple(sorted(range(dz.ndim), key=_order(axes, dz.ndim).__getitem__))
    ),
    function="permute_dims",
    analytic=True,
    linear="jointly",
    view=True,
    batch=_transpose_batch,
    moves=True,
)

# As for every op, `deriv` sums over the broadcast axes.
BROADCAST_TO = op(
    "broadcast_to",
    lambda xp, x, *, shape: xp.broadcast_to(x, shape),
    dx=lambda dz, *, shape: dz,
    analytic=True,
    linear="jointly",
    view=True,
    in_numpy="broadcast_to",
    moves=True,
)


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that all broadcast to. Raises ShapeError if they do not."""
    if len(set(shapes)) == 1:
        return shapes[0]
    rank = max(map(len, shapes), default=0)
    lengths = []
    for column in zip(*((1,) * (rank - len(s)) + tuple(s) for s in shapes)):
        longer = set(column) - {1}
        if len(longer) > 1:
            raise ShapeError(f"shapes {' and '.join(map(str, shapes))} do not broadcast")
        lengths.append(longer.pop() if longer else 1)
    return tuple(lengths)


def _concat_dx(
    xp: Namespace, dz: Array, x_shape: tuple[tuple[int, ...], ...], *, axis: int
) -> tuple[Array, ...]:
    """Split dz into the parts of the operands."""
    stops = list(accumulate(shape[axis] for shape in x_shape))
    before = (slice(None),) * (axis % dz.ndim)
    return tuple(
        dz[(*before, slice(start, stop), ...)] for start, stop in zip([0, *stops], stops, strict=False)
    )


CONCAT = op(
    "concat",
    lambda xp, *x, axis=0: xp.concat(x, axis=axis),
    dx=_concat_dx,
    variadic=True,
    promotion="result_type",
    analytic=True,
    linear="jointly",
    moves=True,
)

STACK = op(
    "stack",
    lambda xp, *x, axis=0: xp.stack(x, axis=axis),
    dx=lambda xp, dz, *, axis: xp.unstack(dz, axis=axis),
    variadic=True,
    promotion="result_type",
    analytic=True,
    linear="jointly",
    moves=True,
)


def _unstack_dx(xp: Namespace, dz: Sequence[Array | None], x_shape: tuple[int, ...], *, axis: int) -> Array:
    """Stack the gradients of the parts, with zeros for unused parts."""
    some = next(part for part in dz if part is not None)
    zero = xp.zeros_like(some) if any(part is None for part in dz) else None
    return xp.stack([zero if part is None else part for part in dz], axis=axis)


def _triangle(inside: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """A triangle of matrices, as a selection of elements by row and column."""

    def chosen(xp: Any, x: Any, *, k: int = 0) -> Any:
        n, m = x.shape[-2:]
        rows, columns = (xp.arange(count, device=x.device) for count in (n, m))
        return xp.where(inside(rows[:, None] + k, columns), x, False if x.dtype == bool else 0)

    return chosen


TRIL = op(
    "tril",
    lambda xp, x, *, k=0: xp.tril(x, k=index(k)),
    in_numpy="tril",
    dx=lambda xp, dz, *, k: xp.tril(dz, k=k),
    analytic=True,
    linear="jointly",
    batch=on_last_axes,
    composite=_triangle(lambda row, column: row >= column),
    doc="Matrices with 0 above the k-th diagonal.",
)

TRIU = op(
    "triu",
    lambda xp, x, *, k=0: xp.triu(x, k=index(k)),
    in_numpy="triu",
    dx=lambda xp, dz, *, k: xp.triu(dz, k=k),
    analytic=True,
    linear="jointly",
    batch=on_last_axes,
    composite=_triangle(lambda row, column: row <= column),
    doc="Matrices with 0 below the k-th diagonal.",
)

TO_DEVICE = op(
    "to_device",
    lambda xp, x, *, source, target: xp.to_device(x, target),
    dx=lambda xp, dz, *, source, target: xp.to_device(dz, source),
    internal=True,
)


def creator(xp: Namespace, function: str | Callable[..., Array]) -> Callable[..., Array]:
    """Return the creation function of this name, or one written in terms of `xp`, its first argument."""
    return partial(function, xp) if callable(function) else getattr(xp, function)


# Makes a new array by a creation function.
NEW = op(
    "new",
    lambda xp, *, function, args, dtype, options: creator(xp, function)(*args, dtype=dtype, **options),
    cost=1,
    internal=True,
)

# An op whose output is a tuple. "item" selects a part; its gradient is that part of the tuple's gradient.
UNSTACK = op(
    "unstack",
    lambda xp, x, *, axis=0: xp.unstack(x, axis=axis),
    dx=_unstack_dx,
    analytic=True,
    linear="jointly",
)
ITEM = op(
    "item", lambda xp, x, *, i: x[i], dx=lambda dz, *, i: dz, analytic=True, linear="jointly", internal=True
)
