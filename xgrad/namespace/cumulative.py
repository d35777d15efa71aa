"""Sums, products and differences along an axis."""

from __future__ import annotations

from operator import index

from ..backends.types import ArrayLike, DTypeLike
from ..core.tensor import Tensor
from ..errors import ShapeError
from ..ops import Op
from ..ops import cumulative as c
from ..ops.axes import is_integer, normal_axes
from .calling import call
from .conversion import asarray, astype, beside
from .manipulation import broadcast_to, concat
from .table import function


@function
def cumulative_sum(
    x: ArrayLike, /, *, axis: int | None = None, dtype: DTypeLike | None = None, include_initial: bool = False
) -> Tensor:
    """Cumulative sums along `axis`.

    `axis` may be omitted for a one-dimensional array. With `include_initial`, the result starts with a 0.

    >>> import xgrad as xg
    >>> xg.cumulative_sum(xg.asarray([1.0, 2.0, 3.0]), include_initial=True)
    tensor([0., 1., 3., 6.])
    """
    return _accumulated(c.CUMULATIVE_SUM, x, axis, dtype, include_initial)


@function
def cumulative_prod(
    x: ArrayLike, /, *, axis: int | None = None, dtype: DTypeLike | None = None, include_initial: bool = False
) -> Tensor:
    """Cumulative products along `axis`.

    `axis` may be omitted for a one-dimensional array. With `include_initial`, the result starts with a 1.

    The gradient needs no division, and is exact where elements are 0.
    """
    return _accumulated(c.CUMULATIVE_PROD, x, axis, dtype, include_initial)


def _accumulated(
    op: Op, x: ArrayLike, axis: int | None, dtype: DTypeLike | None, include_initial: bool
) -> Tensor:
    x = asarray(x) if dtype is None else astype(x, dtype)
    if x.ndim == 0 or (axis is None and x.ndim > 1):
        raise ShapeError(
            f"{op.name}: an array of shape {x.shape} " + ("has no axis" if x.ndim == 0 else "needs axis=")
        )
    (axis,) = normal_axes(axis, x.ndim, op.name)
    z = call(op, (x,), {"axis": axis, "include_initial": include_initial})
    return z if dtype is None else astype(z, dtype, copy=False)


@function
def diff(
    x: ArrayLike,
    /,
    *,
    axis: int = -1,
    n: int = 1,
    prepend: ArrayLike | None = None,
    append: ArrayLike | None = None,
) -> Tensor:
    """`n`-th differences of neighbouring elements along `axis`.

    First, `prepend` and `append` are concatenated before and after `x`; a single number is broadcast to the
    other axes.

    >>> import xgrad as xg
    >>> xg.diff(xg.asarray([1.0, 4.0, 9.0]))
    tensor([3., 5.])
    """
    x = asarray(x)
    (axis,) = normal_axes(axis, x.ndim, "diff")
    if not is_integer(n) or (n := index(n)) < 0:
        raise ValueError(f"diff: n must be an integer of at least 0, not {n!r}")
    ends = [None if end is None else _end(beside(end, x), x, axis) for end in (prepend, append)]
    z: Tensor = (
        x
        if not n or ends == [None, None]
        else concat([v for v in (ends[0], x, ends[1]) if v is not None], axis=axis)
    )
    for _ in range(min(n, z.shape[axis])):
        after, before = c.part(z, axis, 1, None), c.part(z, axis, None, -1)
        z = after != before if z.dtype.kind == "b" else after - before
    return z if n else +z


def _end(end: Tensor, x: Tensor, axis: int) -> Tensor:
    return end if end.ndim else broadcast_to(end, (*x.shape[:axis], 1, *x.shape[axis + 1 :]))
